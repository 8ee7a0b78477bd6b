//! A client that sends bytes verbatim and reads answers strictly, each step with a deadline.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{
    DEADLINE,
    http::{Answer, Broken, End, Reader},
    tls,
};

pub struct Client {
    reader: Reader<Wire>,
}

/// A client's end of a connection.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One request on a connection of its own.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(address);
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n"));
    client.answer()
}

/// A GET that keeps the connection.
pub fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the listener takes connections")
    }

    /// Takes little at a time, so that a daemon soon has to wait for it.
    #[track_caller]
    pub fn connect_with_small_buffer(address: SocketAddr) -> Client {
        let client = Client::connect(address);
        let socket = socket2::SockRef::from(client.tcp());
        socket.set_recv_buffer_size(16 << 10).expect("a size");
        client
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client { reader: Reader::new(Wire::plain(address)?) })
    }

    /// Shakes hands, asking for `name`.
    pub fn tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Client> {
        Ok(Client { reader: Reader::new(Wire::tls(address, config, name)?) })
    }

    /// A GET on this connection.
    /// Its own end.
    pub fn address(&self) -> SocketAddr {
        self.tcp().local_addr().expect("an open socket")
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(request(path));
        self.answer()
    }

    /// Verbatim.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the daemon takes the bytes");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let wire = &mut self.reader.stream;
        wire.write_all(bytes.as_ref())?;
        wire.flush()
    }

    /// The answer to any method but HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method).expect("an answer comes")
    }

    pub fn try_answer(&mut self) -> Result<Answer, Broken> {
        self.try_answer_to("GET")
    }

    /// One answer, interim or final. A body that breaks off is in it, with how it broke.
    pub fn try_answer_to(&mut self, method: &str) -> Result<Answer, Broken> {
        let mut answer = self.reader.answer_head()?;
        let framing = answer.framing(method)?;
        match self.reader.body(framing, &mut answer.body) {
            Ok(trailers) => answer.trailers = trailers,
            Err(broken) => answer.end = End::Cut(broken),
        }
        Ok(answer)
    }

    /// The head of an answer whose body is read by `take`.
    #[track_caller]
    pub fn answer_head(&mut self) -> Answer {
        self.reader.answer_head().expect("an answer comes")
    }

    /// Exactly `length` bytes of a body.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::with_capacity(length);
        self.reader.take(length, &mut bytes).map(|()| bytes)
    }

    /// All that comes until the daemon closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::new();
        self.reader.rest(&mut bytes).map(|_| bytes)
    }

    /// Waits for the daemon's close; false if it sends more, or keeps the connection.
    pub fn sees_close(&mut self) -> bool {
        self.reader.ended()
    }

    pub fn set_patience(&mut self, time: Duration) {
        self.tcp().set_read_timeout(Some(time)).expect("a time above zero");
    }

    /// The certificate that the daemon chose, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        let chain = self.session().peer_certificates();
        chain.expect("the handshake is done")[0].to_vec()
    }

    pub fn tls_version(&self) -> rustls::ProtocolVersion {
        self.session().protocol_version().expect("the handshake is done")
    }

    pub fn key_exchange(&self) -> rustls::NamedGroup {
        let group = self.session().negotiated_key_exchange_group();
        group.expect("the handshake is done").name()
    }

    /// What ALPN chose.
    pub fn protocol(&self) -> Option<String> {
        let name = self.session().alpn_protocol();
        name.map(|name| String::from_utf8_lossy(name).into_owned())
    }

    pub fn resumed(&self) -> bool {
        self.session().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Says by TLS that no more is sent; what the daemon sends is still read.
    #[track_caller]
    pub fn close_notify(&mut self) {
        let Wire::Tls(stream) = &mut self.reader.stream else {
            panic!("this client speaks no TLS");
        };
        stream.conn.send_close_notify();
        stream.flush().expect("the daemon takes it");
    }

    /// Says by TCP that no more is sent, and by TLS nothing of it, as those do who just close.
    #[track_caller]
    pub fn half_close(&self) {
        self.tcp().shutdown(Shutdown::Write).expect("a half that can be closed");
    }

    fn session(&self) -> &ClientConnection {
        match &self.reader.stream {
            Wire::Plain(_) => panic!("this client speaks no TLS"),
            Wire::Tls(stream) => &stream.conn,
        }
    }

    fn tcp(&self) -> &TcpStream {
        self.reader.stream.tcp()
    }
}

impl Wire {
    pub fn plain(address: SocketAddr) -> io::Result<Wire> {
        Ok(Wire::Plain(open(address)?))
    }

    pub fn tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Wire> {
        let mut stream = StreamOwned::new(tls::connection(config, name), open(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Wire::Tls(Box::new(stream)))
    }

    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(into),
            Wire::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}
