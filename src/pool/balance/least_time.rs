//! Least time: of two candidates drawn at random, the one that is likely to answer first.
//!
//! What is expected of a backend is the time to its first byte, times the requests it would then
//! have in flight, over its weight. The time is a peak-sensitive moving average, as in Finagle and
//! Linkerd: a slower answer counts at once and in full, a faster one by and by, and what is not
//! heard of fades, so that a backend that was slow is asked again.
//!
//! Each worker keeps its own times, of the answers that it saw itself: they cost no shared cache
//! line. What is in flight is known of the whole process.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::pool::balance::random_two_choices::Urn;

/// After so long a time without news, e times less is held of a backend's slowness.
const FADES_IN: Duration = Duration::from_secs(10);

/// Differences below this are the network's and ours, not the backends': then only what is in
/// flight counts.
const SMALLEST: Duration = Duration::from_micros(100);

/// A failure counts as twice the time that is held, within these bounds: a backend that fails fast
/// must not look like a fast one.
const OF_A_FAILURE: RangeInclusive<f64> = 1.0..=60.0;

/// Which of two candidates is likely to answer first; `time` is what is held of one now.
///
/// A backend of which nothing is known yet is taken to be as fast as the other, and asked first at
/// that: it soon is known, and until then never has more in flight than the other.
pub fn pick(
    urn: &Urn<'_, impl Fn(usize) -> u32>,
    in_flight: impl Fn(usize) -> usize,
    time: impl Fn(usize) -> Option<f64>,
    random: &mut Rng,
) -> Option<usize> {
    let (first, second) = urn.draw_two(random)?;
    let (first_time, second_time) = (time(first), time(second));
    let expected = |index: usize, time: Option<f64>| {
        let time = time.unwrap_or(0.0).max(SMALLEST.as_secs_f64());
        time * (in_flight(index) + 1) as f64 / f64::from((urn.weight)(index))
    };
    let sooner = expected(second, second_time.or(first_time))
        .total_cmp(&expected(first, first_time.or(second_time)))
        .then(second_time.is_some().cmp(&first_time.is_some()));
    Some(if sooner.is_lt() { second } else { first })
}

/// What is held of one backend's time to the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    seconds: f64,
    /// Of the last answer; `None` before the first.
    at: Option<Instant>,
}

impl Estimate {
    /// In seconds; `None` before the first answer.
    pub fn at(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.at?);
        Some(self.seconds * remains(since))
    }

    /// An answer began after `took`.
    pub fn answered(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let weight = remains(self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at)));
        let mean = self.seconds * weight + took * (1.0 - weight);
        *self = Estimate { seconds: took.max(mean), at: Some(now) };
    }

    /// It failed, whenever that was.
    pub fn failed(&mut self, now: Instant) {
        let held = self.at(now).unwrap_or(0.0);
        let counts_as = (held * 2.0).clamp(*OF_A_FAILURE.start(), *OF_A_FAILURE.end());
        *self = Estimate { seconds: held.max(counts_as), at: Some(now) };
    }

    /// No answer came within `took`, when the client lost its patience: it would have taken longer.
    pub fn given_up(&mut self, took: Duration, now: Instant) {
        if self.at(now).is_none_or(|held| held < took.as_secs_f64()) {
            self.answered(took, now);
        }
    }
}

fn remains(since: Duration) -> f64 {
    (-since.as_secs_f64() / FADES_IN.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 0.001;

    /// How often each is picked, of a thousand picks: `(in flight, weight, time)`.
    fn picks(given: &[(usize, u32, Option<f64>)]) -> Vec<usize> {
        let candidates: Vec<usize> = (0..given.len()).collect();
        let heaviest = given.iter().map(|given| given.1).max().unwrap();
        let urn = Urn { candidates: &candidates, weight: |i: usize| given[i].1, heaviest };
        let mut random = Rng::with_seed(3);
        let mut picks = vec![0; given.len()];
        for _ in 0..1_000 {
            picks[pick(&urn, |i| given[i].0, |i| given[i].2, &mut random).unwrap()] += 1;
        }
        picks
    }

    #[test]
    fn the_faster_one_until_it_has_more_in_flight() {
        assert_eq!(picks(&[(0, 1, Some(2.0 * MS)), (0, 1, Some(7.0 * MS))]), [1_000, 0]);
        assert_eq!(picks(&[(2, 1, Some(2.0 * MS)), (0, 1, Some(7.0 * MS))]), [1_000, 0]);
        assert_eq!(picks(&[(3, 1, Some(2.0 * MS)), (0, 1, Some(7.0 * MS))]), [0, 1_000]);
    }

    #[test]
    fn a_weight_counts_as_so_many_servers() {
        assert_eq!(picks(&[(0, 1, Some(MS)), (1, 4, Some(MS))]), [0, 1_000]);
        assert_eq!(picks(&[(0, 1, Some(MS)), (4, 4, Some(MS))]), [1_000, 0]);
    }

    #[test]
    fn the_slowest_of_all_waits_until_its_time_has_faded() {
        let fast = Some(MS);
        assert_eq!(picks(&[(0, 1, fast), (0, 1, Some(0.5)), (0, 1, fast)])[1], 0);
        let faded = Some(0.9 * MS);
        assert!(picks(&[(0, 1, fast), (0, 1, faded), (0, 1, fast)])[1] > 500);
    }

    #[test]
    fn an_unknown_one_is_asked_but_not_flooded() {
        for known in [MS, 2.0] {
            assert_eq!(picks(&[(0, 1, Some(known)), (0, 1, None)]), [0, 1_000]);
            assert_eq!(picks(&[(3, 1, Some(known)), (4, 1, None)]), [1_000, 0]);
        }
        let picks = picks(&[(0, 1, None), (0, 1, None)]);
        assert!((400..600).contains(&picks[0]), "{picks:?}");
    }

    #[test]
    fn differences_that_say_nothing_are_none() {
        let picks = picks(&[(0, 1, Some(0.00001)), (0, 1, Some(0.00009))]);
        assert!((400..600).contains(&picks[0]), "{picks:?}");
    }

    struct Life {
        start: Instant,
        held: Estimate,
    }

    impl Life {
        fn new() -> Life {
            Life { start: Instant::now(), held: Estimate::default() }
        }

        fn answered(&mut self, milliseconds: u64, at: f64) {
            let now = self.start + Duration::from_secs_f64(at);
            self.held.answered(Duration::from_millis(milliseconds), now);
        }

        #[track_caller]
        fn check(&self, at: f64, milliseconds: f64) {
            let held = self.held.at(self.start + Duration::from_secs_f64(at)).unwrap() / MS;
            let near = (held - milliseconds).abs() < milliseconds / 100.0 + 0.01;
            assert!(near, "{held} ms, expected {milliseconds}");
        }
    }

    #[test]
    fn nothing_is_held_before_the_first_answer() {
        let mut life = Life::new();
        assert_eq!(life.held.at(life.start), None);
        life.answered(20, 1.0);
        life.check(1.0, 20.0);
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut life = Life::new();
        life.answered(10, 0.0);
        life.answered(500, 0.1);
        life.check(0.1, 500.0);
        life.check(10.1, 500.0 / std::f64::consts::E);
        life.check(60.1, 500.0 * (-6.0_f64).exp());
    }

    #[test]
    fn fast_answers_bring_it_down_by_and_by() {
        let mut life = Life::new();
        life.answered(1_000, 0.0);
        for number in 1..=600 {
            life.answered(10, f64::from(number) / 10.0);
        }
        life.check(60.0, 10.0 + 990.0 * (-6.0_f64).exp());
    }

    #[test]
    fn a_failure_counts_as_slow_and_one_more_as_slower() {
        let mut life = Life::new();
        life.answered(5, 0.0);
        for milliseconds in [1_000.0, 2_000.0, 4_000.0] {
            life.held.failed(life.start);
            life.check(0.0, milliseconds);
        }
        (0..100).for_each(|_| life.held.failed(life.start));
        life.check(0.0, 60_000.0);
    }

    #[test]
    fn whom_a_client_waited_for_in_vain_is_no_faster_for_it() {
        let mut life = Life::new();
        life.held.given_up(Duration::from_millis(300), life.start);
        life.check(0.0, 300.0);
        life.held.given_up(Duration::from_millis(2), life.start);
        life.check(0.0, 300.0);
    }

    #[test]
    fn a_clock_that_stands_still_divides_by_nothing() {
        let mut life = Life::new();
        life.answered(10, 0.0);
        life.answered(4, 0.0);
        life.check(0.0, 10.0);
    }
}
