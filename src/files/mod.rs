//! A directory served as a web site: what decides, without a socket and without a file.
//!
//! - `conditions`: whether a request's preconditions hold, and whether its ranges count.
//! - `names`: which name below the root a path asks for, and what is refused.
//! - `looks`: where that name is looked for, in order, and what follows from what is there.
//! - `ranges`: which bytes a request asks for.
//! - `multipart`: what stands between the bytes of several ranges.
//! - `mime`: what a file's name says of its content.
//! - `cache_control`: how long it may be kept; `fingerprint`: names that say what is in the file.
//! - `listing`: what a directory without an index page shows; `accept`: in which of its forms.

pub mod accept;
pub mod cache_control;
pub mod conditions;
pub mod fingerprint;
pub mod listing;
pub mod looks;
pub mod mime;
pub mod multipart;
pub mod names;
pub mod ranges;
