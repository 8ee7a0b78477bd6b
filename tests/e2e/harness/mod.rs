//! The actors of a test: the daemon as a process, scripted origins, clients that read strictly,
//! and load. All of them are threads and blocking sockets with deadlines.

mod certificates;
mod client;
mod codings;
mod daemon;
pub mod fastcgi;
pub mod h2;
mod http;
mod load;
mod metrics;
mod names;
mod origin;
mod php;
mod ports;
mod process;
mod tls;

use std::{
    thread,
    time::{Duration, Instant},
};

pub use certificates::{Authority, Pair};
pub use client::{Client, get, request};
pub use codings::decoded;
pub use daemon::{Daemon, ONE_BACKEND, Setup};
pub use http::{Answer, Broken, End, Request};
pub use load::Load;
pub use metrics::Metrics;
pub use names::{Mood, NameServer, Record, Says};
pub use origin::{Origin, OriginProcess, Peer};
pub use php::Php;
pub use ports::free_port;
pub use process::{BINARY, Output, Process, equipoise, run};
pub use tls::{TlsVersions, choosing, client_config, client_config_as, offering, server_config};

/// How long anything that must happen may take. It is far more than it takes on an idle machine:
/// no test measures time by it.
pub const DEADLINE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns when the number has stopped to change: whoever moves it is blocked. What can be waited
/// for is only that nothing happens for a while, so the while is long.
#[track_caller]
pub fn wait_until_still(what: &str, mut number: impl FnMut() -> u64) -> u64 {
    const POLLS: u32 = 100;
    let (mut last, mut polls) = (0, 0);
    wait_until(DEADLINE, what, || {
        let now = number();
        polls = if now == last { polls + 1 } else { 0 };
        last = now;
        now > 0 && polls >= POLLS
    });
    last
}

/// The only poll loop: returns when the condition holds, fails the test after the deadline.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "waited {deadline:?} for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}
