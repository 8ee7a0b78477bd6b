//! What clients may take of a listener that relays: connections, from one address and in all, and
//! time.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::{ENDED, IN_FLIGHT, REFUSED, assert_closed, config, connect, parrot};
use crate::harness::{
    Authority, Broken, Client, DEADLINE, Daemon, Origin, Setup, TlsVersions, client_config,
    wait_until,
};

fn before(listener: &str, origin: &Origin) -> Daemon {
    Setup::of(&config(listener, "")).with("origin", origin.address()).start()
}

fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of this machine");
    socket.connect(&address.into()).expect("the listener takes connections");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

/// Whether it hears its backend's hello.
fn greeted(stream: &mut TcpStream) -> bool {
    stream.read_exact(&mut [0; 6]).is_ok()
}

#[test]
fn a_source_has_its_share_of_connections() {
    let origin = parrot();
    let daemon = before("max_connections_per_source = 2", &origin);
    let relay = daemon.address("relay");
    let mut both = [connect(relay), connect(relay)];
    assert!(both.iter_mut().all(greeted));
    assert_closed(&mut connect(relay));
    daemon.wait_for_metric(REFUSED, &[("reason", "source-limit")], 1.0);
    assert!(greeted(&mut connect_from("127.0.0.2", relay)), "it is not the others' fault");
    let [first, _second] = both;
    drop(first);
    wait_until(DEADLINE, "the place to be free again", || greeted(&mut connect(relay)));
    daemon.wait_for_metric(IN_FLIGHT, &[], 1.0);
}

#[test]
fn a_reload_counts_the_connections_of_before() {
    let origin = parrot();
    let mut daemon = before("", &origin);
    let mut first = connect(daemon.address("relay"));
    assert!(greeted(&mut first));
    daemon.rewrite(&config("max_connections_per_source = 1", ""));
    daemon.reload();
    assert_closed(&mut connect(daemon.address("relay")));
    first.write_all(b"you").expect("it goes on");
    first.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = String::new();
    first.read_to_string(&mut heard).expect("a clean end");
    assert_eq!(heard, "you");
    wait_until(DEADLINE, "the place to be free", || greeted(&mut connect(daemon.address("relay"))));
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let origin = parrot();
    let daemon = before("max_connections = 1", &origin);
    let mut first = connect(daemon.address("relay"));
    assert!(greeted(&mut first));
    let mut second = Client::connect(daemon.address("relay"));
    second.send("you");
    second.set_patience(Duration::from_millis(300));
    assert_eq!(second.take(1), Err(Broken::TimedOut), "it waits");
    assert_eq!(origin.connections(), 1);
    drop(first);
    second.set_patience(DEADLINE);
    assert_eq!(second.take(6), Ok(b"hello ".to_vec()));
    second.half_close();
    assert_eq!(second.rest(), Ok(b"you".to_vec()));
}

#[test]
fn one_half_that_has_ended_puts_silence_off_for_no_one() {
    let origin = Origin::start(|peer| {
        peer.half_close();
        peer.hang();
    });
    let idle = "timeouts = { tunnel_idle = \"200ms\" }";
    let daemon = Setup::of(&config("", idle)).with("origin", origin.address()).start();
    let mut stream = connect(daemon.address("relay"));
    assert_eq!(stream.read(&mut [0]).expect("an end of one half"), 0);
    daemon.wait_for_metric(ENDED, &[("ended", "tunnel-idle")], 1.0);
    wait_until(DEADLINE, "the backend's connection to end", || origin.open_connections() == 0);
    daemon.wait_for_metric(IN_FLIGHT, &[], 0.0);
}

/// Says these bytes one by one, each when nothing was answered for a while. Whether it was closed
/// before it had said them all.
fn drip(mut stream: TcpStream, bytes: &[u8]) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time above zero");
    for byte in bytes {
        let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if stream.write_all(&[*byte]).is_err() || !stream.read(&mut [0]).is_err_and(waits) {
            return true;
        }
    }
    false
}

#[test]
fn who_is_slow_to_shake_hands_is_sent_away() {
    let authority = Authority::new();
    let origin = parrot();
    let tls = "certificates = [{ cert = \"$dir/www.crt\", key = \"$dir/www.key\" }]\n\
        timeouts = { header = \"500ms\" }\nmax_connections = 2";
    let setup = Setup::of(&config(tls, "")).with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let relay = daemon.address("relay");
    assert_closed(&mut connect(relay));
    // A record that promises 16000 bytes: far more time in drips than it has.
    let hello = [&[22, 3, 1, 62, 128, 1, 0, 62, 124, 3, 3][..], &[7; 2_000]].concat();
    assert!(drip(connect(relay), &hello), "each byte gains no time");
    daemon.wait_for_metric(REFUSED, &[("reason", "handshake-timeout")], 2.0);
    assert_eq!(origin.connections(), 0);
    let trust = client_config(&authority, TlsVersions::All);
    let mut client = Client::tls(relay, &trust, "www.example.com").expect("there is room again");
    assert_eq!(client.take(6), Ok(b"hello ".to_vec()));
}

#[test]
fn what_is_no_tls_is_refused_where_tls_is_terminated() {
    let authority = Authority::new();
    let origin = parrot();
    let tls = r#"certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key" }]"#;
    let setup = Setup::of(&config(tls, "")).with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    let mut stream = connect(daemon.address("relay"));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a connection that takes it");
    let mut heard = Vec::new();
    // At most an alert.
    let _ = stream.read_to_end(&mut heard);
    assert!(heard.is_empty() || heard[0] == 21, "{heard:?}");
    daemon.wait_for_metric(REFUSED, &[("reason", "handshake-failed")], 1.0);
    assert_eq!(origin.connections(), 0);
}
