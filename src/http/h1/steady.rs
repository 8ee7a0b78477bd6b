//! Long answers of our own, piece by piece: a client may take as long as it likes, as long as it takes
//! some within a while.

use std::{
    fs::File,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::io::AsyncWrite;

use crate::net::{stream::Stream, timer::Steadiness};

use super::client::Client;

impl Client {
    /// Writes all of both.
    ///
    /// # Errors
    /// The client has gone; or `TimedOut`: it took nothing for so long.
    pub async fn write_pair(
        &mut self,
        first: &[u8],
        second: &[u8],
        idle: Duration,
    ) -> io::Result<()> {
        let Client { side, timer, .. } = self;
        let (mut first, mut second) = (first, second);
        let mut steadiness = Steadiness::new(idle);
        poll_fn(|context| {
            loop {
                let stream = Pin::new(&mut side.stream);
                let left = first.len() + second.len();
                let written = match (first, second) {
                    ([], []) => {
                        return match stream.poll_flush(context) {
                            Poll::Pending => steadiness.poll(context, timer, left),
                            flushed => flushed,
                        };
                    }
                    ([], only) | (only, []) => stream.poll_write(context, only),
                    (first, second) => {
                        let both = [IoSlice::new(first), IoSlice::new(second)];
                        stream.poll_write_vectored(context, &both)
                    }
                };
                let count = match written {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return steadiness.poll(context, timer, left),
                };
                let of_first = count.min(first.len());
                first = &first[of_first..];
                second = &second[count - of_first..];
            }
        })
        .await
    }

    /// Writes what is at once followed by more.
    ///
    /// # Errors
    /// As for `write_pair`.
    pub async fn write_more(&mut self, bytes: &[u8], idle: Duration) -> io::Result<()> {
        let mut rest = bytes;
        if let Stream::Plain(tcp) = &mut self.side.stream {
            // What it does not take at once is written as all else is.
            let sent = poll_fn(|context| Poll::Ready(tcp.poll_send_more(context, rest))).await;
            match sent {
                Poll::Ready(Ok(count)) => rest = &rest[count..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {}
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.write_pair(rest, &[], idle).await
    }

    /// Has the kernel send a part of a file, on a connection without TLS. `sent` counts what has gone;
    /// it is less than `length` where the file ends before.
    ///
    /// # Errors
    /// As for `write_pair`.
    pub async fn send_file(
        &mut self,
        file: &File,
        part: Part,
        idle: Duration,
        sent: &mut u64,
    ) -> io::Result<()> {
        let Client { side, timer, .. } = self;
        let mut steadiness = Steadiness::new(idle);
        poll_fn(|context| {
            while *sent < part.length {
                let left = usize::try_from(part.length - *sent).unwrap_or(usize::MAX);
                let tcp = side.stream.tcp_mut();
                match tcp.poll_send_file(context, file, part.first + *sent, left) {
                    Poll::Ready(Ok(0)) => break,
                    Poll::Ready(Ok(count)) => *sent += count as u64,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return steadiness.poll(context, timer, left),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Of a file.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub first: u64,
    pub length: u64,
}
