//! The control plane: one thread that decides what the workers know.
//!
//! - `plane`: before it runs: generation 1, and what the workers need.
//! - `running`: the story: what comes in, what is published, how it ends.
//! - `state`, `event`, `book`, `weights`, `breakers`, `runs`, `plight`, `skew`: what a change does; pure.
//! - `status`, `route_status`, `gauges`: what the state looks like from outside; pure.
//! - `prepare`, `rooms`, `certificates`, `secrets`, `error_pages`, `directories`: from a file to what can be served.
//! - `traces`: what a refused one must not leave behind.
//! - `probe/`: active health checks, a task a backend.
//! - `names/`: backends by name, a task a name.
//! - `named`: what an answer for a name, or an operator's word on one, does; pure.
//! - `protocol`, `admin`, `ask`, `page`: the admin socket and the metrics address.
//! - `reloads`: who waits for the verdict on a reload.
//! - `signals`, `notify`, `watchdog`: the process and its service manager.

mod admin;
mod ask;
mod book;
mod breakers;
pub mod certificates;
pub mod directories;
pub mod error_pages;
pub mod event;
mod gauges;
mod named;
mod names;
mod notify;
mod page;
pub mod plane;
mod plight;
mod prepare;
mod probe;
pub mod protocol;
mod reloads;
mod rooms;
mod route_status;
mod running;
mod runs;
pub mod secrets;
mod signals;
#[cfg(test)]
mod simulation;
mod skew;
mod state;
mod status;
mod traces;
mod watchdog;
mod weights;

pub use event::Refused;
pub use names::names_of;
pub use plane::{End, Plane, first};
