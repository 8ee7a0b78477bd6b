//! The time, looked at seldom: a look costs a thirtieth of a system call, and a request has a dozen
//! uses for it.
//!
//! Each thread remembers its last look. A worker looks whenever its runtime wakes it, so that the last
//! look is when the kernel told of what is served now; whoever measures looks again.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Looks.
pub fn now() -> Instant {
    let now = Instant::now();
    // A thread without a worker's runtime would never look again.
    LAST.with(|last| last.set(last.get().map(|_| now)));
    now
}

/// For a worker's runtime: the thread has been woken.
pub fn wake() {
    LAST.with(|last| last.set(Some(Instant::now())));
}

/// The last look, of a thread that looks each time it is woken; of any other the time.
pub fn lately() -> Instant {
    LAST.with(Cell::get).unwrap_or_else(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_the_time_of_its_last_look_and_others_have_the_time() {
        let others = lately();
        assert!(lately() > others && now() > others);
        wake();
        let woken = lately();
        assert_eq!(lately(), woken);
        let looked = now();
        assert!(looked > woken);
        assert_eq!(lately(), looked);
    }
}
