//! Sockets and TLS: all that lies below the first byte a protocol reads.
//!
//! - [`listen`]: the listening sockets of one address, one for each worker.
//! - [`listener`]: the accept queue of one of them.
//! - [`inherited`]: the listening sockets that the service manager opened for us.
//! - [`socket`]: a TCP connection, and the short way to the kernel.
//! - [`stream`]: one connection, plain or TLS, behind one type.
//! - [`certificates`]: one certificate and its key, read from disk and understood.
//! - [`tls`]: which certificate a client gets, and how TLS is spoken and resumed.
//! - [`buffer`], [`side`]: memory that a worker lends; a connection with what was read of it.
//! - [`gathered`]: small writes gathered into one.
//! - [`ends`]: where a client's connection comes from, and where it came to.
//! - [`proxy_protocol`]: what a proxy says of whom it connects for, before us and to backends.
//! - [`relay`]: bytes both ways between two connections.
//! - [`client_hello`]: the name that a TLS client asks for, read without answering.
//! - [`closing`]: that an address has been given up.
//! - [`local`]: what a worker lends to every connection on it.
//! - [`clock`]: the time, looked at seldom.
//! - [`timer`]: one timer a connection.
//! - [`sources`]: how many connections each source address has open.

pub mod buffer;
pub mod certificates;
pub mod client_hello;
pub mod clock;
pub mod closing;
pub mod ends;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gathered;
pub mod inherited;
pub mod listen;
pub mod listener;
pub mod local;
pub mod proxy_protocol;
pub mod relay;
pub mod side;
pub mod socket;
pub mod sources;
pub mod splice;
pub mod stream;
pub mod timer;
pub mod tls;
