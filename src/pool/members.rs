//! A pool as one snapshot knows it: its members, their verdicts, and who may be picked now.

use std::sync::Arc;

use crate::{
    config::{self, WhenAllDown},
    observe::metrics::PoolMetrics,
    pool::{
        backend::{Backend, Verdict},
        balance::consistent_hash,
        queue::{Queue, Wanted},
        release::Deployed,
    },
};

/// Immutable: a new verdict makes a new pool.
pub struct Pool {
    pub config: Arc<config::Pool>,
    pub members: Vec<Member>,
    /// Indexes into `members`, in their order: the normal backends that are up, else the backups
    /// that are up, else what `when_all_down` says.
    pub candidates: Vec<usize>,
    /// The largest weight among them.
    pub heaviest: u32,
    /// Whether any member has a limit; where none has, nobody is ever full and nobody waits.
    pub limited: bool,
    /// The very same in each snapshot in which this pool stands.
    pub queue: Arc<Queue>,
    /// Of the members' lots, in their order; empty where the balance draws none.
    pub seeds: Vec<u64>,
    pub metrics: Arc<PoolMetrics>,
}

/// A backend's place in a pool.
#[derive(Clone)]
pub struct Member {
    pub backend: Arc<Backend>,
    pub weight: u32,
    pub backup: bool,
    /// Requests under way at once, in the whole process; `None`: no limit.
    pub max_requests: Option<usize>,
    pub verdict: Verdict,
    /// What it runs, where that is known.
    pub deployed: Option<Deployed>,
}

impl Pool {
    /// With a queue of its own.
    pub fn new(config: Arc<config::Pool>, members: Vec<Member>, metrics: Arc<PoolMetrics>) -> Pool {
        let candidates = candidates(&members, config.when_all_down);
        let weights = candidates.iter().map(|&index| members[index].weight);
        let heaviest = weights.max().unwrap_or(1);
        let seeds = match &config.hash {
            Some(_) => members.iter().map(seed).collect(),
            None => Vec::new(),
        };
        let limited = members.iter().any(|member| member.max_requests.is_some());
        let queue = Arc::default();
        Pool { config, members, candidates, heaviest, limited, seeds, queue, metrics }
    }

    /// With the queue of the snapshot before, where the pool stood in it: who waits goes on waiting.
    pub fn succeeding(self, before: Option<&Pool>) -> Pool {
        let queue = before.map_or(self.queue, |before| before.queue.clone());
        Pool { queue, ..self }
    }

    /// Who may take one more try of a request now: up, and not full.
    pub fn available(&self, tried: &[usize]) -> Vec<usize> {
        let mut takers = self.takers(tried);
        takers.retain(|&index| !self.members[index].full());
        takers
    }

    /// Who may take one more try of a request, with a place free or without: candidates that it was
    /// not tried at, or all of them where there is no such.
    pub fn takers(&self, tried: &[usize]) -> Vec<usize> {
        let fresh = self.candidates.iter().copied().filter(|index| !tried.contains(index));
        let fresh: Vec<usize> = fresh.collect();
        if fresh.is_empty() { self.candidates.clone() } else { fresh }
    }

    /// What a request that finds none of its takers available waits for.
    pub fn wanted(&self, tried: &[usize]) -> Vec<Wanted> {
        let wanted = |index: usize| Wanted {
            backend: self.members[index].backend.clone(),
            index,
            max: self.members[index].most(),
        };
        self.takers(tried).into_iter().map(wanted).collect()
    }
}

impl Member {
    /// Whether all its places are taken.
    pub fn full(&self) -> bool {
        self.max_requests.is_some_and(|max| self.backend.in_flight() >= max)
    }

    pub fn most(&self) -> usize {
        self.max_requests.unwrap_or(usize::MAX)
    }
}

/// Of the address alone: another pool of the same backends leads the same keys the same way.
fn seed(member: &Member) -> u64 {
    consistent_hash::hash(member.backend.address().to_string().as_bytes())
}

fn candidates(members: &[Member], when_all_down: WhenAllDown) -> Vec<usize> {
    let all = |wanted: &dyn Fn(&Member) -> bool| -> Vec<usize> {
        (0..members.len()).filter(|&index| wanted(&members[index])).collect()
    };
    let up = |member: &Member| member.verdict == Verdict::Up;
    let normal = all(&|member| up(member) && !member.backup);
    if !normal.is_empty() {
        return normal;
    }
    let backups = all(&|member| up(member) && member.backup);
    if !backups.is_empty() {
        return backups;
    }
    match when_all_down {
        WhenAllDown::Fail => Vec::new(),
        // What an operator drains stays drained: it was taken out on purpose.
        WhenAllDown::ServeAnyway => all(&|member| member.verdict != Verdict::Draining),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::backend::Key;

    fn member(verdict: Verdict, backup: bool) -> Member {
        let key = Key { pool: "app".into(), address: "127.0.0.1:80".parse().unwrap() };
        let metrics = crate::observe::metrics::Metrics::new(1).backend("app", "127.0.0.1:80");
        let backend = Backend::new(key, Arc::default(), metrics);
        Member { backend, weight: 1, backup, max_requests: None, verdict, deployed: None }
    }

    #[test]
    fn who_is_full_is_not_available() {
        let config = "[listener.web]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n\
                      [pool.app]\nbackends = [\"127.0.0.1:81\"]";
        let config = config::parse(config, std::path::Path::new("e.toml")).unwrap();
        let config = Arc::new(config.pools[0].clone());
        let members: Vec<Member> = [Some(1), Some(2), None]
            .map(|max_requests| Member { max_requests, ..member(Verdict::Up, false) })
            .into();
        let metrics = crate::observe::metrics::Metrics::new(1).pool("app");
        let pool = Pool::new(config, members, metrics);
        pool.members.iter().for_each(|member| member.backend.enter());
        assert_eq!(pool.available(&[]), [1, 2]);
        assert_eq!(pool.available(&[2]), [1]);
        assert!(pool.available(&[1, 2]).is_empty(), "it waits for the one it was not tried at");
        assert_eq!(pool.available(&[0, 1, 2]), [1, 2], "all were tried");
        assert_eq!(pool.takers(&[1, 2]), [0]);
    }

    #[test]
    fn who_may_be_picked() {
        use Verdict::*;
        use WhenAllDown::*;
        let check = |given: &[(Verdict, bool)], when_all_down, expected: &[usize]| {
            let members: Vec<Member> = given.iter().map(|&(v, b)| member(v, b)).collect();
            assert_eq!(candidates(&members, when_all_down), expected, "{given:?}");
        };
        check(&[(Up, false), (Down, false), (Up, true)], Fail, &[0]);
        check(&[(Down, false), (Draining, false), (Up, true)], Fail, &[2]);
        check(&[(Down, false), (Down, true)], Fail, &[]);
        check(&[(Down, false), (Draining, false), (Down, true)], ServeAnyway, &[0, 2]);
        check(&[(Draining, false)], ServeAnyway, &[]);
    }
}
