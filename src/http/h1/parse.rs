//! A head's grammar (RFC 9112, sections 2 to 5): from bytes to `Request` and `Response`. Pure.
//!
//! httparse reads; what it lets pass and a front door may not is looked for here.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Status};

use crate::{
    http::refusal::{self, Refusal},
    message::{
        field::Name,
        head::{Fields, Line, Request, Response, Span, Version},
        method::Method,
    },
};

/// Header lines that can be parsed at all; the reference says that `max_headers` ends here.
pub const MOST_HEADERS: usize = 256;

/// Reads a request's head; `head` ends with its empty line and has passed `scan`.
pub fn request(head: &[u8], into: &mut Request) -> Result<(), Refusal> {
    check_request_line(head)?;
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_request_with_uninit_headers(&mut parsed, head, &mut headers) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(refusal::BAD_HEADER),
        Err(error) => return Err(request_refusal(head, error)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(refusal::BAD_REQUEST_LINE);
    };
    into.method = Method::from_bytes(method.as_bytes());
    into.method_span = span(head, method.as_bytes());
    into.target = span(head, target.as_bytes());
    into.version = if version == 0 { Version::Http10 } else { Version::Http11 };
    collect(head, parsed.headers, &mut into.fields)
}

/// Reads a response's head; `head` ends with its empty line and has passed `scan`.
pub fn response(head: &[u8], into: &mut Response) -> Result<(), Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut headers) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) | Err(_) => return Err(refusal::BAD_RESPONSE),
    }
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
        return Err(refusal::BAD_RESPONSE);
    };
    if !(100..600).contains(&status) {
        return Err(refusal::BAD_RESPONSE);
    }
    into.status = status;
    into.reason = reason_span(head);
    into.version = if version == 0 { Version::Http10 } else { Version::Http11 };
    collect(head, parsed.headers, &mut into.fields).map_err(|_| refusal::BAD_RESPONSE)
}

/// The first line byte by byte: what a method, a target and a version may hold differs from what
/// httparse takes (it passes non-ASCII targets, and overlooks empty lines before the first).
fn check_request_line(head: &[u8]) -> Result<(), Refusal> {
    let end = memchr::memchr(b'\r', head).ok_or(refusal::BAD_REQUEST_LINE)?;
    let line = &head[..end];
    if head == b"PRI * HTTP/2.0\r\n\r\n" {
        return Err(refusal::HTTP2_PREFACE);
    }
    let method_end = memchr::memchr(b' ', line).ok_or(refusal::BAD_REQUEST_LINE)?;
    let version_start = memchr::memrchr(b' ', line).ok_or(refusal::BAD_REQUEST_LINE)?;
    if method_end == 0 || method_end == version_start {
        return Err(refusal::BAD_REQUEST_LINE);
    }
    let (method, version) = (&line[..method_end], &line[version_start + 1..]);
    let target = &line[method_end + 1..version_start];
    if !method.iter().all(|&byte| is_token_byte(byte)) {
        return Err(refusal::BAD_METHOD);
    }
    check_version(version)?;
    match target.iter().find(|&&byte| !is_target_byte(byte)) {
        None if !target.is_empty() => Ok(()),
        None | Some(b' ' | b'\t') => Err(refusal::BAD_REQUEST_LINE),
        Some(_) => Err(refusal::BAD_TARGET),
    }
}

fn check_version(version: &[u8]) -> Result<(), Refusal> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        // The form of a version, but none that is spoken here (RFC 9110, section 2.5).
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(refusal::BAD_VERSION)
        }
        _ => Err(refusal::BAD_REQUEST_LINE),
    }
}

/// Visible ASCII without the fragment's sign and what no URI may hold unencoded (RFC 3986, section
/// 2; browsers send some of `"<>[\]^`{|}` in queries, so those pass).
fn is_target_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'#'
}

/// RFC 9110, section 5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Which row httparse's verdict is.
fn request_refusal(head: &[u8], error: Error) -> Refusal {
    match error {
        Error::TooManyHeaders => refusal::TOO_MANY_HEADERS,
        Error::HeaderName if folds(head) => refusal::OBS_FOLD,
        Error::HeaderName | Error::HeaderValue | Error::NewLine => refusal::BAD_HEADER,
        Error::Token | Error::Version | Error::Status => refusal::BAD_REQUEST_LINE,
    }
}

/// Whether a header line begins with white space.
fn folds(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| matches!(head.get(at + 1), Some(b' ' | b'\t')))
}

fn collect(head: &[u8], headers: &[Header<'_>], fields: &mut Fields) -> Result<(), Refusal> {
    fields.start(head);
    for header in headers {
        let name = header.name.as_bytes();
        let name_span = span(head, name);
        let value = trim(header.value);
        let value_start = offset(head, header.value.as_ptr() as usize);
        let line_end = line_end(head, value_start + header.value.len())?;
        // A value that is all white space is empty, wherever in the line it is.
        let value_span = match value.is_empty() {
            true => Span::new(value_start, value_start),
            false => span(head, value),
        };
        fields.push(Line {
            known: Name::from_bytes(name),
            name: name_span,
            value: value_span,
            whole: Span::new(name_span.start as usize, line_end),
        });
    }
    Ok(())
}

/// Optional white space is SP and HTAB alone (RFC 9110, section 5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let inner = |byte: &u8| *byte != b' ' && *byte != b'\t';
    let Some(start) = value.iter().position(inner) else {
        return &[];
    };
    let end = value.iter().rposition(inner).map_or(start, |last| last + 1);
    &value[start..end]
}

fn line_end(head: &[u8], from: usize) -> Result<usize, Refusal> {
    let rest = head.get(from..).ok_or(refusal::BAD_HEADER)?;
    Ok(from + memchr::memchr(b'\n', rest).ok_or(refusal::BAD_HEADER)? + 1)
}

/// The part of the status line after the code.
fn reason_span(head: &[u8]) -> Span {
    let end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    // "HTTP/1.1 200 ": thirteen bytes, which httparse has read.
    Span::new(end.min(13), end)
}

/// Where a part that httparse found stands in the head.
fn span(head: &[u8], part: &[u8]) -> Span {
    let start = offset(head, part.as_ptr() as usize);
    Span::new(start, start + part.len())
}

fn offset(head: &[u8], address: usize) -> usize {
    let start = address.wrapping_sub(head.as_ptr() as usize);
    assert!(start <= head.len(), "httparse gives parts of what it was given");
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str, expected: Refusal) {
        let outcome = request(head.as_bytes(), &mut Request::default());
        assert_eq!(outcome, Err(expected), "{head:?}");
    }

    #[test]
    fn a_request_is_read_into_lines() {
        let mut read = Request::default();
        let head = b"POST /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\nSpaced:  \t v w \r\n\r\n";
        request(head, &mut read).unwrap();
        assert_eq!((read.method, read.version), (Method::Post, Version::Http11));
        assert_eq!(read.target_bytes(), b"/a?b");
        let values: Vec<&[u8]> =
            read.fields.lines().iter().map(|line| read.fields.value(line)).collect();
        assert_eq!(values, [&b"x"[..], b"", b"v w"]);
        let mut copied = Vec::new();
        read.fields.copy_kept(&mut copied, |line| line.known != Name::Host);
        assert_eq!(copied, b"Empty:\r\nSpaced:  \t v w \r\n");
    }

    #[test]
    fn first_lines_that_are_refused() {
        refused("GET  / HTTP/1.1\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("GET /  HTTP/1.1\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("GET / HTTP/1.1 \r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused(" GET / HTTP/1.1\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("GET /\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("GET\t/ HTTP/1.1\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("G(T / HTTP/1.1\r\n\r\n", refusal::BAD_METHOD);
        refused("GET /\u{e9} HTTP/1.1\r\n\r\n", refusal::BAD_TARGET);
        refused("GET /#a HTTP/1.1\r\n\r\n", refusal::BAD_TARGET);
        refused("GET /\0 HTTP/1.1\r\n\r\n", refusal::BAD_TARGET);
        refused("GET / http/1.1\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("GET / HTTP/1.2\r\n\r\n", refusal::BAD_VERSION);
        refused("GET / HTTP/1.10\r\n\r\n", refusal::BAD_REQUEST_LINE);
        refused("PRI * HTTP/2.0\r\n\r\n", refusal::HTTP2_PREFACE);
    }

    #[test]
    fn header_lines_that_are_refused() {
        refused("GET / HTTP/1.1\r\na : b\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\n: b\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\nab\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\n a: b\r\n\r\n", refusal::OBS_FOLD);
        refused("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", refusal::OBS_FOLD);
        refused("GET / HTTP/1.1\r\na: b\0\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\na: b\rc\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\na(: b\r\n\r\n", refusal::BAD_HEADER);
        refused("GET / HTTP/1.1\r\n\u{e9}: b\r\n\r\n", refusal::BAD_HEADER);
    }

    #[test]
    fn a_response_is_read() {
        let mut read = Response::default();
        response(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n", &mut read).unwrap();
        assert_eq!((read.status, read.fields.bytes(read.reason)), (404, &b"Not Found"[..]));
        response(b"HTTP/1.0 200\r\n\r\n", &mut read).unwrap();
        assert_eq!((read.status, read.fields.bytes(read.reason)), (200, &b""[..]));
        for bad in [
            "HTTP/1.1 99 X\r\n\r\n",
            "HTTP/1.1 600 X\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        ] {
            assert_eq!(response(bad.as_bytes(), &mut read), Err(refusal::BAD_RESPONSE), "{bad:?}");
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(11);
        let alphabet = b"GET /HTP1.0: \t\r\n\0\xe9aZ;,";
        for _ in 0..50_000 {
            let length = random.usize(0..80);
            let mut bytes: Vec<u8> =
                (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            if random.bool() {
                bytes.splice(0..0, *b"GET / HTTP/1.1\r\n");
            }
            bytes.extend_from_slice(b"\r\n\r\n");
            let _ = request(&bytes, &mut Request::default());
            let _ = response(&bytes, &mut Response::default());
        }
    }
}
