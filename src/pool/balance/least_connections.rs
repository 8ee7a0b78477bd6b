//! Weighted least connections, over what is in flight in the whole process.
//!
//! The load of a candidate is its requests in flight over its weight. Candidates of equal load take
//! turns by smooth weighted round-robin, so that an idle pool still honours the weights and its
//! first backend is not everyone's favourite.

use crate::pool::balance::round_robin;

/// The candidate with the least load.
pub fn pick(
    candidates: &[usize],
    weight: impl Fn(usize) -> u32,
    in_flight: impl Fn(usize) -> usize,
    credits: &mut [i64],
) -> Option<usize> {
    // Read each counter once: others write them meanwhile.
    let mut least: Vec<usize> = Vec::new();
    let mut load: (u64, u64) = (0, 1);
    for &index in candidates {
        let of_this = (in_flight(index) as u64, u64::from(weight(index)));
        match (of_this.0 * load.1).cmp(&(load.0 * of_this.1)) {
            _ if least.is_empty() => {
                least.push(index);
                load = of_this;
            }
            std::cmp::Ordering::Less => {
                least.clear();
                least.push(index);
                load = of_this;
            }
            std::cmp::Ordering::Equal => least.push(index),
            std::cmp::Ordering::Greater => {}
        }
    }
    round_robin::pick(&least, weight, credits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(loads: &[(usize, u32)], expected: usize) {
        let candidates: Vec<usize> = (0..loads.len()).collect();
        let mut credits = vec![0; loads.len()];
        let picked = pick(&candidates, |i| loads[i].1, |i| loads[i].0, &mut credits);
        assert_eq!(picked, Some(expected), "(in flight, weight): {loads:?}");
    }

    #[test]
    fn the_least_loaded_for_its_weight() {
        check(&[(3, 1), (2, 1), (4, 1)], 1);
        check(&[(3, 1), (5, 2), (4, 1)], 1);
        check(&[(1, 1), (2, 4)], 1);
        check(&[(1, 1), (0, 1)], 1);
    }

    #[test]
    fn ties_take_turns_by_weight() {
        let weights = [2, 1];
        let mut credits = vec![0; 2];
        let picks: Vec<usize> =
            (0..6).map(|_| pick(&[0, 1], |i| weights[i], |_| 0, &mut credits).unwrap()).collect();
        assert_eq!(picks, [0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn no_candidate_is_none() {
        assert_eq!(pick(&[], |_| 1, |_| 0, &mut []), None);
    }
}
