//! Whether the whole process lives, workers included: what the service manager's watchdog is told.
//! Pure.

use std::time::{Duration, Instant};

use crate::roll::TICK;

/// When each worker's loop was last seen to turn.
pub struct Pulse {
    seen: Vec<Seen>,
    patience: Duration,
}

struct Seen {
    ticks: u64,
    at: Instant,
}

impl Pulse {
    /// `watchdog`: after how long without a word the manager kills us.
    pub fn new(ticks: Vec<Option<u64>>, watchdog: Duration, now: Instant) -> Pulse {
        let seen = ticks.iter().map(|ticks| Seen { ticks: ticks.unwrap_or(0), at: now });
        // Never so impatient that a worker between two ticks seems dead.
        Pulse { seen: seen.collect(), patience: (watchdog / 2).max(3 * TICK) }
    }

    /// The first worker whose loop has stood still for too long. `None` in `ticks`: it has left,
    /// and owes nothing.
    pub fn stuck(&mut self, ticks: &[Option<u64>], now: Instant) -> Option<usize> {
        for (seen, ticks) in self.seen.iter_mut().zip(ticks) {
            if ticks.is_none_or(|ticks| ticks != seen.ticks) {
                *seen = Seen { ticks: ticks.unwrap_or(0), at: now };
            }
        }
        self.seen.iter().position(|seen| now.duration_since(seen.at) > self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stands_still_is_found_and_forgiven() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(vec![Some(0), Some(0)], Duration::from_secs(20), start);
        assert_eq!(pulse.stuck(&[Some(9), Some(9)], after(10)), None);
        assert_eq!(pulse.stuck(&[Some(19), Some(9)], after(20)), None);
        assert_eq!(pulse.stuck(&[Some(29), Some(9)], after(30)), Some(1));
        assert_eq!(pulse.stuck(&[Some(39), Some(10)], after(40)), None);
    }

    #[test]
    fn a_worker_that_has_left_owes_nothing() {
        let start = Instant::now();
        let mut pulse = Pulse::new(vec![Some(0)], Duration::from_secs(20), start);
        assert_eq!(pulse.stuck(&[None], start + Duration::from_secs(100)), None);
    }

    #[test]
    fn a_short_watchdog_leaves_time_for_a_tick() {
        let start = Instant::now();
        let mut pulse = Pulse::new(vec![Some(0)], Duration::from_millis(200), start);
        assert_eq!(pulse.stuck(&[Some(0)], start + TICK), None);
    }
}
