//! How probes and failures of real requests turn a verdict. Pure: results in, a change out.

use crate::{config::Start, pool::release::Reported};

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// With the words for `status`: "200 in 3 ms".
    Passed { words: String, release: Reported },
    /// With the words for `status`: "connection refused".
    Failed(String),
}

impl ProbeResult {
    /// What it says of the release; one that failed says nothing.
    pub fn reported(&self) -> Reported {
        match self {
            ProbeResult::Passed { release, .. } => release.clone(),
            ProbeResult::Failed(_) => Reported::NotAsked,
        }
    }
}

/// Health as held now, of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub up: bool,
    /// Whether a probe has come back yet.
    pub probed: bool,
    /// Probes in a row that speak against `up`.
    against: u32,
}

/// The counts that turn a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub rise: u32,
    pub fall: u32,
}

impl Health {
    /// A new backend in a pool with probes.
    pub fn at_start(start: Start) -> Health {
        Health { up: start == Start::AssumeUp, probed: false, against: 0 }
    }

    /// A backend in a pool without probes: up until real requests fail.
    pub fn unprobed() -> Health {
        Health { up: true, probed: false, against: 0 }
    }

    /// Takes in one probe. `true` when it turned the verdict.
    ///
    /// The first probe of a backend that waits for it decides alone: `rise` guards against a server
    /// that flaps, and nothing has flapped yet.
    #[must_use]
    pub fn probed(&mut self, passed: bool, thresholds: Thresholds) -> bool {
        let first = !std::mem::replace(&mut self.probed, true);
        if passed == self.up {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = match (first, passed) {
            (true, true) => 1,
            (false, true) => thresholds.rise,
            (_, false) => thresholds.fall,
        };
        if self.against < needed {
            return false;
        }
        self.turn(passed);
        true
    }

    /// Real requests failed too often in a row. `true` when that turned the verdict.
    #[must_use]
    pub fn failed_too_often(&mut self) -> bool {
        let turned = self.up;
        self.turn(false);
        turned
    }

    /// The time out of use is over, in a pool without probes. `true` when that turned the verdict.
    #[must_use]
    pub fn try_again(&mut self) -> bool {
        let turned = !self.up;
        self.turn(true);
        turned
    }

    fn turn(&mut self, up: bool) {
        self.up = up;
        self.against = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { rise: 2, fall: 3 };

    /// `+` a probe passed, `-` failed, `!` requests failed too often; the verdict after each.
    fn check(mut health: Health, events: &str, expected: &str) {
        let mut seen = String::new();
        for event in events.chars() {
            let before = health.up;
            let turned = match event {
                '+' => health.probed(true, THRESHOLDS),
                '-' => health.probed(false, THRESHOLDS),
                _ => health.failed_too_often(),
            };
            assert_eq!(turned, before != health.up, "a turn is told, and nothing else");
            seen.push(if health.up { 'u' } else { 'd' });
        }
        assert_eq!(seen, expected, "after {events}");
    }

    #[test]
    fn the_first_probe_lets_a_waiting_backend_in() {
        check(Health::at_start(Start::Wait), "+", "u");
        check(Health::at_start(Start::Wait), "-++", "ddu");
    }

    #[test]
    fn rise_and_fall_count_in_a_row() {
        check(Health::at_start(Start::AssumeUp), "--+---", "uuuuud");
        check(Health::at_start(Start::Wait), "+---+-++", "uuuddddu");
    }

    #[test]
    fn a_failed_probe_never_enables() {
        check(Health::at_start(Start::Wait), "------", "dddddd");
    }

    #[test]
    fn failures_turn_it_at_once_and_rise_brings_it_back() {
        check(Health::at_start(Start::AssumeUp), "+!+-++", "uddddu");
    }
}
