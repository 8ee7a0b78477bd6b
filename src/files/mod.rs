//! A directory served as a web site. What decides has no socket and opens no file:
//!
//! - `conditions`: whether a request's preconditions hold, and whether its ranges count.
//! - `names`: which name below the root a path asks for, and what is refused.
//! - `looks`: where that name is looked for, in order, and what follows from what is there.
//! - `ranges`: which bytes a request asks for.
//! - `multipart`: what stands between the bytes of several ranges.
//!
//! What reads:
//!
//! - `root`: what is opened, and what never is; `stamp`: what tells one content from another.
//! - `document`: a file with what is said of it; `digests`: its content in 128 bits.
//! - `directory`: what all workers know of it, and how a path is looked up.
//! - `cache`, `reads`, `local`: what a worker keeps, how it waits for the disk, and both together.

pub mod cache;
pub mod conditions;
pub mod digests;
pub mod directory;
pub mod document;
pub mod local;
pub mod looks;
pub mod multipart;
pub mod names;
pub mod ranges;
pub mod reads;
pub mod root;
pub mod stamp;
