//! The format of frames: sizes, padding, numbers of streams, what goes between (RFC 9113, sections
//! 4 and 6).

use super::{
    Case, End, FRAME_SIZE, PROTOCOL,
    connection::{finish, open},
};
use crate::harness::h2::{
    H2Client,
    frame::{Frame, block, code, flag, kind},
};

fn raw(client: &mut H2Client, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> u32 {
    client.send_bytes(Frame::new(kind, flags, stream, payload).bytes());
    stream
}

/// The block of a plain request.
fn plain(client: &H2Client) -> Vec<u8> {
    block(&client.head("GET", "/"))
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case("an unknown type", |c| { raw(c, kind::UNKNOWN, 0, 0, &[0; 8]); c.ask("/") }, End::Served),
    Case("an unknown type on an idle stream", |c| { raw(c, kind::UNKNOWN, 0xff, 77, &[0; 8]); c.ask("/") }, End::Served),
    Case("an unknown type with flags and the reserved bit", |c| { raw(c, kind::UNKNOWN, 0xff, 0x8000_0000, &[0; 8]); c.ask("/") }, End::Served),
    Case("the reserved bit of a stream's number", |c| {
        let s = c.number(); let block = plain(c);
        raw(c, kind::HEADERS, flag::WHOLE, s | 0x8000_0000, &block); s
    }, End::Served),

    Case("DATA of the largest size", |c| { let s = open(c); c.send(&Frame::data(s, flag::END_STREAM, vec![0; 16_384])); s }, End::Served),
    Case("DATA above the largest size", |c| { let s = open(c); c.send(&Frame::data(s, flag::END_STREAM, vec![0; 16_385])); s }, End::Either(&[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR])),
    Case("HEADERS above the largest size", |c| { let s = c.number(); raw(c, kind::HEADERS, flag::WHOLE, s, &vec![0; 16_385]) }, FRAME_SIZE),
    Case("CONTINUATION above the largest size", |c| { let s = c.number(); raw(c, kind::HEADERS, flag::END_STREAM, s, &[]); raw(c, kind::CONTINUATION, flag::END_HEADERS, s, &vec![0; 16_385]) }, FRAME_SIZE),
    Case("SETTINGS above the largest size", |c| raw(c, kind::SETTINGS, 0, 0, &[0; 16_386]), FRAME_SIZE),
    Case("an unknown type above the largest size", |c| raw(c, kind::UNKNOWN, 0, 0, &vec![0; 16_385]), FRAME_SIZE),
    Case("a frame of 16 MiB that is never sent", |c| { c.send_bytes([0xff, 0xff, 0xff, kind::DATA, 0, 0, 0, 0, 1]); 0 }, FRAME_SIZE),
    Case("PRIORITY of four bytes", |c| { let s = open(c); raw(c, kind::PRIORITY, 0, s, &[0; 4]) }, End::Either(&[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR])),
    Case("RST_STREAM of three bytes", |c| { let s = open(c); raw(c, kind::RST_STREAM, 0, s, &[0; 3]) }, FRAME_SIZE),
    Case("RST_STREAM of five bytes", |c| { let s = open(c); raw(c, kind::RST_STREAM, 0, s, &[0; 5]) }, FRAME_SIZE),
    Case("HEADERS too short for their padding's length", |c| { let s = c.number(); raw(c, kind::HEADERS, flag::WHOLE | flag::PADDED, s, &[]) }, FRAME_SIZE),
    Case("HEADERS too short for their priority", |c| { let s = c.number(); raw(c, kind::HEADERS, flag::WHOLE | flag::PRIORITY, s, &[0; 4]) }, FRAME_SIZE),

    Case("DATA with padding as long as itself", |c| { let s = open(c); raw(c, kind::DATA, flag::PADDED, s, &[5, 0, 0, 0, 0]) }, PROTOCOL),
    Case("DATA with padding longer than itself", |c| { let s = open(c); raw(c, kind::DATA, flag::PADDED, s, &[255, 0, 0]) }, PROTOCOL),
    Case("DATA too short for its padding's length", |c| { let s = open(c); raw(c, kind::DATA, flag::PADDED, s, &[]) }, FRAME_SIZE),
    Case("HEADERS with padding longer than themselves", |c| { let s = c.number(); let payload = [&[255], plain(c).as_slice()].concat(); raw(c, kind::HEADERS, flag::WHOLE | flag::PADDED, s, &payload) }, PROTOCOL),
    Case("padded HEADERS", |c| { let s = c.number(); let block = plain(c); c.send(&Frame::headers(s, flag::WHOLE, block).padded(77)); s }, End::Served),
    Case("padded DATA", |c| { let s = open(c); c.send(&Frame::data(s, flag::END_STREAM, *b"hello").padded(77)); s }, End::Served),

    Case("DATA of stream 0", |c| raw(c, kind::DATA, flag::NONE, 0, b"hello"), PROTOCOL),
    Case("HEADERS of stream 0", |c| { let block = plain(c); raw(c, kind::HEADERS, flag::WHOLE, 0, &block) }, PROTOCOL),
    Case("PRIORITY of stream 0", |c| raw(c, kind::PRIORITY, 0, 0, &[0, 0, 0, 0, 1]), PROTOCOL),
    Case("RST_STREAM of stream 0", |c| raw(c, kind::RST_STREAM, 0, 0, &[0; 4]), PROTOCOL),
    Case("CONTINUATION of stream 0", |c| raw(c, kind::CONTINUATION, flag::END_HEADERS, 0, &[]), PROTOCOL),
    Case("PUSH_PROMISE of a client", |c| { let s = open(c); let block = [vec![0, 0, 0, 2], plain(c)].concat(); raw(c, kind::PUSH_PROMISE, flag::END_HEADERS, s, &block) }, PROTOCOL),

    Case("CONTINUATION of nothing", |c| { let s = open(c); raw(c, kind::CONTINUATION, flag::END_HEADERS, s, &[]) }, PROTOCOL),
    Case("CONTINUATION behind the end of the fields", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::WHOLE, s, &block); raw(c, kind::CONTINUATION, flag::END_HEADERS, s, &[]) }, PROTOCOL),
    Case("CONTINUATION behind DATA", |c| { let s = open(c); c.send(&Frame::data(s, flag::NONE, *b"he")); raw(c, kind::CONTINUATION, flag::END_HEADERS, s, &[]) }, PROTOCOL),
    Case("CONTINUATION of another stream", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::CONTINUATION, flag::END_HEADERS, s + 2, &[]) }, PROTOCOL),
    Case("DATA within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::NONE, s, &block); raw(c, kind::DATA, flag::NONE, s, b"hello") }, PROTOCOL),
    Case("HEADERS within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::HEADERS, flag::WHOLE, s + 2, &block) }, PROTOCOL),
    Case("PING within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::PING, flag::NONE, 0, &[0; 8]) }, PROTOCOL),
    Case("SETTINGS within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::SETTINGS, flag::NONE, 0, &[]) }, PROTOCOL),
    Case("RST_STREAM within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::RST_STREAM, flag::NONE, s, &[0; 4]) }, PROTOCOL),
    Case("PRIORITY within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::PRIORITY, flag::NONE, s, &[0; 5]) }, PROTOCOL),
    Case("an unknown type within a field block", |c| { let s = c.number(); let block = plain(c); raw(c, kind::HEADERS, flag::END_STREAM, s, &block); raw(c, kind::UNKNOWN, flag::NONE, s, &[]) }, PROTOCOL),
    Case("a field block in three frames", |c| {
        let s = c.number(); let block = plain(c);
        raw(c, kind::HEADERS, flag::END_STREAM, s, &block[..5]);
        raw(c, kind::CONTINUATION, flag::NONE, s, &block[5..9]);
        raw(c, kind::CONTINUATION, flag::END_HEADERS, s, &block[9..])
    }, End::Served),
    Case("flags that CONTINUATION does not have", |c| {
        let s = c.number(); let block = plain(c);
        raw(c, kind::HEADERS, flag::END_STREAM, s, &block);
        raw(c, kind::CONTINUATION, 0xfb | flag::END_HEADERS, s, &[])
    }, End::Served),
    Case("a frame in single bytes", |c| {
        let s = c.number(); let bytes = Frame::headers(s, flag::WHOLE, plain(c)).bytes();
        for byte in bytes { c.send_bytes([byte]); }
        s
    }, End::Served),
    Case("two frames in one write", |c| {
        let s = c.number();
        let head = Frame::headers(s, flag::END_HEADERS, block(&c.head("POST", "/")));
        c.send_bytes([head.bytes(), Frame::data(s, flag::END_STREAM, *b"hello").bytes()].concat()); s
    }, End::Served),
    Case("a body, and PRIORITY", |c| { let s = open(c); c.send(&Frame::priority(s, 0, 0)); finish(c, s) }, End::Served),
];
