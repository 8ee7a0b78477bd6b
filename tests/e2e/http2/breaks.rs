//! When something breaks: an HTTP/2 client can always tell a whole answer from one that broke off,
//! and who leaves takes its exchange along (HTTP.md, "When something breaks").

use super::{
    BOTH_DOORS, Front, report,
    sides::{Answers, Ask, Asks, SIDES, TwoBackends},
    with_listener_keys, with_pool_keys,
};
use crate::harness::{
    Broken, Client, DEADLINE, End, Origin, Peer,
    h2::{
        Asked, H2Peer, Outcome, StreamEnd, Windows,
        frame::{Frame, code, flag},
        h2_origin,
    },
    request, wait_until,
};

const ERRORS: &str = "equipoise_http_errors_total";

/// How a backend's answer breaks off, after "hello" was sent of it.
type BreakOff = (&'static str, &'static str, fn(&mut Peer));

#[rustfmt::skip]
const BY_HTTP1: &[BreakOff] = &[
    ("short of its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |_| {}),
    ("without the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", |_| {}),
    ("within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", |_| {}),
    ("without the end of its trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", |_| {}),
    ("by a reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |peer| peer.reset()),
    ("by a half-close", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |peer| { peer.half_close(); peer.hang(); }),
    ("in a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", |peer| peer.hang()),
];

/// The same by HTTP/2; the head has told ten bytes.
type StreamBreak = (&'static str, fn(&mut H2Peer<'_>, u32));

#[rustfmt::skip]
const BY_HTTP2: &[StreamBreak] = &[
    ("by a reset of the stream", |peer, stream| peer.send(&Frame::reset(stream, code::INTERNAL_ERROR))),
    ("by a reset that says CANCEL", |peer, stream| peer.send(&Frame::reset(stream, code::CANCEL))),
    ("by a reset that says NO_ERROR", |peer, stream| peer.send(&Frame::reset(stream, code::NO_ERROR))),
    ("by a close", |_, _| {}),
    ("by a GOAWAY and a close", |peer, _| peer.send(&Frame::goaway(0, code::INTERNAL_ERROR))),
    ("short of its length", |peer, stream| peer.send(&Frame::data(stream, flag::END_STREAM, []))),
    ("beyond its length", |peer, stream| peer.send(&Frame::data(stream, flag::END_STREAM, *b"hello hello"))),
    ("by what is no frame", |peer, _| { peer.send_bytes([0xff; 64]); peer.hang(); }),
    ("by a broken field block", |peer, stream| { peer.send(&Frame::headers(stream, flag::WHOLE, [0x80])); peer.hang(); }),
];

fn breaking(http1: BreakOff, http2: StreamBreak) -> TwoBackends {
    let (_, bytes, ends) = http1;
    let one = Origin::start(move |peer| {
        if peer.request().is_some() {
            peer.write(bytes);
            ends(peer);
        }
    });
    let (_, breaks) = http2;
    let two = h2_origin(move |peer| {
        if let Some(Asked { stream, .. }) = peer.request() {
            peer.send_head(stream, flag::NONE, &[(":status", "200"), ("content-length", "10")]);
            peer.send(&Frame::data(stream, flag::NONE, *b"hello"));
            breaks(peer, stream);
            // What was sent is read before the connection closes.
            let _ = peer.ping();
        }
    });
    TwoBackends::start(one, two, "")
}

#[test]
fn an_answer_that_breaks_off_never_ends_cleanly() {
    let rows = BY_HTTP1.len().max(BY_HTTP2.len());
    for row in 0..rows {
        let (http1, http2) = (BY_HTTP1[row % BY_HTTP1.len()], BY_HTTP2[row % BY_HTTP2.len()]);
        let backends = breaking(http1, http2);
        for sides in SIDES {
            let how = match sides.1 {
                Answers::Http1 => http1.0,
                Answers::Http2 => http2.0,
            };
            ends_visibly(&backends, sides, how);
        }
    }
}

#[track_caller]
fn ends_visibly(backends: &TwoBackends, sides: (Asks, Answers), how: &str) {
    let front = &backends.front;
    let path = super::sides::path(sides.1, "/");
    let what = format!("{sides:?} {how}");
    if sides.0 == Asks::Http1 {
        let answer = backends.exchange(sides, &Ask::get("/")).answer;
        // Head and break may come in one read, and then the answer can still be refused.
        let refused = answer.status == 502;
        assert!(refused || matches!(answer.end, End::Cut(_)), "{what}: {answer:?}");
        return;
    }
    let door = if sides.0 == Asks::Http2 { front.plain() } else { front.tls() };
    let mut client = door.connect();
    let stream = client.ask(&path);
    match client.outcome(stream) {
        Outcome::Reset(code, Some(answer)) => {
            assert_eq!(answer.status, 200, "{what}");
            assert!(answer.text().is_empty() || answer.text().starts_with("hello"), "{what}");
            assert_ne!(code, code::NO_ERROR, "{what}: a reset that says that nothing is wrong");
        }
        Outcome::Reset(code, None) => assert_ne!(code, code::NO_ERROR, "{what}"),
        Outcome::Answer(answer) => assert_eq!(answer.status, 502, "{what}: {answer:?}"),
        other => panic!("{what}: {}", other.words()),
    }
    // It was this stream's matter alone.
    assert_eq!(client.ping(), Ok(()), "{what}");
}

#[test]
fn a_backend_that_dies_within_a_body_reaches_the_client_as_a_reset() {
    // Far into a long body: nothing can be refused any more.
    const SENT: usize = 3 << 20;
    let one = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            peer.write(vec![b'a'; SENT]);
        }
    });
    let two = h2_origin(|peer| {
        if let Some(Asked { stream, .. }) = peer.request() {
            peer.send_head(stream, flag::NONE, &[(":status", "200")]);
            let _ = peer.send_body(stream, flag::NONE, &vec![b'a'; SENT]);
        }
    });
    let backends = TwoBackends::start(one, two, "");
    for path in ["/one/", "/two/"] {
        for door in [backends.front.plain(), backends.front.tls()] {
            let mut client = door.connect();
            let stream = client.ask(path);
            let outcome = client.outcome(stream);
            let Outcome::Reset(code, Some(answer)) = outcome else {
                panic!("{path}: {}", outcome.words());
            };
            assert_eq!(answer.status, 200);
            assert_ne!(code, code::NO_ERROR, "{path}");
            assert!(answer.body.len() <= SENT, "{path}");
            assert_eq!(client.ping(), Ok(()), "{path}");
        }
    }
    let truncated = [("reason", "upstream-truncated")];
    backends.front.daemon.wait_for_metric(ERRORS, &truncated, 4.0);
}

/// The head of an answer that no HTTP/2 backend may send.
type BadHead = (&'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const BAD_HEADS: &[BadHead] = &[
    ("no status", &[("x-a", "b")]),
    ("a status that is no number", &[(":status", "abc")]),
    ("a status of two digits", &[(":status", "20")]),
    ("a status of four digits", &[(":status", "2000")]),
    ("a status out of range", &[(":status", "999")]),
    ("two statuses", &[(":status", "200"), (":status", "200")]),
    ("an unknown pseudo-header field", &[(":status", "200"), (":other", "a")]),
    ("a status behind a field", &[("x-a", "b"), (":status", "200")]),
    ("an upper-case name", &[(":status", "200"), ("X-A", "b")]),
    ("a quote in a name", &[(":status", "200"), ("x\"a", "b")]),
    ("connection", &[(":status", "200"), ("connection", "close")]),
    ("transfer-encoding", &[(":status", "200"), ("transfer-encoding", "chunked")]),
    ("a line in a value", &[(":status", "200"), ("x-a", "a\r\nset-cookie: b")]),
    ("a NUL in a value", &[(":status", "200"), ("x-a", "a\0")]),
    ("a space behind a value", &[(":status", "200"), ("x-a", "a ")]),
    ("a switch of protocols", &[(":status", "101")]),
    ("two lengths", &[(":status", "200"), ("content-length", "5"), ("content-length", "6")]),
    ("a length that is no number", &[(":status", "200"), ("content-length", "+5")]),
];

#[test]
fn a_malformed_head_of_an_http2_backend_is_502() {
    let mut complaints = Vec::new();
    for (what, head) in BAD_HEADS {
        let two = h2_origin(|peer| {
            while let Some(Asked { stream, .. }) = peer.request() {
                peer.send_head(stream, flag::NONE, head);
                let _ = peer.send_body(stream, flag::END_STREAM, b"hello");
            }
        });
        let one = Origin::answering("unused");
        let backends = TwoBackends::start(one, two, "retry = { attempts = 1 }");
        for asks in [Asks::Http1, Asks::Http2] {
            let answer = backends.exchange((asks, Answers::Http2), &Ask::get("/")).answer;
            if answer.status != 502 {
                complaints.push(format!("{asks:?}: {what}: {answer:?}"));
            }
        }
    }
    report(&complaints, 2 * BAD_HEADS.len());
}

/// An HTTP/1 client reads what follows a head without a body as its next answer.
#[test]
fn a_body_where_none_may_be_reaches_no_client() {
    const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    let length = SMUGGLED.len().to_string();
    let heads = [
        vec![(":status", "204")],
        vec![(":status", "304")],
        vec![(":status", "304"), ("content-length", length.as_str())],
    ];
    let heads = heads.map(|head| head.into_iter().map(|(n, v)| (n, v.to_owned())).collect());
    for head in heads {
        let head: Vec<(&str, String)> = head;
        let told = head.clone();
        let two = h2_origin(move |peer| {
            while let Some(Asked { stream, request }) = peer.request() {
                if request.target.ends_with("/after") {
                    peer.answer(stream, 200, "after");
                    continue;
                }
                peer.cork();
                peer.send_head(stream, flag::NONE, &told);
                if request.target.ends_with("/late") {
                    peer.uncork();
                    let _ = peer.ping();
                }
                peer.send(&Frame::data(stream, flag::END_STREAM, SMUGGLED));
                peer.uncork();
            }
        });
        let backends = TwoBackends::start(Origin::answering("unused"), two, "");
        for path in ["/at_once", "/late"] {
            let what = format!("{head:?} {path}");
            let mut client = Client::connect(backends.front.daemon.address("web"));
            let answer = client.get(&format!("/two{path}"));
            let told = head[0].1.parse().expect("a status");
            assert!([told, 502].contains(&answer.status), "{what}: {answer:?}");
            let _ = client.try_send(request("/two/after"));
            match client.try_answer() {
                Ok(after) => assert_eq!(after.text(), "after", "{what}"),
                Err(broken) => {
                    assert!(matches!(broken, Broken::Closed | Broken::Reset), "{what}: {broken:?}");
                }
            }
            let mut client = backends.front.plain().connect();
            let stream = client.ask(&format!("/two{path}"));
            match client.outcome(stream) {
                Outcome::Answer(answer) => assert_eq!(answer.status, 502, "{what}"),
                Outcome::Reset(_, answer) => {
                    assert!(answer.is_none_or(|answer| answer.body.is_empty()), "{what}");
                }
                other => panic!("{what}: {}", other.words()),
            }
        }
    }
}

/// What the backend itself says it has not begun on is asked again, whatever it is.
#[test]
fn a_stream_that_a_backend_refuses_is_tried_again() {
    let refuse: [fn(&mut H2Peer<'_>, u32); 2] = [
        |peer, stream| peer.send(&Frame::reset(stream, code::REFUSED_STREAM)),
        |peer, _| peer.send(&Frame::goaway(0, code::NO_ERROR)),
    ];
    for refuses in refuse {
        let first = h2_origin(move |peer| {
            while let Some(asked) = peer.head() {
                refuses(peer, asked.stream);
            }
        });
        let second = h2_origin(|peer| {
            while let Some(asked) = peer.request() {
                peer.answer(asked.stream, 200, "second");
            }
        });
        let config =
            BOTH_DOORS.replace("[\"$origin\"]", "[\"$origin\", \"$second\"]\nprotocol = \"h2\"");
        let setup = crate::harness::Setup::of(&config)
            .with("origin", first.address())
            .with("second", second.address());
        let front = Front::start(setup);
        let mut client = front.plain().connect();
        for _ in 0..6 {
            let stream = client.open_stream("POST", "/", &[], flag::END_STREAM);
            assert_eq!(client.answer(stream).text(), "second");
        }
    }
}

#[test]
fn a_client_that_resets_takes_its_exchange_along() {
    let one = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target.ends_with("/hang") {
                true => peer.hang(),
                false => peer.answer(200, "ok"),
            }
        }
    });
    let two = h2_origin(|peer| {
        while let Some(asked) = peer.request() {
            if !asked.request.target.ends_with("/hang") {
                peer.answer(asked.stream, 200, "ok");
            } else if !peer.sees_reset(asked.stream) {
                peer.stream.violation("no reset came".to_owned());
            }
        }
    });
    let backends = TwoBackends::start(one, two, "");
    for door in [backends.front.plain(), backends.front.tls()] {
        let mut client = door.connect();
        for path in ["/one/hang", "/two/hang"] {
            let before = (backends.one.requests(), backends.two.requests());
            let stream = client.ask(path);
            wait_until(DEADLINE, "the backend to be asked", || {
                (backends.one.requests(), backends.two.requests()) != before
            });
            client.send(&Frame::reset(stream, code::CANCEL));
        }
        wait_until(DEADLINE, "the connection of HTTP/1 to close", || {
            backends.one.open_connections() == 0
        });
        // The script of HTTP/2 goes on when it has seen the reset: on the same connection.
        assert_eq!(client.get("/two/").text(), "ok");
        assert_eq!(backends.two.violations(), Vec::<String>::new());
        wait_until(DEADLINE, "nothing to be in flight", || {
            backends.front.daemon.metric("equipoise_backend_in_flight", &[]) == 0.0
        });
        assert_eq!(client.get("/one/").text(), "ok");
        backends.one.close_connections();
    }
}

#[test]
fn a_client_that_goes_takes_all_its_streams_along() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let front = Front::of(BOTH_DOORS, &origin);
    for door in [front.plain(), front.tls()] {
        let before = origin.requests();
        let mut client = door.connect();
        for _ in 0..10 {
            client.ask("/");
        }
        wait_until(DEADLINE, "all to be asked", || origin.requests() == before + 10);
        drop(client);
        wait_until(DEADLINE, "all connections to close", || origin.open_connections() == 0);
    }
}

#[test]
fn a_client_that_resets_within_its_upload_takes_it_along() {
    let one = Origin::start(|peer| {
        let Some(mut request) = peer.head() else { return };
        peer.body(&mut request);
    });
    let two = h2_origin(|peer| {
        if let Some(asked) = peer.head() {
            if !peer.sees_reset(asked.stream) {
                peer.stream.violation("no reset came".to_owned());
            }
            peer.hang();
        }
    });
    let backends = TwoBackends::start(one, two, "");
    let mut client = backends.front.plain().connect();
    let mut streams = Vec::new();
    for path in ["/one/", "/two/"] {
        let stream = client.open_stream("POST", path, &[], flag::NONE);
        client.send(&Frame::data(stream, flag::NONE, *b"half of it"));
        streams.push(stream);
    }
    wait_until(DEADLINE, "both to have begun", || {
        backends.one.received_bytes() > 0 && backends.two.received_bytes() > 100
    });
    for stream in streams {
        client.send(&Frame::reset(stream, code::CANCEL));
    }
    wait_until(DEADLINE, "the connection of HTTP/1 to close", || {
        backends.one.open_connections() == 0
    });
    assert_eq!(backends.one.requests(), 0, "no request came whole");
    assert_eq!(client.ping(), Ok::<(), Broken>(()));
    assert_eq!(backends.two.violations(), Vec::<String>::new());
}

/// The backend takes nothing: who leaves meanwhile is not waited for, and not taken for its fault.
#[test]
fn a_client_that_resets_while_its_upload_is_blocked_takes_it_along() {
    let two = h2_origin(|peer| {
        peer.windows = Windows::Withheld;
        if let Some(asked) = peer.head() {
            if !peer.sees_reset(asked.stream) {
                peer.stream.violation("no reset came".to_owned());
            }
            peer.hang();
        }
    });
    let keys = "timeouts = { idle = \"10m\", first_byte = \"10m\" }";
    let backends = TwoBackends::start(Origin::answering("unused"), two, keys);
    let mut client = backends.front.plain().connect();
    let stream = client.open_stream("POST", "/two/", &[], flag::NONE);
    client.send_body(stream, flag::NONE, &[b'a'; 200_000]).expect("the stream has room");
    wait_until(DEADLINE, "the backend's window to be full", || {
        backends.two.received_bytes() > 65_535
    });
    client.send(&Frame::reset(stream, code::CANCEL));
    wait_until(DEADLINE, "nothing to be in flight", || {
        backends.front.daemon.metric("equipoise_backend_in_flight", &[]) == 0.0
    });
    backends.front.daemon.wait_for_metric(ERRORS, &[("reason", "client-gone")], 1.0);
    assert_eq!(backends.two.violations(), Vec::<String>::new());
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let origin = Origin::start(|peer| {
        let Some(mut request) = peer.head() else { return };
        peer.body(&mut request);
    });
    let front = Front::of(&with_listener_keys("timeouts = { body_idle = \"300ms\" }"), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        let stream = client.open_stream("POST", "/", &[], flag::NONE);
        client.send(&Frame::data(stream, flag::NONE, *b"half of it"));
        let outcome = client.outcome(stream);
        let told = match &outcome {
            Outcome::Answer(answer) | Outcome::Reset(_, Some(answer)) => answer.status == 408,
            Outcome::Reset(_, None) => true,
            _ => false,
        };
        assert!(told, "{outcome:?}");
        assert_eq!(client.ping(), Ok(()), "the connection lives");
        wait_until(DEADLINE, "the backend's connection to close", || {
            origin.open_connections() == 0
        });
    }
    assert_eq!(origin.requests(), 0, "no request came whole");
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while peer.try_write(&[b'a'; 65_536]) {}
        }
    });
    let front = Front::of(&with_listener_keys("timeouts = { body_idle = \"300ms\" }"), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        client.windows = Windows::Withheld;
        let stream = client.ask("/");
        client.until(|link| link.end(stream).is_some()).expect("the stream ends");
        let end = client.end(stream);
        assert!(matches!(end, Some(StreamEnd::Reset(code)) if code != code::NO_ERROR), "{end:?}");
        wait_until(DEADLINE, "the backend's connection to close", || {
            origin.open_connections() == 0
        });
    }
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_504() {
    let silent = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let front = Front::of(&with_pool_keys("timeouts = { first_byte = \"300ms\" }"), &silent);
    assert_eq!(front.plain().get("/").status, 504);
    let silent = h2_origin(|peer| {
        while let Some(asked) = peer.request() {
            if !peer.sees_reset(asked.stream) {
                peer.stream.violation("no reset came".to_owned());
            }
        }
    });
    let keys = "protocol = \"h2\"\ntimeouts = { first_byte = \"300ms\" }";
    let front = Front::of(&with_pool_keys(keys), &silent);
    assert_eq!(front.plain().get("/").status, 504);
    assert_eq!(silent.violations(), Vec::<String>::new());
}

#[test]
fn a_backend_that_speaks_no_http2_is_502() {
    let origin = Origin::answering("HTTP/1.1 only");
    let keys = "protocol = \"h2\"\nretry = { attempts = 1 }\ntimeouts = { first_byte = \"5s\", connect = \"5s\" }";
    let front = Front::of(&with_pool_keys(keys), &origin);
    for _ in 0..3 {
        let status = front.plain().get("/").status;
        assert!(status == 502 || status == 504, "{status}");
    }
}
