//! What one client may take, and how long it may take for it.

use std::time::Duration;

use crate::harness::{Broken, Client, DEADLINE, Origin, Setup, request, wait_until};

const ERRORS: &str = "equipoise_http_errors_total";

/// A listener with these keys before a backend.
fn config(listener: &str) -> String {
    format!(
        r#"
        [listener.web]
        bind = ["$web"]
        {listener}
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        passive = {{ fall = 0 }}
        "#
    )
}

fn setup(listener: &str, origin: &Origin) -> Setup {
    Setup::of(&config(listener)).with("origin", origin.address())
}

#[test]
fn the_last_request_of_a_connection_is_told() {
    let origin = Origin::answering("ok");
    let daemon = setup("limits = { max_requests = 3 }", &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    assert!(!client.get("/1").closes());
    assert!(!client.get("/2").closes());
    assert!(client.get("/3").closes());
    assert!(client.sees_close());
}

#[test]
fn a_source_has_its_share_of_connections() {
    let origin = Origin::answering("ok");
    let daemon = setup("max_connections_per_source = 2", &origin).start();
    let mut first = Client::connect(daemon.address("web"));
    let mut second = Client::connect(daemon.address("web"));
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    let mut third = Client::connect(daemon.address("web"));
    assert!(third.sees_close());
    drop(first);
    wait_until(DEADLINE, "the place to be free again", || {
        let mut client = Client::connect(daemon.address("web"));
        client.try_send(request("/")).is_ok() && client.try_answer().is_ok()
    });
    let refused = "equipoise_listener_connections_refused_total";
    assert!(daemon.metric(refused, &[("listener", "web")]) >= 1.0);
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let origin = Origin::answering("ok");
    let daemon = setup("max_connections = 1", &origin).start();
    let mut first = Client::connect(daemon.address("web"));
    assert_eq!(first.get("/").status, 200);
    let mut second = Client::connect(daemon.address("web"));
    second.send(request("/"));
    second.set_patience(Duration::from_millis(300));
    assert_eq!(second.try_answer(), Err(Broken::TimedOut), "it waits");
    drop(first);
    second.set_patience(DEADLINE);
    assert_eq!(second.answer().status, 200);
}

#[test]
fn a_head_that_does_not_come_whole_is_408() {
    let origin = Origin::answering("ok");
    let daemon = setup("timeouts = { header = \"300ms\" }", &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: www.exam");
    let answer = client.answer();
    assert!(answer.text().contains("header-timeout"), "{answer:?}");
    assert_eq!(answer.status, 408);
    assert!(client.sees_close());
    assert_eq!(daemon.metric(ERRORS, &[("reason", "header-timeout")]), 1.0);
}

#[test]
fn a_head_in_drips_gains_no_time() {
    let origin = Origin::answering("ok");
    let daemon = setup("timeouts = { header = \"500ms\" }", &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    // One byte for each time that nothing was answered: far more bytes than fit into the timeout.
    client.set_patience(Duration::from_millis(20));
    client.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Drip: ");
    let mut answer = client.try_answer();
    for _ in 0..2_000 {
        if answer != Err(Broken::TimedOut) || client.try_send("a").is_err() {
            break;
        }
        answer = client.try_answer();
    }
    assert_eq!(answer.map(|answer| answer.status), Ok(408));
    assert_eq!(origin.received_bytes(), 0);
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let origin = Origin::answering("ok");
    let timeouts = "timeouts = { header = \"300ms\", keep_alive = \"300ms\" }";
    let daemon = setup(timeouts, &origin).start();
    let mut idle = Client::connect(daemon.address("web"));
    assert_eq!(idle.rest(), Ok(Vec::new()));
    let mut used = Client::connect(daemon.address("web"));
    assert_eq!(used.get("/").status, 200);
    assert_eq!(used.rest(), Ok(Vec::new()));
    assert_eq!(daemon.metric(ERRORS, &[]), 0.0);
}

#[test]
fn a_body_that_stands_still_is_408() {
    let origin = Origin::answering("ok");
    let daemon = setup("timeouts = { body_idle = \"300ms\" }", &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'a'; 50_000]);
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert!(answer.text().contains("body-timeout"), "{answer:?}");
    assert!(client.sees_close());
    wait_until(DEADLINE, "the backend's connection to close", || origin.open_connections() == 0);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
            while peer.try_write(chunk.as_bytes()) {}
        }
    });
    let daemon = setup("timeouts = { body_idle = \"500ms\" }", &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    let stalled = [("reason", "client-stalled")];
    wait_until(DEADLINE, "the client to be given up", || daemon.metric(ERRORS, &stalled) == 1.0);
    wait_until(DEADLINE, "the backend's connection to close", || origin.open_connections() == 0);
}

#[test]
fn an_answer_until_close_that_is_given_up_has_no_clean_end() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\n\r\n");
            while peer.try_write(&[b'a'; 0x10000]) {}
        }
    });
    let daemon = setup("timeouts = { body_idle = \"500ms\" }", &origin).start();
    let mut client = Client::connect_with_small_buffer(daemon.address("web"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    let stalled = [("reason", "client-stalled")];
    wait_until(DEADLINE, "the client to be given up", || daemon.metric(ERRORS, &stalled) == 1.0);
    assert_eq!(client.rest().err(), Some(Broken::Reset));
}

#[test]
fn an_empty_line_behind_a_body_is_no_request() {
    let origin = Origin::answering("ok");
    let timeouts = "timeouts = { header = \"300ms\", keep_alive = \"300ms\" }";
    let daemon = setup(timeouts, &origin).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\n");
    assert_eq!(client.answer().text(), "ok");
    client.send("\r\n");
    assert_eq!(client.rest(), Ok(Vec::new()), "it is idle, and ends without a word");
    assert_eq!(daemon.metric(ERRORS, &[]), 0.0);
}
