//! Where a path is looked for, and what is answered where nothing is there.

use super::{ask, put, seen, site};
use crate::harness::{Client, Origin};

#[test]
fn an_application_in_one_page_answers_all_that_is_not_there() {
    let setup = site("fallback = \"/app/index.html\"");
    put(setup.dir(), "app/index.html", "the app");
    put(setup.dir(), "a.js", "script");
    let daemon = setup.start();
    assert_eq!(seen(&daemon, "/a.js"), (200, "script".to_owned()));
    for path in ["/", "/users/7", "/none.js", "/.git/config", "/app"] {
        let expected = if path == "/app" { (301, "/app/") } else { (200, "the app") };
        assert_eq!(seen(&daemon, path), (expected.0, expected.1.to_owned()), "{path}");
    }
    let answer = ask(&daemon, "/users/7", "");
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    let tag = answer.field("etag").expect("a tag");
    assert_eq!(ask(&daemon, "/users/8", &format!("If-None-Match: {tag}\r\n")).status, 304);
}

#[test]
fn what_is_not_there_and_what_is_not_asked_by_get_goes_to_the_pool() {
    let origin = Origin::answering("the application");
    let setup = site("try = [\"file\", { pool = \"app\" }]\n[pool.app]\nbackends = [\"$origin\"]");
    put(setup.dir(), "a.txt", "static");
    put(setup.dir(), "sub/index.html", "not tried");
    let daemon = setup.with("origin", origin.address()).start();
    assert_eq!(seen(&daemon, "/a.txt"), (200, "static".to_owned()));
    for path in ["/", "/none", "/sub", "/sub/", "/.env"] {
        assert_eq!(seen(&daemon, path), (200, "the application".to_owned()), "{path}");
    }
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "the application");
    let posted = origin.take_requests().pop().expect("the POST");
    assert_eq!((posted.target.as_str(), posted.body.as_slice()), ("/a.txt", &b"hello"[..]));
    assert_eq!(client.get("/a.txt").text(), "static");
}

#[test]
fn clean_urls_have_one_address_each() {
    let setup = site("clean_urls = true");
    put(setup.dir(), "index.html", "home");
    put(setup.dir(), "about.html", "about");
    put(setup.dir(), "docs/index.html", "docs");
    let daemon = setup.start();
    for (path, status, there) in [
        ("/", 200, "home"),
        ("/about", 200, "about"),
        ("/about.html?a=b", 301, "/about?a=b"),
        ("/about/", 301, "/about"),
        ("/index.html", 301, "/"),
        ("/docs", 301, "/docs/"),
        ("/docs/", 200, "docs"),
        ("/docs/index.html", 301, "/docs/"),
    ] {
        assert_eq!(seen(&daemon, path), (status, there.to_owned()), "{path}");
    }
    assert_eq!(ask(&daemon, "/none", "").status, 404);
}

#[test]
fn a_redirect_leads_to_no_other_host() {
    let setup = site("");
    put(setup.dir(), "evil.example/index.html", "");
    let daemon = setup.start();
    for path in ["//evil.example", "/\\evil.example", "/.//evil.example", "/%5cevil.example"] {
        let answer = ask(&daemon, path, "");
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    assert_eq!(seen(&daemon, "/evil.example"), (301, "/evil.example/".to_owned()));
}

#[test]
fn a_directory_shows_what_may_be_seen_of_it() {
    let setup = site("listing = \"auto\"");
    let dir = setup.dir().to_owned();
    put(&dir, "sub/<b>.txt", "12345");
    put(&dir, "sub/.hidden", "");
    put(&dir, "sub/deep/x", "");
    put(&dir, "index/index.html", "page");
    std::fs::write(dir.join("secret"), "").expect("a file");
    std::os::unix::fs::symlink("../../secret", dir.join("site/sub/out")).expect("a link");
    let daemon = setup.start();
    let page = ask(&daemon, "/sub/", "");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("&lt;b&gt;.txt") && page.text().contains("deep/"));
    assert!(!page.text().contains("hidden") && !page.text().contains("out"), "{}", page.text());
    let json = ask(&daemon, "/sub/", "Accept: application/json\r\n");
    assert_eq!(json.field("content-type"), Some("application/json"));
    let entries: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(entries.as_array().map(Vec::len), Some(2), "{entries}");
    assert_eq!(entries[1]["size"], 5);
    assert_eq!(seen(&daemon, "/sub"), (301, "/sub/".to_owned()));
    assert_eq!(seen(&daemon, "/index/"), (200, "page".to_owned()));
}
