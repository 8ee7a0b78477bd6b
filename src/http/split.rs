//! Which pool of several a request goes to. Pure.

/// Shares of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    shares: Vec<Share>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    weight: u32,
    /// An index into `Serving::pools`.
    pool: usize,
}

impl Split {
    /// Weights and pools; at least one weight is above 0.
    pub fn new(shares: impl Iterator<Item = (u32, usize)>) -> Split {
        let given = shares.filter(|(weight, _)| *weight > 0);
        let shares: Vec<Share> = given.map(|(weight, pool)| Share { weight, pool }).collect();
        assert!(!shares.is_empty(), "the configuration gives some pool a share");
        Split { shares }
    }

    /// The pool that keeps the client, while it has a backend in use; else one of those that have,
    /// by weight; of all, where none has: then the request fails as it would with that pool alone.
    /// `random` gives a number below the one it is given.
    pub fn choose(
        &self,
        available: impl Fn(usize) -> bool,
        keeps_client: impl Fn(usize) -> bool,
        random: impl FnOnce(u64) -> u64,
    ) -> usize {
        let pools = self.shares.iter().map(|share| share.pool);
        let keeping = pools.filter(|&pool| available(pool)).find(|&pool| keeps_client(pool));
        if let Some(pool) = keeping {
            return pool;
        }
        let total = self.total(&available);
        if total == 0 {
            return self.take(random(self.total(&|_| true)), &|_| true);
        }
        self.take(random(total), &available)
    }

    fn total(&self, counts: &impl Fn(usize) -> bool) -> u64 {
        let counted = self.shares.iter().filter(|share| counts(share.pool));
        counted.map(|share| u64::from(share.weight)).sum()
    }

    /// The pool whose share of all that count holds the number `at`.
    fn take(&self, mut at: u64, counts: &impl Fn(usize) -> bool) -> usize {
        for share in self.shares.iter().filter(|share| counts(share.pool)) {
            match at.checked_sub(u64::from(share.weight)) {
                Some(behind) => at = behind,
                None => return share.pool,
            }
        }
        unreachable!("the number is below the total")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of three pools is chosen, over every number that chance could give.
    fn chosen(shares: &[(u32, usize)], available: &[usize]) -> [u32; 3] {
        let split = Split::new(shares.iter().copied());
        let available = |pool| available.contains(&pool);
        let total = match split.total(&available) {
            0 => split.total(&|_| true),
            total => total,
        };
        let mut counts = [0; 3];
        for number in 0..total {
            let random = |below| {
                assert_eq!(below, total);
                number
            };
            counts[split.choose(available, |_| false, random)] += 1;
        }
        counts
    }

    #[test]
    fn each_has_its_share() {
        assert_eq!(chosen(&[(95, 0), (5, 2)], &[0, 1, 2]), [95, 0, 5]);
        assert_eq!(chosen(&[(1, 2), (0, 1), (2, 0)], &[0, 1, 2]), [2, 0, 1]);
    }

    #[test]
    fn a_pool_without_a_backend_in_use_leaves_its_share_to_the_others() {
        assert_eq!(chosen(&[(95, 0), (5, 1)], &[0]), [95, 0, 0]);
        assert_eq!(chosen(&[(95, 0), (5, 1)], &[1]), [0, 5, 0]);
        assert_eq!(chosen(&[(95, 0), (5, 1)], &[]), [95, 5, 0], "all fail alike");
    }

    #[test]
    fn who_is_kept_by_a_pool_stays_while_it_has_a_backend_and_a_share() {
        let split = Split::new([(95, 0), (5, 1), (0, 2)].into_iter());
        let check = |kept: &[usize], up: &[usize], expected| {
            let chosen =
                split.choose(|pool| up.contains(&pool), |pool| kept.contains(&pool), |_| 0);
            assert_eq!(chosen, expected, "{kept:?}");
        };
        check(&[1], &[0, 1, 2], 1);
        check(&[0, 1], &[0, 1, 2], 0);
        check(&[1], &[0, 2], 0);
        check(&[2], &[0, 1, 2], 0);
    }
}
