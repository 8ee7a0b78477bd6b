//! The demo's own gentle load.
//!
//! What the demo has to show is traffic that moves when a backend falls sick, and that no request
//! fails of it. With a newcomer's single curl there would be neither to see, so the demo calls
//! itself, a few times a second, through the very door that a client takes: TLS, routing, balance.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Over all callers.
pub const REQUESTS_PER_SECOND: u64 = 20;

/// Each has one connection, so that more than one worker has something to do.
pub const CALLERS: u64 = 2;

/// Above every timeout that the front door answers for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer; the demo's backends say one line.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What the callers have met so far.
#[derive(Default)]
pub struct Tally {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Answers with status 200.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Any other answer, and none.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn count(&self, fine: bool) {
        let counter = if fine { &self.answered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client with one connection, which it opens anew when it has to.
pub struct Caller {
    address: SocketAddr,
    connector: TlsConnector,
    stream: Option<TlsStream<TcpStream>>,
}

impl Caller {
    /// A client that trusts this certificate and no other.
    ///
    /// # Errors
    /// The certificate can't be read.
    pub fn new(address: SocketAddr, certificate: &Path) -> io::Result<Caller> {
        let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Caller { address, connector: TlsConnector::from(Arc::new(config)), stream: None })
    }

    /// Calls until it is dropped. What comes before the first answer is not counted: until the
    /// first probes are in, the door rightly says 503.
    pub async fn call_on(mut self, tally: Arc<Tally>) {
        let mut ticks = interval(Duration::from_millis(1000 * CALLERS / REQUESTS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut begun = false;
        loop {
            ticks.tick().await;
            let fine = self.call().await;
            begun |= fine;
            if begun {
                tally.count(fine);
            }
        }
    }

    /// One request. `true`: it was answered with 200.
    async fn call(&mut self) -> bool {
        let stream = self.stream.take();
        match timeout(PATIENCE, exchange(self.address, &self.connector, stream)).await {
            Ok(Ok((head, stream))) => {
                self.stream = stream.filter(|_| !head.closes);
                head.status == 200
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

async fn exchange(
    address: SocketAddr,
    connector: &TlsConnector,
    stream: Option<TlsStream<TcpStream>>,
) -> io::Result<(Head, Option<TlsStream<TcpStream>>)> {
    let mut stream = match stream {
        Some(stream) => stream,
        None => open(address, connector).await?,
    };
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", address.port());
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match head(&answer)? {
            Some(head) if answer.len() >= head.length => return Ok((head, Some(stream))),
            _ if answer.len() > LONGEST_ANSWER => return Err(invalid("the answer is too long")),
            _ => {}
        }
    }
}

async fn open(address: SocketAddr, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    connector.connect(name, stream).await
}

/// As much of an answer as the load looks at.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of head and body.
    length: usize,
    /// The connection is not to be used again.
    closes: bool,
}

/// `None`: the head is not whole yet. An answer without a length is an error: the demo's backends
/// send none.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(io::Error::other)?;
    let (httparse::Status::Complete(head), Some(status)) = (parsed, response.code) else {
        return Ok(None);
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| str::from_utf8(header.value).ok())
    };
    let body = value("content-length").and_then(|text| text.parse::<usize>().ok());
    let body = body.ok_or_else(|| invalid("the answer has no length"))?;
    let closes = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
    Ok(Some(Head { status, length: head.saturating_add(body), closes }))
}

fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let length = text.len() + 5;
        let expected = Head { status: 200, length, closes: false };
        assert_eq!(head(text.as_bytes()).unwrap(), Some(expected));
        assert_eq!(head(&text.as_bytes()[..20]).unwrap(), None);
    }

    #[test]
    fn a_closing_answer_and_one_without_a_length() {
        let closing = "HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let seen = head(closing.as_bytes()).unwrap().unwrap();
        assert_eq!((seen.status, seen.closes), (503, true));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"\0").is_err());
    }
}
