//! What HTTP says, in any version: heads, fields, authorities, paths. No socket, no clock.
//!
//! - `method`, `field`: the names that we know, recognised once.
//! - `head`: a request's and a response's head, each a flat list of lines over one buffer.
//! - `lent`: the memory that heads are read into and written in.
//! - `authority`: the host that a request is for.
//! - `cookies`, `query`: what a request carries under names of the application's own.
//! - `encoding`: the content codings that a client takes, and which of those on offer it gets.
//! - `encoder`: makes them, bytes in, bytes out.
//! - `path`: the path as routing reads it, and what it refuses.
//! - `weight`: how much a client wants something.
//! - `percent`: what is written as `%` and two digits in either.

pub mod authority;
pub mod cookies;
pub mod encoder;
pub mod encoding;
pub mod field;
pub mod head;
pub mod lent;
pub mod method;
pub mod path;
pub mod percent;
pub mod query;
pub mod weight;
