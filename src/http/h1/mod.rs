//! HTTP/1 on both sides, on httparse: from bytes to heads and bodies, and back.
//!
//! Pure: `scan` (where a head ends), `parse` (a head's grammar), `rules` (what a head means for the
//! connection and the body), `chunked` and `body` (a body's framing). With a socket: `pump` (one
//! direction of a body; `shortcut`, its way past our memory), `client` and `steady` (the connection from
//! a client, and what is written to it piece by piece), `upstream` (the connection to a
//! backend).

pub mod body;
pub mod chunked;
pub mod client;
pub mod collecting;
pub mod parse;
pub mod pump;
pub mod rules;
pub mod scan;
mod shortcut;
pub mod steady;
pub mod upstream;
