//! Which certificate a client is given.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{
    config,
    net::{certificates::Pair, tls::TlsError},
};

/// The certificates of one listener by name: the exact name, then a wildcard of one label
/// (RFC 6125 section 6.4.3), then the default. Without any the handshake is refused.
///
/// Where several certificates hold a name (RSA beside ECDSA), the first of the file whose key can
/// sign in a way that the client understands is served.
#[derive(Debug)]
pub struct Resolver {
    pairs: Vec<Arc<Pair>>,
    /// Indices into `pairs`, in the order of the file.
    exact: HashMap<String, Vec<usize>>,
    /// `*.example.com` is held as `example.com`.
    wildcard: HashMap<String, Vec<usize>>,
    default: Option<usize>,
}

impl Resolver {
    /// `pairs` are those of `tls.certificates`, in that order.
    ///
    /// # Errors
    /// A certificate that no client could ever be given, or none at all.
    pub fn new(tls: &config::Tls, pairs: &[Arc<Pair>]) -> Result<Resolver, TlsError> {
        assert_eq!(tls.certificates.len(), pairs.len(), "one pair a certificate");
        if pairs.is_empty() {
            return Err(TlsError::NoCertificates);
        }
        let mut resolver = Resolver {
            pairs: pairs.to_vec(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: tls.certificates.iter().position(|each| each.default),
        };
        for (index, pair) in pairs.iter().enumerate() {
            resolver.index(index, pair)?;
        }
        Ok(resolver)
    }

    /// Whether `host` would be served by a certificate that serves `sni` too; both in lower case,
    /// without a port. If not, the request came over the wrong connection (421, RFC 9110 section
    /// 15.5.20).
    pub fn same_certificate(&self, sni: &str, host: &str) -> bool {
        if sni == host {
            return true;
        }
        let of_sni = self.candidates(Some(sni)).next();
        let of_host = self.candidates(Some(host)).next();
        of_sni.is_some() && of_sni == of_host
    }

    fn index(&mut self, index: usize, pair: &Pair) -> Result<(), TlsError> {
        if pair.names().is_empty() && self.default != Some(index) {
            return Err(TlsError::NoName(pair.cert().to_path_buf()));
        }
        for name in pair.names() {
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            map.entry(key.to_owned()).or_default().push(index);
        }
        Ok(())
    }

    fn choose(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        self.candidates(sni)
            .map(|index| self.pairs[index].certified())
            .find(|certified| certified.key.choose_scheme(schemes).is_some())
    }

    /// The pairs that may be served for `sni`, the best first.
    fn candidates(&self, sni: Option<&str>) -> impl Iterator<Item = usize> {
        let name = sni.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let exact = name.as_deref().and_then(|name| self.exact.get(name));
        let wildcard = name
            .as_deref()
            .and_then(|name| name.split_once('.'))
            .and_then(|(_, parent)| self.wildcard.get(parent));
        let named = exact.into_iter().chain(wildcard).flatten().copied();
        named.chain(self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}
