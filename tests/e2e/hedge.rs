//! A second try of a request whose answer is late.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::harness::{Client, DEADLINE, Daemon, Origin, Setup, get, request, wait_until};

/// A backend that answers at once, until it is told otherwise.
struct Mood {
    origin: Origin,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mood: AtomicUsize,
    /// Requests that came while it was not quick.
    met: AtomicUsize,
    /// Of those, how many were given up by the daemon.
    left: AtomicUsize,
}

const QUICK: usize = 0;
/// Says nothing until it is told to be quick again, or the daemon leaves.
const HOLDS: usize = 1;
/// Says nothing, and notices when the daemon leaves.
const SILENT: usize = 2;
const FAILS: usize = 3;
/// Says nothing until the mood changes, and breaks off then.
const BREAKS: usize = 4;

impl Mood {
    fn start(body: &'static str) -> Mood {
        let shared = Arc::<Shared>::default();
        let mine = shared.clone();
        let origin = Origin::start(move |peer| {
            while peer.request().is_some() {
                let mood = mine.mood();
                if mood != QUICK {
                    mine.met.fetch_add(1, Ordering::SeqCst);
                }
                match mood {
                    QUICK => {}
                    HOLDS => wait_until(DEADLINE, "to be quick", || mine.mood() == QUICK),
                    SILENT => {
                        peer.hang();
                        mine.left.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    FAILS => {
                        peer.answer(503, "no");
                        continue;
                    }
                    _ => {
                        wait_until(DEADLINE, "to break", || mine.mood() == QUICK);
                        return peer.reset();
                    }
                }
                peer.answer(200, body);
            }
        });
        Mood { origin, shared }
    }

    fn turn(&self, mood: usize) {
        self.shared.mood.store(mood, Ordering::SeqCst);
    }

    fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }

    fn left(&self) -> usize {
        self.shared.left.load(Ordering::SeqCst)
    }

    fn address(&self) -> SocketAddr {
        self.origin.address()
    }
}

impl Shared {
    fn mood(&self) -> usize {
        self.mood.load(Ordering::SeqCst)
    }
}

const POOL: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$a", "$b"]
    passive = { fall = 0 }
    retry = { budget = "100%" }
    hedge = { percentile = 50, at_least = "200ms", min_requests = 20 }
"#;

/// Two backends that have shown how quick they are.
fn started(config: &str) -> ([Mood; 2], Daemon) {
    let backends = [Mood::start("a"), Mood::start("b")];
    let setup = Setup::of(config).with("a", backends[0].address());
    let daemon = setup.with("b", backends[1].address()).start();
    let mut client = Client::connect(daemon.address("web"));
    (0..40).for_each(|_| assert_eq!(client.get("/").status, 200));
    (backends, daemon)
}

/// A client whose request is late, and what had been counted before it. On a busy machine a request
/// before it may have been late as well.
struct Late {
    client: Client,
    before: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Counts {
    made: f64,
    won: f64,
}

fn counts(daemon: &Daemon) -> Counts {
    let metrics = daemon.metrics();
    let made = metrics.sum("equipoise_pool_hedges_total", &[]);
    Counts { made, won: metrics.sum("equipoise_pool_hedges_won_total", &[]) }
}

/// Sends a request to `first` while both have these moods.
#[track_caller]
fn ask_first(daemon: &Daemon, first: &Mood, other: &Mood, moods: (usize, usize)) -> Late {
    // Turns alternate.
    let address = daemon.address("web");
    loop {
        let before = other.origin.requests();
        get(address, "/");
        if other.origin.requests() > before {
            break;
        }
    }
    let before = counts(daemon);
    first.turn(moods.0);
    other.turn(moods.1);
    let mut client = Client::connect(address);
    client.send(request("/late"));
    wait_until(DEADLINE, "the first to be asked", || first.met() == 1);
    Late { client, before }
}

#[track_caller]
fn check_hedges(daemon: &Daemon, before: Counts, made: usize, won: usize) {
    let expected = Counts { made: before.made + made as f64, won: before.won + won as f64 };
    wait_until(DEADLINE, "the counts", || counts(daemon) == expected);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
}

#[test]
fn one_slow_backend_costs_no_client_its_time() {
    let config = POOL.replace("\"$b\"]", "\"$b\", \"$c\"]");
    let slow = Mood::start("c");
    let backends = [Mood::start("a"), Mood::start("b")];
    let setup = Setup::of(&config).with("c", slow.address()).with("a", backends[0].address());
    let daemon = setup.with("b", backends[1].address()).start();
    let mut client = Client::connect(daemon.address("web"));
    (0..60).for_each(|_| assert_eq!(client.get("/").status, 200));
    let before = counts(&daemon);
    slow.turn(SILENT);
    for _ in 0..15 {
        let answer = client.get("/");
        assert_eq!(answer.status, 200);
        assert_ne!(answer.text(), "c");
    }
    client.send("HEAD / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status, 200);
    let met = slow.met();
    assert!(met >= 5, "it had its turns: {met}");
    wait_until(DEADLINE, "every connection to it to be closed", || slow.left() == met);
    let now = counts(&daemon);
    assert!(now.won - before.won >= met as f64, "{before:?} {now:?}");
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
}

#[test]
fn the_first_to_answer_wins_and_the_other_is_given_up() {
    let ([a, b], daemon) = started(POOL);
    let Late { mut client, before } = ask_first(&daemon, &a, &b, (HOLDS, SILENT));
    wait_until(DEADLINE, "the second to be asked", || b.met() == 1);
    a.turn(QUICK);
    assert_eq!(client.answer().text(), "a");
    wait_until(DEADLINE, "the second to be given up", || b.left() == 1);
    check_hedges(&daemon, before, 1, 0);
    b.turn(QUICK);
    assert_eq!(client.get("/").status, 200, "the client's connection is as it was");
}

#[test]
fn a_second_try_that_fails_leaves_the_first_to_answer() {
    let ([a, b], daemon) = started(POOL);
    let Late { mut client, before } = ask_first(&daemon, &a, &b, (HOLDS, FAILS));
    wait_until(DEADLINE, "the second to have failed", || {
        daemon.metric("equipoise_backend_responses_total", &[("class", "5xx")]) == 1.0
    });
    a.turn(QUICK);
    assert_eq!(client.answer().text(), "a");
    check_hedges(&daemon, before, 1, 0);
}

#[test]
fn a_second_backend_that_is_gone_leaves_the_first_to_answer() {
    let ([a, b], daemon) = started(POOL);
    let Late { mut client, before } = ask_first(&daemon, &a, &b, (HOLDS, QUICK));
    b.origin.stop();
    wait_until(DEADLINE, "a second try", || counts(&daemon).made > before.made);
    a.turn(QUICK);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn when_the_first_breaks_off_the_second_goes_on() {
    let ([a, b], daemon) = started(POOL);
    let Late { mut client, before } = ask_first(&daemon, &a, &b, (BREAKS, HOLDS));
    wait_until(DEADLINE, "the second to be asked", || b.met() == 1);
    a.turn(QUICK);
    wait_until(DEADLINE, "the first to have gone", || {
        daemon.metric("equipoise_backend_in_flight", &[]) == 1.0
    });
    b.turn(QUICK);
    assert_eq!(client.answer().text(), "b");
    check_hedges(&daemon, before, 1, 0);
    assert_eq!(daemon.metric("equipoise_pool_retries_total", &[]), 0.0);
}

#[test]
fn a_client_that_leaves_takes_both_along() {
    let ([a, b], daemon) = started(POOL);
    let Late { client, before } = ask_first(&daemon, &a, &b, (SILENT, SILENT));
    wait_until(DEADLINE, "the second to be asked", || b.met() == 1);
    drop(client);
    wait_until(DEADLINE, "both to be given up", || (a.left(), b.left()) == (1, 1));
    check_hedges(&daemon, before, 1, 0);
}

#[test]
fn what_may_change_something_is_asked_once() {
    let ([a, b], daemon) = started(POOL);
    let before = counts(&daemon);
    for method in ["POST", "PUT", "DELETE"] {
        a.turn(HOLDS);
        b.turn(HOLDS);
        let met = a.met() + b.met();
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        wait_until(DEADLINE, "one to be asked", || a.met() + b.met() > met);
        // Far longer than a second try would take to come.
        client.set_patience(std::time::Duration::from_millis(600));
        assert!(client.try_answer().is_err());
        a.turn(QUICK);
        b.turn(QUICK);
        client.set_patience(DEADLINE);
        assert_eq!(client.answer().status, 200);
        assert_eq!(a.met() + b.met(), met + 1);
    }
    check_hedges(&daemon, before, 0, 0);
}

#[test]
fn no_more_is_spent_than_the_budget_has() {
    let ([a, b], daemon) = started(&POOL.replace("budget = \"100%\"", "budget = \"0%\""));
    let Late { mut client, before } = ask_first(&daemon, &a, &b, (HOLDS, QUICK));
    let refused = || daemon.metric("equipoise_pool_hedges_refused_total", &[("pool", "app")]);
    wait_until(DEADLINE, "a second try to be refused", || refused() >= 1.0);
    a.turn(QUICK);
    assert_eq!(client.answer().text(), "a");
    check_hedges(&daemon, before, 0, 0);
}

#[test]
fn nobody_is_asked_who_has_no_place() {
    let ([a, b], daemon) = started(&POOL.replace("retry =", "max_requests = 1\nretry ="));
    let Late { client: mut busy, .. } = ask_first(&daemon, &b, &a, (HOLDS, HOLDS));
    // The second try of the first request may take the other's only place.
    wait_until(DEADLINE, "both to be busy", || a.met() + b.met() == 2);
    let mut waits = Client::connect(daemon.address("web"));
    waits.send(request("/waits"));
    daemon.wait_for_metric("equipoise_pool_queue_length", &[("pool", "app")], 1.0);
    a.turn(QUICK);
    b.turn(QUICK);
    assert_eq!((busy.answer().status, waits.answer().status), (200, 200));
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
}

/// A daemon that speaks HTTP/2 before a backend.
fn speaking_h2(before: &Mood) -> Daemon {
    let config = r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        passive = { fall = 0 }
    "#;
    Setup::of(config).with("origin", before.address()).start()
}

#[test]
fn in_http2_the_late_stream_alone_is_given_up() {
    let [a, b] = [Mood::start("a"), Mood::start("b")];
    let between = [speaking_h2(&a), speaking_h2(&b)];
    let config = POOL.replace("hedge =", "protocol = \"h2\"\nhedge =");
    let setup = Setup::of(&config).with("a", between[0].address("web"));
    let daemon = setup.with("b", between[1].address("web")).start();
    let mut client = Client::connect(daemon.address("web"));
    (0..40).for_each(|_| assert_eq!(client.get("/").status, 200));
    let opened = || daemon.metric("equipoise_backend_connections_opened_total", &[]);
    let before = opened();
    let Late { mut client, before: counted } = ask_first(&daemon, &a, &b, (SILENT, QUICK));
    assert_eq!(client.answer().text(), "b");
    wait_until(DEADLINE, "the first to be given up", || a.left() == 1);
    check_hedges(&daemon, counted, 1, 1);
    a.turn(QUICK);
    (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    assert_eq!(opened(), before, "the connections live on");
}
