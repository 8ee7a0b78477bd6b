//! One probe on the wire: a connection of its own, one question, and the answer in words.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    config::{Endpoint, Health, HttpProbe, ProbeKind, Protocol, Words},
    control::probe::{
        answer::{self, End, MAX_ANSWER, Reading},
        fastcgi, h2,
    },
    net::stream::Stream,
    pool::{
        dial::{Dial, DialError, dial},
        health::ProbeResult,
        release::Reported,
    },
    units::duration_text,
};

/// What a probe that passed found: in words, and of the release.
pub type Asked = (String, Reported);

pub const USER_AGENT: &str = concat!("equipoise-probe/", env!("CARGO_PKG_VERSION"));

/// Asks as `health` says, by `protocol`, over a connection as `how` says.
pub async fn probe(health: &Health, protocol: Protocol, how: &Dial<'_>) -> ProbeResult {
    let began = Instant::now();
    let mut bytes = Vec::new();
    let asked = async {
        match &health.kind {
            ProbeKind::Tcp => {
                let connected = |_| ("connected".to_owned(), Reported::NotAsked);
                connect(how).await.map(connected)
            }
            ProbeKind::Http(probe) => {
                let stream = connect(how).await?;
                match protocol {
                    Protocol::H2 => h2::ask(probe, how, stream, &mut bytes).await,
                    Protocol::Http1 => http(probe, how, stream, &mut bytes).await,
                    Protocol::Fastcgi => fastcgi::ask(probe, how, stream, &mut bytes).await,
                }
            }
        }
    };
    let late = || Err(format!("no answer within {}", duration_text(health.timeout)));
    let asked = timeout(health.timeout, asked).await.unwrap_or_else(|_| late());
    match asked.or_else(|words| broken_off(&health.kind, &bytes).ok_or(words)) {
        Ok((words, release)) => {
            ProbeResult::Passed { words: passed(&words, &release, began.elapsed()), release }
        }
        Err(words) => ProbeResult::Failed(words),
    }
}

/// An answer that broke off in the body, which was waited for only because of the release: what has
/// come passes, so that a probe that reads a release fails where any other would, and nowhere else.
fn broken_off(kind: &ProbeKind, bytes: &[u8]) -> Option<Asked> {
    let ProbeKind::Http(probe) = kind else {
        return None;
    };
    match answer::read(probe, bytes, End::Reached) {
        Reading::Passed { status, release } => Some((status.to_string(), release)),
        Reading::More | Reading::Failed(_) => None,
    }
}

/// `200 in 3 ms`; `200 in 3 ms, release unknown: X-Release is missing`.
fn passed(words: &str, release: &Reported, elapsed: Duration) -> String {
    let took = took(elapsed);
    match release {
        Reported::Unread(why) => format!("{words} in {took}, release unknown: {why}"),
        Reported::NotAsked | Reported::Release(_) => format!("{words} in {took}"),
    }
}

async fn connect(how: &Dial<'_>) -> Result<Stream, String> {
    dial(how).await.map_err(|error| match error {
        DialError::Connect(error) => words(&error),
        DialError::Handshake(error) => format!("TLS handshake failed: {error}"),
    })
}

async fn http(
    probe: &HttpProbe,
    how: &Dial<'_>,
    mut stream: Stream,
    bytes: &mut Vec<u8>,
) -> Result<Asked, String> {
    let request = request(probe, how);
    stream.write_all(request.as_bytes()).await.map_err(|error| words(&error))?;
    stream.flush().await.map_err(|error| words(&error))?;
    bytes.reserve(4096);
    loop {
        let room = (MAX_ANSWER - bytes.len()) as u64;
        let read = (&mut stream).take(room).read_buf(bytes).await;
        let end = match read.map_err(|error| words(&error))? {
            0 => End::Reached,
            _ if bytes.len() >= MAX_ANSWER => End::Reached,
            _ => End::Open,
        };
        match answer::read(probe, bytes, end) {
            Reading::More => {}
            Reading::Passed { status, release } => return Ok((status.to_string(), release)),
            Reading::Failed(words) => return Err(words),
        }
    }
}

fn request(probe: &HttpProbe, how: &Dial<'_>) -> String {
    let (method, path, host) = (method(probe), &probe.path, authority(probe, how));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
}

pub(super) fn method(probe: &HttpProbe) -> &'static str {
    probe.method.word()
}

/// Whom it asks for.
pub(super) fn authority(probe: &HttpProbe, how: &Dial<'_>) -> String {
    let address = how.backend.address();
    match (&probe.host, how.name) {
        (Some(host), _) => host.clone(),
        (None, Some(name)) => match address {
            Endpoint::Tcp(address) => format!("{name}:{}", address.port()),
            Endpoint::Unix(_) => name.to_owned(),
        },
        (None, None) => address.authority(),
    }
}

/// What people call it, without the number of the error.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

/// `3 ms`; below one, `0.4 ms`.
fn took(elapsed: Duration) -> String {
    let milliseconds = elapsed.as_secs_f64() * 1000.0;
    if milliseconds < 1.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use std::sync::Arc;

    use super::*;
    use crate::{
        config::{ProbeMethod, Start},
        net::tls::Alpn,
        observe::metrics::Metrics,
        pool::backend::{Backend, Key},
    };
    use tokio::net::TcpListener;

    fn health(kind: ProbeKind) -> Health {
        Health {
            kind,
            interval: Duration::from_secs(5),
            timeout: Duration::from_millis(200),
            rise: 2,
            fall: 3,
            jitter: 0.0,
            start: Start::Wait,
            port: None,
            tls: true,
        }
    }

    fn backend(address: SocketAddr) -> Arc<Backend> {
        let metrics = Metrics::new(1).backend("app", "127.0.0.1:80");
        Backend::new(Key { pool: "app".into(), address: address.into() }, Arc::default(), metrics)
    }

    fn plainly(backend: &Backend) -> Dial<'_> {
        let address = backend.address();
        Dial {
            backend,
            name: None,
            address,
            tls: None,
            alpn: Alpn::Http1,
            announced: None,
            metrics_slot: 0,
        }
    }

    fn get(text: Option<&str>) -> ProbeKind {
        ProbeKind::Http(HttpProbe {
            method: ProbeMethod::Get,
            path: "/healthz".to_owned(),
            host: Some("app.example".to_owned()),
            status: vec![(200, 399)],
            text: text.map(str::to_owned),
            release: None,
        })
    }

    /// A backend that says `answer` (and then closes) to whoever asks for /healthz.
    async fn check(kind: ProbeKind, answer: Option<&'static str>, expected: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
            asked
        });
        let backend = backend(address);
        let result = probe(&health(kind), Protocol::Http1, &plainly(&backend)).await;
        assert!(format!("{result:?}").contains(expected), "{result:?}");
        answering.abort();
    }

    #[tokio::test]
    async fn an_answer_in_words() {
        check(get(None), Some("HTTP/1.1 200 OK\r\n\r\n"), "Passed { words: \"200 in ").await;
        check(get(None), Some("HTTP/1.1 503 No\r\n\r\n"), "Failed(\"503, expected 200-399\")")
            .await;
        check(get(Some("ok")), Some("HTTP/1.1 200 OK\r\n\r\nno"), "lacks \\\"ok\\\"").await;
        check(get(None), Some(""), "Failed(\"closed without an answer\")").await;
        check(get(None), None, "Failed(\"no answer within 200ms\")").await;
        check(ProbeKind::Tcp, Some(""), "Passed { words: \"connected in ").await;
    }

    #[tokio::test]
    async fn nobody_there_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let backend = backend(address);
        let result = probe(&health(ProbeKind::Tcp), Protocol::Http1, &plainly(&backend)).await;
        assert_eq!(result, ProbeResult::Failed("connection refused".to_owned()));
    }

    #[test]
    fn the_question_names_its_asker() {
        let ProbeKind::Http(probe) = get(None) else { unreachable!() };
        let backend = backend("127.0.0.1:80".parse().unwrap());
        let asked = request(&probe, &plainly(&backend));
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\nHost: app.example\r\n"), "{asked}");
        assert!(asked.contains("\r\nUser-Agent: equipoise-probe/"), "{asked}");
        assert!(asked.ends_with("\r\nConnection: close\r\n\r\n"), "{asked}");
        let probe = HttpProbe { host: None, ..probe };
        let named = Dial { name: Some("app.internal"), ..plainly(&backend) };
        for (how, host) in [(plainly(&backend), "127.0.0.1:80"), (named, "app.internal:80")] {
            let asked = request(&probe, &how);
            assert!(asked.contains(&format!("\r\nHost: {host}\r\n")), "{asked}");
        }
    }
}
