//! Certificates for the tests of this floor, made anew in a directory of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use tempfile::TempDir;

pub(crate) use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use crate::net::certificates::Pair;

pub(crate) struct Directory {
    directory: TempDir,
}

impl Directory {
    pub(crate) fn new() -> Directory {
        let directory = tempfile::tempdir().expect("a directory for certificates");
        Directory { directory }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes `stem.crt` and `stem.key`: self-signed, ECDSA, for these names and addresses.
    pub(crate) fn write(&self, stem: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        self.write_params(stem, params(names), &PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn write_params(
        &self,
        stem: &str,
        params: CertificateParams,
        algorithm: &'static SignatureAlgorithm,
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let paths = (self.path(&format!("{stem}.crt")), self.path(&format!("{stem}.key")));
        replace(&paths.0, certificate.pem().as_bytes());
        replace(&paths.1, key.serialize_pem().as_bytes());
        paths
    }

    pub(crate) fn pair(&self, stem: &str, names: &[&str]) -> Arc<Pair> {
        let (cert, key) = self.write(stem, names);
        Arc::new(Pair::load(&cert, &key).expect("a pair just made"))
    }

    pub(crate) fn rsa_pair(&self, stem: &str, names: &[&str]) -> Arc<Pair> {
        let (cert, key) = self.write_params(stem, params(names), &PKCS_RSA_SHA256);
        Arc::new(Pair::load(&cert, &key).expect("a pair just made"))
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("names for a certificate")
}

/// Puts a new file in the place of the old one, as renewals do; readable by its owner alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("a file for a certificate");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("its permissions");
    fs::rename(&new, path).expect("its place");
}
