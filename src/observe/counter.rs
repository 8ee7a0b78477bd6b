//! Counts with one writer a slot, summed when they are read.
//!
//! A slot belongs to one thread: worker 0 to n-1, and the control thread as the last. So a count
//! is a load and a store, without a locked instruction, and no two threads write to one cache
//! line. Cells of one thing (a route, a backend) stand side by side in its slot, so that a request
//! touches few lines.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// One cell: written by one thread, read by any.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// To be called by the thread that owns the slot: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One `T` a slot, each on cache lines of its own.
#[derive(Debug)]
pub struct Slots<T>(Box<[Padded<T>]>);

/// 128 bytes: current x86 fetches lines in pairs, and some ARM lines are that long.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Slots<T> {
    pub fn new(slots: usize) -> Self {
        Slots((0..slots).map(|_| Padded(T::default())).collect())
    }
}

impl<T> Slots<T> {
    /// The cells of one slot. A slot that does not exist is a mistake of ours and panics.
    #[inline]
    pub fn slot(&self, slot: usize) -> &T {
        &self.0[slot].0
    }

    /// The sum over all slots of the cell that `cell` picks.
    pub fn sum(&self, cell: impl Fn(&T) -> &Tally) -> u64 {
        self.0.iter().map(|padded| cell(&padded.0).value()).sum()
    }

    /// The sum over all slots of the durations that `cells` picks.
    pub fn durations(&self, cells: impl Fn(&T) -> &Durations) -> DurationTotals {
        let mut totals = DurationTotals::default();
        for padded in &self.0 {
            cells(&padded.0).add_to(&mut totals);
        }
        totals
    }
}

/// The upper bounds of the buckets of every histogram here, in seconds; one more bucket takes the
/// rest. Fifteen and one fill two cache lines.
pub const BOUNDS_SECONDS: [f64; BUCKETS - 1] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Buckets with the last, unbounded one.
pub const BUCKETS: usize = 16;

const BOUNDS_NANOSECONDS: [u64; BUCKETS - 1] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    15_000_000_000,
    60_000_000_000,
];

/// The cells of one histogram in one slot. The sum comes first, so that an owner can put it at
/// the end of a cache line and the buckets on the next two.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Durations {
    sum_nanoseconds: Tally,
    buckets: [Tally; BUCKETS],
}

impl Durations {
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanoseconds.add(nanoseconds);
        self.buckets[bucket(nanoseconds)].add(1);
    }

    fn add_to(&self, totals: &mut DurationTotals) {
        totals.sum_nanoseconds += u128::from(self.sum_nanoseconds.value());
        for (total, tally) in totals.counts.iter_mut().zip(&self.buckets) {
            *total += tally.value();
        }
    }
}

/// The first bucket whose bound is not exceeded.
#[inline]
fn bucket(nanoseconds: u64) -> usize {
    BOUNDS_NANOSECONDS.iter().filter(|&&bound| nanoseconds > bound).count()
}

/// A histogram summed over its slots at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationTotals {
    sum_nanoseconds: u128,
    counts: [u64; BUCKETS],
}

impl DurationTotals {
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanoseconds as f64 / 1e9
    }

    /// For each bound of [`BOUNDS_SECONDS`] how many took at most so long, then how many in all.
    pub fn cumulative_counts(&self) -> [u64; BUCKETS] {
        let mut so_far = 0;
        self.counts.map(|count| {
            so_far += count;
            so_far
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_sums_its_slots() {
        let counter: Slots<Tally> = Slots::new(3);
        for (slot, count) in [(0, 1), (1, 2), (2, 40), (2, 100)] {
            counter.slot(slot).add(count);
        }
        assert_eq!(counter.sum(|tally| tally), 143);
    }

    #[test]
    fn slots_share_no_cache_line() {
        let slots: Slots<Tally> = Slots::new(2);
        let distance =
            std::ptr::from_ref(slots.slot(1)) as usize - std::ptr::from_ref(slots.slot(0)) as usize;
        assert_eq!(distance, 128);
    }

    #[test]
    fn bounds_in_seconds_and_nanoseconds_agree() {
        for (seconds, nanoseconds) in BOUNDS_SECONDS.iter().zip(BOUNDS_NANOSECONDS) {
            assert_eq!((seconds * 1e9).round() as u64, nanoseconds);
        }
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        for (place, bound) in BOUNDS_NANOSECONDS.into_iter().enumerate() {
            assert_eq!(bucket(bound), place);
            assert_eq!(bucket(bound + 1), place + 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_histogram_counts_upwards() {
        let histogram: Slots<Durations> = Slots::new(2);
        histogram.slot(0).observe(Duration::from_micros(400));
        histogram.slot(1).observe(Duration::from_millis(7));
        histogram.slot(1).observe(Duration::from_secs(90));
        let totals = histogram.durations(|durations| durations);
        let counts = totals.cumulative_counts();
        assert_eq!(counts, [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
        assert!((totals.sum_seconds() - 90.0074).abs() < 1e-9);
    }

    #[test]
    fn an_absurd_duration_is_counted() {
        let histogram: Slots<Durations> = Slots::new(1);
        histogram.slot(0).observe(Duration::MAX);
        let totals = histogram.durations(|durations| durations);
        assert_eq!(totals.cumulative_counts()[BUCKETS - 1], 1);
    }
}
