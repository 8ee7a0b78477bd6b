//! How many connections a listener may have open, kept true over reloads.
//!
//! A room keeps its semaphore by the listener's name: connections that were open before a reload go
//! on counting after it. A new semaphore would let a listener have the old limit and the new one
//! open at once, just when an operator lowers the limit to relieve a machine.
//!
//! To raise a limit, permits are added. To lower it, permits are taken out as connections give them
//! back: one fair waiter for all that are too many, so that nobody is let in before the number is
//! below the new limit, and nobody who is in is cut.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    select,
    sync::{Semaphore, watch},
};

use crate::{
    config::{self, Config},
    net::sources::Sources,
    snapshot::Room,
};

/// The rooms of a configuration; those of listeners that stay keep their counts.
pub fn prepare(
    config: &Config,
    held: &HashMap<Arc<str>, Arc<Room>>,
) -> HashMap<Arc<str>, Arc<Room>> {
    let room = |listener: &config::Listener| room(listener, held.get(&listener.name));
    config.listeners.iter().map(|listener| (listener.name.clone(), room(listener))).collect()
}

fn room(listener: &config::Listener, held: Option<&Arc<Room>>) -> Arc<Room> {
    let max_per_source = listener.max_connections_per_source;
    match held {
        Some(held) if held.max_per_source == max_per_source => held.clone(),
        Some(held) => Arc::new(Room {
            connections: held.connections.clone(),
            sources: held.sources.clone(),
            max_per_source,
        }),
        None => Arc::new(Room {
            connections: Arc::new(Semaphore::new(permits(listener))),
            sources: Arc::new(Sources::new()),
            max_per_source,
        }),
    }
}

fn permits(listener: &config::Listener) -> usize {
    listener.max_connections.min(MAX_PERMITS)
}

/// What one waiter may ask a semaphore for.
const MAX_PERMITS: usize = u32::MAX as usize;

/// The limit of each room, each with a task that brings its permits in line.
#[derive(Default)]
pub struct Limits {
    rooms: HashMap<Arc<str>, watch::Sender<usize>>,
}

impl Limits {
    /// A configuration serves: its limits hold from now on. Needs the runtime.
    pub fn settle(&mut self, config: &Config, rooms: &HashMap<Arc<str>, Arc<Room>>) {
        self.rooms.retain(|name, _| rooms.contains_key(name));
        for listener in &config.listeners {
            let wanted = permits(listener);
            match self.rooms.get(&listener.name) {
                Some(limit) => {
                    limit.send_replace(wanted);
                }
                None => {
                    let semaphore = rooms[&listener.name].connections.clone();
                    let (limit, changes) = watch::channel(wanted);
                    tokio::spawn(keep(semaphore, wanted, changes));
                    self.rooms.insert(listener.name.clone(), limit);
                }
            }
        }
    }
}

/// Keeps the permits of one semaphore, taken ones included, at the limit; ends with its listener.
async fn keep(semaphore: Arc<Semaphore>, mut permits: usize, mut limit: watch::Receiver<usize>) {
    loop {
        let wanted = *limit.borrow_and_update();
        if wanted > permits {
            semaphore.add_permits(wanted - permits);
            permits = wanted;
        }
        // Held below MAX_PERMITS, so that it fits.
        let surplus = u32::try_from(permits - wanted).unwrap_or(u32::MAX);
        select! {
            changed = limit.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            taken = semaphore.acquire_many(surplus), if surplus > 0 => {
                // It fails only on a closed semaphore, and nobody closes these.
                let Ok(taken) = taken else { return };
                taken.forget();
                permits = wanted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    async fn settled() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_raised_limit_lets_more_in() {
        let semaphore = Arc::new(Semaphore::new(2));
        let (limit, changes) = watch::channel(2);
        tokio::spawn(keep(semaphore.clone(), 2, changes));
        limit.send_replace(5);
        settled().await;
        assert_eq!(semaphore.available_permits(), 5);
    }

    #[tokio::test]
    async fn a_lowered_limit_waits_for_connections_to_end() {
        let semaphore = Arc::new(Semaphore::new(4));
        let (limit, changes) = watch::channel(4);
        tokio::spawn(keep(semaphore.clone(), 4, changes));
        let mut open: Vec<_> =
            (0..4).map(|_| semaphore.clone().try_acquire_owned().unwrap()).collect();
        limit.send_replace(1);
        settled().await;
        for expected_open in [3, 2, 1] {
            open.pop();
            settled().await;
            assert!(semaphore.try_acquire().is_err(), "{expected_open} are open, 1 may be");
        }
        open.pop();
        settled().await;
        assert_eq!(semaphore.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_limit_lowered_and_raised_again_loses_no_permit() {
        let semaphore = Arc::new(Semaphore::new(4));
        let (limit, changes) = watch::channel(4);
        tokio::spawn(keep(semaphore.clone(), 4, changes));
        let mut open: Vec<_> =
            (0..4).map(|_| semaphore.clone().try_acquire_owned().unwrap()).collect();
        limit.send_replace(1);
        settled().await;
        open.pop();
        settled().await;
        limit.send_replace(6);
        settled().await;
        drop(open);
        assert_eq!(semaphore.available_permits(), 6);
    }
}
