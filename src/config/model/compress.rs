//! How answers are encoded on their way to a client, as meant. A part of the model.

use std::fmt;

/// A content coding that we can make (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

/// Which answers are encoded, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// At least one.
    pub types: Vec<MediaType>,
    /// Bytes of a body below which it is left as it is, where its length is told.
    pub min_length: u64,
    /// At least one, none twice: in the order in which we prefer them.
    pub encodings: Vec<Encoding>,
    pub level: Level,
}

/// How much time is spent to save how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Fast,
    Default,
    Best,
}

/// `text/html`, or several at once: `text/*`, `application/*+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// In lower case; up to the star, where there is one.
    pub start: String,
    /// Behind the star.
    pub end: Option<String>,
}

impl MediaType {
    /// `media_type` without parameters, in any case.
    pub fn matches(&self, media_type: &[u8]) -> bool {
        let Some((start, rest)) = media_type.split_at_checked(self.start.len()) else {
            return false;
        };
        let Some(end) = &self.end else {
            return rest.is_empty() && start.eq_ignore_ascii_case(self.start.as_bytes());
        };
        let at = rest.len().checked_sub(end.len());
        at.is_some_and(|at| rest[at..].eq_ignore_ascii_case(end.as_bytes()))
            && start.eq_ignore_ascii_case(self.start.as_bytes())
    }

    /// Whether it stands for one type alone.
    pub fn is_exact(&self) -> bool {
        self.end.is_none()
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Some(end) => write!(f, "{}*{end}", self.start),
            None => f.write_str(&self.start),
        }
    }
}
