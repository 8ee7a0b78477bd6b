//! What is counted of a directory of files.

use super::family::Family;
use crate::observe::counter::{Slots, Tally};

/// The counts of one directory. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct FilesMetrics {
    slots: Slots<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    bytes: Tally,
    hits: Tally,
    requests: [Tally; CLASSES.len()],
    misses: Tally,
    evictions: Tally,
    errors: [Tally; FilesError::ALL.len()],
    kept_bytes: Tally,
    open: Tally,
}

/// By the first digit of the status, less two; then what was not answered.
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

/// Why a file was not served, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesError {
    /// Too many requests waited for the disk.
    Busy,
    /// The disk took too long.
    Timeout,
    /// The system denied it.
    Unreadable,
    /// It was changed while it was sent.
    Changed,
}

impl FilesError {
    const ALL: [FilesError; 4] =
        [FilesError::Busy, FilesError::Timeout, FilesError::Unreadable, FilesError::Changed];

    fn word(self) -> &'static str {
        match self {
            FilesError::Busy => "busy",
            FilesError::Timeout => "timeout",
            FilesError::Unreadable => "unreadable",
            FilesError::Changed => "changed",
        }
    }
}

impl FilesMetrics {
    pub(super) fn new(slots: usize) -> Self {
        FilesMetrics { slots: Slots::new(slots) }
    }

    /// A request has ended; `status` is 0 where it was not answered, `bytes` those of the body.
    #[inline]
    pub fn request(&self, slot: usize, status: u16, bytes: u64) {
        let cells = self.slots.slot(slot);
        let class = usize::from(status / 100).wrapping_sub(2).min(CLASSES.len() - 1);
        cells.requests[class].add(1);
        cells.bytes.add(bytes);
    }

    /// What was asked for was kept.
    #[inline]
    pub fn hit(&self, slot: usize) {
        self.slots.slot(slot).hits.add(1);
    }

    pub fn missed(&self, slot: usize) {
        self.slots.slot(slot).misses.add(1);
    }

    /// So many had to go for others, or were not asked for any more.
    pub fn evicted(&self, slot: usize, count: usize) {
        self.slots.slot(slot).evictions.add(count as u64);
    }

    pub fn failed(&self, slot: usize, error: FilesError) {
        self.slots.slot(slot).errors[error as usize].add(1);
    }

    /// What is kept of documents and open files is `now` and not `before` any more.
    pub fn keeps(&self, slot: usize, before: (usize, usize), now: (usize, usize)) {
        let cells = self.slots.slot(slot);
        // One slot never takes away more than it has added.
        cells.kept_bytes.add((now.0 as u64).wrapping_sub(before.0 as u64));
        cells.open.add((now.1 as u64).wrapping_sub(before.1 as u64));
    }

    pub fn requests(&self) -> u64 {
        (0..CLASSES.len()).map(|class| self.slots.sum(|cells| &cells.requests[class])).sum()
    }

    pub fn hits(&self) -> u64 {
        self.slots.sum(|cells| &cells.hits)
    }

    pub fn misses(&self) -> u64 {
        self.slots.sum(|cells| &cells.misses)
    }

    pub fn kept_bytes(&self) -> u64 {
        self.slots.sum(|cells| &cells.kept_bytes)
    }

    pub fn open(&self) -> u64 {
        self.slots.sum(|cells| &cells.open)
    }
}

/// The families of all directories, while they are put together.
pub(super) struct FilesFamilies {
    requests: Family,
    bytes: Family,
    hits: Family,
    misses: Family,
    evictions: Family,
    errors: Family,
    kept_bytes: Family,
    open: Family,
}

impl FilesFamilies {
    pub(super) fn new() -> Self {
        FilesFamilies {
            requests: Family::counter(
                "equipoise_files_requests_total",
                "Requests that came to a directory of files, by the class of their status; \
                 \"none\" for one that could not be answered.",
            ),
            bytes: Family::counter(
                "equipoise_files_body_bytes_total",
                "Bytes of answers' bodies that came from a directory of files.",
            ),
            hits: Family::counter(
                "equipoise_files_cache_hits_total",
                "Look-ups of what was kept, in memory or open.",
            ),
            misses: Family::counter(
                "equipoise_files_cache_misses_total",
                "Files that had to be opened, for they were new, changed or not kept any more.",
            ),
            evictions: Family::counter(
                "equipoise_files_cache_evictions_total",
                "Files that are not kept any more, for others needed their room or nobody asked.",
            ),
            errors: Family::counter(
                "equipoise_files_errors_total",
                "Files that were not served, or not to their end, by what was in the way.",
            ),
            kept_bytes: Family::gauge(
                "equipoise_files_cache_bytes",
                "Memory that small files are kept in, over all workers.",
            ),
            open: Family::gauge(
                "equipoise_files_open",
                "Large files that are kept open; one that several workers serve counts for each.",
            ),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &FilesMetrics) {
        let slots = &metrics.slots;
        let label = ("files", name);
        for (place, class) in CLASSES.into_iter().enumerate() {
            let count = slots.sum(|cells| &cells.requests[place]);
            self.requests.add(&[label, ("class", class)], count as f64);
        }
        for error in FilesError::ALL {
            let count = slots.sum(|cells| &cells.errors[error as usize]);
            self.errors.add(&[label, ("error", error.word())], count as f64);
        }
        self.bytes.add(&[label], slots.sum(|cells| &cells.bytes) as f64);
        self.hits.add(&[label], metrics.hits() as f64);
        self.misses.add(&[label], metrics.misses() as f64);
        self.evictions.add(&[label], slots.sum(|cells| &cells.evictions) as f64);
        self.kept_bytes.add(&[label], metrics.kept_bytes() as f64);
        self.open.add(&[label], metrics.open() as f64);
    }

    pub(super) fn into_families(self) -> [Family; 8] {
        [
            self.requests,
            self.bytes,
            self.hits,
            self.misses,
            self.evictions,
            self.errors,
            self.kept_bytes,
            self.open,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_class() {
        let metrics = FilesMetrics::new(2);
        for status in [200, 206, 304, 404, 503, 0, 100, 999] {
            metrics.request(1, status, 10);
        }
        let counts = [0, 1, 2, 3, 4].map(|class| metrics.slots.sum(|cells| &cells.requests[class]));
        assert_eq!(counts, [2, 1, 1, 1, 3]);
        assert_eq!(metrics.requests(), 8);
    }

    #[test]
    fn what_is_kept_goes_up_and_down() {
        let metrics = FilesMetrics::new(1);
        metrics.keeps(0, (0, 0), (100, 3));
        metrics.keeps(0, (100, 3), (40, 0));
        assert_eq!((metrics.kept_bytes(), metrics.open()), (40, 0));
    }
}
