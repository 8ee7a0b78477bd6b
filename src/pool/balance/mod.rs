//! Which backend takes the next request: one algorithm a file, each pure.

pub mod least_connections;
pub mod round_robin;

use crate::{
    config::Balance,
    pool::members::{Member, Pool},
};

/// What a worker remembers of its turns through one pool: a credit for each member, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rotation {
    pub credits: Vec<i64>,
}

/// What a request asks of a pool, besides any backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Members that this request was tried at: picked again only when every candidate was tried.
    pub tried: &'a [usize],
}

impl<'a> Ask<'a> {
    /// One more try, after those at `tried`.
    pub fn after(tried: &'a [usize]) -> Ask<'a> {
        Ask { tried }
    }
}

/// The index of the member that takes the next request; `None` when no one may be picked.
pub fn pick(pool: &Pool, rotation: &mut Rotation, ask: &Ask<'_>) -> Option<usize> {
    rotation.credits.resize(pool.members.len(), 0);
    if ask.tried.is_empty() {
        return pick_among(pool, rotation, &pool.candidates);
    }
    let fresh: Vec<usize> =
        pool.candidates.iter().copied().filter(|index| !ask.tried.contains(index)).collect();
    if fresh.is_empty() {
        return pick_among(pool, rotation, &pool.candidates);
    }
    pick_among(pool, rotation, &fresh)
}

fn pick_among(pool: &Pool, rotation: &mut Rotation, candidates: &[usize]) -> Option<usize> {
    let members: &[Member] = &pool.members;
    let weight = |index: usize| members[index].weight;
    match pool.config.balance {
        Balance::RoundRobin => round_robin::pick(candidates, weight, &mut rotation.credits),
        Balance::LeastConnections => {
            let in_flight = |index: usize| members[index].backend.in_flight();
            least_connections::pick(candidates, weight, in_flight, &mut rotation.credits)
        }
    }
}
