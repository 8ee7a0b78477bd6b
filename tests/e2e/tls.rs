//! Which certificate, which version, and what happens when the files on disk change.

use std::{fs, process::Command};

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, Load, ONE_BACKEND, Origin, Output, Pair, Setup,
    TlsVersions, client_config, run, wait_until,
};

/// A TLS listener with this text in it, before a fixed answer.
fn config(listener: &str) -> String {
    format!(
        r#"
        workers = 2
        [listener.tls]
        bind = ["$tls"]
        {listener}
        [[route]]
        respond = {{ status = 200, body = "secret" }}
        "#
    )
}

const ONE: &str = r#"certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key" }]"#;

/// A daemon whose only certificate is `www`.
fn one(authority: &Authority, keys: &str) -> Daemon {
    let setup = Setup::of(&config(&format!("{ONE}\n{keys}")));
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    setup.start()
}

fn served(daemon: &Daemon, authority: &Authority, name: &str) -> Result<Vec<u8>, String> {
    let trust = client_config(authority, TlsVersions::All);
    let mut client = Client::tls(daemon.address("tls"), &trust, name).map_err(|e| e.to_string())?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
    assert_eq!(client.answer().text(), "secret");
    Ok(client.certificate())
}

#[test]
fn the_name_chooses_the_certificate() {
    let authority = Authority::new();
    let names: [(&str, &[&str]); 4] = [
        ("www", &["www.example.com", "example.com"]),
        ("org", &["*.example.org"]),
        ("exact", &["exact.example.org"]),
        ("default", &["default.example.net", "127.0.0.1"]),
    ];
    let listener = r#"certificates = [
        { cert = "$dir/www.crt", key = "$dir/www.key" },
        { cert = "$dir/org.crt", key = "$dir/org.key" },
        { cert = "$dir/exact.crt", key = "$dir/exact.key" },
        { cert = "$dir/default.crt", key = "$dir/default.key", default = true },
    ]"#;
    let setup = Setup::of(&config(listener));
    let pairs = names.map(|(file, names)| {
        let pair = authority.issue(names);
        pair.write(setup.dir(), file);
        pair
    });
    let [www, org, exact, default] = &pairs;
    let daemon = setup.start();
    for (name, pair) in [
        ("www.example.com", www),
        ("example.com", www),
        ("WWW.EXAMPLE.COM", www),
        ("a.example.org", org),
        ("exact.example.org", exact),
        ("default.example.net", default),
        // A client that asks for an address sends no name.
        ("127.0.0.1", default),
    ] {
        let certificate = served(&daemon, &authority, name).expect(name);
        assert!(certificate == pair.der, "{name} got another certificate");
    }
    // A wildcard stands for one label, so that the default is served, and not trusted.
    for name in ["a.b.example.org", "unknown.example.com"] {
        let error = served(&daemon, &authority, name).expect_err(name);
        assert!(error.contains("default.example.net"), "{name}: {error}");
    }
}

#[test]
fn without_a_default_an_unknown_name_is_refused() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    assert!(served(&daemon, &authority, "www.example.com").is_ok());
    for name in ["other.example.com", "127.0.0.1"] {
        let error = served(&daemon, &authority, name).expect_err(name);
        assert!(error.contains("alert"), "refused in the handshake: {error}");
    }
}

#[test]
fn both_versions_are_spoken_unless_told_otherwise() {
    let authority = Authority::new();
    let (both, only13) = (one(&authority, ""), one(&authority, "min_tls = \"1.3\""));
    for (daemon, versions, fits) in [
        (&both, TlsVersions::Only12, true),
        (&both, TlsVersions::Only13, true),
        (&only13, TlsVersions::Only12, false),
        (&only13, TlsVersions::Only13, true),
    ] {
        let trust = client_config(&authority, versions);
        let client = Client::tls(daemon.address("tls"), &trust, "www.example.com");
        assert_eq!(client.is_ok(), fits, "{versions:?}");
    }
}

fn s_client(daemon: &Daemon, arguments: &[&str]) -> Output {
    let address = daemon.address("tls").to_string();
    let authority = daemon.dir().join("authority.crt");
    run(Command::new("openssl")
        .args(["s_client", "-connect", &address, "-servername", "www.example.com"])
        .args(["-verify_return_error", "-CAfile"])
        .arg(authority)
        .args(arguments))
}

#[test]
fn another_implementation_agrees_by_openssl() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    fs::write(daemon.dir().join("authority.crt"), authority.pem()).expect("a writable folder");
    for (argument, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let output = s_client(&daemon, &[argument]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.contains(&format!("New, {version}")), "{output:?}");
        assert!(output.stdout.contains("Verify return code: 0 (ok)"), "{output:?}");
    }
    for old in ["-tls1_1", "-tls1"] {
        let output = s_client(&daemon, &[old, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert_ne!(output.code, 0, "{old}: {output:?}");
        assert!(output.words().contains("alert"), "the daemon refused it: {output:?}");
    }
}

#[test]
fn keys_are_exchanged_against_later_decryption_too() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    let trust = client_config(&authority, TlsVersions::Only13);
    let client = Client::tls(daemon.address("tls"), &trust, "www.example.com").expect("TLS");
    assert_eq!(client.key_exchange(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(client.tls_version(), rustls::ProtocolVersion::TLSv1_3);
}

#[test]
fn a_session_is_resumed_by_any_worker() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let trust = client_config(&authority, versions);
        let resumed = |_| {
            let address = daemon.address("tls");
            let mut client = Client::tls(address, &trust, "www.example.com").expect("TLS");
            // Tickets of TLS 1.3 come with the first answer.
            assert_eq!(client.get("/").text(), "secret");
            client.resumed()
        };
        let resumed: Vec<bool> = (0..12).map(resumed).collect();
        assert!(!resumed[0] && resumed[1..].iter().all(|resumed| *resumed), "{resumed:?}");
    }
    let counted = "equipoise_listener_tls_handshakes_total";
    assert_eq!(daemon.metric(counted, &[("resumed", "yes")]), 22.0);
    assert_eq!(daemon.metric(counted, &[("resumed", "no")]), 2.0);
}

#[test]
fn a_renewed_certificate_is_served_without_a_signal_and_under_load() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    let trust = client_config(&authority, TlsVersions::All);
    let load = Load::new().tls(daemon.address("tls"), &trust, 1);
    let renewed = authority.issue(&["www.example.com"]);
    renewed.write(daemon.dir(), "www");
    wait_until(DEADLINE, "the renewed certificate", || {
        served(&daemon, &authority, "www.example.com").as_ref() == Ok(&renewed.der)
    });
    let answered = load.tally().ok;
    wait_until(DEADLINE, "more requests", || load.tally().ok > answered + 20);
    load.stop().assert_flawless();
}

#[test]
fn a_pair_that_does_not_fit_is_refused_and_the_old_one_stays() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    let before = served(&daemon, &authority, "www.example.com").expect("TLS");
    let failures = "equipoise_certificate_reload_failures_total";
    assert_eq!(daemon.metric(failures, &[("listener", "tls")]), 0.0);
    // A new certificate beside a key of another.
    let (renewed, other) = (authority.issue(&["www.example.com"]), authority.issue(&["x"]));
    let mismatched = Pair { key: other.key, ..renewed.clone() };
    mismatched.write(daemon.dir(), "www");
    wait_until(DEADLINE, "the failure to be counted", || {
        daemon.metric(failures, &[("listener", "tls")]) > 0.0
    });
    daemon.wait_for_log("www.key");
    assert_eq!(served(&daemon, &authority, "www.example.com"), Ok(before.clone()));
    assert_eq!(daemon.command(&["reload"]).code, 4, "a reload doesn't take it, either");
    fs::remove_file(daemon.dir().join("www.crt")).expect("a writable folder");
    assert_eq!(served(&daemon, &authority, "www.example.com"), Ok(before));
    renewed.write(daemon.dir(), "www");
    wait_until(DEADLINE, "the renewed certificate", || {
        served(&daemon, &authority, "www.example.com").as_ref() == Ok(&renewed.der)
    });
}

#[test]
fn the_expiry_is_a_metric() {
    let authority = Authority::new();
    let setup = Setup::of(&config(ONE));
    authority.issue_until(&["www.example.com"], 2040).write(setup.dir(), "www");
    let daemon = setup.start();
    let expiry = "equipoise_certificate_not_after_timestamp_seconds";
    assert_eq!(daemon.metric(expiry, &[("listener", "tls")]), 2_208_988_800.0);
}

#[test]
fn strict_transport_security_is_sent_where_configured() {
    let authority = Authority::new();
    for (keys, expected) in [
        ("", None),
        ("hsts = \"180d\"", Some("max-age=15552000")),
        (
            "hsts = { max_age = \"365d\", include_subdomains = true, preload = true }",
            Some("max-age=31536000; includeSubDomains; preload"),
        ),
    ] {
        let daemon = one(&authority, keys);
        let trust = client_config(&authority, TlsVersions::All);
        let address = daemon.address("tls");
        let mut client = Client::tls(address, &trust, "www.example.com").expect("TLS");
        let answer = client.get("/");
        assert_eq!(answer.field("Strict-Transport-Security"), expected);
    }
}

#[test]
fn a_redirect_without_a_host_has_nowhere_to_lead() {
    let authority = Authority::new();
    let redirect = "[listener.http]\nbind = [\"$http\"]\nredirect = \"https\"\n";
    let setup = Setup::of(&format!("{}\n{redirect}", config(ONE)));
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let mut client = Client::connect(daemon.address("http"));
    client.send("GET /a HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("Location")), (400, None));
}

#[test]
fn plain_http_is_redirected() {
    let authority = Authority::new();
    let setup = Setup::of(&format!(
        "{}\n[listener.http]\nbind = [\"$http\"]\nredirect = \"https\"\n",
        config(ONE)
    ));
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let port = daemon.address("tls").port();
    let mut client = Client::connect(daemon.address("http"));
    for (host, authority) in [
        ("www.example.com", "www.example.com"),
        ("www.example.com:8080", "www.example.com"),
        ("[::1]:8080", "[::1]"),
    ] {
        client.send(format!("GET /a%20b?c=d HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert!(matches!(answer.status, 301 | 308), "{answer:?}");
        let expected = format!("https://{authority}:{port}/a%20b?c=d");
        assert_eq!(answer.field("Location"), Some(expected.as_str()));
    }
}

#[test]
fn the_backend_is_told_that_it_was_tls() {
    let authority = Authority::new();
    let origin = Origin::answering("ok");
    let config = ONE_BACKEND.replace("bind = [\"$web\"]", &format!("bind = [\"$tls\"]\n{ONE}"));
    let setup = Setup::of(&config).with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let trust = client_config(&authority, TlsVersions::All);
    let mut client = Client::tls(daemon.address("tls"), &trust, "www.example.com").expect("TLS");
    assert_eq!(client.get("/").text(), "ok");
    let seen = &origin.take_requests()[0];
    let port = daemon.address("tls").port().to_string();
    assert_eq!(seen.field("X-Forwarded-Proto"), Some("https"));
    assert_eq!(seen.field("X-Forwarded-Port"), Some(port.as_str()));
    assert!(seen.field("Forwarded").is_some_and(|value| value.contains("proto=https")));
}

#[test]
fn a_host_of_another_certificate_is_misdirected() {
    let authority = Authority::new();
    let listener = r#"certificates = [
        { cert = "$dir/www.crt", key = "$dir/www.key" },
        { cert = "$dir/org.crt", key = "$dir/org.key" },
    ]"#;
    let setup = Setup::of(&config(listener));
    authority.issue(&["www.example.com", "example.com"]).write(setup.dir(), "www");
    authority.issue(&["www.example.org"]).write(setup.dir(), "org");
    let daemon = setup.start();
    let trust = client_config(&authority, TlsVersions::All);
    let mut client = Client::tls(daemon.address("tls"), &trust, "www.example.com").expect("TLS");
    client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(client.answer().status, 200, "the same certificate");
    client.send("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
    assert_eq!(client.answer().status, 421);
}

#[test]
fn plain_http_on_a_tls_listener_harms_nobody() {
    let authority = Authority::new();
    let daemon = one(&authority, "");
    let mut lost = Client::connect(daemon.address("tls"));
    lost.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert!(lost.rest().is_ok_and(|bytes| !bytes.starts_with(b"HTTP/")));
    assert!(served(&daemon, &authority, "www.example.com").is_ok());
}

#[test]
fn a_handshake_that_stands_still_is_ended() {
    let authority = Authority::new();
    let daemon = one(&authority, "timeouts = { header = \"300ms\" }");
    let mut silent = Client::connect(daemon.address("tls"));
    assert!(silent.sees_close());
    let mut slow = Client::connect(daemon.address("tls"));
    slow.send(b"\x16\x03\x01");
    assert!(slow.sees_close());
}
