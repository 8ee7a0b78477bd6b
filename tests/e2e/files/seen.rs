//! What an operator sees of files.

use std::fs;

use serde_json::Value;

use super::{ask, put, site};
use crate::harness::{Client, DEADLINE, wait_until};

#[test]
fn requests_bytes_and_what_is_kept_are_counted_by_name() {
    let setup = site("memory = \"1MiB\"\nopen_files = 2");
    for name in ["a", "b", "c"] {
        put(setup.dir(), name, vec![b'x'; 100_000]);
    }
    for name in 0..100 {
        put(setup.dir(), &format!("small{name}"), vec![b'x'; 20_000]);
    }
    let daemon = setup.start();
    let files = |name: &str| daemon.metric(name, &[("files", "site")]);
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..3 {
        assert_eq!(client.get("/small0").status, 200);
    }
    assert_eq!(client.get("/none").status, 404);
    client.send("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 405);
    let requests = "equipoise_files_requests_total";
    daemon.wait_for_metric(requests, &[("files", "site"), ("class", "4xx")], 2.0);
    assert_eq!(daemon.metric(requests, &[("files", "site"), ("class", "2xx")]), 3.0);
    assert!(files("equipoise_files_body_bytes_total") >= 60_000.0);
    assert_eq!(files("equipoise_files_cache_misses_total"), 1.0);
    assert_eq!(files("equipoise_files_cache_hits_total"), 2.0);
    for name in 0..100 {
        assert_eq!(client.get(&format!("/small{name}")).body.len(), 20_000);
    }
    for name in ["a", "b", "c", "a"] {
        assert_eq!(client.get(&format!("/{name}")).body.len(), 100_000);
    }
    assert!(files("equipoise_files_cache_bytes") <= (1 << 20) as f64);
    assert!(files("equipoise_files_cache_bytes") > (1 << 19) as f64);
    assert_eq!(files("equipoise_files_open"), 2.0);
    assert!(files("equipoise_files_cache_evictions_total") > 50.0);

    let words = daemon.command(&["status"]).words();
    let row = words.lines().find(|line| line.starts_with("  site")).expect("a row");
    assert!(row.contains("/site") && row.trim_end().ends_with('2'), "{words}");
    assert!(words.contains("files site"), "what the route does: {words}");
}

#[test]
fn the_access_log_names_the_files_and_why_one_was_not_served() {
    let setup = site("[access_log]\nto = \"$dir/access.log\"");
    put(setup.dir(), "a.txt", "hello");
    let daemon = setup.start();
    assert_eq!(ask(&daemon, "/a.txt", "").status, 200);
    assert_eq!(ask(&daemon, "/none", "").status, 404);
    let log = daemon.dir().join("access.log");
    let mut lines: Vec<Value> = Vec::new();
    wait_until(DEADLINE, "two lines", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        lines = whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.len() == 2
    });
    assert_eq!((&lines[0]["files"], &lines[0]["bytes_out"]), (&"site".into(), &5.into()));
    assert_eq!((&lines[1]["files"], &lines[1]["reason"]), (&"site".into(), &"no-file".into()));
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let setup = site("memory = \"0B\"\nopen_files = 0");
    put(setup.dir(), "a.txt", "hello");
    put(setup.dir(), "large", vec![b'x'; 100_000]);
    let daemon = setup.start();
    for _ in 0..2 {
        assert_eq!(ask(&daemon, "/a.txt", "").text(), "hello");
        assert_eq!(ask(&daemon, "/large", "").body.len(), 100_000);
    }
    let files = |name: &str| daemon.metric(name, &[("files", "site")]);
    assert_eq!(files("equipoise_files_open") + files("equipoise_files_cache_bytes"), 0.0);
    assert_eq!(files("equipoise_files_cache_misses_total"), 4.0);
}
