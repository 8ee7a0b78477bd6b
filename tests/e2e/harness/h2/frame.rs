//! Frames as they stand on the wire (RFC 9113, section 4.1), well-formed or not, and field blocks
//! of literals (RFC 7541, section 6.2.2).

use std::fmt;

/// What a client says before its first frame (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    /// None that any specification knows.
    pub const UNKNOWN: u8 = 0x16;
}

pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
    /// A request or an answer that is a head alone.
    pub const WHOLE: u8 = END_STREAM | END_HEADERS;
}

/// Error codes (RFC 9113, section 7).
pub mod code {
    pub const NO_ERROR: u32 = 0x0;
    pub const PROTOCOL_ERROR: u32 = 0x1;
    pub const INTERNAL_ERROR: u32 = 0x2;
    pub const FLOW_CONTROL_ERROR: u32 = 0x3;
    pub const STREAM_CLOSED: u32 = 0x5;
    pub const FRAME_SIZE_ERROR: u32 = 0x6;
    pub const REFUSED_STREAM: u32 = 0x7;
    pub const CANCEL: u32 = 0x8;
    pub const COMPRESSION_ERROR: u32 = 0x9;
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
}

/// Names of settings (RFC 9113, section 6.5.2; RFC 8441, section 3).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    pub const ENABLE_PUSH: u16 = 0x2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// None that any specification knows.
    pub const UNKNOWN: u16 = 0xf0f0;
}

/// The most that a frame may carry until its receiver says otherwise.
pub const MAX_FRAME_SIZE: usize = 16_384;

/// The window that streams and the connection begin with.
pub const INITIAL_WINDOW: usize = 65_535;

#[derive(Clone, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    pub fn data(stream: u32, flags: u8, bytes: impl Into<Vec<u8>>) -> Frame {
        Frame::new(kind::DATA, flags, stream, bytes)
    }

    pub fn headers(stream: u32, flags: u8, block: impl Into<Vec<u8>>) -> Frame {
        Frame::new(kind::HEADERS, flags, stream, block)
    }

    pub fn continuation(stream: u32, flags: u8, block: impl Into<Vec<u8>>) -> Frame {
        Frame::new(kind::CONTINUATION, flags, stream, block)
    }

    /// Weighs `weight + 1` below `depends_on`.
    pub fn priority(stream: u32, depends_on: u32, weight: u8) -> Frame {
        let mut payload = depends_on.to_be_bytes().to_vec();
        payload.push(weight);
        Frame::new(kind::PRIORITY, flag::NONE, stream, payload)
    }

    pub fn reset(stream: u32, code: u32) -> Frame {
        Frame::new(kind::RST_STREAM, flag::NONE, stream, code.to_be_bytes())
    }

    pub fn settings(values: &[(u16, u32)]) -> Frame {
        let bytes =
            |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<u8> = values.iter().flat_map(bytes).collect();
        Frame::new(kind::SETTINGS, flag::NONE, 0, payload)
    }

    pub fn settings_ack() -> Frame {
        Frame::new(kind::SETTINGS, flag::ACK, 0, [])
    }

    pub fn ping(word: [u8; 8]) -> Frame {
        Frame::new(kind::PING, flag::NONE, 0, word)
    }

    pub fn goaway(last_stream: u32, code: u32) -> Frame {
        let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
        Frame::new(kind::GOAWAY, flag::NONE, 0, payload)
    }

    pub fn window_update(stream: u32, increment: u32) -> Frame {
        Frame::new(kind::WINDOW_UPDATE, flag::NONE, stream, increment.to_be_bytes())
    }

    /// With this much padding behind what it carries.
    pub fn padded(mut self, length: u8) -> Frame {
        self.flags |= flag::PADDED;
        self.payload.insert(0, length);
        self.payload.extend(vec![0; usize::from(length)]);
        self
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a payload of 24 bits");
        let head =
            [&length.to_be_bytes()[1..], &[self.kind, self.flags], &self.stream.to_be_bytes()];
        [&head.concat(), self.payload.as_slice()].concat()
    }

    /// The first whole frame of these bytes, and how many it takes.
    pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32_at(&[&[0], &head[..3]].concat(), 0) as usize;
        let payload = rest.get(..length)?;
        let stream = u32_at(head, 5) & 0x7fff_ffff;
        Some((Frame::new(head[3], head[4], stream, payload), 9 + length))
    }

    /// The word of four bytes at this place of the payload.
    pub fn word(&self, at: usize) -> u32 {
        u32_at(&self.payload, at)
    }

    /// What DATA and HEADERS carry without padding and priority.
    pub fn content(&self) -> &[u8] {
        let (start, padding) = match self.has(flag::PADDED) {
            true => (1, usize::from(self.payload[0])),
            false => (0, 0),
        };
        let prioritised = self.kind == kind::HEADERS && self.has(flag::PRIORITY);
        let start = start + if prioritised { 5 } else { 0 };
        &self.payload[start..self.payload.len() - padding]
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { kind, flags, stream, payload } = self;
        let shown = payload.escape_ascii().to_string();
        let shown = shown.get(..80).unwrap_or(&shown);
        write!(f, "type {kind} flags {flags:#x} stream {stream}, {} bytes {shown}", payload.len())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A field block of literals that enter no table.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0x00, name.as_ref(), value.as_ref())).collect()
}

/// A literal that enters the dynamic table.
pub fn indexed_literal(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name.as_bytes(), value.as_bytes())
}

fn literal(pattern: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[pattern], string(name).as_slice(), &string(value)].concat()
}

/// Without Huffman coding.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [integer(0x00, 7, bytes.len()), bytes.to_vec()].concat()
}

/// In so many bits behind a pattern (RFC 7541, section 5.1).
pub fn integer(pattern: u8, bits: u32, value: usize) -> Vec<u8> {
    let full = (1 << bits) - 1;
    if value < full {
        return vec![pattern | value as u8];
    }
    let mut bytes = vec![pattern | full as u8];
    let mut rest = value - full;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}
