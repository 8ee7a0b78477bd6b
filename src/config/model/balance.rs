//! Which backend of a pool takes a request, and what of a request counts in it.

use std::{path::PathBuf, time::Duration};

use crate::config::diagnostic::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    LeastConnections,
    RandomTwoChoices,
    LeastTime,
    /// With the pool's `hash`.
    ConsistentHash,
}

/// A cookie that keeps a client at its backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    /// Holds the keys that sign it.
    pub secret_file: PathBuf,
    /// How long a browser keeps it; `None`: until it is closed.
    pub max_age: Option<Duration>,
    /// Where `secret_file` stands in the file, to tell of one that can't be used.
    pub place: Place,
}

/// What of a request leads it to a backend of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Hash {
    pub key: HashKey,
    /// How many times its share of the requests in flight a backend may have before they overflow;
    /// `None`: any number.
    pub bound: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Source,
    /// Without the query.
    Path,
    /// The first field of that name.
    Header(String),
    /// The first cookie of that name.
    Cookie(String),
}
