//! A stream as a connection of its own, once an extended CONNECT has been answered (RFC 8441).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::{ClientStream, broken};
use crate::net::side::CutOff;

/// Its bytes, both ways. What is read is acknowledged when it has been taken, so that a client can
/// send no more ahead of the backend than the stream's window.
pub struct TunnelStream<'a> {
    stream: &'a mut ClientStream,
    unread: Bytes,
}

impl TunnelStream<'_> {
    pub fn new(stream: &mut ClientStream) -> TunnelStream<'_> {
        TunnelStream { stream, unread: Bytes::new() }
    }
}

impl AsyncRead for TunnelStream<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let TunnelStream { stream, unread } = self.get_mut();
        while unread.is_empty() {
            match ready!(stream.body.poll_data(context)) {
                // Never a clean end, whatever its connection ended of.
                Some(data) => *unread = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = unread.len().min(buffer.remaining());
        buffer.put_slice(&unread[..count]);
        unread.advance(count);
        // A stream that has ended meanwhile needs no room.
        let _ = stream.body.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let answer = self.get_mut().stream.answer()?;
        answer.reserve_capacity(bytes.len());
        let room = match ready!(answer.poll_capacity(context)) {
            Some(room) => room.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let count = room.min(bytes.len());
        answer.send_data(Bytes::copy_from_slice(&bytes[..count]), false).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    /// The connection's own task writes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.get_mut().stream;
        stream.answer()?.send_data(Bytes::new(), true).map_err(broken)?;
        stream.ended();
        Poll::Ready(Ok(()))
    }
}

impl CutOff for TunnelStream<'_> {
    /// The stream's end: a reset would throw away what has been written and not sent.
    fn poll_cut_off(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown(context)
    }
}
