//! What a client may not send, and what it may: each row over a raw socket, with a look at what
//! the backend got of it.

mod legal;
mod refused;

use crate::harness::{Client, Daemon, Metrics, Origin, Setup};
use refused::Stage;

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    limits = { max_body = "1MiB" }
    [[route]]
    pool = "app"
    [[route]]
    path = "/admin/"
    pool = "app"
    [pool.app]
    backends = ["$origin"]
"#;

const ERRORS: &str = "equipoise_http_errors_total";

#[test]
fn each_row_is_refused_and_the_backend_gets_no_request_of_it() {
    let origin = Origin::answering("passed");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let rows = refused::rows();
    assert!(rows.len() >= 110, "{} rows", rows.len());
    let mut complaints = Vec::new();
    for row in &rows {
        if let Err(complaint) = refuses(&daemon, &origin, row) {
            complaints.push(format!("{}: {complaint}", row.name));
        }
    }
    report(&complaints, rows.len());
}

#[test]
fn http2_is_refused_where_it_is_not_spoken() {
    let origin = Origin::answering("passed");
    let config = CONFIG.replace("limits =", "protocols = [\"http/1.1\"]\n    limits =");
    let daemon = Setup::of(&config).with("origin", origin.address()).start();
    let row = refused::http1_alone();
    let complaints: Vec<String> = refuses(&daemon, &origin, &row).err().into_iter().collect();
    report(&complaints, 1);
}

#[test]
fn each_legal_oddity_passes_and_the_backend_reads_it_one_way() {
    let origin = Origin::answering("passed");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let rows = legal::rows();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut complaints = Vec::new();
    for row in &rows {
        if let Err(complaint) = passes(&daemon, &origin, row) {
            complaints.push(format!("{}: {complaint}", row.name));
        }
    }
    report(&complaints, rows.len());
}

#[test]
fn what_comes_behind_a_refused_request_is_not_read() {
    let origin = Origin::answering("passed");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5, 5\r\n\r\nhello\
         GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
    );
    assert_eq!(client.answer().status, 400);
    assert!(client.sees_close());
    assert_eq!(origin.received_bytes(), 0);
}

#[test]
fn a_refusal_says_its_reason_and_the_request_id() {
    let origin = Origin::answering("passed");
    let daemon = Setup::of(CONFIG).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.1\r\n\r\n");
    let answer = client.answer();
    assert!(answer.text().contains("bad-host"), "{answer:?}");
    let id = answer.field("x-request-id").expect("an id");
    assert!(answer.text().contains(id), "{answer:?}");
}

fn refuses(daemon: &Daemon, origin: &Origin, row: &refused::Row) -> Result<(), String> {
    let (bytes, requests) = (origin.received_bytes(), origin.requests());
    let before = daemon.metrics();
    let mut client = Client::connect(daemon.address("web"));
    // The daemon may have answered and closed before it has all.
    let _ = client.try_send(&row.bytes);
    let answer = client.try_answer().map_err(|broken| format!("no answer: {broken:?}"))?;
    if !row.statuses.contains(&answer.status) {
        return Err(format!("{} instead of {:?}", answer.status, row.statuses));
    }
    if !answer.closes() || !client.sees_close() {
        return Err("the connection stays open".to_owned());
    }
    if row.stage == Stage::Head && origin.received_bytes() != bytes {
        return Err("the backend got some of it".to_owned());
    }
    if origin.requests() != requests {
        return Err("the backend got a whole request".to_owned());
    }
    counted(&before, &daemon.metrics(), row.reasons)
}

/// One of the reasons was counted once, and nothing else.
fn counted(before: &Metrics, after: &Metrics, reasons: &str) -> Result<(), String> {
    let grown = |labels: &[(&str, &str)]| after.sum(ERRORS, labels) - before.sum(ERRORS, labels);
    let expected: f64 = reasons.split('|').map(|reason| grown(&[("reason", reason)])).sum();
    if (expected, grown(&[])) == (1.0, 1.0) {
        return Ok(());
    }
    let found = after.values(ERRORS, "reason").into_iter();
    let found: Vec<_> = found.filter(|reason| grown(&[("reason", reason)]) > 0.0).collect();
    Err(format!("counted as {found:?} instead of {reasons}"))
}

fn passes(daemon: &Daemon, origin: &Origin, row: &legal::Row) -> Result<(), String> {
    let mut client = Client::connect(daemon.address("web"));
    client.send(&row.bytes);
    let answer = client.try_answer().map_err(|broken| format!("no answer: {broken:?}"))?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text()));
    }
    let violations = origin.violations();
    if !violations.is_empty() {
        return Err(format!("the backend got {violations:?}"));
    }
    let requests = origin.take_requests();
    let [request] = requests.as_slice() else {
        return Err(format!("the backend got {} requests", requests.len()));
    };
    if request.body != row.body {
        let (got, sent) = (request.body.len(), row.body.len());
        return Err(format!("the backend got a body of {got} bytes, not the {sent} meant"));
    }
    match row.target {
        Some(target) if target != request.target => {
            Err(format!("the backend got the target {}", request.target))
        }
        _ => Ok(()),
    }
}

#[track_caller]
fn report(complaints: &[String], rows: usize) {
    let count = complaints.len();
    let words = complaints.join("\n");
    assert!(complaints.is_empty(), "{count} of {rows} rows:\n{words}");
}
