//! One direction of a body where HTTP/2 is at one end of it or at both. Between two connections of
//! HTTP/1, or one and FastCGI, it is `h1::pump`, which copies less.
//!
//! It never reads ahead of what the other side takes: that is the back-pressure. Room that a peer
//! was promised is given back when its bytes have gone on.

mod encoded;
mod source;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::h2::SendStream;
use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::{
    http::{
        coding::{Coding, push_end, push_piece},
        fastcgi::{record, upstream::Output},
        h1::{
            body::Body,
            pump::{COPY_MAX, Stopped, Waiting},
        },
        h2::{
            client::{ClientStream, End, poll_send},
            heads,
            upstream::UpstreamStream,
        },
    },
    net::{side::Side, stream::Stream},
};

pub use encoded::{Encoded, OF_THE_BYTES};
use source::Next;

/// Where a body comes from.
pub enum Source<'a> {
    H1(&'a mut Side<Stream>),
    Client(&'a mut ClientStream),
    Backend(&'a mut UpstreamStream),
    Script(&'a mut Side<Output>),
}

/// Where it goes.
pub enum Sink<'a> {
    /// What takes bytes as they are framed: HTTP/1 and FastCGI.
    H1(&'a mut Stream),
    Client(&'a mut ClientStream),
    Backend(&'a mut UpstreamStream),
}

/// How a body is read.
pub enum Content {
    /// These bytes and trailer lines, and no more.
    AtHand { bytes: Bytes, trailers: Vec<u8> },
    /// In HTTP/1's framing.
    Lines(Body),
    /// In frames, at most so many bytes.
    Frames { left: u64 },
}

/// One body on its way.
pub struct Transfer {
    content: Content,
    /// Where the body gets another content coding on its way.
    encoded: Option<Box<Encoded>>,
    coding: Coding,
    /// The head goes with the first that comes of the body, or as soon as that has to be waited for.
    head: Option<Vec<u8>>,
    /// For an HTTP/1 sink: what goes before `data`.
    gathered: Vec<u8>,
    /// Of `gathered`.
    written: usize,
    data: Bytes,
    /// The CRLF that ends the chunk in `data`.
    owes_line_end: bool,
    /// Bytes that a source in frames is to be given room for again.
    owes_room: usize,
    /// What ends the body, once its last byte has been read.
    end: Option<Vec<u8>>,
    state: State,
    waiting: Waiting,
    moved: u64,
    stirred: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Going,
    /// The end of the body has been passed on; for HTTP/1 it may still have to be written.
    Ended,
}

impl Transfer {
    /// `head` is written as HTTP/1 writes it; `coding` is how an HTTP/1 sink is to have the body.
    pub fn new(head: Vec<u8>, content: Content, coding: Coding) -> Transfer {
        Transfer {
            content,
            encoded: None,
            coding,
            head: Some(head),
            gathered: Vec::new(),
            written: 0,
            data: Bytes::new(),
            owes_line_end: false,
            owes_room: 0,
            end: None,
            state: State::Going,
            waiting: Waiting::Source,
            moved: 0,
            stirred: 0,
        }
    }

    /// The same with a body that is encoded on its way.
    pub fn encoding(self, encoded: Box<Encoded>) -> Transfer {
        Transfer { encoded: Some(encoded), ..self }
    }

    /// Bytes of the body as they came, where it is encoded on its way.
    pub fn taken(&self) -> u64 {
        self.encoded.as_ref().map_or(0, |encoded| encoded.taken())
    }

    /// Gives back the memory of what has been written.
    pub fn free(&mut self) {
        if self.written == self.gathered.len() {
            (self.gathered, self.written) = (Vec::new(), 0);
        }
    }

    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Bytes of the body moved so far, without framing.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Grows with everything that is read or written.
    pub fn stirred(&self) -> u64 {
        self.stirred
    }

    /// Whether the source still has all of the body: not a byte was taken, of its framing neither.
    pub fn is_untouched(&self) -> bool {
        match &self.content {
            Content::Lines(body) => body.is_untouched(),
            Content::AtHand { .. } | Content::Frames { .. } => self.stirred == 0,
        }
    }

    /// Whether anything has gone to the sink.
    pub fn has_begun(&self) -> bool {
        self.head.is_none()
    }

    /// Moves what can be moved; ready when the body has ended and all of it has been taken.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source<'_>,
        sink: &mut Sink<'_>,
    ) -> Poll<Result<(), Stopped>> {
        self.open(source, sink).map_err(Stopped::Sink)?;
        loop {
            if self.has_unsent() {
                self.waiting = Waiting::Sink;
                ready!(self.poll_send(context, sink)).map_err(Stopped::Sink)?;
                self.stirred += 1;
                self.give_room(source);
                continue;
            }
            if self.state == State::Ended {
                return match sink {
                    Sink::H1(stream) => {
                        Pin::new(&mut **stream).poll_flush(context).map_err(Stopped::Sink)
                    }
                    Sink::Client(_) | Sink::Backend(_) => Poll::Ready(Ok(())),
                };
            }
            self.waiting = Waiting::Source;
            let next = self.poll_next(context, source);
            let next = match next {
                Poll::Ready(next) => Some(next?),
                Poll::Pending => None,
            };
            if let Some(next) = &next {
                self.stirred += 1;
                if let Next::Data(data) = next {
                    self.moved += data.len() as u64;
                }
            }
            let has_next = next.is_some();
            self.take_in(next, source, sink)?;
            if !has_next && !self.has_unsent() {
                return self.flushed(context, sink);
            }
        }
    }

    /// Nothing more to read now: what was written must not wait for it.
    fn flushed(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut Sink<'_>,
    ) -> Poll<Result<(), Stopped>> {
        if let Sink::H1(stream) = sink
            && let Poll::Ready(Err(error)) = Pin::new(&mut **stream).poll_flush(context)
        {
            return Poll::Ready(Err(Stopped::Sink(error)));
        }
        Poll::Pending
    }

    fn has_unsent(&self) -> bool {
        self.written < self.gathered.len() || !self.data.is_empty()
    }
}

/// Reading.
impl Transfer {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source<'_>,
    ) -> Poll<Result<Next, Stopped>> {
        match &mut self.encoded {
            None => self.content.poll_next(context, source),
            Some(encoded) => encoded.poll_next(context, &mut self.content, source),
        }
    }

    /// Whether nothing can follow what has been read.
    fn is_at_end(&self, source: &mut Source<'_>) -> bool {
        match &self.encoded {
            None => self.content.is_at_end(source),
            Some(encoded) => encoded.is_at_end(),
        }
    }

    fn give_room(&mut self, source: &mut Source<'_>) {
        if self.has_unsent() || self.owes_room == 0 {
            return;
        }
        source.give_room(std::mem::take(&mut self.owes_room));
    }
}

/// Writing.
impl Transfer {
    /// A backend's stream is opened before the body is looked at: where that fails, all of it is
    /// still there for another one.
    fn open(&mut self, source: &mut Source<'_>, sink: &mut Sink<'_>) -> io::Result<()> {
        let Sink::Backend(stream) = sink else {
            return Ok(());
        };
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        let bodiless = self.is_at_end(source);
        stream.open(head, bodiless)?;
        if bodiless {
            self.state = State::Ended;
        }
        Ok(())
    }

    /// Prepares what came for the sink; nothing came: only the head, which must not wait.
    fn take_in(
        &mut self,
        next: Option<Next>,
        source: &mut Source<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Stopped> {
        let bodiless = match &next {
            Some(Next::End(trailers)) => trailers.is_empty(),
            Some(Next::Data(_)) | None => false,
        };
        if let Some(head) = self.head.take() {
            let opened = match sink {
                Sink::H1(_) => {
                    self.gathered = head;
                    Ok(())
                }
                Sink::Client(stream) => stream.open(head, bodiless),
                Sink::Backend(_) => unreachable!("a backend's stream is opened first"),
            };
            opened.map_err(Stopped::Sink)?;
            if bodiless && !matches!(sink, Sink::H1(_)) {
                self.state = State::Ended;
                return Ok(());
            }
        }
        match next {
            None => {}
            Some(Next::Data(data)) if data.is_empty() => {}
            Some(Next::Data(data)) => self.take_data(data, source, sink)?,
            Some(Next::End(trailers)) => self.take_end(trailers, sink).map_err(Stopped::Sink)?,
        }
        Ok(())
    }

    fn take_data(
        &mut self,
        data: Bytes,
        source: &mut Source<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Stopped> {
        if self.encoded.is_none() && matches!(self.content, Content::Frames { .. }) {
            self.owes_room += data.len();
        }
        match sink {
            Sink::H1(_) => {
                self.gather(data);
                // What ends a body that is no longer than this leaves with it.
                if self.encoded.is_some() && self.data.is_empty() && self.is_at_end(source) {
                    self.take_end(Vec::new(), sink).map_err(Stopped::Sink)?;
                }
                return Ok(());
            }
            Sink::Client(_) | Sink::Backend(_) => {
                if self.is_at_end(source) {
                    self.end = Some(Vec::new());
                }
            }
        }
        self.data = data;
        Ok(())
    }

    /// A short piece is copied behind what goes before it: then all of it leaves in one write.
    fn gather(&mut self, data: Bytes) {
        if self.written == self.gathered.len() {
            self.gathered.clear();
            self.written = 0;
        }
        let chunked = self.coding == Coding::Chunked;
        if self.coding == Coding::Records && data.len() > record::MOST_CONTENT {
            return record::stdin(&mut self.gathered, &data);
        }
        push_piece(&mut self.gathered, self.coding, data.len());
        if data.len() > COPY_MAX {
            self.data = data;
            self.owes_line_end = chunked;
            return;
        }
        self.gathered.extend_from_slice(&data);
        if chunked {
            self.gathered.extend_from_slice(b"\r\n");
        }
    }

    fn take_end(&mut self, trailers: Vec<u8>, sink: &mut Sink<'_>) -> io::Result<()> {
        self.state = State::Ended;
        let stream = match sink {
            Sink::H1(_) => {
                push_end(&mut self.gathered, self.coding, &trailers);
                return Ok(());
            }
            Sink::Client(stream) => stream.answer()?,
            Sink::Backend(stream) => stream.request()?,
        };
        end(stream, &trailers)?;
        if let Sink::Client(stream) = sink {
            stream.ended();
        }
        Ok(())
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut Sink<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = match sink {
            Sink::H1(stream) => return self.poll_write(context, stream),
            Sink::Client(stream) => stream.answer()?,
            Sink::Backend(stream) => stream.request()?,
        };
        let how = if self.end.is_some() { End::WithData } else { End::Later };
        let before = self.data.len();
        let sent = poll_send(context, stream, &mut self.data, how);
        if self.data.len() != before {
            self.stirred += 1;
        }
        ready!(sent)?;
        if self.end.take().is_some() {
            self.state = State::Ended;
            if let Sink::Client(stream) = sink {
                stream.ended();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        while self.has_unsent() {
            let before = &self.gathered[self.written..];
            let slices = [IoSlice::new(before), IoSlice::new(&self.data)];
            let count = match (before.is_empty(), self.data.is_empty()) {
                (false, false) => {
                    ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices))?
                }
                (false, true) => ready!(Pin::new(&mut *stream).poll_write(context, before))?,
                (true, _) => ready!(Pin::new(&mut *stream).poll_write(context, &self.data))?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_gathered = count.min(before.len());
            self.written += of_gathered;
            self.data.advance(count - of_gathered);
            self.stirred += count as u64;
            if self.written == self.gathered.len() && self.data.is_empty() && self.owes_line_end {
                self.gathered.clear();
                self.gathered.extend_from_slice(b"\r\n");
                (self.written, self.owes_line_end) = (0, false);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends a stream whose data has all gone, with trailers if there are any.
fn end(stream: &mut SendStream<Bytes>, trailers: &[u8]) -> io::Result<()> {
    let ended = if trailers.is_empty() {
        stream.send_data(Bytes::new(), true)
    } else {
        stream.send_trailers(heads::to_trailers(trailers))
    };
    ended.map_err(io::Error::other)
}
