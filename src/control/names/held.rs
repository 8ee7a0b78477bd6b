//! What is held of the names that backends have: the last good answer, and what came since. Pure.
//!
//! Where no name server answers, the last good answer is kept for as long as that lasts: that a
//! name can't be looked up says nothing of the servers behind it. Where the name servers answer
//! that there is nothing, it is kept for `hold`: long enough for a name server that speaks too
//! early, short enough that an address that belongs to others by then gets no requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    time::{Instant, SystemTime},
};

use crate::{
    config::{Config, Name, Resolver},
    control::{
        event::{Line, Moment},
        names::answer::{Answer, Destination, Found},
    },
    units::duration_text,
};

/// All the names of a configuration.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<Name, Held>);

/// What is held of one name.
#[derive(Debug)]
pub struct Held {
    /// Of the last good answer, in order; empty while the name is unresolved.
    destinations: Vec<Destination>,
    pub standing: Standing,
    /// Since when it stands so.
    pub since: SystemTime,
    /// When the last good answer came.
    pub answered: Option<SystemTime>,
    /// Why it does not stand as `Resolved`.
    pub trouble: Option<Trouble>,
    /// Since when the name servers say that there is nothing.
    absent_since: Option<Instant>,
    /// Destinations that are left out: more than `max_addresses`.
    left_out: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The last look-up was answered.
    Resolved,
    /// The last look-up failed; what was answered before is used.
    Kept,
    /// Nothing is known.
    Unresolved,
}

/// Why a look-up told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    kind: Kind,
    words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Absent,
    Failed,
}

/// What an answer did.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the name leads elsewhere now.
    pub changed: bool,
    pub lines: Vec<Line>,
}

/// How many addresses a line shows.
const SHOWN: usize = 8;

impl Names {
    /// Brings them in line with a configuration: what is held of a name that stays is kept.
    pub fn settle(&mut self, config: &Config, now: Moment) {
        let wanted = wanted(config);
        self.0.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.0.entry(name).or_insert_with(|| Held::new(now));
        }
    }

    /// Takes in one answer. `None`: nobody has this name any more.
    pub fn take(
        &mut self,
        name: &Name,
        answer: Answer,
        rules: &Resolver,
        now: Moment,
    ) -> Option<Taken> {
        let held = self.0.get_mut(name)?;
        let mut taken = held.take(answer, rules, now);
        for line in &mut taken.lines {
            let (Line::Info(text) | Line::Warn(text)) = line;
            *text = format!("{name}: {text}");
        }
        Some(taken)
    }

    pub fn get(&self, name: &Name) -> Option<&Held> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Held)> {
        self.0.iter()
    }

    /// Where a name leads; nowhere while it is unresolved.
    pub fn destinations(&self, name: &Name) -> &[Destination] {
        self.0.get(name).map_or(&[], |held| &held.destinations)
    }
}

/// The names that a configuration has, each once.
pub fn wanted(config: &Config) -> BTreeSet<Name> {
    let backends = config.pools.iter().flat_map(|pool| &pool.backends);
    backends.filter_map(|backend| backend.address.name()).collect()
}

impl Held {
    fn new(now: Moment) -> Held {
        Held {
            destinations: Vec::new(),
            standing: Standing::Unresolved,
            since: now.wall,
            answered: None,
            trouble: None,
            absent_since: None,
            left_out: 0,
        }
    }

    /// How many addresses it leads to.
    pub fn addresses(&self) -> usize {
        self.destinations.len()
    }

    fn take(&mut self, answer: Answer, rules: &Resolver, now: Moment) -> Taken {
        match answer {
            Answer::Found(found) => self.found(found, rules, now),
            Answer::Absent(words) => self.absent(words, rules, now),
            Answer::Failed(words) => self.failing(Trouble { kind: Kind::Failed, words }, "", now),
        }
    }

    fn found(&mut self, found: Found, rules: &Resolver, now: Moment) -> Taken {
        let (destinations, left_out) = self.chosen(found, rules.max_addresses);
        let before = std::mem::replace(&mut self.destinations, destinations);
        let mut lines = Vec::new();
        if before != self.destinations {
            lines.push(Line::Info(self.change_words(&before)));
        } else if self.standing != Standing::Resolved {
            lines.push(Line::Info("answered again, as before".to_owned()));
        }
        if left_out > 0 && self.left_out == 0 {
            let most = rules.max_addresses;
            lines.push(Line::Warn(format!(
                "{} addresses were answered: {most} are used, as max_addresses in [resolver] says",
                most + left_out
            )));
        }
        self.left_out = left_out;
        self.answered = Some(now.wall);
        self.absent_since = None;
        self.stand(Standing::Resolved, None, now);
        Taken { changed: before != self.destinations, lines }
    }

    /// What an answer leads to, in an order that does not depend on the name server's. Where it is
    /// too much, the lowest priorities of SRV records, which serve before all others, and of those
    /// first what is in use: a name server that shuffles must not move the traffic.
    fn chosen(&self, found: Found, most: usize) -> (Vec<Destination>, usize) {
        let Found { mut destinations, gaps, ttl: _ } = found;
        let held = self.destinations.iter();
        let missed = held.filter(|held| gaps.iter().any(|gap| gap.covers(held)));
        destinations.extend(missed.cloned());
        destinations.sort();
        destinations.dedup();
        let left_out = destinations.len().saturating_sub(most);
        if left_out > 0 {
            let is_new = |it: &Destination| !self.destinations.iter().any(|held| held.is_at(it));
            destinations.sort_by_cached_key(|it| {
                let rank = it.rank();
                (rank.map(|(priority, _)| priority), is_new(it), rank)
            });
            destinations.truncate(most);
            destinations.sort();
        }
        (destinations, left_out)
    }

    fn absent(&mut self, words: String, rules: &Resolver, now: Moment) -> Taken {
        let since = *self.absent_since.get_or_insert(now.steady);
        let passed = now.steady.duration_since(since) >= rules.hold;
        if self.destinations.is_empty() || !passed {
            let trouble = Trouble { kind: Kind::Absent, words };
            return self.failing(trouble, &format!(" for {}", duration_text(rules.hold)), now);
        }
        let gone = listed(&std::mem::take(&mut self.destinations));
        let line = Line::Warn(format!("unresolved: {words}; {gone} removed"));
        self.stand(Standing::Unresolved, Some(Trouble { kind: Kind::Absent, words }), now);
        Taken { changed: true, lines: vec![line] }
    }

    /// What is held stays; a line when this is news.
    fn failing(&mut self, trouble: Trouble, kept_for: &str, now: Moment) -> Taken {
        let (standing, words) = match &self.destinations[..] {
            [] => (Standing::Unresolved, format!("unresolved: {trouble}; tried again")),
            held => (Standing::Kept, format!("{trouble}; {} kept{kept_for}", listed(held))),
        };
        let known = self.trouble.as_ref().is_some_and(|known| known.kind == trouble.kind);
        let told = known && standing == self.standing;
        self.stand(standing, Some(trouble), now);
        let lines = if told { Vec::new() } else { vec![Line::Warn(words)] };
        Taken { changed: false, lines }
    }

    fn stand(&mut self, standing: Standing, trouble: Option<Trouble>, now: Moment) {
        if standing != self.standing {
            self.since = now.wall;
        }
        self.standing = standing;
        self.trouble = trouble;
    }

    fn change_words(&self, before: &[Destination]) -> String {
        if before.is_empty() {
            return format!("resolved: {}", listed(&self.destinations));
        }
        let of = |one: &[Destination], other: &[Destination]| -> Vec<Destination> {
            one.iter().filter(|it| !other.contains(it)).cloned().collect()
        };
        let (come, gone) = (of(&self.destinations, before), of(before, &self.destinations));
        match (&come[..], &gone[..]) {
            (come, []) => format!("{} added", listed(come)),
            ([], gone) => format!("{} removed", listed(gone)),
            (come, gone) => format!("{} added, {} removed", listed(come), listed(gone)),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// `10.0.0.1`, `10.0.0.1:8080`, and no more than a person reads.
fn listed(destinations: &[Destination]) -> String {
    let word = |destination: &Destination| match &destination.service {
        None => destination.ip.to_string(),
        Some(service) => SocketAddr::new(destination.ip, service.port).to_string(),
    };
    let mut words: Vec<String> = destinations.iter().map(word).collect();
    words.dedup();
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    let mut text = words.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use super::*;
    use crate::control::names::answer::{Gap, IpFamily, Service};

    /// One name, and the time.
    struct Life {
        held: Held,
        rules: Resolver,
        start: Instant,
        now: Duration,
    }

    impl Life {
        fn new() -> Life {
            let start = Instant::now();
            let now = Moment { steady: start, wall: SystemTime::UNIX_EPOCH };
            let rules = Resolver { max_addresses: 3, ..Resolver::default() };
            Life { held: Held::new(now), rules, start, now: Duration::ZERO }
        }

        /// Takes in an answer: the line of it, if it has one.
        #[track_caller]
        fn take(&mut self, answer: Answer) -> String {
            let now =
                Moment { steady: self.start + self.now, wall: SystemTime::UNIX_EPOCH + self.now };
            let before = self.held.destinations.clone();
            let taken = self.held.take(answer, &self.rules, now);
            assert_eq!(taken.changed, before != self.held.destinations);
            let lines: Vec<&str> = taken.lines.iter().map(Line::text).collect();
            lines.join("\n")
        }

        fn ips(&self) -> Vec<String> {
            self.held.destinations.iter().map(|it| it.ip.to_string()).collect()
        }
    }

    fn found(ips: &[&str]) -> Answer {
        with_gaps(ips, Vec::new())
    }

    fn with_gaps(ips: &[&str], gaps: Vec<Gap>) -> Answer {
        let at = |ip: &&str| Destination { ip: ip.parse().unwrap(), service: None };
        let destinations = ips.iter().map(at).collect();
        Answer::Found(Found { destinations, gaps, ttl: Duration::from_secs(5) })
    }

    fn absent() -> Answer {
        Answer::Absent("no such name".to_owned())
    }

    fn failed(words: &str) -> Answer {
        Answer::Failed(words.to_owned())
    }

    #[test]
    fn changes_are_told_and_the_order_of_an_answer_is_none() {
        let mut life = Life::new();
        assert_eq!(life.take(found(&["10.0.0.2", "10.0.0.1"])), "resolved: 10.0.0.1, 10.0.0.2");
        assert_eq!(life.take(found(&["10.0.0.1", "10.0.0.2"])), "");
        let line = life.take(found(&["10.0.0.3", "10.0.0.2"]));
        assert_eq!(line, "10.0.0.3 added, 10.0.0.1 removed");
        assert_eq!(life.ips(), ["10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn what_is_held_outlives_name_servers_that_fail_however_long() {
        let mut life = Life::new();
        life.take(found(&["10.0.0.1"]));
        let line = life.take(failed("no answer within 5s"));
        assert_eq!(line, "no answer within 5s; 10.0.0.1 kept");
        assert_eq!(life.held.standing, Standing::Kept);
        life.now = Duration::from_secs(1_000_000);
        assert_eq!(life.take(failed("the name server says SERVFAIL")), "", "it is told once");
        assert_eq!(life.ips(), ["10.0.0.1"]);
        assert_eq!(life.take(found(&["10.0.0.1"])), "answered again, as before");
        assert_eq!((life.held.standing, life.held.trouble), (Standing::Resolved, None));
    }

    #[test]
    fn a_name_that_is_answered_as_absent_goes_after_the_hold() {
        let mut life = Life::new();
        life.take(found(&["10.0.0.1"]));
        assert_eq!(life.take(absent()), "no such name; 10.0.0.1 kept for 30s");
        life.now = Duration::from_secs(29);
        assert_eq!(life.take(absent()), "");
        life.now = Duration::from_secs(30);
        assert_eq!(life.take(absent()), "unresolved: no such name; 10.0.0.1 removed");
        assert_eq!((life.held.standing, life.ips().len()), (Standing::Unresolved, 0));
        assert_eq!(life.take(absent()), "");
        assert_eq!(life.take(found(&["10.0.0.1"])), "resolved: 10.0.0.1");
    }

    #[test]
    fn an_answer_in_between_begins_the_hold_anew_but_a_failure_does_not() {
        let mut life = Life::new();
        life.take(found(&["10.0.0.1"]));
        life.take(absent());
        life.now = Duration::from_secs(20);
        life.take(found(&["10.0.0.1"]));
        life.take(absent());
        life.now = Duration::from_secs(40);
        assert_eq!(life.take(failed("no answer")), "no answer; 10.0.0.1 kept");
        life.take(absent());
        assert_eq!(life.ips().len(), 1);
        life.now = Duration::from_secs(50);
        life.take(absent());
        assert_eq!(life.ips().len(), 0);
    }

    #[test]
    fn a_name_that_never_resolved_says_so_once() {
        let mut life = Life::new();
        assert_eq!(life.held.trouble, None, "it was not looked up yet");
        assert_eq!(life.take(failed("no answer")), "unresolved: no answer; tried again");
        assert_eq!(life.take(failed("refused")), "");
        assert_eq!(life.take(absent()), "unresolved: no such name; tried again");
        assert_eq!(life.held.since, SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_family_that_fails_keeps_its_addresses_and_the_other_moves() {
        let mut life = Life::new();
        life.take(found(&["10.0.0.1", "2001:db8::1"]));
        let gap = Gap { target: None, family: IpFamily::V6 };
        life.take(with_gaps(&["10.0.0.2"], vec![gap]));
        assert_eq!(life.ips(), ["10.0.0.2", "2001:db8::1"]);
        life.take(found(&["10.0.0.2"]));
        assert_eq!(life.ips(), ["10.0.0.2"]);
    }

    #[test]
    fn of_too_many_those_in_use_stay() {
        let mut life = Life::new();
        life.take(found(&["10.0.0.7", "10.0.0.8", "10.0.0.9"]));
        let many = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.8", "10.0.0.9"];
        let lines = life.take(found(&many));
        assert!(lines.contains("5 addresses were answered: 3 are used"), "{lines}");
        assert_eq!(life.ips(), ["10.0.0.1", "10.0.0.8", "10.0.0.9"]);
        assert_eq!(life.take(found(&many)), "", "and it is told once");
    }

    #[test]
    fn of_too_many_servers_those_of_the_lowest_priority_serve() {
        let at = |last, port, priority| Destination {
            ip: IpAddr::from([10, 0, 0, last]),
            service: Some(Service { port, priority, weight: 1, target: "a".into() }),
        };
        let found = |destinations: &[Destination]| {
            let (destinations, ttl) = (destinations.to_vec(), Duration::from_secs(5));
            Answer::Found(Found { destinations, gaps: Vec::new(), ttl })
        };
        let mut life = Life::new();
        let backups: Vec<Destination> = (1..4).map(|last| at(last, 80, 20)).collect();
        let primaries: Vec<Destination> = (4..7).map(|last| at(last, 9_000, 10)).collect();
        let lines = life.take(found(&[&backups[..], &primaries[1..]].concat()));
        assert!(lines.contains("5 addresses were answered: 3 are used"), "{lines}");
        assert_eq!(life.ips(), ["10.0.0.1", "10.0.0.5", "10.0.0.6"]);
        life.take(found(&[&backups[1..], &primaries[1..]].concat()));
        assert_eq!(life.ips(), ["10.0.0.2", "10.0.0.5", "10.0.0.6"]);
        life.take(found(&[&backups[..], &primaries[1..]].concat()));
        assert_eq!(life.ips(), ["10.0.0.2", "10.0.0.5", "10.0.0.6"], "what is in use stays");
        life.take(found(&[&backups[..], &primaries[..]].concat()));
        assert_eq!(life.ips(), ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    }

    #[test]
    fn servers_of_srv_records_are_told_with_their_ports() {
        let at = |last, port| Destination {
            ip: IpAddr::from([10, 0, 0, last]),
            service: Some(Service { port, priority: 1, weight: 1, target: "a".into() }),
        };
        assert_eq!(listed(&[at(1, 80), at(2, 81)]), "10.0.0.1:80, 10.0.0.2:81");
        let many: Vec<Destination> = (0..10).map(|last| at(last, 80)).collect();
        assert!(listed(&many).ends_with("10.0.0.7:80 and 2 more"), "{}", listed(&many));
    }
}
