//! One copy of a request: it is sent, and its answer read and thrown away.

use std::{future::poll_fn, io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

use crate::{
    http::{
        h1::{
            self,
            body::{Body, Piece},
            rules,
        },
        h2::upstream::UpstreamStream,
        local::Local,
        reach::{self, Unconnected},
        upstream::Upstream,
    },
    message::{head::Response, method::Method},
    net::{proxy_protocol::Announcement, stream::Stream},
    observe::metrics::{Mirrored, RouteMetrics},
    pool::{
        balance::Ask,
        local::LocalPool,
        retry::{FailedTry, Reached, may_retry},
    },
};

/// How much of an answer is read for its connection to be kept.
const THROWN_AWAY: usize = 1 << 20;
/// Interim answers that are passed over.
const MAX_INTERIM: usize = 100;

/// A request, to be sent once.
pub struct Copy {
    pub head: Vec<u8>,
    pub body: Bytes,
    pub method: Method,
    pub announced: Option<Announcement>,
}

/// What became of a copy.
enum Outcome {
    Answered {
        status: u16,
        took: Duration,
    },
    /// By the backend's fault.
    Failed,
    /// An idle connection had been closed, which is nobody's fault.
    Stale,
}

/// Where a copy goes.
#[derive(Clone, Copy)]
struct Shadow<'a> {
    pool: &'a LocalPool,
    /// Of the member.
    index: usize,
    local: &'a Local,
    announced: Option<Announcement>,
}

impl Copy {
    /// Sends it on its way, and counts what became of it.
    pub async fn send(self, pool: Rc<LocalPool>, local: Local, metrics: Arc<RouteMetrics>) {
        // A full pool is not waited for: what a shadow can't take, it need not see.
        let Ok((index, _in_flight)) = pool.place(&Ask::default()) else {
            return metrics.mirrored(local.slot, Mirrored::Dropped);
        };
        let shadow = Shadow { pool: &pool, index, local: &local, announced: self.announced };
        let counted = match self.ask(shadow).await {
            Outcome::Answered { status, took } => {
                match status {
                    500.. => pool.answered_ill(index),
                    _ => pool.answered(index, took),
                }
                Mirrored::Answered
            }
            Outcome::Failed => {
                pool.failed(index);
                Mirrored::Failed
            }
            Outcome::Stale => Mirrored::Failed,
        };
        metrics.mirrored(local.slot, counted);
    }

    /// Over an idle connection, and where that had been closed over a new one.
    async fn ask(self, shadow: Shadow<'_>) -> Outcome {
        let Shadow { pool, index, local, announced } = shadow;
        if let Some(upstream) = reach::idle(pool, index, announced, local) {
            match self.exchange(shadow, upstream).await {
                Outcome::Stale if self.may_go_again() => {}
                outcome => return outcome,
            }
        }
        let open = reach::open(pool, index, announced, local);
        let why = match timeout(pool.pool.config.timeouts.connect, open).await {
            Ok(Ok(upstream)) => return self.exchange(shadow, upstream).await,
            Ok(Err(error)) => Unconnected::Dial(error),
            Err(_) => Unconnected::Late,
        };
        why.told(pool.member(index), local.slot);
        Outcome::Failed
    }

    fn may_go_again(&self) -> bool {
        may_retry(FailedTry {
            reached: Reached::Stale,
            idempotent: self.method.is_idempotent(),
            replayable: true,
            has_body: !self.body.is_empty(),
        })
    }

    async fn exchange(&self, shadow: Shadow<'_>, mut upstream: Upstream) -> Outcome {
        let Shadow { pool, index, local, announced } = shadow;
        let timeouts = pool.pool.config.timeouts;
        let metrics = pool.member(index).backend.metrics();
        metrics.requested(local.slot);
        let begun = Instant::now();
        let response = match timeout(timeouts.first_byte, self.answer(&mut upstream)).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) if upstream.may_be_stale() => return Outcome::Stale,
            Ok(Err(_)) | Err(_) => return Outcome::Failed,
        };
        let took = begun.elapsed();
        metrics.responded(local.slot, response.status, took);
        // Its connection is kept where the rest comes soon, and closed where it does not.
        match upstream {
            Upstream::H1(upstream) => {
                let kept = read_out(upstream, self.method, &response);
                if let Ok(Ok(Some((stream, hint)))) = timeout(timeouts.idle, kept).await {
                    pool.idle(index).put(stream, std::time::Instant::now(), hint, announced);
                }
            }
            // A stream that is dropped before its end is reset, and backends close connections on
            // which many are, under all that they carry.
            Upstream::H2(mut stream) => {
                let _ = timeout(timeouts.idle, read_out_frames(&mut stream)).await;
            }
            Upstream::Fastcgi(_) => {}
        }
        Outcome::Answered { status: response.status, took }
    }

    /// Sends it, and reads the head of the answer.
    async fn answer(&self, upstream: &mut Upstream) -> io::Result<Response> {
        match upstream {
            Upstream::H1(upstream) => {
                let message = [&self.head[..], &self.body].concat();
                upstream.side.stream.write_all(&message).await?;
                upstream.side.stream.flush().await?;
            }
            Upstream::H2(stream) => {
                stream.open(self.head.clone(), self.body.is_empty())?;
                if !self.body.is_empty() {
                    let body = self.body.clone();
                    stream.request()?.send_data(body, true).map_err(io::Error::other)?;
                }
            }
            // The configuration mirrors to no such pool: a copy names no script.
            Upstream::Fastcgi(_) => return Err(io::ErrorKind::Unsupported.into()),
        }
        let mut response = Response::default();
        for _ in 0..=MAX_INTERIM {
            let read = poll_fn(|context| upstream.poll_head(context, &mut response)).await;
            read.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if !response.is_interim() {
                return Ok(response);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Reads an answer to its end: its connection, where that may be kept, and for how long the backend
/// keeps it.
async fn read_out(
    mut upstream: h1::upstream::Upstream,
    method: Method,
    response: &Response,
) -> io::Result<Option<(Stream, Option<Duration>)>> {
    let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
    let rules = rules::of_response(method, response).map_err(malformed)?;
    if !rules.keep_alive {
        return Ok(None);
    }
    let mut body = Body::of_answer(rules.framing);
    let mut thrown_away = 0;
    let side = &mut upstream.side;
    while thrown_away < THROWN_AWAY {
        match body.next(side.input.filled()).map_err(malformed)? {
            Piece::Framing(count) | Piece::Data(count) => {
                side.input.consume(count);
                thrown_away += count;
            }
            Piece::End(count) => {
                side.input.consume(count);
                let clean = side.input.is_empty();
                let hint = rules::keep_alive_hint(&response.fields);
                return Ok(clean.then_some((upstream.side.stream, hint)));
            }
            Piece::More => {
                if poll_fn(|context| side.poll_fill_lazily(context)).await? == 0 {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}

/// The same of a stream.
async fn read_out_frames(stream: &mut UpstreamStream) -> io::Result<()> {
    let body = stream.body()?;
    let mut thrown_away = 0;
    while thrown_away < THROWN_AWAY
        && let Some(data) = body.data().await
    {
        let count = data.map_err(io::Error::other)?.len();
        body.flow_control().release_capacity(count).map_err(io::Error::other)?;
        thrown_away += count;
    }
    Ok(())
}
