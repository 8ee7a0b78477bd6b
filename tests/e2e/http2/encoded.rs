//! Answers that are compressed on their way, with either version on either side.

use std::{process::Command, sync::mpsc};

use super::sides::{Answers, Ask, Asks, Reply, SIDES, TwoBackends, path};
use crate::harness::{
    Answer, DEADLINE, End, Origin, Request, decoded,
    h2::{Asked, Outcome, frame::code, frame::flag, h2_origin},
    run,
};

const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

/// The same for the same number: of its length the half shrinks, the other hardly.
fn body(number: usize) -> Vec<u8> {
    const LENGTHS: [usize; 6] = [0, 1, 1_024, 32_769, 70_000, 2_000_000];
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut byte = |at: usize| match (at / 1_000).is_multiple_of(2) {
        true => b'a' + (at % 7) as u8,
        false => random.u8(..),
    };
    (0..LENGTHS[number % LENGTHS.len()]).map(&mut byte).collect()
}

fn reply(request: &Request) -> Reply {
    let number = request.field("x-number").expect("a number").parse().expect("a number");
    let text = Reply::ok(body(number)).with("content-type", "text/plain").with("etag", "\"a\"");
    match number % 2 {
        0 => text,
        _ => Reply {
            trailers: vec![("x-sum", number.to_string()), ("content-digest", "x".to_owned())],
            ..text.with("trailer", "x-sum")
        },
    }
}

/// Both backends behind routes that compress.
fn compressing(one: Origin, two: Origin) -> TwoBackends {
    TwoBackends::routed(one, two, "compress = true", "timeouts = { idle = \"1h\" }")
}

fn replying() -> TwoBackends {
    let one = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            reply(&request).by_http1(peer);
        }
    });
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, request }) = peer.request() {
            reply(&request).by_http2(peer, stream);
        }
    });
    compressing(one, two)
}

#[track_caller]
fn assert_whole(answer: &Answer, coding: &str, number: usize, what: &str) {
    assert_eq!((answer.status, &answer.end), (200, &End::Clean), "{what}");
    assert_eq!(answer.field("content-encoding"), Some(coding), "{what}");
    assert_eq!(answer.field("vary"), Some("Accept-Encoding"), "{what}");
    assert_eq!(answer.field("etag"), Some("W/\"a\""), "{what}");
    assert!(decoded(coding, &answer.body) == (body(number), true), "{what}");
    let trailers: Vec<(String, &str)> =
        answer.trailers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    let sum = number.to_string();
    let expected = [("x-sum".to_owned(), sum.as_str())];
    assert_eq!(trailers, expected[..number % 2], "{what}");
}

#[test]
fn bodies_and_trailers_come_whole_in_every_coding() {
    let backends = replying();
    for sides in SIDES {
        for number in 0..12 {
            for coding in CODINGS {
                let (text, what) = (number.to_string(), format!("{sides:?} {number} {coding}"));
                let fields = [("x-number", text.as_str()), ("accept-encoding", coding)];
                let ask = Ask { fields: &fields, ..Ask::get("/") };
                let answer = backends.exchange(sides, &ask).answer;
                assert_whole(&answer, coding, number, &what);
            }
        }
    }
    let skipped = "equipoise_http_compression_skipped_total";
    assert_eq!(backends.front.daemon.metric(skipped, &[]), 0.0);
}

/// Many streams of one connection at once, with all of them encoded.
#[test]
fn streams_of_one_connection_are_encoded_side_by_side() {
    let backends = replying();
    for answers in [Answers::Http1, Answers::Http2] {
        let mut client = backends.front.tls().connect();
        let streams: Vec<(u32, usize)> = (0..36)
            .map(|number| {
                let text = number.to_string();
                let fields =
                    [("x-number", text.as_str()), ("accept-encoding", CODINGS[number % 3])];
                let stream =
                    client.open_stream("GET", &path(answers, "/"), &fields, flag::END_STREAM);
                (stream, number)
            })
            .collect();
        for (stream, number) in streams {
            let answer = client.answer(stream);
            assert_whole(&answer, CODINGS[number % 3], number, &format!("{answers:?} {number}"));
        }
    }
}

/// A backend of HTTP/2 is given room for what the encoder has taken, though little comes of it.
#[test]
fn what_shrinks_to_nothing_does_not_use_up_the_window() {
    const LENGTH: usize = 24 << 20;
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, .. }) = peer.request() {
            let head = [(":status", "200"), ("content-type", "text/plain")];
            peer.send_head(stream, flag::NONE, &head);
            let _ = peer.send_body(stream, flag::END_STREAM, &vec![b'a'; LENGTH]);
        }
    });
    let backends = compressing(Origin::answering(""), two);
    let fields = [("accept-encoding", "zstd")];
    let ask = Ask { fields: &fields, ..Ask::get("/") };
    let answer = backends.exchange((Asks::Http2, Answers::Http2), &ask).answer;
    assert!(answer.body.len() < LENGTH / 100, "{} bytes", answer.body.len());
    let (body, is_whole) = decoded("zstd", &answer.body);
    assert!(is_whole && body.len() == LENGTH, "{} bytes", body.len());
}

/// A piece is with the client before the backend sends the next one.
#[test]
fn pieces_come_as_they_are_sent() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let two = h2_origin(move |peer| {
        let gone = gone.lock().expect("no one else has it");
        while let Some(Asked { stream, .. }) = peer.request() {
            let head = [(":status", "200"), ("content-type", "text/plain")];
            peer.send_head(stream, flag::NONE, &head);
            for _ in 0..5 {
                let _ = peer.send_body(stream, flag::NONE, b"a piece ");
                gone.recv_timeout(DEADLINE).expect("the client has it");
            }
            let _ = peer.send_body(stream, flag::END_STREAM, b"the end");
        }
    });
    let backends = compressing(Origin::answering(""), two);
    let mut client = backends.front.plain().connect();
    for coding in CODINGS {
        let fields = [("accept-encoding", coding)];
        let stream =
            client.open_stream("GET", &path(Answers::Http2, "/"), &fields, flag::END_STREAM);
        for number in 1..=5 {
            let has_it = |bytes: &[u8]| decoded(coding, bytes).0.len() == number * 8;
            client
                .until(|link| link.message(stream).is_some_and(|message| has_it(&message.body)))
                .expect("the piece");
            go.send(()).expect("the backend waits");
        }
        let answer = client.answer(stream);
        let expected = format!("{}the end", "a piece ".repeat(5)).into_bytes();
        assert_eq!(decoded(coding, &answer.body), (expected, true), "{coding}");
    }
}

#[test]
fn a_backend_that_dies_within_the_body_resets_the_stream() {
    let one = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
            peer.write("Content-Length: 90000\r\n\r\n");
            peer.write(vec![b'a'; 80_000]);
        }
    });
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, .. }) = peer.request() {
            let head = [(":status", "200"), ("content-type", "text/plain")];
            peer.send_head(stream, flag::NONE, &head);
            let _ = peer.send_body(stream, flag::NONE, &[b'a'; 80_000]);
            peer.send(&crate::harness::h2::frame::Frame::reset(stream, code::INTERNAL_ERROR));
        }
    });
    let backends = compressing(one, two);
    for answers in [Answers::Http1, Answers::Http2] {
        for coding in CODINGS {
            let mut client = backends.front.tls().connect();
            let fields = [("accept-encoding", coding)];
            let stream = client.open_stream("GET", &path(answers, "/"), &fields, flag::END_STREAM);
            match client.outcome(stream) {
                Outcome::Reset(reset, Some(answer)) => {
                    assert_ne!(reset, code::NO_ERROR);
                    assert!(!decoded(coding, &answer.body).1, "the coding has no end either");
                }
                other => panic!("{answers:?} {coding}: {}", other.words()),
            }
        }
    }
}

#[test]
fn encoded_pages_are_read_by_nghttp() {
    let backends = replying();
    let tls = backends.front.daemon.address("tls");
    for side in ["one", "two"] {
        let url = format!("https://{tls}/{side}/");
        let arguments =
            ["--header", "x-number: 5", "--header", "accept-encoding: gzip", "--verbose"];
        let got = run(Command::new("nghttp").args(arguments).args(["--null-out", &url]));
        assert_eq!(got.code, 0, "{}", got.words());
        assert!(got.stdout.contains("content-encoding: gzip"), "{}", got.words());
        // It decodes by itself, and tells of a body that it can't.
        assert!(!got.words().contains("deflate error"), "{}", got.words());
    }
}

/// A HEAD is answered as the GET, and its stream ends with the head.
#[test]
fn head_over_either_version() {
    let one = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n",
            );
        }
    });
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, .. }) = peer.request() {
            let head =
                [(":status", "200"), ("content-type", "text/plain"), ("content-length", "5000")];
            peer.send_head(stream, flag::END_STREAM, &head);
        }
    });
    let backends = compressing(one, two);
    for sides in SIDES {
        let fields = [("accept-encoding", "br")];
        let ask = Ask { method: "HEAD", fields: &fields, ..Ask::get("/") };
        let answer = backends.exchange(sides, &ask).answer;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{sides:?}");
        assert_eq!(answer.field("content-encoding"), Some("br"), "{sides:?}");
        assert_eq!(answer.field("content-length"), None, "{sides:?}");
    }
}
