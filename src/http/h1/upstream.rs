//! The connection to a backend.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

use crate::{
    config::Limits,
    http::refusal::{self, Refusal},
    message::head::Response,
    net::{
        buffer::{Buffer, Buffers, LARGE},
        side::Side,
        stream::Stream,
    },
};

use super::{parse, scan::Scan};

/// What the head of an answer may be. A backend is ours, but not above mistakes.
pub const LIMITS: Limits = Limits {
    max_request_line: 8 * 1024,
    max_header: 64 * 1024,
    max_headers_size: 128 * 1024,
    max_headers: parse::MOST_HEADERS,
    max_body: u64::MAX,
    max_requests: u64::MAX,
    max_streams: 0,
    max_control_frames: 0,
    max_resets: 0,
};

/// One connection to a backend, during one exchange.
pub struct Upstream {
    pub side: Side<Stream>,
    /// It has carried an exchange before.
    pub reused: bool,
    scan: Scan,
    /// Bytes of an answer have come.
    pub answered: bool,
}

/// Why no head came.
#[derive(Debug)]
pub enum HeadError {
    /// The connection broke or ended.
    Closed(io::Error),
    /// What came is no answer, and why.
    Malformed(Refusal),
    /// The backend says that it did not begin on the request.
    Unread,
    /// The request has no form in which the backend could be sent it.
    Unsendable(Refusal),
}

impl Upstream {
    pub fn new(stream: Stream, reused: bool, buffers: &Rc<Buffers>) -> Upstream {
        let side = Side { stream, input: Buffer::new(buffers.clone()) };
        Upstream { side, reused, scan: Scan::default(), answered: false }
    }

    /// Reads the next head of an answer, an interim one included.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Response,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            let bytes = self.side.input.filled();
            let end = self.scan.head_end(bytes, &LIMITS).map_err(head_refusal)?;
            if let Some(end) = end {
                parse::response(&bytes[..end], into).map_err(HeadError::Malformed)?;
                self.side.input.consume(end);
                self.scan = Scan::default();
                return Poll::Ready(Ok(()));
            }
            if self.side.input.is_full() {
                if self.side.input.capacity() >= LARGE {
                    return Poll::Ready(Err(HeadError::Malformed(refusal::BAD_RESPONSE_SIZE)));
                }
                self.side.input.grow(LARGE);
            }
            let count = ready!(self.side.poll_fill_lazily(context)).map_err(HeadError::Closed)?;
            if count == 0 {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(Err(HeadError::Closed(error)));
            }
            self.answered = true;
        }
    }
}

/// What a scan refuses in an answer is the backend's fault, not the client's.
pub fn head_refusal(refusal: Refusal) -> HeadError {
    let size = [
        refusal::LINE_TOO_LONG,
        refusal::HEADER_TOO_LONG,
        refusal::HEADERS_TOO_LARGE,
        refusal::TOO_MANY_HEADERS,
    ];
    let over = size.contains(&refusal);
    HeadError::Malformed(if over { refusal::BAD_RESPONSE_SIZE } else { refusal::BAD_RESPONSE })
}
