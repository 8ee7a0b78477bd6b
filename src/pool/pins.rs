//! Where clients may go that have seen a release: to those that run it or a newer one, while one of
//! them is up. Pure.
//!
//! A backend whose release is unknown may run an old one: it is not among them.

use std::collections::HashMap;

use crate::pool::{
    members::Member,
    preference::{Runner, by_age},
    release::Release,
};

/// Releases whose clients are pinned, the newest of the pool. A deployment makes two; a pool in which
/// each backend names another must not cost a list for each.
const MOST: usize = 16;

/// What the clients of a pool with `pin` may have seen, the oldest first.
#[derive(Default)]
pub struct Pins(Vec<Pin>);

struct Pin {
    release: Release,
    /// Indexes of members, in their order; empty where none is in full use.
    takers: Vec<usize>,
}

impl Pins {
    /// Who takes a request without a pin is asked before others that are up, and backups last.
    pub fn of(members: &[Member], candidates: &[usize]) -> Pins {
        let runners: Vec<Runner<'_>> = members.iter().map(Member::runner).collect();
        let mut releases = by_age(&runners);
        releases.drain(..releases.len().saturating_sub(MOST));
        let ages: HashMap<&Release, usize> = releases.iter().zip(0..).collect();
        let age = |member: &Member| ages.get(&member.deployed.as_ref()?.release).copied();
        let aged: Vec<(usize, usize)> = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.takes_clients())
            .filter_map(|(index, member)| Some((index, age(member)?)))
            .collect();
        // Who is only tried takes a few requests: that is not enough for all that are pinned.
        let enough = |takers: &Vec<usize>| takers.iter().any(|&it| members[it].is_in_full_use());
        let takers = |oldest: usize| {
            let fitting = aged.iter().filter(|(_, age)| *age >= oldest);
            let fitting: Vec<usize> = fitting.map(|(index, _)| *index).collect();
            let tiers: [&dyn Fn(usize) -> bool; 3] = [
                &|index| candidates.binary_search(&index).is_ok(),
                &|index| !members[index].backup,
                &|_| true,
            ];
            let tier = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
                fitting.iter().copied().filter(|&index| wanted(index)).collect()
            };
            tiers.into_iter().map(tier).find(enough).unwrap_or_default()
        };
        let takers: Vec<Vec<usize>> = (0..releases.len()).map(takers).collect();
        let pins = releases.into_iter().zip(takers);
        Pins(pins.map(|(release, takers)| Pin { release, takers }).collect())
    }

    /// Who may take a request of a client that has seen this. `None`: whoever may take any.
    pub fn takers(&self, seen: Option<&Release>) -> Option<&[usize]> {
        let pin = self.0.iter().find(|pin| Some(&pin.release) == seen)?;
        (!pin.takers.is_empty()).then_some(&pin.takers)
    }

    /// What a client has seen that saw both.
    pub fn newer<'a>(
        &self,
        one: Option<&'a Release>,
        other: Option<&'a Release>,
    ) -> Option<&'a Release> {
        let age = |release: &Release| self.0.iter().position(|pin| pin.release == *release);
        [one, other].into_iter().flatten().max_by_key(|release| age(release))
    }

    /// Each member that takes requests of some client.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|pin| pin.takers.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        observe::metrics::Metrics,
        pool::{
            backend::{Backend, Key, Verdict},
            breaker::{Position, Trials},
            release::Deployed,
        },
    };

    /// With blanks between: `1.5@3` runs 1.5, which was deployed there in minute 3; `1.5!` is down;
    /// `-` is unknown; `(1.5)` is a backup.
    fn members(pool: &str) -> Vec<Member> {
        let start = Instant::now();
        let metrics = Metrics::new(1);
        let member = |text: &str| {
            let backup = text.starts_with('(');
            let text = text.trim_matches(['(', ')']);
            let name = text.trim_end_matches('!');
            let (name, minute) = name.split_once('@').unwrap_or((name, ""));
            let minute: Option<u64> = minute.parse().ok();
            let at = minute.map(|minute| start + Duration::from_secs(60 * minute));
            let deployed = Deployed { release: name.parse().unwrap(), at };
            let key = Key { pool: "app".into(), address: ([127, 0, 0, 1], 80).into() };
            Member {
                backend: Backend::new(key, Arc::default(), metrics.backend("app", "127.0.0.1:80")),
                name: None,
                weight: 1,
                backup,
                max_requests: None,
                verdict: if text.ends_with('!') { Verdict::Down } else { Verdict::Up },
                unjudged: false,
                breaker: None,
                ramp: None,
                deployed: (name != "-").then_some(deployed),
            }
        };
        pool.split(' ').map(member).collect()
    }

    #[track_caller]
    fn check(pool: &str, candidates: &[usize], seen: &str, expected: Option<&[usize]>) {
        let pins = Pins::of(&members(pool), candidates);
        assert_eq!(pins.takers(seen.parse().ok().as_ref()), expected, "{pool}, seen {seen}");
    }

    #[test]
    fn who_has_seen_the_new_one_is_not_sent_back() {
        let half = "1.5@1 1.5@2 1.4 1.4";
        check(half, &[0, 1, 2, 3], "1.5", Some(&[0, 1]));
        check(half, &[0, 1, 2, 3], "1.4", Some(&[0, 1, 2, 3]));
        check(half, &[0, 1], "1.4", Some(&[0, 1]));
        check(half, &[2, 3], "1.5", Some(&[0, 1]));
        check(half, &[0, 1, 2, 3], "", None);
    }

    #[test]
    fn a_rollback_is_the_newer_one() {
        check("1.4@9 1.5@2 1.5@3", &[1, 2], "1.5", Some(&[1, 2]));
        check("1.4@9 1.4@9 1.5@3", &[0, 1], "1.5", Some(&[0, 1]));
        check("1.4@9 1.4@9 1.5@3", &[0, 1], "1.4", Some(&[0, 1]));
    }

    #[test]
    fn nobody_is_left_without_an_answer() {
        check("1.5@1! 1.4 1.4", &[1, 2], "1.5", None);
        check("1.5@1! 1.4 (1.5@1)", &[1], "1.5", Some(&[2]));
        check("1.4 1.4", &[0, 1], "1.5", None);
    }

    #[test]
    fn where_each_names_another_the_newest_are_pinned() {
        let pool: Vec<String> = (1..=20).map(|number| format!("{number}@{number}")).collect();
        let all: Vec<usize> = (0..20).collect();
        check(&pool.join(" "), &all, "4", None);
        check(&pool.join(" "), &all, "5", Some(&all[4..]));
        check(&pool.join(" "), &all, "20", Some(&[19]));
    }

    #[test]
    fn who_is_only_tried_does_not_take_all_that_are_pinned() {
        let mut members = members("1.5@1 1.5@1 1.4");
        let tried = Position::HalfOpen(Arc::new(Trials::new(1)));
        members[0].breaker = Some(tried.clone());
        let seen: Option<Release> = "1.5".parse().ok();
        let pins = Pins::of(&members, &[0, 1]);
        assert_eq!(pins.takers(seen.as_ref()), Some([0, 1].as_slice()));
        members[1].breaker = Some(tried);
        let pins = Pins::of(&members, &[0, 1, 2]);
        assert_eq!(pins.takers(seen.as_ref()), None);
    }

    #[test]
    fn what_is_unknown_may_be_old() {
        check("1.5@1 - 1.4", &[0, 1, 2], "1.5", Some(&[0]));
        check("- -", &[0, 1], "1.5", None);
    }

    #[test]
    fn of_two_the_newer_is_kept() {
        let pins = Pins::of(&members("1.4 1.5@1 1.6@2"), &[0, 1, 2]);
        let release = |name: &str| name.parse::<Release>().ok();
        for (one, other, newer) in [
            ("1.4", "1.5", "1.5"),
            ("1.6", "1.5", "1.6"),
            ("", "1.4", "1.4"),
            ("1.5", "", "1.5"),
            ("gone", "1.4", "1.4"),
            ("", "", ""),
        ] {
            let (one, other) = (release(one), release(other));
            assert_eq!(pins.newer(one.as_ref(), other.as_ref()), release(newer).as_ref());
        }
    }
}
