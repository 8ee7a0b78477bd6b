//! What an HTTP/2 client may not send, and what it may: each row over both doors, with a look at
//! what the backend got of it.

mod legal;
mod refused;

use super::{Front, report, with_listener_keys};
use crate::harness::{
    Origin,
    h2::{
        Door, H2Client, Outcome,
        frame::{Frame, code, flag},
    },
};
use refused::{Fields, Row, Stage};

const LIMITS: &str = r#"limits = { max_body = "1MiB" }"#;

#[test]
fn each_row_is_refused_and_the_connection_serves_on() {
    let origin = Origin::answering("passed");
    let front = Front::of(&with_listener_keys(LIMITS), &origin);
    let rows = refused::rows();
    assert!(rows.len() >= 120, "{} rows", rows.len());
    let doors = [("plain", front.plain()), ("tls", front.tls())];
    let mut complaints = Vec::new();
    // Parts of a body may reach the backend when its row is over already: those rows come last.
    for stage in [Stage::Head, Stage::Body, Stage::Behind] {
        for (name, door) in &doors {
            for row in rows.iter().filter(|row| row.stage == stage) {
                if let Err(complaint) = refuses(door, &origin, row) {
                    complaints.push(format!("{name}: {}: {complaint}", row.name));
                }
            }
        }
    }
    report(&complaints, 2 * rows.len());
}

/// It is the client's mistake, not its leave.
#[test]
fn a_short_body_that_breaks_its_length_is_told_as_what_it_is() {
    let front = Front::of(&with_listener_keys(LIMITS), &Origin::answering("unused"));
    let mut client = front.plain().connect();
    for (told, counted) in [("6", 1.0), ("4", 2.0)] {
        let stream = client.open_stream("POST", "/", &[("content-length", told)], flag::NONE);
        client.send(&Frame::data(stream, flag::END_STREAM, *b"hello"));
        assert!(matches!(client.outcome(stream), Outcome::Reset(code::PROTOCOL_ERROR, None)));
        let reason = [("reason", "bad-content-length")];
        front.daemon.wait_for_metric("equipoise_http_errors_total", &reason, counted);
    }
}

#[test]
fn each_legal_oddity_passes_and_the_backend_reads_it_one_way() {
    let origin = Origin::answering("passed");
    let front = Front::of(&with_listener_keys(LIMITS), &origin);
    let rows = legal::rows();
    assert!(rows.len() >= 40, "{} rows", rows.len());
    let mut complaints = Vec::new();
    for (name, door) in [("plain", front.plain()), ("tls", front.tls())] {
        for row in &rows {
            if let Err(complaint) = passes(&door, &origin, row) {
                complaints.push(format!("{name}: {}: {complaint}", row.name));
            }
        }
    }
    report(&complaints, 2 * rows.len());
}

fn refuses(door: &Door, origin: &Origin, row: &Row) -> Result<(), String> {
    origin.take_requests();
    let bytes = origin.received_bytes();
    let mut client = door.connect();
    let stream = client.number();
    send(&mut client, stream, row);
    let outcome = client.outcome(stream);
    if !fits(&outcome, row.expected) {
        return Err(format!("{} instead of {}", outcome.words(), row.expected));
    }
    if row.stage == Stage::Head && origin.received_bytes() != bytes {
        return Err("the backend got some of it".to_owned());
    }
    match outcome {
        Outcome::GoneAway(_) => served(&mut door.connect())?,
        _ => served(&mut client)?,
    }
    let requests = origin.take_requests();
    let mut targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    if row.stage == Stage::Behind {
        targets.retain(|target| *target != "/");
    }
    match targets.as_slice() {
        ["/after"] => Ok(()),
        _ => Err(format!("the backend got whole requests: {targets:?}")),
    }
}

fn send(client: &mut H2Client, stream: u32, row: &Row) {
    let alone = row.data.is_empty() && row.trailers.is_none();
    let flags = if alone { flag::END_STREAM } else { flag::NONE };
    let fields = of_scheme(&row.fields, client.scheme());
    client.send_head(stream, flags, &fields);
    let last = row.data.len().saturating_sub(1);
    for (at, data) in row.data.iter().enumerate() {
        let ends = at == last && row.trailers.is_none();
        let flags = if ends { row.last_flags } else { flag::NONE };
        client.send(&Frame::data(stream, flags, data.as_slice()));
    }
    if let Some(trailers) = &row.trailers {
        client.send_head(stream, row.last_flags, trailers);
    }
}

/// The table says http everywhere.
fn of_scheme(fields: &Fields, scheme: &str) -> Fields {
    let mut fields = fields.clone();
    for (name, value) in &mut fields {
        if name == b":scheme" && value == b"http" {
            *value = scheme.as_bytes().to_vec();
        }
    }
    fields
}

/// Whether this is one of the expected ends: statuses, `PROTOCOL_ERROR` for the stream and `GOAWAY`
/// for the connection, with `|` between.
fn fits(outcome: &Outcome, expected: &str) -> bool {
    let found = match outcome {
        Outcome::Answer(answer) => answer.status.to_string(),
        // An early refusal may be followed by a reset that asks for no more of the body.
        Outcome::Reset(0 | 8, Some(answer)) => answer.status.to_string(),
        Outcome::Reset(1, _) => "PROTOCOL_ERROR".to_owned(),
        Outcome::GoneAway(1) => "GOAWAY".to_owned(),
        _ => return false,
    };
    expected.split('|').any(|word| word == found)
}

/// The connection is as good as before.
fn served(client: &mut H2Client) -> Result<(), String> {
    let stream = client.ask("/after");
    match client.outcome(stream) {
        Outcome::Answer(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("the next stream: {}", other.words())),
    }
}

fn passes(door: &Door, origin: &Origin, row: &legal::Row) -> Result<(), String> {
    let mut client = door.connect();
    let stream = (row.send)(&mut client);
    match client.outcome(stream) {
        Outcome::Answer(answer) if answer.status == 200 => {}
        other => return Err(format!("{}: {other:?}", other.words())),
    }
    let violations = origin.violations();
    if !violations.is_empty() {
        return Err(format!("the backend got {violations:?}"));
    }
    let requests = origin.take_requests();
    let [request] = requests.as_slice() else {
        return Err(format!("the backend got {} requests", requests.len()));
    };
    let found = (row.seen)(request);
    if found != row.meant {
        return Err(format!("the backend saw {found:?}, not {:?}", row.meant));
    }
    Ok(())
}
