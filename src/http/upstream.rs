//! The backend's end of one exchange, whatever it speaks.

use std::task::{Context, Poll};

use crate::{
    http::{
        fastcgi,
        h1::{self, upstream::HeadError},
        h2::upstream::UpstreamStream,
    },
    message::head::Response,
};

/// A connection that is all this request's for a while, or one stream among others.
pub enum Upstream {
    H1(h1::upstream::Upstream),
    H2(UpstreamStream),
    /// Boxed: few have it, and every exchange would carry its memory.
    Fastcgi(Box<fastcgi::upstream::Upstream>),
}

impl Upstream {
    /// Reads the next head of an answer, an interim one included.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Response,
    ) -> Poll<Result<(), HeadError>> {
        match self {
            Upstream::H1(connection) => connection.poll_head(context, into),
            Upstream::H2(stream) => stream.poll_head(context, into),
            Upstream::Fastcgi(connection) => connection.poll_head(context, into),
        }
    }

    /// Whether the backend may have closed the connection before the request reached it: it has
    /// been used before, and nothing of an answer has come. HTTP/2 does not leave that to be guessed
    /// (RFC 9113, section 8.7).
    pub fn may_be_stale(&self) -> bool {
        match self {
            Upstream::H1(connection) => connection.reused && !connection.answered,
            Upstream::H2(_) => false,
            Upstream::Fastcgi(connection) => connection.reused && !connection.has_answered(),
        }
    }

    /// Whether the connection was there before this request.
    pub fn is_reused(&self) -> bool {
        match self {
            Upstream::H1(connection) => connection.reused,
            Upstream::H2(stream) => stream.is_reused(),
            Upstream::Fastcgi(connection) => connection.reused,
        }
    }

    /// The backend has said nothing for too long: its connection may be dead, and no other request
    /// is to go that way. One of this request's own goes with it.
    pub fn distrust(&self) {
        match self {
            Upstream::H1(_) | Upstream::Fastcgi(_) => {}
            Upstream::H2(stream) => stream.distrust(),
        }
    }
}
