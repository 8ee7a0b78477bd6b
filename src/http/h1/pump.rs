//! One direction of a body: from a connection's buffer, by its framing, to the other connection.
//!
//! It starts with the head that goes before the body, so that a head and a short body leave in one
//! write. Small pieces are gathered, long ones are written from where they were read, and what is long
//! and needs no look at all passes through a pipe. It never reads ahead of what the other side takes:
//! that is the back-pressure.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    http::{
        coding::{Coding, push_end, push_piece},
        refusal::Refusal,
    },
    message::lent::Lent,
    net::{
        buffer::{Buffer, LARGE},
        side::Side,
        splice::MaybeBare,
    },
};

use super::{
    body::{Body, Piece},
    shortcut::Shortcut,
};

/// Pieces up to this size are copied behind the head; a second element in a write costs more.
pub const COPY_MAX: usize = 4096;
/// So much is gathered before it is written.
const GATHER_MAX: usize = 16 * 1024;

/// Why a pump stopped before its end.
#[derive(Debug)]
pub enum Stopped {
    /// Reading failed.
    Source(io::Error),
    /// The source ended within the body.
    SourceEnded,
    /// The source sent what a body may not be.
    Malformed(Refusal),
    /// Writing failed.
    Sink(io::Error),
}

/// For whom a pump waits when it is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Source,
    Sink,
}

/// One body on its way.
pub struct Pump {
    body: Body,
    coding: Coding,
    gathered: Lent<u8>,
    /// Of `gathered`.
    written: usize,
    /// Bytes at the front of the source's buffer that are written from there, after `gathered`.
    direct: usize,
    /// The CRLF that ends the chunk in `direct`.
    owes_line_end: bool,
    /// The last byte has been gathered.
    ended: bool,
    unflushed: bool,
    waiting: Waiting,
    moved: u64,
    /// Bytes read or written so far, framing included: when it stands still, so does the body.
    stirred: u64,
    shortcut: Shortcut,
}

impl Pump {
    /// `head` is written before the body.
    pub fn new(head: Lent<u8>, body: Body, coding: Coding) -> Pump {
        Pump {
            body,
            coding,
            gathered: head,
            written: 0,
            direct: 0,
            owes_line_end: false,
            ended: false,
            unflushed: false,
            waiting: Waiting::Source,
            moved: 0,
            stirred: 0,
            shortcut: Shortcut::default(),
        }
    }

    /// What is long may pass through a pipe.
    pub fn allow_splicing(&mut self) {
        self.shortcut.allow();
    }

    /// Moves what can be moved; ready when the body has ended and all of it is written.
    pub fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
        sink: &mut W,
    ) -> Poll<Result<(), Stopped>>
    where
        R: AsyncRead + MaybeBare + Unpin,
        W: AsyncWrite + MaybeBare + Unpin,
    {
        loop {
            self.gather(&mut source.input).map_err(Stopped::Malformed)?;
            if self.written < self.gathered.len() || self.direct > 0 {
                self.waiting = Waiting::Sink;
                ready!(self.poll_write(context, &mut source.input, sink)).map_err(Stopped::Sink)?;
                continue;
            }
            if self.shortcut.holds_some() {
                self.waiting = Waiting::Sink;
                let count = ready!(self.shortcut.poll_drain(context, sink));
                self.stirred += count.map_err(Stopped::Sink)?;
                continue;
            }
            if self.unflushed {
                self.waiting = Waiting::Sink;
                // While more is expected, a flush that has to wait must not keep us from reading.
                match Pin::new(&mut *sink).poll_flush(context).map_err(Stopped::Sink)? {
                    Poll::Ready(()) => self.unflushed = false,
                    Poll::Pending if self.ended => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            self.waiting = Waiting::Source;
            let is_plain = self.coding == Coding::Identity;
            match is_plain && self.shortcut.is_open(&self.body, source, sink) {
                true => ready!(self.poll_pass(context, source))?,
                false => ready!(self.poll_read(context, source))?,
            }
        }
    }

    /// Gives back the memory of what has been written.
    pub fn free(&mut self) {
        if self.written == self.gathered.len() {
            (self.gathered, self.written) = (Lent::default(), 0);
        }
    }

    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Bytes of the body moved so far, without framing.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Those of `moved` that were never in our memory.
    pub fn spliced(&self) -> u64 {
        self.shortcut.moved()
    }

    /// Grows with everything that is read or written.
    pub fn stirred(&self) -> u64 {
        self.stirred
    }

    /// Whether any byte has been written, or read for it.
    pub fn has_begun(&self) -> bool {
        self.stirred > 0
    }

    /// Whether the source still has all of the body.
    pub fn is_untouched(&self) -> bool {
        self.body.is_untouched()
    }

    fn gather(&mut self, input: &mut Buffer) -> Result<(), Refusal> {
        if self.written == self.gathered.len() {
            self.gathered.clear();
            self.written = 0;
        }
        if self.owes_line_end && self.direct == 0 {
            self.gathered.extend_from_slice(b"\r\n");
            self.owes_line_end = false;
        }
        while self.direct == 0 && !self.ended && self.gathered.len() < GATHER_MAX {
            let come = input.filled();
            match self.body.next(&come[..come.len().min(self.coding.most())])? {
                Piece::More => break,
                Piece::Framing(count) => input.consume(count),
                Piece::Data(count) => self.data(input, count),
                Piece::End(count) => {
                    input.consume(count);
                    self.end();
                }
            }
        }
        Ok(())
    }

    fn data(&mut self, input: &mut Buffer, count: usize) {
        self.moved += count as u64;
        let chunked = self.coding == Coding::Chunked;
        push_piece(&mut self.gathered, self.coding, count);
        if count > COPY_MAX {
            self.direct = count;
            self.owes_line_end = chunked;
            return;
        }
        self.gathered.extend_from_slice(&input.filled()[..count]);
        input.consume(count);
        if chunked {
            self.gathered.extend_from_slice(b"\r\n");
        }
    }

    fn end(&mut self) {
        self.ended = true;
        push_end(&mut self.gathered, self.coding, self.body.trailers());
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        input: &mut Buffer,
        sink: &mut W,
    ) -> Poll<io::Result<()>> {
        let before = &self.gathered[self.written..];
        let direct = &input.filled()[..self.direct];
        let sink = Pin::new(sink);
        let count = match (before, direct) {
            (only, []) | ([], only) => ready!(sink.poll_write(context, only))?,
            (first, second) => {
                let both = [IoSlice::new(first), IoSlice::new(second)];
                ready!(sink.poll_write_vectored(context, &both))?
            }
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_gathered = count.min(before.len());
        self.written += of_gathered;
        self.direct -= count - of_gathered;
        input.consume(count - of_gathered);
        self.stirred += count as u64;
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }

    /// Some of the body goes into the pipe.
    fn poll_pass<R: MaybeBare>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
    ) -> Poll<Result<(), Stopped>> {
        let filled = self.shortcut.poll_fill(context, &mut self.body, source);
        let count = ready!(filled).map_err(Stopped::Source)?;
        if count == 0 {
            return Poll::Ready(Err(Stopped::SourceEnded));
        }
        self.moved += count;
        self.stirred += count;
        Poll::Ready(Ok(()))
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
    ) -> Poll<Result<(), Stopped>> {
        let room = source.input.room().len();
        let count = ready!(source.poll_fill(context)).map_err(Stopped::Source)?;
        self.stirred += count as u64;
        if count == 0 && !self.body.may_end_with_connection() {
            return Poll::Ready(Err(Stopped::SourceEnded));
        }
        if count == 0 {
            self.end();
        }
        // It came faster than it was taken in: a long body is moved in large steps.
        if count == room {
            source.input.grow(LARGE);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::h1::body::Framing, net::buffer::Buffers};
    use std::rc::Rc;
    use tokio::io::AsyncWriteExt;

    use crate::net::socket::Socket;

    impl MaybeBare for tokio::io::DuplexStream {
        fn bare(&mut self) -> Option<&mut Socket> {
            None
        }
    }

    impl MaybeBare for Vec<u8> {
        fn bare(&mut self) -> Option<&mut Socket> {
            None
        }
    }

    /// What the sink gets of `body`, which comes in parts of `step` bytes and then the end.
    async fn pumped(
        framing: Framing,
        coding: Coding,
        body: &[u8],
        step: usize,
    ) -> (Vec<u8>, Result<(), String>) {
        let (mut writer, reader) = tokio::io::duplex(step);
        let mut source = Side { stream: reader, input: Buffer::new(Rc::new(Buffers::default())) };
        let mut sink = Vec::new();
        let mut pump = Pump::new(b"HEAD|".to_vec().into(), Body::new(framing, u64::MAX), coding);
        let write = async move {
            // The pump may end before it has taken all.
            let _ = writer.write_all(body).await;
        };
        let pump = std::future::poll_fn(|context| pump.poll(context, &mut source, &mut sink));
        let (_, outcome) = tokio::join!(write, pump);
        (sink, outcome.map_err(|stopped| format!("{stopped:?}")))
    }

    #[tokio::test]
    async fn a_length_passes_as_it_is() {
        for step in [1, 5000, 1 << 20] {
            let body = vec![b'x'; 100_000];
            let (out, outcome) =
                pumped(Framing::Length(100_000), Coding::Identity, &body, step).await;
            assert_eq!(outcome, Ok(()));
            assert!(out.starts_with(b"HEAD|x") && out.len() == 100_005);
        }
    }

    #[tokio::test]
    async fn chunks_are_framed_anew_without_extensions() {
        let body = b"3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n";
        let (out, outcome) = pumped(Framing::Chunked, Coding::Chunked, body, 1000).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(out, b"HEAD|3\r\nabc\r\n0\r\nT: v\r\n\r\n");
        let (out, _) = pumped(Framing::Chunked, Coding::Identity, body, 1000).await;
        assert_eq!(out, b"HEAD|abc");
    }

    #[tokio::test]
    async fn long_chunks_keep_their_line_ends() {
        let body = vec![b'y'; 10_000];
        let mut framed = format!("{:x}\r\n", body.len()).into_bytes();
        framed.extend_from_slice(&body);
        framed.extend_from_slice(b"\r\n0\r\n\r\n");
        for step in [700, 1 << 16] {
            let (out, outcome) = pumped(Framing::Chunked, Coding::Chunked, &framed, step).await;
            assert_eq!(outcome, Ok(()));
            let (again, outcome) = pumped(Framing::Chunked, Coding::Identity, &out[5..], 900).await;
            assert_eq!(outcome, Ok(()));
            assert_eq!(again[5..], body);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_never_ends_cleanly() {
        let (_, outcome) = pumped(Framing::Length(4), Coding::Identity, b"abc", 10).await;
        assert_eq!(outcome, Err("SourceEnded".to_owned()));
        let (out, outcome) = pumped(Framing::Chunked, Coding::Chunked, b"3\r\nabc\r\n", 10).await;
        assert_eq!(outcome, Err("SourceEnded".to_owned()));
        assert!(!out.ends_with(b"0\r\n\r\n"));
        let (out, outcome) = pumped(Framing::UntilClose, Coding::Chunked, b"abc", 10).await;
        assert_eq!(outcome, Ok(()));
        assert!(out.ends_with(b"0\r\n\r\n"));
    }
}
