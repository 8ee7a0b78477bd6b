//! One end of an HTTP/2 connection: it answers SETTINGS and PING, collects each stream's message,
//! and holds the other end to its windows.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read, Write},
};

use loona_hpack::Decoder;

use super::{
    super::http::{Broken, broken},
    frame::{Frame, INITIAL_WINDOW, MAX_FRAME_SIZE, block, code, flag, kind, setting},
};

/// Fields as they came, pseudo-header fields among them.
pub type Fields = Vec<(String, String)>;

/// What came on a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Interim heads, the head, and trailers, each as one field block.
    pub heads: Vec<Fields>,
    pub body: Vec<u8>,
    pub end: Option<StreamEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamEnd {
    Clean,
    Reset(u32),
}

/// Whether the other end gets its windows back as it fills them.
#[derive(Clone, Copy, PartialEq)]
pub enum Windows {
    Given,
    Withheld,
}

pub struct Link<S> {
    pub stream: S,
    buffer: Vec<u8>,
    /// What is to leave in one write.
    corked: Option<Vec<u8>>,
    decoder: Decoder<'static>,
    /// A field block that CONTINUATION frames go on, with the flags of its HEADERS.
    open_block: Option<(Frame, Vec<u8>)>,
    messages: BTreeMap<u32, Message>,
    /// What the other end has set.
    settings: BTreeMap<u16, u32>,
    /// The last stream and the error code of its last GOAWAY.
    goaway: Option<(u32, u32)>,
    pongs: Vec<Vec<u8>>,
    /// Initial windows that the other end has not acknowledged.
    offered: VecDeque<Option<i64>>,
    /// What the other end may still send.
    credit: Room,
    /// What we may still send.
    allowance: Room,
    pub windows: Windows,
    pub answers_pings: bool,
}

impl<S: Read + Write> Link<S> {
    pub fn new(stream: S) -> Link<S> {
        Link {
            stream,
            buffer: Vec::new(),
            corked: None,
            decoder: Decoder::new(),
            open_block: None,
            messages: BTreeMap::new(),
            settings: BTreeMap::new(),
            goaway: None,
            pongs: Vec::new(),
            offered: VecDeque::new(),
            credit: Room::default(),
            allowance: Room::default(),
            windows: Windows::Given,
            answers_pings: true,
        }
    }

    /// Writes a frame. That the other end has gone shows when it is read from.
    pub fn send(&mut self, frame: &Frame) {
        if frame.kind == kind::DATA {
            self.allowance.take(frame.stream, frame.payload.len());
        }
        if frame.kind == kind::SETTINGS && !frame.has(flag::ACK) {
            self.offered.push_back(initial_window(frame));
        }
        self.send_bytes(frame.bytes());
    }

    pub fn send_all(&mut self, frames: &[Frame]) {
        frames.iter().for_each(|frame| self.send(frame));
    }

    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send_bytes(bytes);
    }

    pub fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        if let Some(corked) = &mut self.corked {
            corked.extend_from_slice(bytes.as_ref());
            return Ok(());
        }
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Holds back what is sent from now on.
    pub fn cork(&mut self) {
        self.corked = Some(Vec::new());
    }

    /// How many bytes are held back.
    pub fn corked(&self) -> usize {
        self.corked.as_ref().map_or(0, Vec::len)
    }

    /// Sends in one write what was held back.
    pub fn uncork(&mut self) {
        if let Some(corked) = self.corked.take() {
            self.send_bytes(corked);
        }
    }

    /// HEADERS, and CONTINUATION where one frame does not hold it.
    pub fn send_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        flags: u8,
        fields: &[(N, V)],
    ) {
        let block = block(fields);
        let mut pieces = block.chunks(MAX_FRAME_SIZE);
        let mut frame = Frame::headers(stream, flags, pieces.next().unwrap_or_default());
        for piece in pieces {
            self.send(&frame);
            frame = Frame::continuation(stream, flag::NONE, piece);
        }
        frame.flags |= flag::END_HEADERS;
        self.send(&frame);
    }

    /// DATA as the windows allow it, the last with these flags. An end of the connection or of the
    /// stream stops it.
    pub fn send_body(&mut self, stream: u32, flags: u8, body: &[u8]) -> Result<(), Broken> {
        let mut rest = body;
        loop {
            while self.allowance.room(stream) <= 0 && !rest.is_empty() {
                if matches!(self.end(stream), Some(StreamEnd::Reset(_))) {
                    return Err(Broken::Reset);
                }
                self.receive()?;
            }
            let room = usize::try_from(self.allowance.room(stream)).unwrap_or(0);
            let (piece, behind) = rest.split_at(rest.len().min(room).min(MAX_FRAME_SIZE));
            rest = behind;
            let flags = if rest.is_empty() { flags } else { flag::NONE };
            self.send(&Frame::data(stream, flags, piece));
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends a PING and waits for its answer: what was sent before has been read by then.
    pub fn ping(&mut self) -> Result<(), Broken> {
        let word = (self.pongs.len() as u64 + 1).to_be_bytes();
        self.send(&Frame::ping(word));
        self.until(|link| link.pongs.contains(&word.to_vec()))
    }

    /// Reads until this holds.
    pub fn until(&mut self, holds: impl Fn(&Link<S>) -> bool) -> Result<(), Broken> {
        while !holds(self) {
            self.receive()?;
        }
        Ok(())
    }

    /// The next frame, as one that has been acted on.
    pub fn receive(&mut self) -> Result<Frame, Broken> {
        let frame = self.read_frame()?;
        if frame.payload.len() > MAX_FRAME_SIZE {
            return Err(malformed("a frame above the limit", &frame));
        }
        if self.open_block.is_some() && frame.kind != kind::CONTINUATION {
            return Err(malformed("a frame within a field block", &frame));
        }
        match frame.kind {
            kind::DATA => self.take_data(&frame)?,
            kind::HEADERS | kind::CONTINUATION => self.take_block(&frame)?,
            kind::RST_STREAM => {
                let message = self.messages.entry(frame.stream).or_default();
                message.end = Some(StreamEnd::Reset(frame.word(0)));
            }
            kind::SETTINGS => self.take_settings(&frame),
            kind::PING if frame.has(flag::ACK) => self.pongs.push(frame.payload.clone()),
            kind::PING if !self.answers_pings => {}
            kind::PING => self.send(&Frame { flags: flag::ACK, ..frame.clone() }),
            kind::GOAWAY => self.goaway = Some((frame.word(0), frame.word(4))),
            kind::WINDOW_UPDATE => self.allowance.give(frame.stream, frame.word(0)),
            _ => {}
        }
        Ok(frame)
    }

    pub fn message(&self, stream: u32) -> Option<&Message> {
        self.messages.get(&stream)
    }

    pub fn messages(&self) -> impl Iterator<Item = (u32, &Message)> {
        self.messages.iter().map(|(stream, message)| (*stream, message))
    }

    pub fn end(&self, stream: u32) -> Option<StreamEnd> {
        self.message(stream)?.end
    }

    /// Collects anew what comes on this stream.
    pub fn forget(&mut self, stream: u32) {
        self.messages.remove(&stream);
    }

    /// The last stream and the error code that a GOAWAY told.
    pub fn goaway(&self) -> Option<(u32, u32)> {
        self.goaway
    }

    pub fn setting(&self, name: u16) -> Option<u32> {
        self.settings.get(&name).copied()
    }

    /// How many SETTINGS of ours are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.offered.len()
    }

    /// What the other end lets us send on this stream.
    pub fn room(&self, stream: u32) -> i64 {
        self.allowance.room(stream)
    }

    fn take_data(&mut self, frame: &Frame) -> Result<(), Broken> {
        let length = frame.payload.len();
        self.credit.take(frame.stream, length);
        if length > 0 && self.credit.overdrawn(frame.stream) {
            return Err(malformed("DATA beyond the window", frame));
        }
        let message = self.messages.entry(frame.stream).or_default();
        if message.heads.is_empty() || message.end == Some(StreamEnd::Clean) {
            return Err(malformed("DATA without a head, or behind the end", frame));
        }
        message.body.extend_from_slice(frame.content());
        if frame.has(flag::END_STREAM) {
            message.end = Some(StreamEnd::Clean);
        }
        if self.windows == Windows::Given && length > 0 {
            self.give(frame.stream, length as u32);
            self.give(0, length as u32);
        }
        Ok(())
    }

    /// Raises a window; stream 0 is the connection's.
    pub fn give(&mut self, stream: u32, increment: u32) {
        self.credit.give(stream, increment);
        self.send(&Frame::window_update(stream, increment));
    }

    fn take_block(&mut self, frame: &Frame) -> Result<(), Broken> {
        let (first, mut block) = match (frame.kind, self.open_block.take()) {
            (kind::HEADERS, None) => (frame.clone(), Vec::new()),
            (_, Some((first, block))) if first.stream == frame.stream => (first, block),
            _ => return Err(malformed("a CONTINUATION of nothing", frame)),
        };
        block.extend_from_slice(frame.content());
        if !frame.has(flag::END_HEADERS) {
            self.open_block = Some((first, block));
            return Ok(());
        }
        let fields = self.fields(&block, frame)?;
        let message = self.messages.entry(first.stream).or_default();
        if message.end == Some(StreamEnd::Clean) {
            return Err(malformed("a head behind the end", frame));
        }
        message.heads.push(fields);
        if first.has(flag::END_STREAM) {
            message.end = Some(StreamEnd::Clean);
        }
        Ok(())
    }

    /// Names and values as RFC 9113, sections 8.2 and 8.2.2, demand them.
    fn fields(&mut self, block: &[u8], frame: &Frame) -> Result<Fields, Broken> {
        const OF_ONE_HOP: [&str; 5] =
            ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
        let decoded = self.decoder.decode(block);
        let decoded = decoded.map_err(|error| malformed(&format!("HPACK: {error:?}"), frame))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let fields = decoded.into_iter().map(|(name, value)| (text(name), text(value)));
        let fields: Fields = fields.collect();
        for (name, value) in &fields {
            let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ');
            let clean = !value.contains(['\r', '\n', '\0']) && value.trim() == value;
            if !lower || !clean || OF_ONE_HOP.contains(&name.as_str()) {
                return Err(malformed(&format!("the field {name}: {value}"), frame));
            }
        }
        Ok(fields)
    }

    fn take_settings(&mut self, frame: &Frame) {
        if frame.has(flag::ACK) {
            if let Some(Some(initial)) = self.offered.pop_front() {
                self.credit.set_initial(initial);
            }
            return;
        }
        for at in (0..frame.payload.len()).step_by(6) {
            let name = u16::from_be_bytes([frame.payload[at], frame.payload[at + 1]]);
            self.settings.insert(name, frame.word(at + 2));
        }
        if let Some(initial) = initial_window(frame) {
            self.allowance.set_initial(initial);
        }
        self.send(&Frame::settings_ack());
    }

    fn read_frame(&mut self) -> Result<Frame, Broken> {
        let mut chunk = [0; 65_536];
        loop {
            if let Some((frame, length)) = Frame::parse(&self.buffer) {
                self.buffer.drain(..length);
                return Ok(frame);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Err(Broken::Closed),
                Ok(0) => return Err(Broken::Truncated),
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn initial_window(settings: &Frame) -> Option<i64> {
    let values = settings.payload.chunks_exact(6);
    let mut windows =
        values.filter(|value| value[..2] == setting::INITIAL_WINDOW_SIZE.to_be_bytes());
    let value = windows.next_back()?;
    Some(i64::from(u32::from_be_bytes(value[2..].try_into().expect("four bytes"))))
}

fn malformed(what: &str, frame: &Frame) -> Broken {
    Broken::Malformed(format!("{what}: {frame:?}"))
}

/// Bytes that one end may still send: on the connection, and on each stream.
struct Room {
    connection: i64,
    initial: i64,
    /// Given less taken, beside the initial window.
    streams: BTreeMap<u32, i64>,
}

impl Default for Room {
    fn default() -> Room {
        let initial = INITIAL_WINDOW as i64;
        Room { connection: initial, initial, streams: BTreeMap::new() }
    }
}

impl Room {
    fn take(&mut self, stream: u32, length: usize) {
        self.connection -= length as i64;
        *self.streams.entry(stream).or_default() -= length as i64;
    }

    fn give(&mut self, stream: u32, increment: u32) {
        match stream {
            0 => self.connection += i64::from(increment),
            _ => *self.streams.entry(stream).or_default() += i64::from(increment),
        }
    }

    fn set_initial(&mut self, initial: i64) {
        self.initial = initial;
    }

    fn room(&self, stream: u32) -> i64 {
        let own = self.initial + self.streams.get(&stream).unwrap_or(&0);
        own.min(self.connection)
    }

    fn overdrawn(&self, stream: u32) -> bool {
        self.room(stream) < 0
    }
}

/// The codes by their names, for those who read a failure.
pub fn code_name(code: u32) -> &'static str {
    match code {
        code::NO_ERROR => "NO_ERROR",
        code::PROTOCOL_ERROR => "PROTOCOL_ERROR",
        code::INTERNAL_ERROR => "INTERNAL_ERROR",
        code::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
        code::STREAM_CLOSED => "STREAM_CLOSED",
        code::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
        code::REFUSED_STREAM => "REFUSED_STREAM",
        code::CANCEL => "CANCEL",
        code::COMPRESSION_ERROR => "COMPRESSION_ERROR",
        code::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
        _ => "another code",
    }
}
