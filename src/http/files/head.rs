//! The head of an answer with a file. Pure.

use crate::{
    files::{document::Document, ranges::ByteRange},
    http::{
        answers::phrase,
        digits,
        h1::body::Framing,
        header_rules::Changes,
        headers::{Inbound, end_response},
    },
};

use super::body::{Body, Parts};

pub struct Head<'a> {
    pub status: u16,
    document: &'a Document,
    content: Option<Described>,
}

/// What is said of a content that follows, or would.
struct Described {
    /// `None`: nobody knows.
    length: Option<u64>,
    range: Option<ByteRange>,
    /// Of several ranges; else it is the document's.
    content_type: Option<String>,
}

impl<'a> Head<'a> {
    /// 304 (RFC 9110, section 15.4.5).
    pub fn not_modified(document: &'a Document) -> Head<'a> {
        Head { status: 304, document, content: None }
    }

    /// 200 or 206.
    pub fn of(document: &'a Document, body: &Body<'_>) -> Head<'a> {
        let whole = Some(document.length());
        let (status, content) = match &body.parts {
            Parts::None => (200, Described { length: Some(0), range: None, content_type: None }),
            Parts::One(_) if !body.is_partial => {
                (200, Described { length: whole, range: None, content_type: None })
            }
            Parts::One(range) => {
                let range = *range;
                let length = Some(range.length());
                (206, Described { length, range: Some(range), content_type: None })
            }
            Parts::Encoded(..) => {
                (200, Described { length: None, range: None, content_type: None })
            }
            Parts::Several(several) => {
                let content_type = Some(several.content_type.clone());
                (206, Described { length: Some(several.length), range: None, content_type })
            }
        };
        Head { status, document, content: Some(content) }
    }

    /// 200, with a body that is encoded on its way.
    pub fn encoded(document: &'a Document) -> Head<'a> {
        let content = Described { length: None, range: None, content_type: None };
        Head { status: 200, document, content: Some(content) }
    }

    pub fn write(&self, out: &mut Vec<u8>, inbound: &Inbound<'_>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        digits::number(out, self.status.into());
        out.push(b' ');
        out.extend_from_slice(phrase(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        let lines = out.len();
        if let Some(content) = &self.content {
            self.describe(out, content);
        }
        out.extend_from_slice(&self.document.validator_lines);
        if let Some(changes) = &inbound.changes {
            drop_lines(out, lines, changes);
            changes.write(out);
        }
        if inbound.framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        end_response(out, inbound);
    }

    fn describe(&self, out: &mut Vec<u8>, content: &Described) {
        out.extend_from_slice(b"Content-Type: ");
        let content_type = content.content_type.as_deref();
        out.extend_from_slice(content_type.unwrap_or(&self.document.content_type).as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(length) = content.length {
            out.extend_from_slice(b"Content-Length: ");
            digits::number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(range) = content.range {
            out.extend_from_slice(b"Content-Range: ");
            range.write(out, self.document.stamp.length);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.document.described);
    }
}

/// Takes out the lines from there on that the route takes away or sets anew.
fn drop_lines(out: &mut Vec<u8>, from: usize, changes: &Changes<'_>) {
    let lines = out.split_off(from);
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if !changes.drops_name(name) {
            out.extend_from_slice(line);
        }
    }
}
