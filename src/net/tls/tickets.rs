//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): how a client comes back without a full
//! handshake.

use std::sync::Arc;

use rustls::{
    SupportedCipherSuite,
    crypto::{aws_lc_rs, hash::Hash},
    server::ProducesTickets,
};

use crate::{
    config,
    net::{
        certificates::{Authorities, Pair},
        tls::TlsError,
    },
};

/// The keys that seal tickets, made once a process and shared by every listener, every worker and
/// every generation, so that a reload or another worker resumes what was begun elsewhere.
///
/// What rustls 0.23 does with them: a ticket is the whole session, sealed with AES-256-CBC and
/// HMAC-SHA256 under a random key. A new key is made every 6 hours and the one before still opens
/// tickets, so a ticket lives 6 to 12 hours; older keys are gone from memory, which is what
/// forward secrecy rests on. The change happens in whichever handshake comes first after the 6
/// hours, so a listener nobody talks to would keep an old key alive: [`Tickets::roll`] is for that.
///
/// rustls itself resumes only what was begun for the same SNI, but looks at no certificate: with
/// shared keys a session begun on one listener would resume on another that holds a different
/// certificate for that name, or another default, and a client would take the second for the
/// first. So each listener's tickets carry a digest of its certificates and open nowhere else. A renewed certificate is therefore seen by each client on its next
/// connection, at the price of one full handshake each.
#[derive(Clone, Debug)]
pub struct Tickets {
    keys: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// # Errors
    /// The system's random numbers failed.
    pub fn new() -> Result<Tickets, TlsError> {
        let keys = aws_lc_rs::Ticketer::new().map_err(TlsError::Library)?;
        Ok(Tickets { keys })
    }

    /// Makes a new key if the current one has had its time, and forgets the oldest. To be called
    /// now and then from the control thread, so that a key is erased also where no client comes.
    pub fn roll(&self) {
        // Nothing opens an empty ticket; the look at the clock comes before the try.
        let opened = self.keys.decrypt(&[]);
        debug_assert!(opened.is_none(), "an empty ticket opened");
    }

    /// These keys, for tickets that only a listener with the very same certificates can open, which
    /// asks its clients for the same.
    pub(super) fn bound_to(
        &self,
        tls: &config::Tls,
        pairs: &[Arc<Pair>],
        authorities: Option<&Authorities>,
    ) -> Arc<dyn ProducesTickets> {
        let digest = digest(tls, pairs, authorities);
        Arc::new(Bound { keys: self.keys.clone(), certificates: digest })
    }
}

/// Puts the digest into the sealed part of each ticket, and looks for it on the way back.
#[derive(Debug)]
struct Bound {
    keys: Arc<dyn ProducesTickets>,
    certificates: Vec<u8>,
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&self.certificates, session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.keys.decrypt(ticket)?;
        opened.strip_prefix(self.certificates.as_slice()).map(<[u8]>::to_vec)
    }
}

/// SHA-256 over what each client of the listener is given: the end-entity certificates in their
/// order, each behind its length and whether it is the default. And over what each is asked for: a
/// ticket holds the client's certificate, which is not asked for again.
fn digest(tls: &config::Tls, pairs: &[Arc<Pair>], authorities: Option<&Authorities>) -> Vec<u8> {
    let mut context = sha256().start();
    let required = tls.clients.as_ref().map(|clients| u8::from(clients.required));
    context.update(&[required.map_or(0, |required| 1 + required)]);
    for root in authorities.iter().flat_map(|each| &each.roots().roots) {
        let constraints = root.name_constraints.as_ref().map_or(&[][..], |name| name.as_ref());
        for part in [root.subject.as_ref(), root.subject_public_key_info.as_ref(), constraints] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    for (certificate, pair) in tls.certificates.iter().zip(pairs) {
        let leaf = pair.leaf();
        context.update(&[u8::from(certificate.default)]);
        context.update(&(leaf.len() as u64).to_be_bytes());
        context.update(leaf);
    }
    context.finish().as_ref().to_vec()
}

/// The TLS library's own; it shows its hashes only as parts of its cipher suites.
pub(super) fn sha256() -> &'static dyn Hash {
    match aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    }
}
