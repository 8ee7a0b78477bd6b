//! What the control plane holds of one backend: its health, and what an operator said. Pure.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{
    config,
    control::{
        event::{Line, Moment},
        runs::{Heard, Runs},
        weights::Weights,
    },
    pool::{
        backend::{Backend, Verdict},
        breaker::{Breaker, Position},
        health::{Health, ProbeResult, Thresholds},
        release::{Deployed, Reported},
        slow_start::Ramp,
    },
    units::duration_text,
};

/// One backend, as long as the configuration names it.
pub struct Entry {
    pub backend: Arc<Backend>,
    pub pool: Arc<config::Pool>,
    pub health: Health,
    /// An operator took it out of use; kept over reloads.
    pub drained: bool,
    pub weights: Weights,
    /// When it last came up, where that is not the start of the process: all come up then.
    pub rose: Option<Instant>,
    /// Not it alone: all that a name leads to.
    pub drained_by_name: bool,
    /// Since when its verdict holds.
    pub since: SystemTime,
    /// What its last probe said.
    pub last_probe: Option<String>,
    /// What last turned its health down, in words.
    turned_down_by: Option<String>,
    /// Which release it runs; kept over reloads and while it is down.
    pub runs: Runs,
    /// The process is not ready before this one's first probe.
    pub awaited: bool,
    /// When it is tried again: down, in a pool without probes.
    pub retry_at: Option<Instant>,
    pub breaker: Option<Breaker>,
}

/// What of a backend a snapshot holds.
#[derive(Clone, PartialEq)]
pub struct Standing {
    verdict: Verdict,
    unjudged: bool,
    weight: u32,
    deployed: Option<Deployed>,
    breaker: Option<Position>,
}

/// Whether a backend that the book does not know yet was there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    AtStart,
    ByReload,
    /// A name leads to it now.
    ByName,
}

impl Entry {
    pub fn new(
        backend: Arc<Backend>,
        pool: Arc<config::Pool>,
        arrival: Arrival,
        now: Moment,
    ) -> Entry {
        let health = match &pool.health {
            Some(probes) => Health::at_start(probes.start),
            None => Health::unprobed(),
        };
        // One backend added by a reload must not take a serving process out of its own balancer.
        let awaited = arrival == Arrival::AtStart && !health.up;
        let breaker = pool.breaker.map(|settings| Breaker::new(settings, now.steady));
        let rose = (arrival != Arrival::AtStart && health.up).then_some(now.steady);
        Entry {
            backend,
            pool,
            health,
            drained: false,
            weights: Weights::default(),
            rose,
            drained_by_name: false,
            since: now.wall,
            last_probe: None,
            turned_down_by: None,
            runs: Runs::default(),
            awaited,
            retry_at: None,
            breaker,
        }
    }

    /// While it comes up slowly, as its pool wants it.
    pub fn ramp(&self) -> Option<Ramp> {
        let (from, over) = self.rose.zip(self.pool.slow_start)?;
        Some(Ramp { from, over })
    }

    /// When it has all of its weight, where it was given it slowly.
    pub fn whole_weight_at(&self) -> Option<SystemTime> {
        let slow_start = self.pool.slow_start.filter(|_| self.rose.is_some())?;
        (self.verdict() == Verdict::Up).then(|| self.since + slow_start)
    }

    /// What of it a snapshot holds, and may change from one to the next.
    pub fn standing(&self) -> Standing {
        Standing {
            verdict: self.verdict(),
            unjudged: self.is_unjudged(),
            weight: self.weights.effective(),
            deployed: self.runs.deployed().cloned(),
            breaker: self.breaker.as_ref().map(|breaker| breaker.position().clone()),
        }
    }

    /// Whether it is down only because its first probe has not come back.
    pub fn is_unjudged(&self) -> bool {
        self.verdict() == Verdict::Down && !self.health.probed
    }

    pub fn verdict(&self) -> Verdict {
        match (self.drained, self.health.up) {
            (true, _) => Verdict::Draining,
            (false, true) => Verdict::Up,
            (false, false) => Verdict::Down,
        }
    }

    /// Why it is down; what its last probe said may be something else.
    pub fn why_down(&self) -> Option<&str> {
        self.turned_down_by.as_deref().filter(|_| self.verdict() == Verdict::Down)
    }

    /// Whether the pool does without it, wholly or but for trials.
    pub fn is_out(&self) -> bool {
        self.verdict() != Verdict::Up || !self.breaker.as_ref().is_none_or(Breaker::is_closed)
    }

    /// The same backend under new settings: its verdict is kept where there is one.
    pub fn settle(&mut self, pool: Arc<config::Pool>, now: Moment) {
        let before = std::mem::replace(&mut self.pool, pool);
        let verdict = self.verdict();
        match (&before.health, &self.pool.health) {
            (None, Some(probes)) => {
                let up = self.health.up;
                self.health = Health::at_start(probes.start);
                self.health.up = up;
                self.retry_at = None;
            }
            (Some(_), None) => self.lose_probes(),
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (&mut self.breaker, self.pool.breaker) {
            (Some(breaker), Some(settings)) => breaker.settle(settings, now.steady),
            (held, wanted) => {
                *held = wanted.map(|settings| Breaker::new(settings, now.steady));
            }
        }
        if !self.pool.reads_releases() {
            self.runs = Runs::default();
        }
        if self.pool.health.is_none() && !self.health.up {
            let due = now.steady + self.pool.passive.retry_after;
            self.retry_at = Some(self.retry_at.map_or(due, |held| held.min(due)));
        }
        if verdict != self.verdict() {
            self.since = now.wall;
        }
    }

    /// One that still waited for its first probe has nothing held against it.
    fn lose_probes(&mut self) {
        let up = self.health.up || !self.health.probed;
        self.health = Health::unprobed();
        self.health.up = up;
        self.last_probe = None;
        self.turned_down_by = None;
        self.awaited = false;
    }

    /// Takes in one probe; a line when it says something new.
    pub fn probed(&mut self, result: ProbeResult, now: Moment) -> Option<Line> {
        let probes = self.pool.health.as_ref()?;
        let thresholds = Thresholds { rise: probes.rise, fall: probes.fall };
        let (passed, words) = match result {
            ProbeResult::Passed { words, .. } => (true, words),
            ProbeResult::Failed(words) => (false, words),
        };
        let first = !self.health.probed;
        let turned = self.health.probed(passed, thresholds);
        let at_start = std::mem::take(&mut self.awaited);
        self.last_probe = Some(words.clone());
        if turned {
            self.turned(now);
        }
        if turned && passed && !at_start {
            self.rose = Some(now.steady);
        }
        match (turned, passed) {
            (true, true) => Some(Line::Info(self.say("up", &words))),
            (true, false) => {
                let why = format!("{words} ({} in a row)", thresholds.fall);
                Some(self.say_down("down", why))
            }
            (false, false) if first && !self.health.up => {
                Some(self.say_down("stays down", format!("{words} (first probe)")))
            }
            (false, _) => None,
        }
    }

    /// Takes in what a probe says of the release; a line when it turns unknown, or becomes another.
    pub fn hear(&mut self, reported: Reported, now: Moment) -> (Heard, Option<Line>) {
        if !self.pool.reads_releases() {
            return (Heard::Nothing, None);
        }
        let heard = self.runs.hear(reported, now.steady);
        let (pool, address) = (&self.pool.name, self.backend.address());
        let line = match (&heard, self.runs.deployed()) {
            (Heard::Changed { before }, Some(deployed)) => {
                let release = &deployed.release;
                Some(Line::Info(format!("pool {pool}: {address} runs {release}, before {before}")))
            }
            (Heard::Unknown, _) => {
                let why = self.runs.unknown().unwrap_or_default();
                Some(Line::Warn(format!("pool {pool}: {address} runs an unknown release: {why}")))
            }
            (Heard::Nothing | Heard::First | Heard::Changed { .. }, _) => None,
        };
        (heard, line)
    }

    /// Looks at the failures of real requests; a line when they turn it down.
    pub fn failures(&mut self, now: Moment) -> Option<Line> {
        let passive = self.pool.passive;
        let failures = self.backend.failures();
        if passive.fall == 0 || failures < passive.fall {
            return None;
        }
        // Also for one that is down already and serves anyway: else each failure rang again.
        self.backend.set_failures(0);
        if !self.health.failed_too_often() {
            return None;
        }
        self.turned(now);
        let next = match &self.pool.health {
            Some(_) => "probes bring it back".to_owned(),
            None => {
                self.retry_at = Some(now.steady + passive.retry_after);
                format!("tried again in {}", duration_text(passive.retry_after))
            }
        };
        Some(self.say_down("down", format!("{failures} requests in a row failed; {next}")))
    }

    /// Brings it back on trial when its time out of use is over: one failure turns it down again.
    pub fn retry(&mut self, now: Moment) -> Option<Line> {
        if self.retry_at.is_none_or(|at| at > now.steady) {
            return None;
        }
        self.retry_at = None;
        if !self.health.try_again() {
            return None;
        }
        self.backend.set_failures(self.pool.passive.fall.saturating_sub(1));
        self.turned(now);
        self.rose = Some(now.steady);
        Some(Line::Info(self.say("up", "tried again; one more failure turns it down")))
    }

    pub fn drain(&mut self, now: Moment) -> Line {
        if self.drained {
            return Line::Info(self.say("draining", "it was already"));
        }
        self.drained = true;
        self.since = now.wall;
        let in_flight = in_flight_words(self.backend.in_flight());
        Line::Info(self.say("draining", &in_flight))
    }

    /// An operator gives it back to its health. An open breaker tries it at once: whoever says so
    /// has mended it, or wants to see.
    pub fn enable(&mut self, now: Moment) -> Line {
        let tried = self.breaker.as_mut().is_some_and(Breaker::try_now);
        let why = match (self.drained, tried) {
            (true, true) => "enabled, its breaker half-open",
            (true, false) => "enabled",
            (false, true) => "its breaker is half-open now",
            (false, false) => "it was not drained",
        };
        if self.drained {
            self.drained = false;
            self.drained_by_name = false;
            self.since = now.wall;
            self.rose = Some(now.steady);
        }
        Line::Info(self.say(self.verdict().word(), why))
    }

    /// An operator's word on its share of the traffic.
    pub fn weigh(&mut self, weight: u32) -> Line {
        let before = self.weights.effective();
        self.weights.order(weight);
        let file = self.weights.file();
        let why = match weight {
            same if same == before => "as it was".to_owned(),
            0 => format!("no new clients; the file says {file}"),
            weight if weight == file => format!("before {before}, as the file says"),
            _ => format!("before {before}; the file says {file}"),
        };
        Line::Info(self.say(&format!("weight {weight}"), &why))
    }

    /// What the file says of its share; a line where that overrules an operator.
    pub fn settle_weight(&mut self, file: u32) -> Option<Line> {
        let overruled = self.weights.settle(file)?;
        let why =
            format!("the file says so since this reload, before an operator said {overruled}");
        Some(Line::Info(self.say(&format!("weight {file}"), &why)))
    }

    fn turned(&mut self, now: Moment) {
        // The verdict of one that an operator drains goes on being `draining`.
        if !self.drained {
            self.since = now.wall;
        }
    }

    fn say_down(&mut self, what: &str, why: String) -> Line {
        let line = Line::Warn(self.say(what, &why));
        self.turned_down_by = Some(why);
        line
    }

    fn say(&self, what: &str, why: &str) -> String {
        let drained = if self.drained && what != "draining" { ", but draining" } else { "" };
        format!("pool {}: {} {what}{drained}: {why}", self.pool.name, self.backend.address())
    }
}

/// `1 request in flight`, `3 requests in flight`.
pub fn in_flight_words(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} request{s} in flight")
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::{observe::metrics::Metrics, pool::backend::Key};

    fn pool(settings: &str) -> Arc<config::Pool> {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n\
             [pool.app]\nbackends = [\"127.0.0.1:81\"]\n{settings}"
        );
        let parsed = config::parse(&text, Path::new("test.toml"));
        let config = parsed.unwrap_or_else(|errors| panic!("{errors}"));
        Arc::new(config.pools[0].clone())
    }

    struct Life {
        entry: Entry,
        start: Instant,
        now: Duration,
    }

    impl Life {
        fn new(settings: &str) -> Life {
            let key = Key { pool: "app".into(), address: "127.0.0.1:81".parse().unwrap() };
            let metrics = Metrics::new(1).backend("app", "127.0.0.1:81");
            let backend = Backend::new(key, Arc::default(), metrics);
            let start = Instant::now();
            let now = Moment { steady: start, wall: SystemTime::UNIX_EPOCH };
            let entry = Entry::new(backend, pool(settings), Arrival::AtStart, now);
            Life { entry, start, now: Duration::ZERO }
        }

        fn at(&mut self, seconds: u64) -> Moment {
            self.now = Duration::from_secs(seconds);
            Moment { steady: self.start + self.now, wall: SystemTime::UNIX_EPOCH + self.now }
        }

        fn probed(&mut self, passed: bool) -> Option<String> {
            let now = self.at(self.now.as_secs());
            let result = match passed {
                true => ProbeResult::Passed {
                    words: "200 in 3 ms".to_owned(),
                    release: Reported::NotAsked,
                },
                false => ProbeResult::Failed("connection refused".to_owned()),
            };
            self.entry.probed(result, now).map(|line| line.text().to_owned())
        }

        fn failures(&mut self, count: u32) -> Option<String> {
            let now = self.at(self.now.as_secs());
            self.entry.backend.set_failures(count);
            self.entry.failures(now).map(|line| line.text().to_owned())
        }
    }

    #[test]
    fn turns_are_told_in_words() {
        let mut life = Life::new("health = { rise = 1, fall = 2 }");
        let up = life.probed(true);
        assert_eq!(up.as_deref(), Some("pool app: 127.0.0.1:81 up: 200 in 3 ms"));
        assert_eq!(life.probed(true), None);
        assert_eq!(life.probed(false), None);
        let down = life.probed(false);
        let expected = "pool app: 127.0.0.1:81 down: connection refused (2 in a row)";
        assert_eq!(down.as_deref(), Some(expected));
        assert_eq!(life.entry.last_probe.as_deref(), Some("connection refused"));
    }

    #[test]
    fn a_first_probe_that_fails_is_told() {
        let mut life = Life::new("health = {}");
        assert!(life.entry.awaited);
        let line = life.probed(false).unwrap();
        assert!(line.contains("stays down: connection refused (first probe)"), "{line}");
        assert!(!life.entry.awaited, "it is known now");
        assert_eq!(life.probed(false), None);
    }

    #[test]
    fn without_probes_it_comes_back_on_trial() {
        let mut life = Life::new("passive = { fall = 3, retry_after = \"10s\" }");
        assert_eq!(life.failures(2), None);
        let line = life.failures(3).unwrap();
        assert!(line.contains("3 requests in a row failed; tried again in 10s"), "{line}");
        assert_eq!(life.entry.verdict(), Verdict::Down);
        let early = life.at(9);
        assert_eq!(life.entry.retry(early), None);
        let due = life.at(10);
        assert!(life.entry.retry(due).is_some());
        assert_eq!((life.entry.verdict(), life.entry.backend.failures()), (Verdict::Up, 2));
        assert!(life.failures(3).is_some(), "one more turns it down again");
    }

    #[test]
    fn with_probes_only_they_bring_it_back() {
        let mut life = Life::new("health = { start = \"assume-up\", rise = 1 }");
        let fall = life.entry.pool.passive.fall;
        assert!(life.failures(fall).unwrap().contains("probes bring it back"));
        let why = life.entry.why_down().map(str::to_owned);
        assert_eq!(why.as_deref(), Some("3 requests in a row failed; probes bring it back"));
        assert_eq!(life.entry.retry_at, None);
        assert!(life.probed(true).is_some());
        assert_eq!(life.entry.why_down(), None);
    }

    #[test]
    fn a_drain_hides_its_health_and_enabling_shows_it() {
        let mut life = Life::new("health = { rise = 1, fall = 1 }");
        life.probed(true);
        let now = life.at(5);
        let line = life.entry.drain(now);
        assert_eq!(line.text(), "pool app: 127.0.0.1:81 draining: 0 requests in flight");
        assert!(life.probed(false).unwrap().contains("down, but draining"));
        assert_eq!(life.entry.verdict(), Verdict::Draining);
        assert_eq!(life.entry.since, now.wall, "still since the drain");
        let now = life.at(7);
        assert_eq!(life.entry.enable(now).text(), "pool app: 127.0.0.1:81 down: enabled");
        assert_eq!((life.entry.verdict(), life.entry.since), (Verdict::Down, now.wall));
    }

    #[test]
    fn a_reload_that_gives_or_takes_probes_keeps_the_verdict() {
        let mut life = Life::new("passive = { fall = 1 }");
        assert!(life.failures(1).is_some());
        let now = life.at(1);
        life.entry.settle(pool("health = { rise = 2 }"), now);
        assert_eq!((life.entry.verdict(), life.entry.retry_at), (Verdict::Down, None));
        assert!(life.probed(true).is_some(), "its first probe decides");
        life.probed(false);
        life.entry.settle(pool(""), now);
        assert_eq!(life.entry.verdict(), Verdict::Up);
        assert_eq!(life.entry.last_probe, None, "no probe speaks for it any more");
    }

    #[test]
    fn who_comes_up_later_than_the_process_comes_up_slowly() {
        let mut life = Life::new("health = { rise = 1, fall = 1 }\nslow_start = \"30s\"");
        life.probed(true);
        assert_eq!((life.entry.ramp(), life.entry.whole_weight_at()), (None, None), "all do");
        life.probed(false);
        let now = life.at(50);
        life.probed(true);
        let over = Duration::from_secs(30);
        assert_eq!(life.entry.ramp(), Some(Ramp { from: now.steady, over }));
        assert_eq!(life.entry.whole_weight_at(), Some(now.wall + over));
        let now = life.at(90);
        life.entry.drain(now);
        assert_eq!(life.entry.whole_weight_at(), None);
        let now = life.at(95);
        life.entry.enable(now);
        assert_eq!(life.entry.ramp(), Some(Ramp { from: now.steady, over }), "it was redeployed");
    }

    #[test]
    fn who_comes_by_a_reload_comes_up_slowly() {
        let life = Life::new("slow_start = \"30s\"");
        assert_eq!(life.entry.ramp(), None);
        let now = Moment { steady: life.start, wall: SystemTime::UNIX_EPOCH };
        let Entry { backend, pool, .. } = life.entry;
        let entry = Entry::new(backend, pool, Arrival::ByReload, now);
        assert!(entry.ramp().is_some());
    }

    #[test]
    fn who_waits_for_a_probe_that_never_comes_is_let_in() {
        let mut life = Life::new("health = {}");
        assert_eq!(life.entry.verdict(), Verdict::Down);
        let now = life.at(3);
        life.entry.settle(pool(""), now);
        assert_eq!((life.entry.verdict(), life.entry.awaited), (Verdict::Up, false));
        assert_eq!(life.entry.since, now.wall);
    }
}
