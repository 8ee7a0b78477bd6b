//! A file as it is served: its content, or the file itself where that is long, and what is said of it.

use std::{fs::File, io::Write, sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{
    config,
    files::{
        conditions::{EntityTag, Strength, Validators, last_modified},
        digests::Digest,
        stamp::Stamp,
    },
    observe::dates::http_date,
};

/// A file up to this length is kept in memory.
pub const SMALL: u64 = 64 * 1024;

/// One representation of what a path stands for (RFC 9110, section 3.2).
#[derive(Clone, Debug)]
pub struct Document {
    pub stamp: Stamp,
    pub content: Content,
    strength: Strength,
    opaque: Box<[u8]>,
    /// The value of Content-Type.
    pub content_type: Box<str>,
    /// What Last-Modified says.
    modified: SystemTime,
    /// Header lines that a 304 has, too (section 15.4.5), each with its CRLF.
    pub validator_lines: Box<[u8]>,
    /// Those that come with the content alone, besides its type.
    pub described: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub enum Content {
    Memory(Bytes),
    Open(Arc<File>),
}

/// What is known of the content: its digest makes a strong tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    Content(Digest),
    /// Not yet.
    Unknown,
}

impl Document {
    pub fn new(
        name: &[u8],
        stamp: Stamp,
        content: Content,
        identity: Identity,
        config: &config::Files,
    ) -> Document {
        let (strength, opaque) = tag(identity, &stamp);
        let content_type = media_type(name, config);
        let mut described = Vec::new();
        line(&mut described, "Accept-Ranges", b"bytes");
        line(&mut described, "X-Content-Type-Options", b"nosniff");
        let modified = last_modified(stamp.modified(), SystemTime::now());
        Document {
            stamp,
            content,
            validator_lines: validator_lines(EntityTag { strength, opaque: &opaque }, modified),
            strength,
            opaque,
            modified,
            content_type: content_type.into(),
            described: described.into(),
        }
    }

    /// The same, once its content is known.
    pub fn identified(&self, digest: Digest) -> Document {
        let (strength, opaque) = tag(Identity::Content(digest), &self.stamp);
        let tag = EntityTag { strength, opaque: &opaque };
        let validator_lines = validator_lines(tag, self.modified);
        Document { strength, opaque, validator_lines, ..self.clone() }
    }

    pub fn has_strong_tag(&self) -> bool {
        self.strength == Strength::Strong
    }

    /// What requests are held against.
    pub fn validators(&self) -> Validators<'_> {
        let tag = EntityTag { strength: self.strength, opaque: &self.opaque };
        Validators { tag: Some(tag), modified: Some(self.modified) }
    }

    /// What it takes of the memory that is there for documents.
    pub fn weight(&self) -> usize {
        let content = match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Open(_) => 0,
        };
        content
            + self.opaque.len()
            + self.content_type.len()
            + self.validator_lines.len()
            + self.described.len()
    }
}

fn tag(identity: Identity, stamp: &Stamp) -> (Strength, Box<[u8]>) {
    let mut opaque = Vec::new();
    match identity {
        Identity::Content(digest) => {
            let digits = u128::from_be_bytes(digest);
            write!(opaque, "{digits:032x}").expect("a Vec takes every byte");
            (Strength::Strong, opaque.into())
        }
        Identity::Unknown => {
            let (seconds, nanoseconds, length) = stamp.weak_parts();
            write!(opaque, "{seconds:x}.{nanoseconds:x}-{length:x}")
                .expect("a Vec takes every byte");
            (Strength::Weak, opaque.into())
        }
    }
}

fn validator_lines(tag: EntityTag<'_>, modified: SystemTime) -> Box<[u8]> {
    let mut lines = b"ETag: ".to_vec();
    tag.write(&mut lines);
    lines.extend_from_slice(b"\r\n");
    line(&mut lines, "Last-Modified", http_date(modified).as_bytes());
    lines.into()
}

fn media_type(name: &[u8], config: &config::Files) -> String {
    let _ = (name, config);
    "application/octet-stream".to_owned()
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
