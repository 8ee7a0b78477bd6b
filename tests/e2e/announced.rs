//! The PROXY protocol towards backends: each connection says whose it is, and carries nothing else.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
};

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, ONE_BACKEND, Origin, Peer, Process, Setup, free_port,
    request, run, wait_until,
};

/// What a client's header said, in the words of version 1, and on which connection.
type Heard = Arc<Mutex<Vec<String>>>;

/// Reads the header of either version, and says it in the words of version 1.
fn header(peer: &mut Peer) -> Option<String> {
    let mut bytes = vec![0; 6];
    peer.read_exact(&mut bytes).ok()?;
    if bytes == b"PROXY " {
        while !bytes.ends_with(b"\r\n") {
            let mut next = [0];
            peer.read_exact(&mut next).ok()?;
            bytes.extend(next);
        }
        return Some(String::from_utf8_lossy(&bytes).trim_end().to_owned());
    }
    bytes.resize(16, 0);
    peer.read_exact(&mut bytes[6..]).ok()?;
    assert_eq!(bytes[..12], *b"\r\n\r\n\0\r\nQUIT\n");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([bytes[14], bytes[15]]))];
    peer.read_exact(&mut rest).ok()?;
    Some(match (bytes[12], bytes[13], &rest[..]) {
        (0x20, 0, []) => "PROXY UNKNOWN".to_owned(),
        (0x21, 0x11, &[a, b, c, d, e, f, g, h, i, j, k, l]) => {
            let (from, to) = (u16::from_be_bytes([i, j]), u16::from_be_bytes([k, l]));
            format!("PROXY TCP4 {a}.{b}.{c}.{d} {e}.{f}.{g}.{h} {from} {to}")
        }
        other => format!("{other:?}"),
    })
}

/// An origin that answers requests behind a header, with the number of the connection.
fn told_origin() -> (Origin, Heard) {
    let heard = Heard::default();
    let kept = heard.clone();
    let origin = Origin::start(move |peer| {
        let Some(header) = header(peer) else {
            return;
        };
        kept.lock().unwrap().push(header);
        while peer.request().is_some() {
            let number = peer.number.to_string();
            peer.answer(200, &number);
        }
    });
    (origin, heard)
}

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut heard.lock().unwrap())
}

fn config(keys: &str) -> String {
    format!("{ONE_BACKEND}\n{keys}")
}

fn before(origin: &Origin, keys: &str) -> Daemon {
    Setup::of(&config(keys)).with("origin", origin.address()).start()
}

/// What is announced of a client on 127.0.0.1.
fn of(client: SocketAddr, door: SocketAddr) -> String {
    format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}", client.port(), door.port())
}

#[test]
fn a_connection_carries_the_requests_of_one_client() {
    for version in ["v1", "v2"] {
        let (origin, heard) = told_origin();
        let daemon = before(&origin, &format!("proxy_protocol = \"{version}\""));
        let door = daemon.address("web");
        let (mut one, mut other) = (Client::connect(door), Client::connect(door));
        let answers = [
            one.get("/").text(),
            one.get("/").text(),
            other.get("/").text(),
            one.get("/").text(),
            other.get("/").text(),
        ];
        assert_eq!(answers, ["0", "0", "1", "0", "1"]);
        let expected = [of(one.address(), door), of(other.address(), door)];
        assert_eq!(take(&heard), expected, "{version}");
        assert_eq!(origin.violations(), [""; 0]);
    }
}

#[test]
fn the_first_proxy_has_the_word_through_a_chain_and_ahead_of_tls() {
    let authority = Authority::new();
    let (origin, heard) = told_origin();
    let setup = Setup::of(
        r#"
        [listener.outer]
        bind = ["$outer"]
        proxy_protocol_from = "127.0.0.1"
        [listener.inner]
        bind = ["$inner"]
        certificates = [{ cert = "$dir/c.crt", key = "$dir/c.key", default = true }]
        proxy_protocol_from = "127.0.0.1"
        [[route]]
        listener = "outer"
        pool = "inner"
        [[route]]
        listener = "inner"
        pool = "app"
        [pool.inner]
        backends = ["$inner"]
        proxy_protocol = "v2"
        tls = { ca = "$dir/ca.pem", name = "inner.internal" }
        [pool.app]
        backends = ["$origin"]
        proxy_protocol = "v1"
        "#,
    )
    .with("origin", origin.address())
    .with("inner", format!("127.0.0.1:{}", free_port()));
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    authority.issue(&["inner.internal", "www.example.com"]).write(setup.dir(), "c");
    let daemon = setup.start();
    for client in ["TCP4 192.0.2.7 10.0.0.1 4660 443", "TCP6 2001:db8::7 ::1 5 443"] {
        let mut connection = Client::connect(daemon.address("outer"));
        connection.send(format!("PROXY {client}\r\n{}", request("/")));
        assert_eq!(connection.answer().status, 200);
        assert_eq!(take(&heard), [format!("PROXY {client}")]);
    }
    let seen = origin.take_requests().pop().expect("a request");
    assert_eq!(seen.field("X-Forwarded-For"), Some("2001:db8::7"));
}

#[test]
fn relayed_bytes_come_behind_it() {
    let heard = Heard::default();
    let kept = heard.clone();
    let origin = Origin::start(move |peer| {
        kept.lock().unwrap().extend(header(peer));
        let bytes = peer.rest();
        peer.write(bytes);
    });
    let relaying = config("proxy_protocol = \"v2\"")
        .replace("bind = [\"$web\"]", "bind = [\"$web\"]\ntcp = \"app\"")
        .replace("[[route]]\n    pool = \"app\"\n", "");
    let daemon = Setup::of(&relaying).with("origin", origin.address()).start();
    let door = daemon.address("web");
    let mut client = TcpStream::connect(door).expect("a connection");
    client.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    client.write_all(b"any bytes").expect("a connection that takes it");
    client.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut echoed = String::new();
    client.read_to_string(&mut echoed).expect("a clean end");
    assert_eq!(echoed, "any bytes");
    let expected = of(client.local_addr().expect("an address"), door);
    assert_eq!(take(&heard), [expected]);
}

#[test]
fn probes_are_our_own_connections() {
    for version in ["v1", "v2"] {
        let (origin, heard) = told_origin();
        let keys = format!("proxy_protocol = \"{version}\"\nhealth = {{ path = \"/healthz\" }}");
        let daemon = before(&origin, &keys);
        daemon.wait_for_metric("equipoise_backend_up", &[("pool", "app")], 1.0);
        assert_eq!(heard.lock().unwrap().first().map(String::as_str), Some("PROXY UNKNOWN"));
    }
}

#[test]
fn another_port_that_is_probed_is_told_nothing() {
    let (origin, health) = (told_origin().0, Origin::answering("well"));
    let port = health.address().port();
    let keys =
        format!("proxy_protocol = \"v2\"\nhealth = {{ path = \"/healthz\", port = {port} }}");
    let daemon = before(&origin, &keys);
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "app")], 1.0);
    assert_eq!((origin.connections(), health.violations()), (0, Vec::new()));
}

#[test]
fn a_reload_that_changes_it_uses_no_connection_of_before() {
    let plain = Origin::answering("plain");
    let mut daemon = before(&plain, "");
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").text(), "plain");
    daemon.rewrite(&config("proxy_protocol = \"v1\""));
    daemon.reload();
    // To who does not expect the header it is no request line, and what follows no field.
    client.send(request("/"));
    let answer = client.answer();
    assert_eq!((answer.status, plain.connections()), (502, 2));
    assert!(plain.violations()[0].contains("GET"), "{:?}", plain.violations());
    daemon.rewrite(&config(""));
    daemon.reload();
    assert_eq!(client.get("/").text(), "plain");
    assert_eq!(plain.connections(), 2, "the first connection is good again");
}

#[test]
fn a_copy_of_a_request_says_whose_it_is_as_well() {
    let (origin, (shadow, heard)) = (Origin::answering("ok"), told_origin());
    let mirrored =
        ONE_BACKEND.replace("pool = \"app\"", "pool = \"app\"\nmirror = { pool = \"shadow\" }");
    let shadowed = "[pool.shadow]\nbackends = [\"$shadow\"]\nproxy_protocol = \"v2\"";
    let daemon = Setup::of(&format!("{mirrored}\n{shadowed}"))
        .with("origin", origin.address())
        .with("shadow", shadow.address())
        .start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").text(), "ok");
    wait_until(DEADLINE, "the copy", || shadow.requests() == 1);
    assert_eq!(take(&heard), [of(client.address(), daemon.address("web"))]);
}

#[test]
fn the_client_of_a_stream_is_told_by_curl() {
    let (origin, heard) = told_origin();
    let daemon = before(&origin, "proxy_protocol = \"v1\"");
    let door = daemon.address("web");
    let url = format!("http://{door}/");
    let told = ["-sS", "--http2-prior-knowledge", "-w", " %{http_version} %{local_port}"];
    let output = run(Command::new("curl").args(told).arg(&url));
    let port = output.stdout.rsplit(' ').next().unwrap_or_default();
    assert_eq!(output.stdout, format!("0 2 {port}"), "{output:?}");
    assert_eq!(take(&heard), [format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}", door.port())]);
}

/// It prints what the header says of the client, and answers probes whose header names none.
#[test]
fn another_implementation_reads_it_by_nginx() {
    for version in ["v1", "v2"] {
        let port = free_port();
        let keys = format!("proxy_protocol = \"{version}\"\nhealth = {{ path = \"/healthz\" }}");
        let setup = Setup::of(&config(&keys)).with("origin", format!("127.0.0.1:{port}"));
        let dir = setup.dir().to_owned();
        let config = format!(
            "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
             server {{ listen 127.0.0.1:{port} proxy_protocol;\n\
             location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port \
             $proxy_protocol_server_port\"; }} }} }}",
            dir.display()
        );
        fs::write(dir.join("nginx.conf"), config).expect("a writable folder");
        let mut command = Command::new("nginx");
        let file = dir.join("nginx.conf").display().to_string();
        let _nginx = Process::start(command.args(["-p", &dir.display().to_string(), "-c", &file]));
        wait_until(DEADLINE, "nginx to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let daemon = setup.start();
        let door = daemon.address("web");
        let mut client = Client::connect(door);
        for _ in 0..2 {
            let expected = format!("127.0.0.1 {} {}", client.address().port(), door.port());
            assert_eq!(client.get("/").text(), expected, "{version}");
        }
    }
}
