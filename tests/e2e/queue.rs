//! How many requests a backend is given at once, and what becomes of those that wait for a place.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::harness::{Client, DEADLINE, Daemon, Load, Origin, Setup, get, request, wait_until};

/// A backend that answers only as many requests as it is told to.
struct Held {
    origin: Origin,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    targets: Mutex<Vec<String>>,
    let_go: AtomicUsize,
}

impl Held {
    fn start(body: &'static str) -> Held {
        let gate = Arc::<Gate>::default();
        let shared = gate.clone();
        let origin = Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                let turn = shared.came(request.target);
                wait_until(DEADLINE, "the gate", || shared.let_go.load(Ordering::SeqCst) > turn);
                peer.answer(200, body);
            }
        });
        Held { origin, gate }
    }

    fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// What was asked for, in the order it came.
    fn targets(&self) -> Vec<String> {
        self.gate.targets.lock().unwrap().clone()
    }

    fn let_go(&self, count: usize) {
        self.gate.let_go.fetch_add(count, Ordering::SeqCst);
    }

    #[track_caller]
    fn wait_for_requests(&self, count: usize) {
        wait_until(DEADLINE, &format!("{count} requests"), || self.targets().len() >= count);
    }
}

impl Gate {
    fn came(&self, target: String) -> usize {
        let mut targets = self.targets.lock().unwrap();
        targets.push(target);
        targets.len() - 1
    }
}

/// One place, and a queue in which nobody's time runs out.
const ONE_PLACE: &str = r#"
    workers = 2
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    max_requests = 1
    queue = { max = 20, timeout = "10m" }
    passive = { fall = 0 }
"#;

/// Sends a request on a connection of its own, and waits until so many wait in the queue.
#[track_caller]
fn wait_behind(daemon: &Daemon, path: &str, length: usize) -> Client {
    let mut client = Client::connect(daemon.address("web"));
    client.send(request(path));
    wait_for_length(daemon, length);
    client
}

#[track_caller]
fn wait_for_length(daemon: &Daemon, length: usize) {
    daemon.wait_for_metric("equipoise_pool_queue_length", &[("pool", "app")], length as f64);
}

#[test]
fn no_backend_sees_more_at_once_than_its_limit() {
    let peaks: [Arc<AtomicUsize>; 2] = Default::default();
    let origins = [0, 1].map(|number| {
        let (now, peak) = (AtomicUsize::new(0), peaks[number].clone());
        Origin::start(move |peer| {
            while peer.request().is_some() {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                peer.pause(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                peer.answer(200, "ok");
            }
        })
    });
    let daemon = Setup::of(
        r#"
        workers = 2
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        balance = "least-connections"
        backends = ["$a", { address = "$b", max_requests = 1 }]
        max_requests = 3
        queue = { timeout = "1m" }
        "#,
    )
    .with("a", origins[0].address())
    .with("b", origins[1].address())
    .start();
    let web = daemon.address("web");
    let load = Load::new().keep_alive(web, 8).connection_a_request(web, 8);
    wait_until(DEADLINE, "a load of requests", || load.tally().ok > 600);
    load.stop().assert_flawless();
    let peaks = peaks.map(|peak| peak.load(Ordering::SeqCst));
    assert_eq!(peaks, [3, 1], "each is used to its limit, and not beyond");
    assert!(daemon.metric("equipoise_pool_queue_seconds_count", &[("pool", "app")]) > 0.0);
    let limit = |origin: &Origin| {
        let address = origin.address().to_string();
        daemon.metric("equipoise_backend_max_requests", &[("backend", &address)])
    };
    assert_eq!(origins.each_ref().map(limit), [3.0, 1.0]);
    wait_until(DEADLINE, "every place to be given back", || {
        daemon.metric("equipoise_backend_in_flight", &[]) == 0.0
    });
}

#[test]
fn they_are_served_in_the_order_they_came() {
    let held = Held::start("ok");
    let daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/0"));
    held.wait_for_requests(1);
    // Each on a connection of its own: the kernel spreads them over both workers.
    let mut waiting: Vec<Client> =
        (1..=12).map(|turn| wait_behind(&daemon, &format!("/{turn}"), turn)).collect();
    for turn in 1..=12 {
        held.let_go(1);
        held.wait_for_requests(turn + 1);
    }
    held.let_go(1);
    let expected: Vec<String> = (0..=12).map(|turn| format!("/{turn}")).collect();
    assert_eq!(held.targets(), expected);
    assert_eq!(first.answer().status, 200);
    assert!(waiting.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!(daemon.metric("equipoise_pool_queue_seconds_count", &[]), 12.0);
}

#[test]
fn a_full_backend_is_passed_over() {
    let (held, free) = (Held::start("held"), Origin::answering("free"));
    let config = ONE_PLACE.replace("\"$origin\"", "\"$held\", \"$free\"");
    let setup = Setup::of(&config).with("held", held.address()).with("free", free.address());
    let daemon = setup.start();
    let mut taking = Vec::new();
    while held.targets().is_empty() {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
        wait_until(DEADLINE, "it to come", || {
            held.targets().len() + free.requests() > taking.len()
        });
        taking.push(client);
    }
    for _ in 0..10 {
        assert_eq!(get(daemon.address("web"), "/").text(), "free");
    }
    assert_eq!(held.targets().len(), 1);
    held.let_go(1);
}

#[test]
fn who_finds_the_queue_full_is_told_at_once() {
    let held = Held::start("ok");
    let config = ONE_PLACE.replace("max = 20", "max = 1");
    let daemon = Setup::of(&config).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut second = wait_behind(&daemon, "/", 1);
    let mut third = Client::connect(daemon.address("web"));
    let refused = third.get("/");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("5")));
    assert!(refused.text().contains("reason: queue-full"), "{refused:?}");
    assert!(!refused.closes(), "nothing is wrong with its connection");
    daemon.wait_for_metric("equipoise_pool_queue_full_total", &[("pool", "app")], 1.0);
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "queue-full")], 1.0);
    held.let_go(3);
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    assert_eq!(third.get("/").status, 200);
}

#[test]
fn who_waits_too_long_is_told_so() {
    let held = Held::start("ok");
    let config = ONE_PLACE.replace("\"10m\"", "\"200ms\"");
    let config = format!("{config}\n[access_log]\nto = \"$dir/access.log\"\n");
    let daemon = Setup::of(&config).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let refused = get(daemon.address("web"), "/late");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("5")));
    assert!(refused.text().contains("reason: queue-timeout"), "{refused:?}");
    daemon.wait_for_metric("equipoise_pool_queue_timeouts_total", &[("pool", "app")], 1.0);
    wait_for_length(&daemon, 0);
    let log = daemon.dir().join("access.log");
    wait_until(DEADLINE, "its line in the access log", || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        lines.lines().any(|line| line.contains("/late") && line.contains("\"queued_ms\":"))
    });
    held.let_go(1);
    assert_eq!(first.answer().status, 200);
}

#[test]
fn who_leaves_while_it_waits_takes_no_place() {
    let held = Held::start("ok");
    let daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/0"));
    held.wait_for_requests(1);
    let second = wait_behind(&daemon, "/1", 1);
    let mut third = wait_behind(&daemon, "/2", 2);
    drop(second);
    wait_for_length(&daemon, 1);
    held.let_go(2);
    assert_eq!((first.answer().status, third.answer().status), (200, 200));
    assert_eq!(held.targets(), ["/0", "/2"]);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
}

#[test]
fn clients_that_come_and_go_leak_no_place() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.pause(Duration::from_millis(1));
            peer.answer(200, "ok");
        }
    });
    let daemon = Setup::of(ONE_PLACE).with("origin", origin.address()).start();
    let web = daemon.address("web");
    let leaving = || {
        for number in 0..150 {
            let mut client = Client::connect(web);
            client.send(request("/"));
            if number % 3 == 0 {
                client.set_patience(Duration::from_millis(1));
                let _ = client.try_answer();
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(leaving))));
    wait_for_length(&daemon, 0);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
    let load = Load::new().connection_a_request(web, 4);
    wait_until(DEADLINE, "the place to be of use still", || load.tally().ok > 50);
    load.stop().assert_flawless();
}

#[test]
fn when_the_backend_dies_nobody_goes_on_waiting() {
    let held = Held::start("ok");
    let config = ONE_PLACE.replace("fall = 0", "fall = 2");
    let daemon = Setup::of(&config).with("origin", held.address()).start();
    let mut clients = vec![Client::connect(daemon.address("web"))];
    clients[0].send(request("/"));
    held.wait_for_requests(1);
    clients.extend((1..=8).map(|length| wait_behind(&daemon, "/", length)));
    held.origin.stop();
    for client in &mut clients {
        let status = client.answer().status;
        assert!(status == 502 || status == 503, "{status}");
    }
    wait_for_length(&daemon, 0);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
}

#[test]
fn when_the_last_backend_is_drained_nobody_goes_on_waiting() {
    let held = Held::start("ok");
    let daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut second = wait_behind(&daemon, "/", 1);
    let backend = format!("app/{}", held.address());
    assert_eq!(daemon.command(&["drain", &backend]).code, 0);
    let refused = second.answer();
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("reason: no-backend"), "{refused:?}");
    held.let_go(1);
    assert_eq!(first.answer().status, 200, "what is in flight goes on");
}

/// While a request waits for the only backend, the file says something else.
#[track_caller]
fn reloaded_while_one_waits(before: &str, after: &str) -> String {
    let (held, other) = (Held::start("held"), Origin::answering("other"));
    let setup = Setup::of(before).with("origin", held.address()).with("other", other.address());
    let mut daemon = setup.start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut second = wait_behind(&daemon, "/", 1);
    daemon.rewrite(after);
    daemon.reload();
    let answered = match held.targets().len() {
        1 if after.contains("$other") => second.answer().text(),
        _ => {
            held.wait_for_requests(2);
            held.let_go(2);
            second.answer().text()
        }
    };
    held.let_go(1);
    assert_eq!(first.answer().text(), "held");
    wait_for_length(&daemon, 0);
    answered
}

#[test]
fn who_waits_takes_a_place_at_a_backend_that_a_reload_adds() {
    let after = ONE_PLACE.replace("[\"$origin\"]", "[\"$origin\", \"$other\"]");
    assert_eq!(reloaded_while_one_waits(ONE_PLACE, &after), "other");
}

#[test]
fn who_waits_takes_a_place_at_the_backend_that_stands_instead() {
    let after = ONE_PLACE.replace("$origin", "$other");
    assert_eq!(reloaded_while_one_waits(ONE_PLACE, &after), "other");
}

#[test]
fn a_limit_that_a_reload_raises_or_lifts_lets_who_waits_in() {
    let after = ONE_PLACE.replace("max_requests = 1", "max_requests = 2");
    assert_eq!(reloaded_while_one_waits(ONE_PLACE, &after), "held");
    let after = ONE_PLACE.replace("max_requests = 1", "");
    assert_eq!(reloaded_while_one_waits(ONE_PLACE, &after), "held");
}

#[test]
fn a_reload_that_changes_nothing_of_it_leaves_who_waits_alone() {
    let held = Held::start("ok");
    let mut daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut waiting: Vec<Client> =
        (1..=4).map(|turn| wait_behind(&daemon, &format!("/{turn}"), turn)).collect();
    daemon.rewrite(&ONE_PLACE.replace("max = 20", "max = 30"));
    daemon.reload();
    wait_for_length(&daemon, 4);
    held.let_go(5);
    assert!(waiting.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!(first.answer().status, 200);
    assert_eq!(held.targets()[1..], ["/1", "/2", "/3", "/4"], "each kept its turn");
}

#[test]
fn a_limit_that_a_reload_brings_counts_what_is_under_way() {
    let held = Held::start("ok");
    let before = ONE_PLACE.replace("max_requests = 1", "");
    let mut daemon = Setup::of(&before).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    daemon.rewrite(ONE_PLACE);
    daemon.reload();
    let mut second = wait_behind(&daemon, "/", 1);
    held.let_go(1);
    held.wait_for_requests(2);
    held.let_go(1);
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
}

#[test]
fn who_waits_is_served_before_the_process_ends() {
    let held = Held::start("ok");
    let mut daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut second = wait_behind(&daemon, "/", 1);
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("draining");
    held.let_go(2);
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn status_tells_the_limit_and_who_waits() {
    let held = Held::start("ok");
    let daemon = Setup::of(ONE_PLACE).with("origin", held.address()).start();
    let mut first = Client::connect(daemon.address("web"));
    first.send(request("/"));
    held.wait_for_requests(1);
    let mut second = wait_behind(&daemon, "/", 1);
    let words = daemon.command(&["status"]).words();
    assert!(words.contains("1 request waiting for a backend"), "{words}");
    assert!(words.contains("1 of 1"), "{words}");
    held.let_go(2);
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
}

#[test]
fn who_waits_for_one_backend_keeps_nobody_from_the_others() {
    let held = Held::start("held");
    let free = [Origin::answering("b"), Origin::answering("c")];
    let config = ONE_PLACE.replace("workers = 2", "workers = 1");
    let config = config.replace("[\"$origin\"]", "[\"$a\", \"$b\", \"$c\"]");
    let config =
        config.replace("queue =", "sticky = { cookie = \"srv\", secret_file = \"key\" }\nqueue =");
    let setup = Setup::of(&config).with("a", held.address());
    std::fs::write(setup.dir().join("key"), "00".repeat(32)).unwrap();
    let setup = setup.with("b", free[0].address()).with("c", free[1].address());
    let daemon = setup.start();
    held.let_go(1);
    let mut kept = Client::connect(daemon.address("web"));
    let cookie = std::iter::repeat_with(|| kept.get("/"))
        .find(|answer| answer.text() == "held")
        .and_then(|answer| answer.field("set-cookie").map(str::to_owned))
        .expect("it is told to stay");
    let cookie = cookie.split(';').next().unwrap_or_default();
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    kept.send(&again);
    held.wait_for_requests(2);
    let mut waits = Client::connect(daemon.address("web"));
    waits.send(&again);
    wait_for_length(&daemon, 1);
    let mut client = Client::connect(daemon.address("web"));
    let bodies: Vec<String> = (0..8).map(|_| client.get("/").text()).collect();
    let share = |body: &str| bodies.iter().filter(|it| *it == body).count();
    assert_eq!((share("b"), share("c")), (4, 4), "in turn, as ever: {bodies:?}");
    held.let_go(2);
    assert_eq!((kept.answer().text(), waits.answer().text()), ("held".into(), "held".into()));
}
