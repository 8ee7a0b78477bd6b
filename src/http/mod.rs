//! HTTP: the story of a request, and what decides in it.
//!
//! Read `connection` (a request after the other), then `proxy` (the story of one), `forward` (its
//! tries), `files` (a directory's), or `reply` (what we say by ourselves), and `attempt` (one try at one
//! backend), which `place`, `reach` and `hedge` are parts of: a place at a backend, a connection to it,
//! a second one where it is late. What decides is pure: `refusal` (the table of what is not let in),
//! `target`, `route`, `conditions`, `rewrite`, `split`, `variables`, `key`, `header_rules`, `headers`,
//! `answers`, `coding`, `compression`, `error_pages`, `grpc`, `request_id`. `site` and `door` are what a listener
//! serves, `local` what a worker lends, `record` what is told when a request is over. `h1/` and `h2/` are
//! the two versions on the wire, `fastcgi/` what scripts are asked by; `downstream` and `upstream` are
//! either at either end, `passage` and `exchange` what goes between them; `compressors` is who
//! compresses beside the workers; `upgrade` says who goes on with another protocol, and `tunnel` is the
//! story of that; `mirror` says of which requests copies are made, and `copy` is the story of one.

pub mod answers;
pub mod attempt;
pub mod coding;
pub mod compression;
pub mod compressors;
pub mod conditions;
pub mod connection;
pub mod content;
mod copy;
mod digits;
pub mod door;
pub mod downstream;
pub mod error_pages;
pub mod exchange;
pub mod fastcgi;
pub mod files;
pub mod forward;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod header_rules;
pub mod headers;
pub mod hedge;
pub mod key;
pub mod local;
pub mod mirror;
pub mod passage;
pub mod place;
pub mod proxy;
#[cfg(test)]
mod random_heads;
pub mod reach;
pub mod record;
pub mod refusal;
pub mod reply;
pub mod request_id;
pub mod rewrite;
pub mod route;
pub mod site;
pub mod split;
pub mod sticky;
pub mod target;
mod transfer;
pub mod tunnel;
pub mod upgrade;
pub mod upstream;
pub mod variables;
