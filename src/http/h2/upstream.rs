//! One request on an HTTP/2 connection to a backend.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use ::h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use bytes::Bytes;

use crate::{
    http::{h1::upstream::HeadError, refusal},
    message::head::Response,
    pool::multiplexed::Lease,
};

use super::heads;

/// A stream of ours on a connection that others use as well.
pub struct UpstreamStream {
    lease: Lease,
    exchange: Exchange,
}

enum Exchange {
    /// The request's head has not gone yet.
    Unsent,
    /// It could not go.
    Failed(Failure),
    Sent {
        request: SendStream<Bytes>,
        response: ResponseFuture,
        /// Once the head of the answer has come.
        body: Option<RecvStream>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Target,
    Connection,
}

impl UpstreamStream {
    pub fn new(lease: Lease) -> UpstreamStream {
        UpstreamStream { lease, exchange: Exchange::Unsent }
    }

    /// The connection was there before this request.
    pub fn is_reused(&self) -> bool {
        self.lease.is_reused()
    }

    /// Sends the head of the request, as HTTP/1 writes it. `ended`: nothing follows it. A failure
    /// is told where the answer is waited for.
    pub fn open(&mut self, head: Vec<u8>, ended: bool) -> io::Result<()> {
        let Some(request) = heads::to_request(head, self.lease.scheme()) else {
            self.exchange = Exchange::Failed(Failure::Target);
            return Err(io::ErrorKind::InvalidInput.into());
        };
        match self.lease.send(request, ended) {
            Ok((response, request)) => {
                self.exchange = Exchange::Sent { request, response, body: None };
                Ok(())
            }
            Err(error) => {
                self.exchange = Exchange::Failed(Failure::Connection);
                Err(io::Error::other(error))
            }
        }
    }

    /// Where the request's body goes, once its head has gone.
    pub fn request(&mut self) -> io::Result<&mut SendStream<Bytes>> {
        match &mut self.exchange {
            Exchange::Sent { request, .. } => Ok(request),
            Exchange::Unsent | Exchange::Failed(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The body of the answer, once its head has come.
    pub fn body(&mut self) -> io::Result<&mut RecvStream> {
        match &mut self.exchange {
            Exchange::Sent { body: Some(body), .. } => Ok(body),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads the next head of an answer, an interim one included.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Response,
    ) -> Poll<Result<(), HeadError>> {
        let (response, body) = match &mut self.exchange {
            Exchange::Unsent => return Poll::Pending,
            Exchange::Failed(failure) => return Poll::Ready(Err(failed(*failure))),
            Exchange::Sent { response, body, .. } => (response, body),
        };
        let parts = if let Poll::Ready(Some(interim)) = response.poll_informational(context) {
            match interim {
                Ok(interim) => interim.into_parts().0,
                Err(error) => return Poll::Ready(Err(head_error(&error))),
            }
        } else {
            match Pin::new(response).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(head_error(&error))),
                Poll::Ready(Ok(answer)) => {
                    let (parts, stream) = answer.into_parts();
                    *body = Some(stream);
                    parts
                }
            }
        };
        Poll::Ready(heads::response(&parts).map(|read| *into = read).map_err(HeadError::Malformed))
    }

    /// The connection may have died without a word: no other request is to go this way.
    pub fn distrust(&self) {
        self.lease.distrust();
    }
}

fn failed(failure: Failure) -> HeadError {
    match failure {
        Failure::Target => HeadError::Unsendable(refusal::BAD_TARGET),
        Failure::Connection => HeadError::Unread,
    }
}

fn head_error(error: &::h2::Error) -> HeadError {
    // It says so itself when it has not begun on a request (RFC 9113, section 8.7). Of a GOAWAY only
    // the streams above its last one hear, whatever its reason: the others go on.
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let unread = error.is_remote() && (refused || error.is_go_away());
    let malformed = error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    // What TLS finds amiss is invalid data, of which the library keeps no more than the words. Before
    // an answer it is the backend's refusal of our certificate, which comes after the handshake.
    let of_tls = error.get_io().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData);
    match (unread, malformed) {
        _ if of_tls => HeadError::Malformed(refusal::UPSTREAM_HANDSHAKE),
        (true, _) => HeadError::Unread,
        (false, true) => HeadError::Malformed(refusal::BAD_RESPONSE),
        (false, false) => HeadError::Closed(io::Error::other(error.to_string())),
    }
}
