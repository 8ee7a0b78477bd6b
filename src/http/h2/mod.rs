//! HTTP/2 (RFC 9113), over the `h2` crate, which is also what hyper speaks it with: frames, HPACK,
//! flow control and the states of streams are its; what a request means is decided as for HTTP/1.
//!
//! It is used without hyper's server and client around it: a stream's own task then holds both ends
//! of its bodies, so that every time limit, reset and end of a body is ours to see and to say.
//!
//! - `connection`, `client`: a connection from a client, and one stream of it.
//! - `body`: what comes of a message behind its head.
//! - `tunnel`: a stream as a connection of its own.
//! - `upstream`: one request on a connection to a backend.
//! - `heads`: between the lines that all rooms read and HTTP/2's own form; pure.
//! - `flood`, `watched`: what a client may send that carries nothing; pure, and where it is counted.

pub mod body;
pub mod client;
pub mod connection;
pub mod flood;
pub mod heads;
pub mod tunnel;
pub mod upstream;
mod watched;
