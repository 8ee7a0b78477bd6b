//! A directory served as a web site: what decides, without a socket and without a file.
//!
//! - `names`: which name below the root a path asks for, and what is refused.
//! - `looks`: where that name is looked for, in order, and what follows from what is there.

pub mod looks;
pub mod names;
