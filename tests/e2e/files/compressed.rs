//! Files in codings that don't lie beside them.

use std::{fs, process::Command};

use super::{ask, put, site, site_with};
use crate::harness::{Answer, Client, DEADLINE, Daemon, End, decoded, run, wait_until};

const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];
const COMPRESSED: &str = "equipoise_http_compressed_responses_total";

fn text(length: usize) -> String {
    let line = "All that is gold does not glitter, not all those who wander are lost.\n";
    line.repeat(length / line.len() + 1)[..length].to_owned()
}

#[track_caller]
fn take(daemon: &Daemon, path: &str, coding: &str, more: &str) -> Answer {
    ask(daemon, path, &format!("Accept-Encoding: {coding}\r\n{more}"))
}

#[track_caller]
fn whole(answer: &Answer, coding: &str) -> Vec<u8> {
    assert_eq!((answer.status, &answer.end), (200, &End::Clean));
    assert_eq!(answer.field("content-encoding"), Some(coding));
    assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
    let (body, is_whole) = decoded(coding, &answer.body);
    assert!(is_whole, "{coding} has its end");
    body
}

/// Short ones are kept so, long ones encoded on their way.
#[test]
fn files_go_in_the_coding_that_a_client_likes() {
    let setup = site("compress = true");
    for (name, length) in [("short.txt", 5_000), ("long.txt", 3_000_000)] {
        put(setup.dir(), name, text(length));
    }
    let daemon = setup.start();
    for (path, length) in [("/short.txt", 5_000), ("/long.txt", 3_000_000)] {
        let plain = ask(&daemon, path, "");
        assert_eq!(plain.field("vary"), Some("Accept-Encoding"), "{path}");
        assert_eq!(plain.field("content-length"), Some(&*length.to_string()), "{path}");
        wait_until(DEADLINE, "its strong tag", || {
            ask(&daemon, path, "").field("etag").is_some_and(|tag| tag.starts_with('"'))
        });
        let tag = ask(&daemon, path, "").field("etag").expect("a tag").to_owned();
        for coding in CODINGS {
            let answer = take(&daemon, path, coding, "");
            assert!(whole(&answer, coding) == text(length).as_bytes(), "{path} {coding}");
            assert!(answer.body.len() < length / 10, "{path} {coding}");
            assert_eq!(answer.field("etag"), Some(&*format!("W/{tag}")), "{path} {coding}");
            assert_eq!(answer.field("accept-ranges"), None);
            assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
            // A short one has its length.
            assert_eq!(answer.field("content-length").is_some(), length == 5_000, "{path}");
            let held = format!("If-None-Match: W/{tag}\r\n");
            let same = take(&daemon, path, coding, &held);
            assert_eq!((same.status, same.field("etag")), (304, Some(&*format!("W/{tag}"))));
            assert_eq!(same.field("vary"), Some("Accept-Encoding"));
            let part = take(&daemon, path, coding, "Range: bytes=4-7\r\n");
            assert_eq!((part.status, &*part.text()), (206, "that"), "{path}: of what lies there");
            assert_eq!(part.field("etag"), Some(&*tag));
            let weak =
                take(&daemon, path, coding, &format!("Range: bytes=4-7\r\nIf-Range: W/{tag}\r\n"));
            assert_eq!((weak.status, weak.body.len()), (200, length), "no part by a weak tag");
        }
        let mut client = Client::connect(daemon.address("web"));
        for coding in ["br", "gzip"] {
            client.send(format!(
                "HEAD {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"
            ));
            let (head, get) = (client.answer_to("HEAD"), take(&daemon, path, coding, ""));
            for name in ["content-encoding", "etag", "vary", "content-length", "content-type"] {
                assert_eq!(head.field(name), get.field(name), "{path} {name}");
            }
        }
    }
    daemon.wait_for_metric(COMPRESSED, &[("coding", "zstd")], 2.0);
    let taken = "equipoise_http_compression_input_bytes_total";
    assert_eq!(daemon.metric(taken, &[("coding", "zstd")]), 3_005_000.0);
}

#[test]
fn what_lies_there_comes_before_what_we_make() {
    let setup = site("compress = { encodings = [\"br\", \"gzip\"] }");
    put(setup.dir(), "a.txt", text(5_000));
    put(setup.dir(), "a.txt.br", "as it lies there");
    put(setup.dir(), "b.txt", "short");
    put(setup.dir(), "c.png", text(5_000));
    put(setup.dir(), "d.txt", [0x5a; 2_000].map(|_| fastrand::u8(..)));
    let daemon = setup.start();
    assert_eq!(take(&daemon, "/a.txt", "br", "").text(), "as it lies there");
    assert_eq!(whole(&take(&daemon, "/a.txt", "gzip", ""), "gzip"), text(5_000).as_bytes());
    assert_eq!(take(&daemon, "/a.txt", "zstd", "").field("content-encoding"), None);
    for (path, varies) in [("/b.txt", None), ("/c.png", None), ("/d.txt", Some("Accept-Encoding"))]
    {
        let answer = take(&daemon, path, "br, gzip", "");
        assert_eq!(answer.field("content-encoding"), None, "{path}");
        assert_eq!(answer.field("vary"), varies, "{path}");
    }
}

#[test]
fn a_file_that_changes_is_encoded_anew() {
    let setup = site("compress = true");
    put(setup.dir(), "a.txt", text(5_000));
    let daemon = setup.start();
    assert_eq!(whole(&take(&daemon, "/a.txt", "br", ""), "br").len(), 5_000);
    put(daemon.dir(), "a.txt", text(6_000));
    wait_until(DEADLINE, "the new one", || {
        whole(&take(&daemon, "/a.txt", "br", ""), "br").len() == 6_000
    });
}

#[test]
fn an_old_client_gets_a_long_one_until_the_connection_ends() {
    let setup = site("compress = true");
    put(setup.dir(), "a.txt", text(500_000));
    let daemon = setup.start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /a.txt HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nAccept-Encoding: br\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.field("transfer-encoding"), answer.closes()), (None, true));
    assert!(whole(&answer, "br") == text(500_000).as_bytes());
}

/// The client takes little: the file is cut short before it has been read.
#[test]
fn a_file_that_is_cut_short_within_its_answer_makes_no_clean_end() {
    let setup = site("compress = true");
    let noise: Vec<u8> =
        std::iter::repeat_with(|| fastrand::u8(b' '..b'~')).take(60 << 20).collect();
    let path = put(setup.dir(), "a.txt", noise);
    let daemon = setup.start();
    let mut client = Client::connect_with_small_buffer(daemon.address("web"));
    client.send("GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    client.take(100_000).expect("it begins");
    let file = fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.set_len(50 << 20).expect("it can be cut");
    let rest = client.rest().expect("it ends");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a clean end of what is not whole");
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "file-changed")], 1.0);
}

#[test]
fn too_many_at_once_go_as_they_lie_there() {
    let setup = site_with("max_compressions = 1", "compress = true");
    let noise: Vec<u8> =
        std::iter::repeat_with(|| fastrand::u8(b' '..b'~')).take(60 << 20).collect();
    put(setup.dir(), "a.txt", noise);
    put(setup.dir(), "b.txt", text(200_000));
    let daemon = setup.start();
    let mut held = Client::connect_with_small_buffer(daemon.address("web"));
    held.send("GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    held.take(100_000).expect("it begins");
    let plain = take(&daemon, "/b.txt", "br", "");
    assert_eq!((plain.field("content-encoding"), plain.text()), (None, text(200_000)));
    assert_eq!(plain.field("vary"), Some("Accept-Encoding"));
    daemon.wait_for_metric("equipoise_http_compression_skipped_total", &[], 1.0);
    drop(held);
    wait_until(DEADLINE, "its place", || {
        take(&daemon, "/b.txt", "br", "").field("content-encoding") == Some("br")
    });
}

#[test]
fn files_are_read_by_curl_over_http2() {
    let setup = site("compress = true");
    for (name, length) in [("a.html", 20_000), ("b.html", 900_000)] {
        put(setup.dir(), name, text(length));
    }
    let daemon = setup.start();
    for (name, length) in [("a.html", 20_000), ("b.html", 900_000)] {
        let url = format!("http://{}/{name}", daemon.address("web"));
        let into = daemon.dir().join("page");
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--http2-prior-knowledge", "--compressed"]);
        command.args(["--max-time", "60", "--write-out", "%{size_download}", "--output"]);
        let got = run(command.arg(&into).arg(&url));
        assert_eq!(got.code, 0, "{}", got.words());
        assert!(fs::read(&into).expect("it is written") == text(length).as_bytes(), "{name}");
        let size: usize = got.stdout.parse().expect("a number");
        assert!(size < length / 10, "{name}: {size} bytes");
    }
}
