//! Circuit breakers of backends that are relayed to: what fails is a connection that does not come
//! about.

use std::{io::Read, net::SocketAddr};

use super::{ENDED, assert_closed, config, connect, log_line_with, parrot, said};
use crate::harness::{DEADLINE, Daemon, Origin, Setup, wait_until};

/// Only the breaker judges: neither probes nor failures in a row do.
const BREAKER: &str = "passive = { fall = 0 }\nbreaker = { min_requests = 5, window = \"1m\", \
     open = \"300ms\", trials = 2, max_open = \"100%\" }";

fn holds(daemon: &Daemon, backend: SocketAddr, position: &str) -> bool {
    let backend = backend.to_string();
    let labels = [("pool", "app"), ("backend", backend.as_str()), ("position", position)];
    daemon.metric("equipoise_backend_breaker_position", &labels) == 1.0
}

/// A backend of this greeting.
fn greeter(greeting: &'static str) -> Origin {
    Origin::start(move |peer| {
        peer.write(greeting);
        peer.rest();
    })
}

fn greeted(daemon: &Daemon) -> String {
    String::from_utf8(said(daemon.address("relay"), b"")).expect("a greeting")
}

#[test]
fn who_can_not_be_reached_is_left_alone_and_comes_back_by_trials() {
    let (a, b) = (greeter("a"), greeter("b"));
    let text = config("", BREAKER).replace("[\"$origin\"]", "[\"$a\", \"$b\"]");
    let daemon = Setup::of(&text).with("a", a.address()).with("b", b.address()).start();
    a.stop();
    wait_until(DEADLINE, "it to open", || {
        assert_eq!(greeted(&daemon), "b", "the other is tried at once");
        holds(&daemon, a.address(), "open")
    });
    daemon.wait_for_log("breaker open: ");
    wait_until(DEADLINE, "a trial that fails", || {
        assert_eq!(greeted(&daemon), "b");
        daemon.log().iter().any(|line| line.contains("breaker open again: "))
    });
    a.restart();
    wait_until(DEADLINE, "it to close", || {
        greeted(&daemon);
        holds(&daemon, a.address(), "closed")
    });
    daemon.wait_for_log("breaker closed: 2 requests have passed");
    wait_until(DEADLINE, "both to be used", || greeted(&daemon) == "a");
    let of_a = a.address().to_string();
    let openings = "equipoise_backend_breaker_openings_total";
    assert!(daemon.metric(openings, &[("backend", &of_a)]) >= 2.0);
    assert!(daemon.metric("equipoise_backend_connect_failures_total", &[("backend", &of_a)]) > 2.0);
    assert_eq!(daemon.metric(ENDED, &[("ended", "connect-failed")]), 0.0);
    daemon.wait_for_metric(super::IN_FLIGHT, &[], 0.0);
}

#[test]
fn while_it_is_open_nobody_is_let_in_and_status_says_so() {
    let origin = parrot();
    let text = format!("{}\n{}", config("", &BREAKER.replace("300ms", "10m")), super::LOG);
    let daemon = Setup::of(&text).with("origin", origin.address()).start();
    origin.stop();
    wait_until(DEADLINE, "it to open", || {
        assert_closed(&mut connect(daemon.address("relay")));
        holds(&daemon, origin.address(), "open")
    });
    assert!(daemon.metric(ENDED, &[("ended", "connect-failed")]) >= 5.0);
    assert_eq!(log_line_with(&daemon, "connect-failed")["backend"], origin.address().to_string());
    let words = daemon.command(&["status"]).words();
    assert!(words.contains("up, breaker open"), "{words}");
    origin.restart();
    wait_until(DEADLINE, "both workers to follow", || {
        let mut stream = connect(daemon.address("relay"));
        let _ = stream.read(&mut [0]);
        daemon.metric(ENDED, &[("ended", "no-backend")]) >= 3.0
    });
    let line = log_line_with(&daemon, "no-backend");
    assert!(line.get("backend").is_none(), "{line}");
}

#[test]
fn trials_pass_when_they_are_connected_and_may_go_on_for_days() {
    let origin = parrot();
    let daemon = Setup::of(&config("", BREAKER)).with("origin", origin.address()).start();
    for _ in 0..2 {
        origin.stop();
        wait_until(DEADLINE, "it to open", || {
            assert_closed(&mut connect(daemon.address("relay")));
            holds(&daemon, origin.address(), "open")
        });
        origin.restart();
        let mut kept = Vec::new();
        wait_until(DEADLINE, "it to close", || {
            let mut stream = connect(daemon.address("relay"));
            if stream.read_exact(&mut [0; 6]).is_ok() {
                kept.push(stream);
            }
            holds(&daemon, origin.address(), "closed")
        });
        assert!(kept.len() >= 2, "the trials are connected still");
        assert_eq!(said(daemon.address("relay"), b"you"), b"hello you");
    }
    daemon.wait_for_metric(super::IN_FLIGHT, &[], 0.0);
}
