//! What a worker keeps of what it has found: small documents in memory, large files open. Bounded in
//! bytes and in files; what was not asked for since it was last passed by goes first.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use tokio::time::Instant;

use crate::files::{
    directory::Found,
    document::{Content, Document},
};

/// What an entry takes besides what is in it: its places in the map and the row.
const OVERHEAD: usize = 256;

/// One worker's share.
pub struct Cache {
    entries: HashMap<Rc<str>, Slot>,
    /// The next to be looked at for its room comes first.
    row: VecDeque<Rc<str>>,
    bytes: usize,
    open: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub bytes: usize,
    pub open: usize,
}

struct Slot {
    entry: Rc<Entry>,
    asked: Cell<bool>,
}

/// What was found, and when it was last looked at.
pub struct Entry {
    pub found: Found,
    pub looked: Cell<Instant>,
    /// Somebody looks at it now.
    pub is_looked_at: Cell<bool>,
}

impl Entry {
    pub fn new(found: Found, looked: Instant) -> Entry {
        Entry { found, looked: Cell::new(looked), is_looked_at: Cell::new(false) }
    }

    /// Files that it keeps open.
    fn open(&self) -> usize {
        let is_open = |document: &&Document| matches!(document.content, Content::Open(_));
        self.found.documents().filter(is_open).count()
    }
}

impl Cache {
    pub fn new(limits: Limits) -> Cache {
        Cache { entries: HashMap::new(), row: VecDeque::new(), bytes: 0, open: 0, limits }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn open(&self) -> usize {
        self.open
    }

    pub fn find(&self, key: &str) -> Option<&Rc<Entry>> {
        let slot = self.entries.get(key)?;
        slot.asked.set(true);
        Some(&slot.entry)
    }

    /// How many others had to go for it. What has no room at all is not kept.
    pub fn put(&mut self, key: &str, entry: Rc<Entry>) -> usize {
        self.forget(key);
        let (bytes, open) = (weight(key, &entry), entry.open());
        if bytes > self.limits.bytes || open > self.limits.open {
            return 0;
        }
        let mut gone = 0;
        while self.bytes + bytes > self.limits.bytes || self.open + open > self.limits.open {
            gone += usize::from(self.make_room());
        }
        let key: Rc<str> = Rc::from(key);
        self.row.push_back(key.clone());
        self.entries.insert(key, Slot { entry, asked: Cell::new(false) });
        self.bytes += bytes;
        self.open += open;
        gone
    }

    pub fn forget(&mut self, key: &str) {
        if let Some((key, slot)) = self.entries.remove_entry(key) {
            self.row.retain(|other| !Rc::ptr_eq(other, &key));
            self.left(&key, &slot);
        }
    }

    /// Lets what has not been looked at since `then` go: a file that was deleted keeps its place on the
    /// disk for as long as it is open.
    pub fn sweep(&mut self, then: Instant) -> usize {
        let old = self.entries.extract_if(|_, slot| slot.entry.looked.get() < then);
        let old: Vec<(Rc<str>, Slot)> = old.collect();
        old.iter().for_each(|(key, slot)| self.left(key, slot));
        if !old.is_empty() {
            self.row.retain(|key| self.entries.contains_key(key));
        }
        old.len()
    }

    /// Whether the first of the row went; one that was asked for goes to its end instead.
    fn make_room(&mut self) -> bool {
        let Some(key) = self.row.pop_front() else {
            unreachable!("what has room in an empty cache is put there");
        };
        if self.entries.get(&key).is_some_and(|slot| slot.asked.replace(false)) {
            self.row.push_back(key);
            return false;
        }
        if let Some(slot) = self.entries.remove(&key) {
            self.left(&key, &slot);
        }
        true
    }

    fn left(&mut self, key: &str, slot: &Slot) {
        self.bytes -= weight(key, &slot.entry);
        self.open -= slot.entry.open();
    }
}

fn weight(key: &str, entry: &Entry) -> usize {
    let documents: usize = entry.found.documents().map(Document::weight).sum();
    OVERHEAD + 2 * key.len() + documents
}
