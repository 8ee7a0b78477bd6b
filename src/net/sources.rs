//! How many connections each source address has open, over all workers.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Workers meet here once when a connection opens and once when it closes; with this many shards
/// they seldom wait for one another.
const SHARDS: usize = 16;

/// A map that has shrunk to a quarter gives its memory back, but never below this many entries.
const KEPT_ENTRIES: usize = 64;

/// The open connections of one listener by source. Its memory follows the connections that are
/// open: a source without one has no entry. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Sources {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Seeded anew in each process, so that no client can aim its addresses at one shard.
    hasher: RandomState,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

impl Sources {
    pub fn new() -> Sources {
        Sources {
            inner: Arc::new(Inner { hasher: RandomState::new(), shards: Default::default() }),
        }
    }

    /// Counts one more connection from `ip` until the guard is dropped; `None` if the source has
    /// `max` open already. An IPv6 source is its /64, which is what one customer is given.
    pub fn enter(&self, ip: IpAddr, max: usize) -> Option<Guard> {
        let source = source_of(ip);
        let mut shard = self.inner.shard(source);
        let open = shard.get(&source).copied().unwrap_or(0);
        if open >= max {
            return None;
        }
        shard.insert(source, open + 1);
        Some(Guard { source, inner: self.inner.clone() })
    }
}

impl Default for Sources {
    fn default() -> Sources {
        Sources::new()
    }
}

/// One counted connection; dropping it counts it out.
#[derive(Debug)]
pub struct Guard {
    source: IpAddr,
    inner: Arc<Inner>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut shard = self.inner.shard(self.source);
        match shard.get_mut(&self.source) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                shard.remove(&self.source);
                give_memory_back(&mut shard);
            }
        }
    }
}

impl Inner {
    /// A panic elsewhere can't leave a count half done, so a poisoned lock is used as it is.
    fn shard(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let index = self.hasher.hash_one(source) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn give_memory_back(shard: &mut HashMap<IpAddr, usize>) {
    if shard.capacity() > 4 * shard.len().max(KEPT_ENTRIES) {
        shard.shrink_to(2 * shard.len().max(KEPT_ENTRIES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sources {
        /// Connections open now from the source of `ip`.
        fn open(&self, ip: IpAddr) -> usize {
            let source = source_of(ip);
            self.inner.shard(source).get(&source).copied().unwrap_or(0)
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_gets_no_more_than_its_share_and_gets_it_back() {
        let sources = Sources::new();
        let first = sources.enter(ip("192.0.2.1"), 2);
        let second = sources.enter(ip("192.0.2.1"), 2);
        assert!(first.is_some() && second.is_some());
        assert!(sources.enter(ip("192.0.2.1"), 2).is_none());
        assert!(sources.enter(ip("192.0.2.2"), 2).is_some());
        drop(first);
        assert_eq!(sources.open(ip("192.0.2.1")), 1);
        assert!(sources.enter(ip("192.0.2.1"), 2).is_some());
    }

    #[test]
    fn a_refusal_is_not_counted() {
        let sources = Sources::new();
        assert!(sources.enter(ip("192.0.2.1"), 0).is_none());
        assert_eq!(sources.open(ip("192.0.2.1")), 0);
    }

    #[test]
    fn an_ipv6_source_is_its_64() {
        let sources = Sources::new();
        let _one = sources.enter(ip("2001:db8:0:1::1"), 1);
        assert!(sources.enter(ip("2001:db8:0:1:ffff::2"), 1).is_none());
        assert!(sources.enter(ip("2001:db8:0:2::1"), 1).is_some());
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_one_is_the_ipv4_source() {
        let sources = Sources::new();
        let _one = sources.enter(ip("::ffff:192.0.2.1"), 1);
        assert!(sources.enter(ip("192.0.2.1"), 1).is_none());
        assert!(sources.enter(ip("::ffff:192.0.2.2"), 1).is_some());
    }

    #[test]
    fn memory_follows_the_open_connections() {
        let sources = Sources::new();
        let guards: Vec<_> =
            (0..100_000u32).map(|n| sources.enter(IpAddr::from(n.to_be_bytes()), 1)).collect();
        assert!(guards.iter().all(Option::is_some));
        drop(guards);
        for shard in &sources.inner.shards {
            let shard = shard.lock().expect("no test panics with it");
            assert!(shard.is_empty());
            assert!(shard.capacity() <= 4 * KEPT_ENTRIES, "{}", shard.capacity());
        }
    }

    #[test]
    fn counts_hold_over_threads() {
        let sources = Sources::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        assert!(sources.enter(ip("192.0.2.1"), 4).is_some());
                    }
                });
            }
        });
        assert_eq!(sources.open(ip("192.0.2.1")), 0);
    }
}
