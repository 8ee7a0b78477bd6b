//! A directory served as a web site.
//!
//! - `root`: what is opened of it, and what never is; `stamp`: which content a file has.

pub mod root;
pub mod stamp;
