//! What an operator sees: metrics, the two health pages, the access log, `status`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use serde_json::Value;

use crate::harness::{
    Client, DEADLINE, Daemon, ONE_BACKEND, Origin, Setup, free_port, get, request, wait_until,
};

const WITH_LOG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    name = "everything"
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
    [access_log]
    to = "$dir/access.log"
    format = "$format"
"#;

/// A daemon with an access log of this format, before a backend.
fn logging(origin: &Origin, format: &str) -> Daemon {
    let setup = Setup::of(WITH_LOG).with("origin", origin.address());
    setup.with("format", format).start()
}

/// The first line of the log with this text.
#[track_caller]
fn logged(path: &Path, text: &str) -> String {
    let mut found = None;
    wait_until(DEADLINE, &format!("a line with {text}"), || {
        let log = fs::read_to_string(path).unwrap_or_default();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        found = whole.lines().find(|line| line.contains(text)).map(str::to_owned);
        found.is_some()
    });
    found.expect("found above")
}

#[test]
fn promtool_has_nothing_to_say_by_promtool() {
    let origin = Origin::answering("ok");
    let config = ONE_BACKEND.replace("backends", "health = { interval = \"1s\" }\nbackends");
    let daemon = Setup::of(&config).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").status, 200);
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    daemon.reload();
    let page = daemon.metrics_text();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: tests/run installs what the tests need");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(page.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && words.is_empty(), "{words}\n{page}");
}

#[test]
fn what_happens_is_counted() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "json");
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.answer().text(), "hello");
    }
    let route = [("route", "everything"), ("code", "200")];
    daemon.wait_for_metric("equipoise_http_requests_total", &route, 3.0);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
    let metrics = daemon.metrics();
    let listener = [("listener", "web")];
    assert_eq!(metrics.sum("equipoise_listener_connections_accepted_total", &listener), 1.0);
    assert_eq!(metrics.sum("equipoise_listener_connections_open", &listener), 1.0);
    assert!(metrics.sum("equipoise_listener_received_bytes_total", &listener) >= 6.0);
    assert!(metrics.sum("equipoise_listener_sent_bytes_total", &listener) >= 15.0);
    assert_eq!(metrics.sum("equipoise_http_request_body_bytes_total", &[]), 6.0);
    let backend = origin.address().to_string();
    let backend = [("pool", "app"), ("backend", backend.as_str())];
    assert_eq!(metrics.sum("equipoise_backend_requests_total", &backend), 3.0);
    assert_eq!(metrics.sum("equipoise_backend_up", &backend), 1.0);
    assert_eq!(metrics.sum("equipoise_http_request_duration_seconds_count", &[]), 3.0);
    assert_eq!(metrics.sum("equipoise_http_response_body_bytes_total", &[]), 15.0);
    assert_eq!(metrics.sum("equipoise_build_info", &[]), 1.0);
    for name in [
        "equipoise_reloads_total",
        "equipoise_generation",
        "equipoise_generations_alive",
        "equipoise_pool_retries_total",
        "equipoise_access_log_lost_lines_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(metrics.has(name, &[]), "{name} is missing");
    }
    drop(client);
    daemon.wait_for_metric("equipoise_listener_connections_open", &listener, 0.0);
}

#[test]
fn what_a_stranger_sends_is_no_label() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "json");
    let mut client = Client::connect(daemon.address("web"));
    client
        .send("GET /odd-path HTTP/1.1\r\nHost: odd-host.example\r\nUser-Agent: odd-agent\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let page = daemon.metrics_text();
    for odd in ["odd-path", "odd-host", "odd-agent"] {
        assert!(!page.contains(odd), "{odd} is in /metrics");
    }
}

#[test]
fn the_metrics_address_has_three_pages() {
    let origin = Origin::answering("ok");
    let daemon = Setup::of(ONE_BACKEND).with("origin", origin.address()).start();
    assert_eq!(daemon.probe("/healthz"), Some(200));
    assert_eq!(daemon.probe("/readyz"), Some(200));
    assert_eq!(daemon.probe("/other"), Some(404));
    let page = get(daemon.address("metrics"), "/metrics");
    let kind = page.field("Content-Type").expect("a content type");
    assert!(kind.starts_with("text/plain"), "{kind}");
}

#[test]
fn a_request_is_one_line_of_json() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "json");
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().text(), "hello");
    let line = logged(&daemon.dir().join("access.log"), "/a?b=c");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let backend = origin.address().to_string();
    for (field, expected) in [
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("host", "www.example.com"),
        ("target", "/a?b=c"),
        ("protocol", "HTTP/1.1"),
        ("listener", "web"),
        ("route", "everything"),
        ("pool", "app"),
        ("backend", backend.as_str()),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert_eq!((&line["status"], &line["attempts"]), (&Value::from(200), &Value::from(1)));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&Value::from(3), &Value::from(5)));
    for phase in ["total_ms", "header_ms", "connect_ms", "first_byte_ms"] {
        assert!(line[phase].is_number(), "{phase} in {line}");
    }
    let id = origin.take_requests()[0].field("X-Request-Id").map(str::to_owned);
    assert_eq!(line["request_id"].as_str().map(str::to_owned), id);
}

#[test]
fn a_failure_is_logged_with_its_reason() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "json");
    origin.stop();
    assert_eq!(get(daemon.address("web"), "/failed").status, 502);
    let line = logged(&daemon.dir().join("access.log"), "/failed");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["status"], &line["reason"]), (&Value::from(502), &"connect-failed".into()));
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET /refused HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let line = logged(&daemon.dir().join("access.log"), "bad-host");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["status"], 400);
}

#[test]
fn the_combined_format_is_what_other_programs_read() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "combined");
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /a HTTP/1.1\r\nHost: a\r\nReferer: https://b.example/\r\nUser-Agent: test \"1\"\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let line = logged(&daemon.dir().join("access.log"), "/a");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let tail = r#""GET /a HTTP/1.1" 200 5 "https://b.example/" "test \"1\"""#;
    assert!(line.ends_with(tail), "{line}");
}

#[test]
fn usr1_opens_the_log_anew() {
    let origin = Origin::answering("hello");
    let daemon = logging(&origin, "json");
    let (path, rotated) = (daemon.dir().join("access.log"), daemon.dir().join("access.log.1"));
    assert_eq!(get(daemon.address("web"), "/before").status, 200);
    logged(&path, "/before");
    fs::rename(&path, &rotated).expect("a writable folder");
    daemon.signal(Signal::USR1);
    wait_until(DEADLINE, "the new file", || path.exists());
    assert_eq!(get(daemon.address("web"), "/after").status, 200);
    logged(&path, "/after");
    let old = fs::read_to_string(&rotated).expect("the rotated log");
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
}

#[test]
fn a_log_that_nobody_reads_costs_lines_and_no_request() {
    let origin = Origin::answering("hello");
    let config = WITH_LOG.replace("format = \"$format\"", "queue = 4");
    let setup = Setup::of(&config).with("origin", origin.address());
    // A pipe that is open and never read is full after some lines.
    let path = setup.dir().join("access.log");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a writable folder");
    let pipe = OpenOptions::new().read(true).write(true).open(&path);
    let _unread = pipe.expect("the pipe");
    let daemon = setup.start();
    let mut client = Client::connect(daemon.address("web"));
    let long = "a".repeat(2_000);
    for _ in 0..300 {
        assert_eq!(client.get(&format!("/{long}")).status, 200);
    }
    wait_until(DEADLINE, "lost lines to be counted", || {
        daemon.metric("equipoise_access_log_lost_lines_total", &[]) > 0.0
    });
}

#[test]
fn status_shows_pools_and_backends() {
    let origin = Origin::answering("ok");
    let nobody = format!("127.0.0.1:{}", free_port());
    let config = r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin", "$nobody"]
        health = { path = "/healthz", interval = "2s" }
    "#;
    let setup = Setup::of(config).with("origin", origin.address());
    let daemon = setup.with("nobody", &nobody).start();
    for _ in 0..3 {
        assert_eq!(get(daemon.address("web"), "/").status, 200);
    }
    let output = daemon.command(&["status"]);
    assert_eq!(output.code, 0, "{output:?}");
    let line = |text: &str| {
        let line = output.stdout.lines().find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("{text} is not in {}", output.stdout)).to_owned()
    };
    assert!(output.stdout.contains("app"), "{}", output.stdout);
    let well = line(&origin.address().to_string());
    for word in ["up", "200", "3"] {
        assert!(well.contains(word), "{word} is not in {well}");
    }
    let dead = line(&nobody);
    assert!(dead.contains("down") && dead.contains("refused"), "{dead}");
}

#[test]
fn status_shows_what_routes_take_and_do() {
    let origin = Origin::answering("ok");
    let config = r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        name = "shop"
        host = "www.example.com"
        split = { app = 95, other = 5 }
        [[route]]
        path = "/closed"
        methods = ["GET"]
        headers = { X-Canary = "secret" }
        respond = { status = 503 }
        [[route]]
        listener = "web"
        pool = "app"
        mirror = { pool = "other" }
        [pool.app]
        backends = ["$origin"]
        [pool.other]
        backends = ["$origin"]
    "#;
    let daemon = Setup::of(config).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..2 {
        client.send("GET /closed HTTP/1.1\r\nHost: a\r\nX-Canary: secret\r\n\r\n");
        assert_eq!(client.answer().status, 503);
    }
    assert_eq!(client.get("/").status, 200);
    daemon.wait_for_metric("equipoise_http_requests_total", &[], 3.0);
    let text = daemon.command(&["status"]).stdout;
    // Columns are as wide as their widest cell.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    for row in [
        "shop every www.example.com every none split app 95, other 5 1 0",
        "*/closed GET header:x-canary every every /closed GET header:x-canary respond 503 2 2",
        "web * web every every none pool app, mirrored to other 0 0",
    ] {
        assert!(lines.iter().any(|line| line == row), "{row} is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    let json = daemon.command(&["status", "--json"]).stdout;
    let answer: Value = serde_json::from_str(&json).expect("one line of JSON");
    let shop = &answer["status"]["routes"][0];
    assert_eq!(shop["action"], serde_json::json!({ "split": { "app": 95, "other": 5 } }));
    assert_eq!((&shop["host"], &shop["requests"]), (&"www.example.com".into(), &1.into()));
}

#[test]
fn the_log_names_a_verdict_that_turns() {
    let origin = Origin::answering("ok");
    let config = ONE_BACKEND.replace("backends", "health = { interval = \"1s\" }\nbackends");
    let daemon = Setup::of(&config).with("origin", origin.address()).start();
    origin.stop();
    wait_until(DEADLINE, "the backend to go down", || {
        daemon.metric("equipoise_backend_up", &[]) == 0.0
    });
    let words = origin.address().to_string();
    wait_until(DEADLINE, "a line in the log", || {
        daemon.log().iter().any(|line| line.contains(&words) && line.contains("down"))
    });
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    assert_eq!(client.answer().status, 503);
}
