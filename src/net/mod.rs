//! Sockets and TLS: all that lies below the first byte a protocol reads.
//!
//! - [`listen`]: the listening sockets of one address, one for each worker.
//! - [`inherited`]: the listening sockets that the service manager opened for us.
//! - [`stream`]: one connection, plain or TLS, behind one type.
//! - [`certificates`]: one certificate and its key, read from disk and understood.
//! - [`tls`]: which certificate a client gets, and how TLS is spoken and resumed.
//! - [`buffer`], [`side`]: memory that a worker lends; a connection with what was read of it.
//! - [`relay`]: bytes both ways between two connections.
//! - [`timer`]: one timer a connection.
//! - [`sources`]: how many connections each source address has open.

pub mod buffer;
pub mod certificates;
#[cfg(test)]
pub(crate) mod fixture;
pub mod inherited;
pub mod listen;
pub mod relay;
pub mod side;
pub mod sources;
pub mod stream;
pub mod timer;
pub mod tls;
