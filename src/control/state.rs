//! The one place where the world of the workers changes: an event in, a whole new snapshot out, or
//! a refusal and nothing has changed. It waits for nothing and asks no clock.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{
    config::{self, Change, Config},
    control::{
        book::{Arrival, Entry, in_flight_words},
        event::{Applied, Event, Line, Moment, Prepared, Refused},
        named::Orders,
        names::{
            held::Names,
            listed::{Listed, listed},
        },
        plight::Plight,
        runs::{Heard, Runs},
        skew::{self, Census},
        weights,
    },
    pool::{
        backend::{Backend, Bell, Key},
        breaker::Breaker,
        health::ProbeResult,
        members::{Member, Pool, PoolParts},
        release::Release,
    },
    snapshot::{self, Parts, Phase, Snapshot, Spoken},
    units::duration_text,
};

/// All that the control plane knows of what is served.
pub struct State {
    pub(super) config: Arc<Config>,
    pub(super) parts: Parts,
    pub(super) book: BTreeMap<Key, Entry>,
    pub(super) phase: Phase,
    pub(super) snapshot: Arc<Snapshot>,
    /// Since when a pool has run more than one release, by its name.
    pub(super) skewed: BTreeMap<Arc<str>, SystemTime>,
    pub(super) names: Names,
    pub(super) orders: Orders,
    /// Of each pool, by its name: the very same as in the snapshots and the book.
    settings: BTreeMap<Arc<str>, Arc<config::Pool>>,
    pub(super) started: SystemTime,
    /// Fixed for the life of the process, whatever a reload says.
    pub(super) workers: usize,
    bell: Arc<Bell>,
}

impl State {
    /// Generation 1, and what is to be said of it.
    pub fn new(prepared: Prepared, bell: Arc<Bell>, now: Moment) -> (State, Vec<Line>) {
        let Prepared { config, parts, diff: _, answers } = prepared;
        let unpublished = snapshot::build(0, &config, &parts, Vec::new(), Phase::Serving);
        let mut state = State {
            workers: config.workers,
            config,
            parts,
            book: BTreeMap::new(),
            phase: Phase::Serving,
            snapshot: Arc::new(unpublished),
            skewed: BTreeMap::new(),
            names: Names::default(),
            orders: Orders::default(),
            settings: BTreeMap::new(),
            started: now.wall,
            bell,
        };
        let lines = state.settle_names(answers, now);
        state.enter_backends(Arrival::AtStart, now);
        state.rebuild();
        (state, lines)
    }

    /// What is published.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes in one change: what comes of it is published whole, or refused and nothing is changed.
    pub fn apply(&mut self, event: Event, now: Moment) -> Result<Applied, Refused> {
        let applied = self.take(event, now)?;
        if applied.snapshot.is_some() {
            self.date_skew(now);
        }
        Ok(applied)
    }

    fn take(&mut self, event: Event, now: Moment) -> Result<Applied, Refused> {
        match event {
            Event::Reload(prepared) => self.reload(*prepared, now),
            Event::Probed { key, result } => Ok(self.probed(&key, result, now)),
            Event::Failures => Ok(self.change(now, |entry| entry.failures(now))),
            Event::RetryDue => Ok(self.change(now, |entry| entry.retry(now))),
            Event::Drain(key) => self.ordered(&key, now, |entry| entry.drain(now)),
            Event::Weigh { key, weight } => self.weigh(&key, weight, now),
            Event::Enable(key) => self.ordered(&key, now, |entry| entry.enable(now)),
            Event::LookedUp { name, answer } => Ok(self.looked_up(&name, answer, now)),
            Event::DrainNamed(named) => self.drain_named(named, now),
            Event::EnableNamed(named) => self.enable_named(&named, now),
            Event::Certificates(renewed) => self.certificates(renewed),
            Event::Terminate => Ok(self.enter(Phase::Draining)),
            Event::DeadlinePassed => Ok(self.enter(Phase::Closing)),
        }
    }

    /// When the next backend without probes is tried again, or the next breaker is looked at.
    pub fn next_retry(&self) -> Option<Instant> {
        let breakers = self.book.values().filter_map(|entry| entry.breaker.as_ref());
        let looks = breakers.filter_map(Breaker::next_look);
        self.book.values().filter_map(|entry| entry.retry_at).chain(looks).min()
    }

    /// Requests under way at all backends.
    pub fn in_flight(&self) -> usize {
        self.book.values().map(|entry| entry.backend.in_flight()).sum()
    }

    /// Asked before anything is opened for a reload, and again when it is to be applied.
    pub fn may_reload(&self) -> Result<(), Refused> {
        match self.phase {
            Phase::Serving => Ok(()),
            Phase::Draining | Phase::Closing => {
                Err(Refused::because("the process is ending: start it again instead"))
            }
        }
    }

    fn reload(&mut self, prepared: Prepared, now: Moment) -> Result<Applied, Refused> {
        self.may_reload()?;
        let Prepared { config, parts, diff, answers } = prepared;
        let mut lines: Vec<Line> =
            diff.iter().map(|change| Line::Info(self.told(change))).collect();
        if lines.is_empty() {
            lines.push(Line::Info("the configuration says what it said before".to_owned()));
        }
        if config.workers != self.workers {
            let (wanted, running) = (config.workers, self.workers);
            lines.push(Line::Warn(format!(
                "workers = {wanted} takes effect at the next start; {running} are running"
            )));
        }
        self.config = config;
        self.parts = parts;
        lines.extend(self.settle_names(answers, now));
        lines.extend(self.enter_backends(Arrival::ByReload, now));
        lines.extend(self.look_at_breakers(now).lines);
        let before = self.snapshot.clone();
        let snapshot = self.rebuild();
        lines.extend(Plight::lines(&before.pools, &snapshot.pools));
        lines.extend(skew::lines(&before.pools, &snapshot.pools));
        Ok(Applied { snapshot: Some(snapshot), lines })
    }

    /// A change in words, with how many clients will notice it; told before it is made.
    fn told(&self, change: &Change) -> String {
        let sockets = change.closes.iter().filter_map(|address| self.parts.sockets.get(address));
        let open: usize = sockets.map(|sockets| sockets.open().count()).sum();
        if open == 0 {
            return change.words.clone();
        }
        let s = if open == 1 { "" } else { "s" };
        format!("{}; {open} connection{s} will close", change.words)
    }

    /// Brings the book in line with the configuration: equal key, same backend.
    pub(super) fn enter_backends(&mut self, arrival: Arrival, now: Moment) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut before = std::mem::take(&mut self.book);
        let settings = self.config.pools.iter().map(|pool| self.pool_settings(pool));
        let settings: Vec<Arc<config::Pool>> = settings.collect();
        for pool in &settings {
            for Listed { address, weight, .. } in listed(pool, &self.names) {
                let key = Key { pool: pool.name.clone(), address };
                let mut entry = match before.remove(&key) {
                    Some(mut held) => {
                        held.settle(pool.clone(), now);
                        held
                    }
                    None => {
                        let mut entry = Entry::new(self.backend(&key), pool.clone(), arrival, now);
                        if self.releases_were_read(&pool.name) {
                            entry.runs = Runs::of_one_that_joins();
                        }
                        self.orders.meet(&key, &mut entry);
                        entry
                    }
                };
                lines.extend(entry.settle_weight(weight));
                self.book.insert(key, entry);
            }
        }
        self.orders.remember(before, &self.config);
        let named = |pool: Arc<config::Pool>| (pool.name.clone(), pool);
        self.settings = settings.into_iter().map(named).collect();
        lines
    }

    fn releases_were_read(&self, pool: &str) -> bool {
        let mut held = self.snapshot.pools.iter().map(|pool| &pool.config);
        held.any(|held| *held.name == *pool && held.reads_releases())
    }

    fn backend(&self, key: &Key) -> Arc<Backend> {
        let address = key.address.to_string();
        let metrics = self.parts.metrics.backend(&key.pool, &address);
        Backend::new(key.clone(), self.bell.clone(), metrics)
    }

    /// The settings that are in use already, where they are equal: a pool that no reload touches
    /// stays the very same.
    fn pool_settings(&self, wanted: &config::Pool) -> Arc<config::Pool> {
        let mut held = self.snapshot.pools.iter().map(|pool| &pool.config);
        match held.find(|held| ***held == *wanted) {
            Some(held) => held.clone(),
            None => Arc::new(wanted.clone()),
        }
    }

    /// The probe of a backend that has left meanwhile says nothing.
    fn probed(&mut self, key: &Key, result: ProbeResult, now: Moment) -> Applied {
        let Some(entry) = self.book.get_mut(key) else {
            return Applied { snapshot: None, lines: Vec::new() };
        };
        let before = entry.standing();
        let (heard, about_release) = entry.hear(result.reported(), now);
        let about_health = entry.probed(result, now);
        let turned = entry.standing() != before;
        if heard == Heard::First {
            self.first_named(key, now);
        }
        let lines = about_health.into_iter().chain(about_release).collect();
        // Most probes say what the last one said: nothing is looked at for them.
        match turned {
            true => self.settled(turned, lines, now),
            false => self.published_if(turned, lines),
        }
    }

    /// Whether a release that a backend names for the first time comes into its pool with it.
    fn first_named(&mut self, key: &Key, now: Moment) {
        let release = |entry: &Entry| Some(entry.runs.deployed()?.release.clone());
        let own = release(&self.book[key]);
        let others = self.book.iter().filter(|(other, _)| other.pool == key.pool && *other != key);
        let known: Vec<Release> = others.filter_map(|(_, entry)| release(entry)).collect();
        let alone = own.is_some_and(|own| !known.is_empty() && !known.contains(&own));
        if alone && let Some(entry) = self.book.get_mut(key) {
            entry.runs.alone_with_it(now.steady);
        }
    }

    /// Remembers since when each pool has been skewed.
    fn date_skew(&mut self, now: Moment) {
        let mut before = std::mem::take(&mut self.skewed);
        for pool in self.snapshot.pools.iter().filter(|pool| Census::of(pool).is_skewed()) {
            let name = &pool.config.name;
            let since = before.remove(name).unwrap_or(now.wall);
            self.skewed.insert(name.clone(), since);
        }
    }

    /// Lets each backend take in something; publishes when that turned a verdict.
    fn change(
        &mut self,
        now: Moment,
        mut change: impl FnMut(&mut Entry) -> Option<Line>,
    ) -> Applied {
        let mut lines = Vec::new();
        let mut turned = false;
        for entry in self.book.values_mut() {
            let verdict = entry.verdict();
            lines.extend(change(entry));
            turned |= entry.verdict() != verdict;
        }
        self.settled(turned, lines, now)
    }

    /// An operator's word on one backend.
    fn ordered(
        &mut self,
        key: &Key,
        now: Moment,
        order: impl FnOnce(&mut Entry) -> Line,
    ) -> Result<Applied, Refused> {
        let Some(entry) = self.book.get_mut(key) else {
            return Err(Refused::because(self.unknown(key)));
        };
        let before = entry.standing();
        let line = order(entry);
        let turned = entry.standing() != before;
        Ok(self.settled(turned, vec![line], now))
    }

    fn weigh(&mut self, key: &Key, weight: u32, now: Moment) -> Result<Applied, Refused> {
        if weight > weights::MOST {
            let expected = format!("{weight} is no weight: expected 0 to {}", weights::MOST);
            return Err(Refused::because(expected));
        }
        self.ordered(key, now, |entry| entry.weigh(weight))
    }

    /// What came of an event at one backend or several may turn breakers: those of its pool's others
    /// as well.
    pub(super) fn settled(&mut self, turned: bool, mut lines: Vec<Line>, now: Moment) -> Applied {
        let looked = self.look_at_breakers(now);
        lines.extend(looked.lines);
        self.published_if(turned || looked.turned, lines)
    }

    fn certificates(&mut self, renewed: Spoken) -> Result<Applied, Refused> {
        let changed = !renewed.is_empty();
        let spoken = &mut self.parts.spoken;
        let mut listeners = renewed.listeners.keys();
        if let Some(name) = listeners.find(|name| !spoken.listeners.contains_key(*name)) {
            return Err(Refused::because(format!("there is no TLS listener {name} any more")));
        }
        if let Some(name) = renewed.pools.keys().find(|name| !spoken.pools.contains_key(*name)) {
            return Err(Refused::because(format!("there is no TLS to pool {name} any more")));
        }
        spoken.extend(renewed);
        Ok(self.published_if(changed, Vec::new()))
    }

    /// Phases only go forward.
    fn enter(&mut self, phase: Phase) -> Applied {
        let line = match (self.phase, phase) {
            (Phase::Serving, Phase::Draining) => {
                let in_flight = in_flight_words(self.in_flight());
                let limit = duration_text(self.config.drain_timeout);
                Line::Info(format!("draining: {in_flight}, at most {limit}"))
            }
            (Phase::Draining, Phase::Closing) => {
                let in_flight = in_flight_words(self.in_flight());
                Line::Warn(format!("the drain took too long: closing with {in_flight}"))
            }
            _ => {
                return Applied { snapshot: None, lines: Vec::new() };
            }
        };
        self.phase = phase;
        // The kernel must refuse new connections, not queue them for nobody: the sockets close when
        // the workers have taken what is queued and the last snapshot with them has gone.
        self.parts.sockets.clear();
        self.published_if(true, vec![line])
    }

    fn published_if(&mut self, changed: bool, mut lines: Vec<Line>) -> Applied {
        if !changed {
            return Applied { snapshot: None, lines };
        }
        let before = self.snapshot.clone();
        let snapshot = self.rebuild();
        lines.extend(Plight::lines(&before.pools, &snapshot.pools));
        lines.extend(skew::lines(&before.pools, &snapshot.pools));
        Applied { snapshot: Some(snapshot), lines }
    }

    fn rebuild(&mut self) -> Arc<Snapshot> {
        let pools = self.config.pools.iter().map(|pool| self.pool(pool)).collect();
        let generation = self.snapshot.generation + 1;
        let built = snapshot::build(generation, &self.config, &self.parts, pools, self.phase);
        self.snapshot = Arc::new(built);
        self.snapshot.clone()
    }

    /// The pool as it stands now; the very same one where nothing of it changed, so that workers
    /// see at a glance what to leave alone.
    fn pool(&self, wanted: &config::Pool) -> Arc<Pool> {
        let listed = listed(wanted, &self.names);
        let parts = PoolParts {
            config: self.settings[&wanted.name].clone(),
            members: listed.iter().map(|it| self.member(wanted, it)).collect(),
            tls: self.parts.spoken.pools.get(&wanted.name).cloned(),
            keys: self.parts.sticky_keys.get(&wanted.name).cloned(),
        };
        let held = self.snapshot.pools.iter().find(|pool| pool.config.name == wanted.name);
        if let Some(held) = held.filter(|held| held.is_made_of(&parts)) {
            return held.clone();
        }
        let metrics = self.parts.metrics.pool(&wanted.name);
        Arc::new(Pool::new(parts, held.map(|held| &**held), metrics))
    }

    fn member(&self, pool: &config::Pool, backend: &Listed) -> Member {
        let entry = &self.book[&Key { pool: pool.name.clone(), address: backend.address.clone() }];
        Member {
            backend: entry.backend.clone(),
            name: backend.name(),
            weight: entry.weights.effective(),
            ramp: entry.ramp(),
            backup: backend.backup,
            max_requests: backend.max_requests,
            verdict: entry.verdict(),
            unjudged: entry.is_unjudged(),
            breaker: entry.breaker.as_ref().map(|breaker| breaker.position().clone()),
            deployed: entry.runs.deployed().cloned(),
        }
    }

    /// What an operator calls a backend: `POOL/ADDRESS`. It need not exist.
    pub fn key(&self, text: &str) -> Result<Key, Refused> {
        let parsed = text.split_once('/').and_then(|(pool, address)| {
            Some(Key { pool: pool.into(), address: address.parse().ok()? })
        });
        parsed.ok_or_else(|| {
            let known = some_of(self.book.keys().map(Key::to_string));
            Refused::because(format!("{text:?} is no POOL/ADDRESS; expected one of {known}"))
        })
    }

    fn unknown(&self, key: &Key) -> String {
        let Some(pool) = self.config.pools.iter().find(|pool| pool.name == key.pool) else {
            let pools = some_of(self.config.pools.iter().map(|pool| pool.name.to_string()));
            return format!("there is no pool {}; expected one of {pools}", key.pool);
        };
        let known = self.book.keys().filter(|known| known.pool == key.pool);
        let backends = some_of(known.map(|known| known.address.to_string()));
        format!("pool {} has no backend {}; expected one of {backends}", pool.name, key.address)
    }
}

/// As many as a person reads.
fn some_of(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = names.collect();
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len() {
        0 => "none".to_owned(),
        more if more > SHOWN => format!("{shown}, …"),
        _ => shown,
    }
}
