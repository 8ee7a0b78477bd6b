//! Random two choices: of two candidates drawn at random, the one with the smaller load.
//!
//! A draw falls on each candidate by its weight, so that an idle pool still honours the weights; a
//! load is requests in flight over weight. Two draws instead of a look at all: the cost does not
//! grow with the pool, and workers don't run after one and the same least loaded backend
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

use fastrand::Rng;

/// The less loaded of two.
pub fn pick(
    urn: &Urn<'_, impl Fn(usize) -> u32>,
    in_flight: impl Fn(usize) -> usize,
    random: &mut Rng,
) -> Option<usize> {
    let (first, second) = urn.draw_two(random)?;
    let load = |index: usize| (in_flight(index) as u64, u64::from((urn.weight)(index)));
    let (first_load, second_load) = (load(first), load(second));
    // At equal loads the first draw, which fell by weight, decides.
    let lighter = second_load.0 * first_load.1 < first_load.0 * second_load.1;
    Some(if lighter { second } else { first })
}

/// Candidates, on each of which a draw falls by its weight.
pub struct Urn<'a, W> {
    pub candidates: &'a [usize],
    pub weight: W,
    /// No candidate weighs more; the closer, the fewer draws are thrown back.
    pub heaviest: u32,
}

/// Draws that are thrown back before the weights are summed up instead.
const THROWN_BACK: usize = 16;

impl<W: Fn(usize) -> u32> Urn<'_, W> {
    /// Two of them, not the same but where there is only one.
    pub fn draw_two(&self, random: &mut Rng) -> Option<(usize, usize)> {
        let first = self.draw(None, random)?;
        let second = match self.candidates {
            [_] => None,
            _ => self.draw(Some(first), random),
        };
        Some((first, second.unwrap_or(first)))
    }

    /// Each candidate is as likely to be kept as it is heavy: what is kept follows the weights, at a
    /// cost that depends on how unequal they are, not on how many.
    fn draw(&self, but: Option<usize>, random: &mut Rng) -> Option<usize> {
        for _ in 0..THROWN_BACK {
            let index = *random.choice(self.candidates)?;
            let weight = (self.weight)(index);
            let kept = weight >= self.heaviest || random.u32(..self.heaviest) < weight;
            if kept && Some(index) != but {
                return Some(index);
            }
        }
        self.draw_from_sum(but, random)
    }

    /// The same shares, at the cost of a look at every candidate.
    fn draw_from_sum(&self, but: Option<usize>, random: &mut Rng) -> Option<usize> {
        let others = || self.candidates.iter().copied().filter(|&index| Some(index) != but);
        let weight = |index: usize| u64::from((self.weight)(index));
        let total: u64 = others().map(weight).sum();
        if total == 0 {
            return None;
        }
        let mut drawn = random.u64(..total);
        others().find(|&index| match drawn.checked_sub(weight(index)) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each is picked, of so many picks.
    fn picks(loads: &[(usize, u32)], count: usize) -> Vec<usize> {
        let candidates: Vec<usize> = (0..loads.len()).collect();
        let heaviest = loads.iter().map(|load| load.1).max().unwrap();
        let urn = Urn { candidates: &candidates, weight: |i: usize| loads[i].1, heaviest };
        let mut random = Rng::with_seed(7);
        let mut picks = vec![0; loads.len()];
        for _ in 0..count {
            picks[pick(&urn, |i| loads[i].0, &mut random).unwrap()] += 1;
        }
        picks
    }

    #[track_caller]
    fn near(picks: &[usize], expected: &[usize]) {
        for (pick, expected) in picks.iter().zip(expected) {
            assert!(pick.abs_diff(*expected) * 20 <= 10 + expected, "{picks:?}");
        }
    }

    #[test]
    fn the_less_loaded_of_two() {
        assert_eq!(picks(&[(3, 1), (2, 1)], 100), [0, 100]);
        assert_eq!(picks(&[(3, 1), (5, 2)], 100), [0, 100]);
        assert_eq!(picks(&[(1, 1), (2, 4)], 100), [0, 100]);
    }

    #[test]
    fn the_most_loaded_of_all_is_never_picked() {
        let picks = picks(&[(1, 1), (9, 1), (1, 1), (1, 1)], 10_000);
        assert_eq!(picks[1], 0);
        // Of the six pairs each of the others is in three; one of two equals is drawn first.
        near(&picks, &[3_333, 0, 3_333, 3_333]);
    }

    #[test]
    fn an_idle_pool_honours_its_weights() {
        near(&picks(&[(0, 1), (0, 1), (0, 1)], 9_000), &[3_000, 3_000, 3_000]);
        near(&picks(&[(0, 5), (0, 1), (0, 4)], 100_000), &[50_000, 10_000, 40_000]);
    }

    #[test]
    fn weights_that_are_far_apart_are_honoured_too() {
        let mut loads = vec![(0, 1); 100];
        loads[17].1 = 256;
        let picks = picks(&loads, 35_600);
        near(&[picks[17]], &[25_600]);
        assert!(picks.iter().all(|&picks| picks > 50), "{picks:?}");
    }

    #[test]
    fn one_candidate_is_picked_and_none_is_none() {
        assert_eq!(picks(&[(8, 3)], 3), [3]);
        let urn = Urn { candidates: &[], weight: |_| 1, heaviest: 1 };
        assert_eq!(pick(&urn, |_| 0, &mut Rng::with_seed(1)), None);
    }
}
