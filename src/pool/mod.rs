//! Who can answer: pools of backends, their balance, health, retries and idle connections.
//!
//! - `backend`: one server; what is counted in it outlives reloads.
//! - `members`: a pool as one snapshot knows it: verdicts, and who may be picked now.
//! - `balance/`: one algorithm a file.
//! - `dial`: the one place where a connection to a backend is made.
//! - `hedge`: after how long a second try is worth its price: what a worker's answers took of late.
//! - `idle`: the connections that wait for their next request.
//! - `multiplexed`: the HTTP/2 connections, each of which carries many requests at once.
//! - `health`: how probes and failures turn a verdict; pure.
//! - `release`, `preference`, `pins`: what a backend runs, what the traffic keeps to, and a client; pure.
//! - `retry`: when a failed try may be made again; pure.
//! - `breaker`, `window`: when a backend is out of use because too many of its requests fail.
//! - `queue`: requests that wait for a place at a backend, over all workers.
//! - `quotes`: how much of a backend's own words goes into our log; pure.
//! - `slow_start`: the share of its weight that a backend gets while it comes up; pure.
//! - `sticky`: the cookie that keeps a client at its backend; pure.
//! - `place`: a place at a backend: at once, or after a wait.
//! - `local`: a worker's own share of a pool: rotation, retry budget, what is kept of its backends.

pub mod backend;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod dial;
pub mod health;
pub mod hedge;
pub mod idle;
pub mod local;
pub mod members;
pub mod multiplexed;
pub mod pins;
pub mod place;
pub mod preference;
pub mod queue;
pub mod quotes;
pub mod release;
pub mod retry;
pub mod slow_start;
pub mod sticky;
pub mod window;
