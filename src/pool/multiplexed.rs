//! The HTTP/2 connections of one worker to one backend: each carries many requests at once. Never
//! shared between workers.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use tokio::{sync::Notify, task::spawn_local};

use crate::{
    net::{
        gathered::{Gathered, Outlet, gathered},
        stream::Stream,
    },
    pool::dial::{Dial, DialError, dial},
};

/// Streams at once on one connection, where the backend allows more.
const MAX_STREAMS: usize = 128;
/// How much of one answer a backend may send ahead of a slow client.
const STREAM_WINDOW: u32 = 256 * 1024;
/// All streams' windows together: a client that does not read must not stop its neighbours.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// How much of one request waits in memory for the backend to take it.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes of a header block.
const MAX_HEADERS_SIZE: u32 = 128 * 1024;

/// All of them.
#[derive(Default)]
pub struct Multiplexed {
    list: RefCell<Vec<Rc<Shared>>>,
    /// Somebody is opening one, which will serve those who wait as well.
    dialing: Cell<bool>,
    bell: Notify,
    /// How long one is kept on which nothing is under way.
    limit: Cell<Duration>,
    retired: Cell<bool>,
}

/// One connection.
struct Shared {
    requests: RefCell<SendRequest<Bytes>>,
    scheme: &'static str,
    open: Cell<usize>,
    used: Cell<bool>,
    idle_since: Cell<Instant>,
    fit: Rc<Cell<bool>>,
}

/// Room for one request on a connection.
pub struct Lease {
    shared: Rc<Shared>,
    reused: bool,
}

impl Multiplexed {
    pub fn keep_for(&self, limit: Duration) {
        self.limit.set(limit);
    }

    /// Room on a connection that is open, or on a new one. It has no deadline of its own.
    pub async fn lease(&self, how: &Dial<'_>) -> Result<Lease, DialError> {
        loop {
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
            let bell = self.bell.notified();
            if self.dialing.get() {
                bell.await;
                continue;
            }
            let dialing = Dialing::new(self);
            let stream = dial(how).await?;
            let shared = open(stream).await.map_err(DialError::Connect)?;
            if !self.retired.get() {
                self.list.borrow_mut().push(shared.clone());
            }
            drop(dialing);
            return Ok(Lease::new(shared));
        }
    }

    /// Room on the connection with the fewest streams.
    fn take(&self) -> Option<Lease> {
        let mut list = self.list.borrow_mut();
        list.retain(|shared| shared.is_fit());
        let shared = list.iter().min_by_key(|shared| shared.open.get())?;
        shared.has_room().then(|| Lease::new(shared.clone()))
    }

    /// Closes what nothing has used for too long.
    pub fn sweep(&self, now: Instant) {
        let limit = self.limit.get();
        let fresh = |shared: &Shared| now.duration_since(shared.idle_since.get()) < limit;
        let keep =
            |shared: &Rc<Shared>| shared.is_fit() && (shared.open.get() > 0 || fresh(shared));
        self.list.borrow_mut().retain(keep);
    }

    /// No request comes any more; what is under way may end.
    pub fn retire(&self) {
        self.retired.set(true);
        self.list.borrow_mut().clear();
    }
}

impl Shared {
    /// Whether it takes requests: a backend that has said GOAWAY takes no more, while the streams that
    /// it has go on.
    fn is_fit(&self) -> bool {
        if !self.fit.get() {
            return false;
        }
        // Nobody is to be woken: it is ready, or over.
        let mut context = Context::from_waker(Waker::noop());
        let ready = self.requests.borrow_mut().poll_ready(&mut context);
        !matches!(ready, Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        let most = self.requests.borrow().current_max_send_streams();
        self.open.get() < most.min(MAX_STREAMS)
    }
}

/// The connection ends by itself when the last handle to it and its last stream are gone.
async fn open(stream: Stream) -> io::Result<Rc<Shared>> {
    let scheme = if stream.is_tls() { "https" } else { "http" };
    let (stream, outlet) = gathered(stream);
    let (requests, connection) = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS_SIZE)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    let fit = Rc::new(Cell::new(true));
    let told = fit.clone();
    spawn_local(async move {
        drive(connection, outlet).await;
        told.set(false);
    });
    Ok(Rc::new(Shared {
        requests: RefCell::new(requests),
        scheme,
        open: Cell::new(0),
        used: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
        fit,
    }))
}

/// Drives a connection to its end. Its streams are told what it ended of.
async fn drive(
    mut connection: client::Connection<Gathered<Stream>, Bytes>,
    outlet: Outlet<Stream>,
) {
    outlet.gather();
    poll_fn(|context| {
        if Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(());
        }
        // What all requests have sent in this turn goes in one write.
        match outlet.poll_flush(context) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// Held while a connection is being opened: whatever comes of it, those who wait look again.
struct Dialing<'a>(&'a Multiplexed);

impl Dialing<'_> {
    fn new(multiplexed: &Multiplexed) -> Dialing<'_> {
        multiplexed.dialing.set(true);
        Dialing(multiplexed)
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.bell.notify_waiters();
    }
}

impl Lease {
    fn new(shared: Rc<Shared>) -> Lease {
        shared.open.set(shared.open.get() + 1);
        let reused = shared.used.replace(true);
        Lease { shared, reused }
    }

    /// The connection was there before this request: others go over it, or have.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// What the backend is told of the transport (RFC 9113, section 8.3.1).
    pub fn scheme(&self) -> &'static str {
        self.shared.scheme
    }

    /// Sends the head of a request. `ended`: nothing follows it.
    ///
    /// # Errors
    /// The connection has ended, or takes no more requests; none has begun.
    pub fn send(
        &self,
        request: http::Request<()>,
        ended: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.shared.requests.borrow().clone();
        let sent = requests.send_request(request, ended);
        if sent.is_err() {
            self.distrust();
        }
        sent
    }

    /// No other request is to go over this connection.
    pub fn distrust(&self) {
        self.shared.fit.set(false);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let open = &self.shared.open;
        open.set(open.get() - 1);
        self.shared.idle_since.set(Instant::now());
    }
}
