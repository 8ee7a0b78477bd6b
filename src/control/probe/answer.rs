//! What a backend's answer to an HTTP probe means. Pure: bytes in, a verdict or "more" out.

use crate::config::{HttpProbe, ProbeMethod};

/// Bytes of an answer that are looked at, head and body.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Header lines of an answer.
const MAX_HEADERS: usize = 128;

/// What the bytes so far say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Not enough to say.
    More,
    Passed {
        status: u16,
    },
    /// In words.
    Failed(String),
}

/// Whether more bytes may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    /// The backend closed, or all that is looked at is here.
    Reached,
}

/// Reads what has come so far.
pub fn read(probe: &HttpProbe, bytes: &[u8], end: End) -> Reading {
    let head = match head(bytes) {
        Ok(Some(head)) => head,
        Ok(None) if end == End::Open => return Reading::More,
        Ok(None) if bytes.is_empty() => return failed("closed without an answer"),
        Ok(None) => return failed("the answer's head is cut short"),
        Err(words) => return failed(words),
    };
    let status = head.status;
    if !probe.status.iter().any(|&(low, high)| (low..=high).contains(&status)) {
        return failed(format!("{status}, expected {}", ranges(&probe.status)));
    }
    let Some(text) = &probe.text else {
        return Reading::Passed { status };
    };
    let body = body(probe, &head, &bytes[head.length..]);
    if contains(&body.bytes, text.as_bytes()) {
        return Reading::Passed { status };
    }
    match end {
        End::Open if !body.whole => Reading::More,
        _ => failed(format!("{status}, but the body lacks {text:?}")),
    }
}

fn failed(words: impl Into<String>) -> Reading {
    Reading::Failed(words.into())
}

/// The head of the final answer.
struct Head {
    status: u16,
    /// Where the body begins.
    length: usize,
    framing: Framing,
}

enum Framing {
    Length(usize),
    Chunked,
    /// Until the backend closes.
    Close,
}

/// `None`: not here yet. Interim answers (1xx) are passed over.
fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut begin = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&bytes[begin..]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err("the answer has too many headers"),
            Err(_) => return Err("the answer is no HTTP/1.1"),
        };
        begin += length;
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        return Ok(Some(Head { status, length: begin, framing: framing(response.headers) }));
    }
}

fn framing(headers: &[httparse::Header<'_>]) -> Framing {
    let value = |name: &str| {
        let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    match value("content-length").and_then(|value| value.trim().parse().ok()) {
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    }
}

/// What of a body is here, without its chunks' frames.
struct Body {
    bytes: Vec<u8>,
    /// Nothing of it is still to come.
    whole: bool,
}

fn body(probe: &HttpProbe, head: &Head, bytes: &[u8]) -> Body {
    if probe.method == ProbeMethod::Head || matches!(head.status, 204 | 304) {
        return Body { bytes: Vec::new(), whole: true };
    }
    match head.framing {
        Framing::Length(length) => {
            let here = &bytes[..bytes.len().min(length)];
            Body { bytes: here.to_vec(), whole: bytes.len() >= length }
        }
        Framing::Chunked => joined(bytes),
        Framing::Close => Body { bytes: bytes.to_vec(), whole: false },
    }
}

/// A damaged chunk ends the body: what came before it counts.
fn joined(mut bytes: &[u8]) -> Body {
    let mut body = Body { bytes: Vec::new(), whole: false };
    loop {
        let (begin, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete((begin, size))) => (begin, size),
            Ok(httparse::Status::Partial) => return body,
            Err(_) => break,
        };
        if size == 0 {
            break;
        }
        let rest = &bytes[begin..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        body.bytes.extend_from_slice(&rest[..rest.len().min(size)]);
        // Behind the data stands CRLF.
        match size.checked_add(2).and_then(|end| rest.get(end..)) {
            Some(next) => bytes = next,
            None => return body,
        }
    }
    body.whole = true;
    body
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// `200-399`, `200, 204`.
fn ranges(ranges: &[(u16, u16)]) -> String {
    let range = |&(low, high): &(u16, u16)| match low == high {
        true => low.to_string(),
        false => format!("{low}-{high}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(text: Option<&str>) -> HttpProbe {
        HttpProbe {
            method: ProbeMethod::Get,
            path: "/".to_owned(),
            host: None,
            status: vec![(200, 299), (304, 304)],
            text: text.map(str::to_owned),
        }
    }

    /// `expected`: a status, `more`, or part of the words of a failure.
    fn check_at(end: End, text: Option<&str>, bytes: &str, expected: &str) {
        let found = match read(&probe(text), bytes.as_bytes(), end) {
            Reading::More => "more".to_owned(),
            Reading::Passed { status } => status.to_string(),
            Reading::Failed(words) => words,
        };
        assert_eq!(found, expected, "{bytes:?}");
    }

    fn check(text: Option<&str>, bytes: &str, expected: &str) {
        check_at(End::Open, text, bytes, expected);
    }

    #[test]
    fn the_status_decides_without_the_body() {
        check(None, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "200");
        check(None, "HTTP/1.0 204 No Content\r\n\r\n", "204");
        check(None, "HTTP/1.1 503 Busy\r\n\r\n", "503, expected 200-299, 304");
    }

    #[test]
    fn half_a_head_waits_and_at_the_end_fails() {
        check(None, "HTTP/1.1 200 OK\r\nContent-", "more");
        check_at(End::Reached, None, "HTTP/1.1 200 OK\r\n", "the answer's head is cut short");
        check_at(End::Reached, None, "", "closed without an answer");
    }

    #[test]
    fn interim_answers_are_passed_over() {
        check(None, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200");
        check(None, "HTTP/1.1 100 Continue\r\n\r\n", "more");
    }

    #[test]
    fn what_is_no_http_fails() {
        check(None, "SSH-2.0-OpenSSH\r\n", "the answer is no HTTP/1.1");
    }

    #[test]
    fn the_body_must_hold_the_text() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
        check(Some("ok"), &format!("{head}all ok"), "200");
        check(Some("ok"), &format!("{head}all"), "more");
        check(Some("ok"), &format!("{head}all is well: ok"), "200, but the body lacks \"ok\"");
        check_at(End::Reached, Some("ok"), &format!("{head}all"), "200, but the body lacks \"ok\"");
        check_at(End::Reached, Some("ok"), "HTTP/1.1 200 OK\r\n\r\nok", "200");
    }

    #[test]
    fn the_text_may_lie_across_chunks() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(Some("ready"), &format!("{head}3\r\nrea\r\n2\r\ndy\r\n"), "200");
        check(Some("ready"), &format!("{head}3\r\nrea\r\n"), "more");
        check(
            Some("ready"),
            &format!("{head}3\r\nrea\r\n0\r\n"),
            "200, but the body lacks \"ready\"",
        );
        check(Some("ready"), &format!("{head}ffffffffffffffff\r\nready"), "200");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for _ in 0..5_000 {
            let mut bytes = if random.bool() { head.to_vec() } else { Vec::new() };
            let alphabet = b"0af\r\n;: HTP/1.";
            bytes.extend((0..random.usize(..64)).map(|_| match random.u8(..4) {
                0 => random.u8(..),
                _ => alphabet[random.usize(..alphabet.len())],
            }));
            let reached = read(&probe(Some("ok")), &bytes, End::Reached);
            assert_ne!(reached, Reading::More, "seed {seed}: {bytes:?}");
        }
    }
}
