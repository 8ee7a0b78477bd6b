//! One connection, plain or TLS, behind one type.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server::TlsStream};

use super::{side::CutOff, socket::Socket};

/// A connection after its handshake, if it has one. Shutting it down sends TLS's close_notify
/// before TCP's FIN.
#[derive(Debug)]
pub enum Stream {
    Plain(Socket),
    /// Boxed: a TLS session is over a kilobyte, a plain stream 32 bytes.
    Tls(Box<TlsStream<Socket>>),
    /// To a backend: we are the client.
    ClientTls(Box<client::TlsStream<Socket>>),
}

impl Stream {
    pub fn is_tls(&self) -> bool {
        self.session().is_some()
    }

    /// The socket below, for its addresses and options; bytes go through the stream itself.
    pub fn tcp(&self) -> &Socket {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::ClientTls(tls) => tls.get_ref().0,
        }
    }

    pub fn tcp_mut(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_mut().0,
            Stream::ClientTls(tls) => tls.get_mut().0,
        }
    }

    /// Whether there is nothing to read now, neither bytes nor an end: what an idle connection to a
    /// backend must be.
    ///
    /// This asks the runtime's cached readiness first, so that it costs no system call on a quiet socket.
    /// A byte that does come is lost with the connection.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Stream::ClientTls(tls) => is_quiet(tls),
            Stream::Plain(_) | Stream::Tls(_) => {
                let nothing = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
                self.tcp().try_read(&mut [0]).is_err_and(nothing)
            }
        }
    }

    /// The host name the client asked a certificate for (RFC 6066 section 3), in lower case.
    pub fn sni(&self) -> Option<&str> {
        match self {
            Stream::Plain(_) | Stream::ClientTls(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.server_name(),
        }
    }

    /// The negotiated protocol (RFC 7301), such as `http/1.1`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session()?.alpn_protocol()
    }

    /// `TLSv1.2` or `TLSv1.3`, as access logs and metric labels name them.
    pub fn protocol_version(&self) -> Option<&'static str> {
        match self.session()?.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// Whether the handshake resumed an earlier session and so proved no certificate anew.
    pub fn is_resumed(&self) -> bool {
        self.session()
            .is_some_and(|session| session.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    fn session(&self) -> Option<&CommonState> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(tls.get_ref().1),
            Stream::ClientTls(tls) => Some(tls.get_ref().1),
        }
    }
}

/// What lies in the socket may be no data: tickets of TLS 1.3 and key updates come whenever the
/// peer likes. They are taken in here, as else a connection on which they came would be given up,
/// and the tickets with it. Data that was decrypted before is something to read, too.
fn is_quiet(tls: &mut client::TlsStream<Socket>) -> bool {
    let (tcp, session) = tls.get_mut();
    loop {
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            Ok(_) | Err(_) => return false,
        }
        match session.read_tls(&mut Arrived(tcp)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// What has come by a socket already.
struct Arrived<'a>(&'a Socket);

impl Read for Arrived<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
            Stream::ClientTls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
            Stream::ClientTls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
            Stream::ClientTls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
            Stream::ClientTls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(context),
            Stream::ClientTls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(context),
            Stream::ClientTls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

impl CutOff for Stream {
    /// FIN without close_notify: a truncation to TLS (RFC 8446, section 6.1). Without TLS there is
    /// nothing between FIN and a reset, which could throw away what was sent before.
    fn poll_cut_off(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(self.tcp_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr, sync::Arc};

    use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::{
        config,
        net::{
            certificates::Pair,
            fixture::Directory,
            tls::{Tickets, server_config},
        },
    };

    async fn joined() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("a connection"), accepted.expect("a connection").0)
    }

    fn acceptor(pair: &Arc<Pair>) -> TlsAcceptor {
        let tls = config::Tls {
            certificates: vec![config::Certificate {
                cert: pair.cert().to_path_buf(),
                key: pair.key().to_path_buf(),
                default: false,
                place: Default::default(),
                key_place: Default::default(),
            }],
            min_version: config::TlsVersion::Tls12,
            versions: Some(config::Versions::Http1),
            clients: None,
        };
        let tickets = Tickets::new().expect("keys");
        let server =
            server_config(&tls, std::slice::from_ref(pair), None, &tickets).expect("a server");
        TlsAcceptor::from(server.config)
    }

    /// A client that trusts this certificate alone, and checks it as browsers do.
    fn connector(pair: &Pair) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(pair.leaf().clone()).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(client))
    }

    /// What the server's `stream` reads, and what it then writes in two slices.
    async fn answer(mut stream: Stream) -> String {
        let mut asked = String::new();
        stream.read_to_string(&mut asked).await.expect("a question");
        assert!(stream.is_write_vectored());
        let slices = [IoSlice::new(b"an "), IoSlice::new(b"answer")];
        let written = stream.write_vectored(&slices).await.expect("room");
        assert_eq!(written, 9);
        stream.shutdown().await.expect("an end");
        asked
    }

    async fn ask(mut client: impl AsyncRead + AsyncWrite + Unpin) -> String {
        client.write_all(b"a question").await.expect("room");
        client.shutdown().await.expect("an end");
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.expect("an answer with a clean end");
        answered
    }

    #[tokio::test]
    async fn who_is_cut_off_gets_all_and_can_tell() {
        let (mut client, mut server) = shaken().await;
        server.write_all(b"half").await.expect("room");
        poll_fn(|context| Pin::new(&mut server).poll_cut_off(context)).await.expect("an end");
        let mut heard = Vec::new();
        let end = client.read_to_end(&mut heard).await.expect_err("no clean end");
        assert_eq!((heard.as_slice(), end.kind()), (&b"half"[..], io::ErrorKind::UnexpectedEof));
        // The other half is open; and what closes us later makes no clean end of it.
        client.write_all(b"and").await.expect("room");
        client.flush().await.expect("room");
        server.read_exact(&mut [0; 3]).await.expect("the other half");
        assert!(server.shutdown().await.is_err(), "nothing can be sent any more");
        let end = client.read(&mut [0]).await.expect_err("no clean end");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn plain_bytes_pass_both_ways() {
        let (client, accepted) = joined().await;
        let stream = Stream::Plain(accepted.into());
        assert!(!stream.is_tls() && !stream.is_resumed());
        assert_eq!((stream.sni(), stream.alpn(), stream.protocol_version()), (None, None, None));
        assert_eq!(stream.tcp().local_addr().ok(), client.peer_addr().ok());
        let (answered, asked) = tokio::join!(ask(client), answer(stream));
        assert_eq!((asked.as_str(), answered.as_str()), ("a question", "an answer"));
    }

    /// A client's stream and a server's, by TLS 1.3.
    async fn shaken() -> (Stream, Stream) {
        let directory = Directory::new();
        let pair = directory.pair("a", &["a.example"]);
        let (client, accepted) = joined().await;
        let name = ServerName::try_from("a.example").expect("a name");
        let (client, server) = tokio::join!(
            connector(&pair).connect(name, Socket::from(client)),
            acceptor(&pair).accept(accepted.into())
        );
        let client = Stream::ClientTls(Box::new(client.expect("a handshake")));
        (client, Stream::Tls(Box::new(server.expect("a handshake"))))
    }

    /// Until something has come by the socket.
    async fn await_bytes(stream: &mut Stream) {
        stream.tcp_mut().readable().await.expect("an open socket");
    }

    #[tokio::test]
    async fn tickets_and_key_updates_are_no_bytes_to_read() {
        let (mut client, mut server) = shaken().await;
        // The server's tickets have been on their way since its side of the handshake was done.
        server.flush().await.expect("room");
        await_bytes(&mut client).await;
        assert!(client.is_quiet());
        if let Stream::Tls(tls) = &mut server {
            tls.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        }
        server.flush().await.expect("room");
        await_bytes(&mut client).await;
        assert!(client.is_quiet());
        server.write_all(b"more").await.expect("room");
        server.flush().await.expect("room");
        let mut more = [0; 4];
        client.read_exact(&mut more).await.expect("what came under the new key");
        assert_eq!(&more, b"more");
    }

    #[tokio::test]
    async fn data_and_an_end_are_something_to_read() {
        let (mut client, mut server) = shaken().await;
        server.write_all(b"unasked").await.expect("room");
        server.flush().await.expect("room");
        let mut first = [0; 2];
        client.read_exact(&mut first).await.expect("data");
        assert!(!client.is_quiet(), "the rest is decrypted and lies in the session");

        let (mut client, mut server) = shaken().await;
        server.shutdown().await.expect("an end");
        let mut nothing = [0; 1];
        assert_eq!(client.read(&mut nothing).await.ok(), Some(0));
        assert!(!client.is_quiet());

        let (client, server) = joined().await;
        let mut client = Stream::Plain(client.into());
        assert!(client.is_quiet());
        drop(server);
        await_bytes(&mut client).await;
        assert!(!client.is_quiet());
    }

    #[tokio::test]
    async fn tls_bytes_pass_both_ways_and_the_handshake_is_told() {
        let directory = Directory::new();
        let pair = directory.pair("a", &["a.example"]);
        let (client, accepted) = joined().await;
        let address = client.peer_addr().ok();
        let name = ServerName::try_from("A.example").expect("a name");
        let (client, stream) = tokio::join!(
            connector(&pair).connect(name, Socket::from(client)),
            acceptor(&pair).accept(accepted.into())
        );
        let stream = Stream::Tls(Box::new(stream.expect("a handshake")));
        assert!(stream.is_tls() && !stream.is_resumed());
        assert_eq!(stream.sni(), Some("a.example"));
        assert_eq!(stream.alpn(), Some(b"http/1.1".as_slice()));
        assert_eq!(stream.protocol_version(), Some("TLSv1.3"));
        assert_eq!(stream.tcp().local_addr().ok(), address);
        let (answered, asked) = tokio::join!(ask(client.expect("a handshake")), answer(stream));
        assert_eq!((asked.as_str(), answered.as_str()), ("a question", "an answer"));
    }
}
