//! What a listener serves, as one snapshot knows it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    config::{Hsts, Limits, ListenerTimeouts, Versions, network::Network},
    http::route::Router,
    net::tls::Resolver,
    observe::metrics::ListenerMetrics,
};

/// Immutable; the same for every worker.
pub struct Site {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Of a TLS listener: which certificate serves which host.
    pub certificates: Option<Arc<Resolver>>,
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
