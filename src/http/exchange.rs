//! One request and its answer between a client and a backend: the heads, then the bodies, both
//! directions at once.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::PoolTimeouts,
    http::{
        content::Rest,
        downstream::Downstream,
        h1::{
            pump::{Stopped, Waiting},
            upstream::HeadError,
        },
        passage::Passage,
        refusal::{self, Refusal},
        upstream::Upstream,
    },
    message::head::Response,
    net::{clock, tls::refuses_our_certificate},
    pool::retry::Reached,
};

/// The request on its way to the backend.
pub struct Upload {
    passage: Passage,
    state: UploadState,
    progress: Progress,
    /// The request has no byte that the client still has to send.
    in_hand: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadState {
    Going,
    /// All of it is with the backend.
    Done {
        at: Instant,
    },
    /// The backend takes no more; its answer may come all the same.
    Cut,
}

/// When something last moved: looked at only where something is waited for, as most bodies leave at
/// once and a look at the clock is a part of what a request costs.
struct Progress {
    stirred: Option<u64>,
    at: Instant,
}

/// What bounds an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub upstream: PoolTimeouts,
    /// The client neither sends nor takes a byte of a body.
    pub client_idle: Duration,
    /// When the first byte of the request's head came.
    pub begun: Instant,
    /// Bytes of the request's body.
    pub max_body: u64,
}

/// Why no answer came.
#[derive(Debug)]
pub enum NoAnswer {
    /// The client went away.
    ClientGone,
    /// The client's body is at fault, or it asks for what the backend does not do.
    Refused(Refusal),
    /// The backend is at fault.
    Upstream { refusal: Refusal, reached: Reached },
}

/// Why an answer broke off after its head had been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    ClientGone,
    ClientStalled,
    UpstreamTruncated,
    UpstreamStalled,
    /// The backend's body is framed wrongly.
    Malformed,
    /// The time for the whole exchange ran out.
    TookTooLong,
}

impl NoAnswer {
    /// The backend said nothing for so long that its connection may be dead.
    pub fn is_silence(&self) -> bool {
        matches!(self, NoAnswer::Upstream { reached: Reached::TimedOut, .. })
    }
}

impl Upload {
    /// A request that is wholly at hand; `begun` is any moment before now.
    pub fn in_hand(passage: Passage, begun: Instant) -> Upload {
        Upload { in_hand: true, ..Upload::streamed(passage, begun) }
    }

    /// A request whose body follows from the client.
    pub fn streamed(passage: Passage, begun: Instant) -> Upload {
        let progress = Progress::unseen(begun);
        Upload { passage, state: UploadState::Going, progress, in_hand: false }
    }

    /// What is left of the request for another try.
    pub fn rest(&self) -> Rest {
        if self.in_hand || self.passage.is_untouched() { Rest::All } else { Rest::Part }
    }

    /// Gives back the memory of what has been sent.
    pub fn free(&mut self) {
        self.passage.free();
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, UploadState::Done { .. })
    }

    /// Bytes of the body that the backend was sent, where it was streamed.
    pub fn moved(&self) -> u64 {
        self.passage.moved()
    }

    /// Of those, the bytes that were never in our memory.
    pub fn spliced(&self) -> u64 {
        self.passage.spliced()
    }

    /// When the last byte had been sent.
    pub fn done_at(&self) -> Option<Instant> {
        match self.state {
            UploadState::Done { at } => Some(at),
            UploadState::Going | UploadState::Cut => None,
        }
    }

    /// Moves what can be moved. The backend's refusal to take more is no error yet: it may have
    /// answered before it closed.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Downstream<'_>,
        upstream: &mut Upstream,
    ) -> Result<(), NoAnswer> {
        if self.state != UploadState::Going {
            return Ok(());
        }
        match self.passage.poll_up(context, client, upstream) {
            Poll::Ready(Ok(())) => self.state = UploadState::Done { at: clock::now() },
            Poll::Ready(Err(Stopped::Sink(_))) => {
                self.progress.look(self.passage.stirred());
                self.state = UploadState::Cut;
            }
            Poll::Ready(Err(Stopped::Malformed(refusal))) => {
                return Err(NoAnswer::Refused(refusal));
            }
            Poll::Ready(Err(Stopped::Source(_) | Stopped::SourceEnded)) => {
                return Err(NoAnswer::ClientGone);
            }
            Poll::Pending => self.progress.look(self.passage.stirred()),
        }
        Ok(())
    }

    /// Whether the client has gone. Of HTTP/1 that is seen by reading on, which is left to the
    /// request as long as it reads itself; a stream says so, however much of it is unread.
    fn poll_client_gone(&self, context: &mut Context<'_>, client: &mut Downstream<'_>) -> bool {
        let is_seen = match client {
            Downstream::H1(_) => self.in_hand || self.state != UploadState::Going,
            Downstream::H2(_) => true,
        };
        is_seen && client.poll_gone(context).is_ready()
    }

    /// Whether the client keeps the rest of the request to itself.
    fn waits_for_client(&self) -> bool {
        self.state == UploadState::Going && self.passage.waiting() == Waiting::Source
    }

    /// The time for the whole exchange ran out: a backend is not to blame for a slow client, who
    /// could else turn it down.
    fn took_too_long(&self) -> NoAnswer {
        let refusal = refusal::REQUEST_TIMEOUT;
        match self.waits_for_client() {
            true => NoAnswer::Refused(refusal),
            false => NoAnswer::Upstream { refusal, reached: Reached::TimedOut },
        }
    }

    /// When something of the request last moved.
    fn moved_at(&self) -> Instant {
        match self.state {
            UploadState::Done { at } => at,
            UploadState::Going | UploadState::Cut => self.progress.at,
        }
    }

    /// Until when the request may stand as it does, and what it is then.
    fn deadline(&self, bounds: &Bounds) -> (Instant, NoAnswer) {
        let upstream = |refusal| NoAnswer::Upstream { refusal, reached: Reached::TimedOut };
        match (self.state, self.passage.waiting()) {
            (UploadState::Going, Waiting::Source) => {
                let refused = NoAnswer::Refused(refusal::BODY_TIMEOUT);
                (self.progress.at + bounds.client_idle, refused)
            }
            (UploadState::Going, Waiting::Sink) => {
                (self.progress.at + bounds.upstream.idle, upstream(refusal::UPSTREAM_STALLED))
            }
            (UploadState::Done { at }, _) => {
                (at + bounds.upstream.first_byte, upstream(refusal::FIRST_BYTE_TIMEOUT))
            }
            (UploadState::Cut, _) => {
                let refused = upstream(refusal::FIRST_BYTE_TIMEOUT);
                (self.progress.at + bounds.upstream.first_byte, refused)
            }
        }
    }
}

impl Progress {
    fn unseen(before: Instant) -> Progress {
        Progress { stirred: None, at: before }
    }

    fn look(&mut self, stirred: u64) {
        if self.stirred != Some(stirred) {
            *self = Progress { stirred: Some(stirred), at: clock::lately() };
        }
    }
}

impl Bounds {
    /// When the time for the whole exchange runs out.
    pub fn whole(&self) -> Option<Instant> {
        self.upstream.whole.map(|whole| self.begun + whole)
    }
}

/// Sends the request and waits for the next head of an answer, an interim one included.
pub async fn next_head(
    client: &mut Downstream<'_>,
    upstream: &mut Upstream,
    upload: &mut Upload,
    response: &mut Response,
    bounds: &Bounds,
) -> Result<(), NoAnswer> {
    poll_fn(|context| poll_head(context, client, upstream, upload, response, bounds)).await
}

/// Ready with that head. Nothing is lost where it is not polled to its end.
pub fn poll_head(
    context: &mut Context<'_>,
    client: &mut Downstream<'_>,
    upstream: &mut Upstream,
    upload: &mut Upload,
    response: &mut Response,
    bounds: &Bounds,
) -> Poll<Result<(), NoAnswer>> {
    upload.poll(context, client, upstream)?;
    match upstream.poll_head(context, response) {
        Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => return Poll::Ready(Err(no_head(error, upstream))),
        Poll::Pending => {}
    }
    if upload.poll_client_gone(context, client) {
        return Poll::Ready(Err(NoAnswer::ClientGone));
    }
    let (deadline, late) = upload.deadline(bounds);
    match bounds.whole() {
        Some(whole) if whole < deadline => {
            client.timer().poll(context, whole).map(|()| Err(upload.took_too_long()))
        }
        _ => client.timer().poll(context, deadline).map(|()| Err(late)),
    }
}

fn no_head(error: HeadError, upstream: &Upstream) -> NoAnswer {
    match error {
        HeadError::Malformed(refusal) => NoAnswer::Upstream { refusal, reached: Reached::Sent },
        HeadError::Closed(error) if refuses_our_certificate(&error) => {
            // It has not looked at the request.
            let refusal = refusal::UPSTREAM_REFUSES_OURS;
            NoAnswer::Upstream { refusal, reached: Reached::Sent }
        }
        HeadError::Closed(_) => {
            let stale = upstream.may_be_stale();
            let reached = if stale { Reached::Stale } else { Reached::Sent };
            NoAnswer::Upstream { refusal: refusal::UPSTREAM_RESET, reached }
        }
        HeadError::Unread => {
            // Who refuses on a new connection as well is no better off for another one.
            let reached = if upstream.is_reused() { Reached::Unread } else { Reached::Nothing };
            NoAnswer::Upstream { refusal: refusal::UPSTREAM_RESET, reached }
        }
        HeadError::Unsendable(refusal) => NoAnswer::Refused(refusal),
    }
}

/// Moves the answer to the client, and what is left of the request to the backend.
pub async fn relay(
    client: &mut Downstream<'_>,
    upstream: &mut Upstream,
    upload: &mut Upload,
    download: &mut Passage,
    bounds: &Bounds,
) -> Result<(), Cut> {
    let mut progress = Progress::unseen(bounds.begun);
    poll_fn(|context| {
        match upload.poll(context, client, upstream) {
            Ok(()) => {}
            // Half of a request is worth nothing; half of an answer may be worth its head.
            Err(NoAnswer::Refused(_) | NoAnswer::Upstream { .. }) => {
                upload.state = UploadState::Cut
            }
            Err(NoAnswer::ClientGone) => return Poll::Ready(Err(Cut::ClientGone)),
        }
        match download.poll_down(context, client, upstream) {
            Poll::Ready(outcome) => return Poll::Ready(outcome.map_err(cut)),
            Poll::Pending => progress.look(download.stirred()),
        }
        if upload.poll_client_gone(context, client) {
            return Poll::Ready(Err(Cut::ClientGone));
        }
        // An answer that began early may wait for the rest of its request.
        let stirred = progress.at.max(upload.moved_at());
        let (deadline, late) = match download.waiting() {
            Waiting::Source if upload.waits_for_client() => {
                (stirred + bounds.upstream.idle, Cut::ClientStalled)
            }
            Waiting::Source => (stirred + bounds.upstream.idle, Cut::UpstreamStalled),
            Waiting::Sink => (progress.at + bounds.client_idle, Cut::ClientStalled),
        };
        match bounds.whole() {
            Some(whole) if whole < deadline => {
                client.timer().poll(context, whole).map(|()| Err(Cut::TookTooLong))
            }
            _ => client.timer().poll(context, deadline).map(|()| Err(late)),
        }
    })
    .await
}

fn cut(stopped: Stopped) -> Cut {
    match stopped {
        Stopped::Source(_) | Stopped::SourceEnded => Cut::UpstreamTruncated,
        Stopped::Malformed(_) => Cut::Malformed,
        Stopped::Sink(_) => Cut::ClientGone,
    }
}
