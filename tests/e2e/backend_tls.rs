//! TLS to backends: who they must be, who we are to them, and what comes of it when they are not.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::Arc,
};

use rustls::HandshakeKind;

use crate::harness::{
    Authority, Broken, Client, DEADLINE, Daemon, End, Origin, Pair, Peer, Process, Setup,
    TlsVersions, client_config, free_port, get, server_config, wait_until,
};

/// One listener, and a pool of `$origin` with this text in it.
fn config(pool: &str) -> String {
    format!(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        passive = {{ fall = 0 }}
        {pool}
        "#
    )
}

fn echo(peer: &mut Peer) {
    while peer.request().is_some() {
        peer.answer(200, "over TLS");
    }
}

fn origin(pair: &Pair) -> Origin {
    Origin::tls(server_config(pair, None, TlsVersions::All), echo)
}

/// A daemon that has the authority's certificate as `$dir/ca.pem`.
fn daemon(authority: &Authority, origin: &Origin, pool: &str) -> Daemon {
    let setup = Setup::of(&config(pool)).with("origin", origin.address());
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    setup.start()
}

const HANDSHAKES: &str = "equipoise_backend_tls_handshakes_total";

#[track_caller]
fn check_refused(daemon: &Daemon, reason: &str) {
    let answer = get(daemon.address("web"), "/");
    assert_eq!(answer.status, 502, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains(&format!("reason: {reason}: ")), "{text}");
    wait_until(DEADLINE, "it to be counted", || {
        daemon.metric("equipoise_http_errors_total", &[("reason", reason)]) >= 1.0
    });
}

#[test]
fn a_backend_with_the_right_certificate_is_answered_from_and_its_connection_kept() {
    let authority = Authority::new();
    let names = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, pair) = (names.clone(), authority.issue(&["app.internal"]));
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), move |peer| {
        while peer.request().is_some() {
            let session = peer.session();
            let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
            seen.lock().unwrap().push((session.server_name().map(str::to_owned), alpn));
            peer.answer(200, "over TLS");
        }
    });
    let tls = r#"tls = { ca = "$dir/ca.pem", name = "app.internal" }"#;
    let daemon = daemon(&authority, &origin, tls);
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "over TLS");
    }
    assert_eq!(origin.connections(), 1);
    let expected = (Some("app.internal".to_owned()), Some(b"http/1.1".to_vec()));
    assert_eq!(*names.lock().unwrap(), vec![expected; 3]);
    assert_eq!(daemon.metric(HANDSHAKES, &[("result", "full")]), 1.0);
    assert_eq!(daemon.metric(HANDSHAKES, &[("result", "failed")]), 0.0);
}

#[test]
fn the_name_is_the_host_that_is_set_or_the_address() {
    let authority = Authority::new();
    let by_host = origin(&authority.issue(&["www.example.com"]));
    let host = "host_header = \"www.example.com:8443\"\ntls = { ca = \"$dir/ca.pem\" }";
    let by_host = (daemon(&authority, &by_host, host), by_host);
    let by_address = origin(&authority.issue(&["127.0.0.1"]));
    let address = "tls = { ca = \"$dir/ca.pem\" }";
    let by_address = (daemon(&authority, &by_address, address), by_address);
    for (daemon, _) in [&by_host, &by_address] {
        assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_by_its_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = r#"tls = { ca = "$dir/ca.pem", name = "app.internal" }"#;
    for (pair, reason, words) in [
        (
            authority.issue(&["other.internal", "127.0.0.1"]),
            "upstream-certificate-name",
            "other.internal",
        ),
        (other.issue(&["app.internal"]), "upstream-certificate-issuer", "BadSignature"),
        (
            authority.issue_until(&["app.internal"], 2021),
            "upstream-certificate-expired",
            "certificate expired",
        ),
    ] {
        let origin = origin(&pair);
        let daemon = daemon(&authority, &origin, tls);
        check_refused(&daemon, reason);
        check_refused(&daemon, reason);
        assert_eq!(origin.requests(), 0, "{reason}");
        assert!(daemon.metric(HANDSHAKES, &[("result", "failed")]) >= 2.0);
        assert!(daemon.metric("equipoise_backend_connect_failures_total", &[]) >= 2.0);
        let line = daemon.wait_for_log("TLS handshake failed");
        assert!(line.contains("pool app: 127.0.0.1:") && line.contains(words), "{line}");
        let told = daemon.log().iter().filter(|line| line.contains("handshake failed")).count();
        assert_eq!(told, 1, "a client can fill no log");
    }
}

#[test]
fn a_backend_that_speaks_no_tls_is_refused() {
    let authority = Authority::new();
    let origin = Origin::start(|peer| {
        peer.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        peer.hang();
    });
    let daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    check_refused(&daemon, "upstream-handshake-failed");
    daemon.wait_for_log("does it speak TLS on this port?");
}

#[test]
fn failed_handshakes_turn_a_backend_down_and_others_are_tried() {
    let (authority, other) = (Authority::new(), Authority::new());
    let bad = origin(&other.issue(&["127.0.0.1"]));
    let good = origin(&authority.issue(&["127.0.0.1"]));
    let text = config("tls = { ca = \"$dir/ca.pem\" }")
        .replace("[\"$origin\"]", "[\"$bad\", \"$good\"]")
        .replace("fall = 0", "fall = 3");
    let setup = Setup::of(&text).with("bad", bad.address()).with("good", good.address());
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    let daemon = setup.start();
    wait_until(DEADLINE, "the bad one to be down", || {
        assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
        let labels = [("backend", &*bad.address().to_string())];
        daemon.metric("equipoise_backend_up", &labels) == 0.0
    });
    assert_eq!(bad.requests(), 0);
}

#[test]
fn a_backend_that_says_nothing_is_waited_for_no_longer_than_to_connect() {
    let authority = Authority::new();
    let origin = Origin::start(|peer| peer.hang());
    let pool = "tls = { ca = \"$dir/ca.pem\" }\ntimeouts = { connect = \"200ms\" }";
    let daemon = daemon(&authority, &origin, pool);
    let answer = get(daemon.address("web"), "/");
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("connect-timeout"), "{}", answer.text());
}

#[test]
fn a_backend_may_want_to_know_who_we_are() {
    let (authority, clients) = (Authority::new(), Authority::new());
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let pair = authority.issue(&["127.0.0.1"]);
        let origin = Origin::tls(server_config(&pair, Some(&clients), versions), echo);
        let without = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
        check_refused(&without, "upstream-handshake-failed");
        let tls = r#"tls = { ca = "$dir/ca.pem", cert = "$dir/us.crt", key = "$dir/us.key" }"#;
        let setup = Setup::of(&config(tls)).with("origin", origin.address());
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        clients.issue(&["proxy.internal"]).write(setup.dir(), "us");
        let daemon = setup.start();
        assert_eq!(get(daemon.address("web"), "/").text(), "over TLS", "{versions:?}");
        let expiry = "equipoise_certificate_not_after_timestamp_seconds";
        let labels = [("pool", "app"), ("certificate", "proxy.internal")];
        assert!(daemon.metrics().has(expiry, &labels), "{}", daemon.metrics_text());
    }
}

#[test]
fn who_trusts_anyone_is_warned() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = origin(&other.issue_until(&["other.internal"], 2021));
    let daemon = daemon(&authority, &origin, "tls = { verify = false }");
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    let warning = "pool app: `verify = false`: whoever answers at its addresses is taken";
    assert!(daemon.wait_for_log(warning).contains("WARN"));
    let check = daemon.command(&["check"]);
    assert_eq!(check.code, 0, "{}", check.words());
    assert!(check.words().contains(warning), "{}", check.words());
}

#[test]
fn the_systems_authorities_are_trusted_unless_others_are_named() {
    let authority = Authority::new();
    let origin = origin(&authority.issue(&["127.0.0.1"]));
    let setup = Setup::of(&config("tls = {}")).with("origin", origin.address());
    let bundle = setup.dir().join("system.pem");
    fs::write(&bundle, authority.pem()).expect("a writable folder");
    let daemon = setup.environment("SSL_CERT_FILE", bundle.display()).start();
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");

    let none = Setup::of(&config("tls = {}")).with("origin", origin.address());
    let missing = none.dir().join("missing.pem");
    let none = none.environment("SSL_CERT_FILE", missing.display());
    let mut none = none.environment("SSL_CERT_DIR", missing.display()).spawn();
    assert_eq!(none.wait_exit(), 1);
    none.wait_for_log("install the package ca-certificates");
}

#[test]
fn renewed_authorities_and_certificates_of_ours_are_taken_up_without_a_signal() {
    let (before, after) = (Authority::new(), Authority::new());
    let pair = after.issue(&["127.0.0.1"]);
    let origin = Origin::tls(server_config(&pair, Some(&after), TlsVersions::All), echo);
    let tls = r#"tls = { ca = "$dir/ca.pem", cert = "$dir/us.crt", key = "$dir/us.key" }"#;
    let setup = Setup::of(&config(tls)).with("origin", origin.address());
    fs::write(setup.dir().join("ca.pem"), before.pem()).expect("a writable folder");
    before.issue(&["proxy.internal"]).write(setup.dir(), "us");
    let daemon = setup.start();
    check_refused(&daemon, "upstream-certificate-issuer");
    fs::write(daemon.dir().join("ca.pem"), after.pem()).expect("a writable folder");
    let line = daemon.wait_for_log("ca.pem renewed");
    assert!(line.contains("pool app: "), "{line}");
    wait_until(DEADLINE, "the new authority", || {
        get(daemon.address("web"), "/").text().contains("upstream-handshake-failed")
    });
    after.issue(&["proxy.internal"]).write(daemon.dir(), "us");
    wait_until(DEADLINE, "the new certificate of ours", || {
        get(daemon.address("web"), "/").text() == "over TLS"
    });
    fs::write(daemon.dir().join("ca.pem"), "nonsense").expect("a writable folder");
    daemon.wait_for_log("not renewed");
    let failures = "equipoise_certificate_reload_failures_total";
    assert_eq!(daemon.metric(failures, &[("pool", "app")]), 1.0);
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
}

#[test]
fn a_broken_file_refuses_the_start_and_the_reload_at_its_place() {
    let authority = Authority::new();
    let origin = origin(&authority.issue(&["127.0.0.1"]));
    let pool = "tls = { ca = \"$dir/ca.pem\" }";
    let mut daemon = daemon(&authority, &origin, pool);
    daemon.rewrite(&config("tls = { ca = \"$dir/none.pem\" }"));
    let output = daemon.command(&["reload"]);
    assert_eq!(output.code, 4, "{}", output.words());
    assert!(output.words().contains("none.pem does not exist"), "{}", output.words());
    assert!(output.words().contains("equipoise.toml:10:"), "{}", output.words());
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    let check = daemon.command(&["check"]);
    assert_eq!(check.code, 1, "{}", check.words());
}

#[test]
fn sessions_are_resumed_with_each_backend_by_itself() {
    let authority = Authority::new();
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let kinds = Arc::new(std::sync::Mutex::new(Vec::new()));
        let one = || {
            let (kinds, pair) = (kinds.clone(), authority.issue(&["127.0.0.1"]));
            Origin::tls(server_config(&pair, None, versions), move |peer| {
                if peer.request().is_some() {
                    kinds.lock().unwrap().push(peer.session().handshake_kind());
                    peer.write(
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                    );
                    peer.close_notify();
                }
            })
        };
        let (first, second) = (one(), one());
        let text = config("tls = { ca = \"$dir/ca.pem\" }")
            .replace("[\"$origin\"]", "[\"$first\", \"$second\"]");
        let setup =
            Setup::of(&text).with("first", first.address()).with("second", second.address());
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        let daemon = setup.start();
        for _ in 0..8 {
            assert_eq!(get(daemon.address("web"), "/").text(), "ok");
        }
        let kinds = kinds.lock().unwrap();
        let resumed = kinds.iter().filter(|kind| **kind == Some(HandshakeKind::Resumed)).count();
        assert_eq!(resumed, 6, "{versions:?}: {kinds:?}");
        assert_eq!(daemon.metric(HANDSHAKES, &[("result", "resumed")]), 6.0);
        assert_eq!(daemon.metric(HANDSHAKES, &[("result", "full")]), 2.0);
    }
}

/// Both ports hold the same keys, so that either would take a session of the other.
#[test]
fn a_probe_at_another_port_has_sessions_of_its_own() {
    let authority = Authority::new();
    let tls = server_config(&authority.issue(&["127.0.0.1"]), None, TlsVersions::All);
    let kinds = Arc::new(std::sync::Mutex::new(Vec::new()));
    let probed = Origin::tls(tls.clone(), echo);
    let seen = kinds.clone();
    let serving = Origin::tls(tls, move |peer| {
        while peer.request().is_some() {
            seen.lock().unwrap().push(peer.session().handshake_kind());
            peer.answer(200, "over TLS");
        }
    });
    let port = probed.address().port();
    let health = format!("health = {{ port = {port} }}\ntls = {{ ca = \"$dir/ca.pem\" }}");
    let daemon = daemon(&authority, &serving, &health);
    assert!(probed.requests() > 0, "it is ready when it has been probed");
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    assert_eq!(*kinds.lock().unwrap(), [Some(HandshakeKind::Full)]);
}

#[test]
fn records_without_data_leave_an_idle_connection_fit() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::Only13), |peer| {
        while peer.request().is_some() {
            peer.answer(200, "over TLS");
            peer.update_keys();
        }
    });
    let daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    for _ in 0..5 {
        assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn bytes_that_no_one_asked_for_make_an_idle_connection_unfit() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), |peer| {
        while peer.request().is_some() {
            // In one record: the second answer is decrypted along with the first.
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            peer.write(format!("{answer}{}", answer.replace("ok", "no")));
        }
    });
    let daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    for _ in 0..3 {
        assert_eq!(get(daemon.address("web"), "/").text(), "ok");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn idle_connections_do_not_outlive_the_trust_they_were_made_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = origin(&authority.issue(&["127.0.0.1"]));
    let mut daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    assert_eq!(origin.open_connections(), 1);
    daemon.reload();
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    assert_eq!(origin.connections(), 1, "a reload that changes nothing keeps them");
    fs::write(daemon.dir().join("other.pem"), other.pem()).expect("a writable folder");
    daemon.rewrite(&config("tls = { ca = \"$dir/other.pem\" }"));
    daemon.reload();
    wait_until(DEADLINE, "the idle connection to be closed", || origin.open_connections() == 0);
    check_refused(&daemon, "upstream-certificate-issuer");
}

#[test]
fn long_bodies_pass_both_ways_and_a_cut_one_is_seen() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let length = 3 << 20;
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/cut" {
                peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
                return;
            }
            assert_eq!(request.body.len(), length);
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            answer.push_str(&"y".repeat(length));
            peer.write(answer);
        }
    });
    let daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    let mut client = Client::connect(daemon.address("web"));
    let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n");
    client.send(head + &"x".repeat(length));
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.len(), answer.end), (200, length, End::Clean));
    // No close_notify: whether that was all can't be told, and so is not said.
    let answer = get(daemon.address("web"), "/cut");
    assert_eq!(answer.status, 200);
    assert_ne!(answer.end, End::Clean);
}

#[test]
fn a_tunnel_goes_on_inside_tls_to_its_clean_end() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), |peer| {
        if peer.head().is_none() {
            return;
        }
        peer.write("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
        let heard = peer.rest();
        peer.write(heard);
        peer.close_notify();
    });
    let daemon = daemon(&authority, &origin, "tls = { ca = \"$dir/ca.pem\" }");
    let mut stream = TcpStream::connect(daemon.address("web")).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    let ask = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(ask.as_bytes()).expect("a connection that takes it");
    stream.write_all(&vec![b'x'; 200_000]).expect("a connection that takes it");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).expect("the other half, to a clean end");
    let seen = String::from_utf8_lossy(&seen);
    let (head, tunnel) = seen.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(tunnel.starts_with("earlyx"));
    assert_eq!(tunnel.len(), 5 + 200_000);
}

#[test]
fn a_tunnel_that_is_cut_off_makes_no_clean_end() {
    let authority = Authority::new();
    let pair = authority.issue(&["127.0.0.1"]);
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), |peer| {
        if peer.head().is_some() {
            peer.write("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhalf");
        }
    });
    let text = config("tls = { ca = \"$dir/ca.pem\" }").replace(
        "bind = [\"$web\"]",
        "bind = [\"$web\"]\ncertificates = [{ cert = \"$dir/www.crt\", key = \"$dir/www.key\" }]",
    );
    let setup = Setup::of(&text).with("origin", origin.address());
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let trust = client_config(&authority, TlsVersions::All);
    let mut client = Client::tls(daemon.address("web"), &trust, "www.example.com").expect("TLS");
    client.send(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    assert_eq!(client.answer_head().status, 101);
    assert_eq!(client.take(4), Ok(b"half".to_vec()));
    assert_eq!(client.rest(), Err(Broken::Reset), "no close_notify");
}

#[test]
fn probes_speak_the_same_tls() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) =
        (origin(&authority.issue(&["127.0.0.1"])), origin(&other.issue(&["127.0.0.1"])));
    for health in ["health = {}", "health = { type = \"tcp\" }"] {
        let text = config(&format!("tls = {{ ca = \"$dir/ca.pem\" }}\n{health}"))
            .replace("[\"$origin\"]", "[\"$good\", \"$bad\"]");
        let setup = Setup::of(&text).with("good", good.address()).with("bad", bad.address());
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        let daemon = setup.start();
        let up = |origin: &Origin| {
            let backend = origin.address().to_string();
            daemon.metric("equipoise_backend_up", &[("backend", &backend)])
        };
        assert_eq!((up(&good), up(&bad)), (1.0, 0.0), "{health}");
        let line = daemon.wait_for_log("stays down");
        assert!(line.contains("TLS handshake failed") && line.contains("BadSignature"), "{line}");
    }
}

#[test]
fn probes_may_go_to_a_port_without_tls() {
    let authority = Authority::new();
    let (origin, plain) = (origin(&authority.issue(&["127.0.0.1"])), Origin::answering("well"));
    let port = plain.address().port();
    let health = format!("health = {{ port = {port}, tls = false }}");
    let daemon =
        daemon(&authority, &origin, &format!("tls = {{ ca = \"$dir/ca.pem\" }}\n{health}"));
    assert_eq!(get(daemon.address("web"), "/").text(), "over TLS");
    assert!(plain.requests() > 0);
}

/// A second daemon as the backend: HTTP/2 by ALPN, and who asks it must show who it is.
#[test]
fn http2_is_agreed_on_by_alpn_and_who_we_are_is_shown() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let origin = Origin::answering("far");
    let backend = |keys: &str| {
        let setup = Setup::of(&format!(
            r#"
            workers = 1
            [listener.tls]
            bind = ["$tls"]
            certificates = [{{ cert = "$dir/app.crt", key = "$dir/app.key", default = true }}]
            client_certificates = {{ ca = "$dir/clients.pem" }}
            {keys}
            [[route]]
            pool = "app"
            [pool.app]
            backends = ["$origin"]
            passive = {{ fall = 0 }}
            "#
        ));
        servers.issue(&["app.internal"]).write(setup.dir(), "app");
        fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
        setup.with("origin", origin.address()).start()
    };
    let front = |backend: &Daemon, tls: &str| {
        let tls = format!(r#"tls = {{ ca = "$dir/ca.pem", name = "app.internal"{tls} }}"#);
        let setup = Setup::of(&config(&format!("protocol = \"h2\"\n{tls}")));
        fs::write(setup.dir().join("ca.pem"), servers.pem()).expect("a writable folder");
        clients.issue_to("proxy").write(setup.dir(), "us");
        setup.with("origin", backend.address("tls")).start()
    };
    let ours = r#", cert = "$dir/us.crt", key = "$dir/us.key""#;
    let (both, old) = (backend(""), backend("protocols = [\"http/1.1\"]"));

    let daemon = front(&both, ours);
    for _ in 0..3 {
        assert_eq!(get(daemon.address("web"), "/").text(), "far");
    }
    let seen = origin.take_requests().pop().expect("a request");
    assert_eq!(seen.field("X-Client-Cert-Subject"), Some("CN=proxy"));
    assert_eq!(both.metric("equipoise_listener_http2_connections_total", &[]), 1.0);
    assert_eq!(daemon.metric(HANDSHAKES, &[("result", "full")]), 1.0);

    // Its refusal comes after our side of the handshake, and on the heels of it its close: which of
    // the two is met first is a matter of the moment, for it crosses what we send.
    let refused = get(front(&both, "").address("web"), "/");
    assert_eq!(refused.status, 502);
    let text = refused.text();
    let reasons = ["upstream-handshake-failed", "upstream-reset"];
    assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
    check_refused(&front(&old, ours), "upstream-handshake-failed");
}

#[test]
fn who_agrees_to_nothing_is_not_spoken_to_in_http2() {
    let authority = Authority::new();
    let server = server_config(&authority.issue(&["127.0.0.1"]), None, TlsVersions::All);
    let mut silent = (*server).clone();
    silent.alpn_protocols = Vec::new();
    let origin = Origin::tls(Arc::new(silent), echo);
    let http2 = "protocol = \"h2\"\ntls = { ca = \"$dir/ca.pem\" }";
    let daemon = daemon(&authority, &origin, http2);
    check_refused(&daemon, "upstream-handshake-failed");
    daemon.wait_for_log("does not agree to h2");
}

#[test]
fn another_implementation_is_spoken_to_by_openssl() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let setup = Setup::of(&config(
        r#"tls = { ca = "$dir/ca.pem", name = "app.internal", cert = "$dir/us.crt", key = "$dir/us.key" }"#,
    ));
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
    authority.issue(&["app.internal"]).write(setup.dir(), "app");
    clients.issue(&["proxy.internal"]).write(setup.dir(), "us");
    let port = free_port();
    let mut server = Command::new("openssl");
    server.current_dir(setup.dir());
    server.args(["s_server", "-www", "-cert", "app.crt", "-key", "app.key"]);
    server.args(["-Verify", "1", "-verify_return_error", "-CAfile", "clients.pem"]);
    server.args(["-accept", &format!("127.0.0.1:{port}")]);
    let _server = Process::start_with_input(&mut server);
    let address = format!("127.0.0.1:{port}");
    wait_until(DEADLINE, "openssl to listen", || TcpStream::connect(&address).is_ok());
    let daemon = setup.with("origin", &address).start();
    let answer = get(daemon.address("web"), "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("New, TLSv1.3"), "{}", answer.text());
    assert!(answer.text().contains("Verify return code: 0 (ok)"), "{}", answer.text());
}
