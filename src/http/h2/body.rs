//! A body in frames.

use std::task::{Context, Poll, ready};

use ::h2::{Error, Reason, RecvStream};
use bytes::Bytes;
use http::HeaderMap;

/// What comes next of it.
pub enum Piece {
    Data(Bytes),
    /// The last of it, with trailers where it has some.
    End(Option<HeaderMap>),
}

/// Reads what comes next. Its sender is given room for it again by whoever has passed it on.
pub fn poll_piece(context: &mut Context<'_>, body: &mut RecvStream) -> Poll<Result<Piece, Error>> {
    match ready!(body.poll_data(context)) {
        Some(data) => Poll::Ready(data.map(Piece::Data)),
        None => body.poll_trailers(context).map(|trailers| trailers.map(Piece::End)),
    }
}

/// What the library refuses of a body is the sender's fault, such as a length that it does not keep.
pub fn is_malformed(error: &Error) -> bool {
    error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR)
}
