//! After how long a second try is worth its price: what the first bytes of a pool's answers took, of
//! late, on this worker.
//!
//! Times are counted in buckets an eighth of a doubling wide, so that an estimate is at most an
//! eighth too long; when enough are counted, all are halved, so that what was long ago fades.

use std::time::Duration;

use crate::{config, pool::local::LocalPool};

/// Eight for each doubling from 8 µs up to more than a minute, and eight below.
const BUCKETS: usize = 200;

/// At so many all counts are halved: about the last two thousand answers speak.
const HALVED_AT: u32 = 2048;

/// An estimate serves for so many answers.
const KEPT_FOR: u32 = 32;

/// The times of one worker at one pool.
#[derive(Debug)]
pub struct FirstBytes {
    counts: Box<[u32; BUCKETS]>,
    counted: u32,
    estimate: Duration,
    /// Answers since the estimate was made; `None`: there is none yet.
    estimated: Option<u32>,
}

impl Default for FirstBytes {
    fn default() -> FirstBytes {
        let counts = Box::new([0; BUCKETS]);
        FirstBytes { counts, counted: 0, estimate: Duration::ZERO, estimated: None }
    }
}

impl FirstBytes {
    /// An answer began after so long; or it had not begun by then, and was waited for no longer.
    pub fn count(&mut self, took: Duration) {
        self.counts[bucket(took)] += 1;
        self.counted += 1;
        self.estimated = self.estimated.map(|since| since + 1);
        if self.counted >= HALVED_AT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.counted = self.counts.iter().sum();
        }
    }

    /// After how long a second try is made; `None` while too little is known.
    pub fn patience(&mut self, settings: &config::Hedge) -> Option<Duration> {
        if self.counted < settings.min_requests {
            return None;
        }
        if self.estimated.is_none_or(|since| since >= KEPT_FOR) {
            self.estimate = self.percentile(settings.percentile);
            self.estimated = Some(0);
        }
        Some(self.estimate.max(settings.at_least))
    }

    /// That share of the answers began in less.
    fn percentile(&self, percentile: u32) -> Duration {
        let wanted = u64::from(self.counted) * u64::from(percentile);
        let mut so_far = 0;
        let place = self.counts.iter().position(|&count| {
            so_far += u64::from(count) * 100;
            so_far >= wanted
        });
        upper_end(place.unwrap_or(BUCKETS - 1))
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(doublings) = micros.checked_ilog2().filter(|doublings| *doublings >= 3) else {
        return micros as usize;
    };
    let eighth = (micros >> (doublings - 3) & 7) as usize;
    ((doublings as usize - 2) * 8 + eighth).min(BUCKETS - 1)
}

/// The shortest time that belongs to the next bucket.
fn upper_end(bucket: usize) -> Duration {
    let next = bucket as u64 + 1;
    if next <= 8 {
        return Duration::from_micros(next);
    }
    let (doublings, eighth) = (next / 8 - 1, next % 8);
    Duration::from_micros((8 + eighth) << doublings)
}

impl LocalPool {
    /// After how long without an answer a request may be tried at a second backend; `None`: never.
    pub fn patience(&self) -> Option<Duration> {
        let settings = self.pool.config.hedge.as_ref()?;
        self.first_bytes.as_ref()?.borrow_mut().patience(settings)
    }

    /// An answer began so long after its request was sent, or had not begun by then.
    pub fn first_byte(&self, took: Duration) {
        if let Some(first_bytes) = &self.first_bytes {
            first_bytes.borrow_mut().count(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: config::Hedge =
        config::Hedge { percentile: 95, at_least: Duration::from_millis(1), min_requests: 100 };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn of(times: &[(u32, Duration)]) -> FirstBytes {
        let mut held = FirstBytes::default();
        for &(count, took) in times {
            (0..count).for_each(|_| held.count(took));
        }
        held
    }

    #[test]
    fn buckets_are_an_eighth_of_a_doubling() {
        let mut last = None;
        let times = std::iter::successors(Some(0u64), |micros| Some(micros + micros / 100 + 1));
        for micros in times.take_while(|&micros| micros < 70_000_000) {
            let took = Duration::from_micros(micros);
            let bucket = bucket(took);
            assert!(last.is_none_or(|last| bucket == last || bucket == last + 1), "{micros}");
            last = Some(bucket);
            let end = upper_end(bucket);
            assert!(
                took < end && end <= took.mul_f64(1.125) + Duration::from_micros(1),
                "{took:?}"
            );
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(of(&[(99, millis(20))]).patience(&SETTINGS), None);
        assert!(of(&[(100, millis(20))]).patience(&SETTINGS).is_some());
    }

    #[test]
    fn most_answers_come_before_it() {
        let patience = of(&[(94, millis(10)), (6, millis(900))]).patience(&SETTINGS);
        assert!(patience.is_some_and(|it| it >= millis(900)), "{patience:?}");
        let patience = of(&[(96, millis(10)), (4, millis(900))]).patience(&SETTINGS);
        assert!(patience.is_some_and(|it| it > millis(10) && it < millis(12)), "{patience:?}");
    }

    #[test]
    fn it_is_never_shorter_than_told() {
        let patience = of(&[(200, Duration::from_micros(90))]).patience(&SETTINGS);
        assert_eq!(patience, Some(millis(1)));
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut held = of(&[(2_000, millis(500))]);
        assert!(held.patience(&SETTINGS) > Some(millis(400)));
        (0..10_000).for_each(|_| held.count(millis(5)));
        assert!(held.patience(&SETTINGS) < Some(millis(6)));
    }

    /// Who is waited for no longer is counted at what it had taken: else the slow would be forgotten,
    /// and every second try would call for more of them.
    #[test]
    fn giving_up_on_the_slow_does_not_shorten_it() {
        let mut held = of(&[(900, millis(10)), (100, millis(900))]);
        let settings = config::Hedge { percentile: 85, ..SETTINGS };
        for turn in 0..20_000 {
            let patience = held.patience(&settings).unwrap();
            assert!(patience > millis(10) && patience < millis(12), "{patience:?} at {turn}");
            held.count(if turn % 10 == 0 { patience } else { millis(10) });
        }
    }
}
