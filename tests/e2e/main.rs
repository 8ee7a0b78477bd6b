//! The real binary as a process, real sockets: a module a feature. Each test is a configuration,
//! its actors and what is expected of them.

mod accept;
mod announced;
mod backend_tls;
mod balance;
mod breaker;
mod breaks;
mod client_certificates;
mod demo;
mod files;
mod forwarding;
mod harness;
mod health;
mod hedge;
mod http2;
mod limits;
mod names;
mod proxy_protocol;
mod queue;
mod refusals;
mod releases;
mod reload;
mod routes;
mod seen;
mod service;
mod splice;
mod sticky;
mod tcp;
mod tls;
mod upgrade;
mod weights;
