//! The chunked coding (RFC 9112, section 7.1), read strictly and byte by byte. Pure.

use crate::{
    http::refusal::{self, Refusal},
    message::field::Name,
};

use super::parse::is_token_byte;

/// Digits of a chunk's size.
const MAX_SIZE_DIGITS: u8 = 16;
/// Bytes of the extensions of one chunk; they are dropped, never forwarded.
const MAX_EXTENSION: u16 = 256;
/// Bytes of all trailer lines.
const MAX_TRAILERS: usize = 16 * 1024;
/// Number of trailer lines.
const MAX_TRAILER_LINES: usize = 64;

/// What becomes of trailer lines whose field may not come that late (RFC 9110, section 6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateFields {
    /// A client that sends one is refused: a backend may believe it.
    Refused,
    /// An answer goes on without them: a client believes nothing, and many a service tells its
    /// request's id at the end.
    Dropped,
}

/// Where in a chunked body we are.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    late_fields: LateFields,
    /// Of the current chunk: what its size line says, then what of its data is still to come.
    left: u64,
    digits: u8,
    extension: u16,
    trailers: Vec<u8>,
    line_start: usize,
    lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes are framing.
    Framing(usize),
    /// So many bytes are data.
    Data(usize),
    /// So many bytes are framing, and the body has ended.
    End(usize),
}

impl Chunked {
    pub fn new(late_fields: LateFields) -> Chunked {
        Chunked {
            state: State::Size,
            late_fields,
            left: 0,
            digits: 0,
            extension: 0,
            trailers: Vec::new(),
            line_start: 0,
            lines: 0,
        }
    }

    /// Reads one piece; `None` when the input is empty. The caller consumes what the piece counts
    /// before it asks again.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Piece>, Refusal> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.state == State::Data {
            let length =
                usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
            self.left -= length as u64;
            if self.left == 0 {
                self.state = State::DataCr;
            }
            return Ok(Some(Piece::Data(length)));
        }
        for (at, &byte) in input.iter().enumerate() {
            if self.step(byte)? {
                return Ok(Some(Piece::End(at + 1)));
            }
            if self.state == State::Data {
                return Ok(Some(Piece::Framing(at + 1)));
            }
        }
        Ok(Some(Piece::Framing(input.len())))
    }

    /// Bytes of data that the current chunk is still to bring.
    pub fn left(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    /// The trailer lines that came, each with its CRLF.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes in one byte of framing; `true` when it was the body's last.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        self.state = match (self.state, byte) {
            (State::Size, digit) if digit.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > MAX_SIZE_DIGITS {
                    return Err(refusal::BAD_CHUNK);
                }
                let value = char::from(digit).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(value);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) => {
                self.extension += 1;
                let fits = byte == b'\t' || matches!(byte, 0x20..=0x7e | 0x80..);
                if self.extension > MAX_EXTENSION || !fits {
                    return Err(refusal::EXTENSION_TOO_LONG);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                (self.left, self.digits, self.extension) = (0, 0, 0);
                State::Size
            }
            (State::Trailer | State::TrailerLf, byte) => return self.trailer_byte(byte),
            _ => return Err(refusal::BAD_CHUNK),
        };
        Ok(false)
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<bool, Refusal> {
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(refusal::BAD_TRAILER);
        }
        self.trailers.push(byte);
        match (self.state, byte) {
            (State::TrailerLf, b'\n') => {}
            (State::TrailerLf, _) | (_, b'\n' | 0) => return Err(refusal::BAD_TRAILER),
            (_, b'\r') => {
                self.state = State::TrailerLf;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        self.state = State::Trailer;
        let line = &self.trailers[self.line_start..self.trailers.len() - 2];
        if line.is_empty() {
            self.trailers.truncate(self.line_start);
            return Ok(true);
        }
        match (trailer_name(line)?.is_forbidden_in_trailers(), self.late_fields) {
            (false, _) => self.line_start = self.trailers.len(),
            (true, LateFields::Dropped) => self.trailers.truncate(self.line_start),
            (true, LateFields::Refused) => return Err(refusal::BAD_TRAILER),
        }
        self.lines += 1;
        if self.lines > MAX_TRAILER_LINES { Err(refusal::BAD_TRAILER) } else { Ok(false) }
    }
}

/// The name in a line that is one.
fn trailer_name(line: &[u8]) -> Result<Name, Refusal> {
    let colon = memchr::memchr(b':', line).ok_or(refusal::BAD_TRAILER)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let name_fits = !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte));
    let value_fits = value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f));
    if !name_fits || !value_fits {
        return Err(refusal::BAD_TRAILER);
    }
    Ok(Name::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body that comes in parts of `step` bytes: its data, its trailers, what was left.
    fn read(body: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, usize), Refusal> {
        let mut chunked = Chunked::new(LateFields::Refused);
        let mut data = Vec::new();
        let (mut start, mut end) = (0, 0);
        loop {
            match chunked.next(&body[start..end])? {
                Some(Piece::Framing(count)) => start += count,
                Some(Piece::Data(count)) => {
                    data.extend_from_slice(&body[start..start + count]);
                    start += count;
                }
                Some(Piece::End(count)) => {
                    return Ok((data, chunked.trailers().to_vec(), body.len() - start - count));
                }
                None if end == body.len() => return Ok((data, b"(open)".to_vec(), 0)),
                None => end = (end + step).min(body.len()),
            }
        }
    }

    fn check(body: &str, expected: Result<(&str, &str, usize), Refusal>) {
        for step in [1, 2, 7, 1000] {
            let found = read(body.as_bytes(), step);
            let expected =
                expected.map(|(data, trailers, left)| (data.into(), trailers.into(), left));
            // What was left behind the end is counted only when it all had come.
            assert_eq!(found, expected, "{body:?} in steps of {step}");
        }
    }

    #[test]
    fn bodies_that_are_read() {
        check("0\r\n\r\n", Ok(("", "", 0)));
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok(("abcde", "", 0)));
        check("000000000000000a\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", "", 0)));
        check("3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\nGET", Ok(("abc", "", 3)));
        check("0\r\nA: b\r\nC:\r\n\r\n", Ok(("", "A: b\r\nC:\r\n", 0)));
        check("3\r\nab", Ok(("ab", "(open)", 0)));
    }

    #[test]
    fn bodies_that_are_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            "+1\r\n",
            "-1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1_0\r\n",
            "1\n",
            "00000000000000001\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rb",
            ";a\r\n",
            "1\r\r\n",
            "1\r\na0\r\n",
        ] {
            check(body, Err(refusal::BAD_CHUNK));
        }
        check("1;a\n\r\n", Err(refusal::EXTENSION_TOO_LONG));
        check(&format!("1;{}\r\n", "a".repeat(257)), Err(refusal::EXTENSION_TOO_LONG));
        for trailer in [
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "Host: a",
            "Authorization: b",
            "X-Forwarded-For: c",
            "content_length: 1",
            "a b: c",
            ": d",
            "novalue",
            " a: b",
            "a: \0",
        ] {
            check(&format!("0\r\n{trailer}\r\n\r\n"), Err(refusal::BAD_TRAILER));
        }
        check("0\r\na: b\n\r\n", Err(refusal::BAD_TRAILER));
        let long = format!("0\r\na: {}\r\n\r\n", "b".repeat(MAX_TRAILERS));
        assert_eq!(read(long.as_bytes(), 4096), Err(refusal::BAD_TRAILER));
    }

    #[test]
    fn an_answer_goes_on_without_fields_that_come_too_late() {
        let read = |trailers: &str| {
            let body = format!("0\r\n{trailers}\r\n");
            let mut chunked = Chunked::new(LateFields::Dropped);
            let read = chunked.next(body.as_bytes());
            read.map(|_| String::from_utf8(chunked.trailers().to_vec()).unwrap())
        };
        let told = read("A: b\r\nX-Request-Id: c\r\nContent-Length: 3\r\nD: e\r\n");
        assert_eq!(told.unwrap(), "A: b\r\nD: e\r\n");
        assert_eq!(read("Host: a\r\n").unwrap(), "");
        assert_eq!(read("Host : a\r\n"), Err(refusal::BAD_TRAILER));
        assert_eq!(read(&"Host: a\r\n".repeat(65)), Err(refusal::BAD_TRAILER));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..50_000 {
            let length = random.usize(0..40);
            let alphabet = b"0123fF;\r\n\r\na: ";
            let body: Vec<u8> =
                (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            let at_once = read(&body, 1000).map(|(data, ..)| data);
            let dripped = read(&body, 1).map(|(data, ..)| data);
            assert_eq!(at_once, dripped, "{body:?}");
        }
    }
}
