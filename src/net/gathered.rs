//! Small writes gathered into one, for a library that flushes each of its frames by itself: of an
//! HTTP/2 connection with a hundred short answers each would be a system call of its own, and over
//! TLS a record.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is gathered: what fits into one record of TLS (RFC 8446, section 5.1). What is longer goes
/// out at once and uncopied, behind what was gathered.
const GATHERED: usize = 16 * 1024;
/// Slices of one write; those behind are written by the next.
const SLICES: usize = 8;

/// The connection as the library has it: a flush is a promise that [`Outlet::poll_flush`] keeps.
#[derive(Debug)]
pub struct Gathered<S>(Rc<RefCell<Wire<S>>>);

/// The same connection, for who drives the library and knows when it has had its turn.
#[derive(Debug)]
pub struct Outlet<S>(Rc<RefCell<Wire<S>>>);

#[derive(Debug)]
struct Wire<S> {
    stream: S,
    /// Gathered, and not yet written. It has no memory while it is empty.
    waiting: Vec<u8>,
    /// From the moment on when somebody flushes after each turn.
    gathers: bool,
}

/// Both ends of a connection of which writes can be gathered; until [`Outlet::gather`] none are.
pub fn gathered<S>(stream: S) -> (Gathered<S>, Outlet<S>) {
    let wire = Rc::new(RefCell::new(Wire { stream, waiting: Vec::new(), gathers: false }));
    (Gathered(wire.clone()), Outlet(wire))
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// From now on who drives the library flushes after each of its turns.
    pub fn gather(&self) {
        self.0.borrow_mut().gathers = true;
    }

    /// Ready when nothing waits that was written.
    ///
    /// # Errors
    /// Those of the connection, which the library meets at its next write as well.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(context)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes what is gathered, then what of `slices` the stream takes with it: so many bytes of
    /// these. 0 only where they are empty.
    fn poll_write_behind(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = slices.iter().all(|slice| slice.is_empty());
        loop {
            let gathered = self.waiting.len();
            if gathered == 0 && is_empty {
                return Poll::Ready(Ok(0));
            }
            let mut all = [IoSlice::new(&[]); SLICES];
            all[0] = IoSlice::new(&self.waiting);
            let count = slices.len().min(SLICES - 1);
            all[1..=count].copy_from_slice(&slices[..count]);
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(context, &all[..=count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written < gathered {
                self.waiting.drain(..written);
                continue;
            }
            self.waiting = Vec::new();
            if written > gathered || is_empty {
                return Poll::Ready(Ok(written - gathered));
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_behind(context, &[]))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        let count = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if !wire.gathers || wire.waiting.len() + count > GATHERED {
            return wire.poll_write_behind(context, slices);
        }
        if wire.waiting.capacity() == 0 {
            wire.waiting.reserve_exact(GATHERED);
        }
        for slice in slices {
            wire.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        match wire.gathers {
            true => Poll::Ready(Ok(())),
            false => wire.poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        ready!(wire.poll_write_behind(context, &[]))?;
        Pin::new(&mut wire.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A connection of which the other end takes `room` bytes before it reads.
    fn joined(room: usize) -> (Gathered<DuplexStream>, Outlet<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(room);
        let (writer, outlet) = gathered(ours);
        (writer, outlet, theirs)
    }

    /// What has come there by now.
    fn arrived(theirs: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(theirs).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) => buffer.filled().to_vec(),
            _ => Vec::new(),
        }
    }

    #[tokio::test]
    async fn writes_wait_for_the_end_of_the_turn() {
        let (mut writer, outlet, mut theirs) = joined(1 << 20);
        writer.write_all(b"at once, ").await.expect("room");
        assert_eq!(arrived(&mut theirs), b"at once, ");
        outlet.gather();
        for frame in [&b"gathered, "[..], b"and ", b"gathered"] {
            writer.write_all(frame).await.expect("room");
            writer.flush().await.expect("a promise");
        }
        assert_eq!(arrived(&mut theirs), b"");
        poll_fn(|context| outlet.poll_flush(context)).await.expect("room");
        assert_eq!(arrived(&mut theirs), b"gathered, and gathered");
        assert_eq!(writer.0.borrow().waiting.capacity(), 0, "idle, it holds no memory");
    }

    #[tokio::test]
    async fn what_is_long_goes_at_once_and_in_order() {
        let (mut writer, outlet, mut theirs) = joined(1 << 20);
        outlet.gather();
        writer.write_all(b"head").await.expect("room");
        writer.write_all(&[7; GATHERED]).await.expect("room");
        assert_eq!(arrived(&mut theirs), [&b"head"[..], &[7; GATHERED]].concat());
    }

    #[tokio::test]
    async fn no_more_is_gathered_than_that_where_the_peer_takes_nothing() {
        let (mut writer, outlet, mut theirs) = joined(10);
        outlet.gather();
        writer.write_all(&[1; GATHERED]).await.expect("it is gathered");
        let mut context = Context::from_waker(std::task::Waker::noop());
        let blocked = Pin::new(&mut writer).poll_write(&mut context, &[2; 5]);
        assert!(blocked.is_pending(), "the ten that went made no room for it and what waits");
        assert!(outlet.poll_flush(&mut context).is_pending());
        let mut all = vec![0; GATHERED];
        let read = async { theirs.read_exact(&mut all).await.expect("all of it") };
        let flushed = poll_fn(|context| outlet.poll_flush(context));
        let (_, flushed) = tokio::join!(read, flushed);
        flushed.expect("room");
        assert_eq!(all, [1; GATHERED]);
    }

    #[tokio::test]
    async fn an_end_comes_behind_what_was_gathered() {
        let (mut writer, outlet, mut theirs) = joined(1 << 20);
        outlet.gather();
        writer.write_all(b"the last words").await.expect("room");
        writer.shutdown().await.expect("an end");
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.expect("an end");
        assert_eq!(all, b"the last words");
    }
}
