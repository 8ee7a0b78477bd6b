//! Long bodies that pass through a pipe in the kernel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::harness::{
    Broken, Client, DEADLINE, Daemon, Origin, Peer, Setup, request, wait_until, wait_until_still,
};

const MIB: usize = 1 << 20;
const SPLICED: &str = "equipoise_pool_spliced_bytes_total";

/// A pool with these keys.
fn front(origin: &Origin, pool: &str) -> Daemon {
    let config = format!(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        {pool}
        "#
    );
    Setup::of(&config).with("origin", origin.address()).start()
}

fn spliced(daemon: &Daemon) -> f64 {
    daemon.metric(SPLICED, &[("pool", "app")])
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Answers each request with its own body.
fn echo(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        let length = request.body.len();
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        peer.write(request.body);
    }
}

#[test]
fn long_bodies_pass_both_ways_whole_and_leave_the_connections_in_step() {
    let origin = Origin::start(echo);
    let daemon = front(&origin, "");
    let mut client = Client::connect(daemon.address("web"));
    let body = pattern(3 * MIB + 17);
    for _ in 0..3 {
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        assert!(client.answer().body == body, "the body comes back whole");
    }
    // What was read with a head is copied.
    let most = 6.0 * body.len() as f64;
    wait_until(DEADLINE, "most of it to be spliced", || {
        (0.5 * most..=most).contains(&spliced(&daemon))
    });
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn short_bodies_and_chunks_are_copied_and_so_is_all_where_a_pool_says_so() {
    let long = pattern(MIB);
    let chunked = Origin::start(|peer| {
        let piece = pattern(MIB);
        while peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            peer.write(format!("{:x}\r\n", piece.len()));
            peer.write(&piece);
            peer.write("\r\n0\r\n\r\n");
        }
    });
    let echoing = Origin::start(echo);
    let put = |body: &[u8]| {
        let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    for (origin, pool, sent, came) in [
        (&chunked, "", request("/").into_bytes(), &long[..]),
        (&echoing, "", put(&long[..200_000]), &long[..200_000]),
        (&echoing, "splice = false", put(&long), &long[..]),
    ] {
        let daemon = front(origin, pool);
        let mut client = Client::connect(daemon.address("web"));
        client.send(sent);
        assert!(client.answer().body == came, "{pool}");
        assert_eq!(client.get("/").status, 200);
        assert_eq!(spliced(&daemon), 0.0, "{pool}");
    }
}

#[test]
fn a_backend_that_dies_in_mid_body_is_seen_as_cut() {
    let origin = Origin::start(|peer| {
        peer.request();
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 8 * MIB));
        peer.write(pattern(4 * MIB));
    });
    let daemon = front(&origin, "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    assert_eq!(client.answer_head().status, 200);
    assert!(client.take(4 * MIB) == Ok(pattern(4 * MIB)), "what came is passed on");
    assert!(matches!(client.take(1), Err(Broken::Closed | Broken::Truncated | Broken::Reset)));
    let reason = [("reason", "upstream-truncated")];
    daemon.wait_for_metric("equipoise_http_errors_total", &reason, 1.0);
    assert!(spliced(&daemon) > 0.0);
}

/// One client that takes nothing holds up neither another nor the worker.
#[test]
fn a_client_that_stops_reading_is_waited_for_and_others_are_served() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::start(move |peer| {
        let piece = pattern(MIB);
        while let Some(request) = peer.request() {
            let pieces = if request.target == "/long" { 64 } else { 2 };
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", pieces * MIB));
            for _ in 0..pieces {
                peer.write(&piece);
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let daemon = front(&origin, "");
    let mut slow = Client::connect(daemon.address("web"));
    slow.send(request("/long"));
    assert_eq!(slow.answer_head().status, 200);
    let stuck = wait_until_still("the pipe to be full", || sent.load(Ordering::SeqCst));
    assert!(stuck < 64, "the backend is held back");
    let mut other = Client::connect(daemon.address("web"));
    for _ in 0..3 {
        assert!(other.get("/short").body == [pattern(MIB), pattern(MIB)].concat());
    }
    for _ in 0..64 {
        assert!(slow.take(MIB) == Ok(pattern(MIB)), "the slow one gets all of it");
    }
    wait_until(DEADLINE, "it to be told", || spliced(&daemon) > 60.0 * MIB as f64);
}

/// More bodies at once than a worker has pipes for.
#[test]
fn bodies_that_get_no_pipe_are_copied() {
    const CLIENTS: usize = 80;
    let goes_on = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&goes_on);
    let origin = Origin::start(move |peer| {
        peer.request();
        let body = pattern(MIB);
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n"));
        peer.write(&body[..MIB / 2]);
        wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
        peer.write(&body[MIB / 2..]);
    });
    let daemon = front(&origin, "");
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(daemon.address("web"));
            client.send(request("/"));
            assert_eq!(client.answer_head().status, 200);
            client
        })
        .collect();
    let whole = pattern(MIB);
    goes_on.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        for mut client in clients {
            let whole = &whole;
            scope.spawn(move || assert!(client.take(MIB).as_ref() == Ok(whole)));
        }
    });
    assert!(spliced(&daemon) < (CLIENTS * whole.len()) as f64);
}
