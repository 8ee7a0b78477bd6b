//! Who of the workers is at work, and that they live: the only word that goes from a worker to the
//! control plane beside the counters of backends and metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// How often a worker's own loop ticks. The watchdog's patience is a multiple of it.
pub const TICK: Duration = Duration::from_secs(1);

/// What the ticks of a worker say that is gone.
const LEFT: u64 = u64::MAX;

/// The workers of the process; their number is fixed.
pub struct Roll {
    /// By the worker's index; grows while its loop turns.
    ticks: Vec<AtomicU64>,
    /// How many have signed in and not yet left.
    present: watch::Sender<usize>,
}

impl Roll {
    pub fn new(workers: usize) -> Arc<Roll> {
        let ticks = (0..workers).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Roll { ticks, present: watch::Sender::new(0) })
    }

    /// A worker begins; called before its thread is spawned, so that no one misses it. The place
    /// goes with the thread and is dropped when its last connection has ended.
    pub fn sign_in(self: &Arc<Self>, index: usize) -> Place {
        assert!(index < self.ticks.len(), "worker {index} of {}", self.ticks.len());
        self.present.send_modify(|present| *present += 1);
        Place { roll: self.clone(), index }
    }

    pub fn workers(&self) -> usize {
        self.ticks.len()
    }

    pub fn present(&self) -> usize {
        *self.present.borrow()
    }

    /// Waits until at most `count` workers are present.
    pub async fn at_most(&self, count: usize) {
        let mut present = self.present.subscribe();
        // It can't fail: the sender lives as long as `self`.
        let _ = present.wait_for(|&present| present <= count).await;
    }

    /// The ticks of each worker since it began; `None` for one that is gone.
    pub fn ticks(&self) -> Vec<Option<u64>> {
        let ticks = self.ticks.iter().map(|ticks| ticks.load(Ordering::Relaxed));
        ticks.map(|ticks| (ticks != LEFT).then_some(ticks)).collect()
    }
}

/// One worker's place on the roll.
pub struct Place {
    roll: Arc<Roll>,
    index: usize,
}

impl Place {
    /// The worker's loop turns; to be called every `TICK` from the loop itself.
    pub fn tick(&self) {
        self.roll.ticks[self.index].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roll.ticks[self.index].store(LEFT, Ordering::Relaxed);
        self.roll.present.send_modify(|present| *present -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_to_leave_ends_the_wait() {
        let roll = Roll::new(2);
        let (first, second) = (roll.sign_in(0), roll.sign_in(1));
        drop(first);
        roll.at_most(1).await;
        let early = tokio::time::timeout(Duration::ZERO, roll.at_most(0)).await;
        assert!(early.is_err(), "one is still present");
        drop(second);
        roll.at_most(0).await;
    }

    #[test]
    fn ticks_are_each_workers_own() {
        let roll = Roll::new(2);
        let (first, second) = (roll.sign_in(0), roll.sign_in(1));
        first.tick();
        first.tick();
        drop(second);
        assert_eq!(roll.ticks(), [Some(2), None]);
    }
}
