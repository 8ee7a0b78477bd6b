//! Which backend takes the next request: one algorithm a file, each pure.

pub mod least_connections;
pub mod least_time;
pub mod random_two_choices;
pub mod round_robin;

use std::{cell::Cell, rc::Rc, time::Instant};

use fastrand::Rng;

use crate::{
    config::Balance,
    pool::{
        balance::{least_time::Estimate, random_two_choices::Urn},
        members::{Member, Pool},
    },
};

/// What a worker remembers of one pool, to balance by: of each member, in their order.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of the turns that are taken.
    pub credits: Vec<i64>,
    /// Of the times that answers took.
    pub times: Vec<Rc<Cell<Estimate>>>,
    pub random: Rng,
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

/// The index of the member that takes the next request; `None` when no one may be picked, or all
/// that may be are full. The clock is read only by what balances by time.
pub fn pick(
    pool: &Pool,
    memory: &mut Memory,
    ask: &Ask<'_>,
    clock: impl Fn() -> Instant,
) -> Option<usize> {
    memory.credits.resize(pool.members.len(), 0);
    memory.times.resize_with(pool.members.len(), Rc::default);
    if ask.tried.is_empty() && !pool.limited {
        return pick_among(pool, memory, &pool.candidates, clock);
    }
    pick_among(pool, memory, &pool.available(ask.tried), clock)
}

fn pick_among(
    pool: &Pool,
    memory: &mut Memory,
    candidates: &[usize],
    clock: impl Fn() -> Instant,
) -> Option<usize> {
    let members: &[Member] = &pool.members;
    let weight = |index: usize| members[index].weight;
    let in_flight = |index: usize| members[index].backend.in_flight();
    let urn = || Urn { candidates, weight, heaviest: pool.heaviest };
    let Memory { credits, times, random } = memory;
    match pool.config.balance {
        Balance::RoundRobin => round_robin::pick(candidates, weight, credits),
        Balance::LeastConnections => {
            least_connections::pick(candidates, weight, in_flight, credits)
        }
        Balance::RandomTwoChoices => random_two_choices::pick(&urn(), in_flight, random),
        Balance::LeastTime => {
            let now = clock();
            least_time::pick(&urn(), in_flight, |index| times[index].get().at(now), random)
        }
    }
}
