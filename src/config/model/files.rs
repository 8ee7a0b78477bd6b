//! `[files.NAME]` as meant: a directory served as a web site. A part of the model.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    super::{Place, pattern::Pattern},
    Compress, Encoding,
};

/// A directory served as a web site.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    pub name: Arc<str>,
    pub root: PathBuf,
    /// Where `root` stands, to tell of one that can't be opened.
    pub place: Place,
    /// Names that stand for a directory, the first that is there; none: directories have no page.
    pub index: Vec<String>,
    /// What a path is looked up as, in this order; no kind twice.
    pub tries: Vec<Try>,
    pub otherwise: Otherwise,
    /// `/about` serves `about.html`, and `/about.html` leads to `/about`.
    pub clean_urls: bool,
    pub symlinks: Symlinks,
    /// Whether names that begin with a dot are served; `.well-known` always is.
    pub hidden: bool,
    /// Of text types; `None`: none is told.
    pub charset: Option<String>,
    /// Media types by extension, in lower case and without the dot, before those that are built in.
    /// Sorted.
    pub types: Vec<(String, String)>,
    /// The first that fits a file's name counts.
    pub cache_control: Vec<CacheControl>,
    /// Whether a file whose name has a fingerprint of its content may be kept for a year.
    pub immutable: bool,
    /// Codings of files that lie beside the file itself, in the order in which we prefer them.
    pub precompressed: Vec<Encoding>,
    /// In the codings that don't lie there. `None`: in no other.
    pub compress: Option<Compress>,
    pub listing: Listing,
    /// Bytes of small files that are kept in memory, over all workers.
    pub memory: u64,
    /// Larger files that are kept open, over all workers.
    pub open_files: usize,
    pub reads: Reads,
    /// More ranges than these are answered with the whole file.
    pub max_ranges: usize,
}

/// What a path is looked up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    File,
    Directory,
}

/// What is answered where nothing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    NotFound,
    /// This file of the root, which begins with `/`, with 200.
    Fallback(String),
    /// The name of a pool that exists.
    Pool(Arc<str>),
}

impl Otherwise {
    pub fn pool(&self) -> Option<&Arc<str>> {
        match self {
            Otherwise::Pool(pool) => Some(pool),
            Otherwise::NotFound | Otherwise::Fallback(_) => None,
        }
    }
}

/// How long the files of a pattern may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheControl {
    pub pattern: Pattern,
    /// Of the field of this name.
    pub value: String,
}

/// What a directory without an index shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    Off,
    Html,
    Json,
    /// Either, by Accept.
    Auto,
}

/// Which symbolic links below a root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Relative ones that stay below it.
    Inside,
    Never,
    /// All of them, wherever they lead.
    Follow,
}

/// What the disk may be asked at once, on each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// At once.
    pub max: usize,
    /// Requests that may wait for that; more are answered 503.
    pub queue: usize,
    /// How long a request waits for the disk (503).
    pub timeout: Duration,
}
