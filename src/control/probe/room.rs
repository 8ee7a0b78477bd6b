//! How many probes may be under way at once: a share for each pool, so that the silent backends of one
//! keep no other pool from being asked.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::units::duration_text;

/// At least, and at most, of all pools together.
const BOUNDS: std::ops::RangeInclusive<u64> = 128..=4_096;

/// Of the files that the process may have open, one in so many may be a probe's.
const OF_FILES: u64 = 8;

/// How often a pool's late probes are told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Of all pools together.
pub fn most_at_once() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (files / OF_FILES).clamp(*BOUNDS.start(), *BOUNDS.end()) as usize
}

/// Of each of so many pools.
pub fn share(most: usize, pools: usize) -> usize {
    (most / pools.max(1)).max(1)
}

/// The places of one pool's probes.
pub struct Room {
    slots: Semaphore,
    /// What `slots` has, those that are taken included.
    size: Mutex<usize>,
    told: Mutex<Option<Instant>>,
}

impl Room {
    pub fn new(size: usize) -> Room {
        Room { slots: Semaphore::new(size), size: Mutex::new(size), told: Mutex::default() }
    }

    /// Places that are taken are taken out when the room is settled again.
    pub fn settle(&self, wanted: usize) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        match wanted.checked_sub(*size) {
            Some(more) => {
                self.slots.add_permits(more);
                *size += more;
            }
            None => *size -= self.slots.forget_permits(*size - wanted),
        }
    }

    /// A place, when there is one. `None`: never.
    pub async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// What is to be said of a probe that began so much later than it should have.
    pub fn late(&self, by: Duration, interval: Duration, now: Instant) -> Option<String> {
        if by <= interval {
            return None;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            return None;
        }
        *told = Some(now);
        let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        Some(format!(
            "probes begin later than every {}: {size} are under way at once, and wait; a shorter \
             `timeout` or a longer `interval` helps",
            duration_text(interval)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_has_its_share() {
        assert_eq!(share(128, 0), 128);
        assert_eq!(share(128, 1), 128);
        assert_eq!(share(128, 3), 42);
        assert_eq!(share(128, 1_000), 1);
        assert!(BOUNDS.contains(&(most_at_once() as u64)));
    }

    #[tokio::test]
    async fn a_room_grows_at_once_and_shrinks_as_its_places_are_left() {
        let room = Room::new(2);
        let taken = (room.enter().await, room.enter().await);
        room.settle(1);
        room.settle(3);
        assert_eq!(room.slots.available_permits(), 1);
        room.settle(1);
        drop(taken);
        room.settle(1);
        assert_eq!(room.slots.available_permits(), 1);
    }

    #[test]
    fn late_probes_are_told_of_now_and_then() {
        let room = Room::new(2);
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(room.late(second, second, now), None);
        let words = room.late(second * 2, second, now).unwrap();
        assert!(words.starts_with("probes begin later than every 1s: 2 are under way"), "{words}");
        assert_eq!(room.late(second * 2, second, now + second), None);
        assert!(room.late(second * 2, second, now + TELL_EVERY).is_some());
    }
}
