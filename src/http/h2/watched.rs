//! A client's connection as HTTP/2 reads it: what was read before comes first, and every frame is
//! counted.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::net::stream::Stream;

use super::flood::{FrameScan, Ledger};

/// A connection and its ledger.
pub struct Watched {
    stream: Stream,
    /// Read before it was known that this is HTTP/2.
    before: Vec<u8>,
    scan: FrameScan,
    ledger: Rc<RefCell<Ledger>>,
    /// Up to when waiting has been credited.
    credited: Instant,
}

impl Watched {
    pub fn new(stream: Stream, before: Vec<u8>, ledger: Rc<RefCell<Ledger>>) -> Watched {
        let scan = FrameScan::default();
        Watched { stream, before, scan, ledger, credited: Instant::now() }
    }

    fn count(&mut self, came: &[u8]) {
        let mut ledger = self.ledger.borrow_mut();
        let seconds = self.credited.elapsed().as_secs();
        if seconds > 0 {
            ledger.waited(seconds);
            self.credited = Instant::now();
        }
        self.scan.read(came, &mut ledger);
    }

    fn sent(&self, count: usize) -> usize {
        self.ledger.borrow_mut().sent(count as u64);
        count
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
        Poll::Ready(Ok(this.sent(count)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        Poll::Ready(Ok(this.sent(count)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
