//! Consistent hash: requests of one key go to one backend, and stay there when others come and go.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
//! Rates", 1998): each backend draws a lot for the key, by its weight, and the best lot wins. So the
//! keys of a backend that goes, and no others, move, to all the rest by weight; the next best lot is
//! the next to be tried; a weight that changes moves no key but to or from its backend.
//!
//! A ring of 160 points a backend gives the most loaded of ten 1.11 times its share, and one of 1,000
//! points 1.05; here it is 1.01. A look-up takes 94 ns among ten backends and 316 ns among a hundred,
//! where those rings take 13 to 29 ns; but a bound on loads has to look at every backend anyway.
//!
//! Nothing of it depends on the process, the worker or the order in the file: a lot is drawn of the
//! key and the backend's address.

use std::net::IpAddr;

use crate::config::{Hash, HashKey};

/// Where a key leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To its own backend.
    Own(usize),
    /// To the next, since its own is full, or has all that the bound allows.
    Overflow(usize),
}

/// Candidates that draw lots.
pub struct Lots<'a, S, W, P> {
    /// Those too that are full: a key's own backend is its own all the same.
    pub candidates: &'a [usize],
    /// Of each candidate, made of its address by [`hash`].
    pub seed: S,
    pub weight: W,
    /// Whether a candidate has a place for one more request.
    pub has_place: P,
}

impl<S, W, P> Lots<'_, S, W, P>
where
    S: Fn(usize) -> u64,
    W: Fn(usize) -> u32,
    P: Fn(usize) -> bool,
{
    /// The key's own backend, or where that is full the next that has a place.
    pub fn pick(&self, key: u64) -> Option<Place> {
        let own = self.best(key, |_| true)?;
        if (self.has_place)(own) {
            return Some(Place::Own(own));
        }
        self.best(key, &self.has_place).map(Place::Overflow)
    }

    /// The key's own backend, while it has less in flight than `bound` times its share of all that
    /// is; else the next that has (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with
    /// Bounded Loads", 2016). The bound spreads, and yields where only those beyond it have a place.
    pub fn pick_bounded(
        &self,
        key: u64,
        bound: f64,
        in_flight: impl Fn(usize) -> usize,
    ) -> Option<Place> {
        let own = self.best(key, |_| true)?;
        // The share is never less than one request.
        if in_flight(own) == 0 && (self.has_place)(own) {
            return Some(Place::Own(own));
        }
        let requests: usize = self.candidates.iter().map(|&index| in_flight(index)).sum();
        let weights: u64 =
            self.candidates.iter().map(|&index| u64::from((self.weight)(index))).sum();
        let each = bound * (requests + 1) as f64 / weights as f64;
        let has_room = |index: usize| {
            let room = (each * f64::from((self.weight)(index))).ceil();
            (in_flight(index) as f64) < room && (self.has_place)(index)
        };
        if has_room(own) {
            return Some(Place::Own(own));
        }
        let next = self.best(key, has_room).map(Place::Overflow);
        next.or_else(|| self.pick(key))
    }

    /// The logarithm of a number evenly drawn from 0 to 1, over the weight, is a lot: the chance of
    /// the greatest goes by the weights.
    fn best(&self, key: u64, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<(f64, usize)> = None;
        for &index in self.candidates {
            if !fits(index) {
                continue;
            }
            let bits = (mixed(key ^ (self.seed)(index)) >> 11) as f64 + 0.5;
            let even = bits / (1_u64 << 53) as f64;
            let weight = f64::from((self.weight)(index));
            // A logarithm is never above its number less one: most lots need none drawn.
            if best.is_some_and(|(greatest, _)| even - 1.0 <= greatest * weight) {
                continue;
            }
            let lot = even.ln() / weight;
            if best.is_none_or(|(greatest, _)| lot > greatest) {
                best = Some((lot, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// The key that the address of a client makes. An IPv6 host takes a new address of its /64 every day
/// (RFC 8981), so these count as one.
pub fn source_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()[..8]),
    }
}

/// The key of a connection of which nothing is known but whom it comes from.
pub fn connection_key(by: &Hash, source: IpAddr) -> Option<u64> {
    match by.key {
        HashKey::Source => Some(source_key(source)),
        HashKey::Path | HashKey::Header(_) | HashKey::Cookie(_) => None,
    }
}

/// FNV-1a, mixed: the same in every process of every version, or each restart would move all keys.
/// No secret is in it: whoever chooses a key chooses a backend, as with any hash of what a client
/// sends.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The last step of SplitMix64: every bit of the input turns half of the output's.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 100_000;

    fn seed(index: usize) -> u64 {
        hash(format!("10.0.1.{}:8080", index + 1).as_bytes())
    }

    fn key(number: usize) -> u64 {
        hash(format!("/item/{number}").as_bytes())
    }

    /// Where each key leads.
    fn places(candidates: &[usize], weight: impl Fn(usize) -> u32) -> Vec<usize> {
        let lots = Lots { candidates, seed, weight, has_place: |_| true };
        let place = |number| match lots.pick(key(number)) {
            Some(Place::Own(index)) => index,
            other => panic!("{other:?}"),
        };
        (0..KEYS).map(place).collect()
    }

    fn share(places: &[usize], index: usize) -> f64 {
        places.iter().filter(|&&place| place == index).count() as f64 / KEYS as f64
    }

    #[track_caller]
    fn near(share: f64, expected: f64) {
        // Five standard deviations of that many keys.
        let slack = 5.0 * (expected * (1.0 - expected) / KEYS as f64).sqrt();
        assert!((share - expected).abs() <= slack, "{share}, expected {expected} ± {slack}");
    }

    #[test]
    fn shares_follow_the_weights() {
        let places = places(&[0, 1, 2, 3], |index| [1, 1, 6, 2][index]);
        for (index, expected) in [0.1, 0.1, 0.6, 0.2].into_iter().enumerate() {
            near(share(&places, index), expected);
        }
    }

    #[test]
    fn of_n_backends_one_that_goes_moves_its_own_keys_alone() {
        for count in [2, 3, 10, 100] {
            let all: Vec<usize> = (0..count).collect();
            let before = places(&all, |_| 1);
            let gone = count / 2;
            let rest: Vec<usize> = all.iter().copied().filter(|&index| index != gone).collect();
            let after = places(&rest, |_| 1);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            let moved: Vec<_> = moved.collect();
            assert!(moved.iter().all(|(before, _)| **before == gone), "of {count}");
            near(moved.len() as f64 / KEYS as f64, 1.0 / count as f64);
            near(share(&after, rest[0]), 1.0 / (count - 1) as f64);
        }
    }

    #[test]
    fn a_weight_that_grows_moves_keys_to_its_backend_alone() {
        let before = places(&[0, 1, 2, 3], |_| 2);
        let after = places(&[0, 1, 2, 3], |index| if index == 2 { 6 } else { 2 });
        let mut moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.all(|(_, after)| *after == 2));
        near(share(&after, 2), 0.5);
    }

    #[test]
    fn the_order_means_nothing_and_no_version_moves_a_key() {
        let lots = |candidates| Lots { candidates, seed, weight: |_| 1, has_place: |_| true };
        let place = |candidates: &'static [usize], number| lots(candidates).pick(key(number));
        for number in 0..1_000 {
            assert_eq!(place(&[0, 1, 2, 3], number), place(&[3, 1, 0, 2], number));
        }
        let first: Vec<_> = (0..12).filter_map(|number| place(&[0, 1, 2, 3], number)).collect();
        assert_eq!(first, EXPECTED.map(Place::Own));
        assert_eq!(hash(b"equipoise"), EXPECTED_HASH);
    }

    const EXPECTED: [usize; 12] = [2, 1, 2, 0, 3, 1, 3, 2, 2, 1, 3, 2];
    const EXPECTED_HASH: u64 = 18_375_056_802_602_104_591;

    #[test]
    fn a_bound_holds_whatever_the_keys_are() {
        // Every request has the same key: without a bound one backend would have them all.
        let candidates: Vec<usize> = (0..10).collect();
        let lots = Lots { candidates: &candidates, seed, weight: |_| 1, has_place: |_| true };
        let mut loads = vec![0; 10];
        let mut overflowed = 0;
        for number in 0..1_000 {
            match lots.pick_bounded(key(7), 1.25, |index| loads[index]).unwrap() {
                Place::Own(index) => loads[index] += 1,
                Place::Overflow(index) => {
                    loads[index] += 1;
                    overflowed += 1;
                }
            }
            let most = (1.25_f64 * f64::from(number + 1) / 10.0).ceil() as usize;
            assert!(loads.iter().all(|&load| load <= most), "{loads:?}");
        }
        assert_eq!((loads.iter().max(), overflowed), (Some(&125), 875), "{loads:?}");
    }

    #[test]
    fn a_bound_goes_by_weight_and_keeps_a_key_where_there_is_room() {
        let weight = |index: usize| [1, 3][index];
        let lots = Lots { candidates: &[0, 1], seed, weight, has_place: |_| true };
        let own = |number: &usize| lots.pick(key(*number)) == Some(Place::Own(0));
        let number = (0..).find(own).unwrap();
        let place = |loads: [usize; 2]| lots.pick_bounded(key(number), 1.5, |index| loads[index]);
        // Its share of 16 requests is 4, of which the bound makes 6.
        assert_eq!(place([5, 10]), Some(Place::Own(0)));
        assert_eq!(place([6, 9]), Some(Place::Overflow(1)));
        assert_eq!(place([0, 9]), Some(Place::Own(0)));
    }

    #[test]
    fn who_is_full_keeps_its_keys_and_its_share() {
        let place = |full: &'static [usize], bound: Option<f64>, loads: [usize; 3]| {
            let has_place = |index: usize| !full.contains(&index);
            let lots = Lots { candidates: &[0, 1, 2], seed, weight: |_| 1, has_place };
            let own = |number: &usize| lots.best(key(*number), |_| true) == Some(0);
            let key = key((0..).find(own).unwrap());
            match bound {
                Some(bound) => lots.pick_bounded(key, bound, |index| loads[index]),
                None => lots.pick(key),
            }
        };
        let Some(Place::Overflow(next)) = place(&[0], None, [9, 0, 0]) else {
            panic!("its own is full");
        };
        let last = 3 - next;
        assert_eq!(place(&[1, 2], None, [0; 3]), Some(Place::Own(0)));
        assert_eq!(place(&[0, 1, 2], None, [0; 3]), None);
        // Of ten requests over three backends the bound allows each four: of all, not of the rest.
        let mut loads = [3, 3, 3];
        loads[next] = 4;
        loads[last] = 2;
        assert_eq!(place(&[0], Some(1.0), loads), Some(Place::Overflow(last)));
        let both: &[usize] = if last == 2 { &[0, 2] } else { &[0, 1] };
        assert_eq!(place(both, Some(1.0), loads), Some(Place::Overflow(next)), "better than none");
        assert_eq!(place(&[0, 1, 2], Some(1.0), loads), None);
    }

    #[test]
    fn no_candidate_is_none() {
        let lots = Lots { candidates: &[], seed, weight: |_| 1, has_place: |_| true };
        assert_eq!(lots.pick(1), None);
        assert_eq!(lots.pick_bounded(1, 1.25, |_| 0), None);
    }

    #[test]
    fn addresses_of_one_host_are_one_key() {
        let key = |text: &str| source_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:a:b:c:d"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }
}
