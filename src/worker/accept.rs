//! One address on one worker: accept, TLS handshake, then what is behind it.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{spawn_local, yield_now},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::network::Network,
    net::{
        ends::Ends,
        listen::OpenConnections,
        listener::Listener,
        local::Local,
        proxy_protocol::{Endpoints, Told, read},
        socket::Socket,
        stream::Stream,
        tls::{Caller, Cause, HandshakeError, ServerTls},
    },
    observe::metrics::{Handshake, ListenerMetrics, Refusal},
    snapshot,
    worker::{
        Vital,
        behind::{Behind, Serving},
        connections::{Connections, Open},
    },
};

/// How long accepting rests when the process is out of file descriptors or memory: what is queued
/// waits in the kernel, and closing connections give some back.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);

/// So many connections are taken at most from the queue of an address that was given up: the kernel's
/// own bound where no one raised it, so that those who still come hold up no end.
const MOST_QUEUED: usize = 65_535;

/// So often that rests: the address is listened on as long.
const MOST_RESTS: usize = 50;

/// A line about refused certificates of one listener, or about accepting at one address, on one worker,
/// at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// When one thing was last said in the log, which is not to be full of it.
#[derive(Default)]
struct Seldom(Cell<Option<Instant>>);

impl Seldom {
    /// Whether it is time to say it, which is taken for done.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let due = self.0.get().is_none_or(|last| now.duration_since(last) >= TELL_EVERY);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}

/// What a new connection meets. Not the socket: a connection that outlives its address must not keep
/// that open.
#[derive(Clone)]
struct Meets {
    tls: Option<ServerTls>,
    proxies: Option<Arc<[Network]>>,
    room: Arc<snapshot::Room>,
    open: Arc<OpenConnections>,
    metrics: Arc<ListenerMetrics>,
}

impl Meets {
    fn of(door: &snapshot::Door) -> Meets {
        Meets {
            tls: door.tls.clone(),
            proxies: door.proxies.clone(),
            room: door.room.clone(),
            open: door.sockets.open().clone(),
            metrics: door.site.metrics().clone(),
        }
    }
}

/// An address that we accept on.
pub struct Post {
    port: u16,
    behind: Behind,
    meets: RefCell<Meets>,
    local: Rc<Local>,
    connections: Rc<Connections>,
    /// Of a certificate that was refused.
    told_of_certificate: Seldom,
    /// That nothing can be accepted for a moment.
    told_of_rest: Seldom,
}

impl Post {
    /// Begins to accept.
    pub fn open(
        worker: usize,
        meets: &snapshot::Door,
        serving: Serving,
        local: Rc<Local>,
        connections: Rc<Connections>,
    ) -> io::Result<Rc<Post>> {
        let listener = Listener::new(meets.sockets.for_worker(worker)?)?;
        let port = meets.sockets.address.port();
        let meets = RefCell::new(Meets::of(meets));
        let post = Rc::new(Post {
            port,
            behind: Behind::new(serving),
            meets,
            local,
            connections,
            told_of_certificate: Seldom::default(),
            told_of_rest: Seldom::default(),
        });
        // Whoever accepts counts as a connection: a drain that ended before what is queued has been
        // taken would reset it.
        let open = post.connections.enter();
        spawn_local(post.clone().accept_all(listener, open));
        Ok(post)
    }

    /// Whether what is connected here may go on under this.
    pub fn fits(&self, door: &snapshot::Door) -> bool {
        self.meets.borrow().tls.is_some() == door.tls.is_some() && self.behind.fits(door)
    }

    /// A new snapshot, in which this address still stands.
    pub fn change(&self, meets: &snapshot::Door, serving: Serving) {
        self.meets.replace(Meets::of(meets));
        self.behind.change(serving);
    }

    /// The address is gone: what is connected ends when it has been answered, or goes on where bytes
    /// are relayed.
    pub fn close(&self) {
        self.behind.close();
    }

    async fn accept_all(self: Rc<Self>, mut listener: Listener, _open: Open) {
        let _vital = Vital;
        loop {
            let accepted = tokio::select! {
                () = self.behind.closed() => break,
                accepted = listener.accept() => accepted,
            };
            self.take(accepted).await;
        }
        self.accept_queued(&listener).await;
    }

    /// What had connected before the address was given up is served, not reset.
    async fn accept_queued(self: &Rc<Self>, listener: &Listener) {
        let mut rests = 0;
        for _ in 0..MOST_QUEUED {
            let accepted = listener.accept_now();
            match &accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if !is_of_one_connection(error) => rests += 1,
                Ok(_) | Err(_) => {}
            }
            if rests > MOST_RESTS {
                return;
            }
            self.take(accepted).await;
            // Those that were taken are served meanwhile.
            yield_now().await;
        }
    }

    async fn take(self: &Rc<Self>, accepted: io::Result<(Socket, SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => return,
            Err(error) => return self.rest(&error).await,
        };
        let Meets { proxies, room, open, metrics, .. } = self.meets.borrow().clone();
        let slot = self.local.slot;
        metrics.accepted(slot);
        let source = match &proxies {
            None => room.sources.enter(peer.ip(), room.max_per_source),
            // Whom it is for is not known yet.
            Some(_) => None,
        };
        if source.is_none() && proxies.is_none() {
            metrics.refused(slot, Refusal::SourceLimit);
            metrics.closed(slot);
            return;
        }
        // At the limit, this one waits here and the others in the kernel's queue, until some have
        // ended. The permit is asked for after accepting: a worker that waits for a connection must
        // not keep one that another worker could use. A door that closes waits for no one.
        let permit = tokio::select! {
            permit = room.connections.clone().acquire_owned() => permit.ok(),
            () = self.behind.closed() => None,
        };
        let open = (open.enter(), self.connections.enter());
        let served: Pin<Box<dyn Future<Output = ()>>> = match proxies {
            Some(proxies) => {
                Box::pin(self.clone().serve_proxied(stream, peer, proxies, room.clone()))
            }
            None => self.clone().serve(stream, peer, None),
        };
        spawn_local(async move {
            served.await;
            metrics.closed(slot);
            drop((source, open, permit));
        });
    }

    async fn rest(&self, error: &io::Error) {
        self.meets.borrow().metrics.accept_failed(self.local.slot);
        if self.told_of_rest.is_due() {
            tracing::warn!("can't accept connections for a moment: {error}");
        }
        sleep(EXHAUSTED_REST).await;
    }

    /// Serves a connection to its end. Where nothing is before its first request, its memory is that of
    /// what is behind the address: thousands may be idle.
    fn serve(
        self: Rc<Self>,
        tcp: Socket,
        peer: SocketAddr,
        destination: Option<SocketAddr>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let ends = Ends { peer, port: self.port, destination, caller: None };
        let tls = self.meets.borrow().tls.clone();
        match tls {
            None => self.behind.serve(Stream::Plain(tcp), ends, self.local.clone()),
            Some(tls) => Box::pin(self.serve_tls(tcp, ends, tls)),
        }
    }

    async fn serve_tls(self: Rc<Self>, tcp: Socket, ends: Ends, tls: ServerTls) {
        // Boxed: every connection would carry its memory to its end.
        let Some((stream, caller)) = Box::pin(self.shake_hands(tcp, tls)).await else {
            return;
        };
        let ends = Ends { caller, ..ends };
        let served = self.behind.serve(stream, ends, self.local.clone());
        drop(self);
        served.await;
    }

    /// Serves a connection that a proxy passes on, for whom the proxy says that it is: its address is
    /// the client's from here on, to limits, logs, backends and `trusted_proxies`, since it is the
    /// client who speaks behind the header.
    async fn serve_proxied(
        self: Rc<Self>,
        mut stream: Socket,
        peer: SocketAddr,
        proxies: Arc<[Network]>,
        room: Arc<snapshot::Room>,
    ) {
        let metrics = self.meets.borrow().metrics.clone();
        let refused = |refusal| metrics.refused(self.local.slot, refusal);
        if !proxies.iter().any(|network| network.contains(peer.ip())) {
            return refused(Refusal::ProxySource);
        }
        let told = timeout(self.behind.patience(), read::header(&mut stream)).await;
        let (client, destination) = match told {
            Ok(Ok(Told::Client(Endpoints { source, destination }))) => (source, Some(destination)),
            Ok(Ok(Told::Nobody)) => (peer, None),
            Ok(Err(_)) => return refused(Refusal::BadProxyHeader),
            Err(_) => return refused(Refusal::ProxyHeaderTimeout),
        };
        let Some(_source) = room.sources.enter(client.ip(), room.max_per_source) else {
            return refused(Refusal::SourceLimit);
        };
        self.serve(stream, client, destination).await;
    }

    /// The stream after its handshake; with who the client is, where that is asked.
    async fn shake_hands(
        &self,
        tcp: Socket,
        tls: ServerTls,
    ) -> Option<(Stream, Option<Rc<Caller>>)> {
        let patience = self.behind.patience();
        let metrics = self.meets.borrow().metrics.clone();
        let slot = self.local.slot;
        let accepted = timeout(patience, TlsAcceptor::from(tls.config).accept(tcp)).await;
        let Ok(accepted) = accepted else {
            metrics.refused(slot, Refusal::HandshakeTimeout);
            return None;
        };
        let known = accepted.map_err(HandshakeError::from).and_then(|stream| {
            let caller = tls.callers.map(|callers| Caller::of(stream.get_ref().1, &callers));
            Ok((Stream::Tls(Box::new(stream)), caller.transpose()?))
        });
        match known {
            Ok((stream, caller)) => {
                metrics.handshake(slot, kind(&stream));
                Some((stream, caller.map(Rc::new)))
            }
            Err(error) => {
                metrics.refused(slot, refusal(error.cause));
                self.tell(&error);
                None
            }
        }
    }

    /// Says in the log what was wrong with a client's certificate, seldom enough that clients can't
    /// fill it. Other handshakes fail every day, of scanners and of the weather.
    fn tell(&self, error: &HandshakeError) {
        let is_told = refusal(error.cause) == Refusal::BadClientCertificate;
        if is_told && self.told_of_certificate.is_due() {
            let listener = self.behind.listener();
            tracing::warn!("listener {listener}: a client's certificate was refused: {error}");
        }
    }
}

fn refusal(cause: Cause) -> Refusal {
    match cause {
        Cause::Missing => Refusal::NoClientCertificate,
        Cause::Name | Cause::Issuer | Cause::Expired | Cause::Certificate => {
            Refusal::BadClientCertificate
        }
        Cause::OurCertificate | Cause::Protocol => Refusal::HandshakeFailed,
    }
}

fn kind(stream: &Stream) -> Handshake {
    match (stream.protocol_version(), stream.is_resumed()) {
        (Some("TLSv1.2"), false) => Handshake::Tls12Full,
        (Some("TLSv1.2"), true) => Handshake::Tls12Resumed,
        (_, false) => Handshake::Tls13Full,
        (_, true) => Handshake::Tls13Resumed,
    }
}

/// Errors of a connection that broke while it waited to be accepted, as accept(2) lists them.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | ConnectionRefused
            | Interrupted
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
            | TimedOut
            | PermissionDenied
    )
}
