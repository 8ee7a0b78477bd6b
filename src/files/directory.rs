//! What all workers know of one directory of files, and how a path is looked up in it.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, IoSliceMut},
    iter,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::Arc,
    time::SystemTime,
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, fstat, openat, statx},
    io::{Errno, ReadWriteFlags, preadv2},
};

use crate::{
    config::{self, Encoding, Level, Otherwise, Try},
    files::{
        accept::Form,
        digests::{self, Digests},
        document::{Content, Document, Identity, Manner, SMALL, Said, Varies},
        encoded::{Made, is_taken, make},
        listing,
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
    manner: Manner,
    digests: Arc<Digests>,
    pub metrics: Arc<FilesMetrics>,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Outcome {
    Found(Box<Found>),
    /// What was known before.
    Same,
    /// It is known by another path.
    Redirect(Change),
    /// What a directory holds, in the form that was asked for.
    Listing(String),
    Nothing,
}

/// A larger directory is not listed: it would have to be read for each request.
const MOST_LISTED: usize = 10_000;

/// What is there.
#[derive(Clone, Debug)]
pub struct Found {
    pub document: Document,
    /// The same in other codings, in the order in which we prefer them.
    pub encoded: Vec<(Encoding, Document)>,
    /// And in those that we make.
    pub made: Made,
    /// Whether a change of it from now on would show in its stamp.
    settled: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// As routing read it, and the form of a listing that is wanted if it has to be one.
    Path(&'a str, Form),
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
        let manner = Manner::of(&config);
        Directory { config, root, kinds, manner, digests, metrics }
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
            Asked::Path(path, _) => names::read(path, self.hidden()),
        };
        let Ok(name) = name else {
            return Ok(Outcome::Nothing);
        };
        for look in looks::looks(&name, self.rules()) {
            match self.take(&look, asked, known, patience)? {
                Outcome::Nothing => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::Nothing)
    }

    /// How much time is spent on what is encoded on its way.
    pub fn level(&self) -> Level {
        self.config.compress.as_ref().map_or(Level::Default, |compress| compress.level)
    }

    fn hidden(&self) -> Hidden {
        if self.config.hidden { Hidden::Served } else { Hidden::Refused }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            kinds: &self.kinds,
            index: &self.config.index,
            clean_urls: if self.config.clean_urls { CleanUrls::On } else { CleanUrls::Off },
            listing: match self.config.listing {
                config::Listing::Off => Listing::Off,
                config::Listing::Html | config::Listing::Json | config::Listing::Auto => {
                    Listing::On
                }
            },
        }
    }

    fn find_fallback(&self, known: Option<&Found>, patience: Patience) -> Result<Outcome, Unseen> {
        let Otherwise::Fallback(file) = &self.config.otherwise else {
            return Ok(Outcome::Nothing);
        };
        let bytes = Cow::Borrowed(file.trim_start_matches('/').as_bytes());
        let Name { bytes: name, .. } = Name { bytes, kind: Kind::File };
        let look = Look { name, file: looks::Found::Serve, directory: looks::Found::LookOn };
        self.take(&look, Asked::Fallback, known, patience)
    }

    fn take(
        &self,
        look: &Look<'_>,
        asked: Asked<'_>,
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
                let siblings = self.siblings(&look.name, patience)?;
                if known.is_some_and(|known| known.is_still(&looked, &siblings)) {
                    return Ok(Outcome::Same);
                }
                match self.open_all(&look.name, &looked, &siblings, patience) {
                    Ok(found) => Ok(Outcome::Found(Box::new(found))),
                    // It may be seen, not read.
                    Err(Unseen::Nothing) => Ok(Outcome::Nothing),
                    Err(other) => Err(other),
                }
            }
            (looks::Found::List, Node::Directory(_)) if patience == Patience::Now => {
                Err(Unseen::Later)
            }
            (looks::Found::List, Node::Directory(fd)) => {
                let Asked::Path(_, form) = asked else {
                    return Ok(Outcome::Nothing);
                };
                Ok(Outcome::Listing(self.list(&look.name, &fd, form)?))
            }
            (looks::Found::LookOn | looks::Found::List | looks::Found::Serve, _) => {
                Ok(Outcome::Nothing)
            }
        }
    }

    /// What of a directory may be seen.
    fn list(&self, name: &[u8], directory: &OwnedFd, form: Form) -> Result<String, Unseen> {
        let trouble = |error: Errno| Unseen::Trouble(error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = match openat(directory, ".", flags, Mode::empty()) {
            // It may be passed, not read.
            Err(Errno::ACCESS | Errno::PERM) => return Err(Unseen::Nothing),
            opened => opened.map_err(trouble)?,
        };
        let mut entries = Vec::new();
        for (count, entry) in Dir::read_from(&readable).map_err(trouble)?.enumerate() {
            if count > MOST_LISTED {
                let words = format!("a directory of more than {MOST_LISTED} entries is not listed");
                return Err(Unseen::Trouble(io::Error::other(words)));
            }
            let entry = entry.map_err(trouble)?;
            entries.extend(self.listed(name, entry.file_name().to_bytes())?);
        }
        listing::sort(&mut entries);
        Ok(match form {
            Form::Html => listing::html(name, &entries),
            Form::Json => listing::json(&entries),
        })
    }

    /// One entry, if it would be served.
    fn listed(&self, directory: &[u8], name: &[u8]) -> Result<Option<listing::Entry>, Unseen> {
        let is_dots = matches!(name, b"." | b"..");
        // No path leads to one with a backslash.
        if is_dots || (name.starts_with(b".") && !self.config.hidden) || name.contains(&b'\\') {
            return Ok(None);
        }
        let path = match directory {
            b"" => name.to_vec(),
            directory => [directory, b"/", name].concat(),
        };
        let node = match self.root.look(&path, Patience::Wait) {
            Ok(node) => node,
            Err(Unseen::Nothing) => return Ok(None),
            Err(other) => return Err(other),
        };
        let (stamp, content) = match &node {
            Node::File(looked) => {
                (looked.stamp, listing::Content::File { bytes: looked.stamp.length })
            }
            Node::Directory(fd) => {
                let stat = fstat(fd).map_err(|error| Unseen::Trouble(error.into()))?;
                (Stamp::of(&stat), listing::Content::Directory)
            }
        };
        Ok(Some(listing::Entry { name: name.to_vec(), modified: stamp.modified(), content }))
    }

    /// What lies beside a file in other codings.
    fn siblings(&self, name: &[u8], patience: Patience) -> Result<Vec<(Encoding, Looked)>, Unseen> {
        let mut siblings = Vec::new();
        for &coding in &self.config.precompressed {
            let beside = [name, extension(coding)].concat();
            match self.root.look(&beside, patience) {
                Ok(Node::File(looked)) => siblings.push((coding, looked)),
                Ok(Node::Directory(_)) | Err(Unseen::Nothing) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(siblings)
    }

    fn open_all(
        &self,
        name: &[u8],
        looked: &Looked,
        siblings: &[(Encoding, Looked)],
        patience: Patience,
    ) -> Result<Found, Unseen> {
        let varies = if siblings.is_empty() { Varies::No } else { Varies::ByCoding };
        let mut said = Said::of(name, &self.manner, varies);
        let compress = self.config.compress.as_ref();
        let compress = compress.filter(|it| is_taken(it, &said, looked.stamp.length));
        if compress.is_some() {
            // To encode it takes too long for a worker.
            if self.is_small(&looked.stamp) && patience == Patience::Now {
                return Err(Unseen::Later);
            }
            said = Said::of(name, &self.manner, Varies::ByCoding);
        }
        let document = self.open(looked, &said, patience)?;
        let mut encoded = Vec::new();
        for (coding, looked) in siblings {
            let said = Said { coding: Some(*coding), ..said.clone() };
            match self.open(looked, &said, patience) {
                Ok(document) => encoded.push((*coding, document)),
                // It may be seen, not read.
                Err(Unseen::Nothing) => {}
                Err(other) => return Err(other),
            }
        }
        let now = SystemTime::now();
        let mut stamps = iter::once(looked).chain(siblings.iter().map(|(_, looked)| looked));
        let settled = stamps.all(|looked| looked.stamp.is_settled(now));
        let made = compress.map_or(Made::Nothing, |it| make(it, &document, &encoded));
        Ok(Found { document, encoded, made, settled })
    }

    fn open(&self, looked: &Looked, said: &Said, patience: Patience) -> Result<Document, Unseen> {
        let stamp = looked.stamp;
        let mut identity = self.digests.find(&stamp).map_or(Identity::Unknown, Identity::Content);
        // To read and to digest it is nothing for a worker, unless it has been done.
        let is_small = self.is_small(&stamp);
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
        Ok(Document::new(stamp, content, identity, said))
    }

    fn is_small(&self, stamp: &Stamp) -> bool {
        stamp.length <= SMALL && self.config.memory > 0
    }

    /// The same with strong tags, if one more is known by now.
    pub fn identified(&self, found: &Found) -> Option<Found> {
        let document = self.with_digest(&found.document);
        let encoded: Vec<Option<Document>> =
            found.encoded.iter().map(|(_, document)| self.with_digest(document)).collect();
        if document.is_none() && encoded.iter().all(Option::is_none) {
            return None;
        }
        let mut identified = found.clone();
        if let Some(document) = document {
            identified.document = document;
        }
        for ((_, document), known) in identified.encoded.iter_mut().zip(encoded) {
            if let Some(known) = known {
                *document = known;
            }
        }
        Some(identified)
    }

    fn with_digest(&self, document: &Document) -> Option<Document> {
        if document.has_strong_tag() {
            return None;
        }
        if let Some(digest) = self.digests.find(&document.stamp) {
            return Some(document.identified(digest));
        }
        if let Content::Open(file) = &document.content {
            self.digests.ask(file, document.stamp);
        }
        None
    }
}

impl Found {
    #[cfg(test)]
    pub fn settled(document: Document) -> Found {
        Found { document, encoded: Vec::new(), made: Made::Nothing, settled: true }
    }

    fn is_still(&self, looked: &Looked, siblings: &[(Encoding, Looked)]) -> bool {
        let same =
            |((ours, document), (theirs, looked)): (&(Encoding, Document), &(Encoding, Looked))| {
                ours == theirs && document.stamp == looked.stamp
            };
        self.settled
            && self.document.stamp == looked.stamp
            && self.encoded.len() == siblings.len()
            && self.encoded.iter().zip(siblings).all(same)
    }

    /// All of them.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        let lying = self.encoded.iter().map(|(_, document)| document);
        iter::once(&self.document).chain(lying).chain(self.made.documents())
    }
}

/// Of a file that lies beside the file itself.
fn extension(coding: Encoding) -> &'static [u8] {
    match coding {
        Encoding::Brotli => b".br",
        Encoding::Zstd => b".zst",
        Encoding::Gzip => b".gz",
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

/// Whether the file still holds what it did when its stamp was taken; said without a wait for the disk.
pub fn is_still(file: &File, stamp: &Stamp) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::MTIME | StatxFlags::SIZE;
    match statx(file, "", flags, wanted) {
        Ok(now) => stamp.holds(&now),
        // A sandbox may know that call only.
        Err(_) => fstat(file).is_ok_and(|now| stamp.modified_at() == Stamp::of(&now).modified_at()),
    }
}
