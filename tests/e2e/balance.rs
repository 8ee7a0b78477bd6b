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
