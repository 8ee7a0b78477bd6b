//! What the certificate of a server says of itself (RFC 5280).

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

/// Names, addresses and times of an end-entity certificate.
#[derive(Debug)]
pub(super) struct Leaf {
    /// In lower case, each once, wildcards as `*.example.com`.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Leaf {
    /// # Errors
    /// What was found, to stand behind the file's name.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Leaf, String> {
        let certificate = parsed(der)?;
        let mut leaf = Leaf {
            names: Vec::new(),
            addresses: Vec::new(),
            not_before: time(certificate.validity().not_before),
            not_after: time(certificate.validity().not_after),
        };
        let alternatives = certificate
            .subject_alternative_name()
            .map_err(|error| format!("holds a certificate whose subjectAltName can't be read ({error}): have it issued anew"))?;
        for name in alternatives.iter().flat_map(|each| &each.value.general_names) {
            leaf.take(name);
        }
        Ok(leaf)
    }

    fn take(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                if servable(&name) && !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
            GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
            _ => {}
        }
    }
}

/// What stands wrong in the order of a chain, to stand behind the file's name: each certificate
/// must be issued by the next (RFC 8446 section 4.4.2; many clients forgive it, not all).
pub(super) fn out_of_order(chain: &[CertificateDer<'_>]) -> Option<String> {
    let parsed: Vec<X509Certificate<'_>> = chain.iter().flat_map(parsed).collect();
    let position = parsed.windows(2).position(|pair| pair[0].issuer() != pair[1].subject())?;
    Some(format!(
        "holds a chain out of order: certificate {} was not issued by the one behind it; put each before its issuer",
        position + 1
    ))
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(|error| {
        format!("holds a CERTIFICATE block that is no X.509 certificate ({error})")
    })
}

/// A name that a client can ask for: a host name, or `*` for its whole first label (RFC 6125
/// section 6.4.3). Others stand in the certificate for other uses.
fn servable(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Years that the clock can't hold become the epoch, which has expired.
fn time(at: ASN1Time) -> SystemTime {
    let seconds = at.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(distance),
        false => SystemTime::UNIX_EPOCH.checked_sub(distance),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
