//! Names as the simulation holds them: said once more, in other words than the state's own.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;

use crate::{
    config::{self, Address, Config, Endpoint, Name},
    control::{
        event::{Event, Named},
        names::answer::{Answer, Destination, Found},
    },
    pool::backend::Key,
};

pub const NAMES: [&str; 2] = ["one.internal", "two.internal"];

/// What the name servers said, and what operators said of names.
#[derive(Default)]
pub struct Naming {
    held: HashMap<&'static str, Held>,
    drained: HashSet<Named>,
    /// Drained because a name that leads there is.
    by_name: HashSet<Key>,
    /// Those that left with a word on them.
    left: HashMap<Key, Left>,
}

#[derive(Default)]
struct Held {
    ips: BTreeSet<IpAddr>,
    absent_since: Option<Duration>,
}

/// What an operator said of a backend that left.
#[derive(Clone, Copy, Default)]
pub struct Left {
    pub drained: bool,
    /// A weight, and what the file said then.
    pub ordered: Option<(u32, u32)>,
}

/// One backend of a pool: weight, backup, limit.
pub type Listed = (u32, bool, Option<usize>);

pub fn ip(number: u8) -> IpAddr {
    [127, 0, 0, number + 1].into()
}

impl Naming {
    /// An answer for some name, which may be nobody's.
    pub fn some_answer(random: &mut Rng) -> Event {
        let name = Name::Host(NAMES[random.usize(..NAMES.len())].into());
        let count = random.usize(1..=3);
        let answer = match random.u8(..8) {
            0..2 => Answer::Absent("no such name".to_owned()),
            2..4 => Answer::Failed("no name server answers".to_owned()),
            _ => {
                let ips = random.choose_multiple(0..3, count).into_iter();
                let destination = |number| Destination { ip: ip(number), service: None };
                let destinations = ips.map(destination).collect();
                let (gaps, ttl) = (Vec::new(), Duration::from_secs(5));
                Answer::Found(Found { destinations, gaps, ttl })
            }
        };
        Event::LookedUp { name, answer }
    }

    /// Often one that exists.
    pub fn some_named(random: &mut Rng, pools: &[&str]) -> Named {
        let name = NAMES[random.usize(..NAMES.len())];
        let written = format!("{name}:{}", 8000 + random.u16(..2));
        Named { pool: pools[random.usize(..pools.len())].into(), written }
    }

    /// Whether an answer changes where a name of the configuration leads.
    pub fn take(&mut self, name: &Name, answer: &Answer, config: &Config, now: Duration) -> bool {
        let Some(held) = NAMES.iter().find(|it| name.to_string() == **it) else {
            return false;
        };
        let Some(held) = self.held.get_mut(held) else {
            return false;
        };
        let before = held.ips.clone();
        match answer {
            Answer::Found(found) => {
                held.ips = found.destinations.iter().map(|it| it.ip).collect();
                held.absent_since = None;
            }
            Answer::Absent(_) => {
                let since = *held.absent_since.get_or_insert(now);
                if now - since >= config.resolver.hold {
                    held.ips.clear();
                }
            }
            Answer::Failed(_) => {}
        }
        held.ips != before
    }

    /// A name that leaves the configuration is forgotten.
    pub fn settle(&mut self, config: &Config) {
        let has = |name: &str| entries(config).any(|(_, it)| leads_by(it, name));
        self.held.retain(|name, _| has(name));
        for name in NAMES.iter().filter(|name| has(name)) {
            self.held.entry(name).or_default();
        }
        let written = |named: &Named| {
            entries(config).any(|(pool, it)| {
                *pool.name == *named.pool && it.address.to_string() == named.written
            })
        };
        self.drained.retain(written);
    }

    /// What a pool's entries lead to.
    pub fn listed(&self, pool: &config::Pool) -> HashMap<Endpoint, Listed> {
        let mut listed: HashMap<Endpoint, Listed> = HashMap::new();
        for backend in &pool.backends {
            for address in self.led_to(backend) {
                let own = (backend.weight, backend.backup, backend.max_requests);
                let merged = listed.get(&address).map_or(own, |other| {
                    let most = own.2.min(other.2).or(own.2).or(other.2);
                    (own.0.max(other.0), own.1 && other.1, most)
                });
                listed.insert(address.clone(), merged);
            }
        }
        listed
    }

    fn led_to(&self, backend: &config::Backend) -> Vec<Endpoint> {
        match &backend.address {
            Address::Socket(address) => vec![(*address).into()],
            Address::Unix(path) => vec![Endpoint::Unix(path.clone())],
            Address::Host { name, port } => {
                let held = self.held.get(&**name);
                let ips = held.into_iter().flat_map(|held| &held.ips);
                ips.map(|ip| SocketAddr::new(*ip, *port).into()).collect()
            }
            Address::Srv(_) => unreachable!("the simulation has none"),
        }
    }

    /// Where an entry leads; `None`: there is no such entry.
    pub fn keys_of(&self, named: &Named, config: &Config) -> Option<Vec<Key>> {
        let (_, backend) = entries(config).find(|(pool, it)| {
            *pool.name == *named.pool && it.address.to_string() == named.written
        })?;
        let key = |address: Endpoint| Key { pool: named.pool.clone(), address };
        Some(self.led_to(backend).into_iter().map(key).collect())
    }

    pub fn drain(&mut self, named: &Named, drained: &mut HashSet<Key>, config: &Config) {
        let Some(keys) = self.keys_of(named, config) else {
            return;
        };
        for key in keys {
            if drained.insert(key.clone()) {
                self.by_name.insert(key);
            }
        }
        self.drained.insert(named.clone());
    }

    pub fn enable(&mut self, named: &Named, drained: &mut HashSet<Key>, config: &Config) {
        for key in self.keys_of(named, config).into_iter().flatten() {
            self.enabled(&key);
            drained.remove(&key);
        }
        self.drained.remove(named);
    }

    pub fn enabled(&mut self, key: &Key) {
        self.by_name.remove(key);
    }

    /// What holds of a backend that comes.
    pub fn come(&mut self, key: &Key, config: &Config) -> Left {
        let left = self.left.remove(key).unwrap_or_default();
        let leads = |named: &Named| self.keys_of(named, config).is_some_and(|it| it.contains(key));
        let by_name = !left.drained && self.drained.iter().any(leads);
        if by_name {
            self.by_name.insert(key.clone());
        }
        Left { drained: left.drained || by_name, ..left }
    }

    /// A backend has left.
    pub fn leave(&mut self, key: &Key, left: Left) {
        let drained = left.drained && !self.by_name.remove(key);
        if drained || left.ordered.is_some() {
            self.left.insert(key.clone(), Left { drained, ..left });
        }
    }

    /// Only pools with names are remembered: others' backends leave by an operator's hand.
    pub fn forget(&mut self, config: &Config) {
        let named = |key: &Key| {
            let mut entries = entries(config).filter(|(pool, _)| pool.name == key.pool);
            entries.any(|(_, it)| matches!(it.address, Address::Host { .. }))
        };
        self.left.retain(|key, _| named(key));
    }
}

fn entries(config: &Config) -> impl Iterator<Item = (&config::Pool, &config::Backend)> {
    config.pools.iter().flat_map(|pool| pool.backends.iter().map(move |it| (pool, it)))
}

fn leads_by(backend: &config::Backend, wanted: &str) -> bool {
    matches!(&backend.address, Address::Host { name, .. } if **name == *wanted)
}
