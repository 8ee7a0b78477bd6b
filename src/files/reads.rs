//! How a worker waits for the disk: on threads that may be kept waiting, a bounded number at a time, so
//! that a slow disk holds up those alone who ask for what is on it.

use std::{cell::Cell, rc::Rc, sync::Arc};

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::config;

/// One directory's share of a worker's threads.
pub struct Reads {
    places: Arc<Semaphore>,
    waiting: Rc<Cell<usize>>,
    queue: usize,
}

/// As many wait already as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Reads {
    pub fn new(config: config::Reads) -> Reads {
        let places = Arc::new(Semaphore::new(config.max));
        Reads { places, waiting: Rc::default(), queue: config.queue }
    }

    /// Does `job` on such a thread. Whoever waits no longer leaves the job its place until it is done:
    /// what hangs is counted for as long as it does.
    pub async fn run<T, J>(&self, job: J) -> Result<T, Busy>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
    {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                if self.waiting.get() >= self.queue {
                    return Err(Busy);
                }
                let _waiting = Waiting::new(&self.waiting);
                self.places.clone().acquire_owned().await.map_err(|_| Busy)?
            }
        };
        let done = spawn_blocking(move || {
            let done = job();
            drop(place);
            done
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            // The process ends.
            Err(_) => Err(Busy),
        }
    }
}

/// Counts one that waits, for as long as it does.
struct Waiting(Rc<Cell<usize>>);

impl Waiting {
    fn new(count: &Rc<Cell<usize>>) -> Waiting {
        count.set(count.get() + 1);
        Waiting(count.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn no_more_run_and_wait_than_may() {
        let reads = Reads::new(config::Reads { max: 1, queue: 1, timeout: Duration::MAX });
        let (release, held) = mpsc::channel::<()>();
        let mut slow = Box::pin(reads.run(move || held.recv().is_ok()));
        assert!(futures_pending(&mut slow).await);
        let mut next = Box::pin(reads.run(|| 7));
        assert!(futures_pending(&mut next).await);
        assert_eq!(reads.run(|| 8).await, Err(Busy));
        // One that is given up leaves the queue.
        drop(next);
        let mut next = Box::pin(reads.run(|| 9));
        assert!(futures_pending(&mut next).await);
        release.send(()).unwrap();
        assert_eq!(slow.await, Ok(true));
        assert_eq!(next.await, Ok(9));
    }

    async fn futures_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            let pending = std::pin::Pin::new(&mut *future).poll(context).is_pending();
            std::task::Poll::Ready(pending)
        })
        .await
    }
}
