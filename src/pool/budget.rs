//! How many bytes of requests' bodies a pool's requests hold in memory, in the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The very same in each snapshot in which its pool stands.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

/// One request's share of it, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    most: u64,
    taken: u64,
}

/// All of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

impl Share {
    /// Nothing as yet; `most` is for all shares together.
    pub fn of(budget: &Arc<Budget>, most: u64) -> Share {
        Share { budget: budget.clone(), most, taken: 0 }
    }

    /// Takes so many bytes more.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Spent> {
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.most);
        self.budget.0.fetch_update(Relaxed, Relaxed, more).map_err(|_| Spent)?;
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_are_no_more_than_that() {
        let budget = Arc::default();
        let (mut one, mut other) = (Share::of(&budget, 100), Share::of(&budget, 100));
        assert_eq!(one.grow(60), Ok(()));
        assert_eq!(
            (other.grow(41), other.grow(40), other.grow(1)),
            (Err(Spent), Ok(()), Err(Spent))
        );
        assert_eq!(one.grow(u64::MAX), Err(Spent));
        drop(one);
        assert_eq!(other.grow(60), Ok(()));
        drop(other);
        assert_eq!(budget.0.load(Relaxed), 0);
    }
}
