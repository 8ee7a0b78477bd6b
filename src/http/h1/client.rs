//! The connection from a client.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, time::Instant};

use crate::{
    config::Limits,
    http::refusal::{self, Refusal},
    message::head::Request,
    net::{
        buffer::{Buffer, Buffers, LARGE, SMALL},
        clock,
        side::Side,
        stream::Stream,
        timer::{Elapsed, Timer},
    },
};

use super::{
    body::{Body, Piece},
    collecting::{Collected, Collecting},
    parse,
    scan::{self, Scan},
};

/// How long a closing connection waits for the client to read our last words.
const LINGER: Duration = Duration::from_secs(2);
/// How long a new connection that has sent its request is not watched: most have their answer before,
/// many of them their end, and to watch one costs as much as to accept it.
const UNWATCHED: Duration = Duration::from_millis(10);
/// How much a closing connection still reads, and throws away.
const LINGER_BYTES: usize = 1 << 20;

/// One connection from a client.
pub struct Client {
    pub side: Side<Stream>,
    pub timer: Timer,
    /// Before that it is not looked whether the client has gone, unless that costs nothing.
    watched_from: Instant,
    /// A body that was read whole to be told by length.
    collected: Option<Collected>,
}

/// What came of waiting for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Request,
    /// The client has left.
    Gone,
    /// The time ran out.
    Nothing,
}

/// Why no request came.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// The client has gone: no one is there to answer.
    Gone,
    Refused(Refusal),
}

impl Client {
    pub fn new(stream: Stream, buffers: &Rc<Buffers>) -> Client {
        let now = clock::lately();
        let side = Side { stream, input: Buffer::new(buffers.clone()) };
        Client {
            side,
            timer: Timer::new(now + LINGER),
            watched_from: now + UNWATCHED,
            collected: None,
        }
    }

    /// Waits for the first byte of a request. `until` may come first: then a request is waited for
    /// no longer than `grace`.
    pub async fn await_request(
        &mut self,
        idle: Duration,
        mut until: Pin<&mut impl Future<Output = ()>>,
        grace: Duration,
    ) -> Waited {
        if self.has_request() {
            return Waited::Request;
        }
        let mut deadline = clock::lately() + idle;
        let mut waits = true;
        poll_fn(|context| {
            while let Poll::Ready(read) = self.side.poll_fill_lazily(context) {
                match read {
                    Ok(1..) if self.has_request() => return Poll::Ready(Waited::Request),
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Waited::Gone),
                }
            }
            if waits && until.as_mut().poll(context).is_ready() {
                // What crosses our close on the wire would be lost without a reply: whoever has a
                // request on its way gets it answered.
                waits = false;
                deadline = deadline.min(Instant::now() + grace);
            }
            self.timer.poll(context, deadline).map(|()| Waited::Nothing)
        })
        .await
    }

    /// Whether a request has begun. An empty line alone is none: some clients send one behind a body
    /// (RFC 9112, section 2.2).
    fn has_request(&mut self) -> bool {
        if self.side.input.filled() == b"\r\n" {
            self.side.input.consume(2);
        }
        !self.side.input.is_empty()
    }

    /// Reads a request's head, of which the first byte is there.
    pub async fn read_head(
        &mut self,
        limits: &Limits,
        deadline: Instant,
        into: &mut Request,
    ) -> Result<(), NoRequest> {
        let side = &mut self.side;
        let mut reading = Reading::default();
        let head = poll_fn(|context| reading.poll(context, side, limits));
        let end = match self.timer.within(deadline, head).await {
            Ok(read) => read?,
            Err(Elapsed) => return Err(NoRequest::Refused(refusal::HEADER_TIMEOUT)),
        };
        let parsed = parse::request(&self.side.input.filled()[..end], into);
        self.side.input.consume(end);
        parsed.map_err(NoRequest::Refused)
    }

    /// The connection, and what was read of it and not used.
    pub fn handed_over(self) -> (Stream, Vec<u8>) {
        (self.side.stream, self.side.input.filled().to_vec())
    }

    /// Reads until `length` bytes are there, of a body that the buffer has room for; `whole` is
    /// when the time for the whole exchange runs out.
    pub async fn read_body(
        &mut self,
        length: usize,
        idle: Duration,
        whole: Option<Instant>,
    ) -> Result<(), NoRequest> {
        while self.side.input.filled().len() < length {
            self.read_more(idle, whole).await?;
        }
        Ok(())
    }

    async fn read_more(&mut self, idle: Duration, whole: Option<Instant>) -> Result<(), NoRequest> {
        let idle = Instant::now() + idle;
        let (deadline, late) = match whole {
            Some(whole) if whole < idle => (whole, refusal::REQUEST_TIMEOUT),
            _ => (idle, refusal::BODY_TIMEOUT),
        };
        let side = &mut self.side;
        let read = poll_fn(|context| side.poll_fill(context));
        match self.timer.within(deadline, read).await {
            Ok(Ok(1..)) => Ok(()),
            Ok(_) => Err(NoRequest::Gone),
            Err(Elapsed) => Err(NoRequest::Refused(late)),
        }
    }

    /// Reads a body to its end, and keeps all of it: how many bytes it has.
    pub async fn collect_body(&mut self, mut how: Collecting) -> Result<usize, NoRequest> {
        let mut body = Body::new(how.framing, how.limit);
        let mut collected = Vec::new();
        loop {
            let input = &mut self.side.input;
            match body.next(input.filled()).map_err(NoRequest::Refused)? {
                Piece::Framing(count) => input.consume(count),
                Piece::Data(count) => {
                    how.keep(&mut collected, &input.filled()[..count])?;
                    input.consume(count);
                }
                Piece::End(count) => {
                    input.consume(count);
                    let length = collected.len();
                    self.collected = Some(Collected { bytes: collected, _share: how.share });
                    return Ok(length);
                }
                Piece::More => self.read_more(how.idle, how.whole).await?,
            }
        }
    }

    /// A body that was collected is needed no more.
    pub fn free_collected(&mut self) {
        if let Some(collected) = &mut self.collected {
            *collected = Collected::default();
        }
    }

    /// What of the request's body has been read.
    pub fn at_hand(&self) -> &[u8] {
        match &self.collected {
            Some(collected) => &collected.bytes,
            None => self.side.input.filled(),
        }
    }

    /// The length of a body that was collected.
    pub fn collected(&self) -> Option<usize> {
        self.collected.as_ref().map(|collected| collected.bytes.len())
    }

    /// So many bytes of the body are done with.
    pub fn consume(&mut self, count: usize) {
        if self.collected.take().is_none() {
            self.side.input.consume(count);
        }
    }

    /// Ready when the client has gone. What it sends meanwhile, a next request, is kept up to what
    /// the buffer holds.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_watched = self.side.stream.tcp().is_watched();
        if !is_watched && self.timer.poll(context, self.watched_from).is_pending() {
            return Poll::Pending;
        }
        loop {
            if self.side.input.is_full() {
                return Poll::Pending;
            }
            match self.side.poll_fill_lazily(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes all of it, within `timeout`.
    pub async fn write(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let stream = &mut self.side.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match self.timer.within(deadline, write).await {
            Ok(written) => written,
            Err(Elapsed) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends a connection on which nothing is under way; over TLS that is said, so that the client
    /// can tell it from a truncation (RFC 8446, section 6.1).
    pub async fn close(mut self) {
        if !self.side.stream.is_tls() {
            // Closing it says all that there is to say.
            return;
        }
        let deadline = Instant::now() + LINGER;
        let mut stream = self.side.stream;
        // Whatever comes of it, the connection is over.
        let _ = self.timer.within(deadline, stream.shutdown()).await;
    }

    /// Ends the connection so that the client can still read what was written: closing a socket
    /// with unread bytes resets it, and a reset throws away what the client has not read yet (RFC
    /// 9112, section 9.6).
    pub async fn linger(mut self) {
        let deadline = Instant::now() + LINGER;
        let mut side = self.side;
        let drain = async {
            side.stream.shutdown().await?;
            let mut thrown_away = 0;
            while thrown_away < LINGER_BYTES {
                // Read into the borrowed buffer: one of this function's own would be carried by
                // every idle connection, as a part of its task.
                side.input.consume(side.input.filled().len());
                match poll_fn(|context| side.poll_fill_lazily(context)).await? {
                    0 => break,
                    count => thrown_away += count,
                }
            }
            io::Result::Ok(())
        };
        // Whatever comes of it, the connection is over.
        let _ = self.timer.within(deadline, drain).await;
    }
}

/// A head on its way.
#[derive(Default)]
struct Reading {
    scan: Scan,
    /// The one empty line that may stand before a request (RFC 9112, section 2.2).
    skipped: bool,
}

impl Reading {
    /// Ready with the length of the head at the front of the buffer.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        side: &mut Side<Stream>,
        limits: &Limits,
    ) -> Poll<Result<usize, NoRequest>> {
        loop {
            if !self.skipped && side.input.filled().starts_with(b"\r\n") {
                side.input.consume(2);
                self.skipped = true;
            }
            // A CR alone may become the empty line: it is not yet looked at.
            let bytes = side.input.filled();
            let undecided = !self.skipped && bytes == b"\r";
            if !undecided
                && let Some(end) = self.scan.head_end(bytes, limits).map_err(NoRequest::Refused)?
            {
                return Poll::Ready(Ok(end));
            }
            if side.input.is_full() {
                let most = scan::most_bytes(limits).max(SMALL);
                let larger = if side.input.capacity() < LARGE { LARGE } else { most };
                side.input.grow(larger);
                assert!(!side.input.is_full(), "a head within its limits fits into the buffer");
            }
            match side.poll_fill(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(NoRequest::Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
