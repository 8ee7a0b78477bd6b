//! RFC 9113 and 7541, a row for each thing that a client does and what must become of it: over both
//! doors, and each time another client is served behind it.

mod connection;
mod fields;
mod frames;
mod streams;

use super::{BOTH_DOORS, Front, report};
use crate::harness::{
    Broken, Origin,
    h2::{
        Door, H2Client, Outcome, Windows,
        frame::{Frame, PREFACE, code, setting},
    },
};

/// A row: what is done on a connection that has exchanged settings, giving the stream to look at,
/// and what must come of it.
pub struct Case(&'static str, fn(&mut H2Client) -> u32, End);

/// What must become of the stream or of the connection.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// GOAWAY with one of these codes, and the close.
    Connection(&'static [u32]),
    /// RST_STREAM with one of these codes; the connection lives.
    Stream(&'static [u32]),
    /// Either of both: RFC 9113 leaves the choice.
    Either(&'static [u32]),
    /// An answer of 200, and the connection lives.
    Served,
    /// An answer of 200, on a connection that can take no stream more.
    Last,
    /// The close, without an error.
    Closed,
    /// No answer is asked for; the connection lives.
    Alive,
}

const PROTOCOL: End = End::Connection(&[code::PROTOCOL_ERROR]);

// Where RFC 9113, sections 4.2, 4.3, 5.1 and 6.5.2, has a code of its own, the `h2` crate often says
// PROTOCOL_ERROR: the connection ends all the same, and nothing depends on the word.
const FRAME_SIZE: End = End::Connection(&[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR]);
const COMPRESSION: End = End::Connection(&[code::COMPRESSION_ERROR, code::PROTOCOL_ERROR]);
const FLOW_CONTROL: End = End::Connection(&[code::FLOW_CONTROL_ERROR, code::PROTOCOL_ERROR]);
const CLOSED: End = End::Either(&[code::STREAM_CLOSED, code::PROTOCOL_ERROR]);

#[test]
fn each_row_ends_as_the_specification_says() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target.as_str() {
                "/hang" => peer.hang(),
                _ => peer.answer(200, "passed"),
            }
        }
    });
    let front = Front::of(BOTH_DOORS, &origin);
    let groups = [connection::CASES, frames::CASES, streams::CASES, fields::CASES];
    let rows: usize = groups.iter().map(|cases| cases.len()).sum();
    assert!(rows >= 100, "{rows} rows");
    let mut complaints = Vec::new();
    for (name, door) in [("plain", front.plain()), ("tls", front.tls())] {
        for Case(what, run, end) in groups.into_iter().flatten() {
            if let Err(complaint) = holds(&door, *run, *end) {
                complaints.push(format!("{name}: {what}: {complaint}"));
            }
        }
    }
    report(&complaints, 2 * rows);
}

fn holds(door: &Door, run: fn(&mut H2Client) -> u32, end: End) -> Result<(), String> {
    let mut client = door.connect();
    let stream = run(&mut client);
    let lives = match end {
        End::Connection(codes) => {
            ends_the_connection(client.connection_end(), codes).map(|()| false)
        }
        End::Closed => match client.connection_end() {
            // What we sent when it had closed already is answered with a reset.
            Outcome::Ended(Broken::Closed | Broken::Reset) => Ok(false),
            other => Err(format!("{} instead of a close", other.words())),
        },
        End::Alive => Ok(true),
        End::Served | End::Last => match client.outcome(stream) {
            Outcome::Answer(answer) if answer.status == 200 => Ok(matches!(end, End::Served)),
            other => Err(format!("{} instead of an answer", other.words())),
        },
        End::Stream(codes) => match client.outcome(stream) {
            Outcome::Reset(code, _) if codes.contains(&code) => Ok(true),
            other => Err(format!("{} instead of a reset with one of {codes:?}", other.words())),
        },
        End::Either(codes) => match client.outcome(stream) {
            Outcome::Reset(code, _) if codes.contains(&code) => Ok(true),
            other => ends_the_connection(other, codes).map(|()| false),
        },
    }?;
    if lives {
        client.windows = Windows::Given;
        let answer = client.ask("/same-connection");
        let outcome = client.outcome(answer);
        let served = matches!(&outcome, Outcome::Answer(answer) if answer.status == 200);
        served.then_some(()).ok_or_else(|| format!("then {}", outcome.words()))?;
    }
    let status = door.get("/other-connection").status;
    if status == 200 { Ok(()) } else { Err(format!("another connection: {status}")) }
}

fn ends_the_connection(outcome: Outcome, codes: &[u32]) -> Result<(), String> {
    match outcome {
        Outcome::GoneAway(code) if codes.contains(&code) => Ok(()),
        other => Err(format!("{} instead of a GOAWAY with one of {codes:?}", other.words())),
    }
}

#[test]
fn the_preface_is_settings_and_an_acknowledgement() {
    let origin = Origin::answering("passed");
    let front = Front::of(BOTH_DOORS, &origin);
    for door in [front.plain(), front.tls()] {
        // Whole and in single bytes; `connect` holds SETTINGS to be the first frame.
        let client = door.connect();
        assert!(client.setting(setting::MAX_CONCURRENT_STREAMS).is_some_and(|most| most >= 100));
        assert_ne!(client.setting(setting::ENABLE_PUSH), Some(1));
        let mut slow = door.open().expect("the listener takes connections");
        for byte in PREFACE {
            slow.send_bytes([*byte]);
        }
        slow.send(&Frame::settings(&[]));
        assert_eq!(slow.get("/").status, 200);
    }
}

#[test]
fn what_is_no_preface_ends_the_connection() {
    let origin = Origin::answering("passed");
    let front = Front::of(BOTH_DOORS, &origin);
    for door in [front.plain(), front.tls()] {
        let mut client = door.open().expect("the listener takes connections");
        client.send_bytes("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
        client.send_bytes([0; 64]);
        let end = client.connection_end();
        let fits = match &end {
            Outcome::GoneAway(code) => *code == code::PROTOCOL_ERROR,
            Outcome::Ended(broken) => matches!(broken, Broken::Closed | Broken::Reset),
            _ => false,
        };
        assert!(fits, "{end:?}");
        assert_eq!(door.get("/").status, 200);
    }
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_stream_more_than_is_allowed_is_refused_alone() {
    let origin = Origin::answering("passed");
    let front = Front::of(BOTH_DOORS, &origin);
    let mut client = front.plain().connect();
    let most = client.setting(setting::MAX_CONCURRENT_STREAMS).expect("a limit is told");
    let streams: Vec<u32> = (0..most).map(|_| connection::open(&mut client)).collect();
    let over = connection::open(&mut client);
    let outcome = client.outcome(over);
    let codes = [code::REFUSED_STREAM, code::PROTOCOL_ERROR];
    assert!(matches!(outcome, Outcome::Reset(code, None) if codes.contains(&code)), "{outcome:?}");
    for stream in streams {
        connection::finish(&mut client, stream);
        assert_eq!(client.answer(stream).status, 200);
    }
    assert_eq!(client.get("/").status, 200);
}
