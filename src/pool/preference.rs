//! The release that a pool's traffic keeps to while its backends run several. Pure.
//!
//! A release may take the traffic only while so much of the pool's weight runs it and is up that it
//! can bear it (`on_skew_min`). Of those that may:
//!
//! - `prefer-newest` takes the one that was deployed last. That is not the highest number: an
//!   operator who deploys an old release again wants it served. Numbers decide only between
//!   releases that ran before this process did. A release that had the traffic and could not bear
//!   it, time and again, gets it again when more runs it: one server that goes up and down must not
//!   send every client from one release to the other and back.
//! - `prefer-majority` takes the one that most of the weight runs, up or not, so that a server that
//!   restarts is no vote; of several that many run the one that has the traffic keeps it.
//!
//! Where none may, all are used: half a release that breaks down is worse than two releases.

use std::time::Instant;

use crate::{
    config::OnSkew,
    pool::release::{Deployed, Release, Version},
};

/// A backend, as far as it counts for its release.
pub struct Runner<'a> {
    /// `None`: unknown.
    pub deployed: Option<&'a Deployed>,
    pub weight: u32,
    pub up: bool,
}

/// What a pool's settings say, and what its traffic keeps to now.
pub struct Rule<'a> {
    pub on_skew: OnSkew,
    /// Share of the weight, 0 to 1, that must run a release and be up.
    pub min: f64,
    pub past: Past<'a>,
}

/// What became of the traffic so far.
#[derive(Clone, Copy, Default)]
pub struct Past<'a> {
    pub held: Option<&'a Release>,
    pub lapses: &'a [Lapse],
}

/// How often a release that had the traffic could not bear it any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapse {
    pub release: Release,
    times: u32,
    /// The weight that ran it, and when it was last deployed.
    runs: u64,
    deployed: Option<Instant>,
}

/// So often it is taken for bad luck.
const FORGIVEN: u32 = 1;

impl Lapse {
    /// Whether the traffic keeps to another release that can bear it.
    pub fn is_distrusted(&self) -> bool {
        self.times > FORGIVEN
    }

    /// Whether it is the same as then: no more runs it, and nobody deployed it anew.
    fn is_of(&self, share: &Share<'_>) -> bool {
        let grown = share.runs > self.runs || share.deployed > self.deployed;
        self.release == *share.release && !grown
    }
}

/// What the traffic keeps to from now on. `None`: to no release.
pub fn preferred(rule: &Rule<'_>, runners: &[Runner<'_>]) -> Option<Release> {
    if rule.on_skew == OnSkew::Report {
        return None;
    }
    let whole: u64 = runners.iter().map(|runner| u64::from(runner.weight)).sum();
    let shares = shares(runners);
    let able = shares.iter().filter(|share| share.bears(whole, rule.min));
    let Past { held, lapses } = rule.past;
    let is_trusted =
        |share: &Share<'_>| !lapses.iter().any(|it| it.is_distrusted() && it.is_of(share));
    let chosen = match rule.on_skew {
        OnSkew::Report => None,
        OnSkew::PreferNewest => able.max_by_key(|share| (is_trusted(share), share.age())),
        OnSkew::PreferMajority => {
            able.max_by_key(|share| (share.runs, Some(share.release) == held, share.age()))
        }
    };
    chosen.map(|share| share.release.clone())
}

/// What is to be remembered when the traffic keeps to `now`.
pub fn lapses(rule: &Rule<'_>, runners: &[Runner<'_>], now: Option<&Release>) -> Vec<Lapse> {
    if rule.on_skew != OnSkew::PreferNewest {
        return Vec::new();
    }
    let whole: u64 = runners.iter().map(|runner| u64::from(runner.weight)).sum();
    let Past { held, lapses } = rule.past;
    let lapse = |share: &Share<'_>| {
        let known = lapses.iter().find(|lapse| lapse.is_of(share));
        let had_it = held == Some(share.release) && now != held;
        let lapsed = u32::from(had_it && !share.bears(whole, rule.min));
        let Share { release, runs, deployed, .. } = *share;
        let first = || Lapse { release: release.clone(), times: 0, runs, deployed };
        let mut lapse = known.cloned().unwrap_or_else(first);
        lapse.times = lapse.times.saturating_add(lapsed);
        (lapse.times > 0).then_some(lapse)
    };
    shares(runners).iter().filter_map(lapse).collect()
}

/// The releases that are run, the oldest first, as `prefer-newest` sees them.
pub fn by_age(runners: &[Runner<'_>]) -> Vec<Release> {
    let mut shares = shares(runners);
    shares.sort_by(|one, other| one.age().cmp(&other.age()));
    shares.into_iter().map(|share| share.release.clone()).collect()
}

/// 33.3% of three is not quite one; whoever writes it means it.
fn bears(up: u64, whole: u64, min: f64) -> bool {
    const ROUNDING: f64 = 0.005;
    up as f64 >= (min - ROUNDING) * whole as f64
}

/// What runs one release.
struct Share<'a> {
    release: &'a Release,
    /// The weight that runs it, and of that what is up.
    runs: u64,
    up: u64,
    deployed: Option<Instant>,
    /// Where all names of the pool are versions: one alone can't be compared.
    version: Option<Version>,
}

impl Share<'_> {
    fn bears(&self, whole: u64, min: f64) -> bool {
        self.up > 0 && bears(self.up, whole, min)
    }

    /// The newest is the greatest. The name is last, so that no two are equal.
    fn age(&self) -> (Option<Instant>, Option<&Version>, u64, &Release) {
        (self.deployed, self.version.as_ref(), self.runs, self.release)
    }
}

fn shares<'a>(runners: &[Runner<'a>]) -> Vec<Share<'a>> {
    let mut shares: Vec<Share<'a>> = Vec::new();
    for runner in runners {
        let Some(Deployed { release, at }) = runner.deployed else {
            continue;
        };
        let at_first = || Share { release, runs: 0, up: 0, deployed: None, version: None };
        let index = shares.iter().position(|share| share.release == release);
        let index = index.unwrap_or_else(|| {
            shares.push(at_first());
            shares.len() - 1
        });
        let share = &mut shares[index];
        share.runs += u64::from(runner.weight);
        share.up += if runner.up { u64::from(runner.weight) } else { 0 };
        share.deployed = share.deployed.max(*at);
    }
    let versions: Option<Vec<Version>> = shares.iter().map(|it| it.release.version()).collect();
    for (share, version) in shares.iter_mut().zip(versions.into_iter().flatten()) {
        share.version = Some(version);
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Backends of weight 1, with blanks between: `1.5@3` runs 1.5, which was deployed there in
    /// minute 3; `1.5!` is down; `-` is unknown.
    fn pick(on_skew: OnSkew, min: f64, held: Option<&str>, pool: &str) -> Option<String> {
        let start = Instant::now();
        let read = |text: &str| -> (Option<Deployed>, bool) {
            let (text, up) = match text.strip_suffix('!') {
                Some(text) => (text, false),
                None => (text, true),
            };
            let (name, minute) = text.split_once('@').unwrap_or((text, ""));
            let minute = minute.parse().ok();
            let at = minute.map(|minute: u64| start + Duration::from_secs(60 * minute));
            let deployed = Deployed { release: name.parse().unwrap(), at };
            ((name != "-").then_some(deployed), up)
        };
        let backends: Vec<_> = pool.split(' ').map(read).collect();
        let backends = backends.iter();
        let runners: Vec<Runner<'_>> = backends
            .map(|(deployed, up)| Runner { deployed: deployed.as_ref(), weight: 1, up: *up })
            .collect();
        let held: Option<Release> = held.map(|held| held.parse().unwrap());
        let past = Past { held: held.as_ref(), lapses: &[] };
        let rule = Rule { on_skew, min, past };
        preferred(&rule, &runners).map(|release| release.to_string())
    }

    #[track_caller]
    fn newest(min: f64, pool: &str, expected: &str) {
        let picked = pick(OnSkew::PreferNewest, min, None, pool);
        assert_eq!(picked.as_deref().unwrap_or("all"), expected, "{pool}");
    }

    #[track_caller]
    fn majority(held: &str, pool: &str, expected: &str) {
        let picked = pick(OnSkew::PreferMajority, 0.5, Some(held), pool);
        assert_eq!(picked.as_deref().unwrap_or("all"), expected, "{pool}");
    }

    #[test]
    fn a_deployment_over_four_servers_moves_the_traffic_when_half_of_them_can_take_it() {
        newest(0.5, "1.4 1.4 1.4 1.4", "1.4");
        newest(0.5, "1.4! 1.4 1.4 1.4", "1.4");
        newest(0.5, "1.5@1 1.4 1.4 1.4", "1.4");
        newest(0.5, "1.5@1 1.4! 1.4 1.4", "1.4");
        newest(0.5, "1.5@1 1.5@2! 1.4 1.4", "1.4");
        newest(0.5, "1.5@1 1.5@2 1.4 1.4", "1.5");
        newest(0.5, "1.5@1 1.5@2 1.4! 1.4", "1.5");
        newest(0.5, "1.5@1 1.5@2 1.5@3 1.5@4", "1.5");
    }

    #[test]
    fn of_three_servers_two_must_run_it_and_none_of_them_is_left_to_bear_all() {
        newest(0.5, "1.5@1 1.4 1.4", "1.4");
        newest(0.5, "1.5@1 1.4! 1.4", "all");
        newest(0.5, "1.5@1 1.5@2 1.4", "1.5");
        newest(0.333, "1.5@1 1.4 1.4", "1.5");
        newest(0.0, "1.5@1 1.4 1.4 1.4 1.4", "1.5");
        newest(0.0, "1.5@1! 1.4 1.4 1.4 1.4", "1.4");
        newest(0.667, "1.5@1 1.5@2 1.4", "1.5");
        newest(1.0, "1.5@1 1.5@2 1.4", "all");
    }

    #[test]
    fn of_two_servers_the_first_takes_all_while_the_other_restarts() {
        newest(0.5, "1.4! 1.4", "1.4");
        newest(0.5, "1.5@1 1.4", "1.5");
        newest(0.5, "1.5@1 1.4!", "1.5");
        newest(0.5, "1.5@1! 1.4", "1.4");
    }

    /// A release, the minute of its deployment, and whether the backend is up.
    type Ran = (&'static str, u64, bool);

    /// What the traffic keeps to, one state of the pool after another.
    #[track_caller]
    fn life(pools: &[(&[Ran], &str)]) {
        let start = Instant::now();
        let mut held: Option<Release> = None;
        let mut known: Vec<Lapse> = Vec::new();
        for (number, (pool, expected)) in pools.iter().enumerate() {
            let deployed = |(name, minute, _): &Ran| Deployed {
                release: name.parse().unwrap(),
                at: Some(start + Duration::from_secs(60 * minute)),
            };
            let deployed: Vec<Deployed> = pool.iter().map(deployed).collect();
            let runner =
                |(deployed, (_, _, up))| Runner { deployed: Some(deployed), weight: 1, up };
            let runners: Vec<Runner<'_>> =
                deployed.iter().zip(pool.iter().copied()).map(runner).collect();
            let past = Past { held: held.as_ref(), lapses: &known };
            let rule = Rule { on_skew: OnSkew::PreferNewest, min: 0.5, past };
            let now = preferred(&rule, &runners);
            let lapses = lapses(&rule, &runners, now.as_ref());
            let word = now.as_ref().map_or("all".to_owned(), ToString::to_string);
            assert_eq!(word, *expected, "state {number}");
            (held, known) = (now, lapses);
        }
    }

    #[test]
    fn one_that_goes_up_and_down_does_not_move_the_traffic_for_ever() {
        let old = [("1.4", 0, true), ("1.4", 0, true)];
        let (up, down) = (("1.5", 2, true), ("1.5", 2, false));
        let other = ("1.5", 1, true);
        let well = &[up, other, old[0], old[1]][..];
        let ill = &[down, other, old[0], old[1]][..];
        let more = &[up, other, ("1.5", 3, true), old[1]][..];
        let alone = &[up, other, ("1.4", 0, false), old[1]][..];
        life(&[
            (well, "1.5"),
            (ill, "1.4"),
            (well, "1.5"),
            (ill, "1.4"),
            (well, "1.4"),
            (well, "1.4"),
        ]);
        // It has the traffic again when more runs it, or nobody else can bear it.
        life(&[
            (well, "1.5"),
            (ill, "1.4"),
            (well, "1.5"),
            (ill, "1.4"),
            (well, "1.4"),
            (more, "1.5"),
        ]);
        life(&[(well, "1.5"), (ill, "1.4"), (well, "1.5"), (ill, "1.4"), (alone, "1.5")]);
    }

    #[test]
    fn a_rollback_is_a_deployment() {
        newest(0.5, "1.4@9 1.5@2 1.5@3 1.5@4", "1.5");
        newest(0.5, "1.4@9 1.4@10 1.5@3 1.5@4", "1.4");
        newest(0.5, "1.4@9 1.5", "1.4");
    }

    #[test]
    fn one_that_comes_back_after_long_with_what_it_ran_before_deploys_nothing() {
        newest(0.5, "1.5@5 1.3", "1.5");
        newest(0.5, "f00d@5 2f16c60@2", "f00d");
    }

    #[test]
    fn numbers_decide_between_what_ran_before_us() {
        newest(0.5, "1.9 1.10", "1.10");
        newest(0.5, "1.10 1.9", "1.10");
        newest(0.5, "2.0.0-rc.1 2.0.0", "2.0.0");
        newest(0.25, "f00d 2f16c60 f00d 1.0", "f00d");
        newest(0.25, "9.0 f00d", "f00d");
        newest(0.25, "f00d 9.0", "f00d");
    }

    #[test]
    fn the_majority_is_who_runs_it_and_who_has_the_traffic_keeps_it() {
        majority("1.4", "1.5@1 1.4 1.4 1.4", "1.4");
        majority("1.4", "1.5@1 1.5@2 1.4 1.4", "1.4");
        majority("1.5", "1.5@1 1.5@2 1.4 1.4", "1.5");
        majority("1.4", "1.5@1 1.5@2 1.5@3 1.4", "1.5");
        // It restarts, and is still counted for what it ran.
        majority("1.4", "1.5@1 1.5@2 1.4 1.4 1.4! 1.4", "1.4");
        majority("1.4", "1.5@1 1.5@2 1.4 1.4!", "1.5");
        majority("none", "1.5@1 1.4", "1.5");
    }

    #[test]
    fn what_is_unknown_runs_no_release() {
        newest(0.5, "- - - 1.5", "all");
        newest(0.5, "- - 1.5 1.5", "1.5");
        newest(0.5, "- -", "all");
        majority("1.4", "- - 1.4 1.4", "1.4");
    }

    #[test]
    fn reporting_prefers_none() {
        assert_eq!(pick(OnSkew::Report, 0.0, Some("1.4"), "1.4 1.5@1"), None);
    }
}
