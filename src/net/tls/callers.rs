//! Who clients are, where a listener asks them: their certificates, verified, and what of them is
//! passed on.

use std::{cell::RefCell, sync::Arc};

use rustls::{
    Error, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    config,
    net::{
        certificates::{Authorities, subject},
        tls::{Cause, HandshakeError, TlsError, tickets::sha256},
    },
};

/// Bytes of a subject that are passed on; a client with a longer one is refused. What is cut short
/// could be taken for another.
const MAX_SUBJECT: usize = 4096;

/// How a listener asks its clients who they are.
#[derive(Debug)]
pub struct Callers {
    verifier: Arc<dyn ClientCertVerifier>,
    required: bool,
}

/// Who is at the other end of one connection. Kept for as long as it lives: a reload may change
/// what a listener asks for, and a connection must not outlive the trust that it was let in by.
#[derive(Debug)]
pub struct Caller {
    /// Empty: it showed none.
    chain: Vec<CertificateDer<'static>>,
    certificate: Option<ClientCertificate>,
    /// By whom it was judged last, and how.
    judged: RefCell<(Arc<Callers>, bool)>,
}

/// What is said of a certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// RFC 4514, in visible ASCII.
    pub subject: String,
    /// SHA-256 of the certificate, in lower-case hex digits.
    pub fingerprint: String,
}

impl Callers {
    /// # Errors
    /// The TLS library refuses these authorities.
    pub(super) fn new(
        asked: &config::ClientCertificates,
        authorities: &Authorities,
    ) -> Result<Callers, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = authorities.roots().clone();
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = if asked.required { builder } else { builder.allow_unauthenticated() };
        let refused = |error: rustls::server::VerifierBuilderError| {
            TlsError::Library(Error::General(error.to_string()))
        };
        Ok(Callers { verifier: builder.build().map_err(refused)?, required: asked.required })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
        match chain.split_first() {
            None if self.required => Err(Error::NoCertificatesPresented),
            None => Ok(()),
            Some((leaf, rest)) => {
                self.verifier.verify_client_cert(leaf, rest, UnixTime::now()).map(drop)
            }
        }
    }
}

impl Caller {
    /// The client of a handshake that was done as `callers` asks.
    ///
    /// A session that was resumed brings the certificate that began it, which nobody has looked at
    /// since: it may have expired, and is judged anew.
    ///
    /// # Errors
    /// That judgement, or a subject that can't be passed on.
    pub fn of(
        session: &ServerConnection,
        callers: &Arc<Callers>,
    ) -> Result<Caller, HandshakeError> {
        let chain = session.peer_certificates().unwrap_or_default().to_vec();
        if session.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            callers.judge(&chain).map_err(|error| HandshakeError::from(&error))?;
        }
        let certificate = chain.first().map(described).transpose()?;
        Ok(Caller { chain, certificate, judged: RefCell::new((callers.clone(), true)) })
    }

    /// Whether its requests may be served where `callers` asks.
    pub fn will_do(&self, callers: &Arc<Callers>) -> bool {
        let mut judged = self.judged.borrow_mut();
        if !Arc::ptr_eq(&judged.0, callers) {
            *judged = (callers.clone(), callers.judge(&self.chain).is_ok());
        }
        judged.1
    }

    /// `None`: it showed none.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }
}

fn described(leaf: &CertificateDer<'_>) -> Result<ClientCertificate, HandshakeError> {
    let unusable = |words: String| HandshakeError { cause: Cause::Certificate, words };
    let subject = subject(leaf).map_err(unusable)?;
    if subject.len() > MAX_SUBJECT {
        let length = subject.len();
        return Err(unusable(format!("a subject of {length} bytes is too long to be passed on")));
    }
    Ok(ClientCertificate { subject, fingerprint: fingerprint(leaf) })
}

fn fingerprint(leaf: &CertificateDer<'_>) -> String {
    let digest = sha256().hash(leaf);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
