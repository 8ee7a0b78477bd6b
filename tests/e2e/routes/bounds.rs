//! Limits and timeouts of a route that are not its listener's or its pool's.

use crate::harness::{Client, Origin, Setup};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    limits = { max_body = "10B" }
    [[route]]
    pool = "app"
    [[route]]
    path = "/upload"
    pool = "app"
    limits = { max_body = "100KiB" }
    [[route]]
    path = "/small"
    pool = "app"
    limits = { max_body = "5B" }
    [[route]]
    path = "/fixed"
    respond = { status = 200, body = "fixed" }
    [[route]]
    path = "/slow"
    pool = "app"
    timeouts = { first_byte = "100ms" }
    [[route]]
    path = "/stalls"
    pool = "app"
    timeouts = { idle = "100ms" }
    [[route]]
    path = "/whole"
    pool = "app"
    timeouts = { whole = "100ms" }
    [[route]]
    path = "/patient"
    pool = "hasty"
    timeouts = { first_byte = "1h", idle = "1h", whole = "1h" }
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
    retry = { attempts = 1 }
    timeouts = { first_byte = "1h", idle = "1h" }
    [pool.hasty]
    backends = ["$origin"]
    passive = { fall = 0 }
    timeouts = { first_byte = "1ms", idle = "1ms", whole = "1ms" }
"#;

/// The status that a body of so many bytes is answered, by length or in chunks.
fn sent(daemon: &crate::harness::Daemon, path: &str, length: usize, chunked: bool) -> u16 {
    let mut client = Client::connect(daemon.address("web"));
    let body = "x".repeat(length);
    let (framing, body) = match chunked {
        true => {
            ("Transfer-Encoding: chunked".to_owned(), format!("{length:x}\r\n{body}\r\n0\r\n\r\n"))
        }
        false => (format!("Content-Length: {length}"), body),
    };
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    // A body that is too large may be refused while it is on its way.
    let _ = client.try_send(head + &body);
    client.answer().status
}

#[test]
fn a_route_has_a_body_limit_of_its_own() {
    let origin = Origin::answering("app");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    for (path, length, status) in [
        ("/", 10, 200),
        ("/", 11, 413),
        ("/upload", 11, 200),
        ("/upload", 100 << 10, 200),
        ("/upload", (100 << 10) + 1, 413),
        ("/small", 5, 200),
        ("/small", 6, 413),
    ] {
        for chunked in [false, true] {
            assert_eq!(sent(&daemon, path, length, chunked), status, "{path} {length} {chunked}");
        }
    }
    assert_eq!(sent(&daemon, "/fixed", 11, false), 413, "the listener's holds for the rest");
    assert_eq!(sent(&daemon, "/fixed", 10, false), 200);
}

#[test]
fn a_route_has_timeouts_of_its_own() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target.as_str() {
                "/slow" | "/whole" => peer.hang(),
                "/stalls" => {
                    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
                    peer.hang();
                }
                _ => {
                    // Far longer than the pool would wait.
                    peer.pause(std::time::Duration::from_millis(300));
                    peer.answer(200, "late");
                }
            }
        }
    });
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let ask = |path: &str| {
        let mut client = Client::connect(daemon.address("web"));
        client.get(path)
    };
    let slow = ask("/slow");
    assert_eq!((slow.status, slow.text().contains("first-byte-timeout")), (504, true));
    let whole = ask("/whole");
    assert_eq!((whole.status, whole.text().contains("request-timeout")), (504, true));
    assert_ne!(ask("/stalls").end, crate::harness::End::Clean);
    let reason = [("reason", "response-idle-timeout")];
    daemon.wait_for_metric("equipoise_http_errors_total", &reason, 1.0);
    assert_eq!(ask("/patient").text(), "late");
}
