//! Backends on Unix sockets, as Debian's php-fpm is set up.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    thread,
};

use super::before;
use crate::harness::{Client, DEADLINE, End, Php, Setup, get, wait_until};

#[test]
fn scripts_behind_a_socket_by_php_fpm() {
    let scripts = [
        ("index.php", "<?php echo 'page of ', $_SERVER['REMOTE_ADDR'];"),
        ("body.php", "<?php echo strlen(file_get_contents('php://input'));"),
        ("big.php", "<?php echo str_repeat('x', 20000000);"),
    ];
    let mut php = Php::start_behind_socket(2, &scripts);
    let root = php.root().display().to_string();
    let health = r#"max_idle = 1
        health = { path = "/ping", interval = "50ms", rise = 1, fall = 1 }"#;
    let daemon = before(php.listens(), &root, "", health);
    let door = daemon.address("web");
    let mut client = Client::connect(door);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "page of 127.0.0.1");
    }
    let length = 3_000_000;
    client.send(format!("POST /body.php HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.send("y".repeat(length));
    assert_eq!(client.answer().text(), length.to_string());
    let answer = client.get("/big.php");
    assert_eq!((answer.body.len(), answer.end), (20_000_000, End::Clean));

    let backend = php.listens();
    let labels = [("pool", "php"), ("backend", &*backend)];
    assert_eq!(daemon.metric("equipoise_backend_up", &labels), 1.0);
    let status = daemon.command(&["status"]);
    for shown in [&*backend, "fastcgi php"] {
        assert!(status.stdout.contains(shown), "{shown}: {}", status.words());
    }
    let output = daemon.command(&["drain", &format!("php/{backend}")]);
    assert_eq!(output.code, 0, "{}", output.words());
    assert_eq!(get(door, "/").status, 503);
    let output = daemon.command(&["enable", &format!("php/{backend}")]);
    assert_eq!(output.code, 0, "{}", output.words());
    wait_until(DEADLINE, "it to be back", || get(door, "/").status == 200);

    php.stop();
    daemon.wait_for_metric("equipoise_backend_up", &labels, 0.0);
    php.start_again(2);
    daemon.wait_for_metric("equipoise_backend_up", &labels, 1.0);
    assert_eq!(get(door, "/").status, 200);
}

/// Not for scripts alone: what speaks HTTP behind a socket is a backend as any other.
#[test]
fn http_behind_a_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("a path of our own");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(&stream));
        }
    });
    let daemon = Setup::of(
        r#"
        [listener.web]
        bind = ["$web"]
        [listener.relay]
        bind = ["$relay"]
        tcp = "app"
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["unix:$path"]
        health = {}
        "#,
    )
    .with("path", path.display())
    .start();
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..2 {
        assert_eq!(client.get("/a").text(), "GET /a HTTP/1.1 Host: www.example.com");
    }
    client.send("GET /b HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "GET /b HTTP/1.1 Host: localhost");
    let relayed = Client::connect(daemon.address("relay")).get("/c").text();
    assert_eq!(relayed, "GET /c HTTP/1.1 Host: www.example.com");
    assert_eq!(daemon.metric("equipoise_backend_connections_opened_total", &[]), 2.0);
}

/// Answers each request with its first line and its Host.
fn echo(stream: &UnixStream) {
    let mut writer = stream.try_clone().expect("a descriptor is free");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let fields = lines.by_ref().take_while(|line| !line.is_empty());
        let host: String = fields.filter(|line| line.starts_with("Host")).collect();
        let body = format!("{first} {host}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = writer.write_all(format!("{head}{body}").as_bytes());
    }
}

#[test]
fn a_socket_that_we_may_not_use_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("php.sock");
    let at = format!("unix:{}", path.display());
    let daemon = before(&at, "/srv/app", ", check_script = false", "");
    assert_eq!(get(daemon.address("web"), "/").status, 502);
    daemon.wait_for_log("there is no such socket");
    if rustix::process::geteuid().is_root() {
        // It may use every one.
        return;
    }
    let _listener = UnixListener::bind(&path).expect("a path of our own");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("a file of ours");
    let daemon = before(&at, "/srv/app", ", check_script = false", "");
    assert_eq!(get(daemon.address("web"), "/").status, 502);
    daemon.wait_for_log("permission denied");
}
