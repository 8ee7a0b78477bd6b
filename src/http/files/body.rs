//! What of a file is sent. Pure.

use crate::{
    files::{
        document::Document,
        multipart::Multipart,
        ranges::{ByteRange, Selection},
    },
    http::{compressors::Placed, h1::body::Framing},
    message::{encoding::Encoding, head::Version},
};

/// The body of an answer.
pub struct Body<'a> {
    pub document: &'a Document,
    pub parts: Parts,
    /// Parts were asked for, be it all of it (RFC 9110, section 15.3.7).
    pub is_partial: bool,
}

pub enum Parts {
    None,
    One(ByteRange),
    Several(Several),
    Encoded(OnTheWay),
}

/// All of a file, encoded on its way.
pub struct OnTheWay {
    pub coding: Encoding,
    pub placed: Box<Placed>,
    pub framing: Framing,
}

/// A multipart/byteranges body, whose framing has been written.
pub struct Several {
    pub content_type: String,
    pub length: u64,
    /// What goes before the bytes of each range.
    pub ranges: Vec<(Vec<u8>, ByteRange)>,
    pub end: Vec<u8>,
}

impl<'a> Body<'a> {
    pub fn empty(document: &'a Document) -> Body<'a> {
        Body { document, parts: Parts::None, is_partial: false }
    }

    pub fn encoded(document: &'a Document, on_the_way: OnTheWay) -> Body<'a> {
        Body { document, parts: Parts::Encoded(on_the_way), is_partial: false }
    }

    /// Nothing can be selected that is not there: of an empty file nothing is.
    pub fn new(document: &'a Document, selection: Selection) -> Body<'a> {
        let length = document.length();
        let is_partial = selection != Selection::Whole;
        let parts = match selection {
            Selection::Whole if length > 0 => Parts::One(ByteRange { first: 0, last: length - 1 }),
            Selection::Whole | Selection::Unsatisfiable => Parts::None,
            Selection::One(range) => Parts::One(range),
            Selection::Several(ranges) => Parts::Several(several(document, ranges)),
        };
        Body { document, parts, is_partial }
    }
}

impl OnTheWay {
    pub fn new(coding: Encoding, placed: Placed, version: Version) -> OnTheWay {
        let framing = match version {
            Version::Http10 => Framing::UntilClose,
            Version::Http11 => Framing::Chunked,
            // Its stream says where it ends.
            Version::Http2 => Framing::Empty,
        };
        OnTheWay { coding, placed: Box::new(placed), framing }
    }
}

impl Parts {
    /// How it is encoded on its way, and framed.
    pub fn on_the_way(&self) -> Option<(Encoding, Framing)> {
        match self {
            Parts::Encoded(it) => Some((it.coding, it.framing)),
            Parts::None | Parts::One(_) | Parts::Several(_) => None,
        }
    }
}

fn several(document: &Document, ranges: Vec<ByteRange>) -> Several {
    let boundary = fastrand::u128(..).to_be_bytes();
    let parts = Multipart::new(boundary, &document.content_type, document.length(), &ranges);
    let mut end = Vec::new();
    parts.write_end(&mut end);
    let framed = ranges.iter().enumerate().map(|(position, range)| {
        let mut before = Vec::new();
        parts.write_head(position, &mut before);
        (before, *range)
    });
    Several {
        content_type: parts.content_type(),
        length: parts.length(),
        ranges: framed.collect(),
        end,
    }
}
