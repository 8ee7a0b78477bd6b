//! Certificates read from disk and understood: one with its key, or those of authorities.

mod authorities;
mod leaf;
mod pem;
mod stamp;
mod subject;

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    Error, InconsistentKeys,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SigningKey},
};

use self::leaf::Leaf;
pub use self::{authorities::Authorities, stamp::Stamp, subject::subject};

/// A certificate with its chain, its key, and what it says of itself. That the key belongs to the
/// certificate has been checked.
#[derive(Debug)]
pub struct Pair {
    cert: PathBuf,
    key: PathBuf,
    stamp: Stamp,
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
    warnings: Vec<String>,
}

impl Pair {
    /// Reads both files. A certificate that has expired, or is not valid yet, loads: serving it
    /// beats serving nothing, and [`Pair::expired`] tells.
    ///
    /// # Errors
    /// In words: which file, what was found in it, what to do.
    pub fn load(cert: &Path, key: &Path) -> Result<Pair, FileError> {
        // Before the reading: a renewal in between is then noticed as a change.
        let stamp = Stamp::of(&[cert, key])?;
        let chain = pem::chain(cert, &pem::read(cert)?)?;
        let signing_key = pem::signing_key(key, &pem::read(key)?)?;
        let leaf = Leaf::parse(&chain[0]).map_err(|found| FileError::new(cert, found))?;
        let mut warnings = Vec::new();
        warnings
            .extend(leaf::out_of_order(&chain).map(|found| format!("{} {found}", cert.display())));
        warnings.extend(pem::readable_by_all(key));
        Ok(Pair {
            cert: cert.to_path_buf(),
            key: key.to_path_buf(),
            stamp,
            certified: Arc::new(matched(cert, chain, key, signing_key)?),
            leaf,
            warnings,
        })
    }

    /// The file of the certificate.
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The file of the key.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The files as they were when this pair was read.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What the TLS library serves.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The end-entity certificate, in DER.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.certified.cert[0]
    }

    /// The DNS names of its subjectAltName in lower case, such as `example.com` and
    /// `*.example.com`. The common name is not among them: no client has looked at it for years.
    pub fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// The IP addresses of its subjectAltName. Clients name none in SNI, so only a default
    /// certificate is ever checked against them.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.leaf.addresses
    }

    pub fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }

    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    pub fn expired(&self, now: SystemTime) -> bool {
        now > self.leaf.not_after
    }

    /// What works but should not stay so, in words; each names its file.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The chain with its key, once it is certain that they belong together.
fn matched(
    cert: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &Path,
    signing_key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, FileError> {
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(mismatch(cert, &certified, key)),
        Err(error) => Err(FileError::new(
            cert,
            format!("holds a certificate that TLS can't use ({error}): expected X.509 version 3"),
        )),
    }
}

fn mismatch(cert: &Path, certified: &CertifiedKey, key: &Path) -> FileError {
    let belongs = |each: &CertificateDer<'static>| {
        CertifiedKey::new(vec![each.clone()], certified.key.clone()).keys_match().is_ok()
    };
    if certified.cert.iter().any(belongs) {
        return FileError::new(
            cert,
            format!(
                "holds the certificate of {} behind another one: put it first and its chain behind it",
                key.display()
            ),
        );
    }
    FileError::new(
        key,
        format!(
            "does not belong to {}: expected the private key that the certificate was made for",
            cert.display()
        ),
    )
}

const MISSING: &str = "does not exist";

/// Why certificates can't be used: the file at fault, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    file: PathBuf,
    found: String,
}

impl FileError {
    /// The file at fault.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.found == MISSING
    }

    fn new(file: &Path, found: impl Into<String>) -> FileError {
        FileError { file: file.to_path_buf(), found: found.into() }
    }

    fn unread(file: &Path, error: &io::Error) -> FileError {
        let found = match error.kind() {
            io::ErrorKind::NotFound => MISSING.to_owned(),
            io::ErrorKind::PermissionDenied => {
                "can't be read: permission denied; the file must be readable by the service's user, and its directories open to it".to_owned()
            }
            _ => format!("can't be read: {error}"),
        };
        FileError::new(file, found)
    }
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file.display(), self.found)
    }
}

#[cfg(test)]
mod tests;
