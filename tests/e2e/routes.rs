//! Which requests go where.

mod bounds;
mod compression;
mod error_pages;
mod header_rules;
mod matches;
mod mirrors;
mod redirects;
mod rewrites;
mod splits;

use crate::harness::{Client, Origin, Setup, get};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [listener.other]
    bind = ["$other"]
    [[route]]
    listener = "web"
    host = "www.example.com"
    respond = { status = 200, body = "host" }
    [[route]]
    listener = "web"
    host = "*.example.com"
    respond = { status = 200, body = "wildcard" }
    [[route]]
    listener = "web"
    host = "www.example.com"
    path = "/api"
    respond = { status = 200, body = "prefix" }
    [[route]]
    listener = "web"
    host = "www.example.com"
    path = "/api/deep"
    respond = { status = 200, body = "longer" }
    [[route]]
    listener = "web"
    host = "www.example.com"
    exact = "/api"
    respond = { status = 418, body = "exact", content_type = "text/x-tea" }
    [[route]]
    listener = "web"
    host = "old.example.com"
    redirect = { to = "https://new.example.com/", status = 308 }
    [[route]]
    listener = "other"
    pool = "app"
    [pool.app]
    backends = ["$origin"]
"#;

#[test]
fn the_longest_match_wins() {
    let origin = Origin::answering("pool");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for (host, path, expected) in [
        ("www.example.com", "/", "host"),
        ("WWW.Example.com:8080", "/", "host"),
        ("www.example.com.", "/", "host"),
        ("a.example.com", "/", "wildcard"),
        ("a.b.example.com", "/api", "wildcard"),
        ("www.example.com", "/api/", "prefix"),
        ("www.example.com", "/api/x?y", "prefix"),
        ("www.example.com", "/apis", "host"),
        ("www.example.com", "/api", "exact"),
        ("www.example.com", "/api?x", "exact"),
        ("www.example.com", "/api/deep/x", "longer"),
        ("www.example.com", "/api/deeper", "prefix"),
        ("www.example.com", "/x/../api/deep", "longer"),
        ("www.example.com", "/%61pi/x", "prefix"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().text(), expected, "{host}{path}");
    }
    assert_eq!(get(daemon.address("other"), "/api").text(), "pool");
}

#[test]
fn a_fixed_answer_and_a_redirect_are_what_was_written() {
    let origin = Origin::answering("pool");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    let tea = client.get("/api");
    assert_eq!((tea.status, tea.field("Content-Type")), (418, Some("text/x-tea")));
    client.send("HEAD /api HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").field("Content-Length"), Some("5"));
    client.send("GET /a HTTP/1.1\r\nHost: old.example.com\r\n\r\n");
    let moved = client.answer();
    assert_eq!((moved.status, moved.field("Location")), (308, Some("https://new.example.com/")));
    client.send("POST /api HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello");
    let early = client.answer();
    assert_eq!(early.status, 418);
    if early.closes() {
        // It may not want to read a body that nobody takes.
        assert!(client.sees_close());
    } else {
        assert_eq!(client.get("/").text(), "host");
    }
}

#[test]
fn no_route_is_404_with_a_reason() {
    let origin = Origin::answering("pool");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for host in ["example.com", "www.example.org", "127.0.0.1"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, 404, "{host}");
    }
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "no-route")], 3.0);
}
