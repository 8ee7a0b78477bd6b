//! Scripted backends: a closure a connection, raw bytes out, every byte in kept.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::{
    Daemon, Setup, free_port,
    http::{Broken, Reader, Request},
};

/// How long an origin waits for a request on a connection that stays open.
const PATIENCE: Duration = Duration::from_secs(120);

/// A backend on threads of the test.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Script = dyn Fn(&mut Peer) + Send + Sync;

struct Shared {
    script: Box<Script>,
    /// `None`: plain.
    tls: Option<Arc<ServerConfig>>,
    listening: AtomicBool,
    requests: AtomicUsize,
    whole: Mutex<Vec<Request>>,
    violations: Mutex<Vec<String>>,
    connections: Mutex<Vec<Connection>>,
}

/// One accepted connection, kept after its end.
struct Connection {
    /// `None` once the script has ended.
    stream: Option<TcpStream>,
    received: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicBool>,
}

impl Origin {
    /// Runs the script once for each connection.
    pub fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Origin {
        Origin::start_with(listen(), None, script)
    }

    /// As `start`, behind TLS, which shakes hands when the script first reads.
    pub fn tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Origin {
        Origin::start_with(listen(), Some(config), script)
    }

    fn start_with(
        (address, listener): (SocketAddr, TcpListener),
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Origin {
        let origin = Origin {
            address,
            shared: Arc::new(Shared {
                script: Box::new(script),
                tls,
                listening: AtomicBool::new(false),
                requests: AtomicUsize::new(0),
                whole: Mutex::default(),
                violations: Mutex::default(),
                connections: Mutex::default(),
            }),
        };
        origin.serve(listener);
        origin
    }

    /// Answers each request with 200 and this body, keeping the connection.
    pub fn answering(body: &str) -> Origin {
        let body = body.to_owned();
        Origin::start(move |peer| {
            while peer.request().is_some() {
                peer.answer(200, &body);
            }
        })
    }

    /// As `answering`, one at each of these addresses of this machine and all at one port, as the
    /// servers of a name are. The body of each is its address.
    pub fn answering_at<const N: usize>(ips: [&str; N]) -> [Origin; N] {
        let all = |_| {
            let port = free_port();
            let bind = |ip: &str| {
                let address = SocketAddr::new(ip.parse().expect("an address"), port);
                Some((address, TcpListener::bind(address).ok()?))
            };
            ips.iter().map(|ip| bind(ip)).collect::<Option<Vec<_>>>()
        };
        let bound = (0..10).find_map(all).expect("a port that is free at all of them");
        let answering = |(address, listener): (SocketAddr, TcpListener)| {
            let body = address.ip().to_string();
            Origin::start_with((address, listener), None, move |peer| {
                while peer.request().is_some() {
                    peer.answer(200, &body);
                }
            })
        };
        let origins: Vec<Origin> = bound.into_iter().map(answering).collect();
        origins.try_into().ok().expect("one an address")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whole requests so far, bodies included.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The whole requests that came since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared.whole))
    }

    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    pub fn open_connections(&self) -> usize {
        let connections = lock(&self.shared.connections);
        let open = |connection: &&Connection| connection.open.load(Ordering::SeqCst);
        connections.iter().filter(open).count()
    }

    /// Bytes that came so far, over all connections.
    pub fn received_bytes(&self) -> usize {
        lock(&self.shared.connections)
            .iter()
            .map(|connection| lock(&connection.received).len())
            .sum()
    }

    /// What came that a strict reader does not take.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// Refuses connections from now on and closes those that are open.
    pub fn stop(&self) {
        if !self.shared.listening.swap(false, Ordering::SeqCst) {
            return;
        }
        // Wakes the accept; it sees the flag, and drops the listening socket.
        let _ = TcpStream::connect(self.address);
        self.close_connections();
        super::wait_until(super::DEADLINE, "the origin's port to be free", || {
            TcpListener::bind(self.address).is_ok()
        });
        self.close_connections();
    }

    /// Closes what is open, as a backend does with idle connections.
    pub fn close_connections(&self) {
        for connection in lock(&self.shared.connections).iter() {
            if let Some(stream) = &connection.stream {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Listens again on the same port.
    pub fn restart(&self) {
        self.serve(TcpListener::bind(self.address).expect("the origin's port is free"));
    }

    fn serve(&self, listener: TcpListener) {
        self.shared.listening.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || accept(&listener, &shared));
    }
}

/// On a port of this process's own, so that an origin can come back to it.
fn listen() -> (SocketAddr, TcpListener) {
    let bind = |_| {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Some((address, TcpListener::bind(address).ok()?))
    };
    (0..10).find_map(bind).expect("a free port")
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.listening.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.close_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if !shared.listening.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        let mut peer = Peer::new(stream, &shared);
        thread::spawn(move || {
            (shared.script)(&mut peer);
        });
    }
}

/// The daemon, as a script sees it.
pub struct Peer {
    reader: Reader<Recorded>,
    shared: Arc<Shared>,
    /// After the reader, whose socket is closed by then.
    _open: OpenFlag,
    /// Which connection of the origin this is, from 0.
    pub number: usize,
}

impl Peer {
    fn new(stream: TcpStream, shared: &Arc<Shared>) -> Peer {
        stream.set_nodelay(true).expect("an open socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        let received = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(AtomicBool::new(true));
        let mut connections = lock(&shared.connections);
        connections.push(Connection {
            stream: Some(stream.try_clone().expect("a descriptor is free")),
            received: Arc::clone(&received),
            open: Arc::clone(&open),
        });
        Peer {
            reader: Reader::new(Recorded { tls: session(&stream, shared), stream, received }),
            shared: Arc::clone(shared),
            _open: OpenFlag(open),
            number: connections.len() - 1,
        }
    }

    /// The next whole request; `None` when the daemon closed, or sent what no strict reader takes.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        self.body(&mut request).then_some(request)
    }

    /// The head alone, for scripts that break off before or within the body.
    pub fn head(&mut self) -> Option<Request> {
        let head = self.reader.request_head();
        self.checked(head)
    }

    /// The body that belongs to this head. False where it never came whole.
    pub fn body(&mut self, request: &mut Request) -> bool {
        let framing = request.framing();
        let Some(framing) = self.checked(framing) else {
            return false;
        };
        let trailers = self.reader.body(framing, &mut request.body);
        let Some(trailers) = self.checked(trailers) else {
            return false;
        };
        request.trailers = trailers;
        self.keep(request);
        true
    }

    /// Counts a whole request.
    pub fn keep(&self, request: &Request) {
        lock(&self.shared.whole).push(request.clone());
        self.shared.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes what no strict reader takes.
    pub fn violation(&self, what: String) {
        lock(&self.shared.violations).push(what);
    }

    /// All that comes until the daemon says that it is done.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.reader.rest(&mut bytes);
        let _ = self.checked(read);
        bytes
    }

    /// Verbatim. Writing to a peer that has gone is no failure of the script.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_write(bytes.as_ref());
    }

    /// Verbatim, saying whether the daemon took it.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        let recorded = &mut self.reader.stream;
        match &mut recorded.tls {
            None => recorded.stream.write_all(bytes).is_ok(),
            Some(tls) => tls.write_all(bytes).and_then(|()| tls.flush()).is_ok(),
        }
    }

    pub fn answer(&mut self, status: u16, body: &str) {
        let length = body.len();
        self.write(format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\n\r\n{body}"));
    }

    /// Ends with RST instead of FIN, as soon as the script has ended.
    pub fn reset(&mut self) {
        let stream = &self.reader.stream.stream;
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        self.forget();
    }

    /// Our side is done; theirs stays open.
    pub fn half_close(&mut self) {
        let _ = self.reader.stream.stream.shutdown(Shutdown::Write);
    }

    /// TLS's own end of what we send, without which a reader must think it cut off.
    pub fn close_notify(&mut self) {
        if let Some(tls) = &mut self.reader.stream.tls {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }

    /// Sends TLS records that hold no data: a key update of TLS 1.3.
    pub fn update_keys(&mut self) {
        if let Some(tls) = &mut self.reader.stream.tls {
            tls.conn.refresh_traffic_keys().expect("TLS 1.3");
            let _ = tls.flush();
        }
    }

    /// The TLS session, once a request has been read.
    #[track_caller]
    pub fn session(&self) -> &ServerConnection {
        &self.reader.stream.tls.as_ref().expect("an origin with TLS").conn
    }

    /// Says nothing more until the daemon goes.
    pub fn hang(&mut self) {
        let mut sink = [0; 4096];
        while matches!(self.reader.stream.read(&mut sink), Ok(length) if length > 0) {}
    }

    /// Waits, for as long as the daemon neither sends nor closes.
    pub fn pause(&mut self, time: Duration) {
        let stream = &self.reader.stream.stream;
        let _ = stream.set_read_timeout(Some(time));
        let _ = stream.peek(&mut [0]);
        let _ = stream.set_read_timeout(Some(PATIENCE));
    }

    fn checked<T>(&self, read: Result<T, Broken>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Broken::Malformed(what)) => {
                self.violation(what);
                None
            }
            Err(_) => None,
        }
    }

    /// The list of connections holds a second descriptor, which would keep the socket open.
    fn forget(&self) {
        lock(&self.shared.connections)[self.number].stream = None;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The bytes themselves, for scripts that speak something else than HTTP/1.
impl Read for Peer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.stream.read(into)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.reader.stream.tls {
            None => self.reader.stream.stream.write(bytes),
            Some(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.reader.stream.tls {
            None => Ok(()),
            Some(tls) => tls.flush(),
        }
    }
}

/// Says that a connection is open, until it is dropped.
struct OpenFlag(Arc<AtomicBool>);

impl Drop for OpenFlag {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Keeps what is read.
struct Recorded {
    tls: Option<StreamOwned<ServerConnection, TcpStream>>,
    stream: TcpStream,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Read for Recorded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.tls {
            None => self.stream.read(into)?,
            Some(tls) => tls.read(into)?,
        };
        lock(&self.received).extend_from_slice(&into[..length]);
        Ok(length)
    }
}

fn session(
    stream: &TcpStream,
    shared: &Shared,
) -> Option<StreamOwned<ServerConnection, TcpStream>> {
    let config = shared.tls.clone()?;
    let session = ServerConnection::new(config).expect("a server's configuration of ours");
    Some(StreamOwned::new(session, stream.try_clone().expect("a descriptor is free")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A script that panicked fails its own test; the others still want to read.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A backend that is a process, to be killed or stopped by a signal: a second daemon whose only
/// route is a fixed answer.
pub struct OriginProcess {
    daemon: Daemon,
}

impl OriginProcess {
    pub fn answering(body: &str) -> OriginProcess {
        let daemon = Setup::of(
            r#"
            workers = 1
            [listener.web]
            bind = ["$web"]
            [[route]]
            respond = { status = 200, body = "$body" }
            "#,
        )
        .with("body", body)
        .start();
        OriginProcess { daemon }
    }

    pub fn address(&self) -> SocketAddr {
        self.daemon.address("web")
    }

    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }
}
