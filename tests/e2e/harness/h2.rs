//! HTTP/2 in frames built by hand, for both ends: what no library sends, and a reader that takes
//! nothing that RFC 9113 forbids.

mod client;
pub mod frame;
mod link;
mod peer;

pub use client::{Door, H2Client, Outcome};
pub use link::{StreamEnd, Windows};
pub use peer::{Asked, H2Peer, h2_origin, h2_origin_with, h2_tls_origin};
