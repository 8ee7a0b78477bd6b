//! HTTP/1.1 and HTTP/2 on either side: bodies, trailers, interim answers, answers without a body,
//! what is passed on and what is not (HTTP.md, "Forward").

use super::sides::{Answers, Ask, Asks, Reply, SIDES, TwoBackends};
use crate::harness::{
    Answer, DEADLINE, End, Origin, Request,
    h2::{Asked, frame::flag, h2_origin},
    wait_until,
};

const MIB: usize = 1 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// FNV-1a: what came is what went, in the same order.
fn checksum(bytes: &[u8]) -> String {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// The body itself, and in trailers its checksum and what came in trailers.
fn echo(request: &Request) -> Reply {
    let came = request.trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-sum"));
    let came = came.map_or("none", |(_, value)| value);
    Reply {
        trailers: vec![("x-sum", checksum(&request.body)), ("x-came", came.to_owned())],
        ..Reply::ok(request.body.clone()).with("trailer", "x-sum, x-came")
    }
}

fn trailer<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut trailers = answer.trailers.iter();
    trailers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[test]
fn bodies_and_trailers_come_whole_both_ways() {
    let backends = TwoBackends::replying(echo);
    for sides in SIDES {
        for length in [0, 1, 16_384, 16_385, 65_535, 65_536, MIB + 1, 8 * MIB] {
            let body = pattern(length);
            let sum = checksum(&body);
            let ask = Ask { trailers: &[("x-sum", &sum)], ..Ask::post("/echo", &body) };
            let answer = backends.exchange(sides, &ask).answer;
            let what = format!("{sides:?}, {length} bytes");
            assert_eq!((answer.status, &answer.end), (200, &End::Clean), "{what}");
            assert!(answer.body == body, "{what}: {} bytes came back", answer.body.len());
            assert_eq!(trailer(&answer, "x-sum"), Some(sum.as_str()), "{what}");
            assert_eq!(trailer(&answer, "x-came"), Some(sum.as_str()), "{what}");
        }
        assert_eq!(backends.origin(sides.1).violations(), Vec::<String>::new());
    }
}

#[test]
fn a_body_of_a_told_length_keeps_it() {
    let backends = TwoBackends::replying(|request| {
        let told = request.field("content-length").unwrap_or("none").to_owned();
        let length = request.body.len().to_string();
        Reply::ok(told).with("x-length", length)
    });
    let body = pattern(100_000);
    for sides in SIDES {
        let fields: &[(&str, &str)] = match sides.0 {
            // The client of HTTP/1 tells it by itself.
            Asks::Http1 => &[],
            Asks::Http2 | Asks::Http2Tls => &[("content-length", "100000")],
        };
        let answer = backends.exchange(sides, &Ask { fields, ..Ask::post("/", &body) }).answer;
        assert_eq!(answer.text(), "100000", "{sides:?}");
        assert_eq!(answer.field("x-length"), Some("100000"), "{sides:?}");
    }
}

#[test]
fn interim_answers_pass_in_their_order() {
    let backends = TwoBackends::replying(|_| {
        let hint = |path: &str| (103, vec![("link", format!("<{path}>; rel=preload"))]);
        Reply { interims: vec![hint("/a.css"), hint("/b.js")], ..Reply::ok("page") }
    });
    for sides in SIDES {
        let got = backends.exchange(sides, &Ask::get("/"));
        assert_eq!(got.answer.text(), "page", "{sides:?}");
        let links: Vec<(u16, &str)> = got
            .interims
            .iter()
            .flat_map(|(status, fields)| fields.iter().map(|(_, value)| (*status, value.as_str())))
            .filter(|(_, value)| value.contains("preload"))
            .collect();
        assert_eq!(
            links,
            [(103, "</a.css>; rel=preload"), (103, "</b.js>; rel=preload")],
            "{sides:?}"
        );
    }
}

#[test]
fn a_head_alone_has_no_body_and_keeps_its_length() {
    let backends = TwoBackends::replying(|request| {
        let head = Reply { body: None, ..Reply::ok("") };
        match request.target.rsplit('/').next() {
            Some("head") => Reply { status: 200, ..head }.with("content-length", "1234"),
            Some("204") => Reply { status: 204, ..head }.with("x-a", "b"),
            _ => Reply { status: 304, ..head }.with("etag", "\"a\""),
        }
    });
    for sides in SIDES {
        let head = backends.exchange(sides, &Ask { method: "HEAD", ..Ask::get("/head") }).answer;
        assert_eq!((head.status, head.body.len()), (200, 0), "{sides:?}");
        assert_eq!(head.field("content-length"), Some("1234"), "{sides:?}");
        let none = backends.exchange(sides, &Ask::get("/204")).answer;
        assert_eq!((none.status, none.body.len()), (204, 0), "{sides:?}");
        assert_eq!((none.field("x-a"), none.field("content-length")), (Some("b"), None));
        let unchanged = backends.exchange(sides, &Ask::get("/304")).answer;
        assert_eq!((unchanged.status, unchanged.field("etag")), (304, Some("\"a\"")), "{sides:?}");
    }
}

#[test]
fn an_empty_body_ends_where_it_begins() {
    let backends = TwoBackends::replying(|request| {
        Reply::ok("").with("x-length", request.body.len().to_string())
    });
    for sides in SIDES {
        let answer = backends.exchange(sides, &Ask::post("/", b"")).answer;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{sides:?}");
        assert_eq!(answer.field("x-length"), Some("0"), "{sides:?}");
        assert_eq!(answer.end, End::Clean, "{sides:?}");
    }
}

/// The backend asks for the body; only then the client sends it.
#[test]
fn an_expectation_goes_end_to_end() {
    let one = Origin::start(|peer| {
        while let Some(mut request) = peer.head() {
            if request.field("expect") == Some("100-continue") {
                peer.write("HTTP/1.1 100 Continue\r\n\r\n");
            }
            if !peer.body(&mut request) {
                return;
            }
            peer.answer(200, &request.body.len().to_string());
        }
    });
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, request }) = peer.head() {
            if request.field("expect") == Some("100-continue") {
                peer.send_head(stream, flag::NONE, &[(":status", "100")]);
            }
            let Some(asked) = peer.whole(stream) else { return };
            peer.answer(stream, 200, &asked.request.body.len().to_string());
        }
    });
    let backends = TwoBackends::start(one, two, "");
    for (answers, path) in [(Answers::Http1, "/one/"), (Answers::Http2, "/two/")] {
        for door in [backends.front.plain(), backends.front.tls()] {
            let mut client = door.connect();
            let expects = [("expect", "100-continue"), ("content-length", "5")];
            let stream = client.open_stream("POST", path, &expects, flag::NONE);
            client
                .until(|link| link.message(stream).is_some_and(|message| !message.heads.is_empty()))
                .expect("an interim answer");
            assert_eq!(client.interims(stream)[0].0, 100, "{answers:?}");
            client.send_body(stream, flag::END_STREAM, b"hello").expect("the connection lives");
            assert_eq!(client.answer(stream).text(), "5", "{answers:?}");
        }
    }
}

/// Fields as the backend saw them, in one line each.
fn fields_seen(request: &Request) -> Reply {
    let lines = request.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
    Reply::ok(lines.collect::<String>().to_lowercase())
}

#[test]
fn a_backend_learns_for_whom_it_is_asked_and_by_which_name() {
    let backends = TwoBackends::replying(fields_seen);
    for sides in SIDES {
        let spoofed = [("x-forwarded-for", "10.1.2.3"), ("x-forwarded-proto", "gopher")];
        let answer = backends.exchange(sides, &Ask { fields: &spoofed, ..Ask::get("/") }).answer;
        let seen = answer.text();
        let scheme = if sides.0 == Asks::Http2Tls { "https" } else { "http" };
        let host = match sides.1 {
            Answers::Http1 => "host: www.example.com\n",
            Answers::Http2 => ":authority: www.example.com\n",
        };
        assert!(seen.contains(host), "{sides:?}: {seen}");
        assert!(seen.contains("x-forwarded-for: 127.0.0.1\n"), "{sides:?}: {seen}");
        let proto = format!("x-forwarded-proto: {scheme}\n");
        assert!(seen.contains(&proto), "{sides:?}: {seen}");
        assert!(!seen.contains("10.1.2.3") && !seen.contains("gopher"), "{sides:?}: {seen}");
        assert!(seen.contains("x-request-id: "), "{sides:?}: {seen}");
        assert_eq!(
            seen.matches("www.example.com").count(),
            3,
            "host, X-Forwarded-Host, Forwarded: {seen}"
        );
    }
}

#[test]
fn te_trailers_goes_to_http2_alone_and_crumbs_of_a_cookie_are_one() {
    let backends = TwoBackends::replying(fields_seen);
    for sides in SIDES {
        let fields: &[(&str, &str)] = match sides.0 {
            Asks::Http1 => &[("te", "trailers"), ("connection", "te"), ("cookie", "a=1; b=2")],
            _ => &[("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")],
        };
        let seen = backends.exchange(sides, &Ask { fields, ..Ask::get("/") }).answer.text();
        let kept = seen.contains("te: trailers\n");
        assert_eq!(kept, sides.1 == Answers::Http2, "{sides:?}: {seen}");
        let cookies: Vec<&str> =
            seen.lines().filter_map(|line| line.strip_prefix("cookie: ")).collect();
        assert_eq!(cookies.join("; "), "a=1; b=2", "{sides:?}");
        if sides.1 == Answers::Http1 {
            assert_eq!(cookies.len(), 1, "{sides:?}");
        }
    }
}

#[test]
fn what_a_backend_says_of_its_own_connection_stays_behind() {
    let one = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
                 Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-STAYS: As It Is\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let backends = TwoBackends::start(one, h2_origin(|peer| peer.hang()), "");
    for asks in [Asks::Http1, Asks::Http2, Asks::Http2Tls] {
        // The client of HTTP/2 takes no field of a connection and no upper-case name.
        let answer = backends.exchange((asks, Answers::Http1), &Ask::get("/")).answer;
        assert_eq!(answer.text(), "ok");
        assert_eq!((answer.field("x-hop"), answer.field("x-stays")), (None, Some("As It Is")));
    }
}

#[test]
fn trailers_behind_a_told_length_reach_who_has_room_for_them() {
    let backends = TwoBackends::replying(|request| {
        Reply::ok(format!("{} {:?}", request.body.len(), request.trailers))
    });
    for length in ["0", "4", "8192", "100000"] {
        let body = pattern(length.parse().expect("a number"));
        let ask = Ask {
            fields: &[("content-length", length)],
            trailers: &[("x-sum", "a")],
            ..Ask::post("/", &body)
        };
        for asks in [Asks::Http2, Asks::Http2Tls] {
            let seen = backends.exchange((asks, Answers::Http2), &ask).answer.text();
            assert_eq!(seen, format!("{length} [(\"x-sum\", \"a\")]"));
            let seen = backends.exchange((asks, Answers::Http1), &ask).answer.text();
            assert_eq!(seen, format!("{length} []"));
        }
    }
}

/// A service that tells its request's id at the end is none the worse for it.
#[test]
fn an_answer_loses_no_more_than_the_trailers_that_may_not_be() {
    let backends = TwoBackends::replying(|_| {
        let late = [("x-request-id", "a"), ("x-forwarded-for", "b"), ("grpc-status", "0")];
        let trailers = late.map(|(name, value)| (name, value.to_owned())).to_vec();
        Reply { trailers, ..Reply::ok("body") }
    });
    for sides in SIDES {
        let answer = backends.exchange(sides, &Ask::get("/")).answer;
        assert_eq!((answer.status, &answer.end), (200, &End::Clean), "{sides:?}");
        assert_eq!(answer.text(), "body", "{sides:?}");
        let trailers = [("grpc-status".to_owned(), "0".to_owned())];
        assert_eq!(answer.trailers, trailers, "{sides:?}");
    }
}

/// HTTP/2 takes a field with white space around it for malformed (RFC 9113, section 8.2.1).
#[test]
fn white_space_around_a_value_is_of_http1_alone() {
    let one = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nX-A: \t as it is \t \r\nX-B:\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nok\r\n0\r\nX-C:  c\t\r\n\r\n",
            );
        }
    });
    let two = h2_origin(|peer| {
        while let Some(Asked { stream, request }) = peer.request() {
            let values = ["x-a", "x-b"].map(|name| request.field(name).unwrap_or("none"));
            peer.answer(stream, 200, &format!("{values:?} {:?}", request.trailers));
        }
    });
    let backends = TwoBackends::start(one, two, "");
    for asks in [Asks::Http2, Asks::Http2Tls] {
        let answer = backends.exchange((asks, Answers::Http1), &Ask::get("/")).answer;
        assert_eq!((answer.field("x-a"), answer.field("x-b")), (Some("as it is"), Some("")));
        assert_eq!(trailer(&answer, "x-c"), Some("c"));
    }
    let ask = Ask {
        fields: &[("x-a", "\t as it is \t "), ("x-b", " ")],
        trailers: &[("x-c", " c\t")],
        ..Ask::post("/", b"body")
    };
    let seen = backends.exchange((Asks::Http1, Answers::Http2), &ask).answer.text();
    assert_eq!(seen, r#"["as it is", ""] [("x-c", "c")]"#);
}

/// The answer is there before the body is: the client gets it, and the rest of the upload is not
/// waited for.
#[test]
fn an_early_answer_reaches_the_client() {
    let one = Origin::start(|peer| {
        if peer.head().is_some() {
            peer.answer(403, "not you");
            peer.half_close();
            peer.hang();
        }
    });
    let two = h2_origin(|peer| {
        while let Some(asked) = peer.head() {
            peer.answer(asked.stream, 403, "not you");
        }
    });
    let backends = TwoBackends::start(one, two, "");
    for path in ["/one/", "/two/"] {
        for door in [backends.front.plain(), backends.front.tls()] {
            let mut client = door.connect();
            let stream = client.open_stream("POST", path, &[], flag::NONE);
            client.send(&crate::harness::h2::frame::Frame::data(stream, flag::NONE, *b"some"));
            let answer = client.wait_for_head(stream);
            assert_eq!(answer.status, 403, "{path}");
            let stream = client.open_stream("POST", path, &[], flag::NONE);
            assert_eq!(client.wait_for_head(stream).status, 403, "the connection serves on");
        }
    }
}

#[test]
fn many_streams_share_a_connection_to_an_http2_backend() {
    let backends = TwoBackends::replying(|request| Reply::ok(request.target.clone()));
    let mut client = backends.front.plain().connect();
    for round in 0..5 {
        let streams: Vec<u32> =
            (0..100).map(|at| client.ask(&format!("/two/{round}/{at}"))).collect();
        for (at, stream) in streams.into_iter().enumerate() {
            assert_eq!(client.answer(stream).text(), format!("/two/{round}/{at}"));
        }
    }
    assert_eq!(backends.two.requests(), 500);
    assert!(backends.two.connections() <= 2, "{} connections", backends.two.connections());
}

/// A backend that allows two streams gets no third, and nothing is lost.
#[test]
fn a_backend_is_given_no_more_streams_than_it_allows() {
    const TWO: &[(u16, u32)] = &[(crate::harness::h2::frame::setting::MAX_CONCURRENT_STREAMS, 2)];
    let two = crate::harness::h2::h2_origin_with(TWO, |peer| {
        while let Some(Asked { stream, request }) = peer.request() {
            let waiting =
                peer.messages().filter(|(at, message)| *at > stream && message.end.is_some());
            let body = waiting.count().to_string();
            peer.answer(stream, if request.target.starts_with("/two/") { 200 } else { 400 }, &body);
        }
    });
    let one = Origin::answering("unused");
    let backends = TwoBackends::start(one, two, "");
    let mut client = backends.front.plain().connect();
    // The first one learns the backend's settings.
    assert_eq!(client.get("/two/first").status, 200);
    let streams: Vec<u32> = (0..40).map(|_| client.ask("/two/more")).collect();
    for stream in streams {
        let answer = client.answer(stream);
        assert_eq!(answer.status, 200, "{answer:?}");
        let waiting: usize = answer.text().parse().expect("a number");
        assert!(waiting < 2, "{waiting} streams beside one");
    }
    wait_until(DEADLINE, "all of them", || backends.two.requests() == 41);
}
