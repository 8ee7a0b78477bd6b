//! What a backend's answer to an HTTP probe means. Pure: bytes in, a verdict or "more" out.

use crate::{
    config::{HttpProbe, ProbeMethod, ReleaseSource},
    control::probe::release,
    pool::release::Reported,
};

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
        release: Reported,
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
    let head = match head(probe, bytes) {
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
    if !reads_body(probe) {
        let release = release_of(probe, &head, &[]);
        return Reading::Passed { status, release };
    }
    let body = body(probe, &head, &bytes[head.length..]);
    let more = end == End::Open && !body.whole;
    let lacking = probe.text.as_ref().filter(|text| !contains(&body.bytes, text.as_bytes()));
    match lacking {
        Some(_) if more => Reading::More,
        Some(text) => failed(format!("{status}, but the body lacks {text:?}")),
        None if more && reads_json(probe) => Reading::More,
        None => Reading::Passed { status, release: release_of(probe, &head, &body.bytes) },
    }
}

fn reads_body(probe: &HttpProbe) -> bool {
    probe.text.is_some() || reads_json(probe)
}

fn reads_json(probe: &HttpProbe) -> bool {
    matches!(probe.release, Some(ReleaseSource::Json(_)))
}

/// That none can be read is no failure: the backend answers as it should.
fn release_of(probe: &HttpProbe, head: &Head, body: &[u8]) -> Reported {
    match &probe.release {
        None => Reported::NotAsked,
        Some(ReleaseSource::Header(name)) => release::from_field(name, head.release.as_deref()),
        Some(ReleaseSource::Json(path)) => release::from_json(path, body),
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
    /// The value of the field that names the release, where the probe asks for one.
    release: Option<Vec<u8>>,
}

enum Framing {
    Length(usize),
    Chunked,
    /// Until the backend closes.
    Close,
}

/// `None`: not here yet. Interim answers (1xx) are passed over.
fn head(probe: &HttpProbe, bytes: &[u8]) -> Result<Option<Head>, &'static str> {
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
        let framing = framing(response.headers);
        let release = match &probe.release {
            Some(ReleaseSource::Header(name)) => value(response.headers, name).map(<[u8]>::to_vec),
            Some(ReleaseSource::Json(_)) | None => None,
        };
        return Ok(Some(Head { status, length: begin, framing, release }));
    }
}

/// Of the first field of this name.
fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    found.next().map(|header| header.value)
}

fn framing(headers: &[httparse::Header<'_>]) -> Framing {
    let text = |name: &str| std::str::from_utf8(value(headers, name)?).ok();
    if text("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    match text("content-length").and_then(|value| value.trim().parse().ok()) {
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
            release: None,
        }
    }

    /// In words: a status, perhaps with a release, `more`, or why it failed.
    fn found(probe: &HttpProbe, end: End, bytes: &str) -> String {
        match read(probe, bytes.as_bytes(), end) {
            Reading::More => "more".to_owned(),
            Reading::Failed(words) => words,
            Reading::Passed { status, release: Reported::NotAsked } => status.to_string(),
            Reading::Passed { status, release: Reported::Unread(why) } => {
                format!("{status}, unread: {why}")
            }
            Reading::Passed { status, release: Reported::Release(release) } => {
                format!("{status}, release {release}")
            }
        }
    }

    fn check_at(end: End, text: Option<&str>, bytes: &str, expected: &str) {
        assert_eq!(found(&probe(text), end, bytes), expected, "{bytes:?}");
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
    fn a_release_in_the_head_needs_no_body() {
        let release = Some(ReleaseSource::Header("X-Release".to_owned()));
        let probe = HttpProbe { release, ..probe(None) };
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n";
        let with = format!("{head}x-release: 1.4.2\r\n\r\n");
        assert_eq!(found(&probe, End::Open, &with), "200, release 1.4.2");
        let without = format!("{head}\r\n");
        assert_eq!(found(&probe, End::Open, &without), "200, unread: X-Release is missing");
        let failed = "HTTP/1.1 500 No\r\nX-Release: 1\r\n\r\n";
        assert_eq!(found(&probe, End::Open, failed), "500, expected 200-299, 304");
    }

    #[test]
    fn a_release_in_the_body_needs_all_of_it() {
        let release = Some(ReleaseSource::Json(vec!["version".to_owned()]));
        let json = |text| HttpProbe { release: release.clone(), ..probe(text) };
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let half = format!("{head}6\r\n{{\"vers\r\n");
        let whole = format!("{half}9\r\nion\":\"1\"}}\r\n0\r\n\r\n");
        assert_eq!(found(&json(None), End::Open, &half), "more");
        assert_eq!(found(&json(None), End::Open, &whole), "200, release 1");
        let unread = "200, unread: the body is no whole JSON";
        assert_eq!(found(&json(None), End::Reached, &half), unread);
        assert_eq!(found(&json(Some("vers")), End::Open, &half), "more");
        assert_eq!(found(&json(Some("vers")), End::Open, &whole), "200, release 1");
        assert_eq!(found(&json(Some("ok")), End::Open, &whole), "200, but the body lacks \"ok\"");
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
