//! How many lines of a backend's own go into our log. Pure.

use std::time::{Duration, Instant};

/// In each second, so many: an error that every request makes must not fill the log.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// What was quoted of one backend.
#[derive(Debug, Default)]
pub struct Quotes {
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Quotes {
    /// Whether one more line may be told, and how many were left out before it.
    pub fn ask(&mut self, now: Instant) -> Option<u64> {
        let over = |since: Instant| now.saturating_duration_since(since) >= WINDOW;
        if self.since.is_none_or(over) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told >= MOST {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_window_and_the_next_tells_of_the_rest() {
        let (mut quotes, now) = (Quotes::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(quotes.ask(now), Some(0));
        }
        assert_eq!(quotes.ask(now), None);
        assert_eq!(quotes.ask(now + WINDOW / 2), None);
        assert_eq!(quotes.ask(now + WINDOW), Some(2));
        assert_eq!(quotes.ask(now + WINDOW), Some(0));
    }
}
