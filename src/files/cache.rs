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
    /// Those that are in memory alone; the next to be looked at for its room comes first.
    small: VecDeque<Rc<str>>,
    /// Those that keep files open, likewise: one kind gives no room to the other.
    large: VecDeque<Rc<str>>,
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

/// What an entry takes most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Small,
    Large,
}

impl Entry {
    pub fn new(found: Found, looked: Instant) -> Entry {
        Entry { found, looked: Cell::new(looked), is_looked_at: Cell::new(false) }
    }

    fn kind(&self) -> Kind {
        if self.open() > 0 { Kind::Large } else { Kind::Small }
    }

    /// Files that it keeps open.
    fn open(&self) -> usize {
        let is_open = |document: &&Document| matches!(document.content, Content::Open(_));
        self.found.documents().filter(is_open).count()
    }
}

impl Cache {
    pub fn new(limits: Limits) -> Cache {
        let (small, large) = (VecDeque::new(), VecDeque::new());
        Cache { entries: HashMap::new(), small, large, bytes: 0, open: 0, limits }
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
        while self.open + open > self.limits.open {
            gone += usize::from(self.make_room(Kind::Large));
        }
        while self.bytes + bytes > self.limits.bytes {
            let kind = if self.small.is_empty() { Kind::Large } else { Kind::Small };
            gone += usize::from(self.make_room(kind));
        }
        let key: Rc<str> = Rc::from(key);
        self.row(entry.kind()).push_back(key.clone());
        self.entries.insert(key, Slot { entry, asked: Cell::new(false) });
        self.bytes += bytes;
        self.open += open;
        gone
    }

    pub fn forget(&mut self, key: &str) {
        if let Some((key, slot)) = self.entries.remove_entry(key) {
            self.row(slot.entry.kind()).retain(|other| !Rc::ptr_eq(other, &key));
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
            let entries = &self.entries;
            self.small.retain(|key| entries.contains_key(key));
            self.large.retain(|key| entries.contains_key(key));
        }
        old.len()
    }

    /// Whether the first of the row went; one that was asked for goes to its end instead.
    fn make_room(&mut self, kind: Kind) -> bool {
        let Some(key) = self.row(kind).pop_front() else {
            unreachable!("what has room in an empty cache is put there");
        };
        if self.entries.get(&key).is_some_and(|slot| slot.asked.replace(false)) {
            self.row(kind).push_back(key);
            return false;
        }
        if let Some(slot) = self.entries.remove(&key) {
            self.left(&key, &slot);
        }
        true
    }

    fn row(&mut self, kind: Kind) -> &mut VecDeque<Rc<str>> {
        match kind {
            Kind::Small => &mut self.small,
            Kind::Large => &mut self.large,
        }
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

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::files::document::{Document, Identity, Said};

    const LIMITS: Limits = Limits { bytes: 100_000, open: 2 };

    fn entry(content: Content, looked: Instant) -> Rc<Entry> {
        let file = tempfile::tempfile().unwrap();
        let stamp = crate::files::stamp::Stamp::of(&rustix::fs::fstat(&file).unwrap());
        let said = Said { content_type: "a/b".into(), coding: None, kept: [].into() };
        let document = Document::new(stamp, content, Identity::Unknown, &said);
        Rc::new(Entry::new(Found::settled(document), looked))
    }

    fn small(length: usize) -> Rc<Entry> {
        entry(Content::Memory(Bytes::from(vec![0; length])), Instant::now())
    }

    fn large() -> Rc<Entry> {
        entry(Content::Open(Arc::new(File::open("/dev/null").unwrap())), Instant::now())
    }

    fn held(cache: &Cache) -> Vec<&str> {
        let mut held: Vec<&str> = cache.entries.keys().map(|key| &**key).collect();
        held.sort_unstable();
        held
    }

    #[test]
    fn what_was_asked_for_stays_and_the_rest_goes_in_turn() {
        let mut cache = Cache::new(LIMITS);
        for key in ["a", "b", "c"] {
            assert_eq!(cache.put(key, small(30_000)), 0);
        }
        assert!(cache.find("a").is_some() && cache.find("none").is_none());
        assert_eq!(cache.put("d", small(30_000)), 1);
        assert_eq!(held(&cache), ["a", "c", "d"]);
        assert_eq!(cache.put("e", small(90_000)), 3);
        assert_eq!(held(&cache), ["e"]);
        assert_eq!(cache.put("f", small(100_000)), 0, "it has no room at all");
        assert_eq!(held(&cache), ["e"]);
    }

    #[test]
    fn open_files_go_for_open_files_alone() {
        let mut cache = Cache::new(LIMITS);
        cache.put("small", small(10_000));
        for key in ["a", "b", "c", "d"] {
            cache.put(key, large());
        }
        assert_eq!(held(&cache), ["c", "d", "small"]);
        assert_eq!(cache.open(), 2);
        let mut none = Cache::new(Limits { open: 0, ..LIMITS });
        assert_eq!(none.put("a", large()), 0);
        assert_eq!(held(&none), [""; 0]);
    }

    #[test]
    fn what_is_counted_is_what_is_held() {
        let mut cache = Cache::new(LIMITS);
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..5_000 {
            let key = random.u8(..40).to_string();
            match random.u8(..4) {
                0 => cache.forget(&key),
                1 => drop(cache.put(&key, large())),
                _ => drop(cache.put(&key, small(random.usize(..40_000)))),
            }
            let slots = || cache.entries.iter();
            let bytes: usize = slots().map(|(key, slot)| weight(key, &slot.entry)).sum();
            let open: usize = slots().map(|(_, slot)| slot.entry.open()).sum();
            assert_eq!((cache.bytes, cache.open), (bytes, open));
            assert_eq!(cache.small.len() + cache.large.len(), cache.entries.len());
            assert!(bytes <= LIMITS.bytes && open <= LIMITS.open);
        }
    }

    #[test]
    fn what_nobody_asks_for_is_let_go() {
        let mut cache = Cache::new(LIMITS);
        let now = Instant::now();
        let content = || Content::Memory(Bytes::new());
        cache.put("old", entry(content(), now));
        cache.put("new", entry(content(), now + Duration::from_secs(9)));
        assert_eq!(cache.sweep(now + Duration::from_secs(5)), 1);
        assert_eq!(held(&cache), ["new"]);
    }
}
