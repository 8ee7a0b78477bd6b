//! Between the lines that all rooms read and HTTP/2's own form of a head (RFC 9113, section 8).
//! Pure.
//!
//! What comes becomes the same [`Request`] or [`Response`] that HTTP/1 is read into, so that routes,
//! policy and header rules know one form; what goes is written as HTTP/1 writes it, and taken apart
//! here. The `h2` crate has refused before us what it can see: pseudo-fields that are missing,
//! repeated, late or unknown, upper-case names, fields of a connection, a TE that is not `trailers`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::{
    config::Limits,
    http::{
        h1::{chunked::LateFields, parse::is_token_byte},
        refusal::{self, Refusal},
    },
    message::{
        field::Name,
        head::{Fields, Line, Request, Response, Span, Version},
        lent::Lent,
        method::Method,
    },
};

/// Reads a request's head. `ended`: no body and no trailers follow. `random` is for what a WebSocket
/// is opened with towards an HTTP/1.1 backend.
///
/// An extended CONNECT (RFC 8441) becomes the GET that asks for the same: what its stream carries is
/// no body.
pub fn request(
    parts: &http::request::Parts,
    ended: bool,
    limits: &Limits,
    random: u128,
) -> Result<Request, Refusal> {
    let protocol = parts.extensions.get::<::h2::ext::Protocol>().map(|asked| asked.as_str());
    let method = if protocol.is_some() { "GET" } else { parts.method.as_str() }.as_bytes();
    let target = target(parts)?;
    let mut lines = Lines::default();
    let head = &mut lines.bytes;
    head.extend_from_slice(method);
    head.push(b' ');
    head.extend_from_slice(target);
    let (method_span, target_span) =
        (Span::new(0, method.len()), Span::new(method.len() + 1, head.len()));
    head.extend_from_slice(b" HTTP/2.0\r\n");
    if lines.bytes.len() - 2 > limits.max_request_line {
        return Err(refusal::LINE_TOO_LONG);
    }
    push_host(&mut lines, parts)?;
    if let Some(protocol) = protocol {
        push_upgrade(&mut lines, protocol, random)?;
    }
    push_fields(&mut lines, &parts.headers, limits)?;
    Ok(Request {
        method: Method::from_bytes(method),
        method_span,
        target: target_span,
        version: Version::Http2,
        ended: ended || protocol.is_some(),
        extended_connect: protocol.is_some(),
        fields: lines.fields(),
    })
}

/// In place of a request that is not let in: of its lines the one that tells how its client wants to
/// be answered. One that asks for a tunnel is never a call.
pub fn unread(parts: &http::request::Parts) -> Request {
    let mut lines = Lines::default();
    let is_connect = parts.method == http::Method::CONNECT;
    if let Some(value) = parts.headers.get(http::header::CONTENT_TYPE).filter(|_| !is_connect) {
        lines.push(b"content-type", value.as_bytes());
    }
    Request { version: Version::Http2, fields: lines.fields(), ..Request::default() }
}

/// Reads an answer's head.
pub fn response(parts: &http::response::Parts) -> Result<Response, Refusal> {
    let mut lines = Lines::default();
    lines.bytes.extend_from_slice(b"HTTP/2.0\r\n");
    for (name, value) in &parts.headers {
        if !is_field(name, value) {
            return Err(refusal::BAD_RESPONSE);
        }
        lines.push(name.as_str().as_bytes(), value.as_bytes());
    }
    let status = parts.status.as_u16();
    if !(100..=599).contains(&status) {
        return Err(refusal::BAD_RESPONSE);
    }
    let (reason, version) = (Span::default(), Version::Http2);
    Ok(Response { status, reason, version, fields: lines.fields() })
}

/// Reads trailers into lines, each with its CRLF.
pub fn trailer_lines(trailers: &HeaderMap, late_fields: LateFields) -> Result<Vec<u8>, Refusal> {
    let mut lines = Lines::default();
    for (name, value) in trailers {
        if !is_field(name, value) {
            return Err(refusal::BAD_TRAILER);
        }
        let name = name.as_str().as_bytes();
        match (Name::from_bytes(name).is_forbidden_in_trailers(), late_fields) {
            (false, _) => lines.push(name, value.as_bytes()),
            (true, LateFields::Dropped) => {}
            (true, LateFields::Refused) => return Err(refusal::BAD_TRAILER),
        }
    }
    Ok(lines.bytes.kept())
}

/// A target is a path, `*` for OPTIONS, or with CONNECT an authority (RFC 9113, section 8.3.1).
fn target(parts: &http::request::Parts) -> Result<&[u8], Refusal> {
    let connect = parts.method == http::Method::CONNECT;
    let target = match parts.uri.path_and_query() {
        Some(path) => path.as_str().as_bytes(),
        None if connect => b"*",
        None => return Err(refusal::BAD_TARGET),
    };
    let whole_server = target == b"*" && (connect || parts.method == http::Method::OPTIONS);
    let fits = target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#');
    if !fits || !(target.starts_with(b"/") || whole_server) || !is_web(parts.uri.scheme_str()) {
        return Err(refusal::BAD_TARGET);
    }
    Ok(target)
}

/// Whether it is of the schemes that are served here. The library lets an empty one through, and
/// gives none where there is no `:authority`.
fn is_web(scheme: Option<&str>) -> bool {
    let served =
        |scheme: &str| ["https", "http"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    scheme.is_none_or(served)
}

/// `:authority` and Host are one thing; where both stand they must be equal.
fn push_host(lines: &mut Lines, parts: &http::request::Parts) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(refusal::SEVERAL_HOSTS);
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(refusal::HOST_DIFFERS);
        }
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Ok(()),
    };
    lines.push(b"host", host);
    Ok(())
}

/// As HTTP/1.1 asks for it (RFC 6455, section 4.1). What a backend makes of the key is not asked: it
/// guards against servers that know nothing of the protocol, and a backend that does not would not
/// name it in its answer.
fn push_upgrade(lines: &mut Lines, protocol: &str, random: u128) -> Result<(), Refusal> {
    if !protocol.bytes().all(|byte| is_token_byte(byte) || byte == b'/') {
        return Err(refusal::BAD_HEADER);
    }
    lines.push(b"connection", b"upgrade");
    lines.push(b"upgrade", protocol.as_bytes());
    if protocol.eq_ignore_ascii_case("websocket") {
        lines.push(b"sec-websocket-key", &websocket_key(random));
    }
    Ok(())
}

/// Sixteen bytes in base64 (RFC 4648, section 4).
fn websocket_key(random: u128) -> [u8; 24] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key = [b'='; 24];
    for (place, digit) in key[..22].iter_mut().enumerate() {
        // The last digit holds two bits, at its upper end.
        let bits = if place < 21 { (random >> (122 - 6 * place)) & 63 } else { (random & 3) << 4 };
        *digit = ALPHABET[bits as usize];
    }
    key
}

/// A cookie may come in crumbs, which HTTP/1 does not know (RFC 9113, section 8.2.3).
fn push_fields(lines: &mut Lines, fields: &HeaderMap, limits: &Limits) -> Result<(), Refusal> {
    let start = lines.bytes.len();
    let mut cookies: Vec<&[u8]> = Vec::new();
    for (name, value) in fields {
        if !is_field(name, value) {
            return Err(refusal::BAD_HEADER);
        }
        let value = value.as_bytes();
        match *name {
            http::header::HOST => continue,
            http::header::COOKIE => cookies.push(value),
            _ => lines.push(name.as_str().as_bytes(), value),
        }
        if name.as_str().len() + 2 + value.len() > limits.max_header {
            return Err(refusal::HEADER_TOO_LONG);
        }
    }
    if !cookies.is_empty() {
        lines.push(b"cookie", &cookies.join(&b"; "[..]));
    }
    // Crumbs count as the lines that they came in.
    if fields.len() > limits.max_headers {
        return Err(refusal::TOO_MANY_HEADERS);
    }
    if lines.bytes.len() - start > limits.max_headers_size {
        return Err(refusal::HEADERS_TOO_LARGE);
    }
    Ok(())
}

/// What the library lets through besides fields: a quote in a name, and white space around a value,
/// which HTTP/1 has and HTTP/2 has not (RFC 9113, section 8.2.1).
fn is_field(name: &HeaderName, value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    name.as_str().bytes().all(is_token_byte) && trimmed(value).len() == value.len()
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Header lines as they are made.
#[derive(Default)]
struct Lines {
    bytes: Lent<u8>,
    lines: Lent<Line>,
}

impl Lines {
    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let value_end = self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.lines.push(Line {
            known: Name::from_bytes(name),
            name: Span::new(start, start + name.len()),
            value: Span::new(value_start, value_end),
            whole: Span::new(start, self.bytes.len()),
        });
    }

    fn fields(self) -> Fields {
        Fields::of(self.bytes, self.lines)
    }
}

/// The head of a request to a backend, written as HTTP/1 writes it, in HTTP/2's form. `None` for a
/// target or an authority that has none there.
pub fn to_request(head: Vec<u8>, scheme: &'static str) -> Option<http::Request<()>> {
    let Apart { line, host, fields } = Apart::of(head);
    let mut words = line.split(|&byte| byte == b' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = http::Method::from_bytes(method).ok()?;
    let uri = Uri::builder().scheme(scheme).authority(&*host?).path_and_query(path);
    *request.uri_mut() = uri.build().ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

/// The head of an answer to a client, written as HTTP/1 writes it, in HTTP/2's form.
pub fn to_response(head: Vec<u8>) -> http::Response<()> {
    let Apart { line, fields, host: _ } = Apart::of(head);
    let mut response = http::Response::new(());
    *response.version_mut() = http::Version::HTTP_2;
    // "HTTP/1.1 200 ", as we have written it.
    let status = line.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = fields;
    response
}

/// Lines, each with its CRLF, in HTTP/2's form.
pub fn to_trailers(lines: &[u8]) -> HeaderMap {
    to_fields(Bytes::copy_from_slice(lines), &mut None)
}

/// A head taken apart: its fields but those of a connection, and without Host, which HTTP/2 has in
/// a place of its own.
struct Apart {
    line: Bytes,
    host: Option<Bytes>,
    fields: HeaderMap,
}

impl Apart {
    fn of(head: Vec<u8>) -> Apart {
        let head = Bytes::from(head);
        let end = memchr::memchr(b'\n', &head).map_or(head.len(), |at| at + 1);
        let mut host = None;
        let fields = to_fields(head.slice(end..), &mut host);
        // The line ends with CRLF, as we have written it.
        Apart { line: head.slice(..end.saturating_sub(2)), host, fields }
    }
}

/// What a line holds was checked when it was read: one that does not fit all the same is dropped.
fn to_fields(lines: Bytes, host: &mut Option<Bytes>) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(8);
    let mut rest = &*lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, behind) = rest.split_at(end + 1);
        rest = behind;
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = &line[..colon];
        let known = Name::from_bytes(name);
        if known.is_hop_by_hop() && known != Name::Te {
            continue;
        }
        let value = lines.slice_ref(trimmed(&line[colon + 1..]));
        if known == Name::Host {
            *host = Some(value);
            continue;
        }
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head as the library hands it over: `method target [scheme://]authority|name: value|…`.
    fn parts(text: &str) -> http::request::Parts {
        let mut lines = text.split('|');
        let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(words[1].parse().unwrap());
        if let Some(authority) = words.get(2) {
            let (scheme, authority) = authority.split_once("://").unwrap_or(("https", authority));
            uri.scheme = Some(scheme.parse().unwrap());
            uri.authority = Some(authority.parse().unwrap());
        }
        let request = http::Request::builder().method(words[0]).uri(Uri::from_parts(uri).unwrap());
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            parts.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        parts
    }

    fn read(text: &str) -> Result<String, Refusal> {
        let request = request(&parts(text), false, &Limits::default(), 0)?;
        let method = String::from_utf8(request.method_bytes().to_vec()).unwrap();
        let target = String::from_utf8(request.target_bytes().to_vec()).unwrap();
        let mut lines = Vec::new();
        request.fields.copy_kept(&mut lines, |_| true);
        let lines = String::from_utf8(lines).unwrap().replace("\r\n", "|");
        Ok(format!("{method} {target} {lines}"))
    }

    #[test]
    fn a_request_becomes_lines() {
        assert_eq!(read("GET /a?b x|a: 1|b: 2").unwrap(), "GET /a?b host: x|a: 1|b: 2|");
        assert_eq!(read("GET /|host: x").unwrap(), "GET / host: x|");
        assert_eq!(read("GET / X|host: x").unwrap(), "GET / host: X|");
        assert_eq!(read("OPTIONS *").unwrap(), "OPTIONS * ");
        let crumbs = read("GET / x|cookie: a=1|a: b|cookie: c=2").unwrap();
        assert_eq!(crumbs, "GET / host: x|a: b|cookie: a=1; c=2|");
    }

    #[test]
    fn an_extended_connect_is_the_get_that_asks_for_the_same() {
        let mut parts = parts("CONNECT /chat x|sec-websocket-version: 13");
        parts.extensions.insert(::h2::ext::Protocol::from_static("websocket"));
        let request = request(&parts, false, &Limits::default(), u128::MAX).unwrap();
        assert!(request.ended && request.extended_connect);
        assert_eq!((request.method_bytes(), request.target_bytes()), (&b"GET"[..], &b"/chat"[..]));
        let mut lines = Vec::new();
        request.fields.copy_kept(&mut lines, |_| true);
        assert_eq!(
            String::from_utf8(lines).unwrap().replace("\r\n", "|"),
            "host: x|connection: upgrade|upgrade: websocket|\
             sec-websocket-key: /////////////////////w==|sec-websocket-version: 13|"
        );
    }

    #[test]
    fn a_websocket_key_is_sixteen_bytes_in_base64() {
        assert_eq!(&websocket_key(0), b"AAAAAAAAAAAAAAAAAAAAAA==");
        // RFC 6455, section 1.3: "the sample nonce".
        assert_eq!(
            &websocket_key(u128::from_be_bytes(*b"the sample nonce")),
            b"dGhlIHNhbXBsZSBub25jZQ=="
        );
    }

    #[test]
    fn what_is_refused_of_a_request() {
        let refused = |text: &str, refusal| assert_eq!(read(text), Err(refusal), "{text}");
        refused("GET / x|host: y", refusal::HOST_DIFFERS);
        refused("GET / x|host: x|host: x", refusal::SEVERAL_HOSTS);
        refused("GET *", refusal::BAD_TARGET);
        refused("GET / ftp://x", refusal::BAD_TARGET);
        refused("GET / ://x", refusal::BAD_TARGET);
        refused("GET / x|a:  b", refusal::BAD_HEADER);
        refused("GET / x|a: b\t", refusal::BAD_HEADER);
        let many = format!("GET / x{}", "|a: b".repeat(101));
        refused(&many, refusal::TOO_MANY_HEADERS);
        refused(&format!("GET / x|a: {}", "b".repeat(17 << 10)), refusal::HEADER_TOO_LONG);
        refused(&format!("GET /{}", "b".repeat(9 << 10)), refusal::LINE_TOO_LONG);
        let large = format!("GET / x{}", format!("|a: {}", "b".repeat(15 << 10)).repeat(5));
        refused(&large, refusal::HEADERS_TOO_LARGE);
    }

    #[test]
    fn a_written_request_is_taken_apart() {
        let head = "POST /a?b HTTP/1.1\r\nHost: x:8\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\
                    a: 2\r\nTE: trailers\r\nEmpty: \r\n\r\n";
        let request = to_request(head.as_bytes().to_vec(), "http").unwrap();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "http://x:8/a?b");
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["a", "te", "empty"]);
        let values: Vec<_> = request.headers().get_all("a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        let star = to_request(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "http").unwrap();
        assert_eq!(star.uri().path(), "*");
    }

    #[test]
    fn white_space_around_a_value_stays_behind() {
        let head = b"HTTP/1.1 200 OK\r\nA:b\r\nC: \t d e\t \r\nF:  \r\n\r\n".to_vec();
        let response = to_response(head);
        let values: Vec<_> = response.headers().values().collect();
        assert_eq!(values, ["b", "d e", ""]);
        let trailers = to_trailers(b"A:\tb \r\n");
        assert_eq!(trailers["a"], "b");
    }

    #[test]
    fn a_written_answer_is_taken_apart() {
        let head = b"HTTP/1.1 204 No Content\r\nConnection: close\r\nA: b\r\n\r\n".to_vec();
        let response = to_response(head);
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers()["a"], "b");
    }

    #[test]
    fn trailers_go_both_ways_but_not_those_that_frame() {
        let trailers = to_trailers(b"grpc-status: 0\r\nA: b\r\n");
        let read = |trailers| trailer_lines(trailers, LateFields::Refused);
        assert_eq!(read(&trailers).unwrap(), b"grpc-status: 0\r\na: b\r\n");
        let framing = to_trailers(b"content-length: 3\r\na: b\r\n");
        assert_eq!(read(&framing), Err(refusal::BAD_TRAILER));
        assert_eq!(trailer_lines(&framing, LateFields::Dropped).unwrap(), b"a: b\r\n");
    }
}
