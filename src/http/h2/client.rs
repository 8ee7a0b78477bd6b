//! One stream of a client's connection: a request, and the answer to it.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use ::h2::{Reason, RecvStream, SendStream, server::SendResponse};
use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::{
    http::{
        h1::{chunked::LateFields, client::NoRequest, collecting::Collecting},
        refusal,
    },
    net::{
        clock,
        timer::{Elapsed, Steadiness, Timer},
    },
    pool::budget::Share,
};

use super::{
    body::{Piece, is_malformed, poll_piece},
    heads,
};

/// When a timer goes off that nobody has set yet.
const FAR: Duration = Duration::from_secs(3600);

/// A stream that a client opened.
pub struct ClientStream {
    reply: SendResponse<Bytes>,
    /// The request's body.
    pub body: RecvStream,
    /// Open once the head of the answer has gone.
    answer: Answer,
    /// What of the body was read before it was passed on.
    pub at_hand: Vec<u8>,
    /// Of the memory for bodies that are read whole.
    share: Option<Share>,
    /// The trailer lines behind that, each with its CRLF.
    pub trailers: Vec<u8>,
    pub timer: Timer,
    /// The host name that the client asked a certificate for, of all its streams.
    pub sni: Option<Rc<str>>,
}

enum Answer {
    Owed,
    Open(SendStream<Bytes>),
    Ended,
}

impl ClientStream {
    pub fn new(reply: SendResponse<Bytes>, body: RecvStream, sni: Option<Rc<str>>) -> ClientStream {
        // It is moved to where it is first needed.
        let timer = Timer::new(clock::lately() + FAR);
        let (at_hand, trailers) = (Vec::new(), Vec::new());
        ClientStream {
            reply,
            body,
            answer: Answer::Owed,
            at_hand,
            share: None,
            trailers,
            timer,
            sni,
        }
    }

    /// Sends an interim head, as HTTP/1 writes one.
    pub fn inform(&mut self, head: Vec<u8>) -> io::Result<()> {
        self.reply.send_informational(heads::to_response(head)).map_err(broken)
    }

    /// Sends the head of the answer, as HTTP/1 writes it. `ended`: nothing follows it.
    pub fn open(&mut self, head: Vec<u8>, ended: bool) -> io::Result<()> {
        let stream = self.reply.send_response(heads::to_response(head), ended).map_err(broken)?;
        self.answer = if ended { Answer::Ended } else { Answer::Open(stream) };
        Ok(())
    }

    /// Where the body of the answer goes, once its head has gone.
    pub fn answer(&mut self) -> io::Result<&mut SendStream<Bytes>> {
        match &mut self.answer {
            Answer::Open(stream) => Ok(stream),
            Answer::Owed | Answer::Ended => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether all of a body of `length` is at hand, and its trailers, if there are any.
    pub fn has_body(&self, length: usize) -> bool {
        self.at_hand.len() >= length && self.body.is_end_stream()
    }

    /// Reads until a body of `length`, which the library holds it to, has come to its end.
    pub async fn read_body(
        &mut self,
        length: usize,
        idle: Duration,
        whole: Option<Instant>,
    ) -> Result<(), NoRequest> {
        while !self.has_body(length) {
            match self.read_piece(idle, whole).await? {
                // The room for it is given back: it is bounded by `length`.
                Piece::Data(data) => self.take_data(&data),
                Piece::End(trailers) => return self.take_trailers(trailers),
            }
        }
        Ok(())
    }

    /// Reads a body to its end, and keeps all of it: how many bytes it has.
    pub async fn collect_body(&mut self, mut how: Collecting) -> Result<usize, NoRequest> {
        while !self.body.is_end_stream() {
            match self.read_piece(how.idle, how.whole).await? {
                Piece::Data(data) => {
                    if (self.at_hand.len() + data.len()) as u64 > how.limit {
                        return Err(NoRequest::Refused(refusal::BODY_TOO_LARGE));
                    }
                    let _ = self.body.flow_control().release_capacity(data.len());
                    how.keep(&mut self.at_hand, &data)?;
                }
                Piece::End(trailers) => {
                    self.take_trailers(trailers)?;
                    break;
                }
            }
        }
        self.share = how.share;
        Ok(self.at_hand.len())
    }

    /// A body that was collected is needed no more.
    pub fn free_collected(&mut self) {
        if self.share.take().is_some() {
            self.at_hand = Vec::new();
        }
    }

    /// The length of a body that was collected so; one that is empty is no different from none.
    pub fn collected(&self) -> Option<usize> {
        (!self.at_hand.is_empty()).then_some(self.at_hand.len())
    }

    async fn read_piece(
        &mut self,
        idle: Duration,
        whole: Option<Instant>,
    ) -> Result<Piece, NoRequest> {
        let idle = Instant::now() + idle;
        let (deadline, late) = match whole {
            Some(whole) if whole < idle => (whole, refusal::REQUEST_TIMEOUT),
            _ => (idle, refusal::BODY_TIMEOUT),
        };
        let body = &mut self.body;
        let next = poll_fn(|context| poll_piece(context, body));
        match self.timer.within(deadline, next).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) if is_malformed(&error) => Err(NoRequest::Refused(refusal::HTTP2_BODY)),
            Ok(Err(_)) => Err(NoRequest::Gone),
            Err(Elapsed) => Err(NoRequest::Refused(late)),
        }
    }

    fn take_data(&mut self, data: &[u8]) {
        let _ = self.body.flow_control().release_capacity(data.len());
        self.at_hand.extend_from_slice(data);
    }

    fn take_trailers(&mut self, trailers: Option<HeaderMap>) -> Result<(), NoRequest> {
        if let Some(trailers) = trailers {
            let lines = heads::trailer_lines(&trailers, LateFields::Refused);
            self.trailers = lines.map_err(NoRequest::Refused)?;
        }
        Ok(())
    }

    /// Ready when the client has reset the stream, or its connection has gone.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Answer::Owed => self.reply.poll_reset(context).map(drop),
            Answer::Open(stream) => stream.poll_reset(context).map(drop),
            Answer::Ended => Poll::Pending,
        }
    }

    /// Sends a whole answer of our own, as HTTP/1 writes it, within `timeout`.
    pub async fn write(&mut self, message: &[u8], timeout: Duration) -> io::Result<()> {
        let blank = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 4);
        let (head, body) = message.split_at(blank);
        self.open(head.to_vec(), body.is_empty())?;
        if body.is_empty() {
            return Ok(());
        }
        let mut body = Bytes::copy_from_slice(body);
        let Answer::Open(stream) = &mut self.answer else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let send = poll_fn(|context| poll_send(context, stream, &mut body, End::WithData));
        let sent = self.timer.within(Instant::now() + timeout, send).await;
        self.answer = Answer::Ended;
        sent.unwrap_or_else(|Elapsed| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends a piece of the body, as long as the client takes some of it within `idle`.
    pub async fn send(&mut self, data: &mut Bytes, end: End, idle: Duration) -> io::Result<()> {
        let Answer::Open(stream) = &mut self.answer else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let timer = &mut self.timer;
        let mut steadiness = Steadiness::new(idle);
        let sent = poll_fn(|context| {
            let sent = poll_send(context, stream, data, end);
            if sent.is_pending() {
                return steadiness.poll(context, timer, data.len());
            }
            sent
        });
        sent.await?;
        if end == End::WithData {
            self.answer = Answer::Ended;
        }
        Ok(())
    }

    /// The last byte of the answer has gone.
    pub fn ended(&mut self) {
        self.answer = Answer::Ended;
    }

    /// Ends the stream so that the client can tell that its answer is not whole; without effect on
    /// one that has ended.
    pub fn reset(&mut self, reason: Reason) {
        match &mut self.answer {
            Answer::Owed => self.reply.send_reset(reason),
            Answer::Open(stream) => stream.send_reset(reason),
            Answer::Ended => {}
        }
    }
}

/// How a stream goes on after what is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// These bytes are the last ones.
    WithData,
    Later,
}

/// Sends as much of `data` as the peer has room for; ready when all of it has gone.
pub fn poll_send(
    context: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    data: &mut Bytes,
    end: End,
) -> Poll<io::Result<()>> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match ready!(stream.poll_capacity(context)) {
            Some(room) => room.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let now = data.split_to(room.min(data.len()));
        let last = end == End::WithData && data.is_empty();
        stream.send_data(now, last).map_err(broken)?;
    }
    Poll::Ready(Ok(()))
}

/// An error of a stream or of its connection.
pub fn broken(error: ::h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::other(error)
}
