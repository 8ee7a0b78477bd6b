//! Which backend takes the next request: one algorithm a file, each pure.

pub mod consistent_hash;
pub mod least_connections;
pub mod least_time;
pub mod random_two_choices;
pub mod round_robin;

use std::{borrow::Cow, cell::Cell, rc::Rc, time::Instant};

use fastrand::Rng;

use crate::{
    config::Balance,
    observe::metrics::PickedBy,
    pool::{
        balance::{
            consistent_hash::{Lots, Place},
            least_time::Estimate,
            random_two_choices::Urn,
        },
        members::{Member, Pool},
        release::Release,
        slow_start::WHOLE,
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
    /// Of a consistent hash; `None`: the request has none, or none is asked for.
    pub key: Option<u64>,
    /// The member that its client is kept at, while that takes it.
    pub kept_at: Option<usize>,
    /// The release that its client has seen, where it is pinned to it.
    pub seen: Option<&'a Release>,
}

impl<'a> Ask<'a> {
    /// One more try, after those at `tried`.
    pub fn after(tried: &'a [usize]) -> Ask<'a> {
        Ask { tried, ..Ask::default() }
    }

    pub fn with_key(self, key: Option<u64>) -> Ask<'a> {
        Ask { key, ..self }
    }

    pub fn having_seen(self, seen: Option<&'a Release>) -> Ask<'a> {
        Ask { seen, ..self }
    }

    pub fn kept_at(self, kept_at: Option<usize>) -> Ask<'a> {
        Ask { kept_at, ..self }
    }
}

/// Who takes the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Of the member.
    pub index: usize,
    /// What of the request led there, where anything of it counts.
    pub by: Option<PickedBy>,
}

/// The member that takes the next request; `None` when no one may be picked, or all that may be are
/// full. The clock is read only by what balances by time and while a member comes up slowly.
pub fn pick(
    pool: &Pool,
    memory: &mut Memory,
    ask: &Ask<'_>,
    clock: impl Fn() -> Instant,
) -> Option<Pick> {
    let takers = takers(pool, ask);
    if let [only] = *takers
        && ask.kept_at == Some(only)
    {
        return pool.has_place(only).then_some(Pick { index: only, by: None });
    }
    let members: &[Member] = &pool.members;
    let now = pool.ramps_end.map(|end| (end, clock()));
    let coming_up = now.and_then(|(end, now)| (now < end).then_some(now));
    let weight = |index: usize| members[index].weight_at(coming_up);
    let in_flight = |index: usize| members[index].backend.in_flight();
    if let (Balance::ConsistentHash, Some(key)) = (pool.config.balance, ask.key) {
        let (seed, has_place) = (|index: usize| pool.seeds[index], |index| pool.has_place(index));
        let lots = Lots { candidates: &takers, seed, weight, has_place };
        let bound = pool.config.hash.as_ref().and_then(|hash| hash.bound);
        return by_key(&lots, key, bound, in_flight);
    }
    let candidates: &[usize] = &with_place(pool, takers);
    memory.credits.resize(members.len(), 0);
    memory.times.resize_with(members.len(), Rc::default);
    let urn = || Urn { candidates, weight, heaviest: pool.heaviest * WHOLE };
    let Memory { credits, times, random } = memory;
    let index = match pool.config.balance {
        Balance::RoundRobin | Balance::ConsistentHash => {
            round_robin::pick(candidates, weight, credits)?
        }
        Balance::LeastConnections => {
            least_connections::pick(candidates, weight, in_flight, credits)?
        }
        Balance::RandomTwoChoices => random_two_choices::pick(&urn(), in_flight, random)?,
        Balance::LeastTime => {
            let now = clock();
            least_time::pick(&urn(), in_flight, |index| times[index].get().at(now), random)?
        }
    };
    let keyless = pool.config.balance == Balance::ConsistentHash;
    Some(Pick { index, by: keyless.then_some(PickedBy::NoKey) })
}

fn by_key<S, W, P>(
    lots: &Lots<'_, S, W, P>,
    key: u64,
    bound: Option<f64>,
    in_flight: impl Fn(usize) -> usize,
) -> Option<Pick>
where
    S: Fn(usize) -> u64,
    W: Fn(usize) -> u32,
    P: Fn(usize) -> bool,
{
    let place = match bound {
        Some(bound) => lots.pick_bounded(key, bound, in_flight)?,
        None => lots.pick(key)?,
    };
    Some(match place {
        Place::Own(index) => Pick { index, by: Some(PickedBy::Key) },
        Place::Overflow(index) => Pick { index, by: Some(PickedBy::Overflow) },
    })
}

/// Who may take the request, with a place free or without.
fn takers<'a>(pool: &'a Pool, ask: &Ask<'_>) -> Cow<'a, [usize]> {
    if ask.tried.is_empty() && ask.kept_at.is_none() {
        return Cow::Borrowed(pool.pins.takers(ask.seen).unwrap_or(&pool.candidates));
    }
    Cow::Owned(pool.takers(ask))
}

/// Those of them that may take it now.
fn with_place<'a>(pool: &Pool, takers: Cow<'a, [usize]>) -> Cow<'a, [usize]> {
    if !pool.limited {
        return takers;
    }
    let mut takers = takers.into_owned();
    takers.retain(|&index| pool.has_place(index));
    Cow::Owned(takers)
}
