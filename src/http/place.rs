//! Where the next try of a request goes, and the wait for a place there.

use std::{cell::OnceCell, rc::Rc};

use tokio::time::Instant;

use crate::{
    config::Protocol,
    http::{
        downstream::GivenUp,
        exchange::Bounds,
        proxy::Exchange,
        record::Record,
        refusal::{self, Refusal},
    },
    pool::{
        balance::Ask,
        local::LocalPool,
        place::{InFlight, NoPlace},
        queue::Waiting,
        sticky::Seen,
    },
};

/// Where a request is tried, and where it was.
pub struct Course<'a> {
    pub pool: &'a LocalPool,
    /// Members of the pool.
    pub tried: Vec<usize>,
    /// Of a consistent hash.
    pub key: Option<u64>,
    /// What the client's cookie says, where the pool is sticky.
    pub seen: Option<Seen>,
}

impl<'a> Course<'a> {
    /// The same at a later snapshot's pool of that name.
    fn at(&self, pool: &'a LocalPool) -> Course<'a> {
        let now = &self.pool.pool;
        let tried = now.counted_by(&pool.pool, &self.tried);
        let place = |index: usize| now.index_in(&pool.pool, index);
        let seen = self.seen.clone();
        let seen = seen.map(|seen| Seen { index: seen.index.and_then(place), ..seen });
        Course { pool, tried, key: self.key, seen }
    }

    /// One more try.
    pub fn ask(&self) -> Ask<'_> {
        let kept_at = self.seen.as_ref().and_then(|seen| seen.index);
        let release = self.seen.as_ref().and_then(|seen| seen.release.as_ref());
        Ask::after(&self.tried).with_key(self.key).kept_at(kept_at).having_seen(release)
    }
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub enum Unplaced {
    ClientGone,
    /// Nobody is to blame but the pool: the request itself was fine.
    Refused(Refusal),
}

/// The index of the member that takes the next try, and a place there.
pub async fn find<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    course: &mut Course<'a>,
    bounds: &Bounds,
) -> Result<(usize, InFlight<'a>), Unplaced> {
    match course.pool.place(&course.ask()) {
        Ok(placed) => Ok(placed),
        // Boxed: every connection would carry its memory, and few ever wait.
        Err(why) => Box::pin(find_later(exchange, record, course, bounds, why)).await,
    }
}

async fn find_later<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    course: &mut Course<'a>,
    bounds: &Bounds,
    mut why: NoPlace,
) -> Result<(usize, InFlight<'a>), Unplaced> {
    loop {
        match why {
            NoPlace::NoneUp => return Err(none_up(exchange, course)),
            NoPlace::Full => {
                if let Some(placed) = queue(exchange, record, course, bounds).await? {
                    return Ok(placed);
                }
            }
            NoPlace::Undecided => await_first_probes(exchange, record, course, bounds).await?,
        }
        match course.pool.place(&course.ask()) {
            Ok(placed) => return Ok(placed),
            Err(none) => why = none,
        }
    }
}

/// Waits until somebody is up or nobody will be, for no longer than one may wait for a place.
async fn await_first_probes<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    course: &mut Course<'a>,
    bounds: &Bounds,
) -> Result<(), Unplaced> {
    let begun = Instant::now();
    let waited_before = record.queued.unwrap_or_default();
    let (deadline, late) = patience(course, record, bounds, refusal::NO_BACKEND);
    let decided = exchange.client.unless_gone(deadline, course.pool.decided()).await;
    record.queued = Some(waited_before + begun.elapsed());
    match decided {
        Ok(next) => {
            *course = follows(course, exchange.later.keep(next))?;
            Ok(())
        }
        Err(GivenUp::ClientGone) => Err(Unplaced::ClientGone),
        Err(GivenUp::Late) if late == refusal::NO_BACKEND => Err(none_up(exchange, course)),
        Err(GivenUp::Late) => Err(Unplaced::Refused(late)),
    }
}

/// Until when a request may wait, over all its tries, and what it is told then.
fn patience(
    course: &Course<'_>,
    record: &Record<'_>,
    bounds: &Bounds,
    late: Refusal,
) -> (Instant, Refusal) {
    let waited = record.queued.unwrap_or_default();
    let until = Instant::now() + course.pool.pool.config.queue.timeout.saturating_sub(waited);
    match bounds.whole() {
        Some(whole) if whole < until => (whole, refusal::REQUEST_TIMEOUT),
        _ => (until, late),
    }
}

fn none_up(exchange: &Exchange<'_>, course: &Course<'_>) -> Unplaced {
    course.pool.pool.metrics.no_backend(exchange.local.slot);
    Unplaced::Refused(refusal::NO_BACKEND)
}

/// Waits for a place behind others, for no longer than the pool allows one request in all. `None`:
/// there is another thing to wait for.
async fn queue<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    course: &mut Course<'a>,
    bounds: &Bounds,
) -> Result<Option<(usize, InFlight<'a>)>, Unplaced> {
    let slot = exchange.local.slot;
    let pool = &course.pool.pool;
    let metrics = &pool.metrics;
    let Ok(waiting) = course.pool.join_queue(&course.ask()) else {
        metrics.queue_full(slot);
        return Err(Unplaced::Refused(refusal::QUEUE_FULL));
    };
    let begun = Instant::now();
    let waited_before = record.queued.unwrap_or_default();
    let (deadline, late) = patience(course, record, bounds, refusal::QUEUE_TIMEOUT);
    let placed = wait(exchange, course, waiting, deadline, late).await;
    let waited = begun.elapsed();
    record.pool = Some(&course.pool.pool);
    record.queued = Some(waited_before + waited);
    metrics.queued(slot, waited);
    if placed.as_ref().is_err_and(|error| *error == Unplaced::Refused(refusal::QUEUE_TIMEOUT)) {
        metrics.queue_timed_out(slot);
    }
    placed
}

async fn wait<'a>(
    exchange: &mut Exchange<'a>,
    course: &mut Course<'a>,
    mut waiting: Waiting,
    deadline: Instant,
    late: Refusal,
) -> Result<Option<(usize, InFlight<'a>)>, Unplaced> {
    loop {
        let placed = course.pool.placed(&mut waiting);
        match exchange.client.unless_gone(deadline, placed).await {
            Ok(Some(placed)) => return Ok(Some(placed)),
            Ok(None) if follow(exchange, course, &mut waiting)? => {}
            Ok(None) => return Ok(None),
            Err(GivenUp::ClientGone) => return Err(Unplaced::ClientGone),
            Err(GivenUp::Late) => return Err(Unplaced::Refused(late)),
        }
    }
}

/// The pool says something else than when the wait began: who has come up is waited for as well, and
/// who is down or has left is waited for no more. False where nobody is left to wait for.
fn follow<'a>(
    exchange: &Exchange<'a>,
    course: &mut Course<'a>,
    waiting: &mut Waiting,
) -> Result<bool, Unplaced> {
    let Some(next) = course.pool.successor() else {
        return Ok(true);
    };
    let following = follows(course, exchange.later.keep(next))?;
    let wanted = following.pool.pool.wanted(&following.ask());
    if wanted.is_empty() {
        *course = following;
        return Ok(false);
    }
    // Where a place was handed over at this very moment, it is used.
    if waiting.want(wanted) {
        *course = following;
    }
    Ok(true)
}

/// The same at a later pool. A request for a script is nothing to who speaks HTTP, nor the other way.
fn follows<'a>(course: &Course<'a>, next: &'a LocalPool) -> Result<Course<'a>, Unplaced> {
    let runs_scripts = |pool: &LocalPool| pool.pool.config.protocol == Protocol::Fastcgi;
    if runs_scripts(course.pool) != runs_scripts(next) {
        return Err(Unplaced::Refused(refusal::POOL_CHANGED));
    }
    Ok(course.at(next))
}

/// Pools of later snapshots that a request has moved on to, kept for as long as it may need them.
#[derive(Default)]
pub struct LaterPools(OnceCell<Box<(Rc<LocalPool>, LaterPools)>>);

impl LaterPools {
    fn keep(&self, pool: Rc<LocalPool>) -> &LocalPool {
        match self.0.get() {
            Some(kept) => kept.1.keep(pool),
            None => &self.0.get_or_init(|| Box::new((pool, LaterPools::default()))).0,
        }
    }
}
