//! The states of streams, their numbers, and priority (RFC 9113, sections 5.1, 5.3 and 8.1).

use super::{
    CLOSED, Case, End, PROTOCOL,
    connection::{finish, open},
};
use crate::harness::h2::{
    H2Client,
    frame::{Frame, block, code, flag},
};

/// A stream whose exchange is over.
fn closed(client: &mut H2Client) -> u32 {
    let stream = client.ask("/");
    assert_eq!(client.answer(stream).status, 200);
    client.forget(stream);
    stream
}

/// A stream that the client has reset.
fn reset(client: &mut H2Client) -> u32 {
    let stream = open(client);
    client.send(&Frame::reset(stream, code::CANCEL));
    stream
}

fn head(client: &mut H2Client, stream: u32, flags: u8) -> u32 {
    let fields = client.head("GET", "/");
    client.send_head(stream, flags, &fields);
    stream
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case("DATA of an idle stream", |c| { c.send(&Frame::data(1, flag::END_STREAM, *b"hello")); 1 }, PROTOCOL),
    Case("RST_STREAM of an idle stream", |c| { c.send(&Frame::reset(1, code::CANCEL)); 1 }, PROTOCOL),
    Case("WINDOW_UPDATE of an idle stream", |c| { c.send(&Frame::window_update(1, 1)); 1 }, PROTOCOL),
    Case("CONTINUATION of an idle stream", |c| { c.send(&Frame::continuation(1, flag::END_HEADERS, [])); 1 }, PROTOCOL),
    Case("PRIORITY of an idle stream", |c| { c.send(&Frame::priority(99, 0, 9)); c.ask("/") }, End::Served),
    Case("a stream's number that the server would choose", |c| head(c, 2, flag::END_STREAM), PROTOCOL),
    Case("DATA of a stream of the server", |c| { c.send(&Frame::data(2, flag::END_STREAM, *b"hello")); 2 }, PROTOCOL),
    Case("WINDOW_UPDATE of a stream of the server", |c| { c.send(&Frame::window_update(2, 1)); 2 }, PROTOCOL),
    Case("a number below the last", |c| { head(c, 5, flag::END_STREAM); head(c, 3, flag::END_STREAM) }, CLOSED),
    Case("the largest number", |c| head(c, 0x7fff_ffff, flag::END_STREAM), End::Last),
    Case("many streams at once", |c| {
        let streams: Vec<u32> = (0..100).map(|_| c.ask("/")).collect();
        for stream in streams { assert_eq!(c.answer(stream).status, 200); }
        c.ask("/")
    }, End::Served),

    Case("DATA behind the end of a request", |c| { let s = c.open_stream("POST", "/hang", &[], flag::END_STREAM); c.send(&Frame::data(s, flag::END_STREAM, *b"hello")); s }, CLOSED),
    Case("HEADERS behind the end of a request", |c| { let s = c.open_stream("POST", "/hang", &[], flag::END_STREAM); head(c, s, flag::END_STREAM) }, CLOSED),
    Case("DATA behind trailers", |c| { let s = c.open_stream("POST", "/hang", &[], flag::NONE); c.send_head(s, flag::END_STREAM, &[("x-a", "a")]); c.send(&Frame::data(s, flag::END_STREAM, *b"hello")); s }, CLOSED),
    Case("DATA of a closed stream", |c| { let s = closed(c); c.send(&Frame::data(s, flag::NONE, *b"hello")); s }, CLOSED),
    Case("HEADERS of a closed stream", |c| { let s = closed(c); head(c, s, flag::END_STREAM) }, CLOSED),
    Case("WINDOW_UPDATE of a closed stream", |c| { let s = closed(c); c.send(&Frame::window_update(s, 1)); c.ask("/") }, End::Served),
    Case("RST_STREAM of a closed stream", |c| { let s = closed(c); c.send(&Frame::reset(s, code::CANCEL)); c.ask("/") }, End::Served),
    Case("PRIORITY of a closed stream", |c| { let s = closed(c); c.send(&Frame::priority(s, 0, 3)); c.ask("/") }, End::Served),
    Case("WINDOW_UPDATE behind a request", |c| { let s = c.ask("/"); c.send(&Frame::window_update(s, 1)); s }, End::Served),
    Case("RST_STREAM behind a request", |c| { let s = c.ask("/"); c.send(&Frame::reset(s, code::CANCEL)); c.ask("/") }, End::Served),
    Case("RST_STREAM within a body", |c| { reset(c); c.ask("/") }, End::Served),
    Case("RST_STREAM with an unknown code", |c| { let s = open(c); c.send(&Frame::reset(s, 0xdead_beef)); c.ask("/") }, End::Served),
    Case("RST_STREAM twice", |c| { let s = reset(c); c.send(&Frame::reset(s, code::CANCEL)); c.ask("/") }, End::Served),
    Case("HEADERS of a stream that the client reset", |c| { let s = reset(c); head(c, s, flag::END_STREAM) }, CLOSED),

    Case("a second head that does not end the stream", |c| { let s = open(c); c.send(&Frame::data(s, flag::NONE, *b"hello")); c.send_head(s, flag::NONE, &[("x-a", "a")]); s }, End::Stream(&[code::PROTOCOL_ERROR])),
    Case("an empty DATA at the end", |c| { let s = open(c); c.send(&Frame::data(s, flag::NONE, *b"hello")); c.send(&Frame::data(s, flag::END_STREAM, [])); s }, End::Served),
    Case("a stream that waits does not hold up another", |c| { open(c); c.ask("/") }, End::Served),
    Case("an answer while another stream's body comes", |c| { let first = open(c); let s = c.ask("/"); assert_eq!(c.answer(s).status, 200); finish(c, first) }, End::Served),

    Case("HEADERS that depend on themselves", |c| {
        let s = c.number();
        let payload = [s.to_be_bytes().to_vec(), vec![9], block(&c.head("GET", "/"))].concat();
        c.send(&Frame::headers(s, flag::WHOLE | flag::PRIORITY, payload)); s
    }, End::Either(&[code::PROTOCOL_ERROR])),
    Case("PRIORITY that depends on itself", |c| { let s = open(c); c.send(&Frame::priority(s, s, 9)); s }, End::Either(&[code::PROTOCOL_ERROR])),
    Case("PRIORITY that depends on an idle stream", |c| { let s = open(c); c.send(&Frame::priority(s, 999, 9)); finish(c, s) }, End::Served),
    Case("PRIORITY in a ring", |c| { let s = open(c); c.send_all(&[Frame::priority(s, s + 2, 9), Frame::priority(s + 2, s, 9)]); finish(c, s) }, End::Served),
    Case("PRIORITY, exclusive", |c| { let s = open(c); c.send(&Frame::priority(s, 0x8000_0000, 9)); finish(c, s) }, End::Served),
];
