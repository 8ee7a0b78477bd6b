//! How far a pool goes for its requests, as meant: tries, places to wait in, when a backend is left
//! alone. A part of the model.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Tries in all, the first one included; 1 turns retries off.
    pub attempts: u32,
    /// Retries as a share (0 to 1) of a pool's recent requests, counted by each worker over its own.
    pub budget: f64,
}

/// The requests of a pool that wait for a place at a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Requests that may wait at once, in the whole process; more are answered 503 at once.
    pub max: usize,
    /// How long one may wait (503), over all its tries.
    pub timeout: Duration,
}

/// The circuit breaker of each backend of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// The share (0 to 1) of a backend's requests whose failing opens its breaker.
    pub failures: f64,
    /// Whether a 5xx answer is a failure.
    pub count_5xx: bool,
    /// Over how long they are counted.
    pub window: Duration,
    /// Fewer than these within the window say nothing.
    pub min_requests: u32,
    /// How long it is out of use the first time; twice as long each next time in a row.
    pub open: Duration,
    /// The longest that it is out of use.
    pub longest: Duration,
    /// Requests that have to pass before it is in use again.
    pub trials: u32,
    /// The share (0 to 1) of the pool's backends that may be out of use when one is opened, those
    /// that are down or drained included.
    pub max_open: f64,
}

/// The second try of a request whose answer is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// So many of a hundred answers begin before a second try is made.
    pub percentile: u32,
    /// The least that is waited.
    pub at_least: Duration,
    /// Answers that a worker must have seen of late before it makes any.
    pub min_requests: u32,
}
