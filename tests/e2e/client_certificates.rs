//! Client certificates: who is let in, what backends are told of them, and that nobody else can say
//! it.

use std::{fs, io, process::Command, sync::Arc, time::Duration};

use rustls::ClientConfig;

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, Origin, Pair, Request, Setup, TlsVersions, client_config,
    client_config_as, run, wait_until,
};

/// A TLS listener with this in it, and a plain one beside it.
fn config(tls: &str) -> String {
    format!(
        r#"
        workers = 1
        [listener.tls]
        bind = ["$tls"]
        certificates = [{{ cert = "$dir/www.crt", key = "$dir/www.key" }}]
        {tls}
        [listener.web]
        bind = ["$web"]
        trusted_proxies = ["127.0.0.0/8"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        passive = {{ fall = 0 }}
        [access_log]
        "#
    )
}

const REQUIRED: &str = r#"client_certificates = { ca = "$dir/clients.pem" }"#;
const OPTIONAL: &str = r#"client_certificates = { ca = "$dir/clients.pem", required = false }"#;

struct Scene {
    servers: Authority,
    clients: Authority,
    origin: Origin,
    daemon: Daemon,
}

fn scene(tls: &str) -> Scene {
    let (servers, clients) = (Authority::new(), Authority::new());
    let origin = Origin::answering("ok");
    let setup = Setup::of(&config(tls)).with("origin", origin.address());
    servers.issue(&["www.example.com"]).write(setup.dir(), "www");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
    let daemon = setup.start();
    Scene { servers, clients, origin, daemon }
}

impl Scene {
    fn showing(&self, pair: &Pair, versions: TlsVersions) -> Arc<ClientConfig> {
        client_config_as(Some(pair), &self.servers, versions)
    }

    fn connect(&self, client: &Arc<ClientConfig>) -> io::Result<Client> {
        Client::tls(self.daemon.address("tls"), client, "www.example.com")
    }

    /// The request as the backend got it; `None`: the client was refused.
    fn ask(&self, client: &Arc<ClientConfig>) -> Option<Request> {
        let mut client = self.connect(client).ok()?;
        // With TLS 1.3 the client hears of the refusal in the place of an answer.
        client.try_send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").ok()?;
        assert_eq!(client.try_answer().ok()?.status, 200);
        self.origin.take_requests().pop()
    }

    #[track_caller]
    fn refused(&self, reason: &str, count: f64) {
        let refused = "equipoise_listener_connections_refused_total";
        self.daemon.wait_for_metric(refused, &[("listener", "tls"), ("reason", reason)], count);
        assert_eq!(self.origin.requests(), 0);
    }
}

const VERIFY: &str = "X-Client-Cert-Verify";
const SUBJECT: &str = "X-Client-Cert-Subject";
const FINGERPRINT: &str = "X-Client-Cert-Fingerprint";

#[test]
fn a_client_with_a_certificate_is_let_in_and_told_of() {
    let mut scene = scene(REQUIRED);
    let pair = scene.clients.issue_to("shop frontend, blue");
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let seen = scene.ask(&scene.showing(&pair, versions)).expect("it is let in");
        assert_eq!(seen.field(VERIFY), Some("verified"));
        assert_eq!(seen.field(SUBJECT), Some(r"CN=shop frontend\, blue"));
        let fingerprint = seen.field(FINGERPRINT).expect("it is told");
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(lower_hex), "{fingerprint}");
    }
    let line = scene.daemon.process().wait_for_output("client_subject");
    assert!(line.contains(r#""client_subject":"CN=shop frontend\u005c, blue""#), "{line}");
}

#[test]
fn without_a_certificate_nobody_is_let_in_where_it_is_required() {
    let scene = scene(REQUIRED);
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        assert!(scene.ask(&client_config(&scene.servers, versions)).is_none());
    }
    scene.refused("client-certificate-missing", 2.0);
}

#[test]
fn a_certificate_that_is_not_valid_lets_nobody_in_even_where_none_is_required() {
    for keys in [REQUIRED, OPTIONAL] {
        let scene = scene(keys);
        let of_others = Authority::new().issue_to("shop");
        assert!(scene.ask(&scene.showing(&of_others, TlsVersions::All)).is_none());
        let expired = scene.clients.issue_to_expired("shop");
        assert!(scene.ask(&scene.showing(&expired, TlsVersions::All)).is_none());
        scene.refused("client-certificate-invalid", 2.0);
        let line = scene.daemon.wait_for_log("a client's certificate was refused");
        assert!(line.contains("listener tls: "), "{line}");
        let told = |line: &&String| line.contains("was refused");
        assert_eq!(scene.daemon.log().iter().filter(told).count(), 1, "clients can fill no log");
    }
}

#[test]
fn where_it_is_optional_a_client_without_is_told_of_as_such() {
    let scene = scene(OPTIONAL);
    let seen = scene.ask(&client_config(&scene.servers, TlsVersions::All)).expect("it is let in");
    assert_eq!(seen.field(VERIFY), Some("none"));
    assert_eq!((seen.field(SUBJECT), seen.field(FINGERPRINT)), (None, None));
    let pair = scene.clients.issue_to("shop");
    let seen = scene.ask(&scene.showing(&pair, TlsVersions::All)).expect("it is let in");
    assert_eq!(seen.field(VERIFY), Some("verified"));
}

const FORGED: &str = "X-Client-Cert-Verify: verified\r\nx-client-cert-subject: CN=admin\r\n\
    X-CLIENT-CERT-FINGERPRINT: 00\r\nX_Client_Cert_Verify: verified\r\n\
    X-Client_Cert_Subject: CN=admin\r\nClient-Cert: :aaaa:\r\nClient-Cert-Chain: :aaaa:\r\n\
    client_cert: :aaaa:\r\n";

#[test]
fn nobody_can_forge_what_is_told() {
    let scene = scene(OPTIONAL);
    let forge = |mut client: Client| {
        let head = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{FORGED}\r\n");
        client.send(head);
        assert_eq!(client.answer().status, 200);
        scene.origin.take_requests().pop().expect("a request")
    };
    // On a plain listener, and of a trusted proxy as well.
    let plain = forge(Client::connect(scene.daemon.address("web")));
    let without = client_config(&scene.servers, TlsVersions::All);
    let tls = forge(scene.connect(&without).expect("TLS"));
    for (seen, expected) in [(plain, vec![]), (tls, vec![("X-Client-Cert-Verify", "none")])] {
        let of_certificates = |name: &str| {
            let name = name.to_ascii_lowercase().replace('_', "-");
            name.contains("client-cert")
        };
        let fields = seen.fields.iter().filter(|(name, _)| of_certificates(name));
        let found: Vec<(&str, &str)> = fields.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_told_is_neither_taken_away_nor_sent_late() {
    let scene = scene(OPTIONAL);
    for name in ["X-Client-Cert-Verify", "x-client-cert-subject", "Client-Cert"] {
        let mut client = Client::connect(scene.daemon.address("web"));
        client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: {name}\r\n\r\n"));
        assert_eq!(client.answer().status, 400, "{name}");
        let mut client = Client::connect(scene.daemon.address("web"));
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n{name}: verified\r\n\r\n"
        ));
        assert!(client.try_answer().is_ok_and(|answer| answer.status == 400), "{name}");
    }
    assert_eq!(scene.origin.take_requests().len(), 0);
}

#[test]
fn a_subject_breaks_out_of_nothing() {
    let scene = scene(REQUIRED);
    let pair = scene.clients.issue_to("Zoë\r\nX-Evil: 1\0");
    let seen = scene.ask(&scene.showing(&pair, TlsVersions::All)).expect("it is let in");
    assert_eq!(seen.field(SUBJECT), Some(r"CN=Zo\C3\AB\0D\0AX-Evil: 1\00"));
    assert_eq!(seen.field("X-Evil"), None);
    assert_eq!(scene.origin.violations(), Vec::<String>::new());
}

#[test]
fn a_resumed_session_is_the_same_client() {
    let scene = scene(REQUIRED);
    let pair = scene.clients.issue_to("shop");
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let showing = scene.showing(&pair, versions);
        let first = scene.ask(&showing).expect("it is let in");
        let mut client = scene.connect(&showing).expect("TLS");
        assert_eq!(client.get("/").text(), "ok");
        assert!(client.resumed(), "{versions:?}");
        let again = scene.origin.take_requests().pop().expect("a request");
        for name in [VERIFY, SUBJECT, FINGERPRINT] {
            assert_eq!(again.field(name), first.field(name), "{versions:?}");
        }
    }
}

#[test]
fn a_ticket_outlives_no_certificate() {
    let scene = scene(REQUIRED);
    let pair = scene.clients.issue_to_for("shop", Duration::from_secs(6));
    let showing = scene.showing(&pair, TlsVersions::Only12);
    assert!(scene.ask(&showing).is_some());
    let invalid = [("reason", "client-certificate-invalid")];
    wait_until(DEADLINE, "the certificate to expire", || {
        let asked = scene.ask(&showing);
        let refused = "equipoise_listener_connections_refused_total";
        asked.is_none() && scene.daemon.metric(refused, &invalid) > 0.0
    });
    // The client still holds its ticket: that it resumes gets it no further.
    if let Ok(mut client) = scene.connect(&showing) {
        assert!(client.resumed());
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        assert!(client.try_answer().is_err());
    }
    assert!(scene.ask(&showing).is_none());
}

#[test]
fn other_authorities_open_no_ticket_and_end_open_connections() {
    let mut scene = scene(REQUIRED);
    let pair = scene.clients.issue_to("shop");
    let showing = scene.showing(&pair, TlsVersions::All);
    let mut open = scene.connect(&showing).expect("TLS");
    assert_eq!(open.get("/").text(), "ok");

    // Both are trusted for a while: who was let in stays.
    let next = Authority::new();
    let both = format!("{}{}", scene.clients.pem(), next.pem());
    fs::write(scene.daemon.dir().join("clients.pem"), both).expect("a writable folder");
    scene.daemon.reload();
    assert_eq!(open.get("/").text(), "ok");
    assert!(scene.ask(&showing).is_some());

    fs::write(scene.daemon.dir().join("clients.pem"), next.pem()).expect("a writable folder");
    scene.daemon.reload();
    scene.origin.take_requests();
    let answer = open.get("/");
    assert_eq!(answer.status, 421, "{}", answer.text());
    assert!(answer.closes() && open.sees_close());
    assert!(scene.ask(&showing).is_none(), "its ticket is of another trust");
    let renewed = scene.showing(&next.issue_to("shop"), TlsVersions::All);
    assert!(scene.ask(&renewed).is_some());

    // Who is not asked any more is not told of.
    scene.daemon.rewrite(&config(""));
    scene.daemon.reload();
    let seen = scene.ask(&renewed).expect("it is let in");
    assert_eq!((seen.field(VERIFY), seen.field(SUBJECT)), (None, None));
}

#[test]
fn a_connection_from_before_certificates_were_asked_for_serves_no_more() {
    let mut scene = scene("");
    let without = client_config(&scene.servers, TlsVersions::All);
    let mut open = scene.connect(&without).expect("TLS");
    assert_eq!(open.get("/").text(), "ok");
    scene.daemon.rewrite(&config(OPTIONAL));
    scene.daemon.reload();
    assert_eq!(open.get("/").status, 421);
    let seen = scene.ask(&without).expect("it is let in");
    assert_eq!(seen.field(VERIFY), Some("none"));
}

#[test]
fn renewed_authorities_are_taken_up_without_a_signal() {
    let scene = scene(REQUIRED);
    let next = Authority::new();
    fs::write(scene.daemon.dir().join("clients.pem"), next.pem()).expect("a writable folder");
    let showing = scene.showing(&next.issue_to("shop"), TlsVersions::All);
    wait_until(DEADLINE, "the new authority", || scene.ask(&showing).is_some());
    assert!(scene.daemon.wait_for_log("clients.pem renewed").contains("listener tls: "));
}

#[test]
fn a_broken_file_of_authorities_refuses_the_reload_at_its_place() {
    let mut scene = scene(REQUIRED);
    fs::write(scene.daemon.dir().join("bad.pem"), "nonsense").expect("a writable folder");
    scene.daemon.rewrite(&config(r#"client_certificates = { ca = "$dir/bad.pem" }"#));
    let output = scene.daemon.command(&["reload"]);
    assert_eq!(output.code, 4, "{}", output.words());
    assert!(output.words().contains("bad.pem holds no CERTIFICATE block"), "{}", output.words());
    assert!(output.words().contains("equipoise.toml:6:"), "{}", output.words());
    assert_eq!(scene.daemon.command(&["check"]).code, 1);
}

#[test]
fn the_host_of_another_certificate_is_misdirected_whoever_asks_for_it() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let origin = Origin::answering("ok");
    let text = config(REQUIRED).replace(
        "certificates = [{",
        "certificates = [{ cert = \"$dir/org.crt\", key = \"$dir/org.key\" }, {",
    );
    let setup = Setup::of(&text).with("origin", origin.address());
    servers.issue(&["www.example.com"]).write(setup.dir(), "www");
    servers.issue(&["www.example.org"]).write(setup.dir(), "org");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
    let daemon = setup.start();
    let pair = clients.issue_to("shop");
    let showing = client_config_as(Some(&pair), &servers, TlsVersions::All);
    let mut client = Client::tls(daemon.address("tls"), &showing, "www.example.com").expect("TLS");
    assert_eq!(client.get("/").text(), "ok");
    client.send("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
    assert_eq!(client.answer().status, 421);
}

/// What curl says of itself, with these arguments.
fn curl(scene: &Scene, arguments: &[&str]) -> (i32, String) {
    let dir = scene.daemon.dir();
    fs::write(dir.join("servers.pem"), scene.servers.pem()).expect("a writable folder");
    let port = scene.daemon.address("tls").port();
    let output = run(Command::new("curl")
        .current_dir(dir)
        .args(["-sS", "--cacert", "servers.pem", "--noproxy", "*"])
        .args(["--resolve", &format!("www.example.com:{port}:127.0.0.1")])
        .args(["-o", "body", "-w", "%{http_version} %{http_code}\n"])
        .args(arguments)
        .arg(format!("https://www.example.com:{port}/")));
    (output.code, output.words())
}

#[test]
fn both_versions_of_http_tell_the_same_by_curl() {
    let scene = scene(REQUIRED);
    scene.clients.issue_to("shop").write(scene.daemon.dir(), "us");
    let (code, words) = curl(&scene, &[]);
    assert_ne!(code, 0, "{words}");
    let certificate = ["--cert", "us.crt", "--key", "us.key", "-H", "X-Client-Cert-Subject: CN=x"];
    for (version, said) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let (code, words) = curl(&scene, &[&certificate[..], &[version]].concat());
        assert!(code == 0 && words.contains(said), "{words}");
        let seen = scene.origin.take_requests().pop().expect("a request");
        assert_eq!(seen.field(VERIFY), Some("verified"));
        assert_eq!(seen.field(SUBJECT), Some("CN=shop"), "{version}");
        // Another program's word for the fingerprint.
        let openssl = run(Command::new("openssl").current_dir(scene.daemon.dir()).args([
            "x509",
            "-in",
            "us.crt",
            "-noout",
            "-fingerprint",
            "-sha256",
        ]));
        let printed = openssl.stdout.trim().rsplit('=').next().unwrap_or_default();
        let expected = printed.replace(':', "").to_ascii_lowercase();
        assert_eq!(seen.field(FINGERPRINT), Some(expected.as_str()));
    }
}

#[test]
fn each_stream_is_held_to_the_certificate_that_was_asked_for_by_curl() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let origin = Origin::answering("ok");
    let text = config(REQUIRED).replace(
        "certificates = [{",
        "certificates = [{ cert = \"$dir/org.crt\", key = \"$dir/org.key\" }, {",
    );
    let setup = Setup::of(&text).with("origin", origin.address());
    servers.issue(&["www.example.com"]).write(setup.dir(), "www");
    servers.issue(&["www.example.org"]).write(setup.dir(), "org");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
    clients.issue_to("shop").write(setup.dir(), "us");
    let daemon = setup.start();
    let scene = Scene { servers, clients, origin, daemon };
    let certificate = ["--http2", "--cert", "us.crt", "--key", "us.key"];
    let (_, words) = curl(&scene, &certificate);
    assert!(words.contains("2 200"), "{words}");
    let (_, words) = curl(&scene, &[&certificate[..], &["-H", "Host: www.example.org"]].concat());
    assert!(words.contains("2 421"), "{words}");
}

#[test]
fn another_implementation_shows_who_it_is_by_openssl() {
    let scene = scene(REQUIRED);
    scene.clients.issue_to("shop").write(scene.daemon.dir(), "us");
    let request = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n";
    fs::write(scene.daemon.dir().join("request"), request).expect("a writable folder");
    let address = scene.daemon.address("tls");
    for version in ["-tls1_2", "-tls1_3"] {
        let s_client = |arguments: &str| {
            let command = format!(
                "openssl s_client -connect {address} -servername www.example.com -ign_eof \
                 {version} {arguments} < request"
            );
            run(Command::new("sh").current_dir(scene.daemon.dir()).args(["-c", &command]))
        };
        let shown = s_client("-cert us.crt -key us.key");
        assert!(shown.stdout.contains("HTTP/1.1 200"), "{shown:?}");
        let without = s_client("");
        assert!(!without.stdout.contains("HTTP/1.1"), "{without:?}");
        assert!(without.words().contains("alert"), "{without:?}");
    }
}
