//! A file as it is served: its content, or the file itself where that is long, and what is said of it.

use std::{fs::File, io::Write, sync::Arc};

use bytes::Bytes;

use crate::{
    config,
    files::{digests::Digest, stamp::Stamp},
    observe::dates::http_date,
};

/// A file up to this length is kept in memory.
pub const SMALL: u64 = 64 * 1024;

/// One representation of what a path stands for (RFC 9110, section 3.2).
#[derive(Clone, Debug)]
pub struct Document {
    pub stamp: Stamp,
    pub content: Content,
    /// As ETag says it (RFC 9110, section 8.8.3).
    pub tag: Box<str>,
    /// Header lines that a 304 has, too (section 15.4.5), each with its CRLF.
    pub validators: Box<[u8]>,
    /// Those that come with the content alone.
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
        let tag = tag(identity, &stamp);
        let mut validators = Vec::new();
        line(&mut validators, "ETag", tag.as_bytes());
        line(&mut validators, "Last-Modified", http_date(stamp.modified()).as_bytes());
        let mut described = Vec::new();
        line(&mut described, "Content-Type", media_type(name, config).as_bytes());
        line(&mut described, "Accept-Ranges", b"bytes");
        line(&mut described, "X-Content-Type-Options", b"nosniff");
        Document {
            stamp,
            content,
            tag: tag.into(),
            validators: validators.into(),
            described: described.into(),
        }
    }

    /// The same, once its content is known.
    pub fn identified(&self, digest: Digest) -> Document {
        let tag = tag(Identity::Content(digest), &self.stamp);
        let rest = line_end(&self.validators);
        let mut validators = Vec::new();
        line(&mut validators, "ETag", tag.as_bytes());
        validators.extend_from_slice(rest);
        Document { tag: tag.into(), validators: validators.into(), ..self.clone() }
    }

    pub fn has_strong_tag(&self) -> bool {
        !self.tag.starts_with("W/")
    }

    /// What it takes of the memory that is there for documents.
    pub fn weight(&self) -> usize {
        let content = match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Open(_) => 0,
        };
        content + self.tag.len() + self.validators.len() + self.described.len()
    }
}

fn tag(identity: Identity, stamp: &Stamp) -> String {
    match identity {
        Identity::Content(digest) => {
            let mut tag = Vec::with_capacity(2 * digest.len() + 2);
            tag.push(b'"');
            for byte in digest {
                write!(tag, "{byte:02x}").expect("a Vec takes every byte");
            }
            tag.push(b'"');
            String::from_utf8(tag).unwrap_or_default()
        }
        Identity::Unknown => {
            let (seconds, nanoseconds, length) = stamp.weak_parts();
            format!("W/\"{seconds:x}.{nanoseconds:x}-{length:x}\"")
        }
    }
}

fn media_type(name: &[u8], config: &config::Files) -> String {
    let _ = (name, config);
    "application/octet-stream".to_owned()
}

/// What follows the first line.
fn line_end(lines: &[u8]) -> &[u8] {
    memchr::memmem::find(lines, b"\r\n").map_or(&[], |end| &lines[end + 2..])
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
