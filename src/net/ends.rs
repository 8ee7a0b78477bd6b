//! Where a client's connection comes from, and where it came to.

use std::{net::SocketAddr, rc::Rc};

use crate::{
    config::ProxyProtocol,
    net::{
        proxy_protocol::{Announcement, Endpoints, Told},
        tls::Caller,
    },
};

/// The two ends of a client's connection.
#[derive(Clone, Debug)]
pub struct Ends {
    pub peer: SocketAddr,
    /// The listener's.
    pub port: u16,
    /// Where the client connected to, where that is known without asking the socket: as a proxy
    /// before us told it, or where many requests share the connection.
    pub destination: Option<SocketAddr>,
    /// Who it is; `None` where that is not asked.
    pub caller: Option<Rc<Caller>>,
}

impl Ends {
    /// What a backend is told of the connection, whose own socket is asked where nobody told.
    pub fn announcement(
        &self,
        version: ProxyProtocol,
        socket: impl FnOnce() -> Option<SocketAddr>,
    ) -> Announcement {
        let told = match self.destination.or_else(socket) {
            Some(destination) => Told::Client(Endpoints { source: self.peer, destination }),
            None => Told::Nobody,
        };
        Announcement { version, told }
    }
}
