//! How a line looks. Whatever bytes a peer sent, a line is one line, and ASCII control bytes,
//! quotes and backslashes never stand in it as themselves: nobody forges a line or a field.

use std::{io::Write, net::IpAddr, time::Duration};

use super::{Entry, TCP};
use crate::observe::dates;

/// One JSON object and a line end. Times are RFC 3339 in UTC, phases milliseconds.
pub(super) fn json(out: &mut Vec<u8>, entry: &Entry<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(dates::rfc3339(entry.time).as_bytes());
    out.push(b'"');
    text(out, "request_id", entry.request_id.as_bytes());
    key(out, "client");
    out.push(b'"');
    address(out, entry.client);
    out.push(b'"');
    text(out, "client_subject", entry.client_subject.unwrap_or_default().as_bytes());
    text(out, "method", entry.method);
    text(out, "host", entry.host);
    text(out, "target", entry.target);
    text(out, "protocol", entry.protocol.as_bytes());
    key(out, "tls");
    out.extend_from_slice(if entry.tls { b"true" } else { b"false" });
    text(out, "listener", entry.listener.as_bytes());
    text(out, "route", entry.route.unwrap_or_default().as_bytes());
    text(out, "pool", entry.pool.unwrap_or_default().as_bytes());
    text(out, "files", entry.files.unwrap_or_default().as_bytes());
    text(out, "backend", entry.backend.unwrap_or_default().as_bytes());
    if let Some(status) = entry.status {
        number(out, "status", u64::from(status));
    }
    text(out, "reason", entry.reason.map_or("", |reason| reason.word()).as_bytes());
    text(out, "ended", entry.ended.as_bytes());
    number(out, "attempts", u64::from(entry.attempts));
    number(out, "bytes_in", entry.bytes_in);
    number(out, "bytes_out", entry.bytes_out);
    milliseconds(out, "total_ms", Some(entry.total));
    milliseconds(out, "header_ms", entry.header);
    milliseconds(out, "queued_ms", entry.queued);
    milliseconds(out, "connect_ms", entry.connect);
    milliseconds(out, "first_byte_ms", entry.first_byte);
    out.extend_from_slice(b"}\n");
}

/// `client - - [time] "request line" status bytes "referer" "user agent"`, escaped as Apache does.
pub(super) fn combined(out: &mut Vec<u8>, entry: &Entry<'_>) {
    address(out, entry.client);
    out.extend_from_slice(b" - - ");
    out.extend_from_slice(dates::common_log(entry.time).as_bytes());
    out.extend_from_slice(b" \"");
    request_line(out, entry);
    out.extend_from_slice(b"\" ");
    match entry.status {
        Some(status) => decimal(out, u64::from(status)),
        None => out.push(b'-'),
    }
    out.push(b' ');
    decimal(out, entry.bytes_out);
    for value in [entry.referer, entry.user_agent] {
        out.extend_from_slice(b" \"");
        apache_or_dash(out, value);
        out.push(b'"');
    }
    out.push(b'\n');
}

fn request_line(out: &mut Vec<u8>, entry: &Entry<'_>) {
    if entry.method.is_empty() && entry.target.is_empty() {
        // One without a head; a TCP connection has none.
        return out.extend_from_slice(if entry.protocol == TCP { b"TCP" } else { b"-" });
    }
    apache_or_dash(out, entry.method);
    out.push(b' ');
    apache_or_dash(out, entry.target);
    out.push(b' ');
    apache_or_dash(out, entry.protocol.as_bytes());
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Left out where it is empty.
fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    key(out, name);
    out.push(b'"');
    json_escaped(out, value);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    decimal(out, value);
}

/// To the microsecond: `12.345`.
fn milliseconds(out: &mut Vec<u8>, name: &str, duration: Option<Duration>) {
    let Some(duration) = duration else { return };
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(out, name, microseconds / 1_000);
    let rest = microseconds % 1_000;
    out.push(b'.');
    out.extend([100, 10, 1].map(|unit| b'0' + (rest / unit % 10) as u8));
}

/// Valid UTF-8 stays but for control and direction characters; a byte that is no UTF-8 is written
/// as the code point of its value.
fn json_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(place) = rest.find(needs_escape) {
            let (plain, from) = rest.split_at(place);
            out.extend_from_slice(plain.as_bytes());
            let mut characters = from.chars();
            out.extend(characters.next().into_iter().flat_map(json_escape));
            rest = characters.as_str();
        }
        out.extend_from_slice(rest.as_bytes());
        out.extend(chunk.invalid().iter().flat_map(|&byte| json_escape(char::from(byte))));
    }
}

/// Beside what JSON asks for: C1 controls, which some terminals obey, and what turns the direction
/// of text or ends a line for a reader. All are within 16 bits.
fn needs_escape(character: char) -> bool {
    matches!(character, '"' | '\\' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || character.is_control()
}

fn json_escape(character: char) -> [u8; 6] {
    let code = u32::from(character);
    let nibble = |shift: u32| HEX[(code >> shift & 0xf) as usize];
    [b'\\', b'u', nibble(12), nibble(8), nibble(4), nibble(0)]
}

fn apache_or_dash(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        return out.push(b'-');
    }
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                out.extend([b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn address(out: &mut Vec<u8>, client: IpAddr) {
    // Writing into a Vec can't fail.
    let _ = write!(out, "{client}");
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[first..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::reason::Reason;
    use std::{
        net::Ipv4Addr,
        time::{SystemTime, UNIX_EPOCH},
    };

    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_795_408_370_007)
    }

    fn entry() -> Entry<'static> {
        Entry {
            time: time(),
            request_id: "0af7651916cd43dd",
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            client_subject: None,
            method: b"GET",
            host: b"www.example.com",
            target: b"/a?b=c",
            protocol: "HTTP/1.1",
            tls: true,
            listener: "https",
            route: Some("www.example.com/"),
            pool: Some("app"),
            files: None,
            backend: Some("10.0.1.11:8080"),
            status: Some(200),
            attempts: 1,
            bytes_in: 0,
            bytes_out: 5_120,
            total: Duration::from_micros(12_045),
            header: Some(Duration::ZERO),
            queued: None,
            connect: None,
            first_byte: Some(Duration::from_millis(11)),
            reason: None,
            ended: "",
            referer: b"https://example.com/",
            user_agent: b"curl/8.0",
        }
    }

    fn json_line(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        json(&mut out, entry);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn combined_line(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        combined(&mut out, entry);
        String::from_utf8(out).expect("combined is ASCII")
    }

    #[test]
    fn json_as_a_whole() {
        assert_eq!(
            json_line(&entry()),
            concat!(
                r#"{"time":"2026-11-23T04:32:50.007Z","request_id":"0af7651916cd43dd","#,
                r#""client":"192.0.2.7","method":"GET","host":"www.example.com","#,
                r#""target":"/a?b=c","protocol":"HTTP/1.1","tls":true,"listener":"https","#,
                r#""route":"www.example.com/","pool":"app","backend":"10.0.1.11:8080","#,
                r#""status":200,"attempts":1,"bytes_in":0,"bytes_out":5120,"#,
                r#""total_ms":12.045,"header_ms":0.000,"first_byte_ms":11.000}"#,
                "\n"
            )
        );
    }

    #[test]
    fn combined_as_a_whole() {
        assert_eq!(
            combined_line(&entry()),
            "192.0.2.7 - - [23/Nov/2026:04:32:50 +0000] \"GET /a?b=c HTTP/1.1\" 200 5120 \
             \"https://example.com/\" \"curl/8.0\"\n"
        );
    }

    #[test]
    fn a_refused_request_without_a_head() {
        let refused = Entry {
            method: b"",
            host: b"",
            target: b"",
            route: None,
            pool: None,
            backend: None,
            status: None,
            attempts: 0,
            header: None,
            first_byte: None,
            reason: Some(Reason::ClientGone),
            referer: b"",
            user_agent: b"",
            ..entry()
        };
        let line: serde_json::Value = serde_json::from_str(&json_line(&refused)).expect("JSON");
        assert_eq!(line["reason"], "client-gone");
        for absent in ["method", "host", "target", "route", "pool", "backend", "status"] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
        assert!(combined_line(&refused).contains("] \"-\" - 5120 \"-\" \"-\"\n"));
    }

    #[test]
    fn a_tcp_connection() {
        let relayed = Entry {
            request_id: "",
            method: b"",
            host: b"db.example.com",
            target: b"",
            protocol: TCP,
            route: None,
            status: None,
            header: None,
            first_byte: None,
            ended: "client-closed",
            referer: b"",
            user_agent: b"",
            ..entry()
        };
        assert_eq!(
            json_line(&relayed),
            concat!(
                r#"{"time":"2026-11-23T04:32:50.007Z","client":"192.0.2.7","#,
                r#""host":"db.example.com","protocol":"TCP","tls":true,"listener":"https","#,
                r#""pool":"app","backend":"10.0.1.11:8080","ended":"client-closed","#,
                r#""attempts":1,"bytes_in":0,"bytes_out":5120,"total_ms":12.045}"#,
                "\n"
            )
        );
        assert!(combined_line(&relayed).contains("] \"TCP\" - 5120 \"-\" \"-\"\n"));
    }

    #[test]
    fn any_bytes_are_one_line_of_json() {
        let all: Vec<u8> = (0..=255).collect();
        let hostile = Entry { target: &all, host: b"a\",\"status\":999,\"x\":\"\r\n{}", ..entry() };
        let line = json_line(&hostile);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.trim_end().contains(char::is_control));
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["status"], 200);
        assert_eq!(read["host"], "a\",\"status\":999,\"x\":\"\r\n{}");
        let expected: String = (0..=255u8).map(char::from).collect();
        assert_eq!(read["target"], expected);
    }

    #[test]
    fn text_in_utf8_stays_but_controls_do_not() {
        let line = json_line(&Entry { host: "ü€\u{9b}31m\u{202e}x".as_bytes(), ..entry() });
        assert!(line.contains(r#""host":"ü€\u009b31m\u202ex""#), "{line}");
    }

    #[test]
    fn any_bytes_are_one_line_of_combined() {
        let all: Vec<u8> = (0..=255).collect();
        let line = combined_line(&Entry { user_agent: &all, referer: b"x\" 200 1 \"", ..entry() });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
        assert!(line.contains(r#""x\" 200 1 \"" "\x00\x01"#), "{line}");
        assert!(line.ends_with("\\xfe\\xff\"\n"), "{line}");
    }

    #[test]
    fn numbers_at_their_ends() {
        let line = json_line(&Entry {
            bytes_in: u64::MAX,
            bytes_out: 0,
            total: Duration::from_micros(999_999),
            connect: Some(Duration::from_nanos(999)),
            ..entry()
        });
        assert!(line.contains("\"bytes_in\":18446744073709551615,\"bytes_out\":0,"), "{line}");
        assert!(line.contains("\"total_ms\":999.999,"), "{line}");
        assert!(line.contains("\"connect_ms\":0.000,"), "{line}");
    }
}
