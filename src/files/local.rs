//! One worker's own part of a directory: what it keeps, and how it waits for what it does not.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    files::{
        accept::Form,
        cache::{Cache, Entry, Limits},
        directory::{Asked, Directory, Found, Outcome},
        looks::Change,
        reads::{Busy, Reads},
        root::{Patience, Unseen},
    },
    net::clock,
};

/// What was looked at so lately is not looked at again.
const FRESH: Duration = Duration::from_secs(1);
/// While one request looks, the others are served what was known, for no longer than this.
const STALE: Duration = Duration::from_secs(3);
/// What is not asked for any more is let go.
const UNUSED: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(10);

/// Under this the cache knows the fallback: no path is empty.
const FALLBACK: &str = "";

/// A directory as one worker serves it.
pub struct LocalDirectory {
    pub directory: Arc<Directory>,
    pub reads: Reads,
    cache: RefCell<Cache>,
    /// What the metrics have been told that the cache holds: bytes and open files.
    told: Cell<(usize, usize)>,
    swept: Cell<Instant>,
    slot: usize,
}

/// What a path leads to.
pub enum Finding {
    Found(Rc<Entry>),
    Redirect(Change),
    /// What a directory holds, in the form that was asked for.
    Listing(String),
    Nothing,
}

/// Why nobody knows.
#[derive(Debug)]
pub enum Failed {
    /// Too many wait for the disk.
    Busy,
    /// The system denied it.
    Trouble(io::Error),
}

impl LocalDirectory {
    pub fn new(directory: Arc<Directory>, slot: usize, workers: usize) -> LocalDirectory {
        let config = &directory.config;
        let bytes = usize::try_from(config.memory).unwrap_or(usize::MAX) / workers;
        let open = config.open_files.div_ceil(workers);
        let cache = RefCell::new(Cache::new(Limits { bytes, open }));
        LocalDirectory {
            reads: Reads::new(config.reads),
            directory,
            cache,
            told: Cell::default(),
            swept: Cell::new(Instant::now()),
            slot,
        }
    }

    /// What is there, or what stands for it where there is nothing.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn find(&self, path: &str, form: Form) -> Result<Finding, Failed> {
        match self.find_as(Asked::Path(path, form)).await? {
            Finding::Nothing => self.find_as(Asked::Fallback).await,
            finding => Ok(finding),
        }
    }

    async fn find_as(&self, asked: Asked<'_>) -> Result<Finding, Failed> {
        let key = match asked {
            Asked::Path(path, _) => path,
            Asked::Fallback => FALLBACK,
        };
        let now = clock::lately();
        let known = self.cache.borrow().find(key).cloned();
        if let Some(known) = &known
            && known.is_served(now)
        {
            self.directory.metrics.hit(self.slot);
            return Ok(Finding::Found(known.clone()));
        }
        let _looking = known.clone().map(Looking::new);
        let looked = self.look(asked, known.as_ref().map(|known| &known.found)).await;
        let found = match looked {
            Ok(Outcome::Found(found)) => found,
            Ok(Outcome::Same) => return Ok(self.still(key, known)),
            Ok(Outcome::Redirect(change)) => {
                self.forget(key);
                return Ok(Finding::Redirect(change));
            }
            Ok(Outcome::Listing(text)) => {
                self.forget(key);
                return Ok(Finding::Listing(text));
            }
            Ok(Outcome::Nothing) => {
                self.forget(key);
                return Ok(Finding::Nothing);
            }
            Err(failed) => return Err(failed),
        };
        self.directory.metrics.missed(self.slot);
        let entry = Rc::new(Entry::new(*found, clock::now()));
        self.put(key, entry.clone());
        Ok(Finding::Found(entry))
    }

    /// At once where all of it is in memory, else by a thread that may wait.
    async fn look(&self, asked: Asked<'_>, known: Option<&Found>) -> Result<Outcome, Failed> {
        match self.directory.find(asked, known, Patience::Now) {
            Err(Unseen::Later) => {}
            outcome => return self.told(outcome),
        }
        let directory = self.directory.clone();
        let known = known.cloned();
        let path = match asked {
            Asked::Path(path, form) => Some((path.to_owned(), form)),
            Asked::Fallback => None,
        };
        let job = move || {
            let asked = match &path {
                Some((path, form)) => Asked::Path(path, *form),
                None => Asked::Fallback,
            };
            directory.find(asked, known.as_ref(), Patience::Wait)
        };
        let outcome = self.reads.run(job).await.map_err(|Busy| Failed::Busy)?;
        self.told(outcome)
    }

    fn told(&self, outcome: Result<Outcome, Unseen>) -> Result<Outcome, Failed> {
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(Unseen::Nothing) => Ok(Outcome::Nothing),
            Err(Unseen::Later) => Err(Failed::Trouble(io::ErrorKind::WouldBlock.into())),
            Err(Unseen::Trouble(error)) => Err(Failed::Trouble(error)),
        }
    }

    /// It is what it was; its strong tag may be known by now.
    fn still(&self, key: &str, known: Option<Rc<Entry>>) -> Finding {
        let Some(known) = known else {
            return Finding::Nothing;
        };
        self.directory.metrics.hit(self.slot);
        known.looked.set(clock::now());
        let Some(identified) = self.directory.identified(&known.found) else {
            return Finding::Found(known);
        };
        let entry = Rc::new(Entry::new(identified, known.looked.get()));
        self.put(key, entry.clone());
        Finding::Found(entry)
    }

    fn put(&self, key: &str, entry: Rc<Entry>) {
        let gone = self.cache.borrow_mut().put(key, entry);
        self.tell_gone(gone);
    }

    fn forget(&self, key: &str) {
        self.cache.borrow_mut().forget(key);
        self.tell_gone(0);
    }

    /// Lets go what nobody has asked for of late. Looks at all that is kept, and so not each time.
    pub fn sweep(&self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.swept.get()) < SWEEP {
            return;
        }
        self.swept.set(now);
        if let Some(then) = now.checked_sub(UNUSED) {
            let gone = self.cache.borrow_mut().sweep(then);
            self.tell_gone(gone);
        }
    }

    fn tell_gone(&self, gone: usize) {
        let (metrics, cache) = (&self.directory.metrics, self.cache.borrow());
        metrics.evicted(self.slot, gone);
        let now = (cache.bytes(), cache.open());
        metrics.keeps(self.slot, self.told.replace(now), now);
    }
}

impl Drop for LocalDirectory {
    fn drop(&mut self) {
        self.directory.metrics.keeps(self.slot, self.told.get(), (0, 0));
    }
}

impl Entry {
    fn is_served(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.looked.get());
        age < FRESH || (self.is_looked_at.get() && age < STALE)
    }
}

/// Somebody looks whether an entry is still what it was.
struct Looking(Rc<Entry>);

impl Looking {
    fn new(entry: Rc<Entry>) -> Looking {
        entry.is_looked_at.set(true);
        Looking(entry)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.is_looked_at.set(false);
    }
}
