//! A certificate authority that lives as long as a test.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        Authority {
            issuer: Issuer::new(params, key),
            certificate: root.der().clone(),
            pem: root.pem(),
        }
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// What other programs are told to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 2090)
    }

    /// Not valid any more from the first of January of this year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names of a test");
        params.not_after = date_time_ymd(year, 1, 1);
        self.sign(params)
    }

    /// For a client of this common name.
    pub fn issue_to(&self, name: &str) -> Pair {
        self.sign(of_client(name))
    }

    /// The same, expired for years.
    pub fn issue_to_expired(&self, name: &str) -> Pair {
        let mut params = of_client(name);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// The same, for so long from now.
    pub fn issue_to_for(&self, name: &str, time: Duration) -> Pair {
        let mut params = of_client(name);
        params.not_after = (SystemTime::now() + time).into();
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Pair {
        params.not_before = date_time_ymd(2020, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

fn of_client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

impl Pair {
    /// Puts `NAME.crt` and `NAME.key` in place, each by a rename, as renewal programs do.
    pub fn write(&self, folder: &Path, name: &str) {
        replace(&folder.join(format!("{name}.key")), &self.key);
        replace(&folder.join(format!("{name}.crt")), &self.certificate);
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the test's folder is writable");
    fs::rename(&new, path).expect("the test's folder is writable");
}
