//! Which script is run, and that nothing else is.

use std::{fs, os::unix::fs::symlink};

use super::{answering, before, before_any};
use crate::harness::{
    Client, Origin,
    fastcgi::{Asked, answer},
    get,
};

/// A server that answers with the script that it is to run, and what else it is told of it.
fn telling() -> Origin {
    Origin::start(|peer| {
        if let Some(asked) = Asked::read(peer) {
            let param = |name| asked.param(name).unwrap_or("-").to_owned();
            let names =
                ["SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO", "DOCUMENT_URI", "REQUEST_URI"];
            let told: Vec<String> = names.into_iter().map(param).collect();
            peer.write(answer(format!("Content-Type: text/plain\n\n{}", told.join("|"))));
        }
    })
}

#[test]
fn scripts_are_files_below_the_root() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("public");
    for script in ["index.php", "a/b.php", "a/index.php", "é f.php", "folder.php/x.txt"] {
        let file = root.join(script);
        fs::create_dir_all(file.parent().expect("below the root")).expect("a folder");
        fs::write(file, "").expect("a file");
    }
    fs::write(folder.path().join("secret.php"), "").expect("a file");
    fs::write(root.join(".hidden.php"), "").expect("a file");
    symlink("../secret.php", root.join("leading-out.php")).expect("a link");
    symlink("a/b.php", root.join("leading-on.php")).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo.php"), rustix::fs::Mode::RWXU)
        .expect("a FIFO");
    let origin = telling();
    let at = root.display().to_string();
    let daemon = before(origin.address(), &at, "", "");
    let door = daemon.address("web");
    for (path, expected) in [
        ("/", "/index.php||/index.php|/"),
        ("/index.php", "/index.php||/index.php|/index.php"),
        ("/a/b.php/c/d?e", "/a/b.php|/c/d|/a/b.php/c/d|/a/b.php/c/d?e"),
        ("/a/", "/a/index.php||/a/index.php|/a/"),
        ("/x/../a/b.php", "/a/b.php||/a/b.php|/x/../a/b.php"),
        ("/%C3%A9%20f.php", "/é f.php||/é f.php|/%C3%A9%20f.php"),
        ("/leading-on.php", "/leading-on.php||/leading-on.php|/leading-on.php"),
    ] {
        let answer = get(door, path);
        let (name, rest) = expected.split_once('|').expect("parts");
        let expected = format!("{at}{name}|{name}|{rest}");
        assert_eq!((answer.status, answer.text()), (200, expected), "{path}");
    }
    let answer = get(door, "/a?b=c");
    assert_eq!((answer.status, answer.field("location")), (308, Some("/a/?b=c")));
    for path in [
        "/missing.php",
        "/b.php",
        "/leading-out.php",
        "/fifo.php",
        "/folder.php",
        "/.hidden.php",
        "/a//b.php",
        "/a%2Fb.php",
        "/a%5Cb.php",
        "/missing/",
        "/missing",
        "/index.phpx",
        "//a/b.php",
    ] {
        let answer = get(door, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("no-script"), "{path}: {}", answer.text());
    }
    for path in ["/../secret.php", "/%2e%2e/secret.php", "/index.php%00", "/a/..%2f..%2fsecret.php"]
    {
        assert!(matches!(get(door, path).status, 400 | 404), "{path}");
    }
    assert_eq!(origin.violations(), [""; 0]);
    let counted = daemon.metric("equipoise_http_errors_total", &[("reason", "no-script")]);
    assert!(counted >= 13.0, "{counted}");
}

#[test]
fn a_front_controller_takes_what_is_no_script() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("index.php"), "").expect("a file");
    fs::write(folder.path().join("other.php"), "").expect("a file");
    fs::create_dir(folder.path().join("css")).expect("a folder");
    let origin = telling();
    let at = folder.path().display().to_string();
    let daemon = before(origin.address(), &at, ", fallback = \"/index.php\"", "");
    let door = daemon.address("web");
    for path in ["/blog/a-post?x=1", "/css", "/css/", "/missing.php/x", "/.well-known/x", "/a%2Fb"]
    {
        let expected = format!("{at}/index.php|/index.php||/index.php|{path}");
        assert_eq!(get(door, path).text(), expected, "{path}");
    }
    assert_eq!(
        get(door, "/other.php").text(),
        format!("{at}/other.php|/other.php||/other.php|/other.php")
    );
}

#[test]
fn a_route_takes_its_prefix_away() {
    let origin = telling();
    let daemon = before_any(
        &origin,
        "}\npath = \"/app/\"\nstrip_prefix = true\nname = \"x\"\nlimits = {",
        "",
    );
    let answer = get(daemon.address("web"), "/app/a.php/info?q");
    assert_eq!(answer.text(), "/srv/app/a.php|/app/a.php|/info|/app/a.php/info|/app/a.php/info?q");
}

#[test]
fn a_route_for_one_script_is_passed_by_no_path_to_it() {
    let origin = telling();
    let guard = "}\n[[route]]\nexact = \"/admin.php\"\nname = \"guard\"\nrespond = { status = 403 }\n\
                 [[route]]\nexact = \"/a/index.php\"\nname = \"index\"\nrespond = { status = 403";
    let daemon = before_any(&origin, guard, "");
    let door = daemon.address("web");
    for (path, status) in [
        ("/admin.php", 403),
        ("/admin.php/x", 404),
        ("/admin.php/", 404),
        ("/%61dmin.php/x/y", 404),
        ("/x/../admin.php/x", 404),
        ("/a/index.php", 403),
        ("/a/index.php/x", 404),
        ("/a/", 404),
        ("/b/", 200),
        ("/other.php/x", 200),
    ] {
        assert_eq!(get(door, path).status, status, "{path}");
    }
}

#[test]
fn scripts_that_we_do_not_see() {
    let origin = telling();
    let daemon = before_any(&origin, ", index = \"main.fcgi\", split_path = \".fcgi\"", "");
    let door = daemon.address("web");
    assert!(get(door, "/a/").text().starts_with("/srv/app/a/main.fcgi|"));
    assert!(get(door, "/a/x.fcgi/y").text().starts_with("/srv/app/a/x.fcgi|/a/x.fcgi|/y|"));
    for path in ["/a", "/a.php"] {
        assert_eq!(get(door, path).status, 404, "{path}");
    }
}

#[test]
fn header_rules_hosts_and_ids_are_as_for_other_backends() {
    let origin = Origin::start(|peer| {
        if let Some(asked) = Asked::read(peer) {
            let params: Vec<String> = asked
                .params
                .iter()
                .filter(|(name, _)| name.starts_with("HTTP_"))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            peer.write(answer(format!("X-Script: 1\nServer: php\n\n{}", params.join("\n"))));
        }
    });
    let rules = "}\nrequest_headers = { set = { X-Own = \"1\" }, remove = [\"X-Gone\"] }\n\
                 response_headers = { remove = [\"Server\"] }\nname = \"x\"\nlimits = {";
    let daemon = before_any(&origin, rules, "host_header = \"inner.example\"");
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /a.php HTTP/1.1\r\nHost: www.example.com\r\nX-Gone: 1\r\nX_Own: 2\r\nConnection: X-Hop\r\n\
         X-Hop: 1\r\nX-Forwarded-For: 1.1.1.1\r\nAccept: a\r\nAccept: b\r\nAuthorization: Basic eA==\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.field("x-script"), answer.field("server")), (Some("1"), None));
    let text = answer.text();
    let fixed: Vec<&str> = text.lines().filter(|line| !line.contains("_ID=")).collect();
    assert_eq!(
        fixed,
        [
            "HTTP_HOST=inner.example",
            "HTTP_ACCEPT=a, b",
            "HTTP_AUTHORIZATION=Basic eA==",
            "HTTP_X_OWN=1",
            "HTTP_X_FORWARDED_FOR=127.0.0.1",
            "HTTP_X_FORWARDED_PROTO=http",
            "HTTP_X_FORWARDED_HOST=www.example.com",
            &format!("HTTP_X_FORWARDED_PORT={}", daemon.address("web").port()),
            "HTTP_FORWARDED=for=127.0.0.1;host=\"www.example.com\";proto=http",
        ]
    );
    assert!(text.contains("HTTP_X_REQUEST_ID="));
}

#[test]
fn headers_that_fit_in_no_record_are_refused() {
    let origin = answering("\n");
    let daemon = before_any(&origin, "", "");
    let setup = "GET /a.php HTTP/1.1\r\nHost: a\r\n";
    let mut client = Client::connect(daemon.address("web"));
    // Four lines of 16 KiB are one parameter.
    let line = format!("Cookie: {}\r\n", "c".repeat(15_000));
    client.send(format!("{setup}{}\r\n", line.repeat(4)));
    assert_eq!(client.answer().status, 200);
    assert_eq!(origin.violations(), [""; 0]);
}
