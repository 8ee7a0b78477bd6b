//! One server of a pool. It keeps its identity, and what is counted in it, across reloads.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    config::Endpoint,
    observe::metrics::BackendMetrics,
    pool::{breaker::Trials, quotes::Quotes},
};

/// What a backend is called: the pool's name and its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub pool: Arc<str>,
    pub address: Endpoint,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.address)
    }
}

/// A line about the same backend in the log, at most this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What we hold of a backend now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Up,
    Down,
    /// An operator took it out of use; what is in flight goes on.
    Draining,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Up => "up",
            Verdict::Down => "down",
            Verdict::Draining => "draining",
        }
    }
}

/// The counters of one server, written by every worker. Aligned so that two backends never share a
/// cache line: these are the only lines that workers share on the request path.
#[repr(align(128))]
pub struct Backend {
    key: Key,
    in_flight: AtomicUsize,
    /// Requests that wait for a place here, among others.
    awaited: AtomicUsize,
    /// In a row, before or in place of an answer: the head of one ends the row.
    failures: AtomicU32,
    /// Answers in a row that broke off: a whole one ends the row. Counted apart, or the head of each
    /// would forgive what became of the one before.
    cuts: AtomicU32,
    bell: Arc<Bell>,
    /// When the log was last told of a connection that failed.
    complained: Mutex<Option<Instant>>,
    /// What the log was told of the backend's own words.
    quotes: Mutex<Quotes>,
    metrics: Arc<BackendMetrics>,
}

/// Wakes the control thread when a backend has failed too often in a row.
#[derive(Default)]
pub struct Bell(Notify);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring; one that came since the last wait counts.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

impl Backend {
    pub fn new(key: Key, bell: Arc<Bell>, metrics: Arc<BackendMetrics>) -> Arc<Backend> {
        Arc::new(Backend {
            key,
            in_flight: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            cuts: AtomicU32::new(0),
            bell,
            complained: Mutex::new(None),
            quotes: Mutex::default(),
            metrics,
        })
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn address(&self) -> &Endpoint {
        &self.key.address
    }

    pub fn metrics(&self) -> &BackendMetrics {
        &self.metrics
    }

    /// Requests under way, in the whole process.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Tells the control thread to look at it.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Failures of real requests in a row, answers that broke off among them.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed).saturating_add(self.cuts.load(Ordering::Relaxed))
    }

    /// Counts one more request as under way. Whoever calls this owes a `leave`: see `InFlight`.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// The same, unless `max` are under way already, or as many of `trials` as may be.
    pub(super) fn try_enter(&self, max: usize, trials: Option<&Trials>) -> bool {
        if !trials.is_none_or(Trials::try_begin) {
            return false;
        }
        let entered = |now: usize| (now < max).then_some(now + 1);
        let entered = self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, entered);
        if entered.is_err() {
            trials.inspect(|trials| trials.end());
        }
        entered.is_ok()
    }

    /// A request is over. `true` when someone may wait for the place it gives back.
    ///
    /// Sequentially consistent, as are `await_place` and `try_enter`: who waits says so before it
    /// looks for a place a last time, and who leaves gives the place back before it looks for who
    /// waits, so that one of the two sees the other.
    pub(super) fn leave(&self, trials: Option<&Trials>) -> bool {
        trials.inspect(|trials| trials.end());
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.awaited.load(Ordering::SeqCst) > 0
    }

    /// Whether someone waits for a place here: who comes later does not go before.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// One more request waits for a place here.
    pub(super) fn await_place(&self) {
        self.awaited.fetch_add(1, Ordering::SeqCst);
    }

    /// One that waited for a place here waits no more.
    pub(super) fn await_no_more(&self) {
        self.awaited.fetch_sub(1, Ordering::SeqCst);
    }

    /// A request failed here. At `limit` failures in a row the control thread is told; 0 tells never.
    pub fn failed(&self, limit: u32) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.tell_at(limit);
    }

    /// An answer that began well broke off. The same is told.
    pub fn cut_off(&self, limit: u32) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.tell_at(limit);
    }

    fn tell_at(&self, limit: u32) {
        if limit > 0 && self.failures() >= limit {
            self.bell.ring();
        }
    }

    /// An answer began well.
    pub fn succeeded(&self) {
        clear(&self.failures);
    }

    /// An answer has come whole.
    pub fn ended_well(&self) {
        clear(&self.cuts);
    }

    /// Whether the log may be told now of a connection that failed, by whichever worker is first.
    pub fn may_complain(&self, now: Instant) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let due = complained.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
        if due {
            *complained = Some(now);
        }
        due
    }

    /// Whether one more line of the backend's own words may go into the log, and how many before it
    /// did not.
    pub fn may_quote(&self, now: Instant) -> Option<u64> {
        self.quotes.lock().unwrap_or_else(PoisonError::into_inner).ask(now)
    }

    /// The control thread sets the count when it has acted on it. Nothing less than a whole answer
    /// ends that row.
    pub fn set_failures(&self, failures: u32) {
        self.failures.store(0, Ordering::Relaxed);
        self.cuts.store(failures, Ordering::Relaxed);
    }
}

/// Written only when there is something to clear: the line is shared.
fn clear(count: &AtomicU32) {
    if count.load(Ordering::Relaxed) != 0 {
        count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    fn backend() -> Arc<Backend> {
        let key = Key { pool: "app".into(), address: "127.0.0.1:80".parse().unwrap() };
        let metrics = Metrics::new(1).backend("app", "127.0.0.1:80");
        Backend::new(key, Arc::default(), metrics)
    }

    #[test]
    fn no_more_enter_than_may() {
        let backend = backend();
        backend.enter();
        assert!(backend.try_enter(2, None) && !backend.try_enter(2, None));
        assert_eq!(backend.in_flight(), 2);
        assert!(!backend.leave(None) && backend.try_enter(2, None));
        backend.await_place();
        assert!(backend.leave(None), "someone waits");
        backend.await_no_more();
        assert!(!backend.leave(None));
        assert_eq!(backend.in_flight(), 0);
    }

    #[test]
    fn the_log_hears_of_it_seldom() {
        let (backend, now) = (backend(), Instant::now());
        assert!(backend.may_complain(now));
        assert!(!backend.may_complain(now + COMPLAIN_EVERY / 2));
        assert!(backend.may_complain(now + COMPLAIN_EVERY));
    }

    #[tokio::test]
    async fn the_bell_rings_at_the_limit_and_a_success_starts_over() {
        let backend = backend();
        backend.failed(2);
        backend.succeeded();
        backend.failed(2);
        let early = tokio::time::timeout(std::time::Duration::ZERO, backend.bell.rung()).await;
        assert!(early.is_err(), "one failure in a row is not two");
        backend.failed(2);
        backend.bell.rung().await;
        assert_eq!(backend.failures(), 2);
    }

    #[tokio::test]
    async fn the_head_of_an_answer_forgives_no_answer_that_broke_off() {
        let backend = backend();
        for _ in 0..2 {
            backend.succeeded();
            backend.cut_off(2);
        }
        backend.bell.rung().await;
        backend.succeeded();
        backend.ended_well();
        assert_eq!(backend.failures(), 0);
        backend.set_failures(2);
        backend.succeeded();
        assert_eq!(backend.failures(), 2, "who is tried again has to answer whole");
    }
}
