//! equipoise: the whole front of the whiteboard in one binary and one TOML file.
//!
//! The house, from the ground up; imports point down, and rooms on one floor never meet:
//!
//! - [`units`], [`observe`]: durations and sizes as people write them; metrics, access log, tracing.
//! - [`config`]: the file people write: from text to meaning, every error told at once.
//! - [`net`], [`message`]: sockets and TLS; what HTTP says, without a socket.
//! - [`pool`]: who can answer: backends, balance, health, retries, idle connections.
//! - [`files`]: a directory served as a web site.
//! - [`http`], [`tcp`]: the story of a request; the story of a connection whose bytes are relayed.
//! - [`snapshot`], [`roll`]: all that the workers know, immutable; that the workers live.
//! - [`worker`], [`control`]: the data plane, one thread a core; the control plane, one thread.
//! - [`cli`], [`server`], [`demo`]: the commands; bind, spawn, join; the main job with no set-up.

pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod files;
pub mod http;
pub mod message;
pub mod net;
pub mod observe;
pub mod pool;
pub mod roll;
pub mod server;
pub mod snapshot;
pub mod tcp;
pub mod units;
pub mod worker;
