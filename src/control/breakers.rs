//! Which circuit breakers turn, pool by pool: the only place where they do, so that the bound on how
//! many backends a pool does without holds. Pure but for what the workers have counted.

use crate::{
    control::{
        book::Entry,
        event::{Line, Moment},
        state::State,
    },
    pool::{
        backend::Key,
        breaker::{Others, Turn},
        window::Counts,
    },
    units::duration_text,
};

/// What came of a look at all breakers.
#[derive(Default)]
pub struct Looked {
    /// Whether any turned.
    pub turned: bool,
    pub lines: Vec<Line>,
}

impl State {
    /// Lets each breaker take in what was counted, what time it is, and how the rest of its pool is.
    pub(super) fn look_at_breakers(&mut self, now: Moment) -> Looked {
        let mut looked = Looked::default();
        let with = self.config.pools.iter().filter(|pool| pool.breaker.is_some());
        for pool in with {
            let of_pool = self.book.keys().filter(|key| key.pool == pool.name);
            let keys: Vec<Key> = of_pool.cloned().collect();
            let mut out = keys.iter().filter(|key| self.book[*key].is_out()).count();
            for key in &keys {
                let Some(entry) = self.book.get_mut(key) else { continue };
                out -= usize::from(entry.is_out());
                let others = Others { count: keys.len() - 1, out };
                let breaker = entry.breaker.as_mut();
                let turn = breaker.and_then(|it| it.look(others, now.steady));
                out += usize::from(entry.is_out());
                let Some(turn) = turn else { continue };
                if turn == Turn::Closed {
                    entry.rose = Some(now.steady);
                }
                looked.turned |= !matches!(turn, Turn::Spared { .. });
                looked.lines.push(line(entry, turn));
            }
        }
        looked
    }
}

fn line(entry: &Entry, turn: Turn) -> Line {
    let settings = entry.pool.breaker.unwrap_or_default();
    let failed = |counts: Counts| {
        let Counts { requests, failures } = counts;
        format!(
            "{failures} of {requests} requests within {} failed",
            duration_text(settings.window)
        )
    };
    let said =
        |words: String| format!("pool {}: {} {words}", entry.pool.name, entry.backend.address());
    match turn {
        Turn::Opened { counts, open } => Line::Warn(said(format!(
            "breaker open: {}; tried again in {}",
            failed(counts),
            duration_text(open)
        ))),
        Turn::OpenedAgain { open } => Line::Warn(said(format!(
            "breaker open again: a trial request failed; tried again in {}",
            duration_text(open)
        ))),
        Turn::HalfOpened => {
            let trials = settings.trials;
            Line::Info(said(format!(
                "breaker half-open: closed when {trials} requests have passed"
            )))
        }
        Turn::Closed => {
            Line::Info(said(format!("breaker closed: {} requests have passed", settings.trials)))
        }
        Turn::Spared { counts } => {
            Line::Warn(said(format!("breaker stays closed, for max_open: {}", failed(counts))))
        }
        Turn::ClosedUntried => {
            Line::Warn(said("breaker closed, for max_open: a trial request failed".to_owned()))
        }
    }
}
