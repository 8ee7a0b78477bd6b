//! The connection to a FastCGI server, during one exchange.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    http::{
        h1::{
            parse, scan,
            upstream::{self as h1, HeadError},
        },
        refusal::{self, Refusal},
    },
    message::head::Response,
    net::{
        buffer::{Buffer, Buffers, LARGE},
        side::Side,
        socket::Socket,
        splice::MaybeBare,
        stream::Stream,
    },
};

use super::{
    head,
    record::{End, Malformed, Piece, Records},
    stderr::Stderr,
};

/// One connection to a FastCGI server, during one exchange.
pub struct Upstream {
    /// The answer, out of its records.
    pub side: Side<Output>,
    /// It has carried an exchange before.
    pub reused: bool,
    scan: head::Scan,
    /// The request has no form in which it could be sent.
    pub unsendable: Option<Refusal>,
}

/// The bytes of an answer, as its records bring them. It ends where the server says that the request is
/// over; a connection that ends before that has broken off.
pub struct Output {
    pub stream: Stream,
    input: Buffer,
    records: Records,
    end: Option<End>,
    /// What came last is no record.
    fault: Option<Malformed>,
    /// Bytes have come.
    answered: bool,
    /// Bytes of the answer have come.
    has_output: bool,
    pub stderr: Stderr,
    /// Bytes that may still be read, records and all.
    left: usize,
}

/// The server did not take the request.
#[derive(Debug)]
struct Refused;

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server did not take the request")
    }
}

impl std::error::Error for Malformed {}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what came is no FastCGI record")
    }
}

/// What comes is in records.
impl MaybeBare for Output {
    fn bare(&mut self) -> Option<&mut Socket> {
        None
    }
}

impl Upstream {
    pub fn new(stream: Stream, reused: bool, stderr: Stderr, buffers: &Rc<Buffers>) -> Upstream {
        let output = Output {
            stream,
            input: Buffer::new(buffers.clone()),
            records: Records::default(),
            end: None,
            fault: None,
            answered: false,
            has_output: false,
            stderr,
            left: usize::MAX,
        };
        let side = Side { stream: output, input: Buffer::new(buffers.clone()) };
        Upstream { side, reused, scan: head::Scan::default(), unsendable: None }
    }

    /// Whether bytes of any kind have come.
    pub fn has_answered(&self) -> bool {
        self.side.stream.answered
    }

    /// Reads the head of the answer.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Response,
    ) -> Poll<Result<(), HeadError>> {
        if let Some(refusal) = self.unsendable {
            return Poll::Ready(Err(HeadError::Unsendable(refusal)));
        }
        loop {
            if let Some(end) = self.scan.end(self.side.input.filled()) {
                let read = read_head(&self.side.input.filled()[..end], into);
                self.side.input.consume(end);
                return Poll::Ready(read);
            }
            if self.side.input.is_full() {
                if self.side.input.capacity() >= LARGE {
                    return Poll::Ready(Err(HeadError::Malformed(refusal::BAD_RESPONSE_SIZE)));
                }
                self.side.input.grow(LARGE);
            }
            match ready!(self.side.poll_fill_lazily(context)) {
                Ok(0) => return Poll::Ready(Err(HeadError::Malformed(refusal::NO_CGI_HEAD))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(head_error(error))),
            }
        }
    }

    /// Whether the server has ended the request as it should, and has sent nothing behind that.
    pub fn is_over(&mut self) -> bool {
        let output = &mut self.side.stream;
        let has_ended = output.take_end() && self.side.input.is_empty();
        has_ended && output.end == Some(End::Complete) && output.input.is_empty()
    }
}

fn read_head(bytes: &[u8], into: &mut Response) -> Result<(), HeadError> {
    let mut written = Vec::new();
    head::to_http(bytes, &mut written).map_err(HeadError::Malformed)?;
    let end = scan::Scan::default().head_end(&written, &h1::LIMITS).map_err(h1::head_refusal)?;
    if end != Some(written.len()) {
        return Err(HeadError::Malformed(refusal::BAD_RESPONSE));
    }
    parse::response(&written, into).map_err(HeadError::Malformed)
}

fn head_error(error: io::Error) -> HeadError {
    match error.get_ref() {
        Some(inner) if inner.is::<Refused>() => HeadError::Unread,
        Some(inner) if inner.is::<Malformed>() => HeadError::Malformed(refusal::BAD_RECORD),
        _ => HeadError::Closed(error),
    }
}

impl Output {
    /// Takes in what has come behind the answer: whether that was its end. What the script has
    /// written beyond it is thrown away.
    fn take_end(&mut self) -> bool {
        while self.is_going() && self.take_next(usize::MAX, |_| {}) {}
        self.fault.is_none() && self.end.is_some()
    }

    /// From now on no more is read than so many bytes.
    pub fn take_at_most(&mut self, bytes: usize) {
        self.left = bytes;
    }

    fn is_going(&self) -> bool {
        self.end.is_none() && self.fault.is_none()
    }

    /// Takes in the next piece of what has come, at most so many bytes; what is of the answer goes to
    /// `output`. False: more must come first.
    fn take_next(&mut self, most: usize, output: impl FnOnce(&[u8])) -> bool {
        let come = self.input.filled();
        let come = &come[..come.len().min(most)];
        let mut rest = come;
        match self.records.next(&mut rest) {
            Ok(Piece::Framing) => {}
            Ok(Piece::Output(part)) => {
                self.has_output = true;
                output(part);
            }
            Ok(Piece::Error(part)) => self.stderr.take(part),
            Ok(Piece::End(end)) => {
                self.end = Some(end);
                self.stderr.end();
            }
            Ok(Piece::More) => return false,
            Err(malformed) => self.fault = Some(malformed),
        }
        let taken = come.len() - rest.len();
        self.input.consume(taken);
        true
    }

    /// Reads more from the connection, which may not end yet.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = self.input.room();
        let whole = room.len();
        let mut read = ReadBuf::new(room);
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut read);
        let count = read.filled().len();
        if polled.is_pending() {
            self.input.release();
        }
        ready!(polled)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let Some(left) = self.left.checked_sub(count) else {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        };
        self.left = left;
        self.answered = true;
        self.input.add(count);
        // It came faster than it was taken in: a long answer is moved in large steps.
        if count == whole {
            self.input.grow(LARGE);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Output {
    /// Ready without a byte: the request is over.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        while this.is_going() && into.remaining() > 0 {
            let most = into.remaining();
            if !this.take_next(most, |part| into.put_slice(part)) {
                if into.filled().len() > before {
                    break;
                }
                ready!(this.poll_more(context))?;
            }
        }
        // What came before it is not lost with it.
        match (this.fault, this.end) {
            _ if into.filled().len() > before => {}
            (Some(malformed), _) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, malformed);
                return Poll::Ready(Err(error));
            }
            // It has begun to work: this is no word on whether it may be asked again.
            (None, Some(End::Refused)) if this.has_output => {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            (None, Some(End::Refused)) => return Poll::Ready(Err(io::Error::other(Refused))),
            (None, Some(End::Complete) | None) => {}
        }
        Poll::Ready(Ok(()))
    }
}
