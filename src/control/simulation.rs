//! A seeded model test of `State::apply`: random configurations, verdicts, drains and refusals, and
//! after each step what must hold whatever happened.

mod naming;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

use fastrand::Rng;

use crate::{
    config::{self, Config, OnSkew, WhenAllDown},
    control::{
        event::{Event, Moment, Prepared},
        protocol::VerdictWord,
        rooms,
        simulation::naming::{Left, NAMES, Naming},
        state::State,
    },
    http::{compressors::Compressors, error_pages::Pages},
    net::listen::Sockets,
    observe::metrics::Metrics,
    pool::{
        backend::{Backend, Key, Verdict},
        breaker::Position,
        health::ProbeResult,
        members::{Member, Pool},
        preference::Lapse,
        release::{Deployed, Release, Reported},
        window::Outcome,
    },
    snapshot::{Parts, Phase, Snapshot, Spoken},
};

const STEPS: usize = 20_000;

/// How many lives of a process; each ends by draining, somewhere.
const LIVES: usize = 20;

const POOLS: [&str; 3] = ["a", "b", "c"];

/// The empty one can't be read.
const RELEASES: [&str; 4] = ["1.4.2", "1.10.0", "2f16c60", ""];

#[test]
fn whatever_happens_the_invariants_hold() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..LIVES {
        Simulation::new(random.fork()).run(STEPS / LIVES);
    }
}

struct Simulation {
    random: Rng,
    sockets: Vec<Arc<Sockets>>,
    metrics: Arc<Metrics>,
    state: State,
    /// What an operator has drained, held beside the state.
    drained: HashSet<Key>,
    /// What an operator has said of a weight, and what the file said then.
    ordered: HashMap<Key, (u32, u32)>,
    naming: Naming,
    /// What each address runs, whoever asks.
    runs: HashMap<Key, &'static str>,
    /// What each last told the state, where it was asked for its release.
    said: HashMap<Key, Option<&'static str>>,
    backends: HashMap<Key, Arc<Backend>>,
    start: Instant,
    elapsed: Duration,
}

/// What the last snapshot said.
struct Before {
    snapshot: Arc<Snapshot>,
    standings: HashMap<Key, Standing>,
}

/// What of a backend may change from one snapshot to the next.
#[derive(Clone, PartialEq)]
struct Standing {
    verdict: Verdict,
    unjudged: bool,
    weight: u32,
    deployed: Option<Deployed>,
    breaker: Option<Position>,
}

impl Simulation {
    fn new(mut random: Rng) -> Simulation {
        let bind = |_| Sockets::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let sockets: Vec<_> = (0..3).map(bind).map(Arc::new).collect();
        let metrics = Metrics::new(1);
        let first = prepared(&mut random, &sockets, &metrics, None);
        let start = Instant::now();
        let now = Moment { steady: start, wall: SystemTime::UNIX_EPOCH };
        let (state, _) = State::new(first, Arc::default(), now);
        assert_eq!(state.snapshot().generation, 1);
        Simulation {
            random,
            sockets,
            metrics,
            state,
            drained: HashSet::new(),
            ordered: HashMap::new(),
            naming: Naming::default(),
            runs: HashMap::new(),
            said: HashMap::new(),
            backends: HashMap::new(),
            start,
            elapsed: Duration::ZERO,
        }
    }

    fn run(&mut self, steps: usize) {
        self.check_snapshot();
        for _ in 0..steps {
            self.elapsed += Duration::from_millis(self.random.u64(..400));
            self.step();
        }
    }

    fn now(&self) -> Moment {
        let wall = SystemTime::UNIX_EPOCH + self.elapsed;
        Moment { steady: self.start + self.elapsed, wall }
    }

    fn step(&mut self) {
        let event = self.event();
        let expected = Expected::of(&event, &self.state);
        let before = Before {
            snapshot: self.state.snapshot().clone(),
            standings: standings(&self.state.snapshot().pools),
        };
        if let Event::Drain(key) = &event
            && before.standings.contains_key(key)
        {
            self.drained.insert(key.clone());
        }
        let config = self.state.config().clone();
        let mut led_elsewhere = false;
        match &event {
            Event::Enable(key) => {
                self.drained.remove(key);
                self.naming.enabled(key);
            }
            Event::DrainNamed(named) => self.naming.drain(named, &mut self.drained, &config),
            Event::EnableNamed(named) => self.naming.enable(named, &mut self.drained, &config),
            Event::LookedUp { name, answer } => {
                led_elsewhere = self.naming.take(name, answer, &config, self.elapsed);
            }
            _ => {}
        }
        if let Event::Weigh { key, weight } = &event
            && before.standings.contains_key(key)
        {
            let config = self.state.config();
            let pool = config.pools.iter().find(|pool| pool.name == key.pool).unwrap();
            let (file, ..) = self.naming.listed(pool)[&key.address];
            self.ordered.insert(key.clone(), (*weight, file));
        }
        let status = self.state.status();
        let applied = self.state.apply(event, self.now());
        match applied {
            Err(refused) => {
                assert!(expected.refused, "{refused}");
                assert!(Arc::ptr_eq(&before.snapshot, self.state.snapshot()), "refused, unchanged");
                assert_eq!(self.state.status(), status, "refused, unchanged");
            }
            Ok(applied) => {
                assert!(!expected.refused);
                self.check_publication(&before, applied.snapshot.as_ref());
                self.check_snapshot();
                self.check_change(&before, &expected);
                assert!(!led_elsewhere || applied.snapshot.is_some(), "it is published");
                let gone = Arc::downgrade(&before.snapshot);
                drop((before, applied));
                self.check_memory(&gone);
            }
        }
    }

    fn event(&mut self) -> Event {
        match self.random.u32(..1000) {
            0..40 => {
                let held = Some(self.state.parts());
                let next = prepared(&mut self.random, &self.sockets, &self.metrics, held);
                Event::Reload(Box::new(next))
            }
            40..540 => {
                let key = self.some_key();
                let result = match self.random.bool() {
                    true => self.passed(&key),
                    false => ProbeResult::Failed("connection refused".to_owned()),
                };
                Event::Probed { key, result }
            }
            540..700 => {
                let key = self.some_key();
                if let Some(backend) = self.backends.get(&key) {
                    backend.set_failures(self.random.u32(..5));
                }
                self.serve(&key);
                Event::Failures
            }
            700..750 => Event::RetryDue,
            750..850 => Naming::some_answer(&mut self.random),
            850..910 => Event::Drain(self.some_key()),
            910..930 => Event::Weigh { key: self.some_key(), weight: self.random.u32(..4) },
            930..980 => Event::Enable(self.some_key()),
            980..986 => Event::DrainNamed(Naming::some_named(&mut self.random, &POOLS)),
            986..996 => Event::EnableNamed(Naming::some_named(&mut self.random, &POOLS)),
            996 => Event::Terminate,
            997 => Event::DeadlinePassed,
            _ => Event::Certificates(Spoken::default()),
        }
    }

    /// Requests come to a backend, and are counted for its breaker.
    fn serve(&mut self, key: &Key) {
        let snapshot = self.state.snapshot().clone();
        let Some(pool) = snapshot.pools.iter().find(|pool| pool.config.name == key.pool) else {
            return;
        };
        let member = pool.members.iter().find(|member| member.backend.key() == key);
        let breaker = member.and_then(|member| member.breaker.as_ref());
        if let (Some(breaker), Some(settings)) = (breaker, &pool.config.breaker) {
            let failing = self.random.u8(..4);
            for _ in 0..self.random.u8(..8) {
                let failed = self.random.u8(..4) < failing;
                let outcome = if failed { Outcome::Failed } else { Outcome::Passed };
                // Told or not: the event that follows looks.
                let _ = breaker.count(outcome, settings, self.now().steady);
            }
        }
    }

    /// Now and then another release has been deployed there since.
    fn passed(&mut self, key: &Key) -> ProbeResult {
        let words = "200 in 1 ms".to_owned();
        let pools = &self.state.config().pools;
        let asked = pools.iter().any(|pool| pool.name == key.pool && pool.reads_releases());
        if !asked {
            return ProbeResult::Passed { words, release: Reported::NotAsked };
        }
        if self.random.u8(..20) == 0 || !self.runs.contains_key(key) {
            let release = RELEASES[self.random.usize(..RELEASES.len())];
            self.runs.insert(key.clone(), release);
        }
        let read = Some(self.runs[key]).filter(|release| !release.is_empty());
        if self.backends.contains_key(key) {
            self.said.insert(key.clone(), read);
        }
        let unread = || Reported::Unread("X-Release is missing".to_owned());
        let named = |release: &str| Reported::Release(release.parse().unwrap());
        ProbeResult::Passed { words, release: read.map_or_else(unread, named) }
    }

    /// Often one that exists.
    fn some_key(&mut self) -> Key {
        let pool = POOLS[self.random.usize(..POOLS.len())];
        let ip = if self.random.bool() { 0 } else { self.random.u8(..3) };
        let port = 8000 + self.random.u16(..6);
        Key { pool: pool.into(), address: SocketAddr::new(naming::ip(ip), port) }
    }

    /// Published only when something changed, and then under the next number.
    fn check_publication(&self, before: &Before, published: Option<&Arc<Snapshot>>) {
        let now = self.state.snapshot();
        match published {
            Some(published) => {
                assert!(Arc::ptr_eq(published, now));
                assert_eq!(now.generation, before.snapshot.generation + 1);
            }
            None => assert!(Arc::ptr_eq(&before.snapshot, now)),
        }
    }

    /// The snapshot says what the configuration, the book and the operator say, and nothing else.
    fn check_snapshot(&mut self) {
        let snapshot = self.state.snapshot().clone();
        let config = self.state.config().clone();
        let doors: HashSet<SocketAddr> = snapshot.doors.keys().copied().collect();
        let listeners = config.listeners.iter().filter(|_| snapshot.phase == Phase::Serving);
        let wanted = listeners.flat_map(|listener| listener.bind.clone());
        assert_eq!(doors, wanted.collect::<HashSet<_>>(), "no door is open while ending");
        assert_eq!(snapshot.pools.len(), config.pools.len());
        let status = self.state.status();
        let mut backends = HashMap::new();
        self.naming.settle(&config);
        for ((pool, wanted), told) in snapshot.pools.iter().zip(&config.pools).zip(&status.pools) {
            assert_eq!(*pool.config, *wanted);
            check_candidates(pool);
            check_preferred(pool, None);
            check_pins(pool);
            check_bound(pool);
            let mut listed = self.naming.listed(wanted);
            for (member, told) in pool.members.iter().zip(&told.backends) {
                let key = member.backend.key().clone();
                let found = listed.remove(&key.address);
                let (file, backup, most) = found.unwrap_or_else(|| panic!("{key} is too much"));
                assert_eq!((member.backup, member.max_requests), (backup, most), "{key}");
                if !self.backends.contains_key(&key) {
                    let left = self.naming.come(&key, &config);
                    if left.drained {
                        self.drained.insert(key.clone());
                    }
                    self.ordered.extend(left.ordered.map(|it| (key.clone(), it)));
                }
                if self.ordered.get(&key).is_some_and(|(_, then)| *then != file) {
                    self.ordered.remove(&key);
                }
                let weight = self.ordered.get(&key).map_or(file, |(weight, _)| *weight);
                assert_eq!((member.weight, told.weight), (weight, weight), "{key}");
                assert_eq!(word(member.verdict), told.verdict, "{key}: book and snapshot");
                let drained = self.drained.contains(&key);
                assert_eq!(member.verdict == Verdict::Draining, drained, "{key}");
                self.check_release(&key, member.deployed.as_ref(), wanted.reads_releases());
                if let Some(known) = self.backends.get(&key) {
                    assert!(Arc::ptr_eq(known, &member.backend), "{key}: equal key, same backend");
                }
                backends.insert(key, member.backend.clone());
            }
            assert!(listed.is_empty(), "{listed:?} are missing");
        }
        // What has left the configuration is forgotten, an operator's word too.
        for key in self.backends.keys().filter(|key| !backends.contains_key(key)) {
            let ordered = self.ordered.get(key).copied();
            self.naming.leave(key, Left { drained: self.drained.contains(key), ordered });
        }
        self.naming.forget(&config);
        self.drained.retain(|key| backends.contains_key(key));
        self.ordered.retain(|key, _| backends.contains_key(key));
        self.said.retain(|key, _| backends.contains_key(key));
        self.backends = backends;
    }

    /// Kept over reloads and failed probes, until the file no longer asks for it.
    fn check_release(&mut self, key: &Key, deployed: Option<&Deployed>, asked: bool) {
        if !asked {
            self.said.remove(key);
        }
        let said = self.said.get(key).copied().flatten();
        match deployed {
            Some(deployed) => assert_eq!(Some(deployed.release.as_str()), said, "{key}"),
            None if said.is_none() => {}
            None => {
                let unknown = self.state.book[key].runs.unknown();
                assert_eq!(unknown, Some("it changes too often"), "{key}");
            }
        }
    }

    fn check_change(&self, before: &Before, expected: &Expected) {
        for pool in &self.state.snapshot().pools {
            let mut held = before.snapshot.pools.iter();
            let held = held.find(|held| held.config.name == pool.config.name);
            check_preferred(pool, held.map(Arc::as_ref));
        }
        let now = standings(&self.state.snapshot().pools);
        let published = !Arc::ptr_eq(&before.snapshot, self.state.snapshot());
        if !expected.may_publish_alone {
            assert_eq!(published, now != before.standings, "published when something turned");
        }
        for (key, standing) in &now {
            let Some(held) = before.standings.get(key) else {
                continue;
            };
            // That another's turn may turn a breaker is meant.
            let same_weight = held.weight == standing.weight || expected.may_weigh;
            if same_weight
                && (held.verdict, &held.deployed) == (standing.verdict, &standing.deployed)
            {
                continue;
            }
            let (held, verdict) = (held.verdict, standing.verdict);
            assert!(expected.concerns(key), "{key} turned from {held:?} to {verdict:?}");
            assert!(
                !(expected.only_down && held != verdict && verdict == Verdict::Up),
                "{key}: a failure never enables"
            );
        }
        if let Some(at) = self.state.next_retry()
            && expected.retried
        {
            assert!(at > self.now().steady, "who is due was tried again");
        }
    }

    /// A generation that was followed by another is in nobody's memory.
    fn check_memory(&self, before: &Weak<Snapshot>) {
        if let Some(held) = before.upgrade() {
            assert!(Arc::ptr_eq(&held, self.state.snapshot()), "an old generation is kept");
        }
    }
}

/// What an event may do.
struct Expected {
    refused: bool,
    /// Whose verdict may turn; `None`: anyone's.
    key: Option<Key>,
    only_down: bool,
    /// Also when no verdict turned.
    may_publish_alone: bool,
    retried: bool,
    /// What several entries lead to weighs less without one of them.
    may_weigh: bool,
}

impl Expected {
    fn of(event: &Event, state: &State) -> Expected {
        let known = |key: &Key| standings(&state.snapshot().pools).contains_key(key);
        let quiet = Expected {
            refused: false,
            key: None,
            only_down: false,
            may_publish_alone: false,
            retried: false,
            may_weigh: false,
        };
        match event {
            Event::Reload(_) => {
                let refused = state.phase() != Phase::Serving;
                Expected { refused, may_publish_alone: true, ..quiet }
            }
            Event::Probed { key, result } => {
                let only_down = matches!(result, ProbeResult::Failed(_));
                Expected { key: Some(key.clone()), only_down, ..quiet }
            }
            Event::Failures => Expected { only_down: true, ..quiet },
            Event::RetryDue => Expected { retried: true, ..quiet },
            Event::Drain(key) | Event::Enable(key) | Event::Weigh { key, weight: _ } => {
                Expected { refused: !known(key), key: Some(key.clone()), ..quiet }
            }
            Event::LookedUp { .. } => {
                let nobody = Key { pool: "nobody".into(), address: address(0) };
                let may_publish_alone = true;
                Expected { key: Some(nobody), may_publish_alone, may_weigh: true, ..quiet }
            }
            Event::DrainNamed(named) | Event::EnableNamed(named) => {
                let pools = &state.config().pools;
                let has = |pool: &config::Pool| {
                    let mut backends = pool.backends.iter();
                    backends.any(|backend| backend.address.to_string() == named.written)
                };
                let known = pools.iter().any(|pool| pool.name == named.pool && has(pool));
                Expected { refused: !known, ..quiet }
            }
            Event::Certificates(_) => quiet,
            Event::Terminate | Event::DeadlinePassed => {
                Expected { may_publish_alone: true, ..quiet }
            }
        }
    }

    fn concerns(&self, key: &Key) -> bool {
        self.key.as_ref().is_none_or(|only| only == key)
    }
}

fn standings(pools: &[Arc<Pool>]) -> HashMap<Key, Standing> {
    let members = pools.iter().flat_map(|pool| &pool.members);
    let standing = |member: &Member| {
        let Member { verdict, unjudged, weight, .. } = *member;
        let deployed = member.deployed.clone();
        let breaker = member.breaker.clone();
        (member.backend.key().clone(), Standing { verdict, unjudged, weight, deployed, breaker })
    };
    members.map(standing).collect()
}

fn word(verdict: Verdict) -> VerdictWord {
    match verdict {
        Verdict::Up => VerdictWord::Up,
        Verdict::Down => VerdictWord::Down,
        Verdict::Draining => VerdictWord::Draining,
    }
}

/// Where a breaker keeps a backend out of use, the pool can spare it.
fn check_bound(pool: &Pool) {
    let Some(settings) = pool.config.breaker else {
        return assert!(pool.members.iter().all(|member| member.breaker.is_none()));
    };
    let open = |member: &Member| matches!(member.breaker, Some(Position::Open { .. }));
    if pool.members.iter().any(open) {
        let closed = |member: &Member| matches!(member.breaker, Some(Position::Closed(_)));
        let used = |it: &&Member| it.verdict == Verdict::Up && closed(it);
        let used = pool.members.iter().filter(used).count() as f64;
        let out = pool.members.len() as f64 - used;
        assert!(out <= settings.max_open * pool.members.len() as f64 + 1e-9, "{out} are out");
    }
}

/// Said once more, in other words than the pool's own.
fn check_candidates(pool: &Pool) {
    let fits = |member: &Member| match (&pool.preferred, &member.deployed) {
        (Some(preferred), Some(deployed)) => *preferred == deployed.release,
        _ => true,
    };
    let open = |member: &Member| matches!(member.breaker, Some(Position::Open { .. }));
    let in_use = |it: &Member| it.verdict == Verdict::Up && !open(it);
    let tried = |it: &Member| matches!(it.breaker, Some(Position::HalfOpen(_)));
    let full = |backup: bool, fitting: bool| {
        let mut those = pool.members.iter().filter(|it| in_use(it) && !tried(it));
        those.any(|it| it.weight > 0 && it.backup == backup && (!fitting || fits(it)))
    };
    for (index, member) in pool.members.iter().enumerate() {
        let found = pool.candidates.contains(&index);
        // Of those that are tried, one may be there for the release that it may bring to the fore.
        if in_use(member) && tried(member) && !fits(member) && member.weight > 0 {
            assert!(!found || !member.backup || !full(false, false), "member {index}");
            continue;
        }
        let expected = match member.verdict {
            _ if member.weight == 0 => false,
            Verdict::Draining => false,
            Verdict::Up if !open(member) => {
                let best = fits(member) || !full(member.backup, true);
                best && (!member.backup || !full(false, false))
            }
            Verdict::Up | Verdict::Down => {
                let none = !pool.members.iter().any(|it| in_use(it) && it.weight > 0);
                pool.config.when_all_down == WhenAllDown::ServeAnyway && none
            }
        };
        assert_eq!(found, expected, "member {index}");
    }
    let bears = |index: &usize| !tried(&pool.members[*index]);
    let full = |it: &Member| in_use(it) && !tried(it) && it.weight > 0;
    let all_are_tried = !pool.members.iter().any(full);
    assert!(
        all_are_tried || pool.candidates.iter().any(bears),
        "a few trials are not all there is"
    );
}

/// Who has seen a release goes to it or a newer one, if any is up.
fn check_pins(pool: &Pool) {
    let takes = |it: &Member| {
        let open = matches!(it.breaker, Some(Position::Open { .. }));
        it.verdict == Verdict::Up && !open && it.weight > 0
    };
    let runs = |it: &Member, release: &Release| {
        it.deployed.as_ref().is_some_and(|deployed| deployed.release == *release)
    };
    let at = |release: &Release| {
        let those = pool.members.iter().filter(|it| runs(it, release));
        those.filter_map(|it| it.deployed.as_ref()?.at).max()
    };
    for seen in pool.members.iter().filter_map(|it| Some(&it.deployed.as_ref()?.release)) {
        let Some(takers) = pool.pins.takers(Some(seen)) else {
            let tried = |it: &Member| matches!(it.breaker, Some(Position::HalfOpen(_)));
            let left_out = |it: &Member| takes(it) && !tried(it) && runs(it, seen);
            let left_out = pool.members.iter().any(left_out);
            assert!(!pool.config.pin || !left_out, "{seen} is up");
            continue;
        };
        assert!(pool.config.pin && takers.is_sorted());
        for taker in takers.iter().map(|&index| &pool.members[index]) {
            let release = taker.deployed.as_ref().map(|deployed| &deployed.release);
            assert!(takes(taker) && release.is_some_and(|it| at(it) >= at(seen)), "{seen}");
        }
    }
}

/// What the traffic keeps to can bear it, and nothing that can is preferred to it.
fn check_preferred(pool: &Pool, before: Option<&Pool>) {
    let config = &pool.config;
    let only_backups = pool.members.iter().all(|member| member.backup);
    let counted = || pool.members.iter().filter(|member| only_backups || !member.backup);
    let runs = |release: &Release| -> Vec<&Member> {
        let runs = |it: &&Member| it.deployed.as_ref().is_some_and(|it| it.release == *release);
        counted().filter(runs).collect()
    };
    let weight = |release: &Release| runs(release).iter().map(|it| it.weight).sum::<u32>();
    let up = |release: &Release| {
        let runs = runs(release);
        let full = |it: &Member| matches!(it.breaker, Some(Position::Closed(_)) | None);
        let up = runs.iter().filter(|it| it.verdict == Verdict::Up && full(it));
        up.map(|member| member.weight).sum::<u32>()
    };
    let at = |release: &Release| {
        let runs = runs(release);
        runs.iter().filter_map(|it| it.deployed.as_ref()?.at).max()
    };
    let whole: u32 = counted().map(|member| member.weight).sum();
    let able = |release: &Release| {
        let least = (config.on_skew_min - 0.005) * f64::from(whole);
        up(release) > 0 && f64::from(up(release)) >= least
    };
    let known = counted().filter_map(|member| Some(&member.deployed.as_ref()?.release));
    let known: Vec<&Release> = known.filter(|release| able(release)).collect();
    let Some(preferred) = &pool.preferred else {
        assert!(config.on_skew == OnSkew::Report || known.is_empty(), "{known:?}");
        return;
    };
    assert!(able(preferred), "{preferred}");
    for other in known {
        match config.on_skew {
            OnSkew::Report => panic!("it only reports"),
            OnSkew::PreferNewest => {
                let distrusts = |it: &Lapse| it.is_distrusted() && it.release == *other;
                let distrusted = pool.lapses.iter().any(distrusts);
                assert!(at(other) <= at(preferred) || distrusted, "{other}, {preferred}");
            }
            OnSkew::PreferMajority => assert!(weight(other) <= weight(preferred)),
        }
        let held = before.is_some_and(|before| before.preferred.as_ref() == Some(other));
        if config.on_skew == OnSkew::PreferMajority && held && other != preferred {
            assert!(weight(other) < weight(preferred), "{other} had the traffic");
        }
    }
}

fn address(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], 8000 + number).into()
}

fn prepared(
    random: &mut Rng,
    sockets: &[Arc<Sockets>],
    metrics: &Arc<Metrics>,
    held: Option<&Parts>,
) -> Prepared {
    let text = config_text(random, sockets);
    let config = config::parse(&text, Path::new("test.toml"));
    let config: Config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let bound =
        |address: &SocketAddr| sockets.iter().find(|it| it.address == *address).unwrap().clone();
    let addresses = config.listeners.iter().flat_map(|listener| &listener.bind);
    let no_rooms = HashMap::new();
    let parts = Parts {
        sockets: addresses.map(|address| (*address, bound(address))).collect(),
        spoken: Spoken::default(),
        rooms: rooms::prepare(&config, held.map_or(&no_rooms, |held| &held.rooms)),
        sticky_keys: HashMap::new(),
        access_log: None,
        directories: HashMap::new(),
        error_pages: Pages::default(),
        compressors: Compressors::new(1),
        metrics: metrics.clone(),
    };
    Prepared { config: Arc::new(config), parts, diff: Vec::new(), answers: Vec::new() }
}

fn config_text(random: &mut Rng, sockets: &[Arc<Sockets>]) -> String {
    let mut text = "workers = 1\n".to_owned();
    let count = random.usize(1..=sockets.len());
    for (number, sockets) in random.choose_multiple(sockets, count).into_iter().enumerate() {
        text.push_str(&format!("[listener.l{number}]\nbind = \"{}\"\n", sockets.address));
    }
    let count = random.usize(1..=POOLS.len());
    for name in random.choose_multiple(POOLS, count) {
        text.push_str(&format!("[[route]]\nhost = \"{name}.example\"\npool = \"{name}\"\n"));
        text.push_str(&format!("[pool.{name}]\n{}", pool_text(random)));
    }
    text
}

fn pool_text(random: &mut Rng) -> String {
    let count = random.usize(1..=4);
    let backends: Vec<String> = random
        .choose_multiple(0..8, count)
        .into_iter()
        .map(|number: u16| {
            let (weight, backup) = (random.u32(1..4), random.u8(..4) == 0);
            let address = match number.checked_sub(6) {
                None => address(number).to_string(),
                Some(name) => format!("{}:{}", NAMES[usize::from(name)], 8000 + random.u16(..2)),
            };
            format!("{{ address = \"{address}\", weight = {weight}, backup = {backup} }}")
        })
        .collect();
    let mut text = format!("backends = [{}]\n", backends.join(", "));
    if random.bool() {
        let start = if random.bool() { "wait" } else { "assume-up" };
        let (rise, fall) = (random.u32(1..4), random.u32(1..4));
        let reads = random.u8(..4) > 0;
        let release = if reads { ", release = { header = \"X-Release\" }" } else { "" };
        text.push_str(&format!(
            "health = {{ start = \"{start}\", rise = {rise}, fall = {fall}{release} }}\n"
        ));
        if reads {
            let words = ["report", "prefer-newest", "prefer-majority"];
            let (word, min) = (words[random.usize(..words.len())], random.u32(..=100));
            text.push_str(&format!("on_skew = \"{word}\"\non_skew_min = \"{min}%\"\n"));
            if random.bool() {
                text.push_str("pin = true\nsticky = { cookie = \"s\", secret_file = \"s\" }\n");
            }
        }
    }
    if random.bool() {
        let (fall, retry_after) = (random.u32(..4), random.u32(1..5));
        text.push_str(&format!(
            "passive = {{ fall = {fall}, retry_after = \"{retry_after}s\" }}\n"
        ));
    }
    if random.bool() {
        let (trials, max_open) = (random.u32(1..4), random.u32(..=10) * 10);
        text.push_str(&format!(
            "breaker = {{ min_requests = 2, window = \"2s\", open = \"1s\", longest = \"4s\", \
             trials = {trials}, max_open = \"{max_open}%\" }}\n"
        ));
    }
    if random.bool() {
        text.push_str(&format!("max_requests = {}\n", random.u32(1..4)));
    }
    if random.bool() {
        text.push_str("when_all_down = \"serve-anyway\"\n");
    }
    text
}
