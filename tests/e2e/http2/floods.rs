//! What costs a client nothing and us some work each: it ends in ENHANCE_YOUR_CALM, or is bounded
//! otherwise, and other clients of the same worker don't feel it.

use std::thread;

use super::{BOTH_DOORS, Front, report};
use crate::harness::{
    Broken, Load, Origin, Peer,
    h2::{
        Door, H2Client, Outcome,
        frame::{Frame, block, code, flag, indexed_literal, kind},
    },
    wait_until_still,
};

const MIB: u64 = 1 << 20;

/// A flood: what is sent again and again, on which stream.
struct Flood(&'static str, fn(&mut H2Client) -> u32, fn(&mut H2Client, u32));

/// How often it is sent before the daemon is held to bear anything.
const MANY: usize = 50_000;
/// Bytes between two looks at what came back.
const WRITE: usize = 4096;

/// No stream is needed.
fn none(_: &mut H2Client) -> u32 {
    0
}

/// A stream that waits for its body.
fn open(client: &mut H2Client) -> u32 {
    client.open_stream("POST", "/", &[], flag::NONE)
}

/// A stream whose answer has come.
fn closed(client: &mut H2Client) -> u32 {
    let stream = client.ask("/");
    assert_eq!(client.answer(stream).status, 200);
    stream
}

/// A field block that never ends.
fn endless(client: &mut H2Client) -> u32 {
    let stream = client.number();
    let fields = client.head("GET", "/");
    client.send(&Frame::headers(stream, flag::END_STREAM, block(&fields)));
    stream
}

#[rustfmt::skip]
const FLOODS: &[Flood] = &[
    Flood("rapid reset", none, |c, _| { let s = c.ask("/"); c.send(&Frame::reset(s, code::CANCEL)); }),
    Flood("rapid reset of requests that hang", none, |c, _| { let s = c.ask("/hang"); c.send(&Frame::reset(s, code::CANCEL)); }),
    Flood("rapid reset of open requests", none, |c, _| { let s = open(c); c.send(&Frame::reset(s, code::NO_ERROR)); }),
    Flood("rapid reset behind a part of a body", none, |c, _| { let s = open(c); c.send(&Frame::data(s, flag::NONE, *b"a")); c.send(&Frame::reset(s, code::CANCEL)); }),
    Flood("provoked resets: a window above the largest", none, |c, _| { let s = open(c); c.send(&Frame::window_update(s, 0x7fff_ffff)); }),
    Flood("provoked resets: HEADERS that depend on themselves", none, |c, _| {
        let s = c.number();
        let payload = [s.to_be_bytes().to_vec(), vec![9], block(&c.head("GET", "/"))].concat();
        c.send(&Frame::headers(s, flag::WHOLE | flag::PRIORITY, payload));
    }),
    Flood("provoked resets: a malformed head", none, |c, _| { c.open_stream("GET", "/", &[("te", "gzip")], flag::END_STREAM); }),
    Flood("provoked resets: no head at all", none, |c, _| { let s = c.number(); c.send(&Frame::headers(s, flag::WHOLE, [])); }),
    Flood("provoked resets: more DATA than told", none, |c, _| { let s = c.open_stream("POST", "/", &[("content-length", "1")], flag::NONE); c.send(&Frame::data(s, flag::NONE, *b"ab")); }),
    // Where an answer may come in between, the second head is one of a stream that is over: another error.
    Flood("provoked resets: a second head", none, |c, _| { let s = c.open_stream("POST", "/hang", &[], flag::NONE); c.send_head(s, flag::NONE, &[("x-a", "a")]); }),
    Flood("more streams than are allowed", none, |c, _| { c.ask("/hang"); }),
    Flood("CONTINUATION", endless, |c, s| c.send(&Frame::continuation(s, flag::NONE, block(&[("x-a", "a")])))),
    Flood("empty CONTINUATION", endless, |c, s| c.send(&Frame::continuation(s, flag::NONE, []))),
    Flood("large CONTINUATION", endless, |c, s| c.send(&Frame::continuation(s, flag::NONE, block(&[("x-a", "a".repeat(16_000))])))),
    Flood("SETTINGS", none, |c, _| c.send(&Frame::settings(&[(4, 65_535)]))),
    Flood("empty SETTINGS", none, |c, _| c.send(&Frame::settings(&[]))),
    Flood("PING", none, |c, _| c.send(&Frame::ping(*b"flooding"))),
    Flood("answers to no PING", none, |c, _| c.send(&Frame::new(kind::PING, flag::ACK, 0, *b"flooding"))),
    Flood("PRIORITY", none, |c, _| c.send(&Frame::priority(1001, 0, 7))),
    Flood("PRIORITY of many streams", none, |c, _| { let s = c.number(); c.send(&Frame::priority(s, 0, 7)); }),
    Flood("WINDOW_UPDATE of the connection", none, |c, _| c.give(0, 1)),
    Flood("WINDOW_UPDATE of a stream", open, |c, s| c.give(s, 1)),
    Flood("WINDOW_UPDATE of a closed stream", closed, |c, s| c.send(&Frame::window_update(s, 1))),
    Flood("RST_STREAM of a closed stream", closed, |c, s| c.send(&Frame::reset(s, code::CANCEL))),
    Flood("empty DATA", open, |c, s| c.send(&Frame::data(s, flag::NONE, []))),
    Flood("frames of an unknown type", none, |c, _| c.send(&Frame::new(kind::UNKNOWN, 0, 0, []))),
];

/// Answers at once, but for one path that never answers.
fn serve(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        match request.target.as_str() {
            "/hang" => peer.hang(),
            _ => peer.answer(200, "passed"),
        }
    }
}

fn one_worker() -> String {
    format!("workers = 1\n{BOTH_DOORS}")
}

#[test]
fn each_flood_is_told_to_calm_down_and_nobody_else_feels_it() {
    let origin = Origin::start(serve);
    let front = Front::of(&one_worker(), &origin);
    let mut complaints = Vec::new();
    for (name, door) in [("plain", front.plain()), ("tls", front.tls())] {
        let load = Load::new().keep_alive(front.daemon.address("web"), 2);
        let mut bystander = front.plain().connect();
        for flood in FLOODS {
            if let Err(complaint) = calms(&door, flood) {
                complaints.push(format!("{name}: {}: {complaint}", flood.0));
            }
            assert_eq!(bystander.get("/").status, 200, "during {}", flood.0);
        }
        load.stop().assert_flawless();
    }
    report(&complaints, 2 * FLOODS.len());
    let grown = front.daemon.resident_bytes();
    assert!(grown < 96 * MIB, "{grown} bytes are resident after all floods");
    let floods = front.daemon.metric("equipoise_http_errors_total", &[("reason", "http2-flood")]);
    assert!(floods >= 10.0, "{floods} floods are counted");
    let lines = front.daemon.log().len();
    assert!(lines < 20, "{lines} lines of log: a client can fill it");
}

fn calms(door: &Door, Flood(_, prepare, again): &Flood) -> Result<(), String> {
    let mut client = door.connect();
    let stream = prepare(&mut client);
    let mut sent = 0;
    while sent < MANY {
        client.cork();
        while client.corked() < WRITE {
            again(&mut client, stream);
            sent += 1;
        }
        client.uncork();
        if let Err(broken) = client.drain() {
            return match client.goaway() {
                Some((_, code::ENHANCE_YOUR_CALM)) => Ok(()),
                other => Err(format!("{broken:?} after GOAWAY {other:?}")),
            };
        }
    }
    Err(format!("{sent} of them are borne"))
}

/// One client among the many behind a proxy that sends what is malformed now and then.
#[test]
fn errors_between_requests_are_borne_for_as_long_as_it_takes() {
    let origin = Origin::start(serve);
    let keys = super::with_listener_keys("limits = { max_resets = 5 }");
    let front = Front::of(&format!("workers = 1\n{keys}"), &origin);
    let mut client = front.plain().connect();
    for _ in 0..150 {
        let stream = client.open_stream("GET", "/", &[("te", "gzip")], flag::END_STREAM);
        let outcome = client.outcome(stream);
        assert!(matches!(outcome, Outcome::Reset(code::PROTOCOL_ERROR, None)), "{outcome:?}");
        assert_eq!(client.get("/").status, 200);
    }
}

/// What the client has sent by then is taken in: it must not cost it our last word.
#[test]
fn the_last_word_reaches_a_client_that_still_sends() {
    let origin = Origin::start(serve);
    let front = Front::of(&one_worker(), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        for _ in 0..20_000 {
            client.send(&Frame::ping(*b"flooding"));
        }
        let end = client.connection_end();
        assert!(matches!(end, Outcome::GoneAway(code::ENHANCE_YOUR_CALM)), "{end:?}");
    }
}

/// What a client that reads nothing is owed is bounded, whatever it asks.
#[test]
fn a_client_that_reads_nothing_costs_little() {
    let origin = Origin::start(serve);
    let front = Front::of(&one_worker(), &origin);
    let before = front.daemon.resident_bytes();
    let frames: [(&str, Vec<u8>); 2] = [
        ("PING", Frame::ping(*b"flooding").bytes()),
        ("SETTINGS", Frame::settings(&[(4, 65_535)]).bytes()),
    ];
    for (name, frame) in frames {
        let mut client = front.plain().connect();
        let sender = thread::spawn(move || {
            let many = frame.repeat(1000);
            let mut sent = 0_u64;
            while sent < 200 * MIB && client.try_send_bytes(&many).is_ok() {
                sent += many.len() as u64;
            }
            (sent, client)
        });
        let resident = wait_until_still("the daemon to take no more", || {
            if sender.is_finished() { 1 } else { front.daemon.resident_bytes() }
        });
        let grown = resident.saturating_sub(before);
        assert!(grown < 32 * MIB, "{name}: {grown} bytes");
        assert_eq!(front.plain().get("/").status, 200);
        let (sent, _client) = sender.join().expect("the sender ends");
        assert!(sent < 200 * MIB, "{name}: all of it was taken");
    }
}

/// A table entry of 4 KiB, named 16,000 times in one frame.
#[test]
fn a_field_block_that_swells_is_refused_before_it_has() {
    let origin = Origin::start(serve);
    let front = Front::of(&one_worker(), &origin);
    let before = front.daemon.resident_bytes();
    for door in [front.plain(), front.tls()] {
        for _ in 0..20 {
            let mut client = door.connect();
            let stream = client.number();
            let head = block(&client.head("GET", "/"));
            let entry = indexed_literal("x-a", &"a".repeat(4000));
            let block = [head, entry, vec![0x80 | 62; 12_000]].concat();
            client.send(&Frame::headers(stream, flag::WHOLE, block));
            let outcome = client.outcome(stream);
            let refused = match &outcome {
                Outcome::Answer(answer) => answer.status == 431,
                Outcome::Reset(code::PROTOCOL_ERROR, None) => true,
                Outcome::GoneAway(code::ENHANCE_YOUR_CALM) => true,
                _ => false,
            };
            assert!(refused, "{outcome:?}");
        }
    }
    let grown = front.daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes");
    assert_eq!(origin.requests(), 0);
}

/// Streams whose answers nobody takes hold a bounded part of them each.
#[test]
fn answers_that_nobody_takes_are_not_piled_up() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1048576000\r\n\r\n");
            while peer.try_write(&[b'a'; 65_536]) {}
        }
    });
    let front = Front::of(&one_worker(), &origin);
    let before = front.daemon.resident_bytes();
    // No window at all: each stream's answer has nowhere to go.
    let mut client = front.plain().connect_with(&[(4, 0)]);
    let streams: Vec<u32> = (0..100).map(|_| client.ask("/")).collect();
    for stream in streams {
        assert_eq!(client.wait_for_head(stream).status, 200);
    }
    let resident = wait_until_still("what is held", || front.daemon.resident_bytes());
    let grown = resident.saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes for 100 streams");
    assert_eq!(client.ping(), Ok::<(), Broken>(()));
}
