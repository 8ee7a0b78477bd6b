//! What is counted of a route.

use std::time::Duration;

use super::family::Family;
use crate::observe::counter::{Durations, Slots, Tally};

/// The label of requests that came to no route: no route may be called so.
pub const UNROUTED: &str = "none";

/// The counts of one route. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct RouteMetrics {
    slots: Slots<Cells>,
}

/// In this order a usual request touches two lines of 64 bytes: the first holds the bytes, the
/// common codes and the sum of durations; the next two the buckets.
#[derive(Debug, Default)]
#[repr(C)]
struct Cells {
    request_bytes: Tally,
    response_bytes: Tally,
    common: [Tally; COMMON.len()],
    durations: Durations,
    rare: Rare,
    mirrored: [Tally; MIRRORED.len()],
    compressed: [Compressed; CODINGS.len()],
    uncompressed: Tally,
}

/// Answers in one content coding.
#[derive(Debug, Default)]
struct Compressed {
    responses: Tally,
    before: Tally,
    after: Tally,
}

/// A content coding that answers are compressed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// In the order of the enum.
const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

/// What became of the copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    Answered,
    /// The mirror's backend failed.
    Failed,
    /// Too many were under way, or no backend of the mirror was up.
    Dropped,
    /// Its body was too long to be at hand, or it asked for an upgrade.
    Skipped,
}

/// In the order of the enum.
const MIRRORED: [&str; 4] = ["answered", "failed", "dropped", "skipped"];

#[derive(Debug)]
struct Rare([Tally; RARE.len()]);

impl Default for Rare {
    fn default() -> Self {
        Rare(std::array::from_fn(|_| Tally::default()))
    }
}

/// The label `code` of each cell: the codes seen most, then the other registered ones, then what
/// stands for all others of a class, then what stands for a request that was not answered.
const COMMON: [&str; 5] = ["200", "206", "302", "304", "404"];
const RARE: [&str; 64] = [
    "101", "201", "202", "203", "204", "205", "207", "208", "226", "300", "301", "303", "305",
    "307", "308", "400", "401", "402", "403", "405", "406", "407", "408", "409", "410", "411",
    "412", "413", "414", "415", "416", "417", "421", "422", "423", "424", "425", "426", "428",
    "429", "431", "451", "500", "501", "502", "503", "504", "505", "506", "507", "508", "510",
    "511", "100", "102", "103", "104", "1xx", "2xx", "3xx", "4xx", "5xx", "418", "none",
];

/// The cell of each status, so that no request searches.
static CELL_OF_STATUS: [u8; 600] = cells_of_statuses();

impl RouteMetrics {
    pub(super) fn new(slots: usize) -> Self {
        RouteMetrics { slots: Slots::new(slots) }
    }

    /// A request has ended. `status` is what the client was answered, 0 if nothing; `duration`
    /// runs from the first byte of its head to the last of its answer.
    #[inline]
    pub fn request(&self, slot: usize, status: u16, duration: Duration) {
        let cells = self.slots.slot(slot);
        cells.code(cell_of(status)).add(1);
        cells.durations.observe(duration);
    }

    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.counted(|_| true)
    }

    /// Those that were answered 5xx.
    pub fn answered_5xx(&self) -> u64 {
        self.counted(|code| code.starts_with('5'))
    }

    fn counted(&self, is_wanted: impl Fn(&str) -> bool) -> u64 {
        let cells = (0..COMMON.len() + RARE.len()).filter(|&cell| is_wanted(code_of(cell)));
        cells.map(|cell| self.slots.sum(|cells| cells.code(cell))).sum()
    }

    /// A request was to be copied.
    pub fn mirrored(&self, slot: usize, outcome: Mirrored) {
        self.slots.slot(slot).mirrored[outcome as usize].add(1);
    }

    /// An answer was compressed, from so many bytes to so many.
    pub fn compressed(&self, slot: usize, coding: Coding, before: u64, after: u64) {
        let cells = &self.slots.slot(slot).compressed[coding as usize];
        cells.responses.add(1);
        cells.before.add(before);
        cells.after.add(after);
    }

    /// An answer was to be compressed, and too many were at once.
    pub fn uncompressed(&self, slot: usize) {
        self.slots.slot(slot).uncompressed.add(1);
    }

    /// Bytes of request bodies.
    #[inline]
    pub fn received(&self, slot: usize, bytes: u64) {
        self.slots.slot(slot).request_bytes.add(bytes);
    }

    /// Bytes of response bodies.
    #[inline]
    pub fn sent(&self, slot: usize, bytes: u64) {
        self.slots.slot(slot).response_bytes.add(bytes);
    }
}

impl Cells {
    #[inline]
    fn code(&self, cell: usize) -> &Tally {
        match cell.checked_sub(COMMON.len()) {
            None => &self.common[cell],
            Some(rare) => &self.rare.0[rare],
        }
    }
}

#[inline]
fn cell_of(status: u16) -> usize {
    // Beyond the table is what no server answers; it counts as the table's first: none.
    usize::from(*CELL_OF_STATUS.get(usize::from(status)).unwrap_or(&CELL_OF_STATUS[0]))
}

const fn cells_of_statuses() -> [u8; 600] {
    let mut cells = [0; 600];
    let mut status = 0;
    while status < cells.len() {
        let hundreds = b'0' + (status / 100) as u8;
        let exact = [hundreds, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
        cells[status] = match (find(&exact), find(&[hundreds, b'x', b'x'])) {
            (Some(cell), _) | (None, Some(cell)) => cell,
            (None, None) => (COMMON.len() + RARE.len() - 1) as u8,
        };
        status += 1;
    }
    cells
}

const fn find(code: &[u8; 3]) -> Option<u8> {
    let mut cell = 0;
    while cell < COMMON.len() + RARE.len() {
        let text = code_of(cell).as_bytes();
        if text.len() == 3 && text[0] == code[0] && text[1] == code[1] && text[2] == code[2] {
            return Some(cell as u8);
        }
        cell += 1;
    }
    None
}

const fn code_of(cell: usize) -> &'static str {
    if cell < COMMON.len() { COMMON[cell] } else { RARE[cell - COMMON.len()] }
}

/// The families of all routes, while they are put together.
pub(super) struct RouteFamilies {
    requests: Family,
    durations: Family,
    request_bytes: Family,
    response_bytes: Family,
    mirrored: Family,
    compressed: Family,
    before: Family,
    after: Family,
    uncompressed: Family,
}

impl RouteFamilies {
    pub(super) fn new() -> Self {
        RouteFamilies {
            requests: Family::counter(
                "equipoise_http_requests_total",
                "Requests, by route and status code; unregistered codes as their class, \
                 \"none\" for a request that could not be answered; an error of ours to a gRPC \
                 client as that error, not as the 200 that carries it.",
            ),
            durations: Family::histogram(
                "equipoise_http_request_duration_seconds",
                "From the first byte of a request's head to the last of its answer.",
            ),
            request_bytes: Family::counter(
                "equipoise_http_request_body_bytes_total",
                "Bytes of request bodies.",
            ),
            response_bytes: Family::counter(
                "equipoise_http_response_body_bytes_total",
                "Bytes of response bodies.",
            ),
            mirrored: Family::counter(
                "equipoise_http_mirrored_requests_total",
                "Requests that a route was to copy to its mirror, by what became of the copy.",
            ),
            compressed: Family::counter(
                "equipoise_http_compressed_responses_total",
                "Responses of backends that were compressed, by content coding.",
            ),
            before: Family::counter(
                "equipoise_http_compression_input_bytes_total",
                "Bytes of their bodies as backends sent them.",
            ),
            after: Family::counter(
                "equipoise_http_compression_output_bytes_total",
                "Bytes of their bodies as clients were sent them.",
            ),
            uncompressed: Family::counter(
                "equipoise_http_compression_skipped_total",
                "Responses that were passed on as they are because max_compressions were \
                 compressed at once.",
            ),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &RouteMetrics) {
        let slots = &metrics.slots;
        let label = ("route", name);
        for cell in 0..COMMON.len() + RARE.len() {
            let count = slots.sum(|cells| cells.code(cell));
            if count > 0 {
                self.requests.add(&[label, ("code", code_of(cell))], count as f64);
            }
        }
        self.durations.add_durations(&[label], &slots.durations(|cells| &cells.durations));
        self.request_bytes.add(&[label], slots.sum(|cells| &cells.request_bytes) as f64);
        self.response_bytes.add(&[label], slots.sum(|cells| &cells.response_bytes) as f64);
        for (place, result) in MIRRORED.into_iter().enumerate() {
            let count = slots.sum(|cells| &cells.mirrored[place]);
            if count > 0 {
                self.mirrored.add(&[label, ("result", result)], count as f64);
            }
        }
        self.add_compressed(name, slots);
    }

    fn add_compressed(&mut self, name: &str, slots: &Slots<Cells>) {
        let label = ("route", name);
        for (place, coding) in CODINGS.into_iter().enumerate() {
            let sum = |cell: fn(&Compressed) -> &Tally| {
                slots.sum(|cells| cell(&cells.compressed[place])) as f64
            };
            let responses = sum(|compressed| &compressed.responses);
            if responses > 0.0 {
                let labels = [label, ("coding", coding)];
                self.compressed.add(&labels, responses);
                self.before.add(&labels, sum(|compressed| &compressed.before));
                self.after.add(&labels, sum(|compressed| &compressed.after));
            }
        }
        let uncompressed = slots.sum(|cells| &cells.uncompressed);
        if uncompressed > 0 {
            self.uncompressed.add(&[label], uncompressed as f64);
        }
    }

    pub(super) fn into_families(self) -> [Family; 9] {
        [
            self.requests,
            self.durations,
            self.request_bytes,
            self.response_bytes,
            self.mirrored,
            self.compressed,
            self.before,
            self.after,
            self.uncompressed,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_their_own_or_their_class() {
        let cases = [
            (200, "200"),
            (404, "404"),
            (503, "503"),
            (421, "421"),
            (299, "2xx"),
            (499, "4xx"),
            (599, "5xx"),
            (0, "none"),
            (99, "none"),
            (600, "none"),
            (u16::MAX, "none"),
        ];
        for (status, code) in cases {
            assert_eq!(code_of(cell_of(status)), code, "status {status}");
        }
    }

    #[test]
    fn no_code_is_there_twice() {
        let codes: HashSet<_> = COMMON.iter().chain(&RARE).collect();
        assert_eq!(codes.len(), COMMON.len() + RARE.len());
    }

    #[test]
    fn a_usual_request_touches_two_lines() {
        let buckets = std::mem::offset_of!(Cells, durations) + size_of::<Tally>();
        assert_eq!(buckets, 64);
    }

    #[test]
    fn requests_are_summed_over_slots() {
        let route = RouteMetrics::new(2);
        route.request(0, 200, Duration::from_millis(1));
        route.request(1, 200, Duration::from_millis(1));
        route.request(1, 502, Duration::from_millis(1));
        let count = |status| route.slots.sum(|cells| cells.code(cell_of(status)));
        assert_eq!((count(200), count(502), count(404)), (2, 1, 0));
        assert_eq!((route.requests(), route.answered_5xx()), (3, 1));
    }
}
