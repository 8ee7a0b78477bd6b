//! Circuit breakers: a backend of which too large a share fails is out of use, and comes back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::harness::{Client, DEADLINE, Daemon, Load, Origin, Setup, get, request, wait_until};

/// A backend that fails while it is told to.
struct Moody {
    origin: Origin,
    sick: Arc<AtomicBool>,
}

impl Moody {
    fn start(body: &'static str) -> Moody {
        let sick = Arc::new(AtomicBool::new(false));
        let shared = sick.clone();
        let origin = Origin::start(move |peer| {
            while peer.request().is_some() {
                let status = if shared.load(Ordering::SeqCst) { 500 } else { 200 };
                peer.answer(status, body);
            }
        });
        Moody { origin, sick }
    }

    fn turn(&self, sick: bool) {
        self.sick.store(sick, Ordering::SeqCst);
    }

    fn address(&self) -> SocketAddr {
        self.origin.address()
    }
}

/// Only the breaker judges: neither probes nor failures in a row do.
const TWO: &str = r#"
    workers = 2
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$a", "$b"]
    passive = { fall = 0 }
    retry = { attempts = 1 }
    breaker = { min_requests = 10, window = "1m", open = "$open", trials = 2 }
"#;

fn two(open: &str) -> ([Moody; 2], Daemon) {
    let backends = [Moody::start("a"), Moody::start("b")];
    let setup = Setup::of(TWO).with("open", open);
    let setup = setup.with("a", backends[0].address()).with("b", backends[1].address());
    (backends, setup.start())
}

fn holds(daemon: &Daemon, backend: SocketAddr, position: &str) -> bool {
    let backend = backend.to_string();
    let labels = [("pool", "app"), ("backend", backend.as_str()), ("position", position)];
    daemon.metric("equipoise_backend_breaker_position", &labels) == 1.0
}

/// Asks until the breaker of this backend has that position; connections of their own, so that both
/// workers count.
#[track_caller]
fn ask_until(daemon: &Daemon, backend: SocketAddr, position: &str) {
    wait_until(DEADLINE, position, || {
        get(daemon.address("web"), "/");
        holds(daemon, backend, position)
    });
}

#[test]
fn a_backend_that_fails_is_left_alone_and_comes_back_by_trials() {
    let ([a, b], daemon) = two("300ms");
    assert!(holds(&daemon, a.address(), "closed"));
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    daemon.wait_for_log("breaker open: ");
    wait_until(DEADLINE, "a trial that fails", || {
        get(daemon.address("web"), "/");
        let again = "breaker open again: a trial request failed; tried again in 600ms";
        daemon.log().iter().any(|line| line.contains(again))
    });
    a.turn(false);
    ask_until(&daemon, a.address(), "closed");
    daemon.wait_for_log("breaker half-open: closed when 2 requests have passed");
    daemon.wait_for_log("breaker closed: 2 requests have passed");
    let bodies: Vec<String> = (0..8).map(|_| get(daemon.address("web"), "/").text()).collect();
    assert!(bodies.iter().any(|body| body == "a") && bodies.iter().any(|body| body == "b"));
    let openings = "equipoise_backend_breaker_openings_total";
    let address = a.address().to_string();
    assert!(daemon.metric(openings, &[("backend", &address)]) >= 2.0);
    let address = b.address().to_string();
    assert_eq!(daemon.metric(openings, &[("backend", &address)]), 0.0);
}

#[test]
fn while_it_is_open_nobody_meets_it() {
    let ([a, _b], daemon) = two("10m");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    // Both workers have followed when neither asks it any more.
    let load = Load::new().keep_alive(daemon.address("web"), 4);
    wait_until(DEADLINE, "requests", || load.tally().ok > 50);
    load.stop();
    let before = a.origin.requests();
    let load = Load::new().keep_alive(daemon.address("web"), 4);
    wait_until(DEADLINE, "requests", || load.tally().ok > 200);
    load.stop().assert_flawless();
    assert_eq!(a.origin.requests(), before);
    let words = daemon.command(&["status"]).words();
    assert!(words.contains("up, breaker open"), "{words}");
}

#[test]
fn it_takes_out_no_more_than_the_pool_can_spare() {
    let ([a, b], daemon) = two("10m");
    a.turn(true);
    b.turn(true);
    let one_open = || holds(&daemon, a.address(), "open") || holds(&daemon, b.address(), "open");
    wait_until(DEADLINE, "one to be open", || {
        get(daemon.address("web"), "/");
        one_open()
    });
    wait_until(DEADLINE, "the other to be spared", || {
        assert_eq!(get(daemon.address("web"), "/").status, 500, "somebody is asked");
        daemon.log().iter().any(|line| line.contains("breaker stays closed, for max_open"))
    });
    let both = holds(&daemon, a.address(), "open") && holds(&daemon, b.address(), "open");
    assert!(one_open() && !both);
}

#[test]
fn who_is_left_alone_is_tried_when_the_pool_can_not_spare_it_any_longer() {
    let ([a, b], daemon) = two("10m");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    a.turn(false);
    let other = format!("app/{}", b.address());
    assert_eq!(daemon.command(&["drain", &other]).code, 0);
    wait_until(DEADLINE, "it to answer", || get(daemon.address("web"), "/").text() == "a");
    ask_until(&daemon, a.address(), "closed");
}

#[test]
fn a_5xx_counts_only_where_it_is_a_failure() {
    let a = Moody::start("a");
    let config = TWO.replace(", \"$b\"", "");
    let config = config.replace("trials = 2", "count_5xx = false, max_open = \"100%\"");
    let daemon = Setup::of(&config).with("a", a.address()).with("open", "10m").start();
    a.turn(true);
    for _ in 0..30 {
        assert_eq!(get(daemon.address("web"), "/").status, 500);
    }
    assert!(holds(&daemon, a.address(), "closed"));
    a.origin.stop();
    ask_until(&daemon, a.address(), "open");
    let refused = get(daemon.address("web"), "/");
    assert_eq!(refused.status, 503, "told at once, when nobody else is there");
    assert!(refused.text().contains("reason: no-backend"), "{refused:?}");
    daemon.wait_for_log("no backend is up");
}

#[test]
fn answers_that_break_off_are_failures_and_no_passes_besides() {
    let cut = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        }
    });
    let config = TWO.replace(", \"$b\"", "");
    let config = config.replace("trials = 2", "failures = \"90%\", max_open = \"100%\"");
    let daemon = Setup::of(&config).with("a", cut.address()).with("open", "10m").start();
    wait_until(DEADLINE, "it to open", || {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
        let _ = client.try_answer();
        holds(&daemon, cut.address(), "open")
    });
    daemon.wait_for_log("breaker open: 10 of 10 requests");
}

/// The only backend, which holds each request after the first failures until it is let go.
#[test]
fn no_more_try_it_than_decide() {
    let (came, let_go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let (counted, gate) = (came.clone(), let_go.clone());
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/fail" {
                peer.answer(500, "");
                continue;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.answer(200, "ok");
        }
    });
    let config =
        TWO.replace(", \"$b\"", "").replace("trials = 2", "trials = 2, max_open = \"100%\"");
    let config = config.replace("retry =", "queue = { timeout = \"1m\" }\nretry =");
    let daemon = Setup::of(&config).with("a", origin.address()).with("open", "300ms").start();
    wait_until(DEADLINE, "it to open", || {
        get(daemon.address("web"), "/fail");
        holds(&daemon, origin.address(), "open")
    });
    wait_until(DEADLINE, "trials", || holds(&daemon, origin.address(), "half-open"));
    let mut clients: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = Client::connect(daemon.address("web"));
            client.send(request("/"));
            client
        })
        .collect();
    daemon.wait_for_metric("equipoise_pool_queue_length", &[("pool", "app")], 6.0);
    wait_until(DEADLINE, "the trials", || came.load(Ordering::SeqCst) >= 2);
    assert_eq!(came.load(Ordering::SeqCst), 2);
    let_go.store(true, Ordering::SeqCst);
    assert!(clients.iter_mut().all(|client| client.answer().status == 200));
    wait_until(DEADLINE, "it to close", || holds(&daemon, origin.address(), "closed"));
}

#[test]
fn trials_that_come_to_nothing_do_not_keep_it_half_open() {
    let ([a, _b], daemon) = two("200ms");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    a.turn(false);
    wait_until(DEADLINE, "trials", || holds(&daemon, a.address(), "half-open"));
    // Clients that leave at once take their trial with them.
    for _ in 0..30 {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
    }
    ask_until(&daemon, a.address(), "closed");
}

#[test]
fn a_reload_keeps_it_and_may_take_it_away() {
    let ([a, _b], mut daemon) = two("10m");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    daemon.rewrite(&TWO.replace("trials = 2", "trials = 3"));
    daemon.reload();
    assert!(holds(&daemon, a.address(), "open"), "it is no new backend");
    a.turn(false);
    let without: String = TWO
        .lines()
        .filter(|line| !line.contains("breaker"))
        .map(|line| format!("{line}\n"))
        .collect();
    daemon.rewrite(&without);
    daemon.reload();
    wait_until(DEADLINE, "it to be in use", || get(daemon.address("web"), "/").text() == "a");
    assert!(!daemon.metrics().has("equipoise_backend_breaker_position", &[]));
}

#[test]
fn a_reload_may_ask_for_more_trials_while_it_is_tried() {
    let ([a, _b], mut daemon) = two("300ms");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    a.turn(false);
    wait_until(DEADLINE, "trials", || holds(&daemon, a.address(), "half-open"));
    daemon.rewrite(&TWO.replace("trials = 2", "trials = 5"));
    daemon.reload();
    assert!(holds(&daemon, a.address(), "half-open"));
    ask_until(&daemon, a.address(), "closed");
    daemon.wait_for_log("breaker closed: 5 requests have passed");
}

#[test]
fn a_reload_may_shorten_the_time_that_it_is_open() {
    let ([a, _b], mut daemon) = two("10m");
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    a.turn(false);
    daemon.rewrite(&TWO.replace("$open", "200ms"));
    daemon.reload();
    ask_until(&daemon, a.address(), "closed");
}

#[test]
fn an_operator_has_it_tried_at_once() {
    let ([a, _b], daemon) = two("10m");
    let backend = format!("app/{}", a.address());
    let enable = || daemon.command(&["enable", &backend]).words();
    assert!(enable().contains("up: it was not drained"));
    a.turn(true);
    ask_until(&daemon, a.address(), "open");
    a.turn(false);
    let words = enable();
    assert!(words.contains("up: its breaker is half-open now"), "{words}");
    assert!(holds(&daemon, a.address(), "half-open"));
    ask_until(&daemon, a.address(), "closed");
}

#[test]
fn while_it_is_tried_the_backup_goes_on_serving() {
    let let_go = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&let_go);
    let main = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/fail" {
                peer.answer(500, "main");
                continue;
            }
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.answer(200, "main");
        }
    });
    let backup = Origin::answering("backup");
    let config = TWO.replace("\"$b\"", "{ address = \"$b\", backup = true }");
    let setup = Setup::of(&config).with("open", "300ms");
    let daemon = setup.with("a", main.address()).with("b", backup.address()).start();
    wait_until(DEADLINE, "it to open", || {
        get(daemon.address("web"), "/fail");
        holds(&daemon, main.address(), "open")
    });
    wait_until(DEADLINE, "trials", || holds(&daemon, main.address(), "half-open"));
    let address = main.address().to_string();
    let mut clients = Vec::new();
    // They take turns with the backup.
    wait_until(DEADLINE, "two trials to be under way", || {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
        clients.push(client);
        daemon.metric("equipoise_backend_in_flight", &[("backend", &address)]) == 2.0
    });
    for _ in 0..20 {
        assert_eq!(get(daemon.address("web"), "/").text(), "backup");
    }
    let_go.store(true, Ordering::SeqCst);
    assert!(clients.iter_mut().all(|client| client.answer().status == 200));
    ask_until(&daemon, main.address(), "closed");
    wait_until(DEADLINE, "it alone to serve", || get(daemon.address("web"), "/").text() == "main");
}
