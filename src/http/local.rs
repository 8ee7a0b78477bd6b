//! What a worker lends to every connection on it, under the name that this room knows it by.

pub use crate::net::local::Local;
