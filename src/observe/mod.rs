//! What can be seen from outside: counters, the access log, the daemon's own log.
//!
//! - [`reason`]: the closed list of words by which a failed request is known.
//! - [`counter`]: counts with one writer a slot, summed when they are read.
//! - [`metrics`]: all that /metrics shows, by listener, route, pool and backend.
//! - [`access_log`]: one line a request, by a bounded queue.
//! - [`dates`]: the ways in which a moment is written, and HTTP's are read.
//! - [`log`]: where the daemon's own words go.
//!
//! Nothing here knows of HTTP's rules, sockets or the configuration.

pub mod access_log;
pub mod counter;
pub mod dates;
pub mod log;
pub mod metrics;
pub mod reason;
