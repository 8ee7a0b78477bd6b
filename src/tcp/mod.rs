//! TCP: connections whose bytes are relayed, whatever they say.
//!
//! Read `connection`, the story of one: whose name it asks for, a place at a backend (`course`),
//! bytes both ways. `site` and `door` are what a listener serves; `client` is the connection from a
//! client before it is joined, `record` what is told when it is over.

pub mod client;
pub mod connection;
pub mod course;
pub mod door;
pub mod record;
pub mod site;
