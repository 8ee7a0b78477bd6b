//! A copy of a request to another pool, whose answer is thrown away. The client's exchange neither
//! waits for it nor learns of it.

use std::{cell::Cell, future::poll_fn, io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt,
    task::spawn_local,
    time::{Instant, timeout},
};

use crate::{
    config::{HostHeader, Protocol},
    http::{
        content::Content,
        h1::{
            self,
            body::{Body, Piece},
            rules::{self, RequestRules},
        },
        headers::{self, Outbound},
        local::Local,
        proxy::Exchange,
        reach::{self, Unconnected},
        record::Record,
        target::Target,
        upgrade,
        upstream::Upstream,
    },
    message::{head::Response, method::Method},
    net::{proxy_protocol::Announcement, stream::Stream},
    observe::metrics::{Mirrored, RouteMetrics},
    pool::{balance::Ask, local::LocalPool},
};

/// How much of an answer is read for its connection to be kept.
const THROWN_AWAY: usize = 1 << 20;
/// Interim answers that are passed over.
const MAX_INTERIM: usize = 100;

/// Which requests of a route are copied, and where to.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// An index into `Serving::pools`.
    pub pool: usize,
    pub share: f64,
    pub max_in_flight: usize,
}

/// Sends a copy of the request on its way, where the route has it so. A body that is not at hand is
/// not copied: it passes through.
pub fn mirror(
    exchange: &Exchange<'_>,
    record: &Record<'_>,
    rules: &RequestRules,
    target: &Target<'_>,
    content: Content,
) {
    let Some(route) = record.route else {
        return;
    };
    let Some(mirror) = route.rules.mirror.as_ref().filter(|it| fastrand::f64() < it.share) else {
        return;
    };
    let local = exchange.local;
    let Content::InHand(length) = content else {
        return route.metrics.mirrored(local.slot, Mirrored::Skipped);
    };
    if upgrade::asked(exchange.request, rules.framing).is_some() {
        return route.metrics.mirrored(local.slot, Mirrored::Skipped);
    }
    let Some(place) = Place::take(&local.mirrored, mirror.max_in_flight) else {
        return route.metrics.mirrored(local.slot, Mirrored::Dropped);
    };
    let pool = exchange.serving.pools[mirror.pool].clone();
    let head = head(exchange, record, rules, target, &pool);
    let body = Bytes::copy_from_slice(&exchange.client.at_hand()[..length]);
    let announced = exchange.announcement(&pool);
    let copy = Copy { head, body, method: exchange.request.method, announced };
    let (local, metrics) = (local.without_log(), route.metrics.clone());
    spawn_local(copy.send(pool, local, metrics, place));
}

fn head(
    exchange: &Exchange<'_>,
    record: &Record<'_>,
    rules: &RequestRules,
    target: &Target<'_>,
    pool: &LocalPool,
) -> Vec<u8> {
    let config = &pool.pool.config;
    let host = match &config.host_header {
        HostHeader::Set(host) => host.as_bytes(),
        HostHeader::Pass if !target.authority.is_empty() => target.authority,
        HostHeader::Pass => config.name.as_bytes(),
    };
    let outbound = Outbound {
        target,
        host,
        framing: rules.framing,
        upgrade: None,
        takes_trailers: config.protocol == Protocol::H2,
        expects_continue: false,
        sender: exchange.sender,
        certificate: exchange.shown(),
        request_id: &record.request_id,
        changes: exchange.changes(record, |rules| rules.request_headers.as_ref()),
    };
    let mut head = Vec::new();
    headers::write_request(&mut head, exchange.request, &outbound);
    head
}

/// One of the copies that may be under way on a worker.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(taken: &Rc<Cell<usize>>, max: usize) -> Option<Place> {
        let free = taken.get() < max;
        free.then(|| {
            taken.set(taken.get() + 1);
            Place(taken.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A request, to be sent once.
struct Copy {
    head: Vec<u8>,
    body: Bytes,
    method: Method,
    announced: Option<Announcement>,
}

/// What became of a copy.
enum Outcome {
    Answered {
        status: u16,
        took: Duration,
    },
    /// By the backend's fault.
    Failed,
}

impl Copy {
    async fn send(
        self,
        pool: Rc<LocalPool>,
        local: Local,
        metrics: Arc<RouteMetrics>,
        _place: Place,
    ) {
        // A full pool is not waited for: what a shadow can't take, it need not see.
        let Ok((index, _in_flight)) = pool.place(&Ask::default()) else {
            return metrics.mirrored(local.slot, Mirrored::Dropped);
        };
        let counted = match self.ask(&pool, index, &local).await {
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
        };
        metrics.mirrored(local.slot, counted);
    }

    async fn ask(self, pool: &LocalPool, index: usize, local: &Local) -> Outcome {
        let timeouts = pool.pool.config.timeouts;
        let member = pool.member(index);
        let announced = self.announced;
        let open = reach::open(pool, index, announced, local);
        let mut upstream = match reach::idle(pool, index, announced, local) {
            Some(upstream) => upstream,
            None => match timeout(timeouts.connect, open).await {
                Ok(Ok(upstream)) => upstream,
                Ok(Err(error)) => {
                    Unconnected::Dial(error).told(member, local.slot);
                    return Outcome::Failed;
                }
                Err(_) => {
                    Unconnected::Late.told(member, local.slot);
                    return Outcome::Failed;
                }
            },
        };
        let metrics = member.backend.metrics();
        metrics.requested(local.slot);
        let method = self.method;
        let begun = Instant::now();
        let answer = timeout(timeouts.first_byte, self.answer(&mut upstream)).await;
        let Ok(Ok(response)) = answer else {
            return Outcome::Failed;
        };
        let took = begun.elapsed();
        metrics.responded(local.slot, response.status, took);
        if let Upstream::H1(upstream) = upstream {
            // Its connection is kept where the rest comes soon, and closed where it does not.
            let kept = read_out(upstream, method, &response);
            if let Ok(Ok(Some((stream, hint)))) = timeout(timeouts.idle, kept).await {
                pool.idle(index).put(stream, std::time::Instant::now(), hint, announced);
            }
        }
        Outcome::Answered { status: response.status, took }
    }

    /// Sends it, and reads the head of the answer.
    async fn answer(self, upstream: &mut Upstream) -> io::Result<Response> {
        match upstream {
            Upstream::H1(upstream) => {
                let message = [&self.head[..], &self.body].concat();
                upstream.side.stream.write_all(&message).await?;
                upstream.side.stream.flush().await?;
            }
            Upstream::H2(stream) => {
                stream.open(self.head, self.body.is_empty())?;
                if !self.body.is_empty() {
                    stream.request()?.send_data(self.body, true).map_err(io::Error::other)?;
                }
            }
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
    let mut body = Body::new(rules.framing, u64::MAX);
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
