//! What backends get of a path whose prefix a route takes away or replaces.

use std::process::Command;

use crate::harness::{Client, Origin, Setup, run};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [[route]]
    path = "/api"
    pool = "app"
    strip_prefix = true
    [[route]]
    path = "/api/v1/"
    pool = "app"
    replace_prefix = "/v2"
    [[route]]
    exact = "/status"
    pool = "app"
    replace_prefix = "/health"
    [pool.app]
    backends = ["$origin"]
"#;

/// Each target, and what of it the backend got, in whatever form the request was.
#[test]
fn backends_get_what_routing_saw_and_the_rest_as_it_came() {
    let origin = Origin::answering("app");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for (target, expected) in [
        ("/other?x=/api/", "/other?x=/api/"),
        ("/api", "/"),
        ("/api?x", "/?x"),
        ("/api/", "/"),
        ("/api/a%20b/../%7ec?d=%2e", "/a%20b/../%7ec?d=%2e"),
        ("http://www.example.com/api/x?y", "/x?y"),
        ("http://www.example.com?y", "/?y"),
        ("/api/v1/x", "/v2/x"),
        ("/api/v1/x/../../v1/y?z", "/v2/y?z"),
        ("/api/v1", "/v1"),
        ("/status?full", "/health?full"),
        ("/%73tatus", "/health"),
        // Other spellings of the prefix, and ways out of it.
        ("/%61pi/x%2e", "/x."),
        ("/x/../api/y", "/y"),
        ("/api/../x", "/api/../x"),
        ("/api/../api/x", "/x"),
        ("/x//api/y", "/x//api/y"),
        ("/api//evil.example/..", "/evil.example/.."),
        ("/apix", "/apix"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n"));
        assert_eq!(client.answer().status, 200, "{target}");
        let seen = origin.take_requests();
        assert_eq!(seen[0].target, expected, "{target}");
    }
    client.send("OPTIONS * HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(origin.take_requests()[0].target, "*");
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn what_readers_could_take_for_another_path_is_refused() {
    let origin = Origin::answering("app");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    for target in [
        "//api/x",
        "/api%2fx",
        "/api%2Fv1%2Fx",
        "/api/..%2fapi/x",
        "/api/v1%5cx",
        "/x/..%2fapi/",
        "/api/x/..%2f..%2f..",
    ] {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{target}");
        let reasons = ["reason: ambiguous-path", "reason: bad-path"];
        assert!(reasons.iter().any(|reason| answer.text().contains(reason)), "{}", answer.text());
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn answers_are_left_alone() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=b; Path=/\r\n\
                 Content-Length: 0\r\n\r\n",
            );
        }
    });
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let answer = Client::connect(daemon.address("web")).get("/api/x");
    assert_eq!(answer.field("Location"), Some("/login"));
    assert_eq!(answer.field("Set-Cookie"), Some("a=b; Path=/"));
}

#[test]
fn a_prefix_goes_by_curl() {
    let origin = Origin::answering("app");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let url = format!("http://{}/api/x?y=1", daemon.address("web"));
    let output = run(Command::new("curl").args(["-sS", &url]));
    assert_eq!(output.stdout, "app", "{}", output.words());
    assert_eq!(origin.take_requests()[0].target, "/x?y=1");
}
