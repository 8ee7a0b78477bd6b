//! Smooth weighted round-robin: each pick pays the sum of the weights, each candidate earns its own.
//!
//! With weights 5, 1, 1 seven picks go a a b a c a a, and over every seven the shares are exact.

/// The candidate with the most credit; `credits` has a place for each index of `candidates`.
pub fn pick(
    candidates: &[usize],
    weight: impl Fn(usize) -> u32,
    credits: &mut [i64],
) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<usize> = None;
    for &index in candidates {
        let earned = i64::from(weight(index));
        total += earned;
        credits[index] += earned;
        if best.is_none_or(|best| credits[index] > credits[best]) {
            best = Some(index);
        }
    }
    let best = best?;
    credits[best] -= total;
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[u32], count: usize) -> String {
        let candidates: Vec<usize> = (0..weights.len()).collect();
        let mut credits = vec![0; weights.len()];
        let letter = |index: usize| char::from(b'a' + index as u8);
        (0..count)
            .map(|_| letter(pick(&candidates, |i| weights[i], &mut credits).unwrap()))
            .collect()
    }

    #[test]
    fn weights_are_spread_not_bunched() {
        assert_eq!(picks(&[5, 1, 1], 14), "aabacaaaabacaa");
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&[1, 1, 1], 7), "abcabca");
        assert_eq!(picks(&[4, 4], 4), "abab");
    }

    #[test]
    fn shares_are_exact_over_any_whole_round() {
        for weights in [vec![3, 2], vec![7, 1, 4], vec![256, 1], vec![1; 50]] {
            let total: u32 = weights.iter().sum();
            let all = picks(&weights, 3 * total as usize);
            for (index, weight) in weights.iter().enumerate() {
                let letter = char::from(b'a' + index as u8);
                assert_eq!(all.matches(letter).count(), 3 * *weight as usize, "{weights:?}");
            }
        }
    }

    #[test]
    fn no_candidate_is_none() {
        assert_eq!(pick(&[], |_| 1, &mut []), None);
    }
}
