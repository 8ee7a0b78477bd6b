//! A circuit breaker a backend: out of use while too large a share of its requests fails.
//!
//! `closed`: in use; its requests are counted. `open`: out of use for a time, which doubles with
//! each opening in a row. `half-open`: a few trial requests decide. A breaker judges beside health:
//! a backend is in use where its verdict is `up` and its breaker lets it. Workers count; the control
//! thread alone turns it, so that the bound over a whole pool holds. Pure but for the counters.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    config,
    pool::window::{Counts, Outcome, Window},
};

/// The breaker of one backend, as the control thread holds it.
pub struct Breaker {
    settings: config::Breaker,
    position: Position,
    /// In a row: a while in use, as long as it was last open, begins a new row.
    opened_in_a_row: u32,
    last_open: Duration,
    closed_at: Instant,
    /// Too many failed, but the pool can't spare it: when to look again.
    spared_until: Option<Instant>,
    /// Openings since the backend is known.
    pub openings: u64,
}

/// How it stands, as a snapshot holds it.
#[derive(Clone)]
pub enum Position {
    Closed(Arc<Window>),
    Open { until: Instant },
    HalfOpen(Arc<Trials>),
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Opened {
        counts: Counts,
        open: Duration,
    },
    /// A trial failed.
    OpenedAgain {
        open: Duration,
    },
    /// Its time is over, or the pool can't spare it any longer.
    HalfOpened,
    /// The trials passed.
    Closed,
    /// It would have opened, but the pool can't spare it.
    Spared {
        counts: Counts,
    },
    /// A trial failed, but the pool can't spare it.
    ClosedUntried,
}

/// The other backends of its pool.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    pub count: usize,
    /// Those that are down, drained, or whose breaker is not closed.
    pub out: usize,
}

impl Breaker {
    pub fn new(settings: config::Breaker, now: Instant) -> Breaker {
        Breaker {
            settings,
            position: closed(settings, now),
            opened_in_a_row: 0,
            last_open: Duration::ZERO,
            closed_at: now,
            spared_until: None,
            openings: 0,
        }
    }

    /// The same breaker under new settings: who is out of use is so for no longer than they say
    /// from now on, and as many trials decide as they say.
    pub fn settle(&mut self, settings: config::Breaker, now: Instant) {
        let before = std::mem::replace(&mut self.settings, settings);
        let open = self.open_for(self.opened_in_a_row.saturating_sub(1));
        match &mut self.position {
            Position::Closed(_) if before.window == settings.window => {}
            Position::Closed(_) => self.position = closed(settings, now),
            Position::Open { until } => *until = (*until).min(now + open),
            Position::HalfOpen(trials) => trials.take_on(settings.trials),
        }
    }

    /// Tries an open one before its time, as an operator wants it; whether it was open.
    pub fn try_now(&mut self) -> bool {
        let open = self.position.is_open();
        if open {
            self.half_open();
        }
        open
    }

    pub fn position(&self) -> &Position {
        &self.position
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.position, Position::Closed(_))
    }

    /// When to look at it, if nothing happens before.
    pub fn next_look(&self) -> Option<Instant> {
        match self.position {
            Position::Closed(_) => self.spared_until,
            Position::Open { until } => Some(until),
            Position::HalfOpen(_) => None,
        }
    }

    /// Takes in what the workers have counted, and what time it is.
    pub fn look(&mut self, others: Others, now: Instant) -> Option<Turn> {
        match &self.position {
            Position::Closed(window) => {
                window.look();
                let counts = window.counts(now);
                let slot = window.slot();
                self.look_closed(counts, slot, others, now)
            }
            Position::Open { until } => {
                let over = *until <= now || !self.can_be_spared(others);
                over.then(|| {
                    self.half_open();
                    Turn::HalfOpened
                })
            }
            Position::HalfOpen(trials) => {
                let (failed, passed) = (trials.failed(), trials.passed());
                self.look_half_open(failed, passed, others, now)
            }
        }
    }

    fn look_closed(
        &mut self,
        counts: Counts,
        slot: Duration,
        others: Others,
        now: Instant,
    ) -> Option<Turn> {
        if !trips(counts, &self.settings) {
            self.spared_until = None;
            return None;
        }
        if self.can_be_spared(others) {
            if now.saturating_duration_since(self.closed_at) >= self.last_open {
                self.opened_in_a_row = 0;
            }
            let open = self.open(now);
            return Some(Turn::Opened { counts, open });
        }
        let told = self.spared_until.replace(now + slot).is_some();
        if let Position::Closed(window) = &self.position {
            // We look again by ourselves: each failure need not tell us of it.
            window.tell();
        }
        (!told).then_some(Turn::Spared { counts })
    }

    fn look_half_open(
        &mut self,
        failed: bool,
        passed: u32,
        others: Others,
        now: Instant,
    ) -> Option<Turn> {
        if failed && self.can_be_spared(others) {
            let open = self.open(now);
            return Some(Turn::OpenedAgain { open });
        }
        if !failed && passed < self.settings.trials {
            return None;
        }
        self.position = closed(self.settings, now);
        self.closed_at = now;
        self.spared_until = None;
        Some(if failed { Turn::ClosedUntried } else { Turn::Closed })
    }

    fn open(&mut self, now: Instant) -> Duration {
        let open = self.open_for(self.opened_in_a_row);
        self.position = Position::Open { until: now + open };
        self.opened_in_a_row += 1;
        self.last_open = open;
        self.openings += 1;
        open
    }

    /// How long it is open after so many openings in a row.
    fn open_for(&self, before: u32) -> Duration {
        let doubled = 1 << before.min(20);
        self.settings.open.saturating_mul(doubled).min(self.settings.longest)
    }

    fn half_open(&mut self) {
        self.position = Position::HalfOpen(Arc::new(Trials::new(self.settings.trials)));
    }

    /// Whether the pool may do without it: of all its backends at most the share `max_open` is out,
    /// this one included. Rounded down: of three, half is one.
    fn can_be_spared(&self, others: Others) -> bool {
        // A share that is written in decimals is seldom exact: 29 % of 100 is 29.
        let most = (self.settings.max_open * (others.count + 1) as f64 + 1e-9) as usize;
        others.out < most
    }
}

fn closed(settings: config::Breaker, now: Instant) -> Position {
    Position::Closed(Arc::new(Window::new(settings.window, now)))
}

/// Whether too many failed.
fn trips(counts: Counts, settings: &config::Breaker) -> bool {
    let Counts { requests, failures } = counts;
    requests >= u64::from(settings.min_requests)
        && failures as f64 >= settings.failures * requests as f64
}

impl Position {
    pub fn word(&self) -> &'static str {
        match self {
            Position::Closed(_) => "closed",
            Position::Open { .. } => "open",
            Position::HalfOpen(_) => "half-open",
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Position::Open { .. })
    }

    pub fn trials(&self) -> Option<&Arc<Trials>> {
        match self {
            Position::HalfOpen(trials) => Some(trials),
            Position::Closed(_) | Position::Open { .. } => None,
        }
    }

    /// Counts how a request went that was given to the backend while it stood so. `true`: the
    /// control thread is to look at it.
    #[must_use]
    pub fn count(&self, outcome: Outcome, settings: &config::Breaker, now: Instant) -> bool {
        match self {
            Position::Closed(window) => {
                window.count(outcome, now);
                outcome == Outcome::Failed && trips(window.counts(now), settings) && window.tell()
            }
            // A request of before, or one that was served anyway.
            Position::Open { .. } => false,
            Position::HalfOpen(trials) => trials.count(outcome),
        }
    }
}

/// Equal are those of the same turn.
impl PartialEq for Position {
    fn eq(&self, other: &Position) -> bool {
        match (self, other) {
            (Position::Closed(one), Position::Closed(other)) => Arc::ptr_eq(one, other),
            (Position::HalfOpen(one), Position::HalfOpen(other)) => Arc::ptr_eq(one, other),
            (Position::Open { until }, Position::Open { until: other }) => until == other,
            _ => false,
        }
    }
}

/// The requests that are let through to see whether a backend is well again: not more of them at
/// once, over all workers, than have to pass. One that passed counts as under way until it ends,
/// which for a tunnel may be long after.
pub struct Trials {
    /// A reload may change it.
    most: AtomicU32,
    /// 32 bits of those that passed, 32 of those under way.
    tried: AtomicU64,
    failed: AtomicBool,
}

const ONE_PASSED: u64 = 1 << 32;

impl Trials {
    pub(super) fn new(most: u32) -> Trials {
        let most = AtomicU32::new(most);
        Trials { most, tried: AtomicU64::new(0), failed: AtomicBool::new(false) }
    }

    /// As many decide from now on; what has passed counts.
    fn take_on(&self, most: u32) {
        self.most.store(most, Ordering::SeqCst);
    }

    /// Whether no more may be tried now.
    pub fn full(&self) -> bool {
        self.next(self.tried.load(Ordering::SeqCst)).is_none()
    }

    /// One more, if it may be; whoever is let through owes an `end`.
    pub(super) fn try_begin(&self) -> bool {
        self.tried.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| self.next(it)).is_ok()
    }

    pub(super) fn end(&self) {
        self.tried.fetch_sub(1, Ordering::SeqCst);
    }

    fn next(&self, tried: u64) -> Option<u64> {
        let (passed, under_way) = (tried >> 32, tried & (ONE_PASSED - 1));
        let most = u64::from(self.most.load(Ordering::SeqCst));
        (!self.failed() && passed < most && under_way < most).then_some(tried + 1)
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn passed(&self) -> u32 {
        (self.tried.load(Ordering::SeqCst) >> 32) as u32
    }

    fn count(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Failed => !self.failed.swap(true, Ordering::SeqCst),
            Outcome::Passed => {
                // Counted before it is looked how many are to pass, as who changes that looks at the
                // count afterwards: one of the two sees that it is enough.
                let passed = (self.tried.fetch_add(ONE_PASSED, Ordering::SeqCst) >> 32) + 1;
                passed >= u64::from(self.most.load(Ordering::SeqCst))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: config::Breaker = config::Breaker {
        failures: 0.5,
        count_5xx: true,
        window: Duration::from_secs(10),
        min_requests: 4,
        open: Duration::from_secs(10),
        longest: Duration::from_secs(30),
        trials: 2,
        max_open: 0.5,
    };

    const FOUR: Others = Others { count: 3, out: 0 };

    struct Life {
        breaker: Breaker,
        start: Instant,
        seconds: u64,
    }

    impl Life {
        fn new() -> Life {
            let start = Instant::now();
            Life { breaker: Breaker::new(SETTINGS, start), start, seconds: 0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs(self.seconds)
        }

        /// `+` a request passed, `-` failed; whether the control thread was told.
        fn count(&self, outcomes: &str) -> bool {
            let mut told = false;
            for outcome in outcomes.chars() {
                let outcome = if outcome == '+' { Outcome::Passed } else { Outcome::Failed };
                told |= self.breaker.position().count(outcome, &SETTINGS, self.now());
            }
            told
        }

        fn look(&mut self, others: Others) -> Option<Turn> {
            self.breaker.look(others, self.now())
        }

        /// Whether a request is let through as a trial.
        fn trial(&self) -> bool {
            self.breaker.position().trials().is_some_and(|trials| trials.try_begin())
        }
    }

    fn opened(requests: u64, failures: u64, seconds: u64) -> Option<Turn> {
        let open = Duration::from_secs(seconds);
        Some(Turn::Opened { counts: Counts { requests, failures }, open })
    }

    fn opened_again(seconds: u64) -> Option<Turn> {
        Some(Turn::OpenedAgain { open: Duration::from_secs(seconds) })
    }

    #[test]
    fn it_opens_at_the_share_of_enough_requests() {
        let mut life = Life::new();
        assert!(!life.count("---"), "three are not enough");
        assert_eq!(life.look(FOUR), None);
        assert!(!life.count("+++++"));
        assert_eq!(life.look(FOUR), None, "three of eight are not half");
        assert!(!life.count("-+"));
        assert!(life.count("--"));
        assert!(!life.count("-"), "told once");
        assert_eq!(life.look(FOUR), opened(13, 7, 10));
        assert_eq!(life.breaker.next_look(), Some(life.now() + Duration::from_secs(10)));
    }

    #[test]
    fn what_failed_long_ago_does_not_count() {
        let mut life = Life::new();
        life.count("---");
        life.seconds = 11;
        assert!(!life.count("-+"));
        assert_eq!(life.look(FOUR), None);
    }

    #[test]
    fn trials_that_pass_close_it() {
        let mut life = Life::new();
        life.count("----");
        assert!(life.look(FOUR).is_some());
        life.seconds = 9;
        assert_eq!((life.look(FOUR), life.trial()), (None, false));
        life.seconds = 10;
        assert_eq!(life.look(FOUR), Some(Turn::HalfOpened));
        assert_eq!((life.trial(), life.trial(), life.trial()), (true, true, false));
        assert!(!life.count("+"));
        assert_eq!(life.look(FOUR), None);
        assert!(life.count("+"), "the last of them tells");
        assert_eq!(life.look(FOUR), Some(Turn::Closed));
        assert!(!life.count("---"), "what was before is forgotten");
    }

    #[test]
    fn a_trial_that_comes_to_nothing_makes_room_for_another() {
        let mut life = Life::new();
        life.count("----");
        life.look(FOUR);
        life.seconds = 10;
        life.look(FOUR);
        assert!(life.trial() && life.trial() && !life.trial());
        life.breaker.position().trials().unwrap().end();
        assert!(life.trial() && !life.trial());
        life.count("+");
        assert!(!life.trial(), "both are still under way");
        life.count("+");
        life.breaker.position().trials().unwrap().end();
        assert!(!life.trial(), "enough have passed");
    }

    #[test]
    fn a_trial_that_fails_opens_it_for_longer() {
        let mut life = Life::new();
        life.count("----");
        assert_eq!(life.look(FOUR), opened(4, 4, 10));
        for seconds in [20, 30, 30] {
            life.seconds += 60;
            assert_eq!(life.look(FOUR), Some(Turn::HalfOpened));
            assert!(life.trial() && life.count("-") && !life.trial(), "no more after a failure");
            assert_eq!(life.look(FOUR), opened_again(seconds));
        }
        assert_eq!(life.breaker.openings, 4);
    }

    #[test]
    fn a_while_in_use_begins_a_new_row() {
        let mut life = Life::new();
        let recover = |life: &mut Life| {
            life.seconds += 60;
            life.look(FOUR);
            life.count("++");
            assert_eq!(life.look(FOUR), Some(Turn::Closed));
        };
        life.count("----");
        assert_eq!(life.look(FOUR), opened(4, 4, 10));
        recover(&mut life);
        life.seconds += 9;
        life.count("----");
        assert_eq!(life.look(FOUR), opened(4, 4, 20), "soon again: longer");
        recover(&mut life);
        life.seconds += 20;
        life.count("----");
        assert_eq!(life.look(FOUR), opened(4, 4, 10));
    }

    #[test]
    fn the_pool_keeps_what_it_cannot_spare() {
        let mut life = Life::new();
        life.count("----");
        let counts = Counts { requests: 4, failures: 4 };
        let two_out = Others { count: 3, out: 2 };
        assert_eq!(life.look(two_out), Some(Turn::Spared { counts }));
        assert_eq!(life.look(two_out), None, "told once");
        assert!(!life.count("-"), "nor do failures tell");
        assert_eq!(life.breaker.next_look(), Some(life.now() + Duration::from_secs(1)));
        assert_eq!(life.look(FOUR), opened(5, 5, 10), "as soon as it can be spared");
        // Others went down meanwhile.
        assert_eq!(life.look(two_out), Some(Turn::HalfOpened), "before its time");
        life.count("-");
        assert_eq!(life.look(two_out), Some(Turn::ClosedUntried));
    }

    #[test]
    fn half_of_three_is_one() {
        let life = Life::new();
        let spared = |count, out| life.breaker.can_be_spared(Others { count, out });
        assert!(!spared(0, 0), "the only one");
        assert!(spared(1, 0) && !spared(1, 1));
        assert!(spared(2, 0) && !spared(2, 1));
        assert!(spared(3, 1) && !spared(3, 2));
    }

    #[test]
    fn new_settings_keep_its_position() {
        let mut life = Life::new();
        life.count("----");
        life.look(FOUR);
        life.breaker
            .settle(config::Breaker { window: Duration::from_secs(60), ..SETTINGS }, life.now());
        assert!(life.breaker.position().is_open());
    }

    #[test]
    fn shorter_times_hold_for_one_that_is_open() {
        let mut life = Life::new();
        life.count("----");
        assert_eq!(life.look(FOUR), opened(4, 4, 10));
        life.seconds = 1;
        let settle = |life: &mut Life, open, longest| {
            let [open, longest] = [open, longest].map(Duration::from_secs);
            life.breaker.settle(config::Breaker { open, longest, ..SETTINGS }, life.now());
            life.breaker.next_look().unwrap() - life.start
        };
        assert_eq!(settle(&mut life, 20, 30), Duration::from_secs(10), "longer ones hold later");
        assert_eq!(settle(&mut life, 3, 30), Duration::from_secs(4));
        life.seconds = 4;
        assert_eq!(life.look(FOUR), Some(Turn::HalfOpened));
        assert!(life.trial() && life.count("-"));
        assert_eq!(life.look(FOUR), opened_again(6));
        assert_eq!(settle(&mut life, 1, 30), Duration::from_secs(6), "twice, as in its row");
        assert_eq!(settle(&mut life, 1, 1), Duration::from_secs(5));
    }

    #[test]
    fn as_many_trials_decide_as_a_reload_says() {
        let half_open = || {
            let mut life = Life::new();
            life.count("----");
            life.look(FOUR);
            life.seconds = 10;
            assert_eq!(life.look(FOUR), Some(Turn::HalfOpened));
            life
        };
        let settle = |life: &mut Life, trials| {
            life.breaker.settle(config::Breaker { trials, ..SETTINGS }, life.now());
        };
        let mut more = half_open();
        settle(&mut more, 4);
        for _ in 0..4 {
            assert_eq!(more.look(FOUR), None);
            assert!(more.trial(), "or it would stay half-open for ever");
            more.count("+");
        }
        assert_eq!(more.look(FOUR), Some(Turn::Closed));
        let mut fewer = half_open();
        assert!(fewer.trial() && !fewer.count("+"));
        settle(&mut fewer, 1);
        assert_eq!(fewer.look(FOUR), Some(Turn::Closed));
    }

    #[test]
    fn an_operator_has_it_tried_before_its_time() {
        let mut life = Life::new();
        assert!(!life.breaker.try_now(), "there is nothing to try");
        life.count("----");
        life.look(FOUR);
        assert!(life.breaker.try_now() && life.trial());
        assert!(!life.breaker.try_now(), "it is tried already");
        assert!(life.count("-"));
        assert_eq!(life.look(FOUR), opened_again(20));
    }
}
