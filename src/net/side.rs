//! A connection with what was read from it and not yet used.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::Buffer;

/// A connection with what was read from it and not yet used.
pub struct Side<S> {
    pub stream: S,
    pub input: Buffer,
}

/// A connection whose peer can be told that what it was sent was cut off: other than by a clean end,
/// where its protocol knows the difference.
pub trait CutOff: AsyncWrite {
    /// Sends what has been written, then an end that is no clean one.
    fn poll_cut_off(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: AsyncRead + Unpin> Side<S> {
    /// Reads once: how many bytes came; 0 is the end. There must be room.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.input.room();
        assert!(!room.is_empty(), "a full buffer is not read into: 0 would look like the end");
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        let count = read.filled().len();
        self.input.add(count);
        Poll::Ready(Ok(count))
    }

    /// Like `poll_fill`, but holds no memory while nothing comes.
    pub fn poll_fill_lazily(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = self.poll_fill(context);
        if polled.is_pending() {
            self.input.release();
        }
        polled
    }
}
