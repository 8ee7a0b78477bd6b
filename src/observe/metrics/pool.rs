//! What is counted of a pool and of each of its backends.

use std::time::Duration;

use super::family::Family;
use crate::observe::counter::{Durations, Slots, Tally};

/// The counts of one pool. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct PoolMetrics {
    slots: Slots<PoolCells>,
}

#[derive(Debug, Default)]
#[repr(C)]
struct PoolCells {
    retries: Tally,
    retries_refused: Tally,
    no_backend: Tally,
    hedges: Tally,
    hedges_won: Tally,
    hedges_refused: Tally,
    queue_full: Tally,
    queue_timeouts: Tally,
    queued: Durations,
    spliced: Tally,
    tunnels_opened: Tally,
    tunnels_closed: Tally,
    picked: [Tally; PickedBy::ALL.len()],
}

/// What of a request led it to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickedBy {
    /// Its key led to the key's own backend.
    Key,
    /// Its key's own backend had all that the bound allows.
    Overflow,
    /// It had no key, and was balanced in turn.
    NoKey,
    /// Its cookie led to the backend that the cookie names.
    Cookie,
    /// Its cookie named one that could not take it.
    Moved,
    /// It had no cookie of the pool's, and gets one.
    NoCookie,
}

impl PickedBy {
    pub const ALL: [PickedBy; 6] = [
        PickedBy::Key,
        PickedBy::Overflow,
        PickedBy::NoKey,
        PickedBy::Cookie,
        PickedBy::Moved,
        PickedBy::NoCookie,
    ];

    fn word(self) -> &'static str {
        match self {
            PickedBy::Key => "key",
            PickedBy::Overflow => "overflow",
            PickedBy::NoKey => "no-key",
            PickedBy::Cookie => "cookie",
            PickedBy::Moved => "moved",
            PickedBy::NoCookie => "no-cookie",
        }
    }
}

impl PoolMetrics {
    pub(super) fn new(slots: usize) -> Self {
        PoolMetrics { slots: Slots::new(slots) }
    }

    /// A request is tried once more.
    pub fn retried(&self, slot: usize) {
        self.slots.slot(slot).retries.add(1);
    }

    /// A request would have been tried once more, but the budget was spent.
    pub fn retry_refused(&self, slot: usize) {
        self.slots.slot(slot).retries_refused.add(1);
    }

    /// A request found no backend that is up.
    pub fn no_backend(&self, slot: usize) {
        self.slots.slot(slot).no_backend.add(1);
    }

    /// A request whose answer is late is tried at a second backend.
    pub fn hedged(&self, slot: usize) {
        self.slots.slot(slot).hedges.add(1);
    }

    /// The second backend answered first.
    pub fn hedge_won(&self, slot: usize) {
        self.slots.slot(slot).hedges_won.add(1);
    }

    /// A request would have been tried at a second backend, but the budget was spent.
    pub fn hedge_refused(&self, slot: usize) {
        self.slots.slot(slot).hedges_refused.add(1);
    }

    /// A request found every backend full, and the queue as well.
    pub fn queue_full(&self, slot: usize) {
        self.slots.slot(slot).queue_full.add(1);
    }

    /// So many bytes of bodies passed through a pipe in the kernel.
    pub fn spliced(&self, slot: usize, bytes: u64) {
        self.slots.slot(slot).spliced.add(bytes);
    }

    /// A connection was upgraded. [`PoolMetrics::tunnel_closed`] follows, in the same slot.
    pub fn tunnel_opened(&self, slot: usize) {
        self.slots.slot(slot).tunnels_opened.add(1);
    }

    pub fn tunnel_closed(&self, slot: usize) {
        self.slots.slot(slot).tunnels_closed.add(1);
    }

    /// A request waited in vain for a place at a backend.
    pub fn queue_timed_out(&self, slot: usize) {
        self.slots.slot(slot).queue_timeouts.add(1);
    }

    /// A request has waited for a place at a backend, whatever came of it.
    pub fn queued(&self, slot: usize, waited: Duration) {
        self.slots.slot(slot).queued.observe(waited);
    }

    /// A backend was picked by something of the request's own.
    pub fn picked(&self, slot: usize, by: PickedBy) {
        self.slots.slot(slot).picked[by as usize].add(1);
    }
}

/// The counts of one backend. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct BackendMetrics {
    slots: Slots<BackendCells>,
}

/// In this order a usual request touches two lines of 64 bytes: the first holds its counts and
/// the sum of durations; the next two the buckets.
#[derive(Debug, Default)]
#[repr(C)]
struct BackendCells {
    requests: Tally,
    reused: Tally,
    responses: [Tally; CLASSES.len()],
    first_byte: Durations,
    opened: Tally,
    connect_failures: Tally,
    probes_passed: Tally,
    probes_failed: Tally,
    handshakes: [Tally; BackendHandshake::ALL.len()],
    relayed_to: Tally,
    relayed_from: Tally,
}

/// How a TLS handshake with a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendHandshake {
    Full,
    /// An earlier session was resumed.
    Resumed,
    /// One of the two sides refused, or the backend went away.
    Failed,
}

impl BackendHandshake {
    const ALL: [BackendHandshake; 3] =
        [BackendHandshake::Full, BackendHandshake::Resumed, BackendHandshake::Failed];

    const fn word(self) -> &'static str {
        match self {
            BackendHandshake::Full => "full",
            BackendHandshake::Resumed => "resumed",
            BackendHandshake::Failed => "failed",
        }
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl BackendMetrics {
    pub(super) fn new(slots: usize) -> Self {
        BackendMetrics { slots: Slots::new(slots) }
    }

    /// A request, or one more try of it, is given to this backend.
    #[inline]
    pub fn requested(&self, slot: usize) {
        self.slots.slot(slot).requests.add(1);
    }

    /// The backend answered with `status`, `first_byte` after the request's head was sent.
    /// A status that is no status is counted in no class.
    #[inline]
    pub fn responded(&self, slot: usize, status: u16, first_byte: Duration) {
        let cells = self.slots.slot(slot);
        if let Some(responses) =
            usize::from(status / 100).checked_sub(1).and_then(|class| cells.responses.get(class))
        {
            responses.add(1);
        }
        cells.first_byte.observe(first_byte);
    }

    /// A connection could not be opened, or not in time.
    pub fn connect_failed(&self, slot: usize) {
        self.slots.slot(slot).connect_failures.add(1);
    }

    pub fn connection_opened(&self, slot: usize) {
        self.slots.slot(slot).opened.add(1);
    }

    /// A request went out on an idle connection.
    #[inline]
    pub fn connection_reused(&self, slot: usize) {
        self.slots.slot(slot).reused.add(1);
    }

    pub fn probe_passed(&self, slot: usize) {
        self.slots.slot(slot).probes_passed.add(1);
    }

    pub fn probe_failed(&self, slot: usize) {
        self.slots.slot(slot).probes_failed.add(1);
    }

    /// A TLS handshake with this backend has ended; probes count theirs, too.
    pub fn handshake(&self, slot: usize, handshake: BackendHandshake) {
        self.slots.slot(slot).handshakes[handshake as usize].add(1);
    }

    /// Bytes to and from this backend on a connection that is relayed; told while they pass.
    pub fn relayed(&self, slot: usize, to: u64, from: u64) {
        let cells = self.slots.slot(slot);
        cells.relayed_to.add(to);
        cells.relayed_from.add(from);
    }

    /// Requests given to this backend so far, over all workers.
    pub fn requests(&self) -> u64 {
        self.slots.sum(|cells| &cells.requests)
    }
}

/// The families of all pools, while they are put together.
pub(super) struct PoolFamilies {
    retries: Family,
    retries_refused: Family,
    no_backend: Family,
    hedges: Family,
    hedges_won: Family,
    hedges_refused: Family,
    queue_full: Family,
    queue_timeouts: Family,
    queued: Family,
    tunnels: Family,
    tunnels_open: Family,
    spliced: Family,
    picked: Family,
}

impl PoolFamilies {
    pub(super) fn new() -> Self {
        PoolFamilies {
            retries: Family::counter(
                "equipoise_pool_retries_total",
                "Requests tried once more on another backend or connection.",
            ),
            retries_refused: Family::counter(
                "equipoise_pool_retries_refused_total",
                "Retries not made because the budget was spent.",
            ),
            no_backend: Family::counter(
                "equipoise_pool_no_backend_total",
                "Requests that found no backend up.",
            ),
            tunnels: Family::counter(
                "equipoise_pool_tunnels_total",
                "Connections upgraded to another protocol, such as WebSocket.",
            ),
            tunnels_open: Family::gauge("equipoise_pool_tunnels_open", "Tunnels open now."),
            hedges: Family::counter(
                "equipoise_pool_hedges_total",
                "Requests tried at a second backend because the first was late.",
            ),
            hedges_won: Family::counter(
                "equipoise_pool_hedges_won_total",
                "Requests that the second backend answered first.",
            ),
            hedges_refused: Family::counter(
                "equipoise_pool_hedges_refused_total",
                "Second tries not made because the budget of retries was spent.",
            ),
            queue_full: Family::counter(
                "equipoise_pool_queue_full_total",
                "Requests refused because every backend and the queue were full.",
            ),
            queue_timeouts: Family::counter(
                "equipoise_pool_queue_timeouts_total",
                "Requests refused because no backend had a place in time.",
            ),
            queued: Family::histogram(
                "equipoise_pool_queue_seconds",
                "How long requests waited for a place at a backend.",
            ),
            spliced: Family::counter(
                "equipoise_pool_spliced_bytes_total",
                "Bytes of bodies that passed through a pipe in the kernel, uncopied.",
            ),
            picked: Family::counter(
                "equipoise_pool_picks_total",
                "Requests that something of their own led to a backend, by what it was.",
            ),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &PoolMetrics) {
        let slots = &metrics.slots;
        let label = ("pool", name);
        self.retries.add(&[label], slots.sum(|cells| &cells.retries) as f64);
        self.retries_refused.add(&[label], slots.sum(|cells| &cells.retries_refused) as f64);
        self.no_backend.add(&[label], slots.sum(|cells| &cells.no_backend) as f64);
        self.spliced.add(&[label], slots.sum(|cells| &cells.spliced) as f64);
        let closed = slots.sum(|cells| &cells.tunnels_closed);
        let opened = slots.sum(|cells| &cells.tunnels_opened);
        self.tunnels.add(&[label], opened as f64);
        self.tunnels_open.add(&[label], opened.saturating_sub(closed) as f64);
        self.hedges.add(&[label], slots.sum(|cells| &cells.hedges) as f64);
        self.hedges_won.add(&[label], slots.sum(|cells| &cells.hedges_won) as f64);
        self.hedges_refused.add(&[label], slots.sum(|cells| &cells.hedges_refused) as f64);
        self.queue_full.add(&[label], slots.sum(|cells| &cells.queue_full) as f64);
        self.queue_timeouts.add(&[label], slots.sum(|cells| &cells.queue_timeouts) as f64);
        self.queued.add_durations(&[label], &slots.durations(|cells| &cells.queued));
        for by in PickedBy::ALL {
            let count = slots.sum(|cells| &cells.picked[by as usize]);
            self.picked.add(&[label, ("by", by.word())], count as f64);
        }
    }

    pub(super) fn into_families(self) -> [Family; 13] {
        [
            self.retries,
            self.retries_refused,
            self.no_backend,
            self.hedges,
            self.hedges_won,
            self.hedges_refused,
            self.queue_full,
            self.spliced,
            self.queue_timeouts,
            self.queued,
            self.tunnels,
            self.tunnels_open,
            self.picked,
        ]
    }
}

/// The families of all backends, while they are put together.
pub(super) struct BackendFamilies {
    requests: Family,
    responses: Family,
    first_byte: Family,
    connect_failures: Family,
    opened: Family,
    reused: Family,
    probes: Family,
    handshakes: Family,
    relayed: Family,
}

impl BackendFamilies {
    pub(super) fn new() -> Self {
        BackendFamilies {
            requests: Family::counter(
                "equipoise_backend_requests_total",
                "Requests given to the backend, each try counted.",
            ),
            responses: Family::counter(
                "equipoise_backend_responses_total",
                "Answers of the backend, by class of status code.",
            ),
            first_byte: Family::histogram(
                "equipoise_backend_first_byte_seconds",
                "From a request's head sent to the first byte of the backend's answer.",
            ),
            connect_failures: Family::counter(
                "equipoise_backend_connect_failures_total",
                "Connections to the backend that failed to open, or not in time.",
            ),
            opened: Family::counter(
                "equipoise_backend_connections_opened_total",
                "Connections opened to the backend.",
            ),
            reused: Family::counter(
                "equipoise_backend_connections_reused_total",
                "Requests sent to the backend on an idle connection.",
            ),
            probes: Family::counter(
                "equipoise_backend_probes_total",
                "Active health probes of the backend, by result.",
            ),
            handshakes: Family::counter(
                "equipoise_backend_tls_handshakes_total",
                "TLS handshakes with the backend, by result; probes' included.",
            ),
            relayed: Family::counter(
                "equipoise_backend_relayed_bytes_total",
                "Bytes of TCP listeners and of tunnels, to the backend and from it.",
            ),
        }
    }

    pub(super) fn add(&mut self, pool: &str, backend: &str, metrics: &BackendMetrics) {
        let slots = &metrics.slots;
        let labels = [("pool", pool), ("backend", backend)];
        let [pool, backend] = labels;
        self.requests.add(&labels, slots.sum(|cells| &cells.requests) as f64);
        self.connect_failures.add(&labels, slots.sum(|cells| &cells.connect_failures) as f64);
        self.opened.add(&labels, slots.sum(|cells| &cells.opened) as f64);
        self.reused.add(&labels, slots.sum(|cells| &cells.reused) as f64);
        self.first_byte.add_durations(&labels, &slots.durations(|cells| &cells.first_byte));
        for (place, class) in CLASSES.into_iter().enumerate() {
            let count = slots.sum(|cells| &cells.responses[place]);
            self.responses.add(&[pool, backend, ("class", class)], count as f64);
        }
        let passed = slots.sum(|cells| &cells.probes_passed);
        let failed = slots.sum(|cells| &cells.probes_failed);
        self.probes.add(&[pool, backend, ("result", "passed")], passed as f64);
        self.probes.add(&[pool, backend, ("result", "failed")], failed as f64);
        for handshake in BackendHandshake::ALL {
            let count = slots.sum(|cells| &cells.handshakes[handshake as usize]);
            self.handshakes.add(&[pool, backend, ("result", handshake.word())], count as f64);
        }
        for (direction, count) in [
            ("to", slots.sum(|cells| &cells.relayed_to)),
            ("from", slots.sum(|cells| &cells.relayed_from)),
        ] {
            self.relayed.add(&[pool, backend, ("direction", direction)], count as f64);
        }
    }

    pub(super) fn into_families(self) -> [Family; 9] {
        [
            self.requests,
            self.responses,
            self.first_byte,
            self.connect_failures,
            self.opened,
            self.reused,
            self.probes,
            self.handshakes,
            self.relayed,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_request_touches_two_lines() {
        let buckets = std::mem::offset_of!(BackendCells, first_byte) + size_of::<Tally>();
        assert_eq!(buckets, 64);
    }

    #[test]
    fn answers_are_counted_by_class() {
        let backend = BackendMetrics::new(1);
        for status in [100, 204, 301, 404, 500, 599, 200, 0, 99, 600, 999] {
            backend.responded(0, status, Duration::ZERO);
        }
        let counts: Vec<_> = (0..CLASSES.len())
            .map(|class| backend.slots.sum(|cells| &cells.responses[class]))
            .collect();
        assert_eq!(counts, [1, 2, 1, 1, 2]);
    }
}
