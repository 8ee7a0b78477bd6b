//! Connections that go on with another protocol: WebSocket over HTTP/1.1 and over HTTP/2 (RFC 6455,
//! RFC 8441), with a WebSocket client and server that no one here wrote.

mod outlives;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use bytes::Bytes;
use tungstenite::{Message, WebSocket};

use crate::harness::{Client, DEADLINE, Daemon, ONE_BACKEND, Origin, Setup, request};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: echo\r\n\r\n";
const AGREED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// Echoes messages until its client closes, on every connection.
fn websocket_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else {
                    return;
                };
                while let Ok(message) = socket.read() {
                    let echoed = match message {
                        Message::Text(_) | Message::Binary(_) => socket.send(message),
                        _ => socket.flush(),
                    };
                    if echoed.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn front(origin: SocketAddr) -> Daemon {
    Setup::of(ONE_BACKEND).with("origin", origin).start()
}

fn websocket(daemon: &Daemon) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(daemon.address("web")).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    let (socket, answer) =
        tungstenite::client("ws://www.example.com/chat", stream).expect("an upgrade");
    assert_eq!(answer.status(), 101);
    socket
}

fn echoes(socket: &mut WebSocket<TcpStream>, message: Message) {
    socket.send(message.clone()).expect("a connection that takes it");
    assert_eq!(socket.read().expect("an echo"), message);
}

#[test]
fn a_websocket_carries_messages_pings_and_its_close() {
    let daemon = front(websocket_echo());
    let mut socket = websocket(&daemon);
    echoes(&mut socket, Message::text("hello"));
    echoes(&mut socket, Message::binary(vec![7; 3 << 20]));
    socket.send(Message::Ping(Bytes::from_static(b"p"))).expect("a connection that takes it");
    assert_eq!(socket.read().expect("a pong"), Message::Pong(Bytes::from_static(b"p")));
    daemon.wait_for_metric("equipoise_pool_tunnels_open", &[("pool", "app")], 1.0);
    socket.close(None).expect("a connection that takes it");
    let closed = socket.read().and_then(|_| socket.read());
    assert!(matches!(closed, Err(tungstenite::Error::ConnectionClosed)), "{closed:?}");
    drop(socket);
    daemon.wait_for_metric("equipoise_pool_tunnels_open", &[("pool", "app")], 0.0);
    assert_eq!(daemon.metric("equipoise_pool_tunnels_total", &[("pool", "app")]), 1.0);
}

#[test]
fn a_websocket_outlives_a_reload_and_has_the_drain_to_end_in() {
    let mut daemon = front(websocket_echo());
    let mut socket = websocket(&daemon);
    echoes(&mut socket, Message::text("before"));
    daemon.reload();
    echoes(&mut socket, Message::text("after the reload"));
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait_for_log("draining");
    echoes(&mut socket, Message::text("while it drains"));
    socket.close(None).expect("a connection that takes it");
    while socket.read().is_ok() {}
    drop(socket);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn the_drain_deadline_ends_a_websocket_that_does_not() {
    let config = format!("drain_timeout = \"300ms\"\n{ONE_BACKEND}");
    let mut daemon = Setup::of(&config).with("origin", websocket_echo()).start();
    let mut socket = websocket(&daemon);
    echoes(&mut socket, Message::text("before"));
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait_exit();
    assert!(socket.read().is_err());
}

#[test]
fn one_side_may_end_first_and_nothing_that_came_early_is_lost() {
    let origin = Origin::start(|peer| {
        let Some(asked) = peer.head() else {
            return;
        };
        assert_eq!(asked.field("Upgrade"), Some("echo"));
        assert_eq!(asked.field("Connection"), Some("upgrade"));
        peer.write(format!("{AGREED}first words"));
        let heard = peer.rest();
        peer.write([b" heard ", heard.as_slice()].concat());
    });
    let daemon = front(origin.address());
    let mut stream = TcpStream::connect(daemon.address("web")).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream.write_all(ASK.as_bytes()).expect("a connection that takes it");
    let mut head = [0; 11];
    let mut seen = Vec::new();
    while !seen.ends_with(b"first words") {
        let count = stream.read(&mut head).expect("the upgrade, and what came with it");
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&head[..count]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&seen));
    stream.write_all(b"and more").expect("a connection that takes it");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the other half");
    assert_eq!(rest, " heard and more");
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_is_closed() {
    let config =
        ONE_BACKEND.replace("[pool.app]", "[pool.app]\ntimeouts = { tunnel_idle = \"200ms\" }");
    let daemon = Setup::of(&config).with("origin", websocket_echo()).start();
    let mut socket = websocket(&daemon);
    echoes(&mut socket, Message::text("hello"));
    assert!(socket.read().is_err());
    let reason = [("reason", "tunnel-idle")];
    daemon.wait_for_metric("equipoise_http_errors_total", &reason, 1.0);
}

#[test]
fn h2c_and_tls_are_not_upgraded_to() {
    let origin = Origin::answering("plain");
    let daemon = front(origin.address());
    for protocol in ["h2c", "TLS/1.2", "websocket, h2c"] {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: upgrade, HTTP2-Settings\r\n\
             Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        assert_eq!(client.answer().text(), "plain", "{protocol}");
        let seen = &origin.take_requests()[0];
        for field in ["Upgrade", "HTTP2-Settings", "Connection"] {
            assert_eq!(seen.field(field), None, "{protocol}");
        }
    }
}

#[test]
fn an_upgrade_that_was_not_asked_for_is_the_backends_fault() {
    let origin = Origin::start(|peer| {
        while peer.head().is_some() {
            peer.write(AGREED);
        }
    });
    let daemon = front(origin.address());
    let other = ASK.replace("Upgrade: echo", "Upgrade: websocket");
    for asked in [other, request("/")] {
        let mut client = Client::connect(daemon.address("web"));
        client.send(asked);
        assert_eq!(client.answer().status, 502);
    }
}

#[test]
fn a_backend_that_declines_has_simply_answered() {
    let origin = Origin::answering("no upgrades here");
    let daemon = front(origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send(ASK);
    assert_eq!(client.answer().text(), "no upgrades here");
    assert_eq!(client.get("/next").text(), "no upgrades here");
}

/// Over HTTP/2, by a client of the h2 crate.
mod over_http2 {
    use super::*;
    use h2::{RecvStream, SendStream, client, ext::Protocol};
    use tokio::runtime::{Builder, Runtime};

    /// Asks for a tunnel: the answer, and where its client's words go.
    async fn ask(address: SocketAddr) -> (http::Response<RecvStream>, SendStream<Bytes>) {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let (requests, connection) = client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("room for a stream");
        while !requests.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let mut ask = http::Request::builder()
            .method("CONNECT")
            .uri("http://www.example.com/chat")
            .body(())
            .expect("a request");
        ask.extensions_mut().insert(Protocol::from_static("echo"));
        let (answer, tunnel) = requests.send_request(ask, false).expect("a stream");
        (answer.await.expect("an answer"), tunnel)
    }

    /// The next words, if there are any.
    async fn heard(body: &mut RecvStream) -> Option<Bytes> {
        let data = body.data().await?.expect("a clean end");
        body.flow_control().release_capacity(data.len()).expect("room to give back");
        Some(data)
    }

    /// Asks for a tunnel and says "hello" in it: the status, and what came back.
    async fn hello(address: SocketAddr) -> (u16, Vec<u8>) {
        let (answer, mut tunnel) = ask(address).await;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        if status == 200 {
            tunnel.send_data(Bytes::from_static(b"hello"), true).expect("an open stream");
        }
        let mut all = Vec::new();
        while let Some(data) = heard(&mut body).await {
            all.extend_from_slice(&data);
        }
        (status, all)
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn run_on<T>(runtime: &Runtime, future: impl Future<Output = T>) -> T {
        let within = async { tokio::time::timeout(DEADLINE, future).await.expect("in time") };
        runtime.block_on(within)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        run_on(&runtime(), future)
    }

    /// A stream that is a tunnel.
    pub struct Stream {
        runtime: Runtime,
        up: SendStream<Bytes>,
        down: RecvStream,
    }

    impl Stream {
        pub fn open(address: SocketAddr) -> Stream {
            let runtime = runtime();
            let (answer, up) = run_on(&runtime, ask(address));
            assert_eq!(answer.status(), 200);
            Stream { runtime, up, down: answer.into_body() }
        }

        pub fn say(&mut self, words: &'static [u8]) {
            self.up.send_data(Bytes::from_static(words), false).expect("an open stream");
        }

        /// The next words, so many bytes of them.
        pub fn hear(&mut self, length: usize) -> Vec<u8> {
            let mut all = Vec::new();
            while all.len() < length {
                let data = run_on(&self.runtime, heard(&mut self.down));
                all.extend_from_slice(&data.expect("an open stream"));
            }
            all
        }

        /// Says no more: what comes until the other end does so too.
        pub fn rest(mut self) -> Vec<u8> {
            self.up.send_data(Bytes::new(), true).expect("an open stream");
            let mut all = Vec::new();
            while let Some(data) = run_on(&self.runtime, heard(&mut self.down)) {
                all.extend_from_slice(&data);
            }
            all
        }
    }

    #[test]
    fn an_extended_connect_becomes_an_upgrade() {
        let origin = Origin::start(|peer| {
            let Some(asked) = peer.head() else {
                return;
            };
            assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/chat"));
            assert_eq!(asked.field("Upgrade"), Some("echo"));
            // Some servers say that it has no body.
            peer.write(AGREED.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"));
            let heard = peer.rest();
            peer.write([b"heard ", heard.as_slice()].concat());
        });
        let daemon = front(origin.address());
        let (status, heard) = run(hello(daemon.address("web")));
        assert_eq!((status, heard.as_slice()), (200, &b"heard hello"[..]));
    }

    #[test]
    fn a_backend_that_declines_has_simply_answered() {
        let origin = Origin::start(|peer| {
            while peer.request().is_some() {
                peer.answer(403, "no");
            }
        });
        let daemon = front(origin.address());
        let (status, heard) = run(hello(daemon.address("web")));
        assert_eq!((status, heard.as_slice()), (403, &b"no"[..]));
    }

    #[test]
    fn backends_that_speak_http2_are_asked_for_none() {
        let config = ONE_BACKEND.replace("[pool.app]", "[pool.app]\nprotocol = \"h2\"");
        let daemon = Setup::of(&config).with("origin", websocket_echo()).start();
        assert_eq!(run(hello(daemon.address("web"))).0, 501);
    }
}

#[test]
fn a_tunnel_counts_as_under_way_at_its_backend() {
    let daemon = front(websocket_echo());
    let mut socket = websocket(&daemon);
    echoes(&mut socket, Message::text("hello"));
    daemon.wait_for_metric("equipoise_backend_in_flight", &[("pool", "app")], 1.0);
    drop(socket);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[("pool", "app")], 0.0);
}
