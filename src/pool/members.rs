//! A pool as one snapshot knows it: its members, their verdicts, and who may be picked now.

use std::{sync::Arc, time::Instant};

use crate::{
    config::{self, WhenAllDown},
    net::tls::ClientTls,
    observe::metrics::PoolMetrics,
    pool::{
        backend::{Backend, Verdict},
        balance::{Ask, consistent_hash},
        breaker::{Position, Trials},
        budget::Budget,
        pins::Pins,
        preference::{self, Lapse, Past, Rule, Runner},
        queue::{Queue, Wanted},
        release::{Deployed, Release},
        slow_start::{Ramp, WHOLE},
        sticky::{Keys, Sticky},
    },
};

/// Immutable: a new verdict makes a new pool.
pub struct Pool {
    pub config: Arc<config::Pool>,
    pub members: Vec<Member>,
    /// The release that the traffic keeps to; `None`: to none.
    pub preferred: Option<Release>,
    /// Of releases that had the traffic before.
    pub lapses: Vec<Lapse>,
    /// Indexes into `members`, in their order: the normal backends that are up, else the backups
    /// that are up, of these those that the traffic keeps to; else what `when_all_down` says. None
    /// of weight 0.
    pub candidates: Vec<usize>,
    /// Who takes the requests of clients that have seen a release, where they are pinned to it.
    pub pins: Pins,
    /// The largest weight among them all.
    pub heaviest: u32,
    /// When all members have come up wholly; `None`: they have, or the pool has no slow start.
    pub ramps_end: Option<Instant>,
    /// Whether any member has a limit; where none has, nobody is ever full and nobody waits.
    pub limited: bool,
    /// The very same in each snapshot in which this pool stands.
    pub queue: Arc<Queue>,
    /// Of bodies that are read whole; as well.
    pub bodies: Arc<Budget>,
    /// Of the members' lots, in their order; empty where the balance draws none.
    pub seeds: Vec<u64>,
    /// `None`: plain connections.
    pub tls: Option<Arc<ClientTls>>,
    /// Of a pool that has one, once its keys are there.
    pub sticky: Option<Sticky>,
    pub metrics: Arc<PoolMetrics>,
}

/// A backend's place in a pool.
#[derive(Clone)]
pub struct Member {
    pub backend: Arc<Backend>,
    /// The name that the server goes by: what the file looks it up by.
    pub name: Option<Arc<str>>,
    /// 0: no new clients; those that a cookie keeps there stay.
    pub weight: u32,
    /// While it comes up slowly.
    pub ramp: Option<Ramp>,
    pub backup: bool,
    /// Requests under way at once, in the whole process; `None`: no limit.
    pub max_requests: Option<usize>,
    pub verdict: Verdict,
    /// It is down only because its first probe has not come back.
    pub unjudged: bool,
    /// How its circuit breaker stands, where the pool has one.
    pub breaker: Option<Position>,
    /// What it runs, where that is known.
    pub deployed: Option<Deployed>,
}

/// What a pool is made of, besides what stays of the one before.
pub struct PoolParts {
    pub config: Arc<config::Pool>,
    pub members: Vec<Member>,
    /// `None`: plain connections.
    pub tls: Option<Arc<ClientTls>>,
    /// Of its cookie, where it has one.
    pub keys: Option<Arc<Keys>>,
}

impl Pool {
    /// From the pool of this name in the snapshot before come the queue, so that who waits goes on
    /// waiting, and what the traffic keeps to, where it may go on.
    pub fn new(parts: PoolParts, before: Option<&Pool>, metrics: Arc<PoolMetrics>) -> Pool {
        let PoolParts { config, members, tls, keys } = parts;
        let past =
            before.map(|before| Past { held: before.preferred.as_ref(), lapses: &before.lapses });
        let takers = Takers::of(&config, &members, past.unwrap_or_default());
        let Takers { preferred, lapses, candidates, pins, heaviest } = takers;
        let seeds = match &config.hash {
            Some(_) => members.iter().map(seed).collect(),
            None => Vec::new(),
        };
        let ramps = members.iter().filter_map(|member| member.ramp.as_ref());
        let ramps_end = ramps.map(Ramp::ends).max();
        let limited = members.iter().any(Member::is_limited);
        let sticky = keys.map(|keys| Sticky::new(keys, config.name.clone(), &members));
        let queue = before.map(|before| before.queue.clone()).unwrap_or_default();
        let bodies = before.map(|before| before.bodies.clone()).unwrap_or_default();
        Pool {
            config,
            members,
            preferred,
            lapses,
            candidates,
            pins,
            heaviest,
            ramps_end,
            limited,
            seeds,
            sticky,
            tls,
            queue,
            bodies,
            metrics,
        }
    }

    /// Whether these parts would make no other pool.
    pub fn is_made_of(&self, parts: &PoolParts) -> bool {
        let PoolParts { config, members, tls, keys } = parts;
        Arc::ptr_eq(&self.config, config)
            && self.speaks(tls.as_ref())
            && self.members.len() == members.len()
            && self.members.iter().zip(members).all(|(held, now)| held.stands_as(now))
            && self.signs_with(keys.as_ref())
    }

    /// Whether its connections are made by this TLS, with these certificates, or plain as without.
    pub fn speaks(&self, tls: Option<&Arc<ClientTls>>) -> bool {
        match (&self.tls, tls) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether its cookie is signed with these keys, or it has none as without.
    fn signs_with(&self, keys: Option<&Arc<Keys>>) -> bool {
        match (&self.sticky, keys) {
            (Some(sticky), Some(keys)) => sticky.has_keys(keys),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether nobody is up, and the first probe of somebody may change that at any moment.
    pub fn is_undecided(&self) -> bool {
        let hopeful = |member: &Member| member.unjudged && member.weight > 0;
        self.candidates.is_empty() && self.members.iter().any(hopeful)
    }

    /// Whether a member may be sent one more request now.
    pub fn has_place(&self, index: usize) -> bool {
        !self.limited || !self.members[index].full()
    }

    /// Who may take one more try of a request, with a place free or without: the one that its client
    /// is kept at, or those of its client's release or a newer one, or any candidate; of these those
    /// that it was not tried at, or all of them where there is no such.
    pub fn takers(&self, ask: &Ask<'_>) -> Vec<usize> {
        let pinned = self.pins.takers(ask.seen);
        let untried = |index: &usize| !ask.tried.contains(index);
        let kept_at = ask.kept_at.filter(|it| untried(it) && self.keeps(*it, pinned));
        if let Some(index) = kept_at {
            // Also when it is full: a session is worth a wait.
            return vec![index];
        }
        let all = pinned.unwrap_or(&self.candidates);
        // An answer of an older release is better than none.
        for from in [all, &self.candidates] {
            let fresh: Vec<usize> = from.iter().copied().filter(untried).collect();
            if !fresh.is_empty() {
                return fresh;
            }
        }
        all.to_vec()
    }

    /// Whether clients that were at this member before may stay there.
    fn keeps(&self, index: usize, pinned: Option<&[usize]>) -> bool {
        let member = &self.members[index];
        let weightless = member.weight == 0 && member.is_up() && !member.backup;
        let takes_no_new = weightless && member.runs(self.preferred.as_ref());
        let takers = pinned.unwrap_or(&self.candidates);
        takes_no_new || takers.binary_search(&index).is_ok()
    }

    /// What a request that finds none of its takers available waits for.
    pub fn wanted(&self, ask: &Ask<'_>) -> Vec<Wanted> {
        let wanted = |index: usize| Wanted {
            backend: self.members[index].backend.clone(),
            index,
            max: self.members[index].most(),
            trials: self.members[index].trials().cloned(),
        };
        self.takers(ask).into_iter().map(wanted).collect()
    }
}

impl Member {
    /// The same backend, and nothing of it has changed. Settings of one pool are not all: a name's
    /// servers may stand otherwise in one answer and the next.
    fn stands_as(&self, now: &Member) -> bool {
        let place = |it: &Member| (it.weight, it.ramp, it.backup, it.max_requests);
        Arc::ptr_eq(&self.backend, &now.backend)
            && (self.verdict, self.unjudged) == (now.verdict, now.unjudged)
            && self.breaker == now.breaker
            && (&self.name, &self.deployed) == (&now.name, &now.deployed)
            && place(self) == place(now)
    }

    /// In use: its health and its breaker let it be.
    pub fn is_up(&self) -> bool {
        self.verdict == Verdict::Up && !self.breaker.as_ref().is_some_and(Position::is_open)
    }

    /// Whether new clients may be sent there, as far as it is up to it alone.
    pub fn takes_clients(&self) -> bool {
        self.is_up() && self.weight > 0
    }

    /// Its share of the traffic now, in parts of a unit of weight; without a time, once it has come
    /// up.
    pub fn weight_at(&self, now: Option<Instant>) -> u32 {
        let share = self.ramp.zip(now).map_or(WHOLE, |(ramp, now)| ramp.share(now));
        self.weight * share
    }

    /// Whether the traffic that keeps to this release may go there. One whose release is unknown is
    /// not left out: nothing speaks against it.
    fn runs(&self, preferred: Option<&Release>) -> bool {
        match (preferred, &self.deployed) {
            (Some(preferred), Some(deployed)) => deployed.release == *preferred,
            (None, _) | (_, None) => true,
        }
    }

    pub fn runner(&self) -> Runner<'_> {
        let up = self.is_in_full_use();
        Runner { deployed: self.deployed.as_ref(), weight: self.weight, up }
    }

    /// Up, and no breaker tries it first.
    pub fn is_in_full_use(&self) -> bool {
        self.is_up() && self.trials().is_none()
    }

    /// Whether all its places are taken, or go to those who wait already.
    pub fn full(&self) -> bool {
        self.backend.is_awaited()
            || self.max_requests.is_some_and(|max| self.backend.in_flight() >= max)
            || self.trials().is_some_and(|trials| trials.full())
    }

    /// Whether it may ever be full.
    pub fn is_limited(&self) -> bool {
        self.max_requests.is_some() || self.trials().is_some()
    }

    /// Who is let through while its breaker is half-open.
    pub fn trials(&self) -> Option<&Arc<Trials>> {
        self.breaker.as_ref().and_then(Position::trials)
    }

    pub fn most(&self) -> usize {
        self.max_requests.unwrap_or(usize::MAX)
    }
}

/// Of the address alone: another pool of the same backends leads the same keys the same way.
fn seed(member: &Member) -> u64 {
    consistent_hash::hash(member.backend.address().to_string().as_bytes())
}

/// Who takes requests, as the members stand now.
struct Takers {
    preferred: Option<Release>,
    lapses: Vec<Lapse>,
    candidates: Vec<usize>,
    pins: Pins,
    heaviest: u32,
}

impl Takers {
    fn of(config: &config::Pool, members: &[Member], past: Past<'_>) -> Takers {
        let preference = Preference::of(config, members, past);
        let candidates = candidates(members, &preference, config.when_all_down);
        let pins = if config.pin { Pins::of(members, &candidates) } else { Pins::default() };
        let all = candidates.iter().copied().chain(pins.all());
        let heaviest = all.map(|index| members[index].weight).max().unwrap_or(1);
        let Preference { now: preferred, lapses, .. } = preference;
        Takers { preferred, lapses, candidates, pins, heaviest }
    }
}

/// Who counts for what the traffic keeps to, if those `up` were up.
///
/// A backup that runs another release is no reason to leave what the normal backends run, nor to go
/// there: it is asked only where there is nothing else.
fn runners(members: &[Member], up: impl Fn(&Member) -> bool) -> Vec<Runner<'_>> {
    let only_backups = members.iter().all(|member| member.backup);
    let counted = members.iter().filter(|member| only_backups || !member.backup);
    counted.map(|member| Runner { up: up(member), ..member.runner() }).collect()
}

/// What the traffic keeps to, and what it may keep to when those that are tried have passed.
struct Preference {
    now: Option<Release>,
    hoped: Option<Release>,
    lapses: Vec<Lapse>,
}

impl Preference {
    fn of(config: &config::Pool, members: &[Member], past: Past<'_>) -> Preference {
        let rule = Rule { on_skew: config.on_skew, min: config.on_skew_min, past };
        let in_use = runners(members, Member::is_in_full_use);
        let now = preference::preferred(&rule, &in_use);
        let lapses = preference::lapses(&rule, &in_use, now.as_ref());
        // Who is distrusted is tried all the same.
        let hoping = Rule { past: Past { lapses: &[], ..past }, ..rule };
        let hoped = preference::preferred(&hoping, &runners(members, Member::is_up));
        Preference { now, hoped, lapses }
    }

    /// One that is tried has to be, or it would never come back.
    fn keeps(&self, member: &Member) -> bool {
        let hoped = member.trials().is_some() && member.runs(self.hoped.as_ref());
        member.runs(self.now.as_ref()) || hoped
    }
}

/// In their order: those of the first tier that has a member in full use, and, of the tiers before
/// it, those that are tried. Who is tried takes a few requests; the others go on to who bears them.
fn candidates(
    members: &[Member],
    preference: &Preference,
    when_all_down: WhenAllDown,
) -> Vec<usize> {
    let tier = |member: &Member| (member.backup, !preference.keeps(member));
    let full = members.iter().filter(|member| member.weight > 0 && member.is_in_full_use());
    let last = full.map(tier).min().unwrap_or((true, true));
    let all = |wanted: &dyn Fn(&Member) -> bool| -> Vec<usize> {
        let takes = |member: &Member| member.weight > 0 && wanted(member);
        (0..members.len()).filter(|&index| takes(&members[index])).collect()
    };
    let up = all(&|member| member.is_up() && tier(member) <= last);
    if !up.is_empty() {
        return up;
    }
    match when_all_down {
        WhenAllDown::Fail => Vec::new(),
        // What an operator drains stays drained, and weight 0 is 0: it was meant so.
        WhenAllDown::ServeAnyway => all(&|member| member.verdict != Verdict::Draining),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::pool::backend::Key;

    /// `release` is empty where it is unknown.
    fn member(verdict: Verdict, backup: bool, release: &str) -> Member {
        let key = Key { pool: "app".into(), address: "127.0.0.1:80".parse().unwrap() };
        let metrics = crate::observe::metrics::Metrics::new(1).backend("app", "127.0.0.1:80");
        let backend = Backend::new(key, Arc::default(), metrics);
        let deployed = release.parse().ok().map(|release| Deployed { release, at: None });
        let (name, weight, max_requests, breaker) = (None, 1, None, None);
        let ramp = None;
        let unjudged = false;
        Member {
            backend,
            name,
            weight,
            ramp,
            backup,
            max_requests,
            verdict,
            unjudged,
            breaker,
            deployed,
        }
    }

    fn prefers(release: Option<&str>) -> Preference {
        let release: Option<Release> = release.map(|release| release.parse().unwrap());
        Preference { now: release.clone(), hoped: release, lapses: Vec::new() }
    }

    /// Let back by a few requests at first.
    fn tried(member: Member) -> Member {
        Member { breaker: Some(Position::HalfOpen(Arc::new(Trials::new(3)))), ..member }
    }

    #[test]
    fn who_is_tried_does_not_keep_the_others_out() {
        use Verdict::*;
        let check = |members: Vec<Member>, prefers: &Preference, expected: &[usize]| {
            assert_eq!(candidates(&members, prefers, WhenAllDown::Fail), expected);
        };
        let normal = |release| member(Up, false, release);
        let backup = || member(Up, true, "");
        let any = prefers(None);
        check(vec![tried(normal("")), normal(""), backup()], &any, &[0, 1]);
        check(vec![tried(normal("")), member(Down, false, ""), backup()], &any, &[0, 2]);
        check(vec![tried(normal("")), tried(backup())], &any, &[0, 1]);
        let newer = prefers(Some("1.5"));
        check(vec![tried(normal("1.5")), normal("1.4"), backup()], &newer, &[0, 1]);
        check(vec![tried(normal("1.5")), normal("1.5"), normal("1.4")], &newer, &[0, 1]);
    }

    #[test]
    fn a_release_that_is_tried_has_the_traffic_when_it_has_passed() {
        let normal = |release| member(Verdict::Up, false, release);
        let keys = "on_skew = \"prefer-newest\"";
        let deployed = |member: Member| Member {
            deployed: member.deployed.map(|it| Deployed { at: Some(Instant::now()), ..it }),
            ..member
        };
        let new = || deployed(normal("1.5"));
        let half = pool(keys, vec![tried(new()), new(), normal("1.4"), normal("1.4")]);
        assert_eq!(half.preferred.map(|it| it.to_string()).as_deref(), Some("1.4"));
        assert_eq!(half.candidates, [0, 2, 3], "one of it is tried, and that one is not enough");
        let old = pool(keys, vec![new(), new(), tried(normal("1.4")), normal("1.4")]);
        assert_eq!(old.candidates, [0, 1], "nobody asks for it");
    }

    #[test]
    fn who_is_full_is_not_available() {
        let config = "[listener.web]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n\
                      [pool.app]\nbackends = [\"127.0.0.1:81\"]";
        let config = config::parse(config, std::path::Path::new("e.toml")).unwrap();
        let config = Arc::new(config.pools[0].clone());
        let members: Vec<Member> = [Some(1), Some(2), None]
            .map(|max_requests| Member { max_requests, ..member(Verdict::Up, false, "") })
            .into();
        let metrics = crate::observe::metrics::Metrics::new(1).pool("app");
        let parts = PoolParts { config, members, tls: None, keys: None };
        let pool = Pool::new(parts, None, metrics);
        pool.members.iter().for_each(|member| member.backend.enter());
        let available = |tried| -> Vec<usize> {
            let takers = pool.takers(&Ask::after(tried));
            takers.into_iter().filter(|&index| pool.has_place(index)).collect()
        };
        assert_eq!(available(&[]), [1, 2]);
        assert_eq!(available(&[2]), [1]);
        assert!(available(&[1, 2]).is_empty(), "it waits for the one it was not tried at");
        assert_eq!(available(&[0, 1, 2]), [1, 2], "all were tried");
        assert_eq!(pool.takers(&Ask::after(&[1, 2])), [0]);
    }

    #[test]
    fn who_may_be_picked() {
        use Verdict::*;
        use WhenAllDown::*;
        let check = |given: &[(Verdict, bool)], when_all_down, expected: &[usize]| {
            let members: Vec<Member> = given.iter().map(|&(v, b)| member(v, b, "")).collect();
            let found = candidates(&members, &prefers(None), when_all_down);
            assert_eq!(found, expected, "{given:?}");
        };
        check(&[(Up, false), (Down, false), (Up, true)], Fail, &[0]);
        check(&[(Down, false), (Draining, false), (Up, true)], Fail, &[2]);
        check(&[(Down, false), (Down, true)], Fail, &[]);
        check(&[(Down, false), (Draining, false), (Down, true)], ServeAnyway, &[0, 2]);
        check(&[(Draining, false)], ServeAnyway, &[]);
    }

    #[test]
    fn other_releases_are_asked_before_nobody() {
        use Verdict::*;
        let check = |given: &[(Verdict, bool, &str)], expected: &[usize]| {
            let members: Vec<Member> = given.iter().map(|&(v, b, r)| member(v, b, r)).collect();
            let found = candidates(&members, &prefers(Some("1.5")), WhenAllDown::Fail);
            assert_eq!(found, expected, "{given:?}");
        };
        check(
            &[(Up, false, "1.5"), (Up, false, "1.4"), (Up, false, ""), (Up, true, "1.5")],
            &[0, 2],
        );
        check(&[(Down, false, "1.5"), (Up, false, "1.4"), (Up, true, "1.5")], &[1]);
        check(&[(Down, false, "1.5"), (Up, true, "1.4"), (Up, true, "1.5")], &[2]);
        check(&[(Down, false, "1.5"), (Up, true, "1.4"), (Draining, true, "1.5")], &[1]);
    }

    fn pool(keys: &str, members: Vec<Member>) -> Pool {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:80\"\n[pool.app]\nbackends = [\"127.0.0.1:81\"]\n\
             health = {{ release = {{ header = \"X-Release\" }} }}\n{keys}"
        );
        let config = config::parse(&text, std::path::Path::new("e.toml")).unwrap();
        let metrics = crate::observe::metrics::Metrics::new(1).pool("app");
        let config = Arc::new(config.pools[0].clone());
        Pool::new(PoolParts { config, members, tls: None, keys: None }, None, metrics)
    }

    #[test]
    fn backups_do_not_say_what_the_traffic_keeps_to() {
        use Verdict::Up;
        let normal = |release| member(Up, false, release);
        let backup = |release| member(Up, true, release);
        let keys = "on_skew = \"prefer-newest\"";
        let release = |pool: Pool| pool.preferred.map(|release| release.to_string());
        let mixed = vec![normal("1.4"), normal("1.4"), backup("1.5"), backup("1.5")];
        assert_eq!(release(pool(keys, mixed)).as_deref(), Some("1.4"));
        let only_backups = vec![backup("1.4"), backup("1.5")];
        assert_eq!(release(pool(keys, only_backups)).as_deref(), Some("1.5"));
        assert_eq!(release(pool("", vec![normal("1.4")])), None, "it is only reported");
    }
}
