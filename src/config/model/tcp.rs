//! A listener that relays bytes, as meant. A part of the model.

use std::sync::Arc;

use super::HostMatch;

/// Where the connections of a TCP listener go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// The pool of those that no name leads elsewhere. `None`: they are refused.
    pub pool: Option<Arc<str>>,
    /// Pools by the name that a TLS client asks for, which is read without terminating TLS.
    pub sni: Vec<(HostMatch, Arc<str>)>,
}

impl Tcp {
    /// The names of the pools, each as often as it is named.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pool.iter().chain(self.sni.iter().map(|(_, pool)| pool))
    }
}
