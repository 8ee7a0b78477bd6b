//! What all workers know of one directory of files, and how a path is looked up in it.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    sync::Arc,
    time::SystemTime,
};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::{
    config::{self, Otherwise, Try},
    files::{
        digests::{self, Digests},
        document::{Content, Document, Identity, SMALL},
        looks::{self, Change, CleanUrls, Listing, Look, Rules},
        names::{self, Hidden, Kind, Name},
        root::{Looked, Node, Patience, Root, Unseen},
        stamp::Stamp,
    },
    observe::metrics::FilesMetrics,
};

/// Immutable; the same for every worker.
#[derive(Debug)]
pub struct Directory {
    pub config: config::Files,
    root: Root,
    kinds: Vec<Kind>,
    digests: Arc<Digests>,
    pub metrics: Arc<FilesMetrics>,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Outcome {
    Found(Found),
    /// What was known before.
    Same,
    /// It is known by another path.
    Redirect(Change),
    Nothing,
}

/// What is there.
#[derive(Clone, Debug)]
pub struct Found {
    pub document: Document,
    /// Whether a change of it from now on would show in its stamp.
    settled: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// As routing read it.
    Path(&'a str),
    /// The file that stands for all that is not there.
    Fallback,
}

impl Directory {
    pub fn new(
        config: config::Files,
        root: Root,
        digests: Arc<Digests>,
        metrics: Arc<FilesMetrics>,
    ) -> Directory {
        let kind = |tried: &Try| match tried {
            Try::File => Kind::File,
            Try::Directory => Kind::Directory,
        };
        let kinds = config.tries.iter().map(kind).collect();
        Directory { config, root, kinds, digests, metrics }
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    pub fn digests(&self) -> &Arc<Digests> {
        &self.digests
    }

    /// Looks a path up; `known` is what was found there before.
    pub fn find(
        &self,
        asked: Asked<'_>,
        known: Option<&Found>,
        patience: Patience,
    ) -> Result<Outcome, Unseen> {
        let name = match asked {
            Asked::Fallback => return self.find_fallback(known, patience),
            Asked::Path(path) => names::read(path, self.hidden()),
        };
        let Ok(name) = name else {
            return Ok(Outcome::Nothing);
        };
        for look in looks::looks(&name, self.rules()) {
            match self.take(&look, known, patience)? {
                Outcome::Nothing => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::Nothing)
    }

    fn hidden(&self) -> Hidden {
        if self.config.hidden { Hidden::Served } else { Hidden::Refused }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            kinds: &self.kinds,
            index: &self.config.index,
            clean_urls: if self.config.clean_urls { CleanUrls::On } else { CleanUrls::Off },
            listing: Listing::Off,
        }
    }

    fn find_fallback(&self, known: Option<&Found>, patience: Patience) -> Result<Outcome, Unseen> {
        let Otherwise::Fallback(file) = &self.config.otherwise else {
            return Ok(Outcome::Nothing);
        };
        let bytes = Cow::Borrowed(file.trim_start_matches('/').as_bytes());
        let Name { bytes: name, .. } = Name { bytes, kind: Kind::File };
        let look = Look { name, file: looks::Found::Serve, directory: looks::Found::LookOn };
        self.take(&look, known, patience)
    }

    fn take(
        &self,
        look: &Look<'_>,
        known: Option<&Found>,
        patience: Patience,
    ) -> Result<Outcome, Unseen> {
        let node = match self.root.look(&look.name, patience) {
            Ok(node) => node,
            Err(Unseen::Nothing) => return Ok(Outcome::Nothing),
            Err(other) => return Err(other),
        };
        let follows = match &node {
            Node::File(_) => look.file,
            Node::Directory(_) => look.directory,
        };
        match (follows, node) {
            (looks::Found::Redirect(change), _) => Ok(Outcome::Redirect(change)),
            (looks::Found::Serve, Node::File(looked)) => {
                if known.is_some_and(|known| known.is_still(&looked)) {
                    return Ok(Outcome::Same);
                }
                match self.open(&look.name, &looked, patience) {
                    Ok(found) => Ok(Outcome::Found(found)),
                    // It may be seen, not read.
                    Err(Unseen::Nothing) => Ok(Outcome::Nothing),
                    Err(other) => Err(other),
                }
            }
            (looks::Found::LookOn | looks::Found::List | looks::Found::Serve, _) => {
                Ok(Outcome::Nothing)
            }
        }
    }

    fn open(&self, name: &[u8], looked: &Looked, patience: Patience) -> Result<Found, Unseen> {
        let stamp = looked.stamp;
        let mut identity = self.digests.find(&stamp).map_or(Identity::Unknown, Identity::Content);
        // To read and to digest it is nothing for a worker, unless it has been done.
        let is_small = stamp.length <= SMALL && self.config.memory > 0;
        if is_small && identity == Identity::Unknown && patience == Patience::Now {
            return Err(Unseen::Later);
        }
        let file = looked.open(patience)?;
        let content = if is_small {
            let bytes = read_whole(&file, stamp.length, patience)?;
            // What was read is what is served, whatever the file holds by now.
            let digest = digests::of(&bytes);
            identity = Identity::Content(digest);
            if stamp.is_settled(SystemTime::now()) {
                self.digests.learn(stamp, digest);
            }
            Content::Memory(bytes.into())
        } else {
            let file = Arc::new(file);
            if identity == Identity::Unknown {
                self.digests.ask(&file, stamp);
            }
            Content::Open(file)
        };
        let document = Document::new(name, stamp, content, identity, &self.config);
        Ok(Found { document, settled: stamp.is_settled(SystemTime::now()) })
    }

    /// The same with the strong tag, once that is known.
    pub fn identified(&self, found: &Found) -> Option<Found> {
        let Document { stamp, content, .. } = &found.document;
        if found.document.has_strong_tag() {
            return None;
        }
        if let Some(digest) = self.digests.find(stamp) {
            return Some(Found {
                document: found.document.identified(digest),
                settled: found.settled,
            });
        }
        if let Content::Open(file) = content {
            self.digests.ask(file, *stamp);
        }
        None
    }
}

impl Found {
    fn is_still(&self, looked: &Looked) -> bool {
        self.settled && self.document.stamp == looked.stamp
    }
}

/// # Errors
/// It is shorter than it was said to be, or can't be read; `Later` where that would be waited for.
fn read_whole(file: &File, length: u64, patience: Patience) -> Result<Vec<u8>, Unseen> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let count = match patience {
            Patience::Wait => file.read_at(&mut bytes[filled..], filled as u64),
            Patience::Now => read_cached(file, &mut bytes[filled..], filled as u64),
        };
        match count {
            Ok(0) if patience == Patience::Now => return Err(Unseen::Later),
            // It was cut short since it was looked at.
            Ok(0) => return Err(Unseen::Trouble(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Unseen::Later),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unseen::Trouble(error)),
        }
    }
    Ok(bytes)
}

/// Reads what is in memory already (preadv2(2), RWF_NOWAIT).
///
/// # Errors
/// `WouldBlock` where the disk would have to be waited for, or the file system can't tell.
pub fn read_cached(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let read = preadv2(file, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT);
    read.map_err(|error| match error {
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    })
}

/// Whether the file is still what it was when its stamp was taken; said without a wait for the disk.
pub fn is_still(file: &File, stamp: &Stamp) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| Stamp::of(&stat) == *stamp)
}
