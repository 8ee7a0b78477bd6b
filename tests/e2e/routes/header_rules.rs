//! Headers that routes set, add and remove.

use std::process::Command;

use crate::harness::{Client, Origin, Setup, run};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    request_headers.set = { X-User-Tier = "free", X-Real-IP = "{client}", X-Original-Uri = "{scheme}://{host}{path}{query}" }
    request_headers.add = { Via = "1.1 here", X-Tag = ["a", "b {{}} {request_id}"] }
    request_headers.remove = ["Cookie", "x-internal-trace"]
    response_headers.set = { Server = "s", X-Frame-Options = "DENY", X-Request-Id = "{request_id}", Cache-Control = "public" }
    response_headers.add = { Set-Cookie = "seen=1; Path=/" }
    response_headers.remove = "X-Powered-By"
    [[route]]
    path = "/v1"
    pool = "app"
    replace_prefix = "/v2"
    request_headers.set = { X-Forwarded-Prefix = "/v1", X-Was = "{path}" }
    [[route]]
    path = "/moved"
    redirect = "/there"
    response_headers.set = { Location = "/nowhere", X-A = "{path}" }
    [[route]]
    path = "/fixed"
    respond = { status = 200, body = "{}", content_type = "application/json" }
    response_headers = { set = { Content-Type = "text/html", Access-Control-Allow-Origin = "*" } }
    [[route]]
    path = "/ill"
    pool = "ill"
    response_headers.set = { Content-Type = "text/html", Cache-Control = "public", X-A = "1" }
    [pool.app]
    backends = ["$origin"]
    [pool.ill]
    backends = ["$nobody"]
"#;

fn answering() -> Origin {
    Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 103 Early Hints\r\nX-Powered-By: hints\r\n\r\n\
                 HTTP/1.1 200 OK\r\nserver: origin\r\nX-Powered-By: php\r\nx-powered_by: php\r\n\
                 Set-Cookie: a=b\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    })
}

#[test]
fn what_a_backend_gets() {
    let origin = answering();
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /a?b HTTP/1.1\r\nHost: www.example.com:81\r\nx-user-tier: gold\r\nX_User_Tier: gold\r\n\
         X-User-Tier: gold\r\nX-Real-IP: 1.2.3.4\r\nX-Tag: mine\r\nCookie: a=b\r\nCookie: c=d\r\n\
         X-Internal-Trace: 1\r\nAccept: */*\r\n\r\n",
    );
    assert_eq!(client.answer_head().status, 103);
    assert_eq!(client.answer().status, 200);
    let seen = &origin.take_requests()[0];
    let id = seen.field("X-Request-Id").expect("an id").to_owned();
    for (name, expected) in [
        ("X-User-Tier", vec!["free"]),
        ("X_User_Tier", vec![]),
        ("X-Real-IP", vec!["127.0.0.1"]),
        ("X-Original-Uri", vec!["http://www.example.com/a?b"]),
        ("Via", vec!["1.1 here"]),
        ("X-Tag", vec!["mine", "a", &format!("b {{}} {id}")]),
        ("Cookie", vec![]),
        ("X-Internal-Trace", vec![]),
        ("Accept", vec!["*/*"]),
        ("Host", vec!["www.example.com:81"]),
    ] {
        assert_eq!(seen.all(name), expected, "{name}");
    }
    client.send("GET /v1/x%20y HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /evil\r\n\r\n");
    client.answer_head();
    client.answer();
    let seen = &origin.take_requests()[0];
    assert_eq!(seen.target, "/v2/x%20y");
    assert_eq!(
        (seen.field("X-Forwarded-Prefix"), seen.field("X-Was")),
        (Some("/v1"), Some("/v1/x%20y"))
    );
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn what_a_client_gets_of_a_backend() {
    let origin = answering();
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.answer_head();
    assert_eq!(hints.all("X-Powered-By"), ["hints"], "interim answers stay as they are");
    let answer = client.answer();
    let id = origin.take_requests()[0].field("X-Request-Id").expect("an id").to_owned();
    for (name, expected) in [
        ("Server", vec!["s"]),
        ("X-Powered-By", vec![]),
        ("X-Powered_By", vec![]),
        ("X-Frame-Options", vec!["DENY"]),
        ("Set-Cookie", vec!["a=b", "seen=1; Path=/"]),
        ("X-Request-Id", vec![&*id]),
        ("X-Kept", vec!["1"]),
    ] {
        assert_eq!(answer.all(name), expected, "{name}");
    }
}

/// Redirects, fixed answers and errors get them too, but keep what makes them what they are.
#[test]
fn what_a_client_gets_of_us() {
    let origin = answering();
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    let moved = client.get("/moved/x");
    assert_eq!((moved.field("Location"), moved.field("X-A")), (Some("/there"), Some("/moved/x")));
    let fixed = client.get("/fixed");
    assert_eq!(fixed.field("Content-Type"), Some("application/json"));
    assert_eq!(fixed.field("Access-Control-Allow-Origin"), Some("*"));
    let error = client.get("/ill");
    assert_eq!((error.status, error.field("X-A")), (502, Some("1")));
    assert_eq!(error.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(error.field("Cache-Control"), Some("no-store"));
}

#[test]
fn a_value_can_not_end_its_line() {
    let origin = answering();
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET /v1/%0d%0aX-Evil:%201?%0aX-Evil: 2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 400, "a space is no part of a target");
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET /v1/%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.answer_head();
    assert_eq!(client.answer().status, 200);
    let seen = &origin.take_requests()[0];
    assert_eq!(seen.field("X-Was"), Some("/v1/%0d%0aX-Evil:%201"));
    assert_eq!(seen.field("X-Evil"), None);
}

#[test]
fn header_rules_over_http2_by_curl() {
    let origin = Origin::answering("ok");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let url = format!("http://{}/?q", daemon.address("web"));
    let arguments = ["-sS", "-D", "-", "--http2-prior-knowledge", "-H", "X-User-Tier: gold", &url];
    let output = run(Command::new("curl").args(arguments));
    assert!(output.stdout.starts_with("HTTP/2 200"), "{}", output.words());
    assert!(output.stdout.contains("x-frame-options: DENY\r\n"), "{}", output.words());
    let seen = &origin.take_requests()[0];
    assert_eq!(seen.all("X-User-Tier"), ["free"]);
    let uri = format!("http://{}/?q", daemon.address("web").ip());
    assert_eq!(seen.field("X-Original-Uri"), Some(&*uri));
}

#[test]
fn header_rules_by_curl() {
    let origin = Origin::answering("ok");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let url = format!("http://{}/", daemon.address("web"));
    let output =
        run(Command::new("curl").args(["-sS", "-D", "-", "-H", "X-User-Tier: gold", &url]));
    assert!(output.stdout.contains("X-Frame-Options: DENY\r\n"), "{}", output.words());
    assert_eq!(origin.take_requests()[0].all("X-User-Tier"), ["free"]);
}
