//! A place at a backend: at once, or after a wait for one.

use std::{future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};

use crate::pool::{
    backend::Backend,
    balance::{Ask, Pick},
    breaker::Trials,
    local::LocalPool,
    members::Pool,
    queue::{Queue, QueueFull, Waiting},
};

/// One request under way at a backend, until it is dropped. It borrows: a count of references would
/// be one more cache line that all workers write.
pub struct InFlight<'a> {
    backend: &'a Arc<Backend>,
    queue: &'a Arc<Queue>,
    /// Where it is a trial of a half-open breaker.
    trials: Option<&'a Arc<Trials>>,
    handed_over: bool,
}

/// As [`InFlight`], for what may be under way for days and must not keep a snapshot's pool that long.
pub struct Held {
    backend: Arc<Backend>,
    queue: Arc<Queue>,
    trials: Option<Arc<Trials>>,
}

impl<'a> InFlight<'a> {
    /// At this member of a pool without limits.
    pub fn begin(pool: &'a Pool, index: usize) -> InFlight<'a> {
        pool.members[index].backend.enter();
        InFlight::counted(pool, index)
    }

    /// Of a request that is counted already.
    fn counted(pool: &'a Pool, index: usize) -> InFlight<'a> {
        let member = &pool.members[index];
        InFlight {
            backend: &member.backend,
            queue: &pool.queue,
            trials: member.trials(),
            handed_over: false,
        }
    }

    /// The same place, without the pool.
    pub fn keep(mut self) -> Held {
        self.hand_over()
    }

    /// The same, while this goes on without a place.
    pub fn hand_over(&mut self) -> Held {
        self.handed_over = true;
        Held {
            backend: self.backend.clone(),
            queue: self.queue.clone(),
            trials: self.trials.cloned(),
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.handed_over && self.backend.leave(self.trials.map(|trials| &**trials)) {
            self.queue.freed(self.backend);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.backend.leave(self.trials.as_deref()) {
            self.queue.freed(&self.backend);
        }
    }
}

/// Why there is no place at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// No backend may be picked: there is nothing to wait for.
    NoneUp,
    /// No backend may be picked before the first probes have come back.
    Undecided,
    /// All that may be picked are full, or others wait already.
    Full,
}

/// A backend that was tried and has left the pool since: a try that counts, at no member.
const LEFT: usize = usize::MAX;

impl Pool {
    /// Which of another snapshot's members this one of ours is.
    pub fn index_in(&self, next: &Pool, index: usize) -> Option<usize> {
        let backend = &self.members.get(index)?.backend;
        next.members.iter().position(|member| Arc::ptr_eq(&member.backend, backend))
    }

    /// These members of ours, as another snapshot of the same pool counts them.
    pub fn counted_by(&self, next: &Pool, members: &[usize]) -> Vec<usize> {
        members.iter().map(|&index| self.index_in(next, index).unwrap_or(LEFT)).collect()
    }
}

impl LocalPool {
    /// The index of the member that takes the next try, and a place there.
    pub fn place(&self, ask: &Ask<'_>) -> Result<(usize, InFlight<'_>), NoPlace> {
        if self.pool.limited {
            return self.place_within_limits(ask);
        }
        let Pick { index, by } = self.pick(ask).ok_or_else(|| self.nobody())?;
        self.count_pick(by, ask);
        Ok((index, InFlight::begin(&self.pool, index)))
    }

    fn place_within_limits(&self, ask: &Ask<'_>) -> Result<(usize, InFlight<'_>), NoPlace> {
        while let Some(Pick { index, by }) = self.pick(ask) {
            let member = self.member(index);
            if member.backend.try_enter(member.most(), member.trials().map(|it| &**it)) {
                self.count_pick(by, ask);
                return Ok((index, InFlight::counted(&self.pool, index)));
            }
            // Another worker was faster: it is full now.
        }
        Err(if self.pool.takers(ask).is_empty() { self.nobody() } else { NoPlace::Full })
    }

    fn nobody(&self) -> NoPlace {
        match self.pool.is_undecided() {
            true => NoPlace::Undecided,
            false => NoPlace::NoneUp,
        }
    }

    /// Waits, at a pool that is undecided, for one of its successors that is not. It has no deadline
    /// of its own.
    ///
    /// A reload that exchanges all backends, a name that moves, a start: requests come at once, and
    /// the first probes a moment later. No request is sent to a backend that no probe has passed,
    /// and none is turned away for that moment.
    pub async fn decided(&self) -> Rc<LocalPool> {
        let mut next = self.succeeding().await;
        while next.pool.is_undecided() {
            let later = next.succeeding().await;
            next = later;
        }
        next
    }

    /// Joins those that wait for a place.
    pub fn join_queue(&self, ask: &Ask<'_>) -> Result<Waiting, QueueFull> {
        self.pool.queue.join(self.pool.wanted(ask), self.pool.config.queue.max)
    }

    /// Waits for a place. `None`: the pool has a successor, to be followed.
    pub async fn placed(&self, waiting: &mut Waiting) -> Option<(usize, InFlight<'_>)> {
        let mut succeeded = pin!(self.succeeded());
        poll_fn(|context| {
            if let Poll::Ready(index) = waiting.poll_place(context) {
                return Poll::Ready(Some((index, InFlight::counted(&self.pool, index))));
            }
            succeeded.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
