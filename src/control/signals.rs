//! The signals that the process hears.

use std::io;

use tokio::{
    select,
    signal::unix::{self, SignalKind},
};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// HUP.
    Reload,
    /// TERM or INT.
    Terminate,
    /// USR1.
    ReopenLogs,
}

/// Heard from the moment it is made.
pub struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    user1: unix::Signal,
}

impl Signals {
    /// Needs the runtime.
    pub fn hear() -> io::Result<Signals> {
        Ok(Signals {
            hangup: unix::signal(SignalKind::hangup())?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            user1: unix::signal(SignalKind::user_defined1())?,
        })
    }

    pub async fn next(&mut self) -> Order {
        select! {
            _ = self.terminate.recv() => Order::Terminate,
            _ = self.interrupt.recv() => Order::Terminate,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user1.recv() => Order::ReopenLogs,
        }
    }
}
