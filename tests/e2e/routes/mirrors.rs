//! Copies of requests to another pool.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::harness::{
    Client, DEADLINE, Origin, Setup,
    h2::{Asked, StreamEnd, frame::flag, h2_origin},
    wait_until,
};

const CONFIG: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    name = "all"
    pool = "app"
    mirror = { pool = "shadow" }
    request_headers.set = { X-Path = "{path}" }
    [[route]]
    name = "api"
    path = "/api"
    pool = "app"
    strip_prefix = true
    mirror = { pool = "shadow", share = "100%", max_in_flight = 1 }
    [[route]]
    name = "never"
    path = "/never"
    pool = "app"
    mirror = { pool = "shadow", share = "0%" }
    [pool.app]
    backends = ["$origin"]
    [pool.shadow]
    backends = ["$shadow"]
    host_header = "shadow.internal"
    timeouts = { first_byte = "1h", idle = "1h" }
"#;

const MIRRORED: &str = "equipoise_http_mirrored_requests_total";

fn setup(origin: &Origin, shadow: &Origin) -> Setup {
    Setup::of(CONFIG).with("origin", origin.address()).with("shadow", shadow.address())
}

#[test]
fn a_request_is_copied_whole_and_its_second_answer_thrown_away() {
    let (origin, shadow) = (Origin::answering("app"), Origin::answering("shadow"));
    let daemon = setup(&origin, &shadow).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "POST /a?b HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello",
    );
    assert_eq!(client.answer().text(), "app");
    daemon.wait_for_metric(MIRRORED, &[("route", "all"), ("result", "answered")], 1.0);
    let (seen, copy) = (&origin.take_requests()[0], &shadow.take_requests()[0]);
    assert_eq!((&*copy.method, &*copy.target, &*copy.body), ("POST", "/a?b", &b"hello"[..]));
    for name in ["X-Request-Id", "X-A", "X-Path", "X-Forwarded-For", "Content-Length"] {
        assert!(seen.field(name).is_some(), "{name}");
        assert_eq!(seen.field(name), copy.field(name), "{name}");
    }
    assert_eq!(copy.field("Host"), Some("shadow.internal"));
    assert_eq!(seen.field("Host"), Some("www.example.com"));

    assert_eq!(client.get("/api/x").text(), "app");
    daemon.wait_for_metric(MIRRORED, &[("result", "answered")], 2.0);
    assert_eq!(client.get("/never").text(), "app");
    assert_eq!(client.get("/last").text(), "app");
    daemon.wait_for_metric(MIRRORED, &[("result", "answered")], 3.0);
    let targets: Vec<String> = shadow.take_requests().into_iter().map(|it| it.target).collect();
    assert_eq!(targets, ["/x", "/last"]);
    assert_eq!(shadow.connections(), 1, "its connection is kept");
    assert_eq!(shadow.violations(), Vec::<String>::new());
}

#[test]
fn a_mirror_that_hangs_holds_nobody_up_and_takes_no_more_than_its_bound() {
    let origin = Origin::answering("app");
    let shadow = Origin::start(|peer| {
        peer.request();
        peer.hang();
    });
    let daemon = setup(&origin, &shadow).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/api/1").text(), "app");
    wait_until(DEADLINE, "the copy to be under way", || shadow.requests() == 1);
    for _ in 0..4 {
        assert_eq!(client.get("/api/2").text(), "app");
    }
    daemon.wait_for_metric(MIRRORED, &[("route", "api"), ("result", "dropped")], 4.0);
    assert_eq!(shadow.requests(), 1);
    shadow.close_connections();
    daemon.wait_for_metric(MIRRORED, &[("route", "api"), ("result", "failed")], 1.0);
}

#[test]
fn each_route_has_its_own_bound() {
    let origin = Origin::answering("app");
    let shadow = Origin::start(|peer| {
        peer.request();
        peer.hang();
    });
    let daemon = setup(&origin, &shadow).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/1").text(), "app");
    wait_until(DEADLINE, "a copy of one route to be under way", || shadow.requests() == 1);
    assert_eq!(client.get("/api/1").text(), "app");
    wait_until(DEADLINE, "a copy of the other", || shadow.requests() == 2);
}

#[test]
fn a_mirror_that_is_gone_and_bodies_that_pass_through_cost_the_client_nothing() {
    let (origin, shadow) = (Origin::answering("app"), Origin::answering("shadow"));
    let daemon = setup(&origin, &shadow).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "app");
    daemon.wait_for_metric(MIRRORED, &[("result", "skipped")], 1.0);
    assert_eq!(shadow.requests(), 0);
    shadow.stop();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "app");
    }
    daemon.wait_for_metric(MIRRORED, &[("result", "failed")], 3.0);
    // The worker learns a little later that the backend is down.
    wait_until(DEADLINE, "a copy to be dropped", || {
        assert_eq!(client.get("/").text(), "app");
        daemon.metric(MIRRORED, &[("result", "dropped")]) > 0.0
    });
}

/// It closes its first connection under the second request on it.
fn closing() -> Origin {
    Origin::start(|peer| {
        let mut answered = 0;
        while peer.request().is_some() {
            if peer.number == 0 && answered == 1 {
                return;
            }
            peer.answer(200, "shadow");
            answered += 1;
        }
    })
}

#[test]
fn an_idle_connection_that_its_backend_closed_is_no_failure_of_the_mirror() {
    let origin = Origin::answering("app");
    let config = CONFIG.replace("host_header =", "passive = { fall = 1 }\n    host_header =");
    let start = |shadow: &Origin| {
        let setup = Setup::of(&config).with("origin", origin.address());
        setup.with("shadow", shadow.address()).start()
    };
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na";
    // What may have been acted on is not sent a second time, to a shadow neither.
    for (request, answered, failed) in [(get, 2.0, 0.0), (post, 1.0, 1.0)] {
        let shadow = closing();
        let daemon = start(&shadow);
        let mut client = Client::connect(daemon.address("web"));
        for count in 1..=2 {
            client.send(request);
            assert_eq!(client.answer().text(), "app");
            daemon.wait_for_metric(MIRRORED, &[], f64::from(count));
        }
        let result = |result| daemon.metric(MIRRORED, &[("route", "all"), ("result", result)]);
        assert_eq!((result("answered"), result("failed")), (answered, failed));
        assert_eq!(daemon.metric("equipoise_backend_up", &[("pool", "shadow")]), 1.0);
    }
}

/// Resets are what a backend takes for an attack, on the connection that requests of others share.
#[test]
fn a_stream_of_http2_is_read_to_its_end() {
    let origin = Origin::answering("app");
    let resets = Arc::new(AtomicUsize::new(0));
    let seen = resets.clone();
    let shadow = h2_origin(move |peer| {
        while let Some(Asked { stream, .. }) = peer.request() {
            peer.send_head(stream, flag::NONE, &[(":status", "200")]);
            // Who means to leave at the head has left by the time that the second has its answer.
            let _ = (peer.ping(), peer.ping(), peer.ping());
            let _ = peer.send_body(stream, flag::END_STREAM, b"thrown away");
            if matches!(peer.end(stream), Some(StreamEnd::Reset(_))) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let config = CONFIG.replace("host_header =", "protocol = \"h2\"\n    host_header =");
    let setup = Setup::of(&config).with("origin", origin.address());
    let daemon = setup.with("shadow", shadow.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for count in 1..=3 {
        assert_eq!(client.get("/").text(), "app");
        daemon.wait_for_metric(MIRRORED, &[("result", "answered")], f64::from(count));
    }
    wait_until(DEADLINE, "all copies", || shadow.requests() == 3);
    assert_eq!((resets.load(Ordering::SeqCst), shadow.connections()), (0, 1));
}

/// The mirror's backend speaks HTTP/2: a second daemon, with the shadow behind it.
#[test]
fn a_copy_goes_over_http2() {
    let (origin, shadow) = (Origin::answering("app"), Origin::answering("shadow"));
    let far = Setup::of(crate::harness::ONE_BACKEND).with("origin", shadow.address()).start();
    let config = CONFIG.replace("host_header =", "protocol = \"h2\"\n    host_header =");
    let setup = Setup::of(&config).with("origin", origin.address());
    let daemon = setup.with("shadow", far.address("web")).start();
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..2 {
        client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.answer().text(), "app");
    }
    daemon.wait_for_metric(MIRRORED, &[("result", "answered")], 2.0);
    wait_until(DEADLINE, "both copies to arrive", || shadow.requests() == 2);
    assert!(shadow.take_requests().iter().all(|copy| copy.body == b"hello"));
    assert_eq!(far.metric("equipoise_listener_http2_connections_total", &[]), 1.0);
}
