//! HTTP/1.1 read the strict way, by both ends: what this reader takes has one meaning.

use std::io::{self, Read};

/// Why a message did not come whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// The peer closed before a first byte.
    Closed,
    /// The peer closed within a message.
    Truncated,
    Reset,
    TimedOut,
    Malformed(String),
}

/// How an answer's body ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Clean,
    /// The client can tell that something is missing.
    Cut(Broken),
}

/// A request as an origin read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

/// An answer as a client read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

/// What both messages offer.
macro_rules! field_access {
    ($message:ty) => {
        impl $message {
            /// The value of the only field of this name.
            pub fn field(&self, name: &str) -> Option<&str> {
                let values = self.all(name);
                assert!(values.len() < 2, "{name} comes twice: {values:?}");
                values.first().copied()
            }

            pub fn all(&self, name: &str) -> Vec<&str> {
                values(&self.fields, name)
            }
        }
    };
}

field_access!(Request);
field_access!(Answer);

impl Request {
    pub fn framing(&self) -> Result<Framing, Broken> {
        framing(&self.fields).map(|framing| framing.unwrap_or(Framing::Empty))
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn framing(&self, method: &str) -> Result<Framing, Broken> {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Ok(Framing::Empty);
        }
        framing(&self.fields).map(|framing| framing.unwrap_or(Framing::UntilClose))
    }

    pub fn closes(&self) -> bool {
        self.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

fn framing(fields: &[(String, String)]) -> Result<Option<Framing>, Broken> {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .map_err(|_| malformed("content-length", length))
        }
        _ => Err(malformed("framing", &format!("{lengths:?} {codings:?}"))),
    }
}

fn malformed(what: &str, found: &str) -> Broken {
    Broken::Malformed(format!("{what}: {found:?}"))
}

/// Reads messages off a stream; bytes beyond a message stay for the next.
pub struct Reader<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Reader<S> {
        Reader { stream, buffer: Vec::new() }
    }

    /// The head of a request, without its body.
    pub fn request_head(&mut self) -> Result<Request, Broken> {
        let (first, fields) = self.head()?;
        let words: Vec<&str> = first.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(malformed("request line", &first));
        };
        if !method.bytes().all(is_token) || method.is_empty() || !target.bytes().all(is_visible) {
            return Err(malformed("request line", &first));
        }
        if version != "HTTP/1.1" && version != "HTTP/1.0" {
            return Err(malformed("version", version));
        }
        Ok(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            fields,
            ..Request::default()
        })
    }

    /// The head of an answer, without its body.
    pub fn answer_head(&mut self) -> Result<Answer, Broken> {
        let (first, fields) = self.head()?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .filter(|rest| rest.len() == 3 || rest.as_bytes().get(3) == Some(&b' '))
            .and_then(|rest| rest[..3].parse().ok())
            .filter(|status| (100..600).contains(status))
            .ok_or_else(|| malformed("status line", &first))?;
        Ok(Answer { status, fields, body: Vec::new(), trailers: Vec::new(), end: End::Clean })
    }

    /// Appends to `body` what has come, even where it then breaks off; gives the trailers.
    pub fn body(
        &mut self,
        framing: Framing,
        body: &mut Vec<u8>,
    ) -> Result<Vec<(String, String)>, Broken> {
        match framing {
            Framing::Empty => Ok(Vec::new()),
            Framing::Length(length) => self.take(length, body).map(|()| Vec::new()),
            Framing::Chunked => self.chunks(body),
            Framing::UntilClose => self.rest(body),
        }
    }

    /// Exactly `length` bytes.
    pub fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Result<(), Broken> {
        let mut missing = length;
        loop {
            let taken = missing.min(self.buffer.len());
            into.extend(self.buffer.drain(..taken));
            missing -= taken;
            if missing == 0 {
                return Ok(());
            }
            self.more().map_err(within)?;
        }
    }

    /// Whether the peer has ended the stream, cleanly or by a reset, with nothing left to read.
    pub fn ended(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.more(), Err(Broken::Closed | Broken::Reset))
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self, into: &mut Vec<u8>) -> Result<Vec<(String, String)>, Broken> {
        loop {
            into.append(&mut self.buffer);
            match self.more() {
                Ok(()) => {}
                Err(Broken::Closed) => return Ok(Vec::new()),
                Err(broken) => return Err(broken),
            }
        }
    }

    fn head(&mut self) -> Result<(String, Vec<(String, String)>), Broken> {
        let first = match self.line() {
            Err(Broken::Truncated) if self.buffer.is_empty() => return Err(Broken::Closed),
            line => line?,
        };
        Ok((first, self.fields()?))
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, Broken> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("field", &line))?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(malformed("field name", &line));
            }
            let value = value.trim_matches([' ', '\t']);
            fields.push((name.to_owned(), value.to_owned()));
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<Vec<(String, String)>, Broken> {
        loop {
            let line = self.line()?;
            let digits = !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
            let size = usize::from_str_radix(&line, 16)
                .ok()
                .filter(|_| digits)
                .ok_or_else(|| malformed("chunk size", &line))?;
            if size == 0 {
                return self.fields();
            }
            self.take(size, body)?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(malformed("after a chunk", &end));
            }
        }
    }

    /// A line without its CRLF; a bare CR, a bare LF and a NUL are malformed.
    fn line(&mut self) -> Result<String, Broken> {
        let mut scanned = 0;
        loop {
            if let Some(at) = self.buffer[scanned..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=scanned + at).collect();
                return strict_line(&line);
            }
            scanned = self.buffer.len();
            self.more().map_err(within)?;
        }
    }

    fn more(&mut self) -> Result<(), Broken> {
        let mut chunk = [0; 65_536];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Broken::Closed),
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn strict_line(line: &[u8]) -> Result<String, Broken> {
    let shown = String::from_utf8_lossy(line);
    let text = line.strip_suffix(b"\r\n").ok_or_else(|| malformed("bare LF", &shown))?;
    if text.iter().any(|b| matches!(b, b'\r' | 0)) {
        return Err(malformed("bare CR or NUL", &shown));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// An end of the stream within a message is a truncation.
fn within(broken: Broken) -> Broken {
    match broken {
        Broken::Closed => Broken::Truncated,
        other => other,
    }
}

pub fn broken(error: &io::Error) -> Broken {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::TimedOut,
        // TLS ended without close_notify: as good as a reset, for truncation can't be told.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Broken::Reset,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Broken::Reset,
        _ => Broken::Malformed(error.to_string()),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}
