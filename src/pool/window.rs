//! How the requests at one backend went of late: counted by every worker, on one cache line or two.
//!
//! A window is ten slots in a row. A slot is one number, so that it is counted into, or begun anew
//! for the time it now stands for, in one step.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Parts of a window; the oldest leaves at once.
const SLOTS: usize = 10;

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
}

/// The requests of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub failures: u64,
}

/// The requests of the last while at one backend.
#[repr(align(128))]
pub struct Window {
    slots: [AtomicU64; SLOTS],
    begun: Instant,
    slot: Duration,
    told: AtomicBool,
}

impl Window {
    pub fn new(length: Duration, begun: Instant) -> Window {
        let slot = length / SLOTS as u32;
        Window { slots: Default::default(), begun, slot, told: AtomicBool::new(false) }
    }

    pub fn count(&self, outcome: Outcome, now: Instant) {
        let number = self.number(now);
        let counted = |held: u64| Some(Slot(held).at(number).plus(outcome).0);
        let slot = &self.slots[number as usize % SLOTS];
        // It can't fail: there is always a number to put there.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    pub fn counts(&self, now: Instant) -> Counts {
        let last = self.number(now);
        let mut sum = Counts::default();
        for number in last.saturating_sub(SLOTS as u64 - 1)..=last {
            let slot = Slot(self.slots[number as usize % SLOTS].load(Ordering::Relaxed));
            let Counts { requests, failures } = slot.at(number).counts();
            sum.requests += requests;
            sum.failures += failures;
        }
        sum
    }

    /// How long one slot is: what was counted can be seen to leave no sooner.
    pub fn slot(&self) -> Duration {
        self.slot
    }

    /// Whether this is the first to tell the control thread since it last looked.
    pub fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    /// The control thread looks now: what comes later is told again.
    pub fn look(&self) {
        self.told.store(false, Ordering::Relaxed);
    }

    fn number(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.begun).as_nanos();
        (passed / self.slot.as_nanos().max(1)) as u64
    }
}

/// 16 bits of the slot's number, 24 of failures, 24 of requests. The number comes round, for the
/// same slot, after 327680 of them, which is most of an hour at the least: by then every slot that is
/// counted into has been begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u64);

const BITS: u32 = 24;
const MOST: u64 = (1 << BITS) - 1;

impl Slot {
    /// This slot as it stands at a time: empty where it was of another.
    fn at(self, number: u64) -> Slot {
        let number = number & 0xffff;
        if self.0 >> (2 * BITS) == number { self } else { Slot(number << (2 * BITS)) }
    }

    /// A slot that is full counts no more: its share stays as it is.
    fn plus(self, outcome: Outcome) -> Slot {
        match outcome {
            _ if self.counts().requests == MOST => self,
            Outcome::Passed => Slot(self.0 + 1),
            Outcome::Failed => Slot(self.0 + 1 + (1 << BITS)),
        }
    }

    fn counts(self) -> Counts {
        Counts { requests: self.0 & MOST, failures: self.0 >> BITS & MOST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let begun = Instant::now();
        let at = |tenths: u32| begun + Duration::from_secs(1) * tenths;
        let window = Window::new(Duration::from_secs(10), begun);
        window.count(Outcome::Failed, at(0));
        window.count(Outcome::Passed, at(3));
        window.count(Outcome::Failed, at(9));
        let check = |at, requests, failures| {
            assert_eq!(window.counts(at), Counts { requests, failures });
        };
        check(at(9), 3, 2);
        check(at(10), 2, 1);
        check(at(13), 1, 1);
        check(at(19), 0, 0);
        window.count(Outcome::Passed, at(20));
        check(at(20), 1, 0);
        check(at(1_000), 0, 0);
    }

    #[test]
    fn all_threads_are_counted() {
        let begun = Instant::now();
        let window = Window::new(Duration::from_secs(600), begun);
        std::thread::scope(|scope| {
            for outcome in [Outcome::Passed, Outcome::Failed, Outcome::Failed] {
                let window = &window;
                scope.spawn(move || (0..5_000).for_each(|_| window.count(outcome, begun)));
            }
        });
        assert_eq!(window.counts(begun), Counts { requests: 15_000, failures: 10_000 });
    }

    #[test]
    fn a_full_slot_keeps_its_share() {
        let full = Slot((MOST / 2) << BITS | MOST);
        assert_eq!(full.plus(Outcome::Failed), full);
        let almost = Slot(MOST - 1).plus(Outcome::Failed);
        assert_eq!(almost.counts(), Counts { requests: MOST, failures: 1 });
    }

    #[test]
    fn it_is_told_once_until_it_is_looked_at() {
        let window = Window::new(Duration::from_secs(1), Instant::now());
        assert!(window.tell() && !window.tell());
        window.look();
        assert!(window.tell());
    }
}
