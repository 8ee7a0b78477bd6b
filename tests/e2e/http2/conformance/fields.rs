//! Field blocks (RFC 9113, section 4.3; RFC 7541).

use super::{COMPRESSION, Case, End};
use crate::harness::h2::{
    H2Client,
    frame::{Frame, block, flag, indexed_literal, integer, setting, string},
};

/// A plain request whose block has these bytes behind it.
fn with(client: &mut H2Client, bytes: &[u8]) -> u32 {
    let block = [block(&client.head("GET", "/")), bytes.to_vec()].concat();
    send(client, block)
}

fn send(client: &mut H2Client, block: Vec<u8>) -> u32 {
    let stream = client.number();
    client.send(&Frame::headers(stream, flag::WHOLE, block));
    stream
}

/// A literal of the name `x-a` whose value is these bytes as they are.
fn value(bytes: &[u8]) -> Vec<u8> {
    [&[0x00], string(b"x-a").as_slice(), bytes].concat()
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case("index 0", |c| with(c, &[0x80]), COMPRESSION),
    Case("an index behind both tables", |c| with(c, &[0x80 | 70]), COMPRESSION),
    Case("an index of 2^28", |c| with(c, &integer(0x80, 7, 1 << 28)), COMPRESSION),
    Case("a name's index behind both tables", |c| with(c, &[integer(0x40, 6, 70), string(b"a")].concat()), COMPRESSION),
    Case("the static table", |c| {
        let scheme = if c.scheme() == "https" { 0x87 } else { 0x86 };
        let authority = [vec![0x41], string(b"www.example.com")].concat();
        send(c, [vec![0x82, scheme, 0x84], authority].concat())
    }, End::Served),
    Case("the dynamic table over streams", |c| {
        let first = with(c, &indexed_literal("x-a", "1")); c.answer(first);
        let second = with(c, &indexed_literal("x-b", "2")); c.answer(second);
        with(c, &[0x80 | 62, 0x80 | 63])
    }, End::Served),
    Case("an entry that was evicted", |c| {
        let first = with(c, &indexed_literal("x-a", "1")); c.answer(first);
        let large = indexed_literal("x-b", &"b".repeat(4080));
        let second = with(c, &large); c.answer(second);
        with(c, &[0x80 | 62])
    }, COMPRESSION),
    Case("an integer that never ends", |c| with(c, &[[0xff].as_slice(), &[0xff; 40]].concat()), COMPRESSION),
    Case("an integer above 2^64", |c| with(c, &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), COMPRESSION),
    Case("a block that ends within an integer", |c| with(c, &[0xff]), COMPRESSION),
    Case("a block that ends within a name", |c| with(c, &[0x00, 0x0a, b'x']), COMPRESSION),
    Case("a block that ends within a value", |c| with(c, &value(&[0x0a, b'a'])), COMPRESSION),
    Case("a block that ends before a value", |c| with(c, &value(&[])), COMPRESSION),
    Case("a value of 4 GiB that is never sent", |c| with(c, &value(&integer(0, 7, 1 << 32))), COMPRESSION),
    Case("Huffman: padding longer than seven bits", |c| with(c, &value(&[0x82, 0x1f, 0xff])), COMPRESSION),
    Case("Huffman: padding of zeros", |c| with(c, &value(&[0x81, 0x18])), COMPRESSION),
    Case("Huffman: the end of the string within it", |c| with(c, &value(&[0x85, 0x1f, 0xff, 0xff, 0xff, 0xff])), COMPRESSION),
    Case("a table size above the setting", |c| { let bytes = [integer(0x20, 5, 1 << 20), block(&c.head("GET", "/"))].concat(); send(c, bytes) }, COMPRESSION),
    Case("a table size of 2^28", |c| { let bytes = [integer(0x20, 5, 1 << 28), block(&c.head("GET", "/"))].concat(); send(c, bytes) }, COMPRESSION),
    Case("a table size at the end of a block", |c| with(c, &[0x20]), COMPRESSION),
    Case("a table size of 0, then the setting's", |c| {
        let bytes = [vec![0x20], integer(0x20, 5, 4096), block(&c.head("GET", "/"))].concat(); send(c, bytes)
    }, End::Served),
    Case("a bad block in trailers", |c| {
        let s = super::connection::open(c);
        c.send(&Frame::headers(s, flag::WHOLE, [0x80])); s
    }, COMPRESSION),
    Case("a bad block of a stream that was reset", |c| {
        let s = super::connection::open(c);
        c.send(&Frame::reset(s, 8));
        c.send(&Frame::headers(s + 2, flag::WHOLE, [0x80])); s
    }, COMPRESSION),
    Case("a bad block of a malformed request", |c| send(c, vec![0x80]), COMPRESSION),
    Case("a table that the client takes away", |c| {
        c.send(&Frame::settings(&[(setting::HEADER_TABLE_SIZE, 0)]));
        c.until(|link| link.unacknowledged() == 0).expect("an acknowledgement");
        let first = c.ask("/"); c.answer(first);
        c.ask("/")
    }, End::Served),
];
