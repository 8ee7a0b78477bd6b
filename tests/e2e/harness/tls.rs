//! The client's side of TLS.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
};

use super::Authority;

/// What a client offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TlsVersions {
    All,
    Only12,
    Only13,
}

/// One TLS client: its trust, and the tickets it was given.
pub fn client_config(authority: &Authority, versions: TlsVersions) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).expect("a root of ours");
    let offered: &[&rustls::SupportedProtocolVersion] = match versions {
        TlsVersions::All => rustls::ALL_VERSIONS,
        TlsVersions::Only12 => &[&rustls::version::TLS12],
        TlsVersions::Only13 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(offered)
        .expect("the provider knows both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub fn connection(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name or an address");
    ClientConnection::new(Arc::clone(config), name).expect("a client's configuration of ours")
}
