//! Both sides of TLS.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{Authority, Pair};

/// What a client offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TlsVersions {
    All,
    Only12,
    Only13,
}

/// The same client, offering these protocols by ALPN.
pub fn offering(config: &Arc<ClientConfig>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// One TLS client: its trust, and the tickets it was given.
pub fn client_config(authority: &Authority, versions: TlsVersions) -> Arc<ClientConfig> {
    client_config_as(None, authority, versions)
}

/// One that shows this certificate where it is asked.
pub fn client_config_as(
    pair: Option<&Pair>,
    authority: &Authority,
    versions: TlsVersions,
) -> Arc<ClientConfig> {
    let roots = roots(authority);
    let offered = offered(versions);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(offered)
        .expect("the provider knows both versions")
        .with_root_certificates(roots);
    let config = match pair {
        None => config.with_no_client_auth(),
        Some(pair) => config.with_client_auth_cert(chain(pair), key(pair)).expect("a pair of ours"),
    };
    Arc::new(config)
}

/// A server with this certificate, which asks clients for one of `clients`.
pub fn server_config(
    pair: &Pair,
    clients: Option<&Authority>,
    versions: TlsVersions,
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(offered(versions))
        .expect("the provider knows both versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(roots(authority));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.expect("a root of ours"))
        }
    };
    let mut config = builder.with_single_cert(chain(pair), key(pair)).expect("a pair of ours");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().expect("keys");
    Arc::new(config)
}

fn chain(pair: &Pair) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from(pair.der.clone())]
}

fn key(pair: &Pair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key of ours")
}

/// The same server, choosing of these protocols by ALPN.
pub fn choosing(config: &Arc<ServerConfig>, protocols: &[&str]) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).expect("a root of ours");
    roots
}

fn offered(versions: TlsVersions) -> &'static [&'static rustls::SupportedProtocolVersion] {
    match versions {
        TlsVersions::All => rustls::ALL_VERSIONS,
        TlsVersions::Only12 => const { &[&rustls::version::TLS12] },
        TlsVersions::Only13 => const { &[&rustls::version::TLS13] },
    }
}

pub fn connection(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name or an address");
    ClientConnection::new(Arc::clone(config), name).expect("a client's configuration of ours")
}
