//! A tunnel is of no configuration: it outlives its route and its pool, keeps its place at the
//! backend until it ends, and is told of however it ends.

use rustix::process::Signal;
use serde_json::Value;

use super::{over_http2::Stream, *};
use crate::harness::{Broken, get, wait_until};

const TWO_POOLS: &str = r#"
    workers = 2
    [access_log]
    to = "$dir/access.log"
    [listener.web]
    bind = ["$web"]
    [[route]]
    name = "everything"
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
    max_requests = 1
    [pool.other]
    backends = ["$other"]
"#;

const IN_FLIGHT: &str = "equipoise_backend_in_flight";
const TUNNELS: &str = "equipoise_pool_tunnels_open";
const APP: [(&str, &str); 1] = [("pool", "app")];

/// One end of a tunnel, of which the other says the same.
trait Echoed {
    fn echoes(&mut self, words: &'static str);
    fn end(self);
}

impl Echoed for WebSocket<TcpStream> {
    fn echoes(&mut self, words: &'static str) {
        echoes(self, Message::text(words));
    }

    fn end(mut self) {
        self.close(None).expect("a connection that takes it");
        while self.read().is_ok() {}
    }
}

impl Echoed for Stream {
    fn echoes(&mut self, words: &'static str) {
        self.say(words.as_bytes());
        assert_eq!(self.hear(words.len()), words.as_bytes());
    }

    fn end(self) {
        assert_eq!(self.rest(), b"");
    }
}

/// Agrees to an upgrade, then says what it hears.
fn echo() -> Origin {
    Origin::start(|peer| {
        if peer.head().is_none() {
            return;
        }
        peer.write(AGREED);
        let mut heard = [0; 1024];
        while let Ok(count @ 1..) = peer.read(&mut heard) {
            peer.write(&heard[..count]);
        }
    })
}

/// A daemon with both pools before these backends; "other" answers the second.
fn two_pools(origin: SocketAddr, other: &Origin) -> Daemon {
    let setup = Setup::of(TWO_POOLS).with("origin", origin);
    setup.with("other", other.address()).start()
}

#[track_caller]
fn reload_as(daemon: &mut Daemon, config: &str) {
    daemon.rewrite(config);
    daemon.reload();
    daemon.wait_for_metric("equipoise_generations_alive", &[], 1.0);
}

fn logged(daemon: &Daemon) -> Vec<Value> {
    let log = std::fs::read_to_string(daemon.dir().join("access.log")).unwrap_or_default();
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The line of the one tunnel.
#[track_caller]
fn tunnel_line(daemon: &Daemon) -> Value {
    let of_tunnel = |line: &Value| line["target"] == "/chat";
    wait_until(DEADLINE, "the tunnel's line", || logged(daemon).iter().any(of_tunnel));
    logged(daemon).into_iter().find(of_tunnel).expect("found above")
}

#[track_caller]
fn assert_whole(line: &Value, protocol: &str, status: u16) {
    for (key, value) in [
        ("method", "GET"),
        ("host", "www.example.com"),
        ("protocol", protocol),
        ("listener", "web"),
        ("route", "everything"),
        ("pool", "app"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!((&line["status"], &line["attempts"]), (&status.into(), &1.into()), "{line}");
    assert!(line["bytes_in"].as_u64() > Some(0) && line["bytes_out"].as_u64() > Some(0), "{line}");
    assert!(line["total_ms"].as_f64() > line["first_byte_ms"].as_f64(), "{line}");
}

/// Its route leads away, then its pool goes, then comes back: it carries on, and no old generation
/// does.
fn outlives_route_and_pool(daemon: &mut Daemon, mut tunnel: impl Echoed) {
    tunnel.echoes("as it began");
    let elsewhere = TWO_POOLS.replace("pool = \"app\"", "pool = \"other\"");
    reload_as(daemon, &elsewhere);
    tunnel.echoes("its route leads away");
    assert_eq!(get(daemon.address("web"), "/").text(), "other");
    assert_eq!(daemon.metric(IN_FLIGHT, &APP), 1.0, "its backend is still in use");
    let (before, after) = elsewhere.split_once("[pool.app]").expect("the pool");
    let (_, other) = after.split_once("[pool.other]").expect("the other pool");
    reload_as(daemon, &format!("{before}[pool.other]{other}"));
    tunnel.echoes("its pool is gone");
    assert_eq!(daemon.metric(TUNNELS, &APP), 1.0);
    assert!(logged(daemon).iter().all(|line| line["target"] != "/chat"), "it has not ended yet");
    tunnel.end();
    daemon.wait_for_metric(TUNNELS, &APP, 0.0);
    reload_as(daemon, TWO_POOLS);
    assert_eq!(daemon.metric(IN_FLIGHT, &APP), 0.0);
}

#[test]
fn a_websocket_outlives_its_route_and_its_pool() {
    let other = Origin::answering("other");
    let mut daemon = two_pools(websocket_echo(), &other);
    let socket = websocket(&daemon);
    outlives_route_and_pool(&mut daemon, socket);
    let line = tunnel_line(&daemon);
    assert_whole(&line, "HTTP/1.1", 101);
    assert!(line.get("reason").is_none(), "{line}");
    echoes(&mut websocket(&daemon), Message::text("there is a place again"));
}

#[test]
fn a_stream_that_is_a_tunnel_outlives_its_route_and_its_pool() {
    let (origin, other) = (echo(), Origin::answering("other"));
    let mut daemon = two_pools(origin.address(), &other);
    let stream = Stream::open(daemon.address("web"));
    outlives_route_and_pool(&mut daemon, stream);
    let line = tunnel_line(&daemon);
    assert_whole(&line, "HTTP/2.0", 200);
    let said = ["as it began", "its route leads away", "its pool is gone"].concat().len();
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&said.into(), &said.into()), "{line}");
    assert!(line.get("reason").is_none(), "{line}");
}

#[test]
fn a_tunnel_keeps_its_place_over_reloads_and_gives_it_to_who_waits() {
    let origin = echo();
    let config = TWO_POOLS.replace("max_requests = 1", "max_requests = 1\nqueue = { max = 2 }");
    let setup = Setup::of(&config).with("origin", origin.address());
    let mut daemon = setup.with("other", origin.address()).start();
    let mut tunnel = Stream::open(daemon.address("web"));
    tunnel.echoes("before");
    reload_as(&mut daemon, &config.replace("fall = 0", "fall = 0, count_5xx = true"));
    let mut next = TcpStream::connect(daemon.address("web")).expect("a connection");
    next.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    next.write_all(ASK.as_bytes()).expect("a connection that takes it");
    daemon.wait_for_metric("equipoise_pool_queue_length", &APP, 1.0);
    tunnel.echoes("while another waits");
    assert_eq!(daemon.metric(IN_FLIGHT, &APP), 1.0);
    tunnel.end();
    let mut head = [0; 12];
    next.read_exact(&mut head).expect("the place");
    assert_eq!(&head, b"HTTP/1.1 101");
    drop(next);
    daemon.wait_for_metric(IN_FLIGHT, &APP, 0.0);
}

/// What is left at the drain's deadline is cut, which its line says.
fn is_cut(daemon: &mut Daemon, mut tunnel: impl Echoed) -> Value {
    tunnel.echoes("before");
    daemon.signal(Signal::TERM);
    daemon.wait_exit();
    let line = tunnel_line(daemon);
    assert_eq!(line["reason"], "drain-timeout", "{line}");
    line
}

fn about_to_drain(origin: SocketAddr) -> Daemon {
    let config = format!("drain_timeout = \"300ms\"\n{TWO_POOLS}");
    Setup::of(&config).with("origin", origin).with("other", origin).start()
}

#[test]
fn a_websocket_that_the_drain_deadline_cuts_has_its_line() {
    let mut daemon = about_to_drain(websocket_echo());
    let socket = websocket(&daemon);
    assert_whole(&is_cut(&mut daemon, socket), "HTTP/1.1", 101);
}

#[test]
fn a_stream_that_the_drain_deadline_cuts_has_its_line() {
    let origin = echo();
    let mut daemon = about_to_drain(origin.address());
    let stream = Stream::open(daemon.address("web"));
    assert_whole(&is_cut(&mut daemon, stream), "HTTP/2.0", 200);
}

#[test]
fn the_drain_deadline_resets_both_ends_of_a_tunnel() {
    let origin = echo();
    let mut daemon = about_to_drain(origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send(ASK);
    assert_eq!(client.answer_head().status, 101);
    daemon.signal(Signal::TERM);
    daemon.wait_exit();
    assert_eq!(client.rest(), Err(Broken::Reset), "no clean end");
}
