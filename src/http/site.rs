//! What a listener serves, as one snapshot knows it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    config::{Hsts, Limits, ListenerTimeouts, Versions, network::Network},
    http::{compressors::Places, error_pages::ErrorPages, route::Router},
    net::tls::{Caller, Callers, Resolver},
    observe::metrics::ListenerMetrics,
};

/// Immutable; the same for every worker.
pub struct Site {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Of a TLS listener: which certificate serves which host.
    pub certificates: Option<Arc<Resolver>>,
    /// `None`: clients are not asked who they are.
    pub callers: Option<Arc<Callers>>,
    /// Every request is answered with a redirect to HTTPS on this port.
    pub redirect_https: Option<u16>,
    /// The value of Strict-Transport-Security.
    pub hsts: Option<String>,
    pub trusted_proxies: Vec<Network>,
    /// What clients may speak.
    pub versions: Versions,
    pub limits: Limits,
    /// The largest body that the listener or any of its routes lets through.
    pub most_body: u64,
    pub timeouts: ListenerTimeouts,
    pub router: Router,
    pub error_pages: ErrorPages,
    /// For files that are compressed.
    pub places: Places,
    pub metrics: Arc<ListenerMetrics>,
}

impl Site {
    pub fn is_tls(&self) -> bool {
        self.certificates.is_some()
    }

    /// Whether a request for `host`, in lower case and without a port, may come over a connection
    /// that asked for the certificate of `sni` (RFC 9110, section 7.4).
    pub fn may_serve(&self, host: &str, sni: Option<&str>) -> bool {
        match (&self.certificates, sni) {
            (Some(certificates), Some(sni)) if !host.is_empty() => {
                certificates.same_certificate(sni, host)
            }
            _ => true,
        }
    }

    /// Whether a client may be served that was let in before the last reload: what it showed then, if
    /// it was asked, must do now.
    pub fn admits(&self, caller: Option<&Caller>) -> bool {
        match (&self.callers, caller) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(callers), Some(caller)) => caller.will_do(callers),
        }
    }

    /// Whether this peer's word on whom it forwards for is taken.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

/// The field's value (RFC 6797, section 6.1).
pub fn hsts_value(hsts: &Hsts) -> String {
    let mut value = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}
