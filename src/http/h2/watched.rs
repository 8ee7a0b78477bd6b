//! A client's connection as HTTP/2 reads it: what was read before comes first, and every frame is
//! counted.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::net::{clock, gathered::Gathered, stream::Stream};

use super::flood::{FrameScan, Ledger};

/// How long is waited for the client's own close when all has been said.
const LINGER: Duration = Duration::from_secs(2);
/// The most that is thrown away of what it still sends.
const LINGER_BYTES: usize = 1 << 20;

/// A connection and its ledger.
pub struct Watched {
    stream: Gathered<Stream>,
    /// Read before it was known that this is HTTP/2.
    before: Vec<u8>,
    came: FrameScan,
    went: FrameScan,
    ledger: Rc<RefCell<Ledger>>,
    /// Up to when waiting has been credited.
    credited: Instant,
    /// Nothing more goes out.
    shut: bool,
    thrown_away: usize,
    /// How long the client may take to close as well.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub fn new(stream: Gathered<Stream>, before: Vec<u8>, ledger: Rc<RefCell<Ledger>>) -> Watched {
        Watched {
            stream,
            before,
            came: FrameScan::of_client(),
            went: FrameScan::of_server(),
            ledger,
            credited: Instant::now(),
            shut: false,
            thrown_away: 0,
            patience: None,
        }
    }

    /// Takes in what the client sends before it has read our last word: the kernel would answer what
    /// is left unread with a reset, which can overtake that word (RFC 9112, section 9.6).
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 4096];
        while self.thrown_away < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.thrown_away += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    return patience.as_mut().poll(context);
                }
            }
        }
        Poll::Ready(())
    }

    fn count(&mut self, came: &[u8]) {
        let mut ledger = self.ledger.borrow_mut();
        let now = clock::lately();
        let seconds = now.saturating_duration_since(self.credited).as_secs();
        if seconds > 0 {
            ledger.waited(seconds);
            self.credited = now;
        }
        self.came.read(came, |frame| ledger.came(frame));
    }

    /// So many bytes of these have gone.
    fn sent(&mut self, slices: &[IoSlice<'_>], count: usize) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.sent(count as u64);
        let mut left = count;
        for slice in slices {
            let gone = left.min(slice.len());
            self.went.read(&slice[..gone], |frame| ledger.went(frame));
            left -= gone;
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        if this.before.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            let count = this.before.len().min(buffer.remaining());
            buffer.put_slice(&this.before[..count]);
            this.before.drain(..count);
        }
        this.count(&buffer.filled()[start..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.sent(&[IoSlice::new(bytes)], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        this.sent(slices, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
        }
        this.poll_linger(context).map(Ok)
    }
}
