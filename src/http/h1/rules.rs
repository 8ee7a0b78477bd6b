//! What a head means for the connection and the body (RFC 9112, sections 6 and 9). Pure.

use std::time::Duration;

use crate::{
    http::refusal::{self, Refusal},
    message::{
        field::{Name, list_members},
        head::{Fields, Request, Response, Version},
        method::Method,
    },
};

use super::{body::Framing, parse::is_token_byte};

/// What a request's head says of its own hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRules {
    pub framing: Framing,
    pub keep_alive: bool,
    /// The client waits for 100 (Continue) before it sends the body (RFC 9110, section 10.1.1).
    pub expects_continue: bool,
}

/// What a response's head says of its own hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseRules {
    pub framing: Framing,
    pub keep_alive: bool,
}

/// Reads a request's hop, or refuses it.
pub fn of_request(request: &Request, max_body: u64) -> Result<RequestRules, Refusal> {
    let framing = request_framing(request)?;
    match framing {
        Framing::Length(length) if length > max_body => return Err(refusal::BODY_TOO_LARGE),
        Framing::Length(1..) | Framing::Chunked if request.method == Method::Trace => {
            return Err(refusal::TRACE_WITH_BODY);
        }
        _ => {}
    }
    Ok(RequestRules {
        framing: with_trailers(framing, request),
        keep_alive: request_connection(&request.fields, request.version)?,
        expects_continue: expectation(request)?,
    })
}

/// What is told of a body's length does not say that nothing follows it: in HTTP/2 trailers may. Where
/// they are announced, the body goes in chunks, which alone have room for them in HTTP/1 (RFC 9110,
/// section 6.5).
fn with_trailers(told: Framing, request: &Request) -> Framing {
    let announced = || request.fields.all(Name::Trailer).next().is_some();
    match told {
        Framing::Length(1..) if request.version == Version::Http2 && announced() => {
            Framing::Chunked
        }
        told => told,
    }
}

/// Reads a response's hop, given what was asked.
pub fn of_response(method: Method, response: &Response) -> Result<ResponseRules, Refusal> {
    let framing = response_framing(method, response)?;
    // An HTTP/1.0 backend may offer keep-alive; it is not worth a second set of rules.
    let mut close = response.version == Version::Http10;
    for value in response.fields.all(Name::Connection) {
        for member in list_members(value) {
            close |= member.eq_ignore_ascii_case(b"close");
        }
    }
    let keep_alive = !close && framing != Framing::UntilClose;
    Ok(ResponseRules { framing, keep_alive })
}

fn request_framing(request: &Request) -> Result<Framing, Refusal> {
    let length = single(&request.fields, Name::ContentLength, refusal::SEVERAL_LENGTHS)?;
    let encoding = single(&request.fields, Name::TransferEncoding, refusal::SEVERAL_ENCODINGS)?;
    match (length, encoding) {
        // In frames: it ends where its stream does.
        (None, None) if request.version == Version::Http2 && !request.ended => Ok(Framing::Chunked),
        (None, None) => Ok(Framing::Empty),
        (Some(_), Some(_)) => Err(refusal::LENGTH_CONFLICT),
        (Some(length), None) => Ok(Framing::Length(content_length(length)?)),
        (None, Some(_)) if request.version == Version::Http10 => Err(refusal::ENCODING_IN_10),
        (None, Some(encoding)) if encoding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(refusal::BAD_ENCODING),
    }
}

/// The length that is told of a request's body, where trailers may follow it.
pub fn told_length(request: &Request) -> Option<u64> {
    content_length(request.fields.first(Name::ContentLength)?).ok()
}

/// How long the backend says it keeps an idle connection: what it names in Keep-Alive (RFC 2068,
/// section 19.7.1.1, which many servers still send).
pub fn keep_alive_hint(fields: &Fields) -> Option<Duration> {
    let mut members = fields.all(Name::KeepAlive).flat_map(list_members);
    let text = members.find_map(|member| {
        let (name, value) = std::str::from_utf8(member).ok()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(value.trim())
    })?;
    Some(Duration::from_secs(text.parse::<u32>().ok()?.into()))
}

/// RFC 9112, section 6.3, read strictly: what names two lengths is refused.
fn response_framing(method: Method, response: &Response) -> Result<Framing, Refusal> {
    let bad = refusal::BAD_RESPONSE_LENGTH;
    let length = single(&response.fields, Name::ContentLength, bad)?;
    let encoding = single(&response.fields, Name::TransferEncoding, bad)?;
    let framing = match (length, encoding) {
        (None, None) if response.version == Version::Http2 => Framing::Chunked,
        (None, None) => Framing::UntilClose,
        (Some(length), None) => Framing::Length(content_length(length).map_err(|_| bad)?),
        (None, Some(encoding))
            if encoding.eq_ignore_ascii_case(b"chunked") && response.version == Version::Http11 =>
        {
            Framing::Chunked
        }
        (_, Some(_)) => return Err(bad),
    };
    let bodiless = method == Method::Head || matches!(response.status, 100..=199 | 204 | 304);
    Ok(if bodiless { Framing::Empty } else { framing })
}

/// The value of the one line of that name.
fn single(fields: &Fields, name: Name, several: Refusal) -> Result<Option<&[u8]>, Refusal> {
    let mut values = fields.all(name);
    let first = values.next();
    match values.next() {
        Some(_) => Err(several),
        None => Ok(first),
    }
}

/// 1 to 19 digits: what fits in 63 bits and is read alike by everyone.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if !(1..=19).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return Err(refusal::BAD_LENGTH);
    }
    let length = value.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 { Err(refusal::BAD_LENGTH) } else { Ok(length) }
}

fn request_connection(fields: &Fields, version: Version) -> Result<bool, Refusal> {
    let (mut close, mut keep) = (false, false);
    for value in fields.all(Name::Connection) {
        for member in list_members(value) {
            close |= member.eq_ignore_ascii_case(b"close");
            keep |= member.eq_ignore_ascii_case(b"keep-alive");
            let fits = member.iter().all(|&byte| is_token_byte(byte));
            if !fits || Name::from_bytes(member).is_protected() {
                return Err(refusal::BAD_CONNECTION);
            }
        }
    }
    Ok(!close && (keep || version != Version::Http10))
}

fn expectation(request: &Request) -> Result<bool, Refusal> {
    let mut expects = false;
    for value in request.fields.all(Name::Expect) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(refusal::EXPECTATION);
        }
        expects = true;
    }
    // An HTTP/1.0 client can't be sent a 100, so that its expectation is overlooked.
    Ok(expects && request.version != Version::Http10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;

    fn rules(lines: &str) -> Result<RequestRules, Refusal> {
        let (first, lines) = match lines.strip_prefix("1.0 ") {
            Some(lines) => ("POST / HTTP/1.0", lines),
            None => ("POST / HTTP/1.1", lines),
        };
        let mut request = Request::default();
        let head = format!("{first}\r\n{}\r\n", lines.replace('|', "\r\n"));
        parse::request(head.as_bytes(), &mut request).unwrap();
        of_request(&request, 1000)
    }

    fn framing(lines: &str, expected: Framing) {
        assert_eq!(rules(lines).map(|rules| rules.framing), Ok(expected), "{lines}");
    }

    #[test]
    fn announced_trailers_have_room_behind_a_body_of_http2() {
        let framing = |version, told, lines: &str| {
            let mut request = Request::default();
            let head = format!("POST / HTTP/1.1\r\n{}\r\n", lines.replace('|', "\r\n"));
            parse::request(head.as_bytes(), &mut request).unwrap();
            request.version = version;
            with_trailers(told, &request)
        };
        let (announced, told) = ("Trailer: X-Sum|", Framing::Length(5));
        assert_eq!(framing(Version::Http2, told, announced), Framing::Chunked);
        assert_eq!(framing(Version::Http2, told, "A: b|"), told);
        assert_eq!(framing(Version::Http11, told, announced), told);
        assert_eq!(framing(Version::Http2, Framing::Length(0), announced), Framing::Length(0));
    }

    fn refused(lines: &str, expected: Refusal) {
        assert_eq!(rules(lines), Err(expected), "{lines}");
    }

    #[test]
    fn how_a_request_is_framed() {
        framing("", Framing::Empty);
        framing("Content-Length: 0|", Framing::Length(0));
        framing("Content-Length: 0012|", Framing::Length(12));
        framing("transfer-encoding: CHUNKED|", Framing::Chunked);
    }

    #[test]
    fn framing_that_two_parsers_could_read_differently() {
        refused("Content-Length: 1|Content-Length: 1|", refusal::SEVERAL_LENGTHS);
        for value in [
            "",
            "+1",
            "-1",
            "1,1",
            "1 1",
            "0x1",
            "1_0",
            "12345678901234567890",
            "9999999999999999999",
            "1.0",
        ] {
            refused(&format!("Content-Length: {value}|"), refusal::BAD_LENGTH);
        }
        for value in [
            "",
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "chunked;a=b",
            "xchunked",
            "chunked,",
            "\"chunked\"",
        ] {
            let outcome = rules(&format!("Transfer-Encoding: {value}|"));
            assert_eq!(outcome, Err(refusal::BAD_ENCODING), "{value:?}");
        }
        refused("Transfer-Encoding: chunked|Content-Length: 1|", refusal::LENGTH_CONFLICT);
        refused(
            "Transfer-Encoding: chunked|Transfer-Encoding: chunked|",
            refusal::SEVERAL_ENCODINGS,
        );
        refused("1.0 Transfer-Encoding: chunked|", refusal::ENCODING_IN_10);
        refused("Content-Length: 1001|", refusal::BODY_TOO_LARGE);
    }

    #[test]
    fn connection_may_not_take_fields_away_that_we_rely_on() {
        assert!(rules("").unwrap().keep_alive);
        assert!(!rules("Connection: close|").unwrap().keep_alive);
        assert!(!rules("Connection: keep-alive, x|Connection: Close|").unwrap().keep_alive);
        assert!(!rules("1.0 ").unwrap().keep_alive);
        assert!(rules("1.0 Connection: keep-alive|").unwrap().keep_alive);
        for value in
            ["host", "x, Content-Length", "X-Forwarded-For", "authorization", "a b", "forwarded"]
        {
            refused(&format!("Connection: {value}|"), refusal::BAD_CONNECTION);
        }
    }

    #[test]
    fn expectations() {
        assert!(rules("Expect: 100-Continue|").unwrap().expects_continue);
        assert!(!rules("1.0 Expect: 100-continue|").unwrap().expects_continue);
        refused("Expect: 200-ok|", refusal::EXPECTATION);
        refused("Expect: 100-continue, x|", refusal::EXPECTATION);
    }

    fn answered(method: Method, head: &str) -> Result<ResponseRules, Refusal> {
        let mut response = Response::default();
        parse::response(
            format!("HTTP/{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes(),
            &mut response,
        )
        .unwrap();
        of_response(method, &response)
    }

    #[test]
    fn how_a_response_is_framed() {
        let get = |head| answered(Method::Get, head).map(|rules| (rules.framing, rules.keep_alive));
        assert_eq!(get("1.1 200 OK|Content-Length: 5"), Ok((Framing::Length(5), true)));
        assert_eq!(
            get("1.1 200 OK|Content-Length: 5|Connection: close"),
            Ok((Framing::Length(5), false))
        );
        assert_eq!(get("1.1 200 OK|Transfer-Encoding: chunked"), Ok((Framing::Chunked, true)));
        assert_eq!(get("1.1 200 OK"), Ok((Framing::UntilClose, false)));
        assert_eq!(get("1.0 200 OK|Content-Length: 5"), Ok((Framing::Length(5), false)));
        assert_eq!(get("1.1 204 No Content"), Ok((Framing::Empty, true)));
        assert_eq!(get("1.1 304 Not Modified|Content-Length: 5"), Ok((Framing::Empty, true)));
        let head = answered(Method::Head, "1.1 200 OK|Content-Length: 5").unwrap();
        assert_eq!(head.framing, Framing::Empty);
        for bad in [
            "1.1 200 OK|Content-Length: 5|Content-Length: 5",
            "1.1 200 OK|Content-Length: x",
            "1.1 200 OK|Content-Length: 5|Transfer-Encoding: chunked",
            "1.1 200 OK|Transfer-Encoding: gzip",
            "1.0 200 OK|Transfer-Encoding: chunked",
        ] {
            assert_eq!(get(bad), Err(refusal::BAD_RESPONSE_LENGTH), "{bad}");
        }
    }

    #[test]
    fn what_a_backend_says_of_its_idle_connections() {
        let hint = |value: &str| {
            let mut response = Response::default();
            let head = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\n\r\n");
            parse::response(head.as_bytes(), &mut response).unwrap();
            keep_alive_hint(&response.fields)
        };
        assert_eq!(hint("timeout=5"), Some(Duration::from_secs(5)));
        assert_eq!(hint("max=9, Timeout = 72"), Some(Duration::from_secs(72)));
        for nothing in ["", "timeout", "timeout=", "timeout=-1", "timeout=x", "timeout=99999999999"]
        {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }
}
