//! Error pages from files.

use std::{fs, process::Command};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::{Client, Origin, Setup, run};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    error_pages = { 404 = "errors/404.txt", 5xx = "errors/5xx.html", 4xx = "errors/4xx.json" }
    [[route]]
    path = "/ill"
    pool = "ill"
    [[route]]
    path = "/own"
    pool = "ill"
    error_pages = { "502" = "errors/own.html" }
    response_headers.set = { Content-Type = "application/x-none", X-A = "1" }
    [[route]]
    path = "/app"
    pool = "app"
    error_pages = { "5xx" = "errors/own.html", "404" = "errors/own.html" }
    [[route]]
    path = "/fixed"
    respond = { status = 503, body = "fixed" }
    [pool.ill]
    backends = ["$nobody"]
    [pool.app]
    backends = ["$origin"]
"#;

const OWN: &str = "<style>p { margin: 0 }</style><p>{status} {reason} {request_id}</p>";

fn setup() -> Setup {
    let setup = Setup::of(CONFIG);
    let folder = setup.dir().join("errors");
    fs::create_dir(&folder).expect("the test's folder is writable");
    for (name, text) in [
        ("404.txt", "nothing here ({reason})\n"),
        ("4xx.json", r#"{"status": {status}, "reason": "{reason}"}"#),
        ("5xx.html", "<h1>{status}</h1>"),
        ("own.html", OWN),
    ] {
        fs::write(folder.join(name), text).expect("the test's folder is writable");
    }
    setup
}

#[test]
fn our_errors_are_answered_with_the_pages() {
    let origin = Origin::answering("app");
    let daemon = setup().with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for (path, status, content_type, text) in [
        ("/none", 404, "text/plain; charset=utf-8", "nothing here (no-route)\n"),
        ("/ill", 502, "text/html; charset=utf-8", "<h1>502</h1>"),
        ("/../x", 400, "application/json", r#"{"status": 400, "reason": "bad-path"}"#),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text()), (status, text.to_owned()), "{path}");
        assert_eq!(answer.field("Content-Type"), Some(content_type), "{path}");
        assert_eq!(answer.field("Cache-Control"), Some("no-store"), "{path}");
    }
    let mut client = Client::connect(daemon.address("web"));
    let own = client.get("/own");
    let id = own.field("X-Request-Id").expect("an id");
    let page = format!("<style>p {{ margin: 0 }}</style><p>502 connect-failed {id}</p>");
    assert_eq!((own.text(), own.field("X-A")), (page, Some("1")));
    assert_eq!(own.field("Content-Type"), Some("text/html; charset=utf-8"));
    // A request that can't be read has no route.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.answer().text(), r#"{"status": 400, "reason": "bad-host"}"#);
}

#[test]
fn head_has_the_length_and_no_body() {
    let origin = Origin::answering("app");
    let daemon = setup().with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("HEAD /ill HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!((answer.status, answer.field("Content-Length")), (502, Some("12")));
    assert_eq!(client.get("/ill").text(), "<h1>502</h1>", "the connection goes on");
}

#[test]
fn what_backends_and_fixed_answers_say_is_left_alone() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            let status = if request.target.ends_with("404") { 404 } else { 503 };
            peer.answer(status, "the backend's");
        }
    });
    let daemon = setup().with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/app/404").text(), "the backend's");
    assert_eq!(client.get("/app/503").text(), "the backend's");
    assert_eq!(client.get("/fixed").text(), "fixed");
}

#[test]
fn a_reload_reads_the_pages_again_and_is_refused_without_them() {
    let origin = Origin::answering("app");
    let mut daemon = setup().with("origin", origin.address()).start();
    let page = daemon.dir().join("errors/404.txt");
    let mut client = Client::connect(daemon.address("web"));
    fs::write(&page, "new").expect("the test's folder is writable");
    assert_eq!(
        client.get("/none").text(),
        "nothing here (no-route)\n",
        "no file is read by a request"
    );
    let output = daemon.command(&["reload"]);
    assert!(output.words().contains("errors/404.txt changed"), "{}", output.words());
    assert_eq!(client.get("/none").text(), "new");

    fs::remove_file(&page).expect("it is there");
    for command in ["reload", "check"] {
        let output = daemon.command(&[command]);
        assert_ne!(output.code, 0, "{command}");
        assert!(output.words().contains("errors/404.txt does not exist"), "{}", output.words());
        assert!(output.words().contains(":4:27"), "{}", output.words());
    }
    // Nobody ever writes to it: opened as a file it would hold up this reload and all after it.
    mknodat(CWD, &page, FileType::Fifo, Mode::RWXU, 0).expect("the test's folder is writable");
    let output = daemon.command(&["reload"]);
    assert!(output.words().contains("no regular file but a pipe"), "{}", output.words());
    assert_eq!(client.get("/none").text(), "new", "the old generation serves");
    daemon.rewrite(&CONFIG.replace("404 = \"errors/404.txt\", ", ""));
    daemon.reload();
    assert_eq!(client.get("/none").text(), r#"{"status": 404, "reason": "no-route"}"#);
}

#[test]
fn pages_over_http2_by_curl() {
    let origin = Origin::answering("app");
    let daemon = setup().with("origin", origin.address()).start();
    let url = format!("http://{}/none", daemon.address("web"));
    let output = run(Command::new("curl").args(["-sS", "--http2-prior-knowledge", &url]));
    assert_eq!(output.stdout, "nothing here (no-route)\n", "{}", output.words());
}
