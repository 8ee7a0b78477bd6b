//! TLS as meant: of a listener, and to the backends of a pool.

use std::{path::PathBuf, time::Duration};

use super::Versions;
use crate::config::diagnostic::Place;

/// The certificates of a TLS listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    pub certificates: Vec<Certificate>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
    /// The listener's: what ALPN offers. `None`: bytes are relayed, of which nothing is agreed.
    pub versions: Option<Versions>,
    /// `None`: clients are not asked who they are.
    pub clients: Option<ClientCertificates>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// One pair of files. It is chosen by the names in the certificate itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// PEM: the certificate, then its chain.
    pub cert: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// Served when SNI is absent or matches no certificate. At most one a listener.
    pub default: bool,
    /// Where `cert` stands in the file, to tell of a pair that can't be used.
    pub place: Place,
    /// Where `key` stands.
    pub key_place: Place,
}

/// Strict-Transport-Security (RFC 6797), sent with each answer of a TLS listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Hsts {
    pub max_age: Duration,
    pub include_subdomains: bool,
    pub preload: bool,
}

/// How a listener asks its clients for certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificates {
    /// Who must have issued them.
    pub authorities: Authorities,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// TLS to the backends of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolTls {
    pub trust: Trust,
    /// What the backends' certificates must be valid for, and what is sent as SNI: as written, else
    /// the host that the pool sets. `None`: each backend's own address.
    pub name: Option<String>,
    /// What we show to a backend that asks who we are.
    pub identity: Option<Certificate>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
    /// Where it stands in the file, to tell of what can't be used.
    pub place: Place,
}

/// Whose word on a peer's certificate is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// The certificate authorities of the system.
    System,
    Authorities(Authorities),
    /// Nobody is asked: `verify = false`.
    Anyone,
}

/// A file of certificate authorities.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorities {
    /// PEM: one certificate or several.
    pub file: PathBuf,
    /// Where it stands in the file, to tell of one that can't be used.
    pub place: Place,
}
