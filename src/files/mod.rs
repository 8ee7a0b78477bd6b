//! A directory served as a web site. What decides has no socket and opens no file:
//!
//! - `names`: which name below the root a path asks for, and what is refused.
//! - `looks`: where that name is looked for, in order, and what follows from what is there.
//! - `conditions`: whether a request's preconditions hold, and whether its ranges count.
//! - `ranges`: which bytes a request asks for.
//! - `multipart`: what stands between the bytes of several ranges.
//! - `mime`: what a file's name says of its content.
//! - `cache_control`: how long it may be kept; `fingerprint`: names that say what is in the file.
//! - `listing`: what a directory without an index page shows; `accept`: in which of its forms.
//!
//! What reads:
//!
//! - `root`: what is opened, and what never is; `stamp`: what tells one content from another.
//! - `document`: a file with what is said of it; `digests`: its content in 128 bits;
//!   `encoded`: it in codings that don't lie beside it;
//!   `chosen`: in which of them a client gets it.
//! - `directory`: what all workers know of it, and how a path is looked up.
//! - `cache`, `reads`, `local`: what a worker keeps, how it waits for the disk, and both together.

pub mod accept;
pub mod cache;
pub mod cache_control;
pub mod chosen;
pub mod conditions;
pub mod digests;
pub mod directory;
pub mod document;
pub mod encoded;
pub mod fingerprint;
pub mod listing;
pub mod local;
pub mod looks;
pub mod mime;
pub mod multipart;
pub mod names;
pub mod ranges;
pub mod reads;
pub mod root;
pub mod stamp;
