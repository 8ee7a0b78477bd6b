//! TLS as a client: how the backends of one pool are spoken to, and whether they are who they must
//! be.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        ClientSessionMemoryCache, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};
use tokio_rustls::TlsConnector;

use crate::{
    config,
    net::{
        certificates::Pair,
        socket::Socket,
        stream::Stream,
        tls::{HandshakeError, TlsError, versions},
    },
};

/// Sessions kept of one backend: as many tickets of TLS 1.3, each good for one connection.
const SESSIONS: usize = 8;

/// Backends whose sessions are kept. Far more than a pool has; it bounds what addresses that come
/// and go leave behind.
const MAX_BACKENDS: usize = 4096;

/// The protocol that we mean to speak inside (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// Whatever the client at our door speaks: nothing is said of it.
    Silent,
    Http1,
    Http2,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Alpn::Silent => Vec::new(),
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// TLS to the backends of one pool, as long as neither its settings nor its certificates change.
#[derive(Debug)]
pub struct ClientTls {
    /// `None`: each backend's own name, or where it has none its address.
    name: Option<ServerName<'static>>,
    config: ClientConfig,
    /// One a backend, with its sessions: a ticket that another backend gave opens nothing. It is
    /// looked into once a handshake, never for a request on a connection that is open.
    backends: Mutex<HashMap<(SocketAddr, Alpn), Arc<ClientConfig>>>,
}

impl ClientTls {
    /// `roots` are those of `tls.trust`, which has none where anyone is trusted; `identity` is the
    /// pair of `tls.identity`.
    ///
    /// Sessions are resumed by tickets, and by the session ids of TLS 1.2. Early data is never sent,
    /// since it can be replayed.
    ///
    /// # Errors
    /// The name is none that a certificate could hold, or the TLS library refused.
    pub fn new(
        tls: &config::PoolTls,
        roots: Option<&Arc<RootCertStore>>,
        identity: Option<&Pair>,
    ) -> Result<ClientTls, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(tls.min_version))
            .map_err(TlsError::Library)?;
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots.clone()),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone { algorithms })),
        };
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let identity = SingleCertAndKey::from(pair.certified().clone());
                builder.with_client_cert_resolver(Arc::new(identity))
            }
        };
        let name = tls.name.as_ref().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name.clone()))
        });
        Ok(ClientTls { name: name.transpose()?, config, backends: Mutex::default() })
    }

    /// Shakes hands with the backend at `address`, which is who it must be when this is done.
    pub async fn connect(
        &self,
        tcp: Socket,
        address: SocketAddr,
        own_name: Option<&str>,
        alpn: Alpn,
    ) -> Result<Stream, HandshakeError> {
        let name = self.name.clone().unwrap_or_else(|| server_name(address, own_name));
        let connector = TlsConnector::from(self.config(address, alpn));
        let connected = connector.connect(name, tcp).await;
        Ok(Stream::ClientTls(Box::new(connected.map_err(HandshakeError::from)?)))
    }

    fn config(&self, address: SocketAddr, alpn: Alpn) -> Arc<ClientConfig> {
        // What is behind this lock is whole after every line.
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        if backends.len() >= MAX_BACKENDS && !backends.contains_key(&(address, alpn)) {
            backends.clear();
        }
        let config = backends.entry((address, alpn)).or_insert_with(|| {
            let mut config = self.config.clone();
            config.alpn_protocols = alpn.protocols();
            config.resumption =
                Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS)));
            Arc::new(config)
        });
        config.clone()
    }
}

/// A name that no certificate could hold, such as one with a `_`, is none: the address then fails to be
/// in it, as it should.
fn server_name(address: SocketAddr, own_name: Option<&str>) -> ServerName<'static> {
    let named = own_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    named.unwrap_or_else(|| ServerName::from(address.ip()))
}

/// `verify = false`: any certificate will do. That the peer holds its key is seen to all the same.
#[derive(Debug)]
struct Anyone {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
