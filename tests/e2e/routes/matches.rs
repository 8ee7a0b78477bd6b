//! What routes look at besides host and path.

use std::process::Command;

use crate::harness::{Client, Setup, run};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    respond = { status = 200, body = "all" }
    [[route]]
    name = "canary"
    headers = { X-Canary = "1" }
    respond = { status = 200, body = "header" }
    [[route]]
    methods = ["PUT", "DELETE"]
    headers = { X-Canary = "1" }
    respond = { status = 200, body = "method and header" }
    [[route]]
    cookies = { beta = true }
    headers = { X-Canary = false }
    query = { "see me" = "yes no" }
    respond = { status = 200, body = "cookie and query" }
    [[route]]
    path = "/api"
    methods = ["GET", "HEAD"]
    respond = { status = 200, body = "read" }
    [[route]]
    path = "/api"
    methods = ["POST"]
    respond = { status = 200, body = "write" }
    [[route]]
    path = "/debug"
    query = { debug = "1" }
    respond = { status = 200, body = "debug" }
    [[route]]
    host = "only.example.com"
    headers = { X-Key = true }
    respond = { status = 200, body = "key" }
"#;

#[test]
fn the_route_with_the_most_conditions_that_hold_wins() {
    let daemon = Setup::of(CONFIG).start();
    let mut client = Client::connect(daemon.address("web"));
    for (line, fields, expected) in [
        ("GET /", "", "all"),
        ("GET /", "x-canary: 1", "header"),
        ("GET /", "X-Canary: 2", "all"),
        ("PUT /", "X-Canary: 1", "method and header"),
        ("PUT /", "", "all"),
        ("GET /?see+me=yes%20no", "Cookie: a=b; beta=", "cookie and query"),
        ("GET /?see+me=yes%20no", "Cookie: a=b; beta=\r\nX-Canary: 1", "header"),
        ("GET /?see+me=yes", "Cookie: a=b; beta=", "all"),
        ("GET /?see+me=yes%20no", "Cookie: a=b", "all"),
        ("GET /api/x", "", "read"),
        ("POST /api", "", "write"),
        ("PUT /api", "", "all"),
        ("PUT /api", "X-Canary: 1", "method and header"),
        ("GET /debug?debug=1", "", "debug"),
        ("GET /debug?debug=1&debug=1", "", "debug"),
        ("GET /debug?debug=2&debug=3", "", "all"),
        ("GET /debug", "", "all"),
    ] {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        client.send(format!("{line} HTTP/1.1\r\nHost: www.example.com\r\n{fields}\r\n"));
        assert_eq!(client.answer().text(), expected, "{line} {fields}");
    }
    client.send("GET / HTTP/1.1\r\nHost: only.example.com\r\nX-Key:\r\n\r\n");
    assert_eq!(client.answer().text(), "key");
    client.send("GET / HTTP/1.1\r\nHost: only.example.com\r\n\r\n");
    assert_eq!(client.answer().text(), "all", "the next less specific host");
    let requests = "equipoise_http_requests_total";
    daemon.wait_for_metric(requests, &[("route", "canary")], 2.0);
    daemon.wait_for_metric(requests, &[("route", "*/api GET|HEAD")], 1.0);
    daemon.wait_for_metric(requests, &[("route", "only.example.com/ header:x-key")], 1.0);
}

/// A deny rule that a second line could slip by, or a canary that one could get into: the backend
/// might act on either of two values.
#[test]
fn two_values_of_a_key_that_a_route_compares_are_refused() {
    let daemon = Setup::of(CONFIG).start();
    for (target, fields) in [
        ("/", "X-Canary: 0\r\nX-Canary: 1\r\n"),
        ("/", "X-Canary: 1\r\nx-canary: 0\r\n"),
        ("/debug?debug=0&debug=1", ""),
    ] {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{target} {fields}");
        assert!(answer.text().contains("ambiguous-match"), "{}", answer.text());
    }
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "ambiguous-match")], 3.0);
}

#[test]
fn a_reload_says_that_conditions_changed_but_not_to_what() {
    let mut daemon = Setup::of(CONFIG).start();
    daemon.rewrite(
        &CONFIG.replace("X-Canary = \"1\" }\n    respond", "X-Canary = \"s3cret\" }\n    respond"),
    );
    let output = daemon.command(&["reload"]);
    assert_eq!(output.code, 0, "{}", output.words());
    assert!(
        output.words().contains("route canary: headers to match changed"),
        "{}",
        output.words()
    );
    assert!(!output.words().contains("s3cret"), "{}", output.words());
}

#[test]
fn conditions_by_curl() {
    let daemon = Setup::of(CONFIG).start();
    let url = format!("http://{}/", daemon.address("web"));
    for (arguments, expected) in [
        (&["-H", "X-Canary: 1"][..], "header"),
        (&["-H", "X-Canary: 1", "-X", "DELETE"], "method and header"),
        (&["-b", "beta=1", "-G", "--data-urlencode", "see+me=yes no"], "cookie and query"),
    ] {
        let output = run(Command::new("curl").args(["-sS", &url]).args(arguments));
        assert_eq!(output.stdout, expected, "{}", output.words());
    }
}
