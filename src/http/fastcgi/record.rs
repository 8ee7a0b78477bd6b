//! Records, in which everything of FastCGI travels (FastCGI 1.0, sections 3.3 to 5 and 8). Pure.
//!
//! A connection carries one request at a time, which is number 1: php-fpm takes no second one.

/// What one record carries at the most.
pub const MOST_CONTENT: usize = 0xffff;
pub const HEADER: usize = 8;

const VERSION: u8 = 1;
const REQUEST: u16 = 1;
const RESPONDER: u16 = 1;
const KEEP_CONNECTION: u8 = 1;
/// The content of END_REQUEST.
const END_CONTENT: usize = 8;

/// What a record that we send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Begin = 1,
    Params = 4,
    Stdin = 5,
}

/// The only kinds that answer a request.
const END_REQUEST: u8 = 3;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// Whether the server keeps the connection when the request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Kept,
    Closed,
}

/// What goes before so many bytes of content.
pub fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let length = u16::try_from(length).expect("content is split to fit in records").to_be_bytes();
    let request = REQUEST.to_be_bytes();
    [VERSION, kind as u8, request[0], request[1], length[0], length[1], 0, 0]
}

/// Begins a request to a responder.
pub fn begin(out: &mut Vec<u8>, connection: Connection) {
    out.extend_from_slice(&header(Kind::Begin, 8));
    out.extend_from_slice(&RESPONDER.to_be_bytes());
    let flags = if connection == Connection::Kept { KEEP_CONNECTION } else { 0 };
    out.extend_from_slice(&[flags, 0, 0, 0, 0, 0]);
}

/// A part of a body, in as many records as it takes.
pub fn stdin(out: &mut Vec<u8>, content: &[u8]) {
    for part in content.chunks(MOST_CONTENT) {
        out.extend_from_slice(&header(Kind::Stdin, part.len()));
        out.extend_from_slice(part);
    }
}

/// The body has ended.
pub fn end_stdin(out: &mut Vec<u8>) {
    out.extend_from_slice(&header(Kind::Stdin, 0));
}

/// What stood at the front of what a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes are of the answer.
    Output(&'a [u8]),
    /// These bytes are what the script says of itself.
    Error(&'a [u8]),
    Framing,
    /// The request is over.
    End(End),
    /// Nothing: more must be read.
    More,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The server did not take the request: too much to do, or no such role.
    Refused,
}

/// What came is no record that may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The answer to one request, record by record.
#[derive(Debug)]
pub struct Records {
    state: State,
    /// Of the record at hand.
    content: usize,
    padding: usize,
    /// The bytes of a header or of END_REQUEST's content that have come.
    gathered: [u8; HEADER],
    have: usize,
    /// The server has said that no more of the answer comes.
    output_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Output,
    Error,
    EndContent,
    Padding { then: Option<End> },
    Ended,
}

impl Default for Records {
    fn default() -> Records {
        Records {
            state: State::Header,
            content: 0,
            padding: 0,
            gathered: [0; HEADER],
            have: 0,
            output_ended: false,
        }
    }
}

impl Records {
    /// Takes one piece from the front of `input`, which begins behind it from then on: what has been
    /// told once can't be looked at again.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Malformed> {
        if input.is_empty() && self.state != State::Ended {
            return Ok(Piece::More);
        }
        match self.state {
            State::Header => {
                self.gather(input);
                if self.have == HEADER {
                    self.have = 0;
                    self.take_header()?;
                }
                Ok(Piece::Framing)
            }
            State::Output => Ok(Piece::Output(self.take_content(input))),
            State::Error => Ok(Piece::Error(self.take_content(input))),
            State::EndContent => {
                self.gather(input);
                if self.have < END_CONTENT {
                    return Ok(Piece::Framing);
                }
                // The application's own status comes first: it says nothing of the protocol.
                let end = if self.gathered[4] == 0 { End::Complete } else { End::Refused };
                if self.padding == 0 {
                    self.state = State::Ended;
                    return Ok(Piece::End(end));
                }
                self.state = State::Padding { then: Some(end) };
                Ok(Piece::Framing)
            }
            State::Padding { then } => {
                self.padding -= front(input, self.padding).len();
                match (self.padding, then) {
                    (0, None) => self.state = State::Header,
                    (0, Some(end)) => {
                        self.state = State::Ended;
                        return Ok(Piece::End(end));
                    }
                    _ => {}
                }
                Ok(Piece::Framing)
            }
            // Nobody asked for anything more.
            State::Ended => Err(Malformed),
        }
    }

    fn gather(&mut self, input: &mut &[u8]) {
        let part = front(input, HEADER - self.have);
        self.gathered[self.have..self.have + part.len()].copy_from_slice(part);
        self.have += part.len();
    }

    fn take_header(&mut self) -> Result<(), Malformed> {
        let [version, kind, id_high, id_low, high, low, padding, _] = self.gathered;
        if version != VERSION || u16::from_be_bytes([id_high, id_low]) != REQUEST {
            return Err(Malformed);
        }
        self.content = u16::from_be_bytes([high, low]).into();
        self.padding = padding.into();
        self.state = match kind {
            STDOUT if self.output_ended && self.content > 0 => return Err(Malformed),
            STDOUT if self.content > 0 => State::Output,
            STDERR if self.content > 0 => State::Error,
            STDOUT => {
                self.output_ended = true;
                self.after_content()
            }
            STDERR => self.after_content(),
            END_REQUEST if self.content == END_CONTENT => State::EndContent,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn take_content<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let part = front(input, self.content);
        self.content -= part.len();
        if self.content == 0 {
            self.state = self.after_content();
        }
        part
    }

    fn after_content(&self) -> State {
        if self.padding == 0 { State::Header } else { State::Padding { then: None } }
    }
}

/// Takes as much as there is, and no more than `most`.
fn front<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let mut out = vec![1, kind, 0, 1, length[0], length[1], padding, 0];
        out.extend_from_slice(content);
        out.extend(std::iter::repeat_n(9, padding.into()));
        out
    }

    fn end(protocol_status: u8) -> Vec<u8> {
        record(END_REQUEST, &[0, 0, 0, 7, protocol_status, 0, 0, 0], 0)
    }

    /// What is read of bytes.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Told {
        output: Vec<u8>,
        error: Vec<u8>,
        end: Option<End>,
        /// Bytes behind the end.
        left: usize,
    }

    /// Of bytes that come `step` at a time.
    fn read(bytes: &[u8], step: usize) -> Result<Told, Malformed> {
        let (mut told, mut records) = (Told::default(), Records::default());
        let (mut at, mut come) = (0, 0);
        loop {
            let mut input = &bytes[at..come];
            let piece = records.next(&mut input)?;
            at = come - input.len();
            match piece {
                Piece::More if come == bytes.len() => return Ok(told),
                Piece::More => come = (come + step).min(bytes.len()),
                Piece::Framing => {}
                Piece::Output(part) => told.output.extend_from_slice(part),
                Piece::Error(part) => told.error.extend_from_slice(part),
                Piece::End(end) => {
                    told.end = Some(end);
                    told.left = bytes.len() - at;
                    return Ok(told);
                }
            }
        }
    }

    fn exchange() -> Vec<u8> {
        let parts = [
            record(STDERR, b"PHP message: x", 2),
            record(STDOUT, b"Status: 200", 5),
            record(STDERR, b"\n", 0),
            record(STDOUT, b"\r\n\r\nbody", 0),
            record(STDOUT, b"", 8),
            record(STDERR, b"", 0),
            end(0),
        ];
        parts.concat()
    }

    #[test]
    fn an_answer_is_read_the_same_however_its_bytes_come() {
        let bytes = exchange();
        let whole = Told {
            output: b"Status: 200\r\n\r\nbody".to_vec(),
            error: b"PHP message: x\n".to_vec(),
            end: Some(End::Complete),
            left: 0,
        };
        for step in 1..=bytes.len() {
            assert_eq!(read(&bytes, step), Ok(whole.clone()), "{step}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_anywhere_has_no_end() {
        let bytes = exchange();
        for length in 0..bytes.len() {
            let told = read(&bytes[..length], length.max(1)).unwrap();
            assert_eq!(told.end, None, "{length}");
        }
    }

    #[test]
    fn the_end_may_be_padded_and_what_follows_it_is_told() {
        let padded = record(END_REQUEST, &[0; 8], 3);
        let over = |left| Told { end: Some(End::Complete), left, ..Told::default() };
        assert_eq!(read(&padded, 1), Ok(over(0)));
        let more = [end(0), record(STDOUT, b"next", 0)].concat();
        assert_eq!(read(&more, 1000), Ok(over(12)));
        let mut records = Records::default();
        let (bytes, mut empty) = (end(0), &b""[..]);
        let mut input = &bytes[..];
        assert_eq!(records.next(&mut input), Ok(Piece::Framing));
        assert_eq!(records.next(&mut input), Ok(Piece::End(End::Complete)));
        assert_eq!((input, records.next(&mut empty)), (empty, Err(Malformed)));
    }

    #[test]
    fn a_request_that_is_not_taken() {
        for status in 1..=3 {
            let refused = Told { end: Some(End::Refused), ..Told::default() };
            assert_eq!(read(&end(status), 5), Ok(refused));
        }
    }

    #[test]
    fn what_is_no_answer() {
        let changed = |at: usize, to: u8| {
            let mut bytes = record(STDOUT, b"x", 0);
            bytes[at] = to;
            bytes
        };
        for bytes in [
            changed(0, 0),
            changed(0, 2),
            changed(1, 0),
            changed(1, 5),
            changed(1, 10),
            changed(1, 255),
            changed(2, 1),
            changed(3, 0),
            changed(3, 2),
            record(END_REQUEST, &[0; 7], 0),
            record(END_REQUEST, &[0; 9], 0),
            [record(STDOUT, b"", 0), record(STDOUT, b"late", 0)].concat(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ] {
            assert_eq!(read(&bytes, 1), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn random_bytes_never_panic_and_are_all_counted() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..50_000 {
            let mut bytes = Vec::new();
            for _ in 0..random.usize(0..4) {
                let content: Vec<u8> = (0..random.usize(0..12)).map(|_| random.u8(..)).collect();
                bytes.extend(record(random.u8(2..9), &content, random.u8(0..4)));
            }
            if random.bool() && !bytes.is_empty() {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            let step = random.usize(1..20);
            let read = read(&bytes, step);
            assert_eq!(read, self::read(&bytes, 1), "{bytes:?}");
        }
    }

    #[test]
    fn what_we_send() {
        let mut out = Vec::new();
        begin(&mut out, Connection::Kept);
        assert_eq!(out, [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        out.clear();
        begin(&mut out, Connection::Closed);
        assert_eq!(out[8..], [0, 1, 0, 0, 0, 0, 0, 0]);
        out.clear();
        stdin(&mut out, &[b'x'; MOST_CONTENT + 1]);
        end_stdin(&mut out);
        assert_eq!(out[..8], [1, 5, 0, 1, 0xff, 0xff, 0, 0]);
        assert_eq!(out[8 + MOST_CONTENT..], [1, 5, 0, 1, 0, 1, 0, 0, b'x', 1, 5, 0, 1, 0, 0, 0, 0]);
        out.clear();
        stdin(&mut out, b"");
        assert!(out.is_empty(), "an empty record would end the body");
    }
}
