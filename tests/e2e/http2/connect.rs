//! An extended CONNECT (RFC 8441) is told 2xx when its tunnel stands, and never otherwise: whatever
//! followed would be read as words of the other protocol.

use super::{BOTH_DOORS, Front};
use crate::harness::{
    Origin,
    h2::{H2Client, Outcome, frame::flag},
};

/// Asks for a tunnel to this protocol: the status.
fn asked(client: &mut H2Client, path: &str, protocol: &str, more: &[(&str, &str)]) -> u16 {
    let stream = client.number();
    let mut fields = vec![
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":path", path),
        (":authority", "www.example.com"),
    ];
    fields.extend_from_slice(more);
    client.send_head(stream, flag::NONE, &fields);
    match client.outcome(stream) {
        Outcome::Answer(answer) | Outcome::Reset(_, Some(answer)) => answer.status,
        other => panic!("{path}, {protocol}: {}", other.words()),
    }
}

#[test]
fn a_backend_that_ignores_what_was_asked_for_opens_nothing() {
    let origin = Origin::answering("<html>");
    let front = Front::of(&BOTH_DOORS.replace("fall = 0", "fall = 1"), &origin);
    let mut client = front.plain().connect();
    assert_eq!(asked(&mut client, "/", "websocket", &[]), 502);
    // HTTP/1.1 leaves that to it: it is no failure, and anyone could turn it down else.
    assert_eq!(client.get("/").text(), "<html>");
    front.daemon.wait_for_metric("equipoise_backend_up", &[], 1.0);
}

#[test]
fn what_is_no_tunnel_to_open_reaches_no_backend() {
    let origin = Origin::answering("<html>");
    let front = Front::of(BOTH_DOORS, &origin);
    let mut client = front.plain().connect();
    for protocol in ["h2c", "TLS/1.2"] {
        assert_eq!(asked(&mut client, "/", protocol, &[]), 501, "{protocol}");
    }
    assert_eq!(asked(&mut client, "/", "websocket", &[("content-length", "5")]), 501);
    let call = [("content-type", "application/grpc")];
    assert_eq!(asked(&mut client, "/", "h2c", &call), 501, "no status of gRPC, which is 200");
    let long = "a".repeat(9 << 10);
    assert_eq!(asked(&mut client, &format!("/{long}"), "websocket", &call), 414);
    assert_eq!(origin.requests(), 0);
    assert_eq!(client.get("/").text(), "<html>");
}

#[test]
fn an_answer_of_our_own_opens_nothing() {
    let routes = "
        [[route]]
        path = \"/fixed\"
        respond = { status = 200, body = \"fixed\" }
        [[route]]
        path = \"/barred\"
        respond = { status = 403, body = \"barred\" }
    ";
    let origin = Origin::answering("unused");
    let front = Front::of(&format!("{BOTH_DOORS}\n{routes}"), &origin);
    let mut client = front.plain().connect();
    assert_eq!(asked(&mut client, "/fixed", "websocket", &[]), 501);
    assert_eq!(asked(&mut client, "/barred", "websocket", &[]), 403);
    assert_eq!(client.get("/fixed").text(), "fixed");
}
