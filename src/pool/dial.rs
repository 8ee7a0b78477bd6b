//! The one place where a connection to a backend is made: TCP, and TLS where the pool says so.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::sleep,
};

use crate::{
    config::Endpoint,
    net::{
        proxy_protocol::Announcement,
        socket::Socket,
        stream::Stream,
        tls::{Alpn, Cause, ClientTls, HandshakeError},
    },
    observe::metrics::BackendHandshake,
    pool::{
        backend::Backend,
        members::{Member, Pool},
    },
};

/// From one try to the next at a Unix socket whose backlog is full: the kernel does not let us wait
/// for room there (connect(2), EAGAIN).
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What a connection to a backend shall be.
#[derive(Clone, Copy)]
pub struct Dial<'a> {
    pub backend: &'a Backend,
    /// The name that the server goes by; `None`: it has none but its address.
    pub name: Option<&'a str>,
    /// A probe may ask at another port than the one that serves.
    pub address: &'a Endpoint,
    /// `None`: plain.
    pub tls: Option<&'a ClientTls>,
    /// What is spoken inside TLS.
    pub alpn: Alpn,
    /// What is said ahead of all else, TLS included; `None`: nothing.
    pub announced: Option<Announcement>,
    /// In which handshakes are counted.
    pub metrics_slot: usize,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// TCP did not come about.
    Connect(io::Error),
    /// The backend is not who it must be, or we are not for it, or it speaks no TLS.
    Handshake(HandshakeError),
}

impl<'a> Dial<'a> {
    /// To where the backend serves; nothing is announced.
    pub fn new(pool: &'a Pool, member: &'a Member, alpn: Alpn, metrics_slot: usize) -> Dial<'a> {
        let (backend, name) = (&*member.backend, member.name.as_deref());
        let (tls, announced) = (pool.tls.as_deref(), None);
        Dial { backend, name, address: backend.address(), tls, alpn, announced, metrics_slot }
    }
}

/// Connects. It has no deadline of its own: whoever waits for it knows how long to wait, and what
/// else may end the wait.
pub async fn dial(how: &Dial<'_>) -> Result<Stream, DialError> {
    let mut socket = connect(how).await.map_err(DialError::Connect)?;
    if let Some(announced) = how.announced {
        socket.write_all(&announced.header()).await.map_err(DialError::Connect)?;
    }
    match (how.tls, how.address) {
        (None, _) => Ok(Stream::Plain(socket)),
        // Boxed: a handshake is large, and would make every request that dials plainly as large.
        (Some(tls), Endpoint::Tcp(address)) => {
            Box::pin(shake_hands(how, tls, *address, socket)).await
        }
        // The configuration has no such pool.
        (Some(_), Endpoint::Unix(_)) => Err(DialError::Connect(io::ErrorKind::Unsupported.into())),
    }
}

async fn connect(how: &Dial<'_>) -> io::Result<Socket> {
    match how.address {
        Endpoint::Tcp(address) => {
            let tcp = TcpStream::connect(address).await?;
            // Heads and short bodies leave in one write: there is nothing to wait for.
            tcp.set_nodelay(true)?;
            Ok(tcp.into())
        }
        Endpoint::Unix(path) => {
            let unix = connect_local(path, how.backend).await?;
            Ok(Socket::local(unix.into_std()?))
        }
    }
}

/// Waits for room in the backlog, as TCP does by itself.
async fn connect_local(path: &str, backend: &Backend) -> io::Result<UnixStream> {
    let mut pause = FIRST_PAUSE;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            connected => return connected,
        }
        if pause == LONGEST_PAUSE {
            complain(
                backend,
                "the backlog of the socket is full: its server takes no more connections for now \
                 (listen.backlog and pm.max_children of php-fpm)",
            );
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

fn complain(backend: &Backend, words: &str) {
    if backend.may_complain(Instant::now()) {
        let key = backend.key();
        tracing::warn!("pool {}: {}: {words}", key.pool, key.address);
    }
}

async fn shake_hands(
    how: &Dial<'_>,
    tls: &ClientTls,
    address: SocketAddr,
    socket: Socket,
) -> Result<Stream, DialError> {
    let connected = tls.connect(socket, address, how.name, how.alpn).await;
    let connected = connected.and_then(|stream| speaking(how.alpn, stream));
    let ended = match &connected {
        Ok(stream) if stream.is_resumed() => BackendHandshake::Resumed,
        Ok(_) => BackendHandshake::Full,
        Err(_) => BackendHandshake::Failed,
    };
    how.backend.metrics().handshake(how.metrics_slot, ended);
    connected.map_err(DialError::Handshake)
}

/// HTTP/2 is spoken to those alone who have agreed to it (RFC 9113, section 3.2). HTTP/1.1 is what a
/// peer speaks that agrees to nothing.
fn speaking(alpn: Alpn, stream: Stream) -> Result<Stream, HandshakeError> {
    match alpn {
        Alpn::Http2 if stream.alpn() != Some(b"h2") => {
            let words = "the backend does not agree to h2 (ALPN)".to_owned();
            Err(HandshakeError { cause: Cause::Protocol, words })
        }
        Alpn::Http2 | Alpn::Http1 | Alpn::Silent => Ok(stream),
    }
}

impl DialError {
    /// Says in the log what a client must not be told and a metric can't say, seldom enough that a
    /// backend with a bad certificate does not fill it.
    pub fn log(&self, backend: &Backend) {
        let words = match (self, backend.address()) {
            (DialError::Handshake(error), _) => format!("TLS handshake failed: {error}"),
            (DialError::Connect(error), Endpoint::Unix(_)) => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "permission denied: our user must be let write to the socket (listen.group of \
                     php-fpm)"
                        .to_owned()
                }
                io::ErrorKind::NotFound => "there is no such socket".to_owned(),
                _ => return,
            },
            (DialError::Connect(_), Endpoint::Tcp(_)) => return,
        };
        complain(backend, &words);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{observe::metrics::Metrics, pool::backend::Key};
    use rustix::net::sockopt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_full_backlog_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        rustix::net::listen(&listener, 1).expect("a backlog of 1");
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
        }
        let text = path.to_str().expect("UTF-8");
        let endpoint = Endpoint::Unix(text.into());
        let key = Key { pool: "app".into(), address: endpoint };
        let backend = Backend::new(key, Arc::default(), Metrics::new(1).backend("app", text));
        let mut connected = Box::pin(connect_local(text, &backend));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut connected).await;
        assert!(early.is_err(), "{early:?}");
        listener.accept().expect("one that waits");
        connected.await.expect("there is room");
    }

    #[tokio::test]
    async fn a_connection_has_no_delay_and_nobody_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let metrics = Metrics::new(1).backend("app", "127.0.0.1:80");
        let endpoint = Endpoint::Tcp(address);
        let key = Key { pool: "app".into(), address: endpoint.clone() };
        let backend = Backend::new(key, Arc::default(), metrics);
        let how = Dial {
            backend: &backend,
            name: None,
            address: &endpoint,
            tls: None,
            alpn: Alpn::Silent,
            announced: None,
            metrics_slot: 0,
        };
        let stream = dial(&how).await.expect("a connection");
        assert!(sockopt::tcp_nodelay(stream.tcp().as_fd().expect("open")).expect("an option"));
        drop(listener);
        let error = dial(&how).await.expect_err("nobody listens");
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        assert!(matches!(&error, DialError::Connect(error) if refused(error)), "{error:?}");
    }
}
