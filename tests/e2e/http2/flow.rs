//! Back-pressure through both windows, and streams that don't hold each other up (RFC 9113,
//! section 5.2).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::{BOTH_DOORS, Front, with_pool_keys};
use crate::harness::{
    DEADLINE, Origin, Peer, Setup,
    h2::{
        H2Client, H2Peer, Outcome, Windows,
        frame::{Frame, code, flag, setting},
        h2_origin,
    },
    wait_until, wait_until_still,
};

const MIB: usize = 1 << 20;
/// More than all buffers on the way together.
const MUCH: usize = 256 * MIB;

/// Counts what it could send of an endless body.
fn endless(sent: &Arc<AtomicU64>) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    let sent = Arc::clone(sent);
    move |peer| {
        while let Some(request) = peer.request() {
            if request.target != "/much" {
                peer.answer(200, "passed");
                continue;
            }
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"));
            for _ in 0..MUCH / 65_536 {
                if !peer.try_write(&[b'a'; 65_536]) {
                    return;
                }
                sent.fetch_add(65_536, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn a_client_without_a_window_holds_the_backend_back_and_no_other_stream() {
    let sent = Arc::new(AtomicU64::new(0));
    let origin = Origin::start(endless(&sent));
    let front = Front::of(BOTH_DOORS, &origin);
    for door in [front.plain(), front.tls()] {
        sent.store(0, Ordering::SeqCst);
        let before = front.daemon.resident_bytes();
        let mut client = door.connect();
        client.windows = Windows::Withheld;
        client.give(0, 1 << 30);
        let much = client.ask("/much");
        client
            .until(|link| link.message(much).is_some_and(|message| message.body.len() == 65_535))
            .expect("what the window lets through");
        let still = wait_until_still("the backend to be held back", || sent.load(Ordering::SeqCst));
        assert!(still < (MUCH / 8) as u64, "{still} bytes were taken for 64 KiB of window");
        let grown = front.daemon.resident_bytes().saturating_sub(before);
        assert!(grown < 16 * MIB as u64, "the daemon holds {grown} bytes for one slow client");
        let other = client.ask("/other");
        assert_eq!(client.answer(other).status, 200, "another stream is served");
        client.give(much, 1 << 30);
        let answer = client.answer(much);
        assert_eq!(answer.body.len(), MUCH);
    }
}

#[test]
fn a_connection_without_a_window_is_served_when_it_has_one() {
    let sent = Arc::new(AtomicU64::new(0));
    let origin = Origin::start(endless(&sent));
    let front = Front::of(BOTH_DOORS, &origin);
    let mut client = front.plain().connect_with(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
    client.windows = Windows::Withheld;
    let much = client.ask("/much");
    client
        .until(|link| link.message(much).is_some_and(|message| message.body.len() == 65_535))
        .expect("what the window lets through");
    // A head needs no window.
    let other = client.ask("/other");
    assert_eq!(client.wait_for_head(other).status, 200);
    client.windows = Windows::Given;
    client.give(0, 65_535);
    assert_eq!(client.answer(other).text(), "passed");
    client.send(&Frame::reset(much, code::CANCEL));
    assert_eq!(client.get("/after").status, 200);
}

/// Reads no body until it is told to.
fn stubborn(reads: &Arc<AtomicBool>) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    let reads = Arc::clone(reads);
    move |peer| {
        while let Some(mut request) = peer.head() {
            if request.target == "/slow" {
                wait_until(DEADLINE, "leave to read", || reads.load(Ordering::SeqCst));
            }
            if !peer.body(&mut request) {
                return;
            }
            peer.answer(200, &request.body.len().to_string());
        }
    }
}

#[test]
fn a_backend_that_reads_nothing_holds_its_client_back_and_no_other_stream() {
    let reads = Arc::new(AtomicBool::new(false));
    let origin = Origin::start(stubborn(&reads));
    let front = Front::of(&with_pool_keys("timeouts = { idle = \"10m\" }"), &origin);
    let before = front.daemon.resident_bytes();
    let mut client = front.plain().connect();
    let slow = client.open_stream("POST", "/slow", &[], flag::NONE);
    let piece = vec![b'a'; 16_384];
    let mut taken = 0;
    // Sends what the windows allow, until they stay shut.
    loop {
        while client.room(slow) >= piece.len() as i64 {
            client.send(&Frame::data(slow, flag::NONE, piece.as_slice()));
            taken += piece.len();
            assert!(taken < MUCH, "all of it is taken");
        }
        if !opens(&mut client, slow, piece.len()) {
            break;
        }
    }
    assert!(taken < MUCH / 8, "{taken} bytes go to a backend that reads none");
    let grown = front.daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "the daemon holds {grown} bytes for one slow backend");
    let other = client.open_stream("POST", "/other", &[], flag::NONE);
    client.send_body(other, flag::END_STREAM, &vec![b'b'; MIB]).expect("the connection has room");
    assert_eq!(client.answer(other).text(), MIB.to_string(), "another stream is served");
    reads.store(true, Ordering::SeqCst);
    client.send_body(slow, flag::END_STREAM, &piece).expect("the rest goes");
    assert_eq!(client.answer(slow).text(), (taken + piece.len()).to_string());
}

/// Whether the window opens so wide before nothing has happened for long.
fn opens(client: &mut H2Client, stream: u32, wide: usize) -> bool {
    const LOOKS: usize = 100;
    let mut looks = 0;
    wait_until(DEADLINE, "the window to open or to stay shut", || {
        client.drain().expect("the connection lives");
        looks += 1;
        client.room(stream) >= wide as i64 || looks == LOOKS
    });
    client.room(stream) >= wide as i64
}

/// As many bodies as may be open wait for a place at their backend, each as much of it as has room.
#[test]
fn bodies_that_wait_hold_up_no_other_stream() {
    const STREAMS: usize = 24;
    let busy = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let free = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            peer.answer(200, &request.body.len().to_string());
        }
    });
    let config = format!(
        "{BOTH_DOORS}\n{}",
        r#"
        max_requests = 1
        queue = { timeout = "10m" }
        [[route]]
        path = "/free/"
        pool = "free"
        [pool.free]
        backends = ["$free"]
        passive = { fall = 0 }
        "#
    );
    let config = config.replace("[\"$web\"]", "[\"$web\"]\nlimits = { max_streams = 26 }");
    let setup = Setup::of(&config).with("origin", busy.address()).with("free", free.address());
    let front = Front::start(setup);
    let mut client = front.plain().connect();
    client.ask("/busy");
    wait_until(DEADLINE, "the backend to be full", || busy.requests() == 1);
    for _ in 0..STREAMS {
        let stream = client.open_stream("POST", "/", &[], flag::NONE);
        client.send_body(stream, flag::NONE, &[b'a'; 256 * 1024]).expect("all have room");
    }
    let other = client.open_stream("POST", "/free/", &[], flag::NONE);
    client.send_body(other, flag::END_STREAM, &vec![b'b'; MIB]).expect("the connection has room");
    assert_eq!(client.answer(other).text(), MIB.to_string());
}

#[test]
fn more_than_the_window_is_an_error() {
    let reads = Arc::new(AtomicBool::new(false));
    let origin = Origin::start(stubborn(&reads));
    let front = Front::of(BOTH_DOORS, &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        let stream = client.open_stream("POST", "/slow", &[], flag::NONE);
        for _ in 0..MUCH / 4 / 16_384 {
            client.send(&Frame::data(stream, flag::NONE, vec![0; 16_384]));
            if client.drain().is_err() || client.end(stream).is_some() {
                break;
            }
        }
        let outcome = client.outcome(stream);
        let told = matches!(
            outcome,
            Outcome::Reset(code::FLOW_CONTROL_ERROR, None)
                | Outcome::GoneAway(code::FLOW_CONTROL_ERROR)
        );
        assert!(told, "{outcome:?}");
        assert_eq!(door.get("/after").status, 200);
    }
    reads.store(true, Ordering::SeqCst);
}

/// The same over a backend's windows: an h2 backend that gives none.
#[test]
fn an_h2_backend_without_a_window_holds_its_client_back() {
    let gives = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&gives);
    let origin = h2_origin(move |peer: &mut H2Peer<'_>| {
        peer.windows = Windows::Withheld;
        while let Some(asked) = peer.head() {
            if asked.request.target == "/slow" {
                wait_until(DEADLINE, "leave to give", || gate.load(Ordering::SeqCst));
                peer.windows = Windows::Given;
                peer.give(asked.stream, 1 << 20);
                peer.give(0, 1 << 20);
            }
            let Some(asked) = peer.whole(asked.stream) else { return };
            peer.answer(asked.stream, 200, &asked.request.body.len().to_string());
        }
    });
    let front = Front::of(&with_pool_keys("protocol = \"h2\""), &origin);
    let mut client = front.plain().connect();
    let slow = client.open_stream("POST", "/slow", &[], flag::NONE);
    let sender = thread::spawn(move || {
        let body = vec![b'a'; 32 * MIB];
        let sent = client.send_body(slow, flag::END_STREAM, &body);
        (sent, client)
    });
    let still = wait_until_still("the client to be held back", || origin.received_bytes() as u64);
    assert!(still < MIB as u64, "{still} bytes for a window of 64 KiB");
    assert!(!sender.is_finished(), "32 MiB are nowhere");
    gives.store(true, Ordering::SeqCst);
    let (sent, mut client) = sender.join().expect("the sender ends");
    sent.expect("all of it goes");
    assert_eq!(client.answer(slow).text(), (32 * MIB).to_string());
}
