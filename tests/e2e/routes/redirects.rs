//! Redirects that are made of the request.

use std::process::Command;

use crate::harness::{Client, Setup, run};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    trusted_proxies = ["127.0.0.1"]
    [[route]]
    redirect = { to = "https://{host}{path}{query}", status = 308 }
    [[route]]
    path = "/here"
    redirect = "{path}?was={scheme}&from={client}&id={request_id}"
    [[route]]
    host = "slash.example.com"
    redirect = { to = "{path}", status = 301 }
    [[route]]
    path = "/port"
    redirect = { to = "{scheme}://www.{host}:{port}/{{x}}", status = 307 }
"#;

/// Sends one request, and gives status and Location of its answer.
#[track_caller]
fn redirected(client: &mut Client, target: &str, fields: &str) -> (u16, String) {
    client.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n"));
    let answer = client.answer();
    (answer.status, answer.field("Location").unwrap_or_default().to_owned())
}

#[test]
fn variables_are_filled_in() {
    let daemon = Setup::of(CONFIG).start();
    let mut client = Client::connect(daemon.address("web"));
    let port = daemon.address("web").port();
    for (target, fields, status, location) in [
        ("/a/../%62?c=d", "Host: Old.example.com:81", 308, "https://Old.example.com/a/../%62?c=d"),
        ("/", "Host: [::1]:81", 308, "https://[::1]/"),
        ("http://a.example?x", "Host: a.example", 308, "https://a.example/?x"),
        (
            "/here",
            "Host: a\r\nX-Request-Id: abc\r\nX-Forwarded-Proto: https",
            302,
            "/here?was=https&from=127.0.0.1&id=abc",
        ),
        ("/port?x", "Host: a.example", 307, &format!("http://www.a.example:{port}/{{x}}")),
    ] {
        let found = redirected(&mut client, target, fields);
        assert_eq!(found, (status, location.to_owned()), "{target}");
    }
}

#[test]
fn no_target_leads_to_another_host_or_into_another_line() {
    let daemon = Setup::of(CONFIG).start();
    let mut client = Client::connect(daemon.address("web"));
    for (target, location) in [
        ("//evil.example/x", "/evil.example/x"),
        ("///evil.example", "/evil.example"),
        ("/\\evil.example", "/evil.example"),
        ("/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"),
        ("/x?//evil.example", "/x"),
    ] {
        let found = redirected(&mut client, target, "Host: slash.example.com");
        assert_eq!(found, (301, location.to_owned()), "{target}");
    }
}

#[test]
fn without_a_host_there_is_nowhere_to_lead_to() {
    let daemon = Setup::of(CONFIG).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET /here HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 302);
}

#[test]
fn a_redirect_is_followed_by_curl() {
    let config = CONFIG.replace("https://{host}{path}{query}", "http://{host}:{port}/here{query}");
    let config =
        config.replace("redirect = \"{path}?", "respond = { status = 200, body = \"there\" }\n#");
    let daemon = Setup::of(&config).start();
    let url = format!("http://{}/from?x", daemon.address("web"));
    let output = run(Command::new("curl").args(["-sSL", "-w", " %{url_effective}", &url]));
    let there = format!("there http://{}/here?x", daemon.address("web"));
    assert_eq!(output.stdout, there, "{}", output.words());
}
