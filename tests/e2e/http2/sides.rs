//! The same exchange by either version on either side: HTTP/1.1 and HTTP/2, to clients and to
//! backends.

use super::Front;
use crate::harness::{
    Answer, Client, Origin, Peer, Request, Setup,
    h2::{Asked, H2Peer, Outcome, frame::flag, h2_origin},
};

/// A client's version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asks {
    Http1,
    Http2,
    Http2Tls,
}

/// A backend's version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answers {
    Http1,
    Http2,
}

/// Every combination.
pub const SIDES: [(Asks, Answers); 6] = [
    (Asks::Http1, Answers::Http1),
    (Asks::Http1, Answers::Http2),
    (Asks::Http2, Answers::Http1),
    (Asks::Http2, Answers::Http2),
    (Asks::Http2Tls, Answers::Http1),
    (Asks::Http2Tls, Answers::Http2),
];

pub type Fields = Vec<(String, String)>;

/// What is asked.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub fields: &'a [(&'a str, &'a str)],
    pub body: Option<&'a [u8]>,
    pub trailers: &'a [(&'a str, &'a str)],
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Ask<'a> {
        Ask { method: "GET", path, fields: &[], body: None, trailers: &[] }
    }

    pub fn post(path: &'a str, body: &'a [u8]) -> Ask<'a> {
        Ask { method: "POST", body: Some(body), ..Ask::get(path) }
    }
}

/// What came: interim answers, and the one that counts.
#[derive(Debug)]
pub struct Got {
    pub interims: Vec<(u16, Fields)>,
    pub answer: Answer,
}

/// One backend of each version: requests for `/one/…` and `/two/…`.
pub struct TwoBackends {
    pub front: Front,
    pub one: Origin,
    pub two: Origin,
}

impl TwoBackends {
    /// With these keys in both pools.
    pub fn start(one: Origin, two: Origin, keys: &str) -> TwoBackends {
        TwoBackends::routed(one, two, "", keys)
    }

    /// With these keys in both routes, and these in both pools.
    pub fn routed(one: Origin, two: Origin, route: &str, keys: &str) -> TwoBackends {
        let config = format!(
            r#"
            [listener.web]
            bind = ["$web"]
            [listener.tls]
            bind = ["$tls"]
            certificates = [{{ cert = "$dir/www.crt", key = "$dir/www.key", default = true }}]
            [[route]]
            path = "/one/"
            pool = "one"
            {route}
            [[route]]
            path = "/two/"
            pool = "two"
            {route}
            [pool.one]
            backends = ["$one"]
            passive = {{ fall = 0 }}
            {keys}
            [pool.two]
            backends = ["$two"]
            protocol = "h2"
            passive = {{ fall = 0 }}
            {keys}
            "#
        );
        let setup = Setup::of(&config).with("one", one.address()).with("two", two.address());
        TwoBackends { front: Front::start(setup), one, two }
    }

    /// Each request is answered by `reply`.
    pub fn replying(reply: fn(&Request) -> Reply) -> TwoBackends {
        let one = Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                reply(&request).by_http1(peer);
            }
        });
        let two = h2_origin(move |peer| {
            while let Some(Asked { stream, request }) = peer.request() {
                reply(&request).by_http2(peer, stream);
            }
        });
        TwoBackends::start(one, two, "")
    }

    pub fn origin(&self, side: Answers) -> &Origin {
        match side {
            Answers::Http1 => &self.one,
            Answers::Http2 => &self.two,
        }
    }

    /// The exchange, on a connection of its own. `ask.path` begins behind the first segment.
    #[track_caller]
    pub fn exchange(&self, (asks, answers): (Asks, Answers), ask: &Ask<'_>) -> Got {
        let path = path(answers, ask.path);
        let ask = Ask { path: &path, ..*ask };
        match asks {
            Asks::Http1 => by_http1(&self.front, &ask),
            Asks::Http2 => by_http2(&self.front.plain(), &ask),
            Asks::Http2Tls => by_http2(&self.front.tls(), &ask),
        }
    }
}

pub fn path(answers: Answers, path: &str) -> String {
    match answers {
        Answers::Http1 => format!("/one{path}"),
        Answers::Http2 => format!("/two{path}"),
    }
}

#[track_caller]
fn by_http1(front: &Front, ask: &Ask<'_>) -> Got {
    let mut client = Client::connect(front.daemon.address("web"));
    let Ask { method, path, fields, body, trailers } = ask;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: www.example.com\r\n");
    for (name, value) in *fields {
        head += &format!("{name}: {value}\r\n");
    }
    match body {
        None => head += "\r\n",
        Some(body) if trailers.is_empty() => {
            head += &format!("Content-Length: {}\r\n\r\n", body.len());
        }
        Some(_) => head += "Transfer-Encoding: chunked\r\n\r\n",
    }
    client.send(head);
    if let Some(body) = body {
        client.send(if trailers.is_empty() { body.to_vec() } else { chunked(body, trailers) });
    }
    let mut interims = Vec::new();
    loop {
        let answer = client.answer_to(method);
        if answer.status >= 200 {
            return Got { interims, answer };
        }
        interims.push((answer.status, answer.fields));
    }
}

fn chunked(body: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(10_000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[track_caller]
fn by_http2(door: &crate::harness::h2::Door, ask: &Ask<'_>) -> Got {
    let mut client = door.connect();
    let Ask { method, path, fields, body, trailers } = ask;
    let ended = |last| if last { flag::END_STREAM } else { flag::NONE };
    let stream = client.open_stream(method, path, fields, ended(body.is_none()));
    if let Some(body) = body {
        // An answer that comes early may end the stream before all of it has gone.
        let _ = client.send_body(stream, ended(trailers.is_empty()), body);
        if !trailers.is_empty() {
            client.send_head(stream, flag::END_STREAM, trailers);
        }
    }
    let answer = match client.outcome(stream) {
        Outcome::Answer(answer) | Outcome::Reset(_, Some(answer)) => answer,
        other => panic!("{path}: {}: {other:?}", other.words()),
    };
    Got { interims: client.interims(stream), answer }
}

/// An answer that a backend of either version gives.
#[derive(Clone, Default)]
pub struct Reply {
    pub interims: Vec<(u16, Vec<(&'static str, String)>)>,
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    /// `None`: a head alone.
    pub body: Option<Vec<u8>>,
    pub trailers: Vec<(&'static str, String)>,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, body: Some(body.into()), ..Reply::default() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.fields.push((name, value.into()));
        self
    }

    pub fn by_http1(&self, peer: &mut Peer) {
        for (status, fields) in &self.interims {
            peer.write(format!("HTTP/1.1 {status} Interim\r\n{}\r\n", lines(fields)));
        }
        let head = format!("HTTP/1.1 {} Scripted\r\n{}", self.status, lines(&self.fields));
        let Some(body) = &self.body else {
            peer.write(format!("{head}\r\n"));
            return;
        };
        peer.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
        let trailers: Vec<(&str, &str)> =
            self.trailers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        peer.write(chunked(body, &trailers));
    }

    pub fn by_http2(&self, peer: &mut H2Peer<'_>, stream: u32) {
        let ended = |last| if last { flag::END_STREAM } else { flag::NONE };
        for (status, fields) in &self.interims {
            peer.send_head(stream, flag::NONE, &head(*status, fields));
        }
        peer.send_head(stream, ended(self.body.is_none()), &head(self.status, &self.fields));
        if let Some(body) = &self.body {
            let _ = peer.send_body(stream, ended(self.trailers.is_empty()), body);
            if !self.trailers.is_empty() {
                peer.send_head(stream, flag::END_STREAM, &self.trailers);
            }
        }
    }
}

fn lines(fields: &[(&'static str, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

fn head(status: u16, fields: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut head = vec![(":status", status.to_string())];
    head.extend_from_slice(fields);
    head
}
