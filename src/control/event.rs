//! What can happen to the control plane, and what comes of it.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{
    config::{Change, Config, Name},
    control::names::answer::Answer,
    pool::{backend::Key, health::ProbeResult},
    snapshot::{Parts, Snapshot, Spoken},
};

/// One change. All of it that can fail has been done before.
pub enum Event {
    /// A configuration that was read, with everything it needs.
    Reload(Box<Prepared>),
    /// A probe came back.
    Probed { key: Key, result: ProbeResult },
    /// Some backend has failed real requests too often in a row.
    Failures,
    /// The time out of use of some backend without probes may be over.
    RetryDue,
    /// An operator takes a backend out of use.
    Drain(Key),
    /// An operator gives a backend back to its health.
    Enable(Key),
    /// An operator changes a backend's share of the traffic.
    Weigh { key: Key, weight: u32 },
    /// Spoken certificates: the TLS of some listeners and pools.
    Certificates(Spoken),
    /// A name was looked up.
    LookedUp { name: Name, answer: Answer },
    /// An operator takes all backends of a name out of use, those too that it leads to later.
    DrainNamed(Named),
    /// An operator gives all backends of a name back to their health.
    EnableNamed(Named),
    /// TERM or INT came.
    Terminate,
    /// The drain took too long.
    DeadlinePassed,
}

/// A configuration whose files are read, sockets bound and certificates loaded.
pub struct Prepared {
    pub config: Arc<Config>,
    pub parts: Parts,
    /// What it changes.
    pub diff: Vec<Change>,
    /// Of the names that nothing is held of.
    pub answers: Vec<(Name, Answer)>,
}

/// An entry of a pool as the file writes it, which leads to any number of backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    pub pool: Arc<str>,
    /// `app.internal:8080`.
    pub written: String,
}

/// When an event came: one clock for waiting, one for telling.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub steady: Instant,
    pub wall: SystemTime,
}

impl Moment {
    pub fn now() -> Moment {
        Moment { steady: Instant::now(), wall: SystemTime::now() }
    }
}

/// What came of an event.
pub struct Applied {
    /// To be published. `None`: nothing changed that a worker needs to know.
    pub snapshot: Option<Arc<Snapshot>>,
    /// For the log and for whoever asked.
    pub lines: Vec<Line>,
}

/// One line for people, by how grave it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Info(String),
    Warn(String),
}

impl Line {
    pub fn text(&self) -> &str {
        match self {
            Line::Info(text) | Line::Warn(text) => text,
        }
    }

    /// Says it in the daemon's log.
    pub fn log(&self) {
        match self {
            Line::Info(text) => tracing::info!("{text}"),
            Line::Warn(text) => tracing::warn!("{text}"),
        }
    }
}

/// Why nothing was changed; each reason a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reasons: Vec<String>,
}

impl Refused {
    pub fn because(reason: impl Into<String>) -> Refused {
        Refused { reasons: vec![reason.into()] }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reasons.join("\n"))
    }
}

impl std::error::Error for Refused {}
