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

/// Those that would end a process which does not hear them, and are not meant to: a reload asked for
/// while it still starts is made as soon as it runs.
pub struct Early {
    hangup: unix::Signal,
    user1: unix::Signal,
}

impl Early {
    /// Heard from now on. Needs the runtime.
    pub fn hear() -> io::Result<Early> {
        Ok(Early {
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
        })
    }
}

/// All of them.
pub struct Signals {
    early: Early,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// From now on TERM and INT drain; before, nobody was served and they ended the process. Needs
    /// the runtime.
    pub fn hear(early: Early) -> io::Result<Signals> {
        Ok(Signals {
            early,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    pub async fn next(&mut self) -> Order {
        select! {
            _ = self.terminate.recv() => Order::Terminate,
            _ = self.interrupt.recv() => Order::Terminate,
            _ = self.early.hangup.recv() => Order::Reload,
            _ = self.early.user1.recv() => Order::ReopenLogs,
        }
    }
}
