//! Authorities: what a peer's certificate has to lead to (RFC 5280, section 6).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{RootCertStore, pki_types::CertificateDer};

use super::{FileError, Stamp, leaf::Leaf, pem};

/// How the authorities of the system are called where a file would be.
const SYSTEM: &str = "the system's authorities";

/// The certificates of one file, or of the system, each trusted to sign others.
#[derive(Debug)]
pub struct Authorities {
    file: PathBuf,
    /// Empty for those of the system, which are read anew by a reload alone.
    stamp: Stamp,
    roots: Arc<RootCertStore>,
    not_after: SystemTime,
}

impl Authorities {
    /// Reads a file of PEM certificates; each must be one that can sign.
    ///
    /// # Errors
    /// In words: what was found in the file, what to do.
    pub fn load(file: &Path) -> Result<Authorities, FileError> {
        // Before the reading: a renewal in between is then noticed as a change.
        let stamp = Stamp::of(&[file])?;
        let certificates = pem::chain(file, &pem::read(file)?)?;
        let mut roots = RootCertStore::empty();
        let mut last = SystemTime::UNIX_EPOCH;
        for certificate in &certificates {
            let leaf = Leaf::parse(certificate).map_err(|found| FileError::new(file, found))?;
            last = last.max(leaf.not_after);
            roots.add(certificate.clone()).map_err(|error| {
                let found = format!("holds a certificate that no trust can be put in ({error})");
                FileError::new(file, found)
            })?;
        }
        let (file, roots) = (file.to_path_buf(), Arc::new(roots));
        Ok(Authorities { file, stamp, roots, not_after: last })
    }

    /// Reads what the system trusts: the bundle of the distribution, or what `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name. Those that can't be read are passed over.
    ///
    /// # Errors
    /// There is none.
    pub fn of_system() -> Result<Authorities, FileError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs.iter().cloned());
        if added == 0 {
            let words =
                "can't be found: install the package ca-certificates, or name yours with `ca`";
            return Err(FileError::new(Path::new(SYSTEM), words));
        }
        Ok(Authorities {
            file: PathBuf::from(SYSTEM),
            stamp: Stamp::of(&[])?,
            roots: Arc::new(roots),
            not_after: last_of(&found.certs),
        })
    }

    /// The file, or how those of the system are called.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The file as it was when it was read.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Until when any of them is valid. One that has expired may stay beside its successor.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether the same is trusted.
    pub fn same(&self, other: &Authorities) -> bool {
        self.roots.roots == other.roots.roots
    }
}

fn last_of(certificates: &[CertificateDer<'_>]) -> SystemTime {
    let leaves = certificates.iter().flat_map(Leaf::parse);
    leaves.map(|leaf| leaf.not_after).max().unwrap_or(SystemTime::UNIX_EPOCH)
}
