//! What an answer for a name does to the world of the workers, and what an operator's word on one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    config::{self, Config, Name},
    control::{
        book::{Arrival, Entry},
        event::{Applied, Line, Moment, Named, Refused},
        names::{answer::Answer, held::Names, listed},
        state::State,
        weights::Weights,
    },
    pool::backend::Key,
};

/// Backends that left with an operator's word on them, and may come back with the next answer.
const MOST_REMEMBERED: usize = 1024;

/// What operators said of backends that come and go by themselves.
#[derive(Debug, Default)]
pub struct Orders {
    /// All that these lead to is taken out of use.
    drained: BTreeSet<Named>,
    /// Where a drained name leads now: which of its backends are not known yet.
    drained_keys: BTreeSet<Key>,
    /// A name led there, and no longer does: what was said of them must not be forgotten by the next
    /// answer that leads there again.
    left: BTreeMap<Key, Order>,
}

/// What was said of one backend.
#[derive(Clone, Copy, Debug)]
struct Order {
    drained: bool,
    weights: Weights,
}

impl Orders {
    pub fn drains(&self, named: &Named) -> bool {
        self.drained.contains(named)
    }

    /// A backend comes: what was said of it, or of its name, holds from the start.
    pub fn meet(&mut self, key: &Key, entry: &mut Entry) {
        let known = self.left.remove(key);
        let alone = known.is_some_and(|order| order.drained);
        entry.drained_by_name = self.drained_keys.contains(key) && !alone;
        entry.drained = alone || entry.drained_by_name;
        if let Some(order) = known {
            entry.weights = order.weights;
        }
    }

    /// Backends have left: those of pools that look names up may come back.
    pub fn remember(&mut self, left: BTreeMap<Key, Entry>, config: &Config) {
        for (key, entry) in left {
            let (drained, weights) = (entry.drained && !entry.drained_by_name, entry.weights);
            if drained || weights.effective() != weights.file() {
                self.left.insert(key, Order { drained, weights });
            }
        }
        let by_name = |pool: &&config::Pool| {
            pool.backends.iter().any(|backend| backend.address.name().is_some())
        };
        let pools: BTreeSet<&Arc<str>> =
            config.pools.iter().filter(by_name).map(|pool| &pool.name).collect();
        self.left.retain(|key, _| pools.contains(&key.pool));
        while self.left.len() > MOST_REMEMBERED {
            self.left.pop_first();
        }
    }
}

impl State {
    /// Brings the names in line with the configuration, and takes in what was found out of those
    /// that nothing was held of.
    pub(super) fn settle_names(&mut self, answers: Vec<(Name, Answer)>, now: Moment) -> Vec<Line> {
        self.names.settle(&self.config, now);
        let mut lines = Vec::new();
        for (name, answer) in answers {
            let taken = self.names.take(&name, answer, &self.config.resolver, now);
            lines.extend(taken.into_iter().flat_map(|taken| taken.lines));
        }
        let entries = entries(&self.config);
        self.orders.drained.retain(|named| entries.iter().any(|(entry, _)| entry == named));
        self.find_drained();
        lines
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Those that lead somewhere.
    pub fn resolved_names(&self) -> BTreeSet<Name> {
        let leading = self.names.iter().filter(|(_, held)| held.addresses() > 0);
        leading.map(|(name, _)| name.clone()).collect()
    }

    /// The answer for a name that has left meanwhile says nothing.
    pub(super) fn looked_up(&mut self, name: &Name, answer: Answer, now: Moment) -> Applied {
        let Some(taken) = self.names.take(name, answer, &self.config.resolver, now) else {
            return Applied { snapshot: None, lines: Vec::new() };
        };
        let mut lines = taken.lines;
        if taken.changed {
            self.find_drained();
            lines.extend(self.enter_backends(Arrival::ByName, now));
        }
        self.settled(taken.changed, lines, now)
    }

    /// The entry of a pool that an operator calls `POOL/NAME:PORT`, as the file writes it.
    pub fn named(&self, text: &str) -> Option<Named> {
        let (pool, written) = text.split_once('/')?;
        let named = Named { pool: pool.into(), written: written.to_ascii_lowercase() };
        let entries = entries(&self.config);
        let found = entries.into_iter().find(|(entry, _)| *entry == named)?;
        found.1.address.name().map(|_| found.0)
    }

    pub(super) fn drain_named(&mut self, named: Named, now: Moment) -> Result<Applied, Refused> {
        let drain = |entry: &mut Entry| {
            entry.drained_by_name |= !entry.drained;
            entry.drain(now)
        };
        let applied = self.order_named(&named, now, drain)?;
        self.orders.drained.insert(named);
        self.find_drained();
        Ok(applied)
    }

    pub(super) fn enable_named(&mut self, named: &Named, now: Moment) -> Result<Applied, Refused> {
        let applied = self.order_named(named, now, |entry| entry.enable(now))?;
        self.orders.drained.remove(named);
        self.find_drained();
        Ok(applied)
    }

    /// Who comes with the next answer would have another weight than those who are there.
    pub fn no_weight(&self, named: &Named) -> Refused {
        let Named { pool, written } = named;
        let addresses = self.keys_of(named).unwrap_or_default();
        let addresses: Vec<String> = addresses.iter().take(8).map(Key::to_string).collect();
        let now = match addresses.is_empty() {
            true => "it leads nowhere now".to_owned(),
            false => format!("now these are {}", addresses.join(", ")),
        };
        Refused::because(format!(
            "{pool}/{written} is a name, whose backends come and go: the file says their weight, \
             this command that of one address; {now}"
        ))
    }

    /// Does the same to each backend that an entry leads to.
    fn order_named(
        &mut self,
        named: &Named,
        now: Moment,
        mut order: impl FnMut(&mut Entry) -> Line,
    ) -> Result<Applied, Refused> {
        let Some(keys) = self.keys_of(named) else {
            let Named { pool, written } = named;
            return Err(Refused::because(format!("pool {pool} has no backend {written}")));
        };
        let mut turned = false;
        let mut lines = Vec::new();
        for key in &keys {
            if let Some(entry) = self.book.get_mut(key) {
                let before = entry.standing();
                lines.push(order(entry));
                turned |= entry.standing() != before;
            }
        }
        if keys.is_empty() {
            let Named { pool, written } = named;
            let words = format!("pool {pool}: {written} leads to no backend now; it is remembered");
            lines.push(Line::Info(words));
        }
        Ok(self.settled(turned, lines, now))
    }

    /// `None`: the configuration has no such entry.
    fn keys_of(&self, named: &Named) -> Option<Vec<Key>> {
        let entries = entries(&self.config);
        let (_, backend) = entries.into_iter().find(|(entry, _)| entry == named)?;
        let key = |it: listed::Listed| Key { pool: named.pool.clone(), address: it.address };
        Some(listed::of(backend, &self.names).into_iter().map(key).collect())
    }

    fn find_drained(&mut self) {
        let names = self.orders.drained.iter();
        self.orders.drained_keys =
            names.filter_map(|named| self.keys_of(named)).flatten().collect();
    }
}

/// The entries of all pools.
fn entries(config: &Config) -> Vec<(Named, &config::Backend)> {
    let mut entries = Vec::new();
    for pool in &config.pools {
        for backend in &pool.backends {
            let written = backend.address.to_string();
            entries.push((Named { pool: pool.name.clone(), written }, backend));
        }
    }
    entries
}
