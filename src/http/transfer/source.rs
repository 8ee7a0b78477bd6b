//! The next piece of a body, from either version of HTTP.

use std::{
    io,
    task::{Context, Poll, ready},
};

use ::h2::RecvStream;
use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::{
    http::{
        h1::{
            body::{Body, Piece},
            chunked::LateFields,
            pump::Stopped,
        },
        h2::{
            body::{self, is_malformed, poll_piece},
            heads,
        },
        refusal,
    },
    net::{buffer::Buffer, side::Side},
};

/// What a source had.
pub enum Next {
    Data(Bytes),
    /// Trailer lines, each with its CRLF.
    End(Vec<u8>),
}

/// Reads what comes next in HTTP/1's framing.
pub fn poll_lines<S: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    side: &mut Side<S>,
    body: &mut Body,
) -> Poll<Result<Next, Stopped>> {
    loop {
        match body.next(side.input.filled()).map_err(Stopped::Malformed)? {
            Piece::Framing(count) => side.input.consume(count),
            Piece::Data(count) => {
                return Poll::Ready(Ok(Next::Data(taken(&mut side.input, count))));
            }
            Piece::End(count) => {
                side.input.consume(count);
                return Poll::Ready(Ok(Next::End(body.trailers().to_vec())));
            }
            Piece::More => {
                let count = ready!(side.poll_fill_lazily(context)).map_err(Stopped::Source)?;
                match count {
                    0 if body.may_end_with_connection() => {
                        return Poll::Ready(Ok(Next::End(Vec::new())));
                    }
                    0 => return Poll::Ready(Err(Stopped::SourceEnded)),
                    _ => {}
                }
            }
        }
    }
}

fn taken(input: &mut Buffer, count: usize) -> Bytes {
    let data = Bytes::copy_from_slice(&input.filled()[..count]);
    input.consume(count);
    data
}

/// Reads what comes next in frames, of at most `left` bytes more.
pub fn poll_frames(
    context: &mut Context<'_>,
    body: &mut RecvStream,
    left: &mut u64,
    late_fields: LateFields,
) -> Poll<Result<Next, Stopped>> {
    match ready!(poll_piece(context, body)).map_err(stopped)? {
        body::Piece::Data(data) => {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or(Stopped::Malformed(refusal::BODY_TOO_LARGE))?;
            Poll::Ready(Ok(Next::Data(data)))
        }
        body::Piece::End(trailers) => {
            let lines = trailers.map(|trailers| heads::trailer_lines(&trailers, late_fields));
            let lines = lines.transpose().map_err(Stopped::Malformed)?;
            Poll::Ready(Ok(Next::End(lines.unwrap_or_default())))
        }
    }
}

fn stopped(error: ::h2::Error) -> Stopped {
    match is_malformed(&error) {
        true => Stopped::Malformed(refusal::HTTP2_BODY),
        false => Stopped::Source(io::Error::other(error)),
    }
}
