//! Which version is spoken: by ALPN, by prior knowledge, and where the listener says otherwise.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{BOTH_DOORS, Front, with_listener_keys};
use crate::harness::{Client, Origin, get, offering};

/// What the daemon chooses of what is offered; an error where the handshake fails.
fn chosen(front: &Front, offered: &[&str]) -> Result<Option<String>, String> {
    let trust: Arc<ClientConfig> = offering(&front.trust, offered);
    let client = Client::tls(front.daemon.address("tls"), &trust, "www.example.com");
    client.map(|client| client.protocol()).map_err(|error| error.to_string())
}

#[test]
fn alpn_chooses_http2_where_the_client_knows_it() {
    let origin = Origin::answering("ok");
    let front = Front::of(BOTH_DOORS, &origin);
    assert_eq!(chosen(&front, &["h2", "http/1.1"]), Ok(Some("h2".to_owned())));
    assert_eq!(chosen(&front, &["http/1.1", "h2"]), Ok(Some("h2".to_owned())));
    assert_eq!(chosen(&front, &["h2"]), Ok(Some("h2".to_owned())));
    assert_eq!(chosen(&front, &["http/1.1"]), Ok(Some("http/1.1".to_owned())));
    assert_eq!(chosen(&front, &[]), Ok(None));
    let error = chosen(&front, &["spdy/3"]).expect_err("nothing fits");
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn the_chosen_version_is_served() {
    let origin = Origin::answering("ok");
    let front = Front::of(BOTH_DOORS, &origin);
    assert_eq!(front.plain().get("/").text(), "ok");
    assert_eq!(front.tls().get("/").text(), "ok");
    assert_eq!(get(front.daemon.address("web"), "/").text(), "ok", "HTTP/1.1 on the same listener");
    for offered in [&["http/1.1"][..], &[]] {
        let trust = offering(&front.trust, offered);
        let tls = front.daemon.address("tls");
        let mut client = Client::tls(tls, &trust, "www.example.com").expect("a handshake");
        assert_eq!(client.get("/").text(), "ok");
    }
}

#[test]
fn a_listener_without_http2_speaks_none() {
    let origin = Origin::answering("ok");
    let front = Front::of(&with_listener_keys("protocols = [\"http/1.1\"]"), &origin);
    assert_eq!(chosen(&front, &["h2", "http/1.1"]), Ok(Some("http/1.1".to_owned())));
    let error = chosen(&front, &["h2"]).expect_err("nothing fits");
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    let mut client = front.plain().open().expect("the listener takes connections");
    assert!(client.greet(&[]).is_err(), "prior knowledge is wrong here");
    assert_eq!(get(front.daemon.address("web"), "/").text(), "ok");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_listener_of_http2_alone_speaks_nothing_else() {
    let origin = Origin::answering("ok");
    let front = Front::of(&with_listener_keys("protocols = [\"h2\"]"), &origin);
    assert_eq!(chosen(&front, &["h2", "http/1.1"]), Ok(Some("h2".to_owned())));
    let error = chosen(&front, &["http/1.1"]).expect_err("nothing fits");
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert_eq!(front.plain().get("/").text(), "ok");
    let mut client = Client::connect(front.daemon.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    let answer = client.try_answer().map(|answer| answer.status);
    assert_ne!(answer, Ok(200), "HTTP/1.1 is not served");
    assert_eq!(origin.requests(), 1);
}

/// An upgrade by HTTP/1.1's header is not HTTP/2's way any more (RFC 9113, section 3.1): it is
/// answered as the request that it is.
#[test]
fn an_upgrade_to_h2c_is_not_taken() {
    let origin = Origin::answering("ok");
    let front = Front::of(BOTH_DOORS, &origin);
    let mut client = Client::connect(front.daemon.address("web"));
    client.send(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let request = &origin.take_requests()[0];
    assert_eq!((request.field("upgrade"), request.field("http2-settings")), (None, None));
}

#[test]
fn connections_of_http2_are_counted() {
    let origin = Origin::answering("ok");
    let front = Front::of(BOTH_DOORS, &origin);
    get(front.daemon.address("web"), "/");
    front.plain().get("/");
    front.tls().get("/");
    for listener in ["web", "tls"] {
        let count = "equipoise_listener_http2_connections_total";
        front.daemon.wait_for_metric(count, &[("listener", listener)], 1.0);
    }
}
