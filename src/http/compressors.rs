//! How many answers are compressed at once, and where that work is done: the whole process has one of
//! these, so that no reload and no worker has more.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::message::encoder::{Encoder, Then};

/// The places of answers, and the threads that compress beside the workers.
#[derive(Debug)]
pub struct Compressors {
    /// Answers that are being compressed: each holds the memory of an encoder.
    taken: AtomicUsize,
    /// Threads that may be at it at once: were there more than workers, those would get too little
    /// of the cores.
    threads: Arc<Semaphore>,
}

/// What of them a configuration lets be used.
#[derive(Clone, Debug)]
pub struct Places {
    pub compressors: Arc<Compressors>,
    /// Answers that may be at it at once, in the whole process.
    pub max: usize,
}

impl Places {
    /// `None`: nobody waits for one.
    pub fn take(&self) -> Option<Place> {
        self.compressors.place(self.max)
    }
}

/// One answer's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Compressors>);

/// An encoder in its place.
pub struct Placed {
    pub encoder: Encoder,
    /// Goes where the encoder goes, so that one whose client has gone counts until it is freed.
    pub place: Place,
}

/// A step that another thread does.
pub type Step = Pin<Box<dyn Future<Output = io::Result<(Placed, Vec<u8>)>>>>;

impl Compressors {
    pub fn new(threads: usize) -> Arc<Compressors> {
        let threads = Arc::new(Semaphore::new(threads));
        Arc::new(Compressors { taken: AtomicUsize::new(0), threads })
    }

    /// `None` where `max` answers are at it already: nobody waits for a place.
    pub fn place(self: &Arc<Compressors>, max: usize) -> Option<Place> {
        let more = |taken: usize| (taken < max).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Place(self.clone()))
    }

    /// Encodes on another thread, as soon as one may.
    pub fn step(&self, mut placed: Placed, input: Vec<u8>, then: Then) -> Step {
        let threads = self.threads.clone();
        Box::pin(async move {
            let thread = threads.acquire_owned().await.map_err(io::Error::other)?;
            let encode = move || {
                let output = placed.encoder.step(&input, then);
                drop(thread);
                output.map(|output| (placed, output))
            };
            spawn_blocking(encode).await.map_err(io::Error::other)?
        })
    }
}

impl Place {
    pub fn compressors(&self) -> Arc<Compressors> {
        self.0.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let compressors = Compressors::new(1);
        let first = compressors.place(2);
        let second = compressors.place(2);
        assert!(first.is_some() && second.is_some() && compressors.place(2).is_none());
        drop(first);
        assert!(compressors.place(1).is_none(), "a lower limit waits for those who are in");
        let third = compressors.place(2);
        assert!(third.is_some() && compressors.place(3).is_some());
        drop((second, third));
        assert_eq!(compressors.taken.load(Ordering::Relaxed), 0);
    }
}
