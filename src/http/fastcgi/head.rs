//! The head of a script's answer (RFC 3875, section 6): from what CGI writes to what HTTP/1 would.
//! Pure.

use crate::http::refusal::{self, Refusal};

/// How far a head has been looked at. One head, then a new one.
#[derive(Debug, Default)]
pub struct Scan {
    seen: usize,
    line_start: usize,
}

impl Scan {
    /// The length of the head with its empty line, once it is all there; `bytes` is all of it that
    /// has come. Lines may end with LF alone.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let at = self.seen + offset;
            let line = &bytes[self.line_start..at];
            (self.seen, self.line_start) = (at + 1, at + 1);
            if matches!(line, b"" | b"\r") {
                return Some(at + 1);
            }
        }
        self.seen = bytes.len();
        None
    }
}

/// Writes the head as HTTP/1 has it; it is still to be read by the rules of that.
pub fn to_http(head: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut status: Option<&[u8]> = None;
    let mut leads_elsewhere = false;
    let mut lines = Vec::with_capacity(head.len() + 64);
    for line in head.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line).ok_or(refusal::BAD_RESPONSE)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            // Two would be read as the one or the other.
            if status.replace(value).is_some() {
                return Err(refusal::BAD_RESPONSE);
            }
            continue;
        }
        // How the body travels is not the script's to say (section 6.3.4).
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(refusal::BAD_RESPONSE_LENGTH);
        }
        leads_elsewhere |= name.eq_ignore_ascii_case(b"location");
        lines.extend_from_slice(line);
        lines.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    match status {
        Some(status) => out.extend_from_slice(checked(status)?),
        None if leads_elsewhere => out.extend_from_slice(b"302 Found"),
        None => out.extend_from_slice(b"200 OK"),
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&lines);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Three digits of a final answer, and perhaps words behind them.
fn checked(status: &[u8]) -> Result<&[u8], Refusal> {
    match status {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => Ok(status),
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..] => Ok(status),
        _ => Err(refusal::BAD_RESPONSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expected: Result<&str, Refusal>) {
        let mut out = Vec::new();
        let written = to_http(head.as_bytes(), &mut out);
        let found = written.map(|()| String::from_utf8(out).unwrap().replace("\r\n", "|"));
        assert_eq!(found, expected.map(str::to_owned), "{head:?}");
    }

    #[test]
    fn a_status_of_its_own_or_what_goes_without_saying() {
        check("A: b\r\n\r\n", Ok("HTTP/1.1 200 OK|A: b||"));
        check("A: b\r\nStatus: 404 Not Found\r\n\r\n", Ok("HTTP/1.1 404 Not Found|A: b||"));
        check("status:503\n\n", Ok("HTTP/1.1 503||"));
        check("Location: /x\r\n\r\n", Ok("HTTP/1.1 302 Found|Location: /x||"));
        check("Location: /x\nStatus: 201 Made\n\n", Ok("HTTP/1.1 201 Made|Location: /x||"));
        check("\r\n", Ok("HTTP/1.1 200 OK||"));
        check(
            "Set-Cookie: a\nSet-Cookie: b\n\n",
            Ok("HTTP/1.1 200 OK|Set-Cookie: a|Set-Cookie: b||"),
        );
    }

    #[test]
    fn what_is_no_head() {
        for status in ["", "20", "2000", "99", "100", "101", "600", "OK", "200OK", "+20", "2 0"] {
            check(&format!("Status: {status}\n\n"), Err(refusal::BAD_RESPONSE));
        }
        check("Status: 200\nStatus: 200\n\n", Err(refusal::BAD_RESPONSE));
        check("<html>\n\n", Err(refusal::BAD_RESPONSE));
        check("Transfer-Encoding: chunked\n\n", Err(refusal::BAD_RESPONSE_LENGTH));
    }

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        for head in ["A: b\r\nC: d\r\n\r\n", "A: b\n\n", "\n", "\r\n", "A: b\r\n\n", "A:b\n\r\n"] {
            let bytes = format!("{head}\n\nbody");
            for step in 1..bytes.len() {
                let mut scan = Scan::default();
                let mut come =
                    (1..).map(|times| &bytes.as_bytes()[..(times * step).min(bytes.len())]);
                let end = come.find_map(|come| scan.end(come));
                assert_eq!(end, Some(head.len()), "{bytes:?} by {step}");
            }
        }
        assert_eq!(Scan::default().end(b"A: b\r\nC: d\r\n"), None);
    }

    #[test]
    fn random_bytes_never_panic_and_bring_no_second_head() {
        let mut random = fastrand::Rng::with_seed(23);
        let alphabet = b"Status: 204\r\nLocation:/\0\xe9;HTP/1.";
        for _ in 0..50_000 {
            let head: Vec<u8> = (0..random.usize(0..40))
                .map(|_| alphabet[random.usize(..alphabet.len())])
                .collect();
            let end = Scan::default().end(&head).unwrap_or(head.len());
            let mut out = Vec::new();
            if to_http(&head[..end], &mut out).is_ok() {
                assert_eq!(
                    memchr::memmem::find(&out, b"\r\n\r\n"),
                    Some(out.len() - 4),
                    "{head:?}"
                );
            }
        }
    }
}
