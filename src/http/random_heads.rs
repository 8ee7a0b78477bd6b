//! Heads made at random of what heads are made of: nobody panics over one, and what is let through
//! is read once more in the same way by the strictest reader we know, ourselves.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;

use crate::{
    config::Limits,
    http::{
        h1::{
            body::Framing,
            parse,
            rules::{self, RequestRules},
            scan::{Scan, tests::LIMITS},
        },
        headers::{self, Connection, Inbound, Outbound, Sender},
        request_id::RequestId,
        target,
    },
    message::{
        authority,
        head::{Request, Response},
        method::Method,
        path,
    },
};

const ROUNDS: usize = 30_000;

/// Wide enough for whatever is made here.
const WIDE: Limits = Limits {
    max_request_line: 1 << 16,
    max_header: 1 << 16,
    max_headers_size: 1 << 16,
    max_headers: 1 << 10,
    ..LIMITS
};

/// Pieces of requests, sound and unsound, and some bytes that belong nowhere.
const PIECES: [&[u8]; 64] = [
    b"GET ",
    b"POST ",
    b"OPTIONS ",
    b"CONNECT ",
    b"HEAD ",
    b"PRI ",
    b"/",
    b"/a%2Fb",
    b"/..",
    b"%00",
    b"*",
    b"http://x",
    b"https://",
    b"?q",
    b"#",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b" HTTP/2.0",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"Host: x",
    b"Host: x",
    b"Host: y:80",
    b"Host: [::1]",
    b"Host:",
    b"Content-Length: ",
    b"content-length: 5",
    b"5",
    b"+5",
    b"18446744073709551616",
    b"Transfer-Encoding: ",
    b"transfer-encoding: chunked",
    b"chunked",
    b"gzip",
    b", ",
    b"Connection: ",
    b"close",
    b"keep-alive",
    b"X-Forwarded-For: 1.2.3.4",
    b"Forwarded: for=a",
    b"X-Request-Id: 1",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"Upgrade: h2c",
    b"Trailer: Host",
    b"Keep-Alive: timeout=",
    b"Content_Length: 1",
    b"A: b",
    b"A: \"",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 101 X",
    b"HTTP/1.0 204 ",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b":",
    b";",
];

/// A head that begins with `first` and goes on at random.
fn head(random: &mut Rng, first: &[&[u8]]) -> Vec<u8> {
    let mut head = random.choice(first).map_or_else(Vec::new, |first| first.to_vec());
    for _ in 0..random.usize(..12) {
        head.extend_from_slice(PIECES[random.usize(..PIECES.len())]);
        // Mostly a line a piece: otherwise hardly any head is sound.
        if random.u8(..4) > 0 {
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// The end of the head, the same whether it comes at once or byte by byte.
fn scanned(bytes: &[u8]) -> Option<usize> {
    let whole = Scan::default().head_end(bytes, &WIDE);
    let mut scan = Scan::default();
    let found = (1..=bytes.len()).find_map(|length| {
        let found = scan.head_end(&bytes[..length], &WIDE);
        (found != Ok(None)).then_some(found)
    });
    assert_eq!(found.unwrap_or(Ok(None)), whole, "{}", bytes.escape_ascii());
    whole.ok().flatten()
}

fn read(bytes: &[u8]) -> Option<(Request, RequestRules)> {
    let mut request = Request::default();
    parse::request(bytes, &mut request).ok()?;
    let rules = rules::of_request(&request, 1 << 20).ok()?;
    Some((request, rules))
}

/// The request as a backend gets it; `None` where it is refused.
fn forwarded(random: &mut Rng, bytes: &[u8]) -> Option<(Vec<u8>, Framing)> {
    let (request, rules) = read(bytes)?;
    let target = target::read(&request).ok()?;
    assert!(target.authority.is_empty() || authority::is_valid(target.authority));
    let _ = authority::routing_host(target.authority);
    let _ = path::read(target.path);
    let _ = headers::https_location(&target, 8443);
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let sender = Sender { address, trusted: random.bool(), tls: random.bool(), port: 443 };
    let host = if target.authority.is_empty() { b"backend" } else { target.authority };
    let request_id = &RequestId::of(&request.fields, sender.trusted, 7);
    let framing = rules.framing;
    let expects_continue = rules.expects_continue;
    let outbound = Outbound {
        target: &target,
        host,
        framing,
        takes_trailers: false,
        upgrade: None,
        expects_continue,
        sender,
        certificate: headers::Shown::NotAsked,
        request_id,
        changes: None,
    };
    let mut out = Vec::new();
    headers::write_request(&mut out, &request, &outbound);
    Some((out, framing))
}

#[test]
fn what_is_let_through_is_read_the_same_way_again() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let firsts: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /a?b HTTP/1.1\r\nHost: x\r\n",
        b"PUT http://x/a HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.0\r\n",
        b"",
    ];
    let mut passed = 0;
    for _ in 0..ROUNDS {
        let bytes = head(&mut random, &firsts);
        let Some(end) = scanned(&bytes) else {
            continue;
        };
        let Some((out, framing)) = forwarded(&mut random, &bytes[..end]) else {
            continue;
        };
        passed += 1;
        let told = || format!("{} became {}", bytes.escape_ascii(), out.escape_ascii());
        assert_eq!(scanned(&out), Some(out.len()), "one head: {}", told());
        let (again, rules) = read(&out).unwrap_or_else(|| panic!("{}", told()));
        assert!(target::read(&again).is_ok(), "{}", told());
        assert_eq!(rules.framing, framing, "{}", told());
    }
    assert!(
        passed > ROUNDS / 20,
        "only {passed} of {ROUNDS} heads were sound enough to say anything"
    );
}

#[test]
fn answers_of_any_bytes_are_read_or_refused() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let firsts: [&[u8]; 3] = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 404 \r\n", b""];
    for _ in 0..ROUNDS {
        let bytes = head(&mut random, &firsts);
        let mut response = Response::default();
        if parse::response(&bytes, &mut response).is_err() {
            continue;
        }
        let _ = rules::of_response(Method::Get, &response);
        let _ = rules::keep_alive_hint(&response.fields);
        let framing = Framing::Chunked;
        let inbound = Inbound {
            framing,
            connection: Connection::Close,
            hsts: Some("max-age=1"),
            date: None,
            changes: None,
            set_cookie: None,
        };
        let mut out = Vec::new();
        headers::write_response(&mut out, &response, &inbound);
        let mut again = Response::default();
        let told = format!("{} became {}", bytes.escape_ascii(), out.escape_ascii());
        assert_eq!(parse::response(&out, &mut again), Ok(()), "{told}");
    }
}
