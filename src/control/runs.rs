//! Which release one backend runs, as far as its probes say. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::pool::release::{Deployed, Release, Reported};

/// Changes within [`WHILE`] that are deployments; more are a backend that does not know what it runs,
/// or several behind one address. Each name becomes a series of the metrics: this bounds them.
const MOST_CHANGES: usize = 6;

const WHILE: Duration = Duration::from_secs(60 * 60);

/// One that changed too often is believed again when it has said the same for so long.
const STEADY_AFTER: Duration = Duration::from_secs(10 * 60);

/// What one backend said of its release, as long as the configuration names it.
#[derive(Debug, Default)]
pub struct Runs {
    /// `None`: no probe that asks has passed yet.
    said: Option<Said>,
    /// The name last said: kept while none can be read, since a return to it is no deployment.
    last: Option<Deployed>,
    /// When it said another thing than before; at most one more than `MOST_CHANGES`.
    changes: VecDeque<Instant>,
    restless: bool,
    /// It came into a pool that ran already, by a reload.
    joined: bool,
}

#[derive(Debug)]
struct Said {
    release: Result<Release, String>,
    since: Instant,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// Its first name.
    First,
    /// Another name than its last.
    Changed {
        before: Release,
    },
    /// Its release was known, or had not been asked for yet.
    Unknown,
}

impl Runs {
    /// Of a backend that comes into a pool whose releases are read already.
    pub fn of_one_that_joins() -> Runs {
        Runs { joined: true, ..Runs::default() }
    }

    /// `None`: unknown.
    pub fn deployed(&self) -> Option<&Deployed> {
        let named = self.said.as_ref().is_some_and(|said| said.release.is_ok());
        self.last.as_ref().filter(|_| named && !self.restless)
    }

    /// Why it is unknown, once it has been asked.
    pub fn unknown(&self) -> Option<&str> {
        let said = self.said.as_ref()?;
        match &said.release {
            _ if self.restless => Some("it changes too often"),
            Ok(_) => None,
            Err(why) => Some(why),
        }
    }

    /// Takes in what a probe says.
    pub fn hear(&mut self, reported: Reported, now: Instant) -> Heard {
        let release = match reported {
            Reported::NotAsked => return Heard::Nothing,
            Reported::Unread(why) => Err(why),
            Reported::Release(release) => Ok(release),
        };
        let known = self.said.is_none() || self.deployed().is_some();
        let before = self.last.as_ref().map(|deployed| deployed.release.clone());
        self.say(release, now);
        self.judge(now);
        match (self.deployed(), before) {
            (None, _) if known => Heard::Unknown,
            (None, _) => Heard::Nothing,
            (Some(_), None) => Heard::First,
            (Some(deployed), Some(before)) if deployed.release != before => {
                Heard::Changed { before }
            }
            (Some(_), Some(_)) => Heard::Nothing,
        }
    }

    /// Its first name is one that nobody else in the pool runs. Of one that joined this is a
    /// deployment too: by new servers instead of new code on old ones.
    pub fn alone_with_it(&mut self, now: Instant) {
        if let Some(last) = self.last.as_mut().filter(|_| self.joined) {
            last.at = Some(now);
        }
    }

    fn say(&mut self, release: Result<Release, String>, now: Instant) {
        if let Ok(release) = &release {
            self.last = match self.last.take() {
                Some(last) if last.release == *release => Some(last),
                Some(_) => Some(Deployed { release: release.clone(), at: Some(now) }),
                None => Some(Deployed { release: release.clone(), at: None }),
            };
        }
        let same = |said: &Said| match (&said.release, &release) {
            (Ok(before), Ok(now)) => before == now,
            (Err(_), Err(_)) => true,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        let since = match &self.said {
            Some(said) if same(said) => said.since,
            Some(_) => {
                self.changes.push_back(now);
                now
            }
            None => now,
        };
        self.said = Some(Said { release, since });
    }

    fn judge(&mut self, now: Instant) {
        let old = |at: &Instant| now.duration_since(*at) >= WHILE;
        let surplus = self.changes.len().saturating_sub(MOST_CHANGES + 1);
        self.changes.drain(..surplus);
        while self.changes.front().is_some_and(old) {
            self.changes.pop_front();
        }
        let since = self.said.as_ref().map_or(now, |said| said.since);
        if self.restless && now.duration_since(since) >= STEADY_AFTER {
            self.changes.clear();
            self.restless = false;
        }
        self.restless |= self.changes.len() > MOST_CHANGES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Life {
        runs: Runs,
        start: Instant,
    }

    impl Life {
        fn new() -> Life {
            Life { runs: Runs::default(), start: Instant::now() }
        }

        /// `said`: a name, or `-` where none can be read.
        #[track_caller]
        fn check(&mut self, minute: u64, said: &str, heard: Heard, known: Option<&str>) {
            let reported = match said {
                "-" => Reported::Unread("X-Release is missing".to_owned()),
                name => Reported::Release(name.parse().unwrap()),
            };
            let now = self.start + Duration::from_secs(60 * minute);
            assert_eq!(self.runs.hear(reported, now), heard, "minute {minute}: {said}");
            let held = self.runs.deployed().map(|deployed| deployed.release.as_str());
            assert_eq!(held, known, "minute {minute}: {said}");
            assert_eq!(self.runs.unknown().is_some(), known.is_none());
        }

        fn deployed_at(&self) -> Option<u64> {
            let at = self.runs.deployed().unwrap().at?;
            Some(at.duration_since(self.start).as_secs() / 60)
        }
    }

    fn changed(before: &str) -> Heard {
        Heard::Changed { before: before.parse().unwrap() }
    }

    #[test]
    fn a_deployment_is_a_change_of_the_name() {
        let mut life = Life::new();
        life.check(0, "1.4", Heard::First, Some("1.4"));
        assert_eq!(life.deployed_at(), None, "it ran before us");
        life.check(1, "1.4", Heard::Nothing, Some("1.4"));
        life.check(2, "1.5", changed("1.4"), Some("1.5"));
        life.check(3, "1.5", Heard::Nothing, Some("1.5"));
        assert_eq!(life.deployed_at(), Some(2));
        life.check(4, "1.4", changed("1.5"), Some("1.4"));
        assert_eq!(life.deployed_at(), Some(4), "a rollback is a deployment");
    }

    #[test]
    fn a_name_that_was_not_read_for_a_while_is_no_deployment() {
        let mut life = Life::new();
        life.check(0, "-", Heard::Unknown, None);
        life.check(1, "1.4", Heard::First, Some("1.4"));
        life.check(2, "-", Heard::Unknown, None);
        life.check(3, "-", Heard::Nothing, None);
        assert_eq!(life.runs.unknown(), Some("X-Release is missing"));
        life.check(4, "1.4", Heard::Nothing, Some("1.4"));
        assert_eq!(life.deployed_at(), None);
        life.check(5, "-", Heard::Unknown, None);
        life.check(6, "1.5", changed("1.4"), Some("1.5"));
        assert_eq!(life.deployed_at(), Some(6));
    }

    #[test]
    fn one_that_joins_with_a_release_of_its_own_deploys_it() {
        for (runs, deployed_at) in [(Runs::of_one_that_joins(), Some(3)), (Runs::default(), None)] {
            let mut life = Life { runs, start: Instant::now() };
            life.check(3, "1.5", Heard::First, Some("1.5"));
            life.runs.alone_with_it(life.start + Duration::from_secs(180));
            assert_eq!(life.deployed_at(), deployed_at);
        }
    }

    #[test]
    fn one_that_changes_too_often_is_unknown_until_it_rests() {
        let mut life = Life::new();
        life.check(0, "0", Heard::First, Some("0"));
        for minute in 1..=6 {
            let (before, name) = ((minute - 1).to_string(), minute.to_string());
            life.check(minute, &name, changed(&before), Some(&name));
        }
        life.check(7, "7", Heard::Unknown, None);
        assert_eq!(life.runs.unknown(), Some("it changes too often"));
        for minute in 8..100 {
            life.check(minute, &minute.to_string(), Heard::Nothing, None);
            assert!(life.runs.changes.len() <= MOST_CHANGES + 1);
        }
        life.check(108, "99", Heard::Nothing, None);
        life.check(109, "99", Heard::Nothing, Some("99"));
        life.check(110, "110", changed("99"), Some("110"));
    }

    #[test]
    fn what_comes_and_goes_changes_too_often_as_well() {
        let mut life = Life::new();
        life.check(0, "1", Heard::First, Some("1"));
        for minute in 1..=6 {
            let said = if minute % 2 == 1 { "-" } else { "1" };
            let heard = if said == "-" { Heard::Unknown } else { Heard::Nothing };
            life.check(minute, said, heard, (said == "1").then_some("1"));
        }
        life.check(7, "-", Heard::Unknown, None);
        life.check(8, "1", Heard::Nothing, None);
    }

    #[test]
    fn deployments_all_day_long_are_known() {
        let mut life = Life::new();
        life.check(0, "0", Heard::First, Some("0"));
        for number in 1..50 {
            let (before, name) = ((number - 1).to_string(), number.to_string());
            life.check(10 * number, &name, changed(&before), Some(&name));
        }
    }
}
