//! HTTP/2 to backends over TLS, chosen by ALPN; and probes of backends that speak nothing else.

use std::{fs, sync::Arc};

use rustls::ServerConfig;

use super::{BOTH_DOORS, Front};
use crate::harness::{
    Authority, DEADLINE, Origin, Setup, TlsVersions, choosing, client_config,
    h2::{h2_origin, h2_tls_origin},
    server_config, wait_until,
};

/// What an origin chooses by ALPN.
fn alpn(authority: &Authority, protocols: &[&str]) -> Arc<ServerConfig> {
    let pair = authority.issue(&["app.internal"]);
    choosing(&server_config(&pair, None, TlsVersions::All), protocols)
}

fn front(authority: &Authority, origin: &Origin, keys: &str) -> Front {
    let config = format!(
        "{BOTH_DOORS}\nretry = {{ attempts = 1 }}\n\
         tls = {{ ca = \"$dir/ca.pem\", name = \"app.internal\" }}\n{keys}"
    );
    let setup = Setup::of(&config).with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
    let trust = client_config(authority, TlsVersions::All);
    Front { daemon: setup.start(), trust }
}

#[test]
fn alpn_leads_to_http2_where_the_pool_says_so() {
    let authority = Authority::new();
    let origin = h2_tls_origin(alpn(&authority, &["h2", "http/1.1"]), |peer| {
        while let Some(asked) = peer.request() {
            let protocol = peer.stream.session().alpn_protocol().unwrap_or_default().to_vec();
            let scheme = asked.request.field(":scheme").unwrap_or_default().to_owned();
            let words = format!("{} {scheme}", String::from_utf8_lossy(&protocol));
            peer.answer(asked.stream, 200, &words);
        }
    });
    let front = front(&authority, &origin, "protocol = \"h2\"");
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        let streams: Vec<u32> = (0..20).map(|_| client.ask("/")).collect();
        for stream in streams {
            assert_eq!(client.answer(stream).text(), "h2 https");
        }
    }
    assert!(origin.connections() <= 4, "{} connections", origin.connections());
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn a_backend_that_does_not_choose_http2_is_502() {
    let authority = Authority::new();
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = Origin::tls(alpn(&authority, protocols), |peer| {
            while peer.request().is_some() {
                peer.answer(200, "by HTTP/1.1");
            }
        });
        let front = front(&authority, &origin, "protocol = \"h2\"");
        assert_eq!(front.plain().get("/").status, 502, "{protocols:?}");
        assert_eq!(origin.requests(), 0);
    }
}

/// Where nothing else is spoken, probes speak HTTP/2 as well.
#[test]
fn an_http2_backend_is_probed_by_http2() {
    let script = |peer: &mut crate::harness::h2::H2Peer<'_>| {
        while let Some(asked) = peer.request() {
            let healthy = asked.request.target != "/sick";
            peer.answer(asked.stream, if healthy { 200 } else { 503 }, "by HTTP/2");
        }
    };
    let authority = Authority::new();
    let origins =
        [(h2_origin(script), ""), (h2_tls_origin(alpn(&authority, &["h2"]), script), "tls")];
    for (origin, tls) in &origins {
        for (path, up) in [("/healthz", 1.0), ("/sick", 0.0)] {
            let tls = match *tls {
                "" => "",
                _ => "tls = { ca = \"$dir/ca.pem\", name = \"app.internal\" }",
            };
            let config = format!(
                "{BOTH_DOORS}\nprotocol = \"h2\"\n{tls}\n\
                 health = {{ path = \"{path}\", interval = \"200ms\", rise = 1, fall = 1 }}"
            );
            let setup = Setup::of(&config).with("origin", origin.address());
            authority.issue(&["www.example.com"]).write(setup.dir(), "www");
            fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
            let daemon = setup.start_unready();
            wait_until(DEADLINE, "a probe", || {
                origin.take_requests().iter().any(|request| request.target == path)
            });
            let labels = [("backend", origin.address().to_string())];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            daemon.wait_for_metric("equipoise_backend_up", &labels, up);
        }
        assert_eq!(origin.violations(), Vec::<String>::new());
    }
}
