//! What a file is answered with.

use std::fs;

use super::{ask, put, seen, site};
use crate::harness::{Client, DEADLINE, Daemon, wait_until};

/// What a method is answered, and whether it had a body.
fn by_method(daemon: &Daemon, method: &str, path: &str) -> crate::harness::Answer {
    let mut client = Client::connect(daemon.address("web"));
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n"));
    client.answer_to(method)
}

#[test]
fn a_file_comes_with_all_that_is_to_be_said_of_it() {
    let setup = site("");
    put(setup.dir(), "a.txt", "hello");
    let daemon = setup.start();
    let answer = ask(&daemon, "/a.txt", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    for (name, value) in [
        ("content-length", "5"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        // The first half of its SHA-256.
        ("etag", "\"2cf24dba5fb0a30e26e83b2ac5b9e29e\""),
    ] {
        assert_eq!(answer.field(name), Some(value), "{name}");
    }
    for name in ["date", "last-modified", "content-type"] {
        assert!(answer.field(name).is_some(), "{name}");
    }
    let head = by_method(&daemon, "HEAD", "/a.txt");
    assert_eq!((head.status, head.field("content-length")), (200, Some("5")));
    assert_eq!(head.field("etag"), answer.field("etag"));
}

#[test]
fn files_are_asked_by_get_and_head_alone() {
    let setup = site("");
    put(setup.dir(), "a.txt", "a");
    let daemon = setup.start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = by_method(&daemon, method, "/a.txt");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS"), "{method}");
        assert!(answer.text().contains("reason: method-not-allowed"), "{method}");
    }
    let answer = by_method(&daemon, "OPTIONS", "/a.txt");
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn a_directory_is_its_index_behind_a_slash() {
    let setup = site("index = [\"index.html\", \"default.html\"]");
    put(setup.dir(), "index.html", "home");
    put(setup.dir(), "docs/default.html", "docs");
    put(setup.dir(), "empty/x", "");
    let daemon = setup.start();
    for (path, status, seen_there) in [
        ("/", 200, "home"),
        ("/docs/", 200, "docs"),
        ("/docs", 301, "/docs/"),
        ("/docs?a=b&c", 301, "/docs/?a=b&c"),
        ("/empty/x", 200, ""),
    ] {
        assert_eq!(seen(&daemon, path), (status, seen_there.to_owned()), "{path}");
    }
    let answer = ask(&daemon, "/empty/", "");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("reason: no-file"), "{}", answer.text());
}

#[test]
fn a_change_shows_within_a_moment_and_a_file_that_goes_is_gone() {
    let setup = site("");
    let path = put(setup.dir(), "a.txt", "first");
    let large = put(setup.dir(), "large", vec![b'a'; 100_000]);
    let daemon = setup.start();
    assert_eq!(seen(&daemon, "/a.txt"), (200, "first".to_owned()));
    assert_eq!(ask(&daemon, "/large", "").body.len(), 100_000);
    // As long as it was, and within the same tick of the clock, perhaps.
    fs::write(&path, "other").expect("a file");
    fs::write(&large, vec![b'b'; 100_001]).expect("a file");
    wait_until(DEADLINE, "the other content", || seen(&daemon, "/a.txt").1 == "other");
    wait_until(DEADLINE, "the longer file", || ask(&daemon, "/large", "").body.len() == 100_001);
    fs::remove_file(&path).expect("a file");
    wait_until(DEADLINE, "404", || seen(&daemon, "/a.txt").0 == 404);
}

#[test]
fn ranges_and_conditions() {
    let setup = site("max_ranges = 2");
    put(setup.dir(), "a.txt", "0123456789");
    put(setup.dir(), "large", (0..200_000_u32).map(|n| n as u8).collect::<Vec<u8>>());
    let daemon = setup.start();
    let one = ask(&daemon, "/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((one.status, one.text().as_str()), (206, "234"));
    assert_eq!(one.field("content-range"), Some("bytes 2-4/10"));
    let several = ask(&daemon, "/a.txt", "Range: bytes=0-0, -2\r\n");
    assert_eq!(several.status, 206);
    assert_eq!(several.text().matches("Content-Range: bytes ").count(), 2);
    assert!(several.text().contains("\r\n\r\n89\r\n--"), "{}", several.text());
    let many = ask(&daemon, "/a.txt", "Range: bytes=0-0,1-1,2-2\r\n");
    assert_eq!((many.status, many.text().as_str()), (200, "0123456789"));
    let beyond = ask(&daemon, "/a.txt", "Range: bytes=10-\r\n");
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
    assert!(beyond.text().contains("reason: range-not-satisfiable"));
    let large = ask(&daemon, "/large", "Range: bytes=70000-199999\r\n");
    assert_eq!((large.status, large.body.len()), (206, 130_000));
    assert!((70_000..).zip(&large.body).all(|(n, byte)| n as u8 == *byte));
    let several = ask(&daemon, "/large", "Range: bytes=0-99999,100000-199999\r\n");
    assert_eq!(several.status, 206);
    assert!(several.body.len() > 200_000);

    let tag = one.field("etag").expect("a tag").to_owned();
    let same = ask(&daemon, "/a.txt", &format!("If-None-Match: \"x\", {tag}\r\n"));
    assert_eq!((same.status, same.field("etag")), (304, Some(&*tag)));
    assert_eq!(same.field("content-length"), None);
    let other = ask(&daemon, "/a.txt", "If-Match: \"x\"\r\n");
    assert_eq!(other.status, 412);
    let date = one.field("last-modified").expect("a date");
    let since = ask(&daemon, "/a.txt", &format!("If-Modified-Since: {date}\r\n"));
    assert_eq!(since.status, 304);
}

#[test]
fn what_the_route_changes_is_changed() {
    let setup = crate::harness::Setup::of(
        r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        path = "/static"
        strip_prefix = true
        files = "site"
        error_pages = { 404 = "404.txt" }
        response_headers = { set = { ETag = "mine", X-A = "1" }, remove = ["Last-Modified"] }
        [files.site]
        root = "site"
        "#,
    );
    fs::create_dir(setup.dir().join("site")).expect("a folder");
    put(setup.dir(), "index.html", "home");
    fs::write(setup.dir().join("404.txt"), "nothing here").expect("a file");
    let daemon = setup.start();
    let answer = ask(&daemon, "/static/index.html", "");
    assert_eq!(answer.text(), "home");
    assert_eq!((answer.field("etag"), answer.field("x-a")), (Some("mine"), Some("1")));
    assert_eq!(answer.field("last-modified"), None);
    assert_eq!(seen(&daemon, "/static/none"), (404, "nothing here".to_owned()));
    assert_eq!(seen(&daemon, "/static/"), (200, "home".to_owned()));
    assert_eq!(seen(&daemon, "/static"), (301, "/static/".to_owned()));
}

#[test]
fn types_charsets_and_how_long_to_keep_it() {
    let setup = site(
        "charset = \"latin1\"\ntypes = { foo = \"text/x-foo\" }\n\
         cache_control = [{ match = \"*.html\", value = \"no-cache\" }, \
         { match = \"/assets/**\", value = \"max-age=60\" }]",
    );
    let year = "public, max-age=31536000, immutable";
    let rows = [
        ("index.html", "text/html; charset=latin1", Some("no-cache")),
        ("a.foo", "text/x-foo; charset=latin1", None),
        ("assets/deep/a.png", "image/png", Some("max-age=60")),
        ("app.3f2a9c1b.js", "text/javascript; charset=latin1", Some(year)),
        ("unknown", "application/octet-stream", None),
    ];
    for (name, ..) in rows {
        put(setup.dir(), name, "x");
    }
    let daemon = setup.start();
    for (name, content_type, cache_control) in rows {
        let answer = ask(&daemon, &format!("/{name}"), "");
        assert_eq!(answer.field("content-type"), Some(content_type), "{name}");
        assert_eq!(answer.field("cache-control"), cache_control, "{name}");
        let tag = answer.field("etag").expect("a tag");
        let same = ask(&daemon, &format!("/{name}"), &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((same.status, same.field("cache-control")), (304, cache_control), "{name}");
    }
}

#[test]
fn what_lies_beside_a_file_in_a_coding_goes_to_those_who_take_it() {
    let setup = site("");
    let dir = setup.dir().to_owned();
    put(&dir, "a.js", "plain");
    put(&dir, "a.js.br", "brotli");
    put(&dir, "a.js.gz", vec![b'g'; 100_000]);
    put(&dir, "b.js", "alone");
    let daemon = setup.start();
    let taking =
        |accepted: &str| ask(&daemon, "/a.js", &format!("Accept-Encoding: {accepted}\r\n"));
    for (accepted, coding, length) in [
        ("br", Some("br"), 6),
        ("gzip, br", Some("br"), 6),
        ("gzip, br;q=0.5", Some("gzip"), 100_000),
        ("br;q=0, gzip;q=0", None, 5),
        ("zstd", None, 5),
        ("*", Some("br"), 6),
        ("identity", None, 5),
    ] {
        let answer = taking(accepted);
        assert_eq!(answer.field("content-encoding"), coding, "{accepted}");
        assert_eq!(answer.body.len(), length, "{accepted}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{accepted}");
        assert_eq!(answer.field("content-type"), Some("text/javascript; charset=utf-8"));
    }
    let (plain, encoded) = (ask(&daemon, "/a.js", ""), taking("br"));
    assert_eq!(plain.text(), "plain");
    assert_ne!(plain.field("etag"), encoded.field("etag"));
    let tag = encoded.field("etag").expect("a tag");
    let lines = format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n");
    let same = ask(&daemon, "/a.js", &lines);
    assert_eq!((same.status, same.field("vary")), (304, Some("Accept-Encoding")));
    assert_eq!(ask(&daemon, "/a.js", &format!("If-None-Match: {tag}\r\n")).status, 200);
    let part = ask(&daemon, "/a.js", "Accept-Encoding: br\r\nRange: bytes=1-2\r\n");
    assert_eq!((part.text().as_str(), part.field("content-range")), ("ro", Some("bytes 1-2/6")));
    assert_eq!(ask(&daemon, "/b.js", "Accept-Encoding: br\r\n").field("vary"), None);
    // One that comes later is found, too; and one that goes is not missed.
    put(&dir, "b.js.br", "b");
    std::fs::remove_file(dir.join("site/a.js.br")).expect("a file");
    let coding = |path: &str| {
        let answer = ask(&daemon, path, "Accept-Encoding: br\r\n");
        answer.field("content-encoding").map(str::to_owned)
    };
    wait_until(DEADLINE, "the new one", || coding("/b.js").as_deref() == Some("br"));
    wait_until(DEADLINE, "none", || coding("/a.js").is_none());
}

#[test]
fn the_tag_is_of_the_content_on_every_server() {
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n / 7) as u8).collect();
    let tags = [1, 2].map(|server| {
        let setup = site("");
        let path = put(setup.dir(), "large", &content);
        let small = put(setup.dir(), "small", "same");
        // Deployed at different times.
        for path in [&path, &small] {
            let file = fs::File::options().append(true).open(path).expect("a file");
            let age = std::time::Duration::from_secs(1000 * server);
            file.set_modified(std::time::SystemTime::now() - age).expect("a time");
        }
        let daemon = setup.start();
        let tag = |path: &str| {
            let answer = ask(&daemon, path, "");
            answer.field("etag").map(str::to_owned).expect("a tag")
        };
        // The clock of its inode is not settled at first: its content is read after that.
        wait_until(DEADLINE, "a strong tag", || !tag("/large").starts_with("W/"));
        (tag("/small"), tag("/large"))
    });
    assert_eq!(tags[0], tags[1]);
}
