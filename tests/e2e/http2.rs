//! HTTP/2 at the door and to backends: frames built by hand, and clients no one here wrote.

mod backend_alpn;
mod both_ways;
mod breaks;
mod conformance;
mod connect;
mod drain;
mod encoded;
mod floods;
mod flow;
mod grpc;
mod outside;
mod protocols;
mod refusals;
mod second_tries;
mod sides;

use std::sync::Arc;

use rustls::ClientConfig;

use crate::harness::{Authority, Daemon, Origin, Setup, TlsVersions, client_config, h2::Door};

/// A plain listener and one with TLS before one backend of HTTP/1.1 that is never held down.
const BOTH_DOORS: &str = r#"
    [listener.web]
    bind = ["$web"]
    [listener.tls]
    bind = ["$tls"]
    certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key", default = true }]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
"#;

/// The same, with `keys` in its pool.
fn with_pool_keys(keys: &str) -> String {
    format!("{BOTH_DOORS}\n{keys}")
}

/// The same, with `keys` in both listeners.
fn with_listener_keys(keys: &str) -> String {
    let config = BOTH_DOORS.replace("[\"$web\"]", &format!("[\"$web\"]\n{keys}"));
    config.replace("[\"$tls\"]", &format!("[\"$tls\"]\n{keys}"))
}

/// A daemon and what its TLS clients trust.
struct Front {
    daemon: Daemon,
    trust: Arc<ClientConfig>,
}

impl Front {
    fn of(config: &str, origin: &Origin) -> Front {
        Front::start(Setup::of(config).with("origin", origin.address()))
    }

    fn start(setup: Setup) -> Front {
        let authority = Authority::new();
        authority.issue(&["www.example.com"]).write(setup.dir(), "www");
        Front { daemon: setup.start(), trust: client_config(&authority, TlsVersions::All) }
    }

    /// By prior knowledge.
    fn plain(&self) -> Door {
        Door::plain(self.daemon.address("web"))
    }

    /// By ALPN.
    fn tls(&self) -> Door {
        Door::tls(self.daemon.address("tls"), &self.trust)
    }
}

#[track_caller]
fn report(complaints: &[String], rows: usize) {
    let (count, words) = (complaints.len(), complaints.join("\n"));
    assert!(complaints.is_empty(), "{count} of {rows} rows:\n{words}");
}
