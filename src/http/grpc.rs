//! Our own errors as a gRPC client reads them: no text, but a status in the head, which is all of the
//! answer (gRPC over HTTP2, "Trailers-Only"). Pure.

use std::fmt::{self, Write};

use crate::{http::refusal::Refusal, message::head::Fields};

pub const MEDIA_TYPE: &str = "application/grpc";

/// The HTTP status of every answer to a call, whatever became of it.
pub const HTTP_STATUS: u16 = 200;

/// What a call may come to (gRPC, "Status codes"), as far as we say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// What a client would make of the HTTP status itself ("HTTP to gRPC Status Code Mapping"), so
    /// that it tries again what it would try again behind any other proxy; but for what gRPC's own
    /// servers have a better code for: what is too large, and a client that keeps us waiting, which
    /// nobody gains by trying again.
    pub fn of_status(status: u16) -> Code {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 | 501 => Code::Unimplemented,
            408 => Code::DeadlineExceeded,
            413 | 414 | 431 => Code::ResourceExhausted,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }
}

/// Whether a request is a call: gRPC's media type, alone, with a codec (`+proto`) or with
/// parameters. gRPC-Web, which browsers speak, is another one.
pub fn is_call(fields: &Fields) -> bool {
    let is_type = |name: &[u8]| name.len() == 12 && name.eq_ignore_ascii_case(b"content-type");
    let line = fields.lines().iter().find(|line| is_type(fields.bytes(line.name)));
    line.is_some_and(|line| is_media_type(fields.value(line)))
}

fn is_media_type(value: &[u8]) -> bool {
    let Some((begin, rest)) = value.split_at_checked(MEDIA_TYPE.len()) else {
        return false;
    };
    begin.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
        && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
}

/// The header lines that say what a call came to, each with its CRLF: the code is for programs, the
/// words are for people, and say what our page says.
pub fn lines(refusal: Refusal, request_id: &str) -> String {
    let status = refusal.status();
    let code = Code::of_status(status) as u8;
    let words = format!("{status} {}: {}; request {request_id}", refusal.reason, refusal.detail);
    format!("grpc-status: {code}\r\ngrpc-message: {}\r\n", Encoded(&words))
}

/// Percent-encoded as gRPC wants its messages: all but printable ASCII, and the sign itself.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b' '..=b'$' | b'&'..=b'~' => f.write_char(char::from(byte))?,
                other => write!(f, "%{other:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{h1::parse, refusal},
        message::head::Request,
    };

    fn check(line: &str, expected: bool) {
        let head = format!("POST /a.B/C HTTP/1.1\r\nHost: x\r\nA: b\r\n{line}\r\n\r\n");
        let mut request = Request::default();
        parse::request(head.as_bytes(), &mut request).unwrap();
        assert_eq!(is_call(&request.fields), expected, "{line}");
    }

    #[test]
    fn calls_are_known_by_their_media_type() {
        for line in [
            "content-type: application/grpc",
            "Content-Type: Application/gRPC",
            "content-type: application/grpc+proto",
            "content-type: application/grpc;charset=utf-8",
            "content-type: application/grpc ; charset=utf-8",
        ] {
            check(line, true);
        }
        for line in [
            "content-type: application/grpc-web",
            "content-type: application/grpc-web+proto",
            "content-type: application/grp",
            "content-type: text/plain, application/grpc",
            "content-typo: application/grpc",
            "accept: application/grpc",
        ] {
            check(line, false);
        }
    }

    #[test]
    fn every_refusal_has_a_code_that_is_an_error() {
        for (refusal, code) in [
            (refusal::BAD_PATH, Code::Internal),
            (refusal::NO_ROUTE, Code::Unimplemented),
            (refusal::BODY_TOO_LARGE, Code::ResourceExhausted),
            (refusal::TOO_MANY_HEADERS, Code::ResourceExhausted),
            (refusal::BODY_TIMEOUT, Code::DeadlineExceeded),
            (refusal::MISDIRECTED, Code::Unknown),
            (refusal::CONNECT_FAILED, Code::Unavailable),
            (refusal::QUEUE_FULL, Code::Unavailable),
            (refusal::FIRST_BYTE_TIMEOUT, Code::Unavailable),
        ] {
            assert_eq!(Code::of_status(refusal.status()), code, "{refusal:?}");
        }
    }

    #[test]
    fn the_words_say_status_reason_and_request() {
        assert_eq!(
            lines(refusal::NO_BACKEND, "a+b"),
            "grpc-status: 14\r\ngrpc-message: 503 no-backend: no backend of the pool is up; \
             request a+b\r\n"
        );
    }

    #[test]
    fn what_may_not_stand_in_a_message_is_encoded() {
        assert_eq!(Encoded(" ~$&\"").to_string(), " ~$&\"");
        assert_eq!(Encoded("100 %\r\né").to_string(), "100 %25%0D%0A%C3%A9");
    }
}
