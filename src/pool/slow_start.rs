//! Slow start: the share of its weight that a backend gets while it comes up. Pure.
//!
//! A server with empty caches, or code that is not compiled yet, is slower at first than it will be.
//! The share is told by the clock at each pick: nothing is published while it grows.

use std::time::{Duration, Instant};

/// Parts of a weight: what a backend that is not coming up has of each unit of its weight.
pub const WHOLE: u32 = 1_000;

/// What it starts with: enough to show whether it works, and to warm it.
const FIRST: u32 = 100;

/// A backend that came up not long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    pub from: Instant,
    pub over: Duration,
}

impl Ramp {
    /// In parts of `WHOLE`: a tenth at first, all at the end, and evenly more in between.
    pub fn share(&self, now: Instant) -> u32 {
        let gone = now.saturating_duration_since(self.from).as_secs_f64();
        let more = gone / self.over.as_secs_f64() * f64::from(WHOLE - FIRST);
        FIRST.saturating_add(more as u32).min(WHOLE)
    }

    pub fn ends(&self) -> Instant {
        self.from + self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_at_first_and_all_at_the_end() {
        let from = Instant::now();
        let ramp = Ramp { from, over: Duration::from_secs(30) };
        for (seconds, share) in [(0, 100), (3, 190), (10, 400), (15, 550), (29, 970), (30, 1_000)] {
            assert_eq!(ramp.share(from + Duration::from_secs(seconds)), share, "{seconds} s");
        }
        assert_eq!(ramp.share(from + Duration::from_secs(1 << 40)), WHOLE);
        assert_eq!(ramp.share(from - Duration::from_secs(1)), FIRST, "another thread's clock");
        assert_eq!(ramp.ends(), from + Duration::from_secs(30));
    }

    #[test]
    fn it_never_falls() {
        let from = Instant::now();
        let ramp = Ramp { from, over: Duration::from_millis(7) };
        let shares = (0..8_000).map(|micros| ramp.share(from + Duration::from_micros(micros)));
        assert!(shares.is_sorted());
    }
}
