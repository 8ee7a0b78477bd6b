//! A pool as one snapshot knows it: its members, their verdicts, and who may be picked now.

use std::sync::Arc;

use crate::{
    config::{self, WhenAllDown},
    observe::metrics::PoolMetrics,
    pool::{
        backend::{Backend, Verdict},
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
    pub metrics: Arc<PoolMetrics>,
}

/// A backend's place in a pool.
#[derive(Clone)]
pub struct Member {
    pub backend: Arc<Backend>,
    pub weight: u32,
    pub backup: bool,
    pub verdict: Verdict,
    /// What it runs, where that is known.
    pub deployed: Option<Deployed>,
}

impl Pool {
    pub fn new(config: Arc<config::Pool>, members: Vec<Member>, metrics: Arc<PoolMetrics>) -> Pool {
        let candidates = candidates(&members, config.when_all_down);
        let weights = candidates.iter().map(|&index| members[index].weight);
        let heaviest = weights.max().unwrap_or(1);
        Pool { config, members, candidates, heaviest, metrics }
    }

    /// Whether a request could be sent anywhere now.
    pub fn available(&self) -> bool {
        !self.candidates.is_empty()
    }
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
        Member { backend, weight: 1, backup, verdict, deployed: None }
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
