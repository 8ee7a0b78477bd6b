//! The PROXY protocol, versions 1 and 2: what a proxy says of whom it connects for, ahead of all other
//! bytes (haproxy.org, doc/proxy-protocol.txt).
//!
//! - [`read`]: the header of a proxy before us.
//! - [`write`]: ours, to a backend.

pub mod read;
pub mod write;

use std::net::SocketAddr;

use crate::config::ProxyProtocol;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Client(Endpoints),
    /// The proxy's own connection, such as its health check, or one that it knows nothing of.
    Nobody,
}

/// A client's connection, as the first proxy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// What a connection to a backend says ahead of all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub version: ProxyProtocol,
    pub told: Told,
}
