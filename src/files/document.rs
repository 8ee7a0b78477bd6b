//! A file as it is served: its content, or the file itself where that is long, and what is said of it.

use std::{fs::File, io::Write, sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{
    config::{self, CacheControl, Encoding, Words},
    files::{
        cache_control::{Fingerprints, Rules},
        conditions::{EntityTag, Strength, Validators, last_modified},
        digests::Digest,
        mime::Types,
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
    /// Of the validators: what is said besides them.
    kept: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub enum Content {
    Memory(Bytes),
    Open(Arc<File>),
}

/// What is said of a document, besides what its content says.
#[derive(Clone, Debug)]
pub struct Said {
    pub content_type: Box<str>,
    /// `None`: it is as it is.
    pub coding: Option<Encoding>,
    /// Lines about how long it is kept, and for whom.
    pub kept: Box<[u8]>,
}

impl Said {
    /// Of the file of this name; `varies`: others get it in a coding.
    pub fn of(name: &[u8], manner: &Manner, varies: Varies) -> Said {
        let mut content_type = Vec::new();
        manner.types.of(name).write(&mut content_type);
        let mut kept = Vec::new();
        if let Some(value) = manner.cache_control.of(name) {
            line(&mut kept, "Cache-Control", value.as_bytes());
        }
        if varies == Varies::ByCoding {
            line(&mut kept, "Vary", b"Accept-Encoding");
        }
        let content_type = String::from_utf8_lossy(&content_type).into_owned().into();
        Said { content_type, coding: None, kept: kept.into() }
    }
}

/// Whether clients get different bytes by the codings that they take (RFC 9110, section 12.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    No,
    ByCoding,
}

/// How a site speaks of its files.
#[derive(Debug)]
pub struct Manner {
    types: Types,
    cache_control: Rules,
}

impl Manner {
    pub fn of(config: &config::Files) -> Manner {
        let types = Types::new(config.types.clone(), config.charset.as_deref().unwrap_or(""));
        let rule = |rule: &CacheControl| (rule.pattern.clone(), rule.value.clone());
        let fingerprints = match config.immutable {
            true => Fingerprints::Believed,
            false => Fingerprints::Ignored,
        };
        let rules = config.cache_control.iter().map(rule).collect();
        Manner { types, cache_control: Rules::new(rules, fingerprints) }
    }
}

/// What is known of the content: its digest makes a strong tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    Content(Digest),
    /// Not yet.
    Unknown,
}

impl Document {
    pub fn new(stamp: Stamp, content: Content, identity: Identity, said: &Said) -> Document {
        let (strength, opaque) = tag(identity, &stamp);
        let modified = last_modified(stamp.modified(), SystemTime::now());
        let mut document = Document {
            stamp,
            content,
            strength,
            opaque,
            modified,
            content_type: said.content_type.clone(),
            validator_lines: said.kept.clone(),
            described: described(said),
            kept: said.kept.clone(),
        };
        document.validator_lines = document.written_validators();
        document
    }

    fn written_validators(&self) -> Box<[u8]> {
        let mut lines = b"ETag: ".to_vec();
        EntityTag { strength: self.strength, opaque: &self.opaque }.write(&mut lines);
        lines.extend_from_slice(b"\r\n");
        line(&mut lines, "Last-Modified", http_date(self.modified).as_bytes());
        lines.extend_from_slice(&self.kept);
        lines.into()
    }

    /// The same, once its content is known.
    pub fn identified(&self, digest: Digest) -> Document {
        let (strength, opaque) = tag(Identity::Content(digest), &self.stamp);
        let mut document = Document { strength, opaque, ..self.clone() };
        document.validator_lines = document.written_validators();
        document
    }

    /// The same in a coding that we make. Its tag is a weak one: it stands for the same content in other
    /// bytes, and other servers may make others of it (RFC 9110, section 8.8.3.3).
    pub fn encoded(&self, coding: Encoding, content: Content) -> Document {
        let described = made(coding);
        let mut document =
            Document { content, strength: Strength::Weak, described, ..self.clone() };
        document.validator_lines = document.written_validators();
        document
    }

    /// Bytes of the content, where they are not made on its way.
    pub fn length(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Open(_) => self.stamp.length,
        }
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
            let (seconds, nanoseconds, length) = stamp.modified_at();
            write!(opaque, "{seconds:x}.{nanoseconds:x}-{length:x}")
                .expect("a Vec takes every byte");
            (Strength::Weak, opaque.into())
        }
    }
}

fn described(said: &Said) -> Box<[u8]> {
    let mut lines = Vec::new();
    if let Some(coding) = said.coding {
        line(&mut lines, "Content-Encoding", coding.word().as_bytes());
    }
    line(&mut lines, "Accept-Ranges", b"bytes");
    line(&mut lines, "X-Content-Type-Options", b"nosniff");
    lines.into()
}

/// Without ranges: they would be of bytes that nobody else has.
fn made(coding: Encoding) -> Box<[u8]> {
    let mut lines = Vec::new();
    line(&mut lines, "Content-Encoding", coding.word().as_bytes());
    line(&mut lines, "X-Content-Type-Options", b"nosniff");
    lines.into()
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
