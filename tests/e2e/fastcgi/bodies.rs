//! Bodies that are read whole before a script runs, and the memory that they may take.

use super::before_any;
use crate::harness::{
    Client, DEADLINE, Daemon, Origin,
    fastcgi::{Asked, answer},
    wait_until,
};

/// A server that answers with how much it was sent.
fn counting() -> Origin {
    Origin::start(|peer| {
        while let Some(asked) = Asked::read(peer) {
            let told = asked.param("CONTENT_LENGTH").unwrap_or_default().to_owned();
            peer.write(answer(format!("\n{told} {}", asked.body.len())));
        }
    })
}

fn chunked(length: usize) -> String {
    let head = "POST /a.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
}

fn told(length: usize) -> String {
    let head = "POST /a.php HTTP/1.1\r\nHost: a\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

fn ask(daemon: &Daemon, request: &str) -> (u16, String) {
    let mut client = Client::connect(daemon.address("web"));
    client.send(request);
    let answer = client.answer();
    (answer.status, answer.text())
}

#[test]
fn bodies_of_all_requests_have_one_bound() {
    let origin = counting();
    let daemon = before_any(&origin, "", "buffers = \"64KiB\"");
    for _ in 0..20 {
        for request in [chunked(20_000), told(20_000)] {
            assert_eq!(ask(&daemon, &request), (200, "20000 20000".to_owned()));
        }
    }
    // Each counts twice.
    for request in [chunked(40_000), told(40_000)] {
        let (status, text) = ask(&daemon, &request);
        assert!(status == 503 && text.contains("buffers-full"), "{status} {text}");
    }
    // One that is half there keeps its share for as long as it is.
    let mut half = Client::connect(daemon.address("web"));
    half.send(&told(20_000)[..20_000]);
    wait_until(DEADLINE, "the other to be held", || ask(&daemon, &told(20_000)).0 == 503);
    drop(half);
    wait_until(DEADLINE, "its share to be free", || ask(&daemon, &told(20_000)).0 == 200);
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "buffers-full")], 3.0);
}

#[test]
fn an_upload_that_breaks_off_is_told_to_no_script() {
    let origin = counting();
    let daemon = before_any(&origin, ", buffer = \"300KiB\"", "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(&told(200_000)[..150_000]);
    client.half_close();
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "client-gone")], 1.0);
    assert_eq!(origin.connections(), 0);
    assert_eq!(ask(&daemon, &told(200_000)), (200, "200000 200000".to_owned()));
    assert_eq!(ask(&daemon, &told(400_000)), (200, "400000 400000".to_owned()));
    assert_eq!(ask(&daemon, &chunked(400_000)).0, 411);
}
