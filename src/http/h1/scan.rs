//! Where a head ends, found line by line as it comes, so that a bad line or one over the limits is
//! refused at once and not when the time runs out. Pure.

use crate::{
    config::Limits,
    http::refusal::{self, Refusal},
};

/// How far a head has been looked at. One head, then a new one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Up to here there is no line end that was not seen.
    seen: usize,
    line_start: usize,
    lines: usize,
    first_line_end: usize,
}

impl Scan {
    /// The length of the head with its empty line, once it is all there; `bytes` is all of it that
    /// has come, from its first byte, and may go on beyond it.
    pub fn head_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let at = self.seen + offset;
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err(refusal::BARE_LF);
            }
            let length = at - 1 - self.line_start;
            self.seen = at + 1;
            if length == 0 && self.lines == 0 {
                // Empty lines before the first one are to be overlooked (RFC 9112, section 2.2);
                // whoever reads on removes them, so that here they are a broken first line.
                return Err(refusal::BAD_REQUEST_LINE);
            }
            if length == 0 {
                return Ok(Some(at + 1));
            }
            self.line_ended(length, limits)?;
        }
        self.seen = bytes.len();
        // The CR that may be the last byte so far does not count.
        let open = bytes.len() - self.line_start;
        self.check_line(open.saturating_sub(1), limits)?;
        Ok(None)
    }

    fn line_ended(&mut self, length: usize, limits: &Limits) -> Result<(), Refusal> {
        self.check_line(length, limits)?;
        if self.lines == 0 {
            self.first_line_end = self.seen;
        }
        self.lines += 1;
        self.line_start = self.seen;
        if self.lines > limits.max_headers + 1 {
            return Err(refusal::TOO_MANY_HEADERS);
        }
        Ok(())
    }

    /// A line that has at least `length` bytes.
    fn check_line(&self, length: usize, limits: &Limits) -> Result<(), Refusal> {
        if self.lines == 0 {
            let over = length > limits.max_request_line;
            return if over { Err(refusal::LINE_TOO_LONG) } else { Ok(()) };
        }
        if length > limits.max_header {
            return Err(refusal::HEADER_TOO_LONG);
        }
        if self.line_start + length - self.first_line_end > limits.max_headers_size {
            return Err(refusal::HEADERS_TOO_LARGE);
        }
        Ok(())
    }
}

/// How many bytes a head under these limits can have.
pub fn most_bytes(limits: &Limits) -> usize {
    limits.max_request_line + limits.max_headers_size + limits.max_header + 8
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const LIMITS: Limits = Limits {
        max_request_line: 16,
        max_header: 12,
        max_headers_size: 40,
        max_headers: 3,
        max_body: 100,
        max_requests: 10,
        max_streams: 0,
        max_control_frames: 0,
        max_resets: 0,
    };

    /// The same answer whether the bytes come at once or one by one.
    fn check(bytes: &str, expected: Result<Option<usize>, Refusal>) {
        let whole = Scan::default().head_end(bytes.as_bytes(), &LIMITS);
        assert_eq!(whole, expected, "{bytes:?}");
        let mut scan = Scan::default();
        let mut dripped = Ok(None);
        for length in 1..=bytes.len() {
            dripped = scan.head_end(&bytes.as_bytes()[..length], &LIMITS);
            if dripped != Ok(None) {
                break;
            }
        }
        assert_eq!(dripped, expected, "{bytes:?} byte by byte");
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        check("GET / HTTP/1.1\r\n\r\nrest", Ok(Some(18)));
        check("GET / HTTP/1.1\r\na: b\r\n\r\n", Ok(Some(24)));
        check("GET / HTTP/1.1\r\na: b\r\n", Ok(None));
        check("GET / HTTP/1.1\r\na: b\r\n\r", Ok(None));
    }

    #[test]
    fn a_bare_lf_is_refused_where_it_stands() {
        check("GET / HTTP/1.1\n", Err(refusal::BARE_LF));
        check("GET / HTTP/1.1\r\na: b\n", Err(refusal::BARE_LF));
        check("GET / HTTP/1.1\r\na: b\r\n\n", Err(refusal::BARE_LF));
        check("\n", Err(refusal::BARE_LF));
    }

    #[test]
    fn limits_are_held_before_the_line_ends() {
        check("GET /3456789012345678", Err(refusal::LINE_TOO_LONG));
        check("GET / HTTP/1.1\r\na: 45678901234", Err(refusal::HEADER_TOO_LONG));
        check(
            "GET / HTTP/1.1\r\na: 456789012\r\nb: 456789012\r\nc: 456789012\r\n",
            Err(refusal::HEADERS_TOO_LARGE),
        );
        check("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n", Err(refusal::TOO_MANY_HEADERS));
        check("GET / HTTP/1.1\r\na: 4567890123\r\n", Err(refusal::HEADER_TOO_LONG));
        check("GET / HTTP/1.1\r\na: 456789012\r\n\r\n", Ok(Some(32)));
        check("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n\r\n", Ok(Some(30)));
    }
}
