//! A message's head: a flat list of lines over one buffer, whichever version it came in.

use std::{cell::RefCell, thread::LocalKey};

use crate::message::{
    field::Name,
    lent::{Lend, Lent, Shelf},
    method::Method,
};

/// A part of a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        // Heads are bounded far below 4 GiB; a head beyond it would be our own mistake.
        let narrow = |at: usize| u32::try_from(at).expect("a head is smaller than 4 GiB");
        Span { start: narrow(start), end: narrow(end) }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One header line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub known: Name,
    pub name: Span,
    /// Without the white space around it.
    pub value: Span,
    /// The whole line with its CRLF, so that untouched lines are copied in runs.
    pub whole: Span,
}

/// The header lines of a message, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Lent<u8>,
    lines: Lent<Line>,
}

thread_local! {
    static LINES: Shelf<Line> = const { RefCell::new(Vec::new()) };
}

impl Lend for Line {
    fn shelf() -> &'static LocalKey<Shelf<Line>> {
        &LINES
    }
}

impl Fields {
    /// Lines over their bytes.
    pub fn of(bytes: Lent<u8>, lines: Lent<Line>) -> Fields {
        Fields { bytes, lines }
    }

    /// Starts over with a head's bytes; its lines are pushed after.
    pub fn start(&mut self, head: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        self.lines.clear();
    }

    pub fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Bytes of the whole head, as it came.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    pub fn value(&self, line: &Line) -> &[u8] {
        self.bytes(line.value)
    }

    /// The value of the first line of that name.
    pub fn first(&self, known: Name) -> Option<&[u8]> {
        let line = self.lines.iter().find(|line| line.known == known)?;
        Some(self.value(line))
    }

    /// The value of the last line of that name.
    pub fn last(&self, known: Name) -> Option<&[u8]> {
        let line = self.lines.iter().rfind(|line| line.known == known)?;
        Some(self.value(line))
    }

    /// The values of all lines of that name.
    pub fn all(&self, known: Name) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.known == known).map(|line| self.value(line))
    }

    /// The value of the one line of that name; none where there are several.
    pub fn only(&self, known: Name) -> Option<&[u8]> {
        let mut values = self.all(known);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The values of all lines of a name, in any case; of those that we know `all` is quicker.
    pub fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |line: &&Line| self.bytes(line.name).eq_ignore_ascii_case(name);
        self.lines.iter().filter(is_named).map(|line| self.value(line))
    }

    /// Appends every line that is kept, in runs.
    pub fn copy_kept(&self, out: &mut Vec<u8>, keep: impl Fn(&Line) -> bool) {
        let mut run: Option<Span> = None;
        for line in self.lines() {
            run = match (run, keep(line)) {
                (Some(run), true) if run.end == line.whole.start => {
                    Some(Span { start: run.start, end: line.whole.end })
                }
                (earlier, kept) => {
                    earlier.inspect(|&run| out.extend_from_slice(self.bytes(run)));
                    kept.then_some(line.whole)
                }
            };
        }
        run.inspect(|&run| out.extend_from_slice(self.bytes(run)));
    }
}

/// The versions that a head can come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    pub fn text(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// A request's head, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub method_span: Span,
    /// The request target as it came, in whichever form (RFC 9112, section 3.2).
    pub target: Span,
    pub version: Version,
    /// HTTP/2 says in the head that no body follows.
    pub ended: bool,
    /// It came as an extended CONNECT (RFC 8441).
    pub extended_connect: bool,
    pub fields: Fields,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            method: Method::Other,
            method_span: Span::default(),
            target: Span::default(),
            version: Version::default(),
            ended: false,
            extended_connect: false,
            fields: Fields::default(),
        }
    }
}

impl Request {
    pub fn method_bytes(&self) -> &[u8] {
        self.fields.bytes(self.method_span)
    }

    /// Whether it is a CONNECT of either kind: what follows a 2xx is no answer's body, but read as what
    /// the tunnel carries (RFC 9110, section 9.3.6; RFC 8441, section 5).
    pub fn is_connect(&self) -> bool {
        self.extended_connect || self.method == Method::Connect
    }

    /// Whether an answer of this status says that its tunnel is open.
    pub fn is_opened_by(&self, status: u16) -> bool {
        self.is_connect() && (200..300).contains(&status)
    }

    pub fn target_bytes(&self) -> &[u8] {
        self.fields.bytes(self.target)
    }
}

/// A response's head, as it came.
#[derive(Debug, Default)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    /// May be empty.
    pub reason: Span,
    pub version: Version,
    pub fields: Fields,
}

impl Response {
    /// Interim answers come before the one that counts (RFC 9110, section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}
