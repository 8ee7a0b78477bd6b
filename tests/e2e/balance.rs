//! Who of a pool answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::harness::{Client, DEADLINE, Daemon, Origin, Setup, get, request, wait_until};

/// The bodies that so many requests on one connection are answered with.
fn picks(daemon: &Daemon, count: usize) -> Vec<String> {
    let mut client = Client::connect(daemon.address("web"));
    (0..count).map(|_| client.get("/").text()).collect()
}

fn share(picks: &[String], body: &str) -> usize {
    picks.iter().filter(|pick| *pick == body).count()
}

#[test]
fn round_robin_gives_each_its_turn() {
    let origins = ["a", "b", "c"].map(Origin::answering);
    let daemon = Setup::of(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$a", "$b", "$c"]
        "#,
    )
    .with("a", origins[0].address())
    .with("b", origins[1].address())
    .with("c", origins[2].address())
    .start();
    let picks = picks(&daemon, 30);
    for turn in picks.chunks(3) {
        for body in ["a", "b", "c"] {
            assert_eq!(share(turn, body), 1, "{picks:?}");
        }
    }
}

#[test]
fn weights_are_exact_and_spread() {
    let origins = ["heavy", "b", "c"].map(Origin::answering);
    let daemon = Setup::of(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = [{ address = "$a", weight = 5 }, "$b", "$c"]
        "#,
    )
    .with("a", origins[0].address())
    .with("b", origins[1].address())
    .with("c", origins[2].address())
    .start();
    let picks = picks(&daemon, 70);
    for seven in picks.chunks(7) {
        assert_eq!((share(seven, "heavy"), share(seven, "b"), share(seven, "c")), (5, 1, 1));
    }
    let longest_run = picks.split(|pick| pick != "heavy").map(<[String]>::len).max();
    assert!(longest_run < Some(5), "not five in a row: {picks:?}");
    assert!(!picks.windows(2).any(|pair| pair[0] != "heavy" && pair[1] != "heavy"), "{picks:?}");
}

#[test]
fn least_connections_avoids_the_busy_one() {
    avoids_the_busy_one("least-connections");
}

#[test]
fn random_two_choices_avoids_the_busy_one() {
    avoids_the_busy_one("random-two-choices");
}

#[track_caller]
fn avoids_the_busy_one(balance: &str) {
    let release = Arc::new(AtomicBool::new(false));
    let origins = ["a", "b"].map(|body| {
        let gate = Arc::clone(&release);
        Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                if request.target == "/hold" {
                    wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
                }
                peer.answer(200, body);
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
        balance = "$balance"
        backends = ["$a", "$b"]
        "#,
    )
    .with("balance", balance)
    .with("a", origins[0].address())
    .with("b", origins[1].address())
    .start();
    let mut held = Client::connect(daemon.address("web"));
    held.send(request("/hold"));
    wait_until(DEADLINE, "one to be busy", || {
        origins.iter().map(Origin::requests).sum::<usize>() == 1
    });
    let (busy, free) = if origins[0].requests() == 1 { ("a", "b") } else { ("b", "a") };
    // Connections of their own, so that both workers see some.
    for _ in 0..20 {
        assert_eq!(get(daemon.address("web"), "/").text(), free);
        // The answer reaches us before the worker has counted it as done.
        wait_until(DEADLINE, "only the held one to be in flight", || {
            daemon.metric("equipoise_backend_in_flight", &[]) == 1.0
        });
    }
    release.store(true, Ordering::SeqCst);
    assert_eq!(held.answer().text(), busy);
}

#[test]
fn random_two_choices_honours_weights_when_nothing_is_busy() {
    let origins = ["heavy", "light"].map(Origin::answering);
    let daemon = Setup::of(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        balance = "random-two-choices"
        backends = [{ address = "$a", weight = 3 }, "$b"]
        "#,
    )
    .with("a", origins[0].address())
    .with("b", origins[1].address())
    .start();
    let picks = picks(&daemon, 400);
    let light = share(&picks, "light");
    // Seven standard deviations around a hundred.
    assert!((40..160).contains(&light), "{light} of 400");
}

/// Two backends that are never held to be down.
const LEAST_TIME: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    balance = "least-time"
    backends = ["$a", "$b"]
    passive = { fall = 0 }
    retry = { attempts = 1 }
"#;

#[test]
fn least_time_leaves_the_slow_one_alone_once_it_knows_it() {
    let slow = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.pause(Duration::from_secs(2));
            peer.answer(200, "slow");
        }
    });
    let fast = Origin::answering("fast");
    let setup = Setup::of(LEAST_TIME).with("a", slow.address()).with("b", fast.address());
    let daemon = setup.start();
    let mut client = Client::connect(daemon.address("web"));
    wait_until(DEADLINE, "both to have answered", || {
        client.get("/");
        slow.requests() > 0 && fast.requests() > 0
    });
    let picks = picks(&daemon, 50);
    assert_eq!(share(&picks, "fast"), 50, "{picks:?}");
}

#[test]
fn least_time_does_not_take_fast_failures_for_speed() {
    let failing = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.answer(500, "failed");
        }
    });
    let working = Origin::answering("ok");
    let setup = Setup::of(LEAST_TIME).with("a", failing.address()).with("b", working.address());
    let daemon = setup.start();
    let picks = picks(&daemon, 100);
    assert!(share(&picks, "failed") <= 1, "{picks:?}");
}

/// Three backends, and a pool's `hash`.
const HASHED: &str = r#"
    workers = 2
    [listener.web]
    bind = ["$web"]
    trusted_proxies = ["127.0.0.1"]
    [[route]]
    pool = "app"
    [pool.app]
    balance = "consistent-hash"
    hash = $hash
    backends = ["$a", "$b", "$c"]
    health = { type = "tcp", interval = "100ms", rise = 1, fall = 1 }
"#;

fn hashed(hash: &str, origins: &[Origin; 3]) -> Daemon {
    Setup::of(HASHED)
        .with("hash", hash)
        .with("a", origins[0].address())
        .with("b", origins[1].address())
        .with("c", origins[2].address())
        .start()
}

/// Who answers requests that differ by their number alone, each on a connection of its own.
fn places(daemon: &Daemon, request: impl Fn(usize) -> String) -> Vec<String> {
    let place = |number| {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request(number));
        client.answer().text()
    };
    (0..60).map(place).collect()
}

#[test]
fn a_path_has_a_backend_of_its_own_and_moves_only_with_it() {
    let origins = ["a", "b", "c"].map(Origin::answering);
    let daemon = hashed("{ by = \"path\" }", &origins);
    let ask = |number| request(&format!("/item/{number}?{}", fastrand::u32(..)));
    let before = places(&daemon, ask);
    for body in ["a", "b", "c"] {
        // Five standard deviations around twenty.
        assert!((2..40).contains(&share(&before, body)), "{before:?}");
    }
    assert_eq!(places(&daemon, ask), before);

    origins[1].stop();
    daemon.wait_for_metric("equipoise_backend_up", &[], 2.0);
    let without = places(&daemon, ask);
    for (before, without) in before.iter().zip(&without) {
        assert!(before == without || before == "b", "{before} moved to {without}");
    }
    assert_eq!(share(&without, "b"), 0);

    origins[1].restart();
    daemon.wait_for_metric("equipoise_backend_up", &[], 3.0);
    assert_eq!(places(&daemon, ask), before);
    let keyed = daemon.metric("equipoise_pool_picks_total", &[("by", "key")]);
    assert_eq!(keyed, 240.0);
}

#[test]
fn keys_lead_the_same_way_after_a_restart() {
    let origins = ["a", "b", "c"].map(Origin::answering);
    let ask = |number| request(&format!("/item/{number}"));
    let first = places(&hashed("{ by = \"path\" }", &origins), ask);
    assert_eq!(places(&hashed("{ by = \"path\" }", &origins), ask), first);
}

#[test]
fn a_header_or_a_cookie_leads_to_a_backend_and_without_one_it_is_turns() {
    for (hash, line) in
        [("{ header = \"X-User\" }", "X-User: "), ("{ cookie = \"u\" }", "Cookie: u=")]
    {
        let origins = ["a", "b", "c"].map(Origin::answering);
        let daemon = hashed(hash, &origins);
        let ask = |number| {
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n{line}{number}\r\n\r\n", fastrand::u8(..))
        };
        let first = places(&daemon, ask);
        assert!(["a", "b", "c"].iter().all(|body| share(&first, body) >= 2), "{first:?}");
        assert_eq!(places(&daemon, ask), first, "{hash}");
        let mut client = Client::connect(daemon.address("web"));
        let turns: Vec<String> = (0..9).map(|_| client.get("/").text()).collect();
        assert!(["a", "b", "c"].iter().all(|body| share(&turns, body) == 3), "{turns:?}");
        daemon.wait_for_metric("equipoise_pool_picks_total", &[("by", "no-key")], 9.0);
    }
}

#[test]
fn a_client_has_a_backend_behind_a_proxy_too() {
    let origins = ["a", "b", "c"].map(Origin::answering);
    let daemon = hashed("{}", &origins);
    let plain = places(&daemon, |_| request("/"));
    assert_eq!(share(&plain, &plain[0]), plain.len(), "all come from one address");
    let ask =
        |number| format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.{number}\r\n\r\n");
    let first = places(&daemon, ask);
    assert!(["a", "b", "c"].iter().all(|body| share(&first, body) >= 2), "{first:?}");
    assert_eq!(places(&daemon, ask), first);
}

/// Three that answer when they are let go.
fn held_back() -> ([Origin; 3], Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let origins = ["a", "b", "c"].map(|body| {
        let gate = Arc::clone(&release);
        Origin::start(move |peer| {
            while peer.request().is_some() {
                wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
                peer.answer(200, body);
            }
        })
    });
    (origins, release)
}

/// One more request of the same key, which is under way as the `number`th.
fn ask_one(daemon: &Daemon, origins: &[Origin; 3], number: usize) -> Client {
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/the/one"));
    wait_until(DEADLINE, "it to be under way", || {
        origins.iter().map(Origin::requests).sum::<usize>() == number
    });
    client
}

#[test]
fn a_key_whose_backend_is_full_overflows() {
    let (origins, release) = held_back();
    let daemon = hashed("{ by = \"path\" }\nmax_requests = 2", &origins);
    let mut held: Vec<Client> = (1..=6).map(|number| ask_one(&daemon, &origins, number)).collect();
    assert_eq!(origins.each_ref().map(Origin::requests), [2, 2, 2]);
    assert_eq!(daemon.metric("equipoise_pool_picks_total", &[("by", "key")]), 2.0);
    assert_eq!(daemon.metric("equipoise_pool_picks_total", &[("by", "overflow")]), 4.0);
    release.store(true, Ordering::SeqCst);
    assert!(held.iter_mut().all(|client| client.answer().status == 200));
}

#[test]
fn a_key_that_everybody_wants_overflows_within_its_bound() {
    let (origins, release) = held_back();
    let daemon = hashed("{ by = \"path\", bound = 1.25 }", &origins);
    let mut held: Vec<Client> = (1..=24).map(|number| ask_one(&daemon, &origins, number)).collect();
    // A quarter more than eight.
    let most = origins.iter().map(Origin::requests).max();
    assert_eq!(most, Some(10));
    assert_eq!(daemon.metric("equipoise_pool_picks_total", &[("by", "key")]), 10.0);
    assert_eq!(daemon.metric("equipoise_pool_picks_total", &[("by", "overflow")]), 14.0);
    release.store(true, Ordering::SeqCst);
    assert!(held.iter_mut().all(|client| client.answer().status == 200));
}

#[test]
fn a_backup_answers_only_while_the_others_are_down() {
    let main = Origin::answering("main");
    let backup = Origin::answering("backup");
    let daemon = Setup::of(
        r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$main", { address = "$backup", backup = true }]
        health = { interval = "1s", type = "tcp", rise = 1, fall = 2 }
        "#,
    )
    .with("main", main.address())
    .with("backup", backup.address())
    .start();
    let web = daemon.address("web");
    for _ in 0..10 {
        assert_eq!(get(web, "/").text(), "main");
    }
    main.stop();
    wait_until(DEADLINE, "the backup to take over", || get(web, "/").text() == "backup");
    for _ in 0..10 {
        assert_eq!(get(web, "/").text(), "backup");
    }
    main.restart();
    wait_until(DEADLINE, "the main one to be back", || get(web, "/").text() == "main");
}

/// A backend whose probes fail and which answers all the same.
const ALL_DOWN: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    health = { path = "/healthz", interval = "100ms" }
    when_all_down = "$all_down"
"#;

fn unhealthy() -> Origin {
    Origin::start(|peer| {
        while let Some(request) = peer.request() {
            let status = if request.target == "/healthz" { 500 } else { 200 };
            peer.answer(status, "served anyway");
        }
    })
}

#[test]
fn when_all_are_down_it_fails_fast() {
    let origin = unhealthy();
    let setup = Setup::of(ALL_DOWN).with("origin", origin.address());
    let daemon = setup.with("all_down", "fail").start();
    let answer = get(daemon.address("web"), "/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no-backend"), "{answer:?}");
}

#[test]
fn when_all_are_down_it_serves_anyway_if_told_so() {
    let origin = unhealthy();
    let setup = Setup::of(ALL_DOWN).with("origin", origin.address());
    let daemon = setup.with("all_down", "serve-anyway").start();
    let up = "equipoise_backend_up";
    assert_eq!(daemon.metric(up, &[("pool", "app")]), 0.0);
    assert_eq!(get(daemon.address("web"), "/").text(), "served anyway");
}
