//! Client certificates where bytes are relayed: nobody can be told of them but the log.

use std::{fs, process::Command, sync::Arc};

use rustls::ClientConfig;

use super::{ENDED, LOG, REFUSED, config, log_line_with, parrot};
use crate::harness::{
    Authority, Client, Daemon, Origin, Output, Setup, TlsVersions, client_config, client_config_as,
    run,
};

const REQUIRED: &str = r#"client_certificates = { ca = "$dir/clients.pem" }"#;
const OPTIONAL: &str = r#"client_certificates = { ca = "$dir/clients.pem", required = false }"#;
const VERSIONS: [TlsVersions; 2] = [TlsVersions::Only12, TlsVersions::Only13];

struct Scene {
    servers: Authority,
    clients: Authority,
    origin: Origin,
    daemon: Daemon,
}

fn scene(asked: &str) -> Scene {
    let (servers, clients, origin) = (Authority::new(), Authority::new(), parrot());
    let pair = r#"certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key" }]"#;
    let text = format!("{}\n{LOG}", config(&format!("{pair}\n{asked}"), ""));
    let setup = Setup::of(&text).with("origin", origin.address());
    servers.issue(&["www.example.com"]).write(setup.dir(), "www");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).expect("a writable folder");
    Scene { servers, clients, origin, daemon: setup.start() }
}

impl Scene {
    /// What it is told; `None`: it was not let in.
    fn ask(&self, client: &Arc<ClientConfig>) -> Option<String> {
        let address = self.daemon.address("relay");
        let mut client = Client::tls(address, client, "www.example.com").ok()?;
        // With TLS 1.3 the client hears of the refusal in the place of an answer.
        client.try_send("you").ok()?;
        client.take(6).ok()?;
        client.close_notify();
        String::from_utf8(client.rest().ok()?).ok()
    }

    #[track_caller]
    fn refused(&self, reason: &str, count: f64) {
        let labels = [("listener", "relay"), ("reason", reason)];
        self.daemon.wait_for_metric(REFUSED, &labels, count);
        assert_eq!(self.origin.connections(), 0, "the backend hears of none");
    }
}

#[test]
fn a_client_with_a_certificate_is_let_in_and_named_in_the_log() {
    for asked in [REQUIRED, OPTIONAL] {
        let scene = scene(asked);
        let pair = scene.clients.issue_to("meter, left");
        for versions in VERSIONS {
            let client = client_config_as(Some(&pair), &scene.servers, versions);
            assert_eq!(scene.ask(&client).as_deref(), Some("you"), "{versions:?}");
            assert_eq!(scene.ask(&client).as_deref(), Some("you"), "resumed, {versions:?}");
        }
        scene.daemon.wait_for_metric(ENDED, &[("ended", "client-closed")], 4.0);
        let line = log_line_with(&scene.daemon, "client_subject");
        assert_eq!(line["client_subject"], r"CN=meter\, left", "{line}");
    }
}

#[test]
fn without_one_nobody_is_let_in_where_it_is_required() {
    let scene = scene(REQUIRED);
    for versions in VERSIONS {
        assert_eq!(scene.ask(&client_config(&scene.servers, versions)), None);
    }
    scene.refused("client-certificate-missing", 2.0);
}

#[test]
fn without_one_a_client_is_let_in_where_it_is_optional() {
    let scene = scene(OPTIONAL);
    for versions in VERSIONS {
        let client = client_config(&scene.servers, versions);
        assert_eq!(scene.ask(&client).as_deref(), Some("you"), "{versions:?}");
    }
    let line = log_line_with(&scene.daemon, "client-closed");
    assert!(line.get("client_subject").is_none(), "{line}");
}

#[test]
fn one_that_is_not_valid_lets_nobody_in() {
    for asked in [REQUIRED, OPTIONAL] {
        let scene = scene(asked);
        let of_others = Authority::new().issue_to("meter");
        for pair in [of_others, scene.clients.issue_to_expired("meter")] {
            let client = client_config_as(Some(&pair), &scene.servers, TlsVersions::All);
            assert_eq!(scene.ask(&client), None);
        }
        scene.refused("client-certificate-invalid", 2.0);
        let line = scene.daemon.wait_for_log("a client's certificate was refused");
        assert!(line.contains("listener relay: "), "{line}");
    }
}

/// What another client makes of it.
fn s_client(scene: &Scene, arguments: &str) -> Output {
    let address = scene.daemon.address("relay");
    fs::write(scene.daemon.dir().join("servers.pem"), scene.servers.pem()).expect("a file");
    run(Command::new("sh").current_dir(scene.daemon.dir()).arg("-c").arg(format!(
        "printf 'you' | timeout 20 openssl s_client -quiet -no_ign_eof -connect {address} \
         -servername www.example.com -verify_return_error -CAfile servers.pem {arguments}"
    )))
}

#[test]
fn another_client_shows_its_certificate_by_openssl() {
    let scene = scene(REQUIRED);
    for version in ["-tls1_2", "-tls1_3"] {
        s_client(&scene, version);
    }
    scene.refused("client-certificate-missing", 2.0);
    scene.clients.issue_to("meter").write(scene.daemon.dir(), "us");
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = s_client(&scene, &format!("{version} -cert us.crt -key us.key"));
        assert_eq!(shown.code, 0, "{shown:?}");
    }
    scene.daemon.wait_for_metric(ENDED, &[("pool", "app")], 2.0);
    assert_eq!(log_line_with(&scene.daemon, "client_subject")["client_subject"], "CN=meter");
}
