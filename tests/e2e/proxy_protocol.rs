//! The PROXY protocol from those who may speak it: whom a connection is for, to backends, limits and
//! the log; from others, and without it, nothing.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
};

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, ONE_BACKEND, Origin, Setup, request, run,
};

const REFUSED: &str = "equipoise_listener_connections_refused_total";

/// Version 2, IPv4: 192.0.2.7:4660, with a field behind the addresses.
const V2: [u8; 32] =
    *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\x01\xbb\x04\0\x01\0";
/// Version 2: the proxy's own connection.
const LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn config(keys: &str) -> String {
    ONE_BACKEND.replace("bind = [\"$web\"]", &format!("bind = [\"$web\"]\n{keys}"))
}

fn before(origin: &Origin, keys: &str) -> Daemon {
    let keys = format!(
        "proxy_protocol_from = \"127.0.0.0/8\"\ntimeouts = {{ header = \"500ms\" }}\n{keys}"
    );
    Setup::of(&config(&keys)).with("origin", origin.address()).start()
}

#[test]
fn whom_a_connection_is_for_is_told_to_the_backend() {
    let origin = Origin::answering("ok");
    let daemon = before(&origin, "");
    for (header, client) in [
        (&b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n"[..], "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4660 443\r\n", "2001:db8::7"),
        (&V2, "192.0.2.7"),
        (&LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let mut connection = Client::connect(daemon.address("web"));
        connection.send([header, request("/").as_bytes()].concat());
        assert_eq!(connection.answer().text(), "ok");
        let seen = origin.take_requests().pop().expect("a request");
        assert_eq!(seen.field("X-Forwarded-For"), Some(client));
    }
}

#[test]
fn a_header_may_come_in_drips() {
    let origin = Origin::answering("ok");
    let daemon = before(&origin, "");
    let mut connection = Client::connect(daemon.address("web"));
    for byte in V2 {
        connection.send([byte]);
    }
    assert_eq!(connection.get("/").text(), "ok");
}

#[test]
fn without_its_header_a_connection_is_refused() {
    let origin = Origin::answering("ok");
    let daemon = before(&origin, "");
    let mut plain = Client::connect(daemon.address("web"));
    plain.send(request("/"));
    // An end or a reset: what it said was not read.
    assert!(plain.rest().is_ok_and(|heard| heard.is_empty()) || plain.sees_close());
    daemon.wait_for_metric(REFUSED, &[("reason", "bad-proxy-header")], 1.0);
    let mut silent = Client::connect(daemon.address("web"));
    assert!(silent.sees_close());
    daemon.wait_for_metric(REFUSED, &[("reason", "proxy-header-timeout")], 1.0);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn from_elsewhere_nobody_is_believed() {
    let origin = Origin::answering("ok");
    let keys = "proxy_protocol_from = [\"10.0.0.0/8\"]";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    let mut connection = Client::connect(daemon.address("web"));
    let _ = connection.try_send([&V2[..], request("/").as_bytes()].concat());
    daemon.wait_for_metric(REFUSED, &[("reason", "proxy-source")], 1.0);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn limits_and_trust_go_by_the_address_that_is_told() {
    let origin = Origin::answering("ok");
    let keys = "max_connections_per_source = 1\ntrusted_proxies = \"192.0.2.7\"";
    let daemon = before(&origin, keys);
    let connect = |ip: &str| {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("PROXY TCP4 {ip} 10.0.0.1 1 443\r\n"));
        client
    };
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let (mut trusted, mut other) = (connect("192.0.2.7"), connect("192.0.2.8"));
    for (client, expected) in [(&mut trusted, "203.0.113.9, 192.0.2.7"), (&mut other, "192.0.2.8")]
    {
        client.send(ask);
        assert_eq!(client.answer().text(), "ok");
        let seen = origin.take_requests().pop().expect("a request");
        assert_eq!(seen.field("X-Forwarded-For"), Some(expected));
    }
    assert!(connect("192.0.2.7").sees_close());
    daemon.wait_for_metric(REFUSED, &[("reason", "source-limit")], 1.0);
}

#[test]
fn it_stands_before_tls_and_before_bytes_that_are_relayed() {
    let authority = Authority::new();
    let origin = Origin::start(|peer| {
        let heard = peer.rest();
        peer.write(heard);
    });
    let setup = Setup::of(
        r#"
        [listener.relay]
        bind = ["$relay"]
        tcp = "app"
        proxy_protocol_from = "127.0.0.1"
        [listener.tls]
        bind = ["$tls"]
        certificates = [{ cert = "$dir/c.crt", key = "$dir/c.key", default = true }]
        proxy_protocol_from = "127.0.0.1"
        [[route]]
        respond = { status = 200, body = "secret" }
        [pool.app]
        backends = ["$origin"]
        "#,
    )
    .with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "c");
    let daemon = setup.start();
    let mut relayed = TcpStream::connect(daemon.address("relay")).expect("a connection");
    relayed.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    relayed.write_all(&[&V2[..], b"PROXY no more"].concat()).expect("a connection that takes it");
    relayed.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = String::new();
    relayed.read_to_string(&mut heard).expect("a clean end");
    assert_eq!(heard, "PROXY no more");
    let mut hello = TcpStream::connect(daemon.address("tls")).expect("a connection");
    hello.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    hello.write_all(&[&V2[..], b"GET"].concat()).expect("a connection that takes it");
    let mut alert = [0; 1];
    hello.read_exact(&mut alert).expect("an alert of TLS");
    assert_eq!(alert, [21]);
}

#[test]
fn another_proxy_is_understood_by_curl() {
    let origin = Origin::answering("ok");
    let daemon = before(&origin, "");
    let url = format!("http://{}/", daemon.address("web"));
    let output = run(Command::new("curl").args(["-sS", "--haproxy-protocol", &url]));
    assert_eq!((output.code, output.stdout.as_str()), (0, "ok"), "{output:?}");
}
