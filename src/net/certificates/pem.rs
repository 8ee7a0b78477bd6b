//! The PEM files of a pair: certificates and private keys, out of what people put on disks.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::SigningKey,
};

use super::FileError;
use crate::config::file;

/// Chains and keys are a few KiB; whatever is larger is none, and is not read whole.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Block labels that an error repeats.
const MAX_LABELS: usize = 8;

/// The bytes of one file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unread = |error: io::Error| FileError::unread(path, &error);
    // Looked at before it is opened, for its own words; a pipe that comes between is no trap either.
    if !fs::metadata(path).map_err(unread)?.is_file() {
        return Err(FileError::new(path, "is not a regular file: expected PEM"));
    }
    let file = file::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::new(path, "is larger than 1 MiB: expected PEM of a few KiB"));
    }
    Ok(bytes)
}

/// The certificates of a file in their order; at least one.
pub(super) fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::new(path, damage(&error)))?;
    if chain.is_empty() {
        let found = format!("holds no CERTIFICATE block: found {}", blocks(text));
        return Err(FileError::new(path, found));
    }
    Ok(chain)
}

/// The first private key of a file, ready to sign.
pub(super) fn signing_key(path: &Path, text: &[u8]) -> Result<Arc<dyn SigningKey>, FileError> {
    if text.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(FileError::new(
            path,
            "holds an encrypted key, and nobody is there to type its passphrase: write it without one, with `openssl pkey -in FILE -out FILE.plain`",
        ));
    }
    let der = PrivateKeyDer::pem_slice_iter(text)
        .next()
        .ok_or_else(|| {
            let found = format!("holds no PRIVATE KEY block: found {}", blocks(text));
            FileError::new(path, found)
        })?
        .map_err(|error| FileError::new(path, damage(&error)))?;
    // The library's own words are dropped: they name no cause.
    aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(der)
        .map_err(|_| FileError::new(path, "holds a key that can't be used: expected RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"))
}

/// A warning for a key that every user of the machine can read.
pub(super) fn readable_by_all(key: &Path) -> Option<String> {
    let mode = fs::metadata(key).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!(
            "{} can be read by every user of this machine: `chmod o= {}`",
            key.display(),
            key.display()
        )
    })
}

/// No bytes of the file are repeated: they may be part of a key.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "is cut off: a block has a BEGIN line but no END line of the same label"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "is not PEM: a BEGIN line does not end with five hyphens"
        }
        pem::Error::Base64Decode(_) => "is damaged: a block between BEGIN and END is not base64",
        _ => "is not PEM that can be read",
    }
}

/// The labels of a file's blocks, for an error; only what is written like a label.
fn blocks(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let labels: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .filter(|label| label.len() <= 40)
        .filter(|label| label.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' '))
        .take(MAX_LABELS)
        .collect();
    if labels.is_empty() {
        return "no PEM block at all".to_owned();
    }
    labels.join(", ")
}
