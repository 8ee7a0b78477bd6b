//! A worker's own share of a pool: its turn, its retry budget, its idle connections. Never shared.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    config::Balance,
    observe::metrics::PickedBy,
    pool::{
        backend::Key,
        balance::{self, Ask, Memory, Pick, least_time::Estimate},
        hedge::FirstBytes,
        idle::IdleConnections,
        members::{Member, Pool},
        multiplexed::Multiplexed,
        retry::{Budget, FailedTry, may_retry},
        window::Outcome,
    },
};

/// What stays of a backend over a change of its pool. Requests under way keep writing to it.
#[derive(Default)]
struct Kept {
    /// `None`: it was not there.
    weight: Option<u32>,
    credit: i64,
    time: Rc<Cell<Estimate>>,
    idle: Rc<IdleConnections>,
    multiplexed: Rc<Multiplexed>,
}

/// One pool, as one worker sees it.
pub struct LocalPool {
    pub pool: Arc<Pool>,
    /// Which cell of every count is this worker's.
    slot: usize,
    memory: RefCell<Memory>,
    budget: Rc<RefCell<Budget>>,
    /// Where second tries are made.
    pub(super) first_bytes: Option<Rc<RefCell<FirstBytes>>>,
    /// In the order of `pool.members`.
    idle: Vec<Rc<IdleConnections>>,
    /// Likewise.
    multiplexed: Vec<Rc<Multiplexed>>,
    succession: Rc<Succession>,
}

/// Where a worker's pool of one name is now, over all snapshots: who waits follows it.
#[derive(Default)]
struct Succession {
    current: RefCell<Weak<LocalPool>>,
    bell: Notify,
}

impl LocalPool {
    /// Takes over from `previous`, by backend: turns, budget and idle connections of what stays. A
    /// connection that was made by another TLS, or without, is not reused: who is at its other end
    /// was found out by other rules. Nor is one on which something else was spoken.
    pub fn new(pool: Arc<Pool>, slot: usize, previous: Option<&LocalPool>) -> Rc<LocalPool> {
        let mut kept = previous.map(|held| held.kept(&pool)).unwrap_or_default();
        let (mut memory, mut idle, mut multiplexed) = (Memory::default(), Vec::new(), Vec::new());
        let mut reweighed = false;
        for member in &pool.members {
            let held = kept.remove(member.backend.key()).unwrap_or_default();
            memory.credits.push(held.credit);
            reweighed |= held.weight.is_some_and(|before| before != member.weight);
            memory.times.push(held.time);
            held.idle.keep(pool.config.max_idle, pool.config.timeouts.keep_alive);
            held.multiplexed.keep_for(pool.config.timeouts.keep_alive);
            idle.push(held.idle);
            multiplexed.push(held.multiplexed);
        }
        if reweighed {
            // What was earned by other weights would bunch the next turns.
            memory.credits.fill(0);
        }
        for gone in kept.into_values() {
            gone.idle.retire();
            gone.multiplexed.retire();
        }
        let budget = match previous {
            Some(previous) => previous.budget.clone(),
            None => Rc::new(RefCell::new(Budget::new(pool.config.retry.budget))),
        };
        budget.borrow_mut().set_share(pool.config.retry.budget);
        let held = previous.and_then(|previous| previous.first_bytes.clone());
        let first_bytes = pool.config.hedge.map(|_| held.unwrap_or_default());
        let memory = RefCell::new(memory);
        let succession = previous.map(|previous| previous.succession.clone()).unwrap_or_default();
        let local = Rc::new(LocalPool {
            pool,
            slot,
            memory,
            budget,
            first_bytes,
            idle,
            multiplexed,
            succession,
        });
        local.succession.current.replace(Rc::downgrade(&local));
        if previous.is_some_and(|previous| !Arc::ptr_eq(&previous.pool, &local.pool)) {
            local.succession.bell.notify_waiters();
        }
        local
    }

    /// What `next` may take over.
    fn kept(&self, next: &Pool) -> HashMap<Key, Kept> {
        let memory = self.memory.borrow();
        // TLS found out who is there by that name.
        let named = next.members.iter().filter(|_| next.tls.is_some());
        let names: HashMap<&Key, _> = named.map(|it| (it.backend.key(), &it.name)).collect();
        let renamed =
            |it: &Member| names.get(it.backend.key()).is_some_and(|name| **name != it.name);
        let members = self.pool.members.iter().enumerate();
        let kept = members.map(|(index, member)| {
            let credit = memory.credits[index];
            let time = memory.times[index].clone();
            let mut kept = Kept {
                weight: Some(member.weight),
                credit,
                time,
                idle: self.idle[index].clone(),
                multiplexed: self.multiplexed[index].clone(),
            };
            let same_words = self.pool.config.protocol == next.config.protocol;
            if !same_words || !self.pool.speaks(next.tls.as_ref()) || renamed(member) {
                std::mem::take(&mut kept.idle).retire();
                std::mem::take(&mut kept.multiplexed).retire();
            }
            (member.backend.key().clone(), kept)
        });
        kept.collect()
    }

    /// The pool of this name in a later snapshot, where that says something else of it.
    pub fn successor(&self) -> Option<Rc<LocalPool>> {
        let current = self.succession.current.borrow().upgrade()?;
        (!Arc::ptr_eq(&current.pool, &self.pool)).then_some(current)
    }

    /// Waits until there is a successor.
    pub async fn succeeded(&self) {
        let bell = self.succession.bell.notified();
        if self.successor().is_none() {
            bell.await;
        }
    }

    /// Waits for a successor.
    pub async fn succeeding(&self) -> Rc<LocalPool> {
        loop {
            self.succeeded().await;
            if let Some(next) = self.successor() {
                return next;
            }
        }
    }

    /// The pool left the configuration: what is idle is closed, what is under way may end.
    pub fn retire(&self) {
        self.idle.iter().for_each(|connections| connections.retire());
        self.multiplexed.iter().for_each(|connections| connections.retire());
    }

    /// The member that takes the next try, where that has a place.
    pub fn pick(&self, ask: &Ask<'_>) -> Option<Pick> {
        let mut memory = self.memory.borrow_mut();
        balance::pick(&self.pool, &mut memory, ask, Instant::now)
    }

    /// A place was taken where a pick led: the first of a request is counted.
    pub fn count_pick(&self, by: Option<PickedBy>, ask: &Ask<'_>) {
        if let (Some(by), []) = (by, ask.tried) {
            self.pool.metrics.picked(self.slot, by);
        }
    }

    /// The member at `index` answered well; its answer began so long after it was asked.
    pub fn answered(&self, index: usize, took: Duration) {
        self.began(index, took);
        self.ended(index);
    }

    /// An answer of the member at `index` began well, so long after it was asked. What came of it is
    /// told when it has ended: by `ended`, `left` or `cut_off`. A trial has passed: the rest of it may
    /// be a stream of days.
    pub fn began(&self, index: usize, took: Duration) {
        let member = self.member(index);
        member.backend.succeeded();
        if member.trials().is_some() {
            self.count(index, Outcome::Passed);
        }
        self.take_in_time(index, |held, now| held.answered(took, now));
    }

    /// That answer came whole.
    pub fn ended(&self, index: usize) {
        self.member(index).backend.ended_well();
        self.left(index);
    }

    /// The client left within that answer, which speaks no more for the backend than its head did.
    pub fn left(&self, index: usize) {
        if self.member(index).trials().is_none() {
            self.count(index, Outcome::Passed);
        }
    }

    /// That answer broke off, by the backend's fault.
    pub fn cut_off(&self, index: usize) {
        self.member(index).backend.cut_off(self.pool.config.passive.fall);
        self.count(index, Outcome::Failed);
        self.take_in_time(index, Estimate::failed);
    }

    /// The member at `index` answered, but ill: what that counts as, the pool's settings say.
    pub fn answered_ill(&self, index: usize) {
        let config = &self.pool.config;
        let backend = &self.member(index).backend;
        match config.passive.count_5xx {
            true => backend.failed(config.passive.fall),
            false => backend.succeeded(),
        }
        let fails = config.breaker.is_some_and(|breaker| breaker.count_5xx);
        self.count(index, if fails { Outcome::Failed } else { Outcome::Passed });
        // An error is quickly made: by its time alone it would draw more requests.
        self.take_in_time(index, Estimate::failed);
    }

    /// A request failed at the member at `index`, by its fault.
    pub fn failed(&self, index: usize) {
        self.member(index).backend.failed(self.pool.config.passive.fall);
        self.count(index, Outcome::Failed);
        self.take_in_time(index, Estimate::failed);
    }

    /// For the breaker of the member at `index`, where the pool has one.
    fn count(&self, index: usize, outcome: Outcome) {
        let member = self.member(index);
        let (Some(breaker), Some(settings)) = (&member.breaker, &self.pool.config.breaker) else {
            return;
        };
        if breaker.count(outcome, settings, Instant::now()) {
            member.backend.ring();
        }
    }

    /// The client left before the member at `index` answered; it was asked at `asked`.
    pub fn given_up(&self, index: usize, asked: Option<Instant>) {
        let Some(asked) = asked else {
            return;
        };
        self.take_in_time(index, |held, now| {
            held.given_up(now.saturating_duration_since(asked), now);
        });
    }

    /// Now, where time is balanced by: nobody else reads a clock for it.
    pub fn now(&self) -> Option<Instant> {
        (self.pool.config.balance == Balance::LeastTime).then(Instant::now)
    }

    fn take_in_time(&self, index: usize, take_in: impl FnOnce(&mut Estimate, Instant)) {
        let Some(now) = self.now() else {
            return;
        };
        let held = self.memory.borrow().times[index].clone();
        let mut estimate = held.get();
        take_in(&mut estimate, now);
        held.set(estimate);
    }

    pub fn member(&self, index: usize) -> &Member {
        &self.pool.members[index]
    }

    pub fn idle(&self, index: usize) -> &Rc<IdleConnections> {
        &self.idle[index]
    }

    pub fn multiplexed(&self, index: usize) -> &Rc<Multiplexed> {
        &self.multiplexed[index]
    }

    pub fn count_request(&self) {
        self.budget.borrow_mut().request();
    }

    /// Whether a request may go to another backend after a failed try, within the pool's attempts
    /// and budget; a retry that may be made is paid for.
    #[must_use]
    pub fn may_try_again(&self, failed: FailedTry, tried: &[usize], slot: usize) -> bool {
        let attempts_left = tried.len() < self.pool.config.retry.attempts as usize;
        // The same backend at once is worth a try only if its connection was at fault.
        let somewhere_else = self.pool.candidates.iter().any(|index| !tried.contains(index));
        let worthwhile = somewhere_else || failed.reached.is_of_connection();
        if !attempts_left || !worthwhile || !may_retry(failed) {
            return false;
        }
        let paid = self.budget.borrow_mut().spend();
        match paid {
            true => self.pool.metrics.retried(slot),
            false => self.pool.metrics.retry_refused(slot),
        }
        paid
    }

    /// Whether a request that was tried at `tried` may be tried at one more while its answer is late:
    /// within the pool's attempts and its budget of retries. One that may be made is paid for.
    #[must_use]
    pub fn may_hedge(&self, tried: &[usize]) -> bool {
        if tried.len() >= self.pool.config.retry.attempts as usize {
            return false;
        }
        let paid = self.budget.borrow_mut().spend();
        match paid {
            true => self.pool.metrics.hedged(self.slot),
            false => self.pool.metrics.hedge_refused(self.slot),
        }
        paid
    }

    /// Closes what has been idle too long or was closed by the backend.
    pub fn sweep(&self, now: Instant) {
        for connections in &self.idle {
            connections.sweep(now);
        }
        self.multiplexed.iter().for_each(|connections| connections.sweep(now));
    }
}
