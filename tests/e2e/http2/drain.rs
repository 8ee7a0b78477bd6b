//! Leaving without losing a stream: GOAWAY on a drain, on a reload that takes the listener away, and
//! on the limits of a connection (RFC 9113, section 6.8).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;

use super::{BOTH_DOORS, Front, with_listener_keys};
use crate::harness::{
    DEADLINE, Origin,
    h2::{
        H2Client, Outcome,
        frame::{code, flag},
    },
    wait_until,
};

/// Sends half of the answer to `/halves`, and the rest once the gate is open.
fn two_halves() -> (Arc<AtomicBool>, Origin) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target != "/halves" {
                peer.answer(200, "whole");
                continue;
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.write("hello");
        }
    });
    (open, origin)
}

/// A connection with a half of an answer on one stream and a half of an upload on another.
fn halves(client: &mut H2Client) -> (u32, u32) {
    let download = client.ask("/halves");
    assert_eq!(client.wait_for_head(download).status, 200);
    let upload = client.open_stream("POST", "/upload", &[], flag::NONE);
    client.send_body(upload, flag::NONE, b"hello").expect("the connection lives");
    (download, upload)
}

fn wait_for_goaway(client: &mut H2Client) {
    client.until(|link| link.goaway().is_some()).expect("a GOAWAY comes before the end");
    assert_eq!(client.goaway().map(|(_, code)| code), Some(code::NO_ERROR));
}

fn finish(client: &mut H2Client, (download, upload): (u32, u32)) {
    client.send_body(upload, flag::END_STREAM, b"hello").expect("the connection lives");
    assert_eq!(client.answer(download).text(), "hellohello");
    assert_eq!(client.answer(upload).text(), "whole");
    let end = client.connection_end();
    assert!(matches!(end, Outcome::Ended(_)), "{end:?}");
}

#[test]
fn term_says_goaway_and_loses_no_stream() {
    let (open, origin) = two_halves();
    let mut front = Front::of(BOTH_DOORS, &origin);
    let mut clients = [front.plain().connect(), front.tls().connect()];
    let streams = clients.each_mut().map(halves);
    let mut idle = front.plain().connect();
    front.daemon.signal(Signal::TERM);
    clients.iter_mut().for_each(wait_for_goaway);
    wait_for_goaway(&mut idle);
    assert!(matches!(idle.connection_end(), Outcome::Ended(_)), "an idle connection ends at once");
    assert!(front.daemon.process().is_running(), "it waits for the streams");
    open.store(true, Ordering::SeqCst);
    for (client, streams) in clients.iter_mut().zip(streams) {
        finish(client, streams);
    }
    assert_eq!(front.daemon.wait_exit(), 0);
}

#[test]
fn a_request_that_crosses_the_goaway_is_served_or_known_to_be_unserved() {
    let (open, origin) = two_halves();
    let mut front = Front::of(BOTH_DOORS, &origin);
    let mut client = front.plain().connect();
    let download = client.ask("/halves");
    assert_eq!(client.wait_for_head(download).status, 200);
    front.daemon.signal(Signal::TERM);
    wait_until(DEADLINE, "/readyz to say so", || front.daemon.probe("/readyz") == Some(503));
    // Not read yet: for this client it is as if nothing had been said.
    let crossing = client.ask("/crossing");
    open.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(download).text(), "hellohello");
    match client.outcome(crossing) {
        Outcome::Answer(answer) => assert_eq!(answer.text(), "whole"),
        Outcome::Reset(code::REFUSED_STREAM, None) => {}
        Outcome::Ended(_) => {
            let (last, _) = client.goaway().expect("a GOAWAY");
            assert!(last < crossing, "{last} covers {crossing}, which was not served");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(front.daemon.wait_exit(), 0);
}

#[test]
fn a_drain_ends_with_its_deadline_and_not_cleanly() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            peer.hang();
        }
    });
    let config = format!("drain_timeout = \"500ms\"\n{BOTH_DOORS}");
    let mut front = Front::of(&config, &origin);
    let mut clients = [front.plain().connect(), front.tls().connect()];
    let streams = clients.each_mut().map(|client| {
        let stream = client.ask("/");
        assert_eq!(client.wait_for_head(stream).status, 200);
        stream
    });
    front.daemon.signal(Signal::TERM);
    for (client, stream) in clients.iter_mut().zip(streams) {
        let outcome = client.outcome(stream);
        let cut = !matches!(outcome, Outcome::Answer(_));
        assert!(cut, "half an answer ended cleanly: {outcome:?}");
    }
    front.daemon.wait_exit();
}

#[test]
fn a_reload_that_removes_the_listener_loses_no_stream() {
    let (open, origin) = two_halves();
    let mut front = Front::of(BOTH_DOORS, &origin);
    let mut gone = front.plain().connect();
    let streams = halves(&mut gone);
    let mut stays = front.tls().connect();
    assert_eq!(stays.get("/").text(), "whole");
    let web = BOTH_DOORS.find("[listener.tls]").expect("two listeners");
    front.daemon.rewrite(&BOTH_DOORS[web..]);
    front.daemon.reload();
    wait_for_goaway(&mut gone);
    open.store(true, Ordering::SeqCst);
    finish(&mut gone, streams);
    assert_eq!(stays.get("/").text(), "whole");
    assert_eq!(stays.goaway(), None, "the other listener stands");
}

#[test]
fn a_reload_that_leaves_the_listener_is_felt_by_new_streams_alone() {
    let (open, origin) = two_halves();
    let mut front = Front::of(BOTH_DOORS, &origin);
    let mut client = front.plain().connect();
    let (download, upload) = halves(&mut client);
    let config = BOTH_DOORS.to_owned()
        + "\n[[route]]\nexact = \"/new\"\nrespond = { status = 200, body = \"new\" }\n";
    front.daemon.rewrite(&config);
    front.daemon.reload();
    assert_eq!(client.get("/new").text(), "new");
    client.send_body(upload, flag::END_STREAM, b"hello").expect("the connection lives");
    assert_eq!(client.answer(upload).text(), "whole");
    open.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(download).text(), "hellohello");
    assert_eq!(client.goaway(), None);
}

#[test]
fn the_last_request_of_a_connection_is_told_by_goaway() {
    let origin = Origin::answering("ok");
    let front = Front::of(&with_listener_keys("limits = { max_requests = 3 }"), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        for path in ["/1", "/2", "/3"] {
            assert_eq!(client.get(path).text(), "ok");
        }
        wait_for_goaway(&mut client);
        let end = client.connection_end();
        assert!(matches!(end, Outcome::Ended(_)), "{end:?}");
    }
}

/// The goodbye waits for the answer to a PING, so that nothing is lost that crosses it: not for ever.
#[test]
fn a_client_that_does_not_hear_the_goodbye_is_left_after_a_while() {
    let origin = Origin::answering("ok");
    let front = Front::of(&with_listener_keys("limits = { max_requests = 1 }"), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        client.answers_pings = false;
        let mut refused = 0;
        wait_until(DEADLINE, "the connection to end", || {
            let stream = client.ask("/");
            match client.outcome(stream) {
                Outcome::Answer(answer) => assert_eq!(answer.text(), "ok"),
                Outcome::Reset(code::REFUSED_STREAM, None) => refused += 1,
                Outcome::Ended(_) => return true,
                other => panic!("{}", other.words()),
            }
            false
        });
        assert!(refused > 0, "it is told that they were not begun");
        let (last, code) = client.goaway().expect("a goodbye");
        assert!(last < u32::MAX >> 1 && code == code::NO_ERROR, "{last}, {code}");
    }
}

/// What is quiet for long is not idle: its connection has its whole time left when it has ended.
#[test]
fn a_connection_is_idle_from_the_end_of_its_last_request() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target == "/quiet" {
                peer.pause(Duration::from_millis(2500));
            }
            peer.answer(200, "whole");
        }
    });
    let keys = "timeouts = { keep_alive = \"2s\" }";
    let front = Front::of(&with_listener_keys(keys), &origin);
    let mut client = front.plain().connect();
    assert_eq!(client.get("/quiet").text(), "whole");
    assert_eq!(client.get("/").text(), "whole");
    assert_eq!(client.ping(), Ok(()));
    assert_eq!(client.goaway(), None);
}

#[test]
fn an_idle_connection_is_ended_by_goaway() {
    let origin = Origin::answering("ok");
    let keys = "timeouts = { keep_alive = \"300ms\" }";
    let front = Front::of(&with_listener_keys(keys), &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.connect();
        assert_eq!(client.get("/").text(), "ok");
        wait_for_goaway(&mut client);
        let end = client.connection_end();
        assert!(matches!(end, Outcome::Ended(_)), "{end:?}");
    }
}
