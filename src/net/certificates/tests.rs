use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;
use crate::net::fixture::{Directory, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, params, replace};

fn refusal(cert: &Path, key: &Path) -> String {
    Pair::load(cert, key).expect_err("a refusal").to_string()
}

#[test]
fn names_are_lower_cased_and_told_from_addresses() {
    let directory = Directory::new();
    let pair = directory.pair("a", &["Example.COM", "*.Example.com", "192.0.2.7", "2001:db8::7"]);
    assert_eq!(pair.names(), ["example.com", "*.example.com"]);
    let addresses: Vec<String> = pair.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.7", "2001:db8::7"]);
    assert!(pair.warnings().is_empty(), "{:?}", pair.warnings());
    assert_eq!(pair.cert(), directory.path("a.crt"));
    assert_eq!(pair.key(), directory.path("a.key"));
}

#[test]
fn names_no_client_can_ask_for_are_left_out() {
    let directory = Directory::new();
    let pair =
        directory.pair("a", &["*", "f*.example.com", "a b", "www.example.com", "*.", "x.*.com"]);
    assert_eq!(pair.names(), ["www.example.com"]);
}

#[test]
fn rsa_keys_load_too() {
    let directory = Directory::new();
    let (cert, key) = directory.write_params("a", params(&["a.example"]), &PKCS_RSA_SHA256);
    assert_eq!(Pair::load(&cert, &key).expect("a pair").names(), ["a.example"]);
}

#[test]
fn an_expired_certificate_loads_and_says_so() {
    let directory = Directory::new();
    let mut old = params(&["a.example"]);
    old.not_before = date_time_ymd(2001, 1, 1);
    old.not_after = date_time_ymd(2001, 2, 1);
    let (cert, key) = directory.write_params("a", old, &PKCS_ECDSA_P256_SHA256);
    let pair = Pair::load(&cert, &key).expect("it loads");
    // 2001-01-01 and 2001-02-01, midnight UTC.
    let first = SystemTime::UNIX_EPOCH + Duration::from_secs(978_307_200);
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(980_985_600);
    assert_eq!((pair.not_before(), pair.not_after()), (first, last));
    assert!(!pair.expired(last));
    assert!(pair.expired(last + Duration::from_secs(1)));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let directory = Directory::new();
    let (cert, _) = directory.write("a", &["a.example"]);
    let (_, key) = directory.write("b", &["b.example"]);
    let error = Pair::load(&cert, &key).expect_err("a refusal");
    assert_eq!(error.file(), key);
    let expected = format!("{} does not belong to {}", key.display(), cert.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_certificate_behind_its_issuer_is_told_from_a_stranger() {
    let directory = Directory::new();
    let (cert, key) = directory.write("a", &["a.example"]);
    let (other, _) = directory.write("b", &["b.example"]);
    let reversed = [fs::read(&other), fs::read(&cert)].map(|bytes| bytes.expect("a file"));
    replace(&cert, &reversed.concat());
    assert!(
        refusal(&cert, &key).contains("behind another one: put it first"),
        "{}",
        refusal(&cert, &key)
    );
}

#[test]
fn files_that_are_something_else_are_told_by_what_they_hold() {
    let directory = Directory::new();
    let (cert, key) = directory.write("a", &["a.example"]);
    let missing = directory.path("none");
    let empty = directory.path("empty");
    fs::write(&empty, "").expect("a file");
    let cut = directory.path("cut");
    fs::write(&cut, "-----BEGIN CERTIFICATE-----\nMIIB\n").expect("a file");
    let junk = directory.path("junk");
    fs::write(&junk, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
        .expect("a file");
    let hollow = directory.path("hollow");
    fs::write(&hollow, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("a file");
    let locked = directory.path("locked");
    fs::write(
        &locked,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .expect("a file");
    let large = directory.path("large");
    fs::write(&large, vec![b'\n'; 1024 * 1024 + 1]).expect("a file");
    let odd = directory.path("odd");
    fs::write(&odd, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        .expect("a file");

    for (cert, key, expected) in [
        (&missing, &key, "none does not exist"),
        (&cert, &missing, "none does not exist"),
        (&key, &key, "a.key holds no CERTIFICATE block: found PRIVATE KEY"),
        (&cert, &cert, "a.crt holds no PRIVATE KEY block: found CERTIFICATE"),
        (&empty, &key, "empty holds no CERTIFICATE block: found no PEM block at all"),
        (&cut, &key, "cut is cut off"),
        (&junk, &key, "junk is damaged"),
        (&hollow, &key, "hollow holds a CERTIFICATE block that is no X.509 certificate"),
        (&cert, &locked, "locked holds an encrypted key"),
        (&cert, &odd, "odd holds a key that can't be used"),
        (&large, &key, "large is larger than 1 MiB"),
        (&directory.path("."), &key, "is not a regular file"),
    ] {
        let text = refusal(cert, key);
        assert!(text.contains(expected), "expected {expected:?} in {text:?}");
    }
}

#[test]
fn a_file_that_may_not_be_read_names_the_remedy() {
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let text = FileError::unread(Path::new("tls/a.key"), &denied).to_string();
    assert!(text.starts_with("tls/a.key can't be read: permission denied"), "{text}");
    assert!(text.contains("readable by the service's user"), "{text}");
}

#[test]
fn a_key_that_all_can_read_is_warned_of() {
    let directory = Directory::new();
    let (cert, key) = directory.write("a", &["a.example"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its permissions");
    let pair = Pair::load(&cert, &key).expect("it loads");
    assert_eq!(pair.warnings().len(), 1);
    assert!(
        pair.warnings()[0].contains("a.key can be read by every user"),
        "{:?}",
        pair.warnings()
    );
}

#[test]
fn a_chain_is_warned_of_only_when_out_of_order() {
    let directory = Directory::new();
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("names");
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let leaf_pem = params(&["a.example"]).signed_by(&key, &issuer).expect("a certificate").pem();
    let stranger = directory.write("stranger", &["b.example"]).0;
    let stranger_pem = fs::read_to_string(stranger).expect("a file");
    let (cert_path, key_path) = (directory.path("a.crt"), directory.path("a.key"));
    replace(&key_path, key.serialize_pem().as_bytes());

    replace(&cert_path, format!("{leaf_pem}{authority_pem}").as_bytes());
    let pair = Pair::load(&cert_path, &key_path).expect("a pair");
    assert!(pair.warnings().is_empty(), "{:?}", pair.warnings());
    assert_eq!(pair.certified().cert.len(), 2);

    replace(&cert_path, format!("{leaf_pem}{stranger_pem}{authority_pem}").as_bytes());
    let pair = Pair::load(&cert_path, &key_path).expect("a pair");
    assert!(
        pair.warnings()[0].contains("certificate 1 was not issued by the one behind it"),
        "{:?}",
        pair.warnings()
    );
}

#[test]
fn a_stamp_changes_with_either_file_and_follows_links() {
    let directory = Directory::new();
    let (cert, key) = directory.write("a", &["a.example"]);
    let link = directory.path("live.crt");
    symlink(&cert, &link).expect("a link");
    let pair = Pair::load(&link, &key).expect("a pair");
    assert_eq!(&Stamp::of(&[&link, &key]).expect("a stamp"), pair.stamp());

    let bytes = fs::read(&cert).expect("a file");
    replace(&cert, &bytes);
    let renewed = Stamp::of(&[&link, &key]).expect("a stamp");
    assert_ne!(&renewed, pair.stamp(), "the same bytes in a new file");

    let bytes = fs::read(&key).expect("a file");
    replace(&key, &bytes);
    assert_ne!(Stamp::of(&[&link, &key]).expect("a stamp"), renewed);

    fs::remove_file(&key).expect("its end");
    assert!(Stamp::of(&[&link, &key]).is_err());
}

#[test]
fn random_and_damaged_bytes_never_panic() {
    let directory = Directory::new();
    let (cert, key) = directory.write("a", &["a.example", "*.a.example", "192.0.2.1"]);
    let sound = [fs::read(&cert), fs::read(&key)].map(|bytes| bytes.expect("a file"));
    let der = pem::chain(&cert, &sound[0]).expect("a chain").remove(0);
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..20_000 {
        let mut text = sound[random.usize(..2)].clone();
        damage(&mut random, &mut text);
        let _ = pem::chain(&cert, &text);
        let _ = pem::signing_key(&key, &text);
        let mut der = der.to_vec();
        damage(&mut random, &mut der);
        let _ = Leaf::parse(&CertificateDer::from(der));
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(64).collect();
        let _ = pem::chain(&cert, &noise);
        let _ = Leaf::parse(&CertificateDer::from(noise));
    }
}

/// Overwrites, cuts out or doubles a few stretches.
fn damage(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let from = random.usize(..bytes.len());
        let to = (from + random.usize(..32)).min(bytes.len());
        match random.u8(..3) {
            0 => bytes[from] = random.u8(..),
            1 if to - from < bytes.len() => drop(bytes.drain(from..to)),
            _ => bytes.extend_from_within(from..to),
        }
    }
}
