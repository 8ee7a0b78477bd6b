//! Another protocol on a connection that began with HTTP (RFC 9110, section 7.8; RFC 6455): what is
//! asked for and agreed to. What follows is a `tunnel`.
//!
//! An HTTP/2 client asks by an extended CONNECT (RFC 8441), which its door reads as the HTTP/1.1
//! request that a backend knows.

use crate::{
    config::Protocol,
    http::{
        h1::{body::Framing, parse::is_token_byte},
        headers::{self, Inbound},
    },
    message::{
        field::{Name, list_members},
        head::{Fields, Request, Response, Version},
    },
};

/// Where a head as we write it has its status.
const STATUS: std::ops::Range<usize> = 9..12;

/// What a request asks to go on with, if anything: the value of Upgrade. One with a body asks for
/// nothing: it would have to be read to its end first. h2c and TLS would take all that follows out of
/// our sight, and are not passed on.
pub fn asked(request: &Request, framing: Framing) -> Option<&[u8]> {
    let bodiless = matches!(framing, Framing::Empty | Framing::Length(0));
    if request.version == Version::Http10 || !bodiless || !names_upgrade(&request.fields) {
        return None;
    }
    let mut values = request.fields.all(Name::Upgrade);
    let value = values.next().filter(|value| !value.is_empty())?;
    let single = values.next().is_none();
    (single && list_members(value).all(may_pass)).then_some(value)
}

fn names_upgrade(fields: &Fields) -> bool {
    let mut members = fields.all(Name::Connection).flat_map(list_members);
    members.any(|member| member.eq_ignore_ascii_case(b"upgrade"))
}

fn may_pass(protocol: &[u8]) -> bool {
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
    let barred = [&b"h2c"[..], b"h2", b"http", b"tls"];
    let is_barred = barred.iter().any(|barred| name.eq_ignore_ascii_case(barred));
    !is_barred && protocol.iter().all(|&byte| is_token_byte(byte) || byte == b'/')
}

/// Whether a 101 agrees to what was asked.
pub fn agrees(asked: &[u8], response: &Response) -> bool {
    let mut agreed = response.fields.all(Name::Upgrade).flat_map(list_members).peekable();
    agreed.peek().is_some()
        && agreed.all(|agreed| list_members(asked).any(|asked| asked.eq_ignore_ascii_case(agreed)))
}

/// Whether backends of this protocol can be asked at all.
pub fn is_possible(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Http1 => true,
        Protocol::H2 | Protocol::Fastcgi => false,
    }
}

/// The head with which the client is told that the backend has agreed.
pub fn head(response: &mut Response, version: Version, inbound: &Inbound<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    // As what it is, so that it has no Content-Length: an HTTP/2 client would hold the tunnel to it.
    headers::write_response(&mut head, response, inbound);
    if version == Version::Http2 {
        // A stream that is a tunnel was simply opened (RFC 8441, section 5).
        response.status = 200;
        head[STATUS].copy_from_slice(b"200");
        return head;
    }
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
    let agreed = response.fields.first(Name::Upgrade).unwrap_or_default();
    head.extend_from_slice(agreed);
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;

    fn request(lines: &str) -> Request {
        let mut request = Request::default();
        let head = format!("GET / HTTP/1.1|Host: x|{lines}||").replace('|', "\r\n");
        parse::request(head.as_bytes(), &mut request).unwrap();
        request
    }

    #[test]
    fn what_is_asked_for() {
        let check = |lines: &str, expected: Option<&str>| {
            let request = request(lines);
            let found = asked(&request, Framing::Empty);
            assert_eq!(found, expected.map(str::as_bytes), "{lines}");
        };
        check("Connection: Upgrade|Upgrade: websocket", Some("websocket"));
        check("Connection: keep-alive, upgrade|Upgrade: foo/2", Some("foo/2"));
        check("Upgrade: websocket", None);
        check("Connection: upgrade", None);
        check("Connection: upgrade|Upgrade: h2c", None);
        check("Connection: upgrade|Upgrade: websocket, H2C", None);
        check("Connection: upgrade|Upgrade: TLS/1.2", None);
        check("Connection: upgrade|Upgrade: HTTP/2.0", None);
        check("Connection: upgrade|Upgrade: websocket|Upgrade: foo", None);
        check("Connection: upgrade|Upgrade: web socket", None);
        let with_body = request("Connection: upgrade|Upgrade: websocket|Content-Length: 1");
        assert_eq!(asked(&with_body, Framing::Length(1)), None);
        assert_eq!(asked(&with_body, Framing::Chunked), None);
    }

    #[test]
    fn what_is_agreed_to() {
        let check = |asked: &str, lines: &str, expected: bool| {
            let mut response = Response::default();
            let head = format!("HTTP/1.1 101 S|{lines}||").replace('|', "\r\n");
            parse::response(head.as_bytes(), &mut response).unwrap();
            assert_eq!(agrees(asked.as_bytes(), &response), expected, "{asked}: {lines}");
        };
        check("websocket", "Upgrade: WebSocket", true);
        check("a/1, b", "Upgrade: b", true);
        check("websocket", "Upgrade: h2c", false);
        check("websocket", "Connection: upgrade", false);
        check("a, b", "Upgrade: a, c", false);
    }

    #[test]
    fn an_http2_client_is_told_that_its_stream_is_open() {
        let answered = |version| {
            let mut response = Response::default();
            let lines = "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                         Content-Length: 0\r\nA: b\r\n\r\n";
            parse::response(lines.as_bytes(), &mut response).unwrap();
            String::from_utf8(head(&mut response, version, &Inbound::bare()))
                .unwrap()
                .replace("\r\n", "|")
        };
        let over_1 = "HTTP/1.1 101 S|A: b|Connection: upgrade|Upgrade: websocket||";
        assert_eq!(answered(Version::Http11), over_1);
        assert_eq!(answered(Version::Http2), "HTTP/1.1 200 S|A: b||");
    }
}
