//! What the admin socket says: one line of JSON each way, then the connection closes.
//!
//! ```json
//! {"command":"drain","backend":"app/10.0.1.11:8080"}
//! {"ok":true,"words":["pool app: 10.0.1.11:8080 draining: 3 requests in flight"],"status":null}
//! ```

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// Bytes of a request line, its end included; more is refused.
pub const MAX_REQUEST: usize = 4096;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Reads the configuration again. Answered when it serves, or was refused.
    Reload,
    Status,
    /// Takes a backend out of use; what is in flight goes on.
    Drain {
        /// `POOL/ADDRESS`: `app/10.0.1.11:8080`.
        backend: String,
    },
    /// Changes a backend's share of the traffic, until the file says another.
    Weight {
        backend: String,
        /// 0 to 256; 0: no new clients.
        weight: u32,
    },
    /// Gives a drained backend back to its health, and has an open breaker try it at once.
    Enable {
        backend: String,
    },
}

/// The verdict on one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// `false`: refused, nothing has changed.
    pub ok: bool,
    /// What was done, or why not; each a line.
    pub words: Vec<String>,
    /// Only for `status`.
    pub status: Option<Status>,
}

impl Answer {
    pub fn done(words: Vec<String>) -> Answer {
        Answer { ok: true, words, status: None }
    }

    pub fn refused(words: Vec<String>) -> Answer {
        Answer { ok: false, words, status: None }
    }
}

/// Pools and backends as held now. Times are seconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub generation: u64,
    pub phase: PhaseWord,
    /// Since when the process runs.
    pub since: u64,
    pub workers: usize,
    pub listeners: Vec<ListenerStatus>,
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    #[serde(default)]
    pub files: Vec<FilesStatus>,
    pub pools: Vec<PoolStatus>,
    /// `None`: no reload has come to its verdict yet.
    pub last_reload: Option<LastReload>,
    /// `None`: no reload is under way.
    #[serde(default)]
    pub reloading_since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseWord {
    Serving,
    Draining,
    Closing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub name: String,
    pub bind: Vec<SocketAddr>,
    pub tls: bool,
    /// Whether bytes are relayed, and no HTTP is spoken.
    #[serde(default)]
    pub tcp: bool,
    #[serde(default)]
    pub client_certificates: AskedWord,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskedWord {
    #[default]
    None,
    Optional,
    Required,
}

/// Which requests a route takes, what becomes of them, and how many there were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its label in metrics and logs.
    pub name: String,
    /// `None`: every listener that serves.
    pub listener: Option<String>,
    /// `www.example.com`, `*.example.com`, or `*` for every host.
    pub host: String,
    /// `/api/` with all below it, or `=/robots.txt` alone.
    pub path: String,
    /// What else it asks for, without values: `GET|HEAD`, `header:x-canary`.
    pub conditions: Vec<String>,
    pub action: ActionStatus,
    /// The pool that gets copies of its requests.
    pub mirror: Option<String>,
    /// Requests since the route is known.
    pub requests: u64,
    /// How many of them were answered 5xx, by a backend or by us.
    pub answered_5xx: u64,
}

/// What a route does, as the file says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionStatus {
    Pool(String),
    /// The weight of each pool.
    Split(BTreeMap<String, u32>),
    Files(String),
    Redirect {
        status: u16,
        to: String,
    },
    Respond {
        status: u16,
    },
}

/// A directory that is served, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesStatus {
    pub name: String,
    pub root: String,
    /// Requests since it is known.
    pub requests: u64,
    /// Look-ups of what was kept, and of what was not.
    pub hits: u64,
    pub misses: u64,
    /// Bytes of memory that small files are kept in.
    pub kept_bytes: u64,
    /// Large files that are kept open.
    pub open: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    pub name: String,
    /// As written in the file: `round-robin`.
    pub balance: String,
    pub tls: TlsWord,
    /// Only where the probes read which release a backend runs.
    pub releases: Option<ReleasesStatus>,
    /// Requests that wait for a place at a backend.
    #[serde(default)]
    pub waiting: usize,
    /// Entries of the file that are looked up.
    #[serde(default)]
    pub names: Vec<NameStatus>,
    pub backends: Vec<BackendStatus>,
}

/// A name that leads to backends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameStatus {
    /// As written in the file: `app.internal:8080`.
    pub written: String,
    /// What is looked up: `app.internal`.
    pub name: String,
    pub standing: StandingWord,
    /// Since when it stands so.
    pub since: u64,
    /// How many it leads to.
    pub addresses: usize,
    /// When the last good answer came.
    pub answered: Option<u64>,
    /// Why the last look-up told nothing.
    pub trouble: Option<String>,
    /// An operator took out of use all that it leads to.
    pub drained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StandingWord {
    /// The last look-up was answered.
    Resolved,
    /// It was not; the answer before is used.
    Kept,
    /// Nothing is known.
    Unresolved,
}

impl StandingWord {
    pub fn word(self) -> &'static str {
        match self {
            StandingWord::Resolved => "resolved",
            StandingWord::Kept => "kept",
            StandingWord::Unresolved => "unresolved",
        }
    }
}

/// What the backends of a pool say that they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasesStatus {
    pub known: Vec<ReleaseStatus>,
    /// Of how many backends it is not known.
    pub unknown: usize,
    /// Since when there has been more than one.
    pub skewed_since: Option<u64>,
    /// As written in the file: `report`.
    pub on_skew: String,
    /// The release that the traffic keeps to.
    pub preferred: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    pub release: String,
    pub backends: usize,
}

/// How the backends of a pool are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsWord {
    /// Plainly.
    None,
    Verified,
    /// By TLS with whoever answers: `verify = false`.
    Unverified,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    pub address: SocketAddr,
    /// Which entry of the file leads to it, where that is a name: `app.internal:8080`.
    #[serde(default)]
    pub name: Option<String>,
    pub verdict: VerdictWord,
    /// Since when the verdict holds.
    pub since: u64,
    /// An operator's, else the file's.
    pub weight: u32,
    #[serde(default)]
    pub file_weight: u32,
    /// When it has all of it, where its pool has a slow start. It may be over.
    #[serde(default)]
    pub whole_weight_at: Option<u64>,
    pub backup: bool,
    /// Requests under way.
    pub in_flight: usize,
    /// Requests that may be under way. `None`: no limit.
    #[serde(default)]
    pub max_requests: Option<usize>,
    /// `None`: its pool has none.
    #[serde(default)]
    pub breaker: Option<BreakerStatus>,
    /// Requests since the backend is known.
    pub requests: u64,
    /// "200 in 3 ms", "connection refused". `None`: not probed yet, or not at all.
    pub last_probe: Option<String>,
    /// What turned it down. `None`: it is not down, or waits for its first probe.
    #[serde(default)]
    pub why_down: Option<String>,
    /// What it last said that it runs. `None`: unknown, or not asked.
    pub release: Option<String>,
}

/// The circuit breaker of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// "closed", "open" or "half-open".
    pub position: String,
    /// How often it opened since the backend is known.
    pub openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    Up,
    Down,
    Draining,
}

impl VerdictWord {
    pub fn word(self) -> &'static str {
        match self {
            VerdictWord::Up => "up",
            VerdictWord::Down => "down",
            VerdictWord::Draining => "draining",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    pub at: u64,
    pub ok: bool,
    /// What changed, or why it was refused; each a line.
    pub words: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<Request>) {
        assert_eq!(serde_json::from_str(line).ok(), expected, "{line}");
    }

    #[test]
    fn requests_as_written() {
        let backend = || "app/127.0.0.1:80".to_owned();
        check(r#"{"command":"reload"}"#, Some(Request::Reload));
        check(r#"{"command":"status"}"#, Some(Request::Status));
        let drain = Request::Drain { backend: backend() };
        check(r#"{"command":"drain","backend":"app/127.0.0.1:80"}"#, Some(drain));
        let weight = Request::Weight { backend: backend(), weight: 3 };
        check(r#"{"command":"weight","backend":"app/127.0.0.1:80","weight":3}"#, Some(weight));
        let enable = Request::Enable { backend: backend() };
        check(r#"{"command":"enable","backend":"app/127.0.0.1:80"}"#, Some(enable));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        check(r#"{"command":"drain"}"#, None);
        check(r#"{"command":"stop"}"#, None);
        check(r#"{"command":"drain","backend":"a","and":1}"#, None);
        check("reload", None);
        check("", None);
    }

    #[test]
    fn an_answer_survives_the_way() {
        let answer = Answer::refused(vec!["line 3: unknown key".to_owned()]);
        let line = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
        assert!(!line.contains('\n'));
    }

    #[test]
    fn any_bytes_are_a_request_or_refused() {
        let mut random = fastrand::Rng::with_seed(13);
        let sound = br#"{"command":"drain","backend":"app/127.0.0.1:80"}"#;
        for _ in 0..20_000 {
            let mut bytes = sound.to_vec();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.splice(at..at, [b'[', b'{', b'"', b'\\']).for_each(drop),
                }
            }
            if let Ok(request) = serde_json::from_slice::<Request>(&bytes) {
                let line = serde_json::to_string(&request).unwrap();
                assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
            }
        }
        let deep = vec![b'['; MAX_REQUEST];
        assert!(serde_json::from_slice::<Request>(&deep).is_err(), "no stack is spent on it");
    }
}
