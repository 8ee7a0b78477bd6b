//! How TLS is spoken: versions, groups, certificates, resumption.
//!
//! - this file: on one listener; `resolver` its certificates, `tickets` how clients come back.
//! - `callers`: who its clients are, where it asks them.
//! - `client`: to the backends of one pool.
//! - `failure`: why a handshake failed.

mod callers;
mod client;
mod failure;
mod resolver;
mod tickets;

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};

pub use self::{
    callers::{Caller, Callers, ClientCertificate},
    client::{Alpn, ClientTls},
    failure::{Cause, HandshakeError, refuses_our_certificate},
    resolver::Resolver,
    tickets::Tickets,
};
use crate::{
    config::{self, TlsVersion, Versions},
    net::certificates::{Authorities, Pair},
};

/// The newest first.
static ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What a listener with certificates needs. Clones share.
#[derive(Clone)]
pub struct ServerTls {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// For what is asked of the certificates after the handshake.
    pub resolver: Arc<Resolver>,
    /// `None`: clients are not asked who they are.
    pub callers: Option<Arc<Callers>>,
}

/// The TLS of one listener. `pairs` are those of `tls.certificates`, in that order; `authorities`
/// those of `tls.clients`.
///
/// Key exchange prefers X25519MLKEM768 among the groups for which the client sent a key, then
/// X25519, P-256 and P-384; no second round trip is spent on a better one. The server's order of
/// cipher suites counts. ALPN offers `h2` before `http/1.1`, of those that the listener speaks; a
/// client that offers only other protocols is refused, as RFC 7301 section 3.2 wants it. Sessions are resumed by tickets
/// alone (see [`Tickets`]); early data is never taken, since it can be replayed.
///
/// # Errors
/// A certificate that no client could ever be given.
pub fn server_config(
    tls: &config::Tls,
    pairs: &[Arc<Pair>],
    authorities: Option<&Authorities>,
    tickets: &Tickets,
) -> Result<ServerTls, TlsError> {
    let resolver = Arc::new(Resolver::new(tls, pairs)?);
    let callers = match (&tls.clients, authorities) {
        (Some(asked), Some(authorities)) => Some(Arc::new(Callers::new(asked, authorities)?)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => unreachable!("authorities are those of the clients"),
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions(tls.min_version))
        .map_err(TlsError::Library)?;
    let builder = match &callers {
        Some(callers) => builder.with_client_cert_verifier(callers.verifier()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver.clone());
    config.ignore_client_order = true;
    config.alpn_protocols = protocols(tls);
    config.ticketer = tickets.bound_to(tls, pairs, authorities);
    config.send_tls13_tickets = 2;
    // Session ids of TLS 1.2 would be remembered here, a second and unshared memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(ServerTls { config: Arc::new(config), resolver, callers })
}

/// The preferred one first.
fn protocols(tls: &config::Tls) -> Vec<Vec<u8>> {
    let spoken: &[&[u8]] = match tls.versions {
        Some(Versions::Both) => &[b"h2", b"http/1.1"],
        Some(Versions::Http1) => &[b"http/1.1"],
        Some(Versions::Http2) => &[b"h2"],
        None => &[],
    };
    spoken.iter().map(|protocol| protocol.to_vec()).collect()
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match lowest {
        TlsVersion::Tls12 => ALL_VERSIONS,
        TlsVersion::Tls13 => &ALL_VERSIONS[..1],
    }
}

/// Why a listener or a pool can't speak TLS.
#[derive(Debug)]
pub enum TlsError {
    /// No certificate at all.
    NoCertificates,
    /// The certificate of this file holds no host name and is not the default.
    NoName(PathBuf),
    /// No certificate could hold this name of a backend.
    ServerName(String),
    /// The TLS library refused.
    Library(rustls::Error),
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NoCertificates => {
                write!(f, "a TLS listener has no certificate: expected at least one")
            }
            TlsError::NoName(cert) => write!(
                f,
                "{} names no host (a DNS name in its subjectAltName), so no client would ever be given it: \
                 use a certificate with names or set default = true",
                cert.display()
            ),
            TlsError::ServerName(name) => write!(
                f,
                "`{name}` is no name that a backend's certificate could hold: set `name` to one that it does"
            ),
            TlsError::Library(error) => write!(f, "the TLS library refused: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
