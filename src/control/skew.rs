//! Which releases a pool runs, told when it changes. Pure.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::OnSkew,
    control::event::Line,
    pool::{members::Pool, preference::Lapse, release::Release},
    units::share_text,
};

/// As many as a person reads.
const SHOWN: usize = 8;

/// What the backends of one pool say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many backends run each.
    pub releases: BTreeMap<Release, usize>,
    /// Of how many it is not known.
    pub unknown: usize,
}

impl Census {
    pub fn of(pool: &Pool) -> Census {
        let mut census = Census::default();
        for member in &pool.members {
            match &member.deployed {
                Some(deployed) => {
                    *census.releases.entry(deployed.release.clone()).or_default() += 1
                }
                None => census.unknown += 1,
            }
        }
        census
    }

    /// The servers of a pool should run one release. What is unknown is no other one.
    pub fn is_skewed(&self) -> bool {
        self.releases.len() > 1
    }

    /// `2 releases: 1.4.2 on 3, 1.5.0 on 1`.
    fn words(&self) -> String {
        let count = self.releases.len();
        let s = if count == 1 { "" } else { "s" };
        let shown = self.releases.iter().take(SHOWN);
        let mut parts: Vec<String> =
            shown.map(|(release, on)| format!("{release} on {on}")).collect();
        if count > SHOWN {
            parts.push("…".to_owned());
        }
        if self.unknown > 0 {
            parts.push(format!("unknown on {}", self.unknown));
        }
        format!("{count} release{s}: {}", parts.join(", "))
    }
}

/// Lines for each pool whose releases changed between two snapshots, while it is skewed and when it
/// no longer is.
pub fn lines(before: &[Arc<Pool>], now: &[Arc<Pool>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for pool in now {
        let held = before.iter().find(|held| held.config.name == pool.config.name);
        if held.is_none_or(|held| !Arc::ptr_eq(held, pool)) {
            lines.extend(census_line(held, pool));
            lines.extend(traffic_line(held, pool));
        }
    }
    lines
}

fn census_line(held: Option<&Arc<Pool>>, pool: &Pool) -> Option<Line> {
    let before = held.map(|held| Census::of(held)).unwrap_or_default();
    let census = Census::of(pool);
    let words = format!("pool {}: {}", pool.config.name, census.words());
    match (before.is_skewed(), census.is_skewed()) {
        (_, true) if census != before => Some(Line::Warn(words)),
        (true, false) => Some(Line::Info(words)),
        (false, false) | (_, true) => None,
    }
}

/// Where the traffic goes, where that changes while there is a choice.
fn traffic_line(held: Option<&Arc<Pool>>, pool: &Pool) -> Option<Line> {
    let before = held.and_then(|held| held.preferred.as_ref());
    let config = &pool.config;
    let name = &config.name;
    if config.on_skew == OnSkew::Report || !Census::of(pool).is_skewed() {
        return None;
    }
    let least = share_text(config.on_skew_min);
    match &pool.preferred {
        now if now.as_ref() == before => None,
        Some(release) => {
            let mut words = format!("pool {name}: traffic keeps to {release}");
            let distrusted = |it: &&Lapse| it.is_distrusted() && it.release != *release;
            if let Some(lapse) = pool.lapses.iter().find(distrusted) {
                let other = &lapse.release;
                words.push_str(&format!(
                    ": {other} could not bear it time and again, and has it again when more run it"
                ));
            }
            Some(Line::Info(words))
        }
        None => Some(Line::Warn(format!(
            "pool {name}: no release has {least} of the weight up: traffic goes to all"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config,
        observe::metrics::Metrics,
        pool::{
            backend::{Backend, Key, Verdict},
            members::{Member, PoolParts},
            release::Deployed,
        },
    };

    /// A pool whose backends run these; `-` where it is unknown.
    fn pool(on_skew: &str, releases: &str) -> Arc<Pool> {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:80\"\n[pool.app]\nbackends = [\"127.0.0.1:81\"]\n\
             health = {{ release = {{ header = \"X-Release\" }} }}\non_skew = \"{on_skew}\"\n"
        );
        let config = config::parse(&text, Path::new("e.toml")).unwrap();
        let metrics = Metrics::new(1);
        let member = |(port, release): (u16, &str)| {
            let key = Key { pool: "app".into(), address: ([127, 0, 0, 1], port).into() };
            let counted = metrics.backend("app", &key.address.to_string());
            let deployed = Deployed { release: release.parse().unwrap(), at: None };
            Member {
                backend: Backend::new(key, Arc::default(), counted),
                name: None,
                weight: 1,
                ramp: None,
                max_requests: None,
                breaker: None,
                backup: false,
                verdict: Verdict::Up,
                unjudged: false,
                deployed: Some(deployed).filter(|_| release != "-"),
            }
        };
        let members = (81..).zip(releases.split(' ')).map(member).collect();
        let config = Arc::new(config.pools[0].clone());
        let parts = PoolParts { config, members, tls: None, keys: None };
        Arc::new(Pool::new(parts, None, metrics.pool("app")))
    }

    #[track_caller]
    fn check(before: &str, now: &str, expected: Option<&str>) {
        let lines = lines(&[pool("report", before)], &[pool("report", now)]);
        let texts: Vec<&str> = lines.iter().map(Line::text).collect();
        assert_eq!(texts, Vec::from_iter(expected), "{before} -> {now}");
    }

    #[test]
    fn a_skew_is_told_from_its_beginning_to_its_end() {
        check("- - -", "1.4 1.4 1.4", None);
        check("1.4 1.4 1.4", "1.5 1.4 1.4", Some("pool app: 2 releases: 1.4 on 2, 1.5 on 1"));
        check("1.5 1.4 1.4", "1.5 1.4 1.4", None);
        check("1.5 1.4 1.4", "1.5 1.5 1.4", Some("pool app: 2 releases: 1.4 on 1, 1.5 on 2"));
        check("1.5 1.5 1.4", "1.5 1.5 1.5", Some("pool app: 1 release: 1.5 on 3"));
    }

    #[test]
    fn what_is_unknown_is_no_skew_but_told_beside_one() {
        check("1.4 1.4 1.4", "1.4 1.4 -", None);
        let words = "pool app: 2 releases: 1.4 on 1, 1.5 on 1, unknown on 1";
        check("1.4 1.4 -", "1.4 1.5 -", Some(words));
        check("1.4 1.5 -", "1.4 - -", Some("pool app: 1 release: 1.4 on 1, unknown on 2"));
    }

    #[test]
    fn it_is_told_where_the_traffic_goes() {
        let told = |before: &str, now: &str| {
            let pools = [before, now].map(|releases| [pool("prefer-newest", releases)]);
            let lines = lines(&pools[0], &pools[1]);
            lines.last().map(|line| line.text().to_owned()).unwrap_or_default()
        };
        assert_eq!(told("- - -", "1.4 1.4 1.4"), "", "there is no choice");
        assert_eq!(told("1.4 1.4 1.4", "1.5 1.4 1.4"), "pool app: 2 releases: 1.4 on 2, 1.5 on 1");
        assert_eq!(told("1.5 1.4 1.4", "1.5 1.5 1.4"), "pool app: traffic keeps to 1.5");
        let all = "pool app: no release has 50% of the weight up: traffic goes to all";
        assert_eq!(told("1.5 1.5 1.4", "1.5 1.6 1.4"), all);
        let told = lines(&[pool("report", "1.5 1.4")], &[pool("prefer-newest", "1.5 1.4")]);
        assert_eq!(told, [Line::Info("pool app: traffic keeps to 1.5".to_owned())], "by a reload");
    }

    #[test]
    fn a_line_names_as_many_as_a_person_reads() {
        let words = "pool app: 9 releases: 1 on 1, 2 on 1, 3 on 1, 4 on 1, 5 on 1, 6 on 1, 7 on 1, \
                     8 on 1, …";
        check("1 1 1 1 1 1 1 1 1", "1 2 3 4 5 6 7 8 9", Some(words));
    }
}
