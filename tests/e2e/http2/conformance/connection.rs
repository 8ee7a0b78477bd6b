//! The connection: SETTINGS, PING, GOAWAY, windows (RFC 9113, sections 3.4, 5.2, 6.5 and 6.7 to 6.9).

use super::{Case, End, FLOW_CONTROL, FRAME_SIZE, PROTOCOL};
use crate::harness::h2::{
    H2Client, Windows,
    frame::{Frame, code, flag, kind, setting},
};

fn settings(client: &mut H2Client, name: u16, value: u32) -> u32 {
    client.send(&Frame::settings(&[(name, value)]));
    0
}

fn raw(client: &mut H2Client, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> u32 {
    client.send_bytes(Frame::new(kind, flags, stream, payload).bytes());
    0
}

/// The largest increment and the largest window.
const MOST: u32 = 0x7fff_ffff;

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case("SETTINGS of a stream", |c| raw(c, kind::SETTINGS, flag::NONE, 1, &[]), PROTOCOL),
    Case("SETTINGS of a length that is no multiple of six", |c| raw(c, kind::SETTINGS, flag::NONE, 0, &[0, 3, 0]), FRAME_SIZE),
    Case("an acknowledgement that carries something", |c| raw(c, kind::SETTINGS, flag::ACK, 0, &[0, 3, 0, 0, 0, 100]), FRAME_SIZE),
    Case("empty SETTINGS", |c| { c.send(&Frame::settings(&[])); c.ask("/") }, End::Served),
    Case("SETTINGS_ENABLE_PUSH of 2", |c| settings(c, setting::ENABLE_PUSH, 2), PROTOCOL),
    Case("SETTINGS_ENABLE_PUSH of 0 and 1", |c| { settings(c, setting::ENABLE_PUSH, 0); settings(c, setting::ENABLE_PUSH, 1); c.ask("/") }, End::Served),
    Case("an initial window of 2^31", |c| settings(c, setting::INITIAL_WINDOW_SIZE, MOST + 1), FLOW_CONTROL),
    Case("an initial window of 2^31-1", |c| { settings(c, setting::INITIAL_WINDOW_SIZE, MOST); c.ask("/") }, End::Served),
    Case("a frame size below the smallest", |c| settings(c, setting::MAX_FRAME_SIZE, 16_383), PROTOCOL),
    Case("a frame size of 0", |c| settings(c, setting::MAX_FRAME_SIZE, 0), PROTOCOL),
    Case("a frame size above the largest", |c| settings(c, setting::MAX_FRAME_SIZE, 1 << 24), PROTOCOL),
    Case("the largest frame size", |c| { settings(c, setting::MAX_FRAME_SIZE, (1 << 24) - 1); c.ask("/") }, End::Served),
    Case("a setting that nobody knows", |c| { settings(c, setting::UNKNOWN, u32::MAX); c.ask("/") }, End::Served),
    Case("no streams of the server", |c| { settings(c, setting::MAX_CONCURRENT_STREAMS, 0); c.ask("/") }, End::Served),
    Case("a header table of 0", |c| { settings(c, setting::HEADER_TABLE_SIZE, 0); c.ask("/") }, End::Served),
    Case("a header table of 4 GiB", |c| { settings(c, setting::HEADER_TABLE_SIZE, u32::MAX); c.ask("/") }, End::Served),
    Case("a list of headers of 4 GiB", |c| { settings(c, setting::MAX_HEADER_LIST_SIZE, u32::MAX); c.ask("/") }, End::Served),
    Case("one setting twice, the first over", |c| { c.send(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, 100)])); c.ask("/") }, End::Served),
    Case("many SETTINGS at once are each acknowledged", |c| {
        for window in 0..50 { settings(c, setting::INITIAL_WINDOW_SIZE, 60_000 + window); }
        c.until(|link| link.unacknowledged() == 0).expect("acknowledgements"); c.ask("/")
    }, End::Served),

    Case("PING is answered", |c| { c.ping().expect("an answer"); 0 }, End::Alive),
    Case("PING of a stream", |c| raw(c, kind::PING, flag::NONE, 1, &[0; 8]), PROTOCOL),
    Case("PING of seven bytes", |c| raw(c, kind::PING, flag::NONE, 0, &[0; 7]), FRAME_SIZE),
    Case("PING of nine bytes", |c| raw(c, kind::PING, flag::NONE, 0, &[0; 9]), FRAME_SIZE),
    Case("PING of nothing", |c| raw(c, kind::PING, flag::NONE, 0, &[]), FRAME_SIZE),
    Case("an answer to no PING", |c| { raw(c, kind::PING, flag::ACK, 0, b"unasked!"); c.ask("/") }, End::Served),
    Case("PING with unknown flags", |c| { raw(c, kind::PING, 0xfe, 0, b"flagged!"); c.ask("/") }, End::Served),

    Case("GOAWAY of a stream", |c| raw(c, kind::GOAWAY, flag::NONE, 1, &[0; 8]), PROTOCOL),
    Case("GOAWAY of seven bytes", |c| raw(c, kind::GOAWAY, flag::NONE, 0, &[0; 7]), FRAME_SIZE),
    Case("a request, then GOAWAY", |c| { let s = c.ask("/"); c.send(&Frame::goaway(0, code::NO_ERROR)); assert_eq!(c.answer(s).status, 200); 0 }, End::Closed),

    Case("a window of the connection raised by 0", |c| raw(c, kind::WINDOW_UPDATE, flag::NONE, 0, &[0; 4]), PROTOCOL),
    Case("a window of a stream raised by 0", |c| { let s = open(c); raw(c, kind::WINDOW_UPDATE, flag::NONE, s, &[0; 4]); s }, End::Either(&[code::PROTOCOL_ERROR])),
    Case("WINDOW_UPDATE of three bytes", |c| raw(c, kind::WINDOW_UPDATE, flag::NONE, 0, &[0, 0, 1]), FRAME_SIZE),
    Case("WINDOW_UPDATE of five bytes", |c| raw(c, kind::WINDOW_UPDATE, flag::NONE, 0, &[0, 0, 0, 1, 0]), FRAME_SIZE),
    Case("a window of the connection above 2^31-1", |c| { c.send(&Frame::window_update(0, MOST)); c.send(&Frame::window_update(0, MOST)); 0 }, FLOW_CONTROL),
    Case("a window of a stream above 2^31-1", |c| { let s = open(c); c.send(&Frame::window_update(s, MOST)); c.send(&Frame::window_update(s, MOST)); s }, End::Either(&[code::FLOW_CONTROL_ERROR])),
    Case("a window raised above 2^31-1 by SETTINGS", |c| { let s = open(c); c.send(&Frame::window_update(s, MOST - 65_535)); settings(c, setting::INITIAL_WINDOW_SIZE, 65_536); 0 }, FLOW_CONTROL),
    Case("the reserved bit of an increment", |c| { let s = open(c); raw(c, kind::WINDOW_UPDATE, flag::NONE, s, &[0x80, 0, 0, 1]); finish(c, s) }, End::Served),
    Case("a window of one byte", |c| {
        c.windows = Windows::Withheld;
        settings(c, setting::INITIAL_WINDOW_SIZE, 1);
        let s = c.ask("/");
        c.until(|link| link.message(s).is_some_and(|message| message.body.len() == 1)).expect("one byte");
        c.give(s, 100); s
    }, End::Served),
    Case("a window opened by SETTINGS", |c| {
        settings(c, setting::INITIAL_WINDOW_SIZE, 0);
        let s = c.ask("/");
        c.until(|link| link.message(s).is_some_and(|message| !message.heads.is_empty())).expect("a head");
        c.ping().expect("an answer");
        assert!(c.message(s).is_some_and(|message| message.body.is_empty()), "there is no window");
        settings(c, setting::INITIAL_WINDOW_SIZE, 100); s
    }, End::Served),
    Case("a window below zero", |c| {
        c.windows = Windows::Withheld;
        settings(c, setting::INITIAL_WINDOW_SIZE, 3);
        let s = c.ask("/");
        c.until(|link| link.message(s).is_some_and(|message| message.body.len() == 3)).expect("three bytes");
        settings(c, setting::INITIAL_WINDOW_SIZE, 1);
        // Below zero by two now.
        c.ping().expect("an answer");
        c.give(s, 10); s
    }, End::Served),
];

/// A request whose body has not come.
pub fn open(client: &mut H2Client) -> u32 {
    client.open_stream("POST", "/", &[], flag::NONE)
}

pub fn finish(client: &mut H2Client, stream: u32) -> u32 {
    client.send(&Frame::data(stream, flag::END_STREAM, *b"hello"));
    stream
}
