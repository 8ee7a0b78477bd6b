//! The configuration as meant: every default filled in, every name resolved, nothing left to doubt.
//!
//! Durations are `Duration`, sizes are bytes. `config::load` is the only maker; what reaches the
//! rest of the house has been checked.

mod balance;
mod bounds;
mod compress;
mod files;
mod resolver;
mod tcp;
mod tls;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use balance::*;
pub use bounds::*;
pub use compress::*;
pub use files::*;
pub use resolver::*;
pub use tcp::*;
pub use tls::*;

use crate::config::{
    bounds::RouteBounds, conditions::Conditions, error_pages::ErrorPage, fastcgi::Fastcgi,
    header_rules::HeaderRules, mirror::Mirror, network::Network, template::Template,
};

/// One whole file, as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Data-plane threads; fixed for the life of the process. Default: one a core.
    pub workers: usize,
    /// How long TERM waits for running requests before it closes them.
    pub drain_timeout: Duration,
    /// Answers that are compressed at once, in the whole process; more are passed on as they are.
    pub max_compressions: usize,
    /// Sorted by name, as are `pools`.
    pub listeners: Vec<Listener>,
    /// In the order of the file, which has no meaning but for messages.
    pub routes: Vec<Route>,
    pub pools: Vec<Pool>,
    /// Sorted by name.
    pub files: Vec<Files>,
    pub resolver: Resolver,
    pub access_log: Option<AccessLog>,
    pub metrics: Option<Metrics>,
    pub admin: Admin,
}

/// Addresses we accept connections on, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub name: Arc<str>,
    pub bind: Vec<SocketAddr>,
    /// `None`: plain.
    pub tls: Option<Tls>,
    /// Bytes are relayed. `None`: HTTP is served, and what is said of it below counts.
    pub tcp: Option<Tcp>,
    /// What clients may speak.
    pub versions: Versions,
    /// Every request is answered with a redirect to HTTPS on this port.
    pub redirect_https: Option<u16>,
    pub hsts: Option<Hsts>,
    /// Peers whose X-Forwarded-*, Forwarded and X-Request-Id are believed.
    pub trusted_proxies: Vec<Network>,
    /// The sources that connections are taken from, each of which must say by the PROXY protocol whom
    /// it connects for. `None`: any source, and none says so.
    pub proxy_protocol_from: Option<Vec<Network>>,
    /// Connections open at once over all workers; more wait in the kernel's accept queue.
    pub max_connections: usize,
    /// Connections open at once from one source address; more are closed at once.
    pub max_connections_per_source: usize,
    pub limits: Limits,
    pub timeouts: ListenerTimeouts,
    /// For our own errors.
    pub error_pages: Vec<ErrorPage>,
}

/// The versions of HTTP that clients may speak. HTTP/2 comes by ALPN over TLS, and with prior
/// knowledge without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Both,
    Http1,
    Http2,
}

impl Versions {
    pub fn has_http1(self) -> bool {
        self != Versions::Http2
    }

    pub fn has_http2(self) -> bool {
        self != Versions::Http1
    }
}

/// What a client may send (HTTP.md, "Over the limits").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line, without its CRLF (414).
    pub max_request_line: usize,
    /// Bytes of one header line (431).
    pub max_header: usize,
    /// Bytes of all header lines (431).
    pub max_headers_size: usize,
    /// Number of header lines (431).
    pub max_headers: usize,
    /// Bytes of a request body (413).
    pub max_body: u64,
    /// Requests on one connection; the last is answered with `Connection: close`.
    pub max_requests: u64,
    /// Streams open at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// HTTP/2 frames that carry nothing, before a client has earned more of them.
    pub max_control_frames: u64,
    /// HTTP/2 streams that a client resets, beyond those that it lets end.
    pub max_resets: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a request to the end of its head (408); also the TLS handshake.
    pub header: Duration,
    /// A kept-alive connection without a request.
    pub keep_alive: Duration,
    /// A body, in either direction, of which the client neither sends nor takes a byte (408).
    pub body_idle: Duration,
}

/// Which requests go to which action.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The label in metrics and logs: as written, or made of host and path.
    pub name: Arc<str>,
    /// `None`: every listener that serves (a `redirect` listener has no routes).
    pub listener: Option<Arc<str>>,
    pub host: HostMatch,
    pub path: PathMatch,
    pub conditions: Conditions,
    /// What stands in place of `path` in what is forwarded; `/` is nothing. `None`: the path is
    /// forwarded as it came.
    pub replace_prefix: Option<String>,
    /// Changed in what is forwarded.
    pub request_headers: HeaderRules,
    /// Changed in every answer, our own included.
    pub response_headers: HeaderRules,
    pub bounds: RouteBounds,
    /// For our own errors, before those of the listener.
    pub error_pages: Vec<ErrorPage>,
    pub mirror: Option<Mirror>,
    /// `None`: answers keep the coding that they come in.
    pub compress: Option<Compress>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostMatch {
    Any,
    /// In lower case, without a port.
    Exact(String),
    /// `*.example.com` is held as `.example.com`; it matches any number of labels before it.
    Wildcard(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathMatch {
    /// Whole segments: `/api` takes `/api` and `/api/x` but not `/apis`; `/api/` takes `/api/x`
    /// but not `/api`. `/` takes all.
    Prefix(String),
    Exact(String),
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostMatch::Any => f.write_str("*"),
            HostMatch::Exact(host) => f.write_str(host),
            HostMatch::Wildcard(parent) => write!(f, "*{parent}"),
        }
    }
}

/// `/assets/`, and `=/assets/` for the exact path.
impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathMatch::Prefix(path) => f.write_str(path),
            PathMatch::Exact(path) => write!(f, "={path}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The name of a pool that exists.
    Pool(Arc<str>),
    /// Scripts that a pool runs.
    Fastcgi(Fastcgi),
    /// Each request goes to one of them, at random by weight; at least one has a weight above 0.
    Split(Vec<Share>),
    /// The name of files that exist.
    Files(Arc<str>),
    Redirect(Redirect),
    Respond(Respond),
}

impl Action {
    /// The pools that requests are forwarded to; the one behind files is theirs.
    pub fn pools(&self) -> Vec<&Arc<str>> {
        match self {
            Action::Pool(pool) => vec![pool],
            Action::Fastcgi(fastcgi) => vec![&fastcgi.pool],
            Action::Split(shares) => shares.iter().map(|share| &share.pool).collect(),
            Action::Files(_) | Action::Redirect(_) | Action::Respond(_) => Vec::new(),
        }
    }
}

/// One pool of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The name of a pool that exists.
    pub pool: Arc<str>,
    /// 0 to 1,000,000; its share is this over the sum of all.
    pub weight: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// The value of Location: a URL, or a path of the same host.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    pub body: String,
    pub content_type: String,
}

/// A named group of backends that answer alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub name: Arc<str>,
    pub balance: Balance,
    /// There is one where `balance` is a consistent hash, and only there.
    pub hash: Option<Hash>,
    pub sticky: Option<Sticky>,
    /// How long a backend that has come up takes to get all of its weight; `None`: at once.
    pub slow_start: Option<Duration>,
    /// At least one; no address twice.
    pub backends: Vec<Backend>,
    /// `None`: plain connections to the backends.
    pub tls: Option<PoolTls>,
    /// Active probes. `None`: watched passively only.
    pub health: Option<Health>,
    pub passive: Passive,
    pub when_all_down: WhenAllDown,
    pub retry: Retry,
    pub timeouts: PoolTimeouts,
    /// Idle connections kept to each backend, a worker. To FastCGI servers none unless said: each keeps a
    /// process of theirs from serving others.
    pub max_idle: usize,
    /// Bytes of bodies that are read whole for scripts, of all its requests in the process.
    pub buffers: u64,
    pub host_header: HostHeader,
    pub protocol: Protocol,
    /// Long bodies between a plain HTTP/1 client and a plain HTTP/1 backend pass through a pipe in the kernel.
    pub splice: bool,
    /// What says to backends whom a connection is for; `None`: nothing does.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where requests wait while every backend that is up has its `max_requests`.
    pub queue: Queue,
    pub on_skew: OnSkew,
    /// Share of the pool's weight, 0 to 1, that must run a release and be up before the traffic keeps
    /// to it.
    pub on_skew_min: f64,
    /// Clients that have seen a release are not sent back to an older one; by the sticky cookie.
    pub pin: bool,
    /// `None`: no backend is taken out of use by the share of its requests that fail.
    pub breaker: Option<Breaker>,
    /// `None`: an answer is waited for from one backend at a time.
    pub hedge: Option<Hedge>,
}

impl Pool {
    /// Whether its probes are asked which release a backend runs.
    pub fn reads_releases(&self) -> bool {
        let kind = self.health.as_ref().map(|health| &health.kind);
        matches!(kind, Some(ProbeKind::Http(probe)) if probe.release.is_some())
    }
}

/// What is spoken to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// By ALPN over TLS, with prior knowledge without.
    H2,
    /// FastCGI 1.0, as php-fpm speaks it.
    Fastcgi,
}

/// The version of the PROXY protocol that backends are told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    V2,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub address: Address,
    /// 1 to 256; of SRV names their records say it.
    pub weight: u32,
    /// Used only when no normal backend is up.
    pub backup: bool,
    /// Requests under way at once, in the whole process; `None`: no limit. The pool's, where the
    /// backend says nothing else.
    pub max_requests: Option<usize>,
}

/// Active probes.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub kind: ProbeKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// Probes in a row that turn a backend up.
    pub rise: u32,
    /// Probes in a row that turn a backend down.
    pub fall: u32,
    /// Share of the interval, 0 to 1, by which each wait is stretched or shortened at random.
    pub jitter: f64,
    pub start: Start,
    /// The port that is probed, where it is not the one that is served.
    pub port: Option<u16>,
    /// Whether the TLS of the pool, where it has one, is spoken there as well.
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ProbeKind {
    Tcp,
    Http(HttpProbe),
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    pub method: ProbeMethod,
    /// Origin form: path and query.
    pub path: String,
    /// The Host field; `None`: the backend's address.
    pub host: Option<String>,
    /// Inclusive ranges of status codes that pass.
    pub status: Vec<(u16, u16)>,
    /// Text that the first 64 KiB of the body must hold.
    pub text: Option<String>,
    /// Where the answer says which release runs.
    pub release: Option<ReleaseSource>,
}

/// Where a probe's answer names the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseSource {
    /// The value of this field.
    Header(String),
    /// A member of the JSON body, from the outermost object inwards.
    Json(Vec<String>),
}

/// `X-Release`, `build.version`.
impl fmt::Display for ReleaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseSource::Header(name) => f.write_str(name),
            ReleaseSource::Json(path) => f.write_str(&path.join(".")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMethod {
    Get,
    Head,
    Options,
}

/// What a backend is held to be before its first probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Out of use until its first probe, which alone decides.
    Wait,
    AssumeUp,
}

/// Failures of real requests that turn a backend down before its next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    /// Connect failures, resets and timeouts in a row; 0 turns it off.
    pub fall: u32,
    /// Whether a 5xx answer counts, too. What one client can ask for then turns a backend down.
    pub count_5xx: bool,
    /// Without active probes: how long until it is tried again.
    pub retry_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAllDown {
    /// 503.
    Fail,
    /// Balance over all of them, as if they were up.
    ServeAnyway,
}

/// What follows from it that the backends of a pool run several releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSkew {
    /// Nothing but words.
    Report,
    /// The traffic keeps to the release that was deployed last.
    PreferNewest,
    /// The traffic keeps to the release that most of the weight runs.
    PreferMajority,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// To open a connection (504).
    pub connect: Duration,
    /// From the whole request sent to the first byte of the answer (504).
    pub first_byte: Duration,
    /// An answer of which the backend sends no byte, or a request body of which it takes none.
    pub idle: Duration,
    /// The whole exchange, from the request's head to the answer's end; `None`: no limit.
    pub whole: Option<Duration>,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// An upgraded connection (WebSocket) or a TCP connection on which neither side sends a byte.
    pub tunnel_idle: Duration,
}

/// What the backend gets as Host.
#[derive(Clone, Debug, PartialEq)]
pub enum HostHeader {
    /// What the client sent.
    Pass,
    Set(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    pub to: LogTarget,
    pub format: LogFormat,
    /// Lines that may wait to be written; more are dropped and counted.
    pub queue: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LogTarget {
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Combined,
}

/// Where /metrics, /healthz and /readyz are served.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    pub bind: SocketAddr,
}

/// The socket of `equipoise reload`, `status`, `drain`, `enable`, `weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    pub socket: PathBuf,
}
