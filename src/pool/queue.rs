//! Requests that wait for a place at a backend: in the order they came, over all workers.
//!
//! A place that is given back is handed to the first who waits for it; whoever comes later does not
//! get in before. The lock is held for a few steps, and only while someone waits: a pool without
//! limits, or with a place free, never comes here.

use std::{
    collections::{BTreeMap, HashMap},
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::pool::{backend::Backend, breaker::Trials};

/// Who waits at one pool. It outlives reloads, as the pool's name does.
#[derive(Default)]
pub struct Queue {
    /// For who asks from outside.
    length: AtomicUsize,
    line: Mutex<Line>,
}

/// What the lock guards.
#[derive(Default)]
struct Line {
    next_ticket: u64,
    /// In the order of their tickets.
    waiting: BTreeMap<u64, Waiter>,
    /// Who was handed a place and has not taken it yet.
    handed: HashMap<u64, Wanted>,
}

struct Waiter {
    wants: Vec<Wanted>,
    waker: Option<Waker>,
}

/// A backend that a request would go to.
#[derive(Clone)]
pub struct Wanted {
    pub backend: Arc<Backend>,
    /// The member of its pool, in the snapshot of who waits.
    pub index: usize,
    /// Requests that may be under way there.
    pub max: usize,
    /// Where its breaker is half-open.
    pub trials: Option<Arc<Trials>>,
}

/// So many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl Queue {
    /// Requests that wait now.
    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Waits for a place at any of `wants`, behind those that wait already.
    pub fn join(self: &Arc<Self>, wants: Vec<Wanted>, max: usize) -> Result<Waiting, QueueFull> {
        let mut line = self.line();
        if line.waiting.len() >= max {
            return Err(QueueFull);
        }
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        let wanted = backends(&wants);
        line.enter(ticket, Waiter { wants, waker: None });
        self.hand_out(line, &wanted);
        Ok(Waiting { queue: self.clone(), ticket })
    }

    /// A place at this backend was given back.
    pub(super) fn freed(&self, backend: &Arc<Backend>) {
        self.hand_out(self.line(), std::slice::from_ref(backend));
    }

    /// Hands out all that is free at these backends: to whoever is first there, which need not be
    /// the one for whom this is asked. Who leaves its turn, or wants more than before, may have kept
    /// others waiting beside free places.
    fn hand_out(&self, mut line: MutexGuard<'_, Line>, backends: &[Arc<Backend>]) {
        let mut woken = Vec::new();
        for backend in backends {
            while let Some(waker) = line.hand_on(backend) {
                woken.push(waker);
            }
        }
        self.let_go(line, woken);
    }

    /// Wakes after the lock is let go: a waker is code of others.
    fn let_go(&self, line: MutexGuard<'_, Line>, woken: Vec<Option<Waker>>) {
        self.length.store(line.waiting.len(), Ordering::Relaxed);
        drop(line);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn enter(&mut self, ticket: u64, waiter: Waiter) {
        // Said before a place is looked for: see `Backend::leave`.
        waiter.wants.iter().for_each(|wanted| wanted.backend.await_place());
        self.waiting.insert(ticket, waiter);
    }

    fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        waiter.wants.iter().for_each(|wanted| wanted.backend.await_no_more());
        Some(waiter)
    }

    /// Hands a place at this backend to the first who wants one, if there is a place. Whom to wake:
    /// who has not been polled yet looks by itself.
    fn hand_on(&mut self, backend: &Backend) -> Option<Option<Waker>> {
        let (ticket, wanted) = self.waiting.iter().find_map(|(&ticket, waiter)| {
            let wanted = waiter.wants.iter().find(|wanted| ptr::eq(&*wanted.backend, backend))?;
            Some((ticket, wanted.clone()))
        })?;
        if !backend.try_enter(wanted.max, wanted.trials.as_deref()) {
            return None;
        }
        let waiter = self.leave(ticket)?;
        self.handed.insert(ticket, wanted);
        Some(waiter.waker)
    }
}

fn backends(wants: &[Wanted]) -> Vec<Arc<Backend>> {
    wants.iter().map(|wanted| wanted.backend.clone()).collect()
}

/// One request's turn. Dropping it leaves the queue, and gives back what was handed to it.
pub struct Waiting {
    queue: Arc<Queue>,
    ticket: u64,
}

impl Waiting {
    /// Ready when a place was handed to it, at the member with that index. The request counts as
    /// under way there: whoever calls this owes the backend a `leave`.
    pub(super) fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let mut line = self.queue.line();
        if let Some(wanted) = line.handed.remove(&self.ticket) {
            return Poll::Ready(wanted.index);
        }
        let waiter = line.waiting.get_mut(&self.ticket).expect("who has no place waits for one");
        match &mut waiter.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Wants others from now on, and keeps its turn. `false`: a place was handed to it meanwhile, of
    /// those it wanted before.
    #[must_use]
    pub fn want(&mut self, wants: Vec<Wanted>) -> bool {
        let mut line = self.queue.line();
        let Some(waiter) = line.leave(self.ticket) else {
            return false;
        };
        let before_and_now = [backends(&waiter.wants), backends(&wants)].concat();
        line.enter(self.ticket, Waiter { wants, ..waiter });
        self.queue.hand_out(line, &before_and_now);
        true
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        let left = line.leave(self.ticket);
        let untaken = line.handed.remove(&self.ticket);
        let wanted = left.map(|waiter| backends(&waiter.wants)).unwrap_or_default();
        self.queue.hand_out(line, &wanted);
        if let Some(wanted) = untaken
            && wanted.backend.leave(wanted.trials.as_deref())
        {
            self.queue.freed(&wanted.backend);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, future::poll_fn, task::Waker, thread, time::Duration};

    use super::*;
    use crate::{observe::metrics::Metrics, pool::backend::Key};

    fn backend(port: u16) -> Arc<Backend> {
        let key = Key { pool: "app".into(), address: ([127, 0, 0, 1], port).into() };
        let metrics = Metrics::new(1).backend("app", &key.address.to_string());
        Backend::new(key, Arc::default(), metrics)
    }

    fn wants(backends: &[&Arc<Backend>], max: usize) -> Vec<Wanted> {
        let backends = backends.iter().enumerate();
        backends
            .map(|(index, it)| Wanted { backend: Arc::clone(it), index, max, trials: None })
            .collect()
    }

    fn polled(waiting: &mut Waiting) -> Poll<usize> {
        waiting.poll_place(&mut Context::from_waker(Waker::noop()))
    }

    fn leave(queue: &Queue, backend: &Arc<Backend>) {
        if backend.leave(None) {
            queue.freed(backend);
        }
    }

    #[test]
    fn places_go_to_the_first_who_wants_them() {
        let (queue, a, b) = (Arc::<Queue>::default(), backend(1), backend(2));
        a.enter();
        b.enter();
        let mut first = queue.join(wants(&[&a], 1), 9).unwrap();
        let mut second = queue.join(wants(&[&a, &b], 1), 9).unwrap();
        let mut third = queue.join(wants(&[&a, &b], 1), 9).unwrap();
        assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Pending, Poll::Pending));
        leave(&queue, &b);
        assert_eq!((polled(&mut first), queue.length()), (Poll::Pending, 2));
        assert_eq!(polled(&mut second), Poll::Ready(1), "of those it wants, the second");
        leave(&queue, &a);
        assert_eq!((polled(&mut first), polled(&mut third)), (Poll::Ready(0), Poll::Pending));
        leave(&queue, &b);
        assert_eq!((polled(&mut third), queue.length()), (Poll::Ready(1), 0));
        assert_eq!((a.in_flight(), b.in_flight()), (1, 1));
        drop((first, second, third));
        assert_eq!((a.in_flight(), b.in_flight()), (1, 1), "what was taken is not given back");
        assert!(!a.leave(None) && !b.leave(None), "nobody waits any more");
    }

    #[test]
    fn who_joins_gets_what_nobody_before_it_wants() {
        let (queue, a, b) = (Arc::<Queue>::default(), backend(1), backend(2));
        a.enter();
        let mut first = queue.join(wants(&[&a], 1), 9).unwrap();
        let mut second = queue.join(wants(&[&a, &b], 1), 9).unwrap();
        assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Pending, Poll::Ready(1)));
    }

    #[test]
    fn a_full_queue_takes_no_one() {
        let (queue, a) = (Arc::<Queue>::default(), backend(1));
        a.enter();
        assert!(queue.join(wants(&[&a], 1), 0).is_err());
        let first = queue.join(wants(&[&a], 1), 1).unwrap();
        assert!(queue.join(wants(&[&a], 1), 1).is_err());
        drop(first);
        assert!(queue.join(wants(&[&a], 1), 1).is_ok());
    }

    #[test]
    fn who_leaves_hands_on_what_it_was_handed() {
        let (queue, a) = (Arc::<Queue>::default(), backend(1));
        a.enter();
        let first = queue.join(wants(&[&a], 1), 9).unwrap();
        let second = queue.join(wants(&[&a], 1), 9).unwrap();
        let mut third = queue.join(wants(&[&a], 1), 9).unwrap();
        drop(second);
        leave(&queue, &a);
        assert_eq!((a.in_flight(), polled(&mut third)), (1, Poll::Pending), "it is the first's");
        drop(first);
        assert_eq!((a.in_flight(), polled(&mut third)), (1, Poll::Ready(0)));
    }

    #[test]
    fn who_wants_others_keeps_its_turn() {
        let (queue, a, b) = (Arc::<Queue>::default(), backend(1), backend(2));
        a.enter();
        b.enter();
        let mut first = queue.join(wants(&[&a], 1), 9).unwrap();
        let mut second = queue.join(wants(&[&b], 1), 9).unwrap();
        assert!(first.want(wants(&[&b], 1)));
        leave(&queue, &a);
        leave(&queue, &b);
        assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Ready(0), Poll::Pending));
        assert!(second.want(wants(&[&a], 1)));
        assert!(!second.want(wants(&[&b], 1)), "it was handed a place at the other");
        assert_eq!(polled(&mut second), Poll::Ready(0));
        assert_eq!((a.in_flight(), b.in_flight()), (1, 1));
    }

    #[test]
    fn a_limit_that_was_raised_lets_more_in() {
        let (queue, a) = (Arc::<Queue>::default(), backend(1));
        a.enter();
        let mut waiting: Vec<_> = (0..3).map(|_| queue.join(wants(&[&a], 1), 9).unwrap()).collect();
        for waiting in &mut waiting {
            assert!(waiting.want(wants(&[&a], 3)));
        }
        let placed = waiting.iter_mut().filter_map(|it| polled(it).is_ready().then_some(()));
        assert_eq!((placed.count(), a.in_flight()), (2, 3));
    }

    /// Two workers learn of a reload one after the other: whoever was held up by a turn that knew
    /// only the old limit is let in with it.
    #[test]
    fn a_raised_limit_lets_in_who_learned_of_it_first() {
        let held_up = || {
            let (queue, a) = (Arc::<Queue>::default(), backend(1));
            a.enter();
            let mut first = queue.join(wants(&[&a], 1), 9).unwrap();
            let mut second = queue.join(wants(&[&a], 1), 9).unwrap();
            assert!(second.want(wants(&[&a], 3)));
            assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Pending, Poll::Pending));
            (a, first, second)
        };
        let (a, mut first, mut second) = held_up();
        assert!(first.want(wants(&[&a], 3)));
        assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Ready(0), Poll::Ready(0)));
        assert_eq!(a.in_flight(), 3);
        let (_a, first, mut second) = held_up();
        drop(first);
        assert_eq!(polled(&mut second), Poll::Ready(0), "who was before it has left");
        let (_a, mut first, mut second) = held_up();
        let b = backend(2);
        b.enter();
        assert!(first.want(wants(&[&b], 1)));
        assert_eq!(polled(&mut second), Poll::Ready(0), "who was before it wants another");
    }

    #[test]
    fn a_breaker_that_closes_lets_in_who_learned_of_it_first() {
        let (queue, a) = (Arc::<Queue>::default(), backend(1));
        let trials = Arc::new(Trials::new(1));
        assert!(a.try_enter(usize::MAX, Some(&trials)));
        let tried = || vec![Wanted { trials: Some(trials.clone()), ..wants(&[&a], 9).remove(0) }];
        let mut first = queue.join(tried(), 9).unwrap();
        let mut second = queue.join(tried(), 9).unwrap();
        assert!(second.want(wants(&[&a], 9)));
        assert_eq!(polled(&mut second), Poll::Pending);
        assert!(first.want(wants(&[&a], 9)));
        assert_eq!((polled(&mut first), polled(&mut second)), (Poll::Ready(0), Poll::Ready(0)));
    }

    /// Threads that come and go, some of which leave while they wait: never more than may, no place
    /// is lost, and nobody waits for ever.
    #[test]
    fn no_place_is_lost_between_threads() {
        const MAX: usize = 3;
        const TURNS: usize = 3_000;
        let (queue, backends) = (Arc::<Queue>::default(), [backend(1), backend(2)]);
        let work = |seed: u64| {
            let (queue, backends) = (queue.clone(), backends.clone());
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut served = HashSet::new();
                for turn in 0..TURNS {
                    let free = backends.iter().position(|it| it.try_enter(MAX, None));
                    let index = match free.filter(|_| queue.length() == 0) {
                        Some(index) => index,
                        None => {
                            free.into_iter().for_each(|index| leave(&queue, &backends[index]));
                            let wants = wants(&[&backends[0], &backends[1]], MAX);
                            let mut waiting = queue.join(wants, 1_000).unwrap();
                            if random.u8(..4) == 0 {
                                continue;
                            }
                            runtime.block_on(poll_fn(|context| waiting.poll_place(context)))
                        }
                    };
                    assert!(backends[index].in_flight() <= MAX);
                    if random.bool() {
                        thread::yield_now();
                    }
                    leave(&queue, &backends[index]);
                    served.insert(turn);
                }
                served.len()
            })
        };
        let threads: Vec<_> = (0..12).map(work).collect();
        let (told, all) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let served: usize = threads.into_iter().map(|it| it.join().unwrap()).sum();
            let _ = told.send(served);
        });
        let served = all.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever");
        assert!(served > TURNS);
        assert_eq!((backends[0].in_flight(), backends[1].in_flight(), queue.length()), (0, 0, 0));
        assert!(!backends.iter().any(|it| it.try_enter(1, None) && it.leave(None)), "nobody waits");
    }
}
