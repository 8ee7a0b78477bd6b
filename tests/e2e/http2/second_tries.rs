//! What HTTP/2 backends leave undone is asked again where that is safe, and nowhere else (RFC 9113,
//! section 8.7; HTTP.md, "When something breaks").

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{BOTH_DOORS, Front};
use crate::harness::{
    Client, DEADLINE, Origin, Setup,
    h2::{
        Asked, H2Peer,
        frame::{Frame, code, flag},
        h2_origin,
    },
    wait_until,
};

/// Two backends of HTTP/2, asked in turn.
fn before(first: &Origin, second: &Origin) -> Front {
    let both = "[\"$origin\", \"$second\"]\nprotocol = \"h2\"";
    let config = format!("workers = 1\n{}", BOTH_DOORS.replace("[\"$origin\"]", both));
    let addresses = Setup::of(&config).with("origin", first.address());
    Front::start(addresses.with("second", second.address()))
}

/// Answers with what it was sent.
fn echo(peer: &mut H2Peer<'_>) {
    while let Some(Asked { stream, request }) = peer.request() {
        peer.answer(stream, 200, &String::from_utf8_lossy(&request.body));
    }
}

/// A backend that refuses every stream once something of its body has come, and how many it has.
fn refusing_late() -> (Arc<AtomicUsize>, Origin) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let origin = h2_origin(move |peer| {
        while let Some(Asked { stream, .. }) = peer.head() {
            let begun =
                peer.until(|link| link.message(stream).is_some_and(|it| !it.body.is_empty()));
            peer.send(&Frame::reset(stream, code::REFUSED_STREAM));
            // It has been read before anything else comes.
            if begun.is_err() || peer.ping().is_err() {
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (refused, origin)
}

#[test]
fn a_body_of_which_a_part_is_gone_is_not_sent_again() {
    let ((refused, first), second) = (refusing_late(), h2_origin(echo));
    let front = before(&first, &second);
    let mut answered = Vec::new();
    for _ in 0..4 {
        let mut client = front.plain().connect();
        let before = (refused.load(Ordering::SeqCst), second.received_bytes());
        let stream = client.open_stream("POST", "/", &[], flag::NONE);
        client.send_body(stream, flag::NONE, b"first half, ").expect("the connection lives");
        wait_until(DEADLINE, "a backend to have the first half", || {
            refused.load(Ordering::SeqCst) > before.0 || second.received_bytes() > before.1 + 40
        });
        // The stream may be over by now.
        let _ = client.send_body(stream, flag::END_STREAM, b"second half");
        let answer = client.wait_for_head(stream);
        match answer.status {
            200 => answered.push(client.answer(stream).text()),
            status => assert_eq!(status, 502),
        }
    }
    assert_eq!(answered, ["first half, second half"; 2], "every second one is answered");
}

/// A chunk that is begun anew in its middle would let its sender write requests of his own.
#[test]
fn a_chunk_is_not_read_from_its_middle() {
    const INNER: &str = "3\r\nabc\r\n0\r\n\r\n";
    let ((refused, first), second) = (refusing_late(), h2_origin(echo));
    let front = before(&first, &second);
    let mut client = Client::connect(front.daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("{:x}\r\nabcd", 4 + INNER.len()));
    wait_until(DEADLINE, "a backend to refuse it", || refused.load(Ordering::SeqCst) > 0);
    let _ = client.try_send(format!("{INNER}\r\n0\r\n\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (502, true), "{answer:?}");
    assert_eq!(second.requests(), 0);
}

#[test]
fn a_body_that_has_not_begun_goes_where_it_is_wanted() {
    let first = h2_origin(|peer| {
        while let Some(asked) = peer.head() {
            peer.send(&Frame::reset(asked.stream, code::REFUSED_STREAM));
        }
    });
    let second = h2_origin(echo);
    let front = before(&first, &second);
    for _ in 0..4 {
        let mut client = front.plain().connect();
        let reached = second.received_bytes();
        let stream = client.open_stream("POST", "/", &[], flag::NONE);
        wait_until(DEADLINE, "the second to be asked", || second.received_bytes() > reached + 40);
        client.send_body(stream, flag::END_STREAM, b"all of it").expect("the connection lives");
        assert_eq!(client.answer(stream).text(), "all of it");
    }
}

/// A reset is the backend's word on this request, however long its connection has served others.
#[test]
fn a_stream_that_is_reset_may_have_been_acted_on() {
    let acts = || {
        h2_origin(|peer| {
            while let Some(asked) = peer.request() {
                match asked.request.method.as_str() {
                    "POST" => peer.send(&Frame::reset(asked.stream, code::INTERNAL_ERROR)),
                    _ => peer.answer(asked.stream, 200, "used"),
                }
            }
        })
    };
    let (first, second) = (acts(), acts());
    let front = before(&first, &second);
    let mut client = front.plain().connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "used");
    }
    let stream = client.open_stream("POST", "/", &[], flag::END_STREAM);
    assert_eq!(client.answer(stream).status, 502);
    assert_eq!(first.requests() + second.requests(), 3, "one of them was asked");
}

#[test]
fn a_backend_that_resets_its_streams_is_held_to_be_down() {
    let origin = h2_origin(|peer| {
        while let Some(asked) = peer.request() {
            match asked.request.target.as_str() {
                "/bad" => peer.send(&Frame::reset(asked.stream, code::INTERNAL_ERROR)),
                _ => peer.answer(asked.stream, 200, "used"),
            }
        }
    });
    let config = format!("workers = 1\n{BOTH_DOORS}\nprotocol = \"h2\"");
    let front = Front::of(&config.replace("fall = 0", "fall = 1"), &origin);
    let mut client = front.plain().connect();
    assert_eq!(client.get("/").text(), "used");
    assert_eq!(client.get("/bad").status, 502);
    front.daemon.wait_for_metric("equipoise_backend_up", &[], 0.0);
}

/// Requests that a connection will not serve go elsewhere, before they are sent and after.
#[test]
fn a_connection_that_says_goaway_is_left_for_another() {
    let said = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&said);
    let origin = h2_origin(move |peer| {
        if peer.stream.number > 0 {
            return echo(peer);
        }
        let Some(first) = peer.head() else { return };
        peer.send(&Frame::goaway(first.stream, code::NO_ERROR));
        let _ = peer.ping();
        count.fetch_add(1, Ordering::SeqCst);
        let Some(first) = peer.whole(first.stream) else { return };
        peer.answer(first.stream, 200, "the first");
        peer.hang();
    });
    let config = format!("workers = 1\n{BOTH_DOORS}\nprotocol = \"h2\"");
    let front = Front::of(&config, &origin);
    let mut client = front.plain().connect();
    let first = client.open_stream("POST", "/", &[], flag::NONE);
    wait_until(DEADLINE, "the word to be read", || said.load(Ordering::SeqCst) > 0);
    let second = client.open_stream("POST", "/", &[], flag::NONE);
    client.send_body(second, flag::END_STREAM, b"the second").expect("the connection lives");
    assert_eq!(client.answer(second).text(), "the second");
    client.send_body(first, flag::END_STREAM, b"").expect("the connection lives");
    assert_eq!(client.answer(first).text(), "the first");
}

#[test]
fn a_request_that_crosses_a_goaway_is_asked_again_of_the_only_backend() {
    let origin = h2_origin(|peer| {
        if peer.stream.number > 0 {
            return echo(peer);
        }
        let Some(first) = peer.request() else { return };
        peer.answer(first.stream, 200, "before");
        // It is on its way when the word is said.
        if peer.head().is_some() {
            peer.send(&Frame::goaway(first.stream, code::NO_ERROR));
            peer.hang();
        }
    });
    let config = format!("workers = 1\n{BOTH_DOORS}\nprotocol = \"h2\"");
    let front = Front::of(&config.replace("fall = 0", "fall = 1"), &origin);
    let mut client = front.plain().connect();
    assert_eq!(client.get("/").text(), "before");
    let crossing = client.open_stream("POST", "/", &[("content-length", "8")], flag::NONE);
    client.send_body(crossing, flag::END_STREAM, b"crossing").expect("the connection lives");
    assert_eq!(client.answer(crossing).text(), "crossing");
    assert_eq!(client.get("/").status, 200, "the backend is held to be well");
}
