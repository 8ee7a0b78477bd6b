//! The story of a client's HTTP/2 connection: streams come, each is served by a task of its own,
//! until one side has had enough.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use ::h2::{
    Reason, RecvStream,
    server::{self, SendResponse},
};
use bytes::Bytes;
use http::{Request, request::Parts};
use tokio::{sync::Notify, task::spawn_local, time::Instant};

use crate::{
    http::{
        door::Door,
        downstream::Downstream,
        local::Local,
        proxy::{self, Arrival, Last, Next},
        site::Site,
    },
    net::{
        clock,
        ends::Ends,
        gathered::{Outlet, gathered},
        stream::Stream,
        timer::Timer,
    },
    observe::reason::Reason as Word,
};

use super::{client::ClientStream, flood::Ledger, heads, watched::Watched};

/// What HTTP/1 reads as a head when a client speaks HTTP/2 (RFC 9113, section 3.4).
pub const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// How much of one request's body may come ahead of the backend that takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The largest window there is (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// How much of one answer waits in memory for the client to take it.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a connection that is told to leave may take to read that, and to read why.
const FAREWELL: Duration = Duration::from_secs(2);

type Opened = (Request<RecvStream>, SendResponse<Bytes>);
type Connection = server::Connection<Watched, Bytes>;

/// Serves a connection. `before` is what has been read of it.
pub async fn serve(stream: Stream, before: Vec<u8>, ends: Ends, door: Rc<Door>, local: Rc<Local>) {
    // Asked once: the streams don't have the socket.
    let destination = ends.destination.or_else(|| stream.tcp().local_addr().ok());
    let ends = Ends { destination, ..ends };
    let (builder, patience, ledger, metrics) = {
        let site = &door.serving().site;
        let ledger = Ledger::new(site.limits.max_control_frames, site.limits.max_resets);
        (builder(site), site.timeouts.header, ledger, site.metrics.clone())
    };
    let sni = stream.sni().map(Rc::from);
    let (stream, outlet) = gathered(stream);
    let visit = Rc::new(Visit {
        ends,
        sni,
        outlet,
        ledger: Rc::new(RefCell::new(ledger)),
        open: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        ended: Notify::new(),
        door,
        local,
    });
    let mut timer = Timer::new(Instant::now() + patience);
    let watched = Watched::new(stream, before, visit.ledger.clone());
    let handshake = builder.handshake(watched);
    let handshake = timer.within(Instant::now() + patience, handshake).await;
    let Ok(Ok(mut connection)) = handshake else {
        return;
    };
    metrics.http2(visit.local.slot);
    visit.outlet.gather();
    let closing = follow(&mut connection, &mut timer, &visit).await;
    visit.end(&mut connection, &mut timer, closing).await;
}

fn builder(site: &Site) -> server::Builder {
    let limits = &site.limits;
    let headers_size = u32::try_from(limits.max_headers_size).unwrap_or(u32::MAX);
    // The library counts those of a connection's whole life; the ledger sees how fast they come.
    let provoked_resets = usize::try_from(limits.max_requests).unwrap_or(usize::MAX);
    // All of its streams together: bodies that wait for a backend must not stop the others.
    let connection_window = STREAM_WINDOW.saturating_mul(limits.max_streams).min(MAX_WINDOW);
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(headers_size)
        .max_local_error_reset_streams(Some(provoked_resets))
        .enable_connect_protocol();
    builder
}

/// A connection, for all of its streams.
struct Visit {
    ends: Ends,
    sni: Option<Rc<str>>,
    outlet: Outlet<Stream>,
    ledger: Rc<RefCell<Ledger>>,
    /// Streams that are being served.
    open: Cell<usize>,
    /// Where there is none: when the last one ended.
    idle_since: Cell<Instant>,
    /// One of them has ended.
    ended: Notify,
    door: Rc<Door>,
    local: Rc<Local>,
}

/// Why no more streams are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It has ended, or broken.
    Ended,
    /// We have had enough: those that are open may end.
    Politely,
    /// It sends too much that carries nothing.
    Flooded,
}

/// Serves every stream that comes, until no more shall.
async fn follow(connection: &mut Connection, timer: &mut Timer, visit: &Rc<Visit>) -> Closing {
    let mut served = 0;
    visit.idle_since.set(Instant::now());
    loop {
        let (timeouts, max_requests) = {
            // What serves may be long gone when the next stream comes.
            let site = &visit.door.serving().site;
            (site.timeouts, site.limits.max_requests)
        };
        let patience = if served == 0 { timeouts.header } else { timeouts.keep_alive };
        let mut closed = pin!(visit.door.closed());
        let mut ended = pin!(visit.ended.notified());
        let next = poll_fn(|context| {
            if let Poll::Ready(next) = visit.poll_stream(context, connection) {
                return Poll::Ready(next);
            }
            if closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Closing::Politely));
            }
            if visit.open.get() > 0 {
                return ended.as_mut().poll(context).map(|()| Ok(None));
            }
            timer.poll(context, visit.idle_since.get() + patience).map(|()| Err(Closing::Politely))
        });
        match next.await {
            Ok(Some(opened)) => {
                served += 1;
                visit.clone().take(opened);
                if served >= max_requests {
                    return Closing::Politely;
                }
            }
            Ok(None) => {}
            Err(closing) => return closing,
        }
    }
}

impl Visit {
    /// The next stream, or why there is none.
    fn poll_stream(
        &self,
        context: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<Option<Opened>, Closing>> {
        let polled = connection.poll_accept(context);
        if self.ledger.borrow().is_exceeded() {
            return Poll::Ready(Err(Closing::Flooded));
        }
        match polled {
            Poll::Ready(Some(Ok(opened))) => Poll::Ready(Ok(Some(opened))),
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(Closing::Ended)),
            // What all streams have sent in this turn goes in one write.
            Poll::Pending => match self.outlet.poll_flush(context) {
                Poll::Ready(Err(_)) => Poll::Ready(Err(Closing::Ended)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Ends a connection on which no more streams are taken.
    async fn end(self: &Rc<Self>, connection: &mut Connection, timer: &mut Timer, why: Closing) {
        let why = match why {
            Closing::Politely => self.see_off(connection, timer).await,
            Closing::Ended | Closing::Flooded => why,
        };
        let last_word = match why {
            Closing::Ended => return,
            Closing::Politely => Reason::NO_ERROR,
            Closing::Flooded => {
                self.local.metrics.error(self.local.slot, Word::Http2Flood);
                Reason::ENHANCE_YOUR_CALM
            }
        };
        connection.abrupt_shutdown(last_word);
        let closed = poll_fn(|context| {
            let closed = connection.poll_closed(context);
            if closed.is_pending() {
                // An error is the connection's own, which is over anyway.
                let _ = self.outlet.poll_flush(context);
            }
            closed
        });
        // Whatever comes of it, the connection is over.
        let _ = timer.within(Instant::now() + FAREWELL, closed).await;
    }

    /// Says goodbye, and lets what is open end. Whoever has read that opens no more streams; what
    /// crosses it on the wire is served for as long as that may take.
    async fn see_off(self: &Rc<Self>, connection: &mut Connection, timer: &mut Timer) -> Closing {
        connection.graceful_shutdown();
        let said = Instant::now();
        loop {
            let mut ended = pin!(self.ended.notified());
            let idle_since = (self.open.get() == 0).then(|| self.idle_since.get().max(said));
            let next = poll_fn(|context| {
                if let Poll::Ready(next) = self.poll_stream(context, connection) {
                    return Poll::Ready(next);
                }
                match idle_since {
                    Some(since) => {
                        timer.poll(context, since + FAREWELL).map(|()| Err(Closing::Politely))
                    }
                    None => ended.as_mut().poll(context).map(|()| Ok(None)),
                }
            });
            match next.await {
                Ok(Some((_, mut reply))) if said.elapsed() > FAREWELL => {
                    reply.send_reset(Reason::REFUSED_STREAM);
                }
                Ok(Some(opened)) => self.clone().take(opened),
                Ok(None) => {}
                Err(why) => return why,
            }
        }
    }

    fn take(self: Rc<Self>, (request, reply): Opened) {
        self.open.set(self.open.get() + 1);
        let open = Open(self);
        // Boxed: a task's future is copied when it is spawned and when it ends, and this one is large.
        spawn_local(async move { Box::pin(open.0.serve_stream(request, reply)).await });
    }

    async fn serve_stream(&self, request: Request<RecvStream>, reply: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let mut stream = ClientStream::new(reply, body, self.sni.clone());
        match self.serve_request(parts, &mut stream).await {
            Next::Request | Next::Close | Next::Linger => self.ledger.borrow_mut().answered(),
            Next::Cut => stream.reset(Reason::INTERNAL_ERROR),
            Next::Tunnel(tunnel) => {
                // Boxed: every stream would carry its memory, and few are ever tunnels.
                let run = Box::pin(tunnel.run(Downstream::H2(&mut stream), &self.local));
                if run.await.is_agreed() {
                    self.ledger.borrow_mut().answered();
                }
            }
        }
    }

    async fn serve_request(&self, parts: Parts, stream: &mut ClientStream) -> Next {
        let begun = clock::lately();
        // One snapshot for the length of one request.
        let serving = self.door.serving();
        let ended = stream.body.is_end_stream();
        let read = heads::request(&parts, ended, &serving.site.limits, fastrand::u128(..));
        let (request, read) = match read {
            Ok(request) => (request, Ok(())),
            Err(refusal) => (heads::unread(&parts), Err(refusal)),
        };
        drop(parts);
        let client = Downstream::H2(stream);
        let arrival = Arrival { client, begun, request: &request, read, last: Last::No };
        proxy::serve(arrival, &self.ends, &self.door, &serving, &self.local).await
    }
}

/// A stream that is being served, until it is dropped.
struct Open(Rc<Visit>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.idle_since.set(clock::lately());
        self.0.ended.notify_one();
    }
}
