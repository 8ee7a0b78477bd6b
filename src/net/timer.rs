//! One timer a connection, moved and not made anew: most deadlines are replaced long before they
//! pass, and a later one costs nothing until the earlier one would have gone off.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use super::clock;

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// A connection's timer.
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
}

/// A deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Timer {
    pub fn new(deadline: Instant) -> Timer {
        Timer { sleep: Box::pin(sleep_until(deadline)) }
    }

    /// Ready once `deadline` has passed.
    pub fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        loop {
            // What spends all of its task's budget in each turn must not outlive its deadline.
            ready!(Pin::new(&mut unconstrained(self.sleep.as_mut())).poll(context));
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Waits for `future` no longer than until `deadline`.
    pub async fn within<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            self.poll(context, deadline).map(|()| Err(Elapsed))
        })
        .await
    }
}

/// Whether what is written goes on, as whoever takes it has to take some of it within a while.
pub struct Steadiness {
    idle: Duration,
    /// What was left at the last look, and until when it may be as much.
    last: Option<(usize, Instant)>,
}

impl Steadiness {
    pub fn new(idle: Duration) -> Steadiness {
        Steadiness { idle, last: None }
    }

    /// Nothing more can be written now, and so much is left: ready with an error when that has been so
    /// for too long. The clock is looked at only where something moved.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        timer: &mut Timer,
        left: usize,
    ) -> Poll<io::Result<T>> {
        let deadline = match self.last {
            Some((before, deadline)) if before == left => deadline,
            _ => clock::now() + self.idle,
        };
        self.last = Some((left, deadline));
        timer.poll(context, deadline).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn deadlines_move_both_ways() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut timer = Timer::new(after(5));
        assert_eq!(timer.within(after(9), async { 7 }).await, Ok(7));
        assert_eq!(timer.within(after(9), pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed(), Duration::from_secs(9));
        let mut timer = Timer::new(after(50));
        assert_eq!(timer.within(after(11), pending::<()>()).await, Err(Elapsed));
        assert_eq!(begun.elapsed(), Duration::from_secs(11));
    }

    #[tokio::test]
    async fn a_deadline_is_held_against_what_is_always_ready() {
        let begun = Instant::now();
        let busy = async {
            while begun.elapsed() < Duration::from_secs(5) {
                tokio::task::coop::consume_budget().await;
            }
        };
        let deadline = begun + Duration::from_millis(10);
        assert_eq!(Timer::new(deadline).within(deadline, busy).await, Err(Elapsed));
    }
}
