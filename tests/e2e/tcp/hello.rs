//! The first words of TLS clients whose name leads: however they come, and however many they are.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{ClientConnection, StreamOwned};

use super::{ENDED, Named, REFUSED, assert_closed, connect};
use crate::harness::{Daemon, TlsVersions, client_config};

/// A connection that sends each byte in a segment of its own.
struct Chopped(TcpStream);

impl Chopped {
    fn new(stream: TcpStream) -> Chopped {
        stream.set_nodelay(true).expect("an option");
        Chopped(stream)
    }
}

impl Read for Chopped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Chopped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same hello in records of at most `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1], &length[..], part].concat()
    };
    hello[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn a_name_leads_in_segments_of_a_byte() {
    let named = Named::new();
    let front = named.front("");
    for name in ["a.example.com", "b.example.com"] {
        for versions in [TlsVersions::Only12, TlsVersions::Only13] {
            let trust = client_config(&named.authority, versions);
            let host = name.to_owned().try_into().expect("a name");
            let session = ClientConnection::new(Arc::clone(&trust), host).expect("a client");
            let mut client =
                StreamOwned::new(session, Chopped::new(connect(front.address("passed"))));
            let ask = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            client.write_all(ask.as_bytes()).expect("a connection that takes it");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("a clean end");
            assert!(answer.ends_with(&name[..1]), "{answer}");
        }
    }
}

/// What a client says first.
fn hello(named: &Named, name: &str) -> Vec<u8> {
    let trust = client_config(&named.authority, TlsVersions::Only13);
    let host = name.to_owned().try_into().expect("a name");
    let mut session = ClientConnection::new(trust, host).expect("a client");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("a Vec takes all");
    bytes
}

#[test]
fn a_name_leads_across_records() {
    let named = Named::new();
    let front = named.front("");
    let whole = hello(&named, "b.example.com");
    let mut stream = connect(front.address("passed"));
    stream.write_all(&in_records(&whole, 50)).expect("a connection that takes it");
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).expect("the backend's hello");
    assert_eq!(answer[0], 22, "of a handshake");
    drop(stream);
    front.wait_for_metric(ENDED, &[("pool", "b")], 1.0);
}

#[track_caller]
fn check_refused(front: &Daemon, bytes: &[u8]) {
    let before = front.metric(REFUSED, &[("reason", "bad-hello")]);
    let mut stream = connect(front.address("passed"));
    // It may be closed before all has been taken.
    let _ = stream.write_all(bytes);
    assert_closed(&mut stream);
    front.wait_for_metric(REFUSED, &[("reason", "bad-hello")], before + 1.0);
}

/// A hello whose length is this, of which `sent` bytes come.
fn promising(length: usize, sent: usize) -> Vec<u8> {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let message = [&[1, high, middle, low, 3, 3][..], &vec![7; sent]].concat();
    [&[0; 5][..], &message].concat()
}

#[test]
fn a_hello_beyond_all_bounds_is_refused_before_its_end() {
    let named = Named::new();
    let front = named.front("tcp = \"rest\"");
    // It says so itself.
    check_refused(&front, &in_records(&promising(1 << 20, 100), 200));
    // It says that it fits, and is padded with the heads of records: nothing is held beyond 16 KiB.
    check_refused(&front, &in_records(&promising(16_000, 15_000), 2));
    // The longest record, and nothing in it yet that could be refused.
    check_refused(&front, &[&[22, 3, 1, 0x40, 0][..], &[1, 0, 0x3f, 0xfc], &[7; 16_380]].concat());
    assert_eq!(front.metric(ENDED, &[]), 0.0, "no backend hears of it");
}

#[test]
fn a_hello_that_never_ends_has_its_time() {
    let named = Named::new();
    let front = named.front("tcp = \"rest\"");
    let mut stream = Chopped::new(connect(front.address("passed")));
    let promise = in_records(&promising(16_000, 1_000), 500);
    stream.write_all(&promise).expect("a connection that takes it");
    assert_closed(&mut stream.0);
    front.wait_for_metric(REFUSED, &[("reason", "hello-timeout")], 1.0);
    // Nothing said at all.
    assert_closed(&mut connect(front.address("passed")));
    front.wait_for_metric(REFUSED, &[("reason", "hello-timeout")], 2.0);
    assert_eq!(front.metric(ENDED, &[]), 0.0, "no backend hears of it");
}
