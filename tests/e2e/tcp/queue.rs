//! Connections to a backend that takes only so many: who waits, who is sent away, and that no place
//! is lost.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;

use super::{ENDED, IN_FLIGHT, LOG, assert_closed, config, connect, log_line_with, parrot};
use crate::harness::{DEADLINE, Daemon, Load, Origin, Setup, wait_until};

/// One place, a short queue, and a wait of nearly any length.
const ONE_PLACE: &str = "max_requests = 1\nqueue = { max = 2, timeout = \"10m\" }";

fn one_place(pool: &str, origin: &Origin) -> Daemon {
    let text = format!("{}\n{LOG}", config("", pool));
    Setup::of(&text).with("origin", origin.address()).start()
}

/// A connection that has its place.
#[track_caller]
fn placed(daemon: &Daemon) -> TcpStream {
    let mut stream = connect(daemon.address("relay"));
    stream.read_exact(&mut [0; 6]).expect("hello");
    stream
}

#[track_caller]
fn wait_for_length(daemon: &Daemon, length: usize) {
    let labels = [("pool", "app")];
    daemon.wait_for_metric("equipoise_pool_queue_length", &labels, length as f64);
}

/// One that waits, as the `length`th.
#[track_caller]
fn waiting(daemon: &Daemon, length: usize) -> TcpStream {
    let stream = connect(daemon.address("relay"));
    wait_for_length(daemon, length);
    stream
}

/// It says this to the backend, which says it back.
#[track_caller]
fn assert_served(mut stream: TcpStream) {
    stream.write_all(b"you").expect("a connection that takes it");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("a clean end");
    assert!(heard == "you" || heard == "hello you", "{heard}");
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

#[track_caller]
fn assert_empty(daemon: &Daemon) {
    wait_for_length(daemon, 0);
    daemon.wait_for_metric(IN_FLIGHT, &[("pool", "app")], 0.0);
}

#[test]
fn who_finds_the_queue_full_is_sent_away_and_told_of() {
    let origin = parrot();
    let daemon = one_place(ONE_PLACE, &origin);
    let first = placed(&daemon);
    let (second, third) = (waiting(&daemon, 1), waiting(&daemon, 2));
    assert_closed(&mut connect(daemon.address("relay")));
    daemon.wait_for_metric(ENDED, &[("ended", "queue-full")], 1.0);
    assert_eq!(daemon.metric("equipoise_pool_queue_full_total", &[("pool", "app")]), 1.0);
    let line = log_line_with(&daemon, "queue-full");
    assert_eq!((&line["reason"], &line["pool"]), (&"queue-full".into(), &"app".into()), "{line}");
    assert!(line.get("backend").is_none(), "{line}");
    for stream in [first, second, third] {
        assert_served(stream);
    }
    assert_empty(&daemon);
    let line = log_line_with(&daemon, "queued_ms");
    assert_eq!((&line["ended"], &line["attempts"]), (&"client-closed".into(), &1.into()), "{line}");
}

#[test]
fn who_waits_too_long_is_sent_away_and_told_of() {
    let origin = parrot();
    let daemon = one_place(&ONE_PLACE.replace("10m", "200ms"), &origin);
    let first = placed(&daemon);
    assert_closed(&mut connect(daemon.address("relay")));
    daemon.wait_for_metric(ENDED, &[("ended", "queue-timeout")], 1.0);
    assert_eq!(daemon.metric("equipoise_pool_queue_timeouts_total", &[("pool", "app")]), 1.0);
    let line = log_line_with(&daemon, "queue-timeout");
    assert!(line["queued_ms"].as_f64().is_some_and(|waited| waited > 0.0), "{line}");
    wait_for_length(&daemon, 0);
    assert_eq!(origin.connections(), 1);
    assert_served(first);
    assert_served(placed(&daemon));
    assert_empty(&daemon);
}

#[test]
fn who_leaves_while_it_waits_takes_no_place() {
    let origin = parrot();
    let daemon = one_place(ONE_PLACE, &origin);
    let first = placed(&daemon);
    let (second, third) = (waiting(&daemon, 1), waiting(&daemon, 2));
    reset(second);
    wait_for_length(&daemon, 1);
    daemon.wait_for_metric(ENDED, &[("ended", "client-gone")], 1.0);
    assert_served(first);
    assert_served(third);
    assert_eq!(origin.connections(), 2);
    assert_empty(&daemon);
}

/// Says hello, and breaks off when it is told to.
fn brittle() -> Origin {
    Origin::start(|peer| {
        peer.write("hello ");
        if peer.rest() == b"break" {
            peer.reset();
        }
    })
}

#[test]
fn a_place_is_given_back_when_a_side_breaks() {
    let origin = brittle();
    let daemon = one_place(ONE_PLACE, &origin);
    let by_client = placed(&daemon);
    let mut second = waiting(&daemon, 1);
    reset(by_client);
    second.read_exact(&mut [0; 6]).expect("its turn");
    let mut third = waiting(&daemon, 1);
    second.write_all(b"break").expect("a connection that takes it");
    second.shutdown(Shutdown::Write).expect("a half that can be closed");
    second.read(&mut [0]).expect_err("a reset");
    third.read_exact(&mut [0; 6]).expect("its turn");
    drop(third);
    assert_empty(&daemon);
}

#[test]
fn a_place_is_given_back_by_who_is_silent() {
    let origin = brittle();
    let pool = format!("{ONE_PLACE}\ntimeouts = {{ tunnel_idle = \"200ms\" }}");
    let daemon = one_place(&pool, &origin);
    let mut first = placed(&daemon);
    let mut second = connect(daemon.address("relay"));
    assert_closed(&mut first);
    second.read_exact(&mut [0; 6]).expect("its turn");
    assert_closed(&mut second);
    daemon.wait_for_metric(ENDED, &[("ended", "tunnel-idle")], 2.0);
    assert_empty(&daemon);
}

#[test]
fn however_many_come_no_more_are_at_the_backend() {
    let (now, peak) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let highest = peak.clone();
    let origin = Origin::start(move |peer| {
        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(count, Ordering::SeqCst);
        peer.request();
        // The proxy must not hear of the end before it is counted here.
        now.fetch_sub(1, Ordering::SeqCst);
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    let daemon = one_place("max_requests = 2\nqueue = { timeout = \"1m\" }", &origin);
    let load = Load::new().connection_a_request(daemon.address("relay"), 8);
    wait_until(DEADLINE, "a load of connections", || load.tally().ok > 300);
    load.stop().assert_flawless();
    assert_eq!(peak.load(Ordering::SeqCst), 2);
    assert!(daemon.metric("equipoise_pool_queue_seconds_count", &[("pool", "app")]) > 0.0);
    assert_empty(&daemon);
}

#[test]
fn a_reload_leaves_who_waits_its_turn_and_who_is_connected_its_place() {
    let origin = parrot();
    let mut daemon = one_place(ONE_PLACE, &origin);
    let first = placed(&daemon);
    let second = waiting(&daemon, 1);
    daemon.rewrite(&format!("{}\n{LOG}", config("", &ONE_PLACE.replace("max = 2", "max = 3"))));
    daemon.reload();
    let third = waiting(&daemon, 2);
    assert_eq!(origin.connections(), 1, "a place of before is a place still");
    for stream in [first, second, third] {
        assert_served(stream);
    }
    assert_empty(&daemon);
    // Nobody who waited keeps a configuration.
    daemon.wait_for_metric("equipoise_generations_alive", &[], 1.0);
}

#[test]
fn a_reload_lets_who_waits_in_where_there_is_room() {
    let (origin, other) = (parrot(), parrot());
    let raised = ONE_PLACE.replace("max_requests = 1", "max_requests = 2");
    let moved = config("", ONE_PLACE).replace("$origin", "$other");
    for after in [config("", &raised), config("", ""), moved] {
        let setup = Setup::of(&config("", ONE_PLACE)).with("origin", origin.address());
        let mut daemon = setup.with("other", other.address()).start();
        let first = placed(&daemon);
        let second = waiting(&daemon, 1);
        daemon.rewrite(&after);
        daemon.reload();
        assert_served(second);
        assert_served(first);
        assert_empty(&daemon);
    }
    assert_eq!((origin.connections(), other.connections()), (5, 1));
}

#[test]
fn a_limit_that_a_reload_brings_counts_what_is_connected() {
    let origin = parrot();
    let mut daemon = one_place("", &origin);
    let first = placed(&daemon);
    daemon.rewrite(&config("", ONE_PLACE));
    daemon.reload();
    let second = waiting(&daemon, 1);
    assert_served(first);
    assert_served(second);
    assert_empty(&daemon);
}

#[test]
fn when_nobody_is_up_any_more_nobody_goes_on_waiting() {
    let origin = parrot();
    let daemon = one_place(ONE_PLACE, &origin);
    let first = placed(&daemon);
    let mut second = waiting(&daemon, 1);
    assert_eq!(daemon.command(&["drain", &format!("app/{}", origin.address())]).code, 0);
    assert_closed(&mut second);
    daemon.wait_for_metric(ENDED, &[("ended", "no-backend")], 1.0);
    assert_served(first);
    assert_empty(&daemon);
}

#[test]
fn who_waits_is_served_before_the_process_ends() {
    let origin = parrot();
    let mut daemon = one_place(ONE_PLACE, &origin);
    let first = placed(&daemon);
    let second = waiting(&daemon, 1);
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("draining");
    assert_served(first);
    assert_served(second);
    assert_eq!(daemon.wait_exit(), 0);
}
