//! What looks odd in HTTP/2 and is legal: strictness must not break it.

use crate::harness::{
    Request,
    h2::{
        H2Client,
        frame::{Frame, block, flag, indexed_literal, kind},
    },
};

/// How to send a request, what to look at in what the backend read, and what it should be.
pub struct Row {
    pub name: &'static str,
    pub send: fn(&mut H2Client) -> u32,
    pub seen: fn(&Request) -> String,
    pub meant: &'static str,
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for &(name, send) in SENT_ODDLY {
        rows.push(Row { name, send, seen: |request| body(request), meant: "hello" });
    }
    for &(name, send, seen, meant) in SEEN {
        rows.push(Row { name, send, seen, meant });
    }
    rows
}

fn body(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn field(request: &Request, name: &str) -> String {
    request.field(name).unwrap_or("none").to_owned()
}

type Send = fn(&mut H2Client) -> u32;
type Look = fn(&Request) -> String;

/// A POST with these fields, open for its body.
fn post(client: &mut H2Client, more: &[(&str, &str)]) -> u32 {
    client.open_stream("POST", "/", more, flag::NONE)
}

fn get(client: &mut H2Client, more: &[(&str, &str)]) -> u32 {
    client.open_stream("GET", "/", more, flag::END_STREAM)
}

fn options(client: &mut H2Client, path: &str) -> u32 {
    client.open_stream("OPTIONS", path, &[], flag::END_STREAM)
}

/// A head without `:authority` but what is given.
fn bare(client: &mut H2Client, method: &str, path: &str, more: &[(&str, &str)]) -> u32 {
    let stream = client.number();
    let mut fields = client.head(method, path);
    fields.retain(|(name, _)| name != ":authority");
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    client.send_head(stream, flag::END_STREAM, &fields);
    stream
}

fn backwards(client: &mut H2Client) -> u32 {
    let stream = client.number();
    let mut fields = client.head("PUT", "/a");
    fields.reverse();
    client.send_head(stream, flag::END_STREAM, &fields);
    stream
}

fn hello(client: &mut H2Client, stream: u32) -> u32 {
    client.send(&Frame::data(stream, flag::END_STREAM, *b"hello"));
    stream
}

/// A POST whose body is `hello`, in frames that look odd.
#[rustfmt::skip]
const SENT_ODDLY: &[(&str, Send)] = &[
    ("a body in one frame", |c| { let s = post(c, &[]); hello(c, s) }),
    ("a length that fits", |c| { let s = post(c, &[("content-length", "5")]); hello(c, s) }),
    ("a length with zeros before it", |c| { let s = post(c, &[("content-length", "0005")]); hello(c, s) }),
    ("a frame a byte", |c| {
        let s = post(c, &[("content-length", "5")]);
        for byte in b"hell" { c.send(&Frame::data(s, flag::NONE, [*byte])); }
        c.send(&Frame::data(s, flag::END_STREAM, *b"o")); s
    }),
    ("empty frames between", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, []));
        c.send(&Frame::data(s, flag::NONE, *b"hello"));
        c.send(&Frame::data(s, flag::NONE, []));
        c.send(&Frame::data(s, flag::END_STREAM, [])); s
    }),
    ("padded DATA", |c| { let s = post(c, &[("content-length", "5")]); c.send(&Frame::data(s, flag::END_STREAM, *b"hello").padded(255)); s }),
    ("DATA of padding alone", |c| { let s = post(c, &[]); c.send(&Frame::data(s, flag::NONE, []).padded(200)); hello(c, s) }),
    ("DATA padded by nothing", |c| { let s = post(c, &[]); c.send(&Frame::data(s, flag::END_STREAM, *b"hello").padded(0)); s }),
    ("padded HEADERS", |c| {
        let s = c.number(); let head = c.head("POST", "/");
        c.send(&Frame::headers(s, flag::END_HEADERS, block(&head)).padded(33)); hello(c, s)
    }),
    ("HEADERS with a priority", |c| {
        let s = c.number(); let head = c.head("POST", "/");
        let payload = [vec![0, 0, 0, 0, 16], block(&head)].concat();
        c.send(&Frame::headers(s, flag::END_HEADERS | flag::PRIORITY, payload)); hello(c, s)
    }),
    ("a CONTINUATION a byte", |c| {
        let s = c.number(); let bytes = block(&c.head("POST", "/"));
        let (first, rest) = bytes.split_at(bytes.len() - 4);
        c.send(&Frame::headers(s, flag::NONE, first));
        for byte in &rest[..3] { c.send(&Frame::continuation(s, flag::NONE, [*byte])); }
        c.send(&Frame::continuation(s, flag::END_HEADERS, &rest[3..])); hello(c, s)
    }),
    ("an empty CONTINUATION", |c| {
        let s = c.number(); let head = c.head("POST", "/");
        c.send(&Frame::headers(s, flag::NONE, block(&head)));
        c.send(&Frame::continuation(s, flag::END_HEADERS, [])); hello(c, s)
    }),
    ("an empty HEADERS before CONTINUATION", |c| {
        let s = c.number(); let head = c.head("POST", "/");
        c.send(&Frame::headers(s, flag::NONE, []));
        c.send(&Frame::continuation(s, flag::END_HEADERS, block(&head))); hello(c, s)
    }),
    ("frames of an unknown type", |c| {
        let s = post(c, &[]);
        c.send(&Frame::new(kind::UNKNOWN, 0xff, s, *b"unknown"));
        c.send(&Frame::new(kind::UNKNOWN, 0xff, 0, *b"unknown")); hello(c, s)
    }),
    ("unknown flags", |c| { let s = post(c, &[]); c.send(&Frame::data(s, flag::END_STREAM | 0xf6 & !flag::PADDED, *b"hello")); s }),
    ("PRIORITY of the stream", |c| { let s = post(c, &[]); c.send(&Frame::priority(s, 0, 255)); hello(c, s) }),
    ("PRIORITY of an idle stream", |c| { c.send(&Frame::priority(99, 0, 255)); let s = post(c, &[]); hello(c, s) }),
    ("PING and SETTINGS in a body", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, *b"he"));
        c.send(&Frame::ping(*b"12345678"));
        c.send(&Frame::settings(&[]));
        c.send(&Frame::data(s, flag::END_STREAM, *b"llo")); s
    }),
    ("another stream between", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, *b"he"));
        let other = c.number();
        c.send(&Frame::priority(other, 0, 1));
        c.send(&Frame::data(s, flag::END_STREAM, *b"llo")); s
    }),
    ("trailers", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, *b"hello"));
        c.send_head(s, flag::END_STREAM, &[("x-sum", "a")]); s
    }),
    ("empty trailers", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, *b"hello"));
        c.send(&Frame::headers(s, flag::WHOLE, [])); s
    }),
    ("a skipped stream number", |c| { c.number(); c.number(); let s = post(c, &[]); hello(c, s) }),
    ("a WINDOW_UPDATE of its own", |c| { let s = post(c, &[]); c.give(s, 1); c.give(0, 1); hello(c, s) }),
];

#[rustfmt::skip]
const SEEN: &[(&str, Send, Look, &str)] = &[
    ("an equal host beside :authority", |c| get(c, &[("host", "www.example.com")]), |r| field(r, "host"), "www.example.com"),
    ("a host alone", |c| bare(c, "GET", "/", &[("host", "www.example.com")]), |r| field(r, "host"), "www.example.com"),
    (":authority alone", |c| get(c, &[]), |r| field(r, "host"), "www.example.com"),
    (":authority with a port", |c| bare(c, "GET", "/", &[(":authority", "www.example.com:8443")]), |r| field(r, "host"), "www.example.com:8443"),
    (":authority of an IPv6 address", |c| bare(c, "GET", "/", &[(":authority", "[::1]:80")]), |r| field(r, "host"), "[::1]:80"),
    ("pseudo-header fields in another order", |c| backwards(c), |r| format!("{} {}", r.method, r.target), "PUT /a"),
    ("a method in lower case", |c| c.open_stream("get", "/", &[], flag::END_STREAM), |r| r.method.clone(), "get"),
    ("a method of odd token bytes", |c| c.open_stream("!#$%&'*+-.^_`|~", "/", &[], flag::END_STREAM), |r| r.method.clone(), "!#$%&'*+-.^_`|~"),
    ("OPTIONS of the server", |c| options(c, "*"), |r| r.target.clone(), "*"),
    ("OPTIONS of a path", |c| options(c, "/a"), |r| r.target.clone(), "/a"),
    ("a path with a query", |c| c.ask("/a?b=c&d=%20;e='f'"), |r| r.target.clone(), "/a?b=c&d=%20;e='f'"),
    ("a path of two slashes", |c| c.ask("//a//b"), |r| r.target.clone(), "//a//b"),
    ("a path with dot segments", |c| c.ask("/a/./../b"), |r| r.target.clone(), "/a/./../b"),
    ("a path with a question mark at its end", |c| c.ask("/a?"), |r| r.target.clone(), "/a?"),
    ("crumbs of a cookie are one line", |c| get(c, &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]), |r| field(r, "cookie"), "a=1; b=2; c=3"),
    ("one cookie", |c| get(c, &[("cookie", "a=1; b=2")]), |r| field(r, "cookie"), "a=1; b=2"),
    ("a field twice", |c| get(c, &[("x-a", "1"), ("x-a", "2")]), |r| r.all("x-a").join("|"), "1|2"),
    ("an empty value", |c| get(c, &[("x-a", "")]), |r| field(r, "x-a"), ""),
    ("a space and a tab within a value", |c| get(c, &[("x-a", "a \tb")]), |r| field(r, "x-a"), "a \tb"),
    ("a name of odd token bytes", |c| get(c, &[("!#$%&'*+-.^_`|~9", "a")]), |r| field(r, "!#$%&'*+-.^_`|~9"), "a"),
    ("te: trailers", |c| get(c, &[("te", "trailers")]), |r| r.target.clone(), "/"),
    ("a length of zero without DATA", |c| get(c, &[("content-length", "0")]), |r| body(r), ""),
    ("a length of zero with empty DATA", |c| { let s = post(c, &[("content-length", "0")]); c.send(&Frame::data(s, flag::END_STREAM, [])); s }, |r| body(r), ""),
    ("a GET with a body", |c| { let s = c.open_stream("GET", "/", &[], flag::NONE); hello(c, s) }, |r| body(r), "hello"),
    ("trailers reach the backend", |c| {
        let s = post(c, &[("trailer", "x-sum")]);
        c.send(&Frame::data(s, flag::NONE, *b"hello"));
        c.send_head(s, flag::END_STREAM, &[("x-sum", "a"), ("x-more", "b")]); s
    }, |r| format!("{:?}", r.trailers), "[(\"x-sum\", \"a\"), (\"x-more\", \"b\")]"),
    // RFC 9113, section 8.1, calls it malformed; the `h2` crate takes it away without a word.
    ("a pseudo-header field in trailers goes no further", |c| {
        let s = post(c, &[]);
        c.send(&Frame::data(s, flag::NONE, *b"hello"));
        c.send_head(s, flag::END_STREAM, &[(":path", "/smuggled"), ("x-sum", "a")]); s
    }, |r| format!("{} {:?}", r.target, r.trailers), "/ [(\"x-sum\", \"a\")]"),
    ("a fragment goes no further", |c| c.ask("/a#b"), |r| r.target.clone(), "/a"),
    ("trailers without a body", |c| {
        let s = post(c, &[]);
        c.send_head(s, flag::END_STREAM, &[("x-sum", "a")]); s
    }, |r| body(r), ""),
    ("a field from the dynamic table", |c| {
        let first = c.number();
        // Refused: a GET has no such path. What it put into the table counts all the same.
        let entering = [block(&c.head("GET", "*")), indexed_literal("x-a", "kept")].concat();
        c.send(&Frame::headers(first, flag::WHOLE, entering));
        let s = c.number();
        let block = [block(&c.head("GET", "/")), vec![0x80 | 62]].concat();
        c.send(&Frame::headers(s, flag::WHOLE, block)); s
    }, |r| field(r, "x-a"), "kept"),
    ("a literal that is never indexed", |c| {
        let s = c.number();
        let mut never = indexed_literal("x-a", "secret");
        never[0] = 0x10;
        let block = [block(&c.head("GET", "/")), never].concat();
        c.send(&Frame::headers(s, flag::WHOLE, block)); s
    }, |r| field(r, "x-a"), "secret"),
    ("a Huffman-coded value", |c| {
        let s = c.number();
        // "www.example.com" (RFC 7541, appendix C.4.1).
        let value = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let field = [b"\x00\x03x-a\x8c".as_slice(), value].concat();
        let block = [block(&c.head("GET", "/")), field].concat();
        c.send(&Frame::headers(s, flag::WHOLE, block)); s
    }, |r| field(r, "x-a"), "www.example.com"),
    ("an empty table by a size update", |c| {
        let s = c.number();
        let block = [vec![0x20], block(&c.head("GET", "/a"))].concat();
        c.send(&Frame::headers(s, flag::WHOLE, block)); s
    }, |r| r.target.clone(), "/a"),
];
