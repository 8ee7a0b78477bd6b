//! What makes a listener a TLS listener: its certificates, the lowest version, HSTS.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    diagnostic::{Diagnostic, Place},
    model::{Authorities, Certificate, ClientCertificates, Hsts, Tls, TlsVersion, Versions},
    reader::{Field, Shape, Table},
};

pub(super) static CERTIFICATE: Shape =
    Shape { name: "`certificates` of [listener.NAME]", keys: &["cert", "key", "default"] };

pub(super) static HSTS: Shape = Shape {
    name: "`hsts` of [listener.NAME]",
    keys: &["max_age", "include_subdomains", "preload"],
};

pub(super) static CLIENT_CERTIFICATES: Shape =
    Shape { name: "`client_certificates` of [listener.NAME]", keys: &["ca", "required"] };

const A_PAIR: &str =
    r#"expected a pair of files: { cert = "example.com.crt", key = "example.com.key" }"#;
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Zero takes an earlier promise back (RFC 6797, section 6.1.1).
const AN_AGE: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// `None`: TLS is not terminated.
pub(super) fn read(listener: &Table<'_>, versions: Option<Versions>) -> Option<Tls> {
    let min_version = listener.word("min_tls", TlsVersion::Tls12);
    let Some(field) = listener.field("certificates") else {
        only_with_certificates(listener, "min_tls");
        only_with_certificates(listener, "client_certificates");
        if listener.field("tcp").is_none() && listener.field("sni").is_none() {
            only_with_certificates(listener, "hsts");
        }
        return None;
    };
    let mut certificates = Vec::new();
    match field.as_items() {
        Some(items) if items.is_empty() => {
            field.fail("a TLS listener without certificates", A_PAIR)
        }
        Some(items) => {
            only_one_default(&items);
            certificates = items.iter().filter_map(certificate).collect();
            no_pair_twice(&field, &certificates);
        }
        None => {
            let expected = format!("expected an array: certificates = [{}]", &A_PAIR[26..]);
            field.judge::<()>(Err(expected));
        }
    }
    let clients = clients(listener);
    Some(Tls { certificates, min_version, versions, clients })
}

fn only_with_certificates(listener: &Table<'_>, key: &'static str) {
    if let Some(field) = listener.field(key) {
        let message =
            format!("`{key}` on a listener without `certificates`, which terminates no TLS");
        let help = format!("add `certificates`, or remove `{key}`");
        let diagnostic = Diagnostic::at(field.key_place, message).help(help);
        listener.findings().missing(diagnostic);
    }
}

fn clients(listener: &Table<'_>) -> Option<ClientCertificates> {
    let table = listener.field("client_certificates")?.table(&CLIENT_CERTIFICATES)?;
    let required = table.boolean("required", true);
    let expected = r#"expected the authorities that issue them: { ca = "clients.pem" }"#;
    let (file, place) = path(&table.required("ca", expected)?)?;
    Some(ClientCertificates { authorities: Authorities { file, place }, required })
}

fn certificate(item: &Field<'_>) -> Option<Certificate> {
    let table = item.table(&CERTIFICATE)?;
    let default = table.boolean("default", false);
    let cert = file(&table, "cert");
    let key = file(&table, "key");
    let ((cert, place), (key, key_place)) = (cert?, key?);
    Some(Certificate { cert, key, default, place, key_place })
}

fn file(table: &Table<'_>, key: &'static str) -> Option<(PathBuf, Place)> {
    path(&table.required(key, A_PAIR)?)
}

/// The path of a PEM file, and where it stands.
pub(super) fn path(field: &Field<'_>) -> Option<(PathBuf, Place)> {
    let expected = || "expected the path of a PEM file".to_owned();
    let path = field.text()?;
    let valid = !path.is_empty() && !path.contains('\0');
    let path = field.judge(valid.then_some(path).ok_or_else(expected))?;
    Some((field.resolved(path), field.place()))
}

fn no_pair_twice(field: &Field<'_>, certificates: &[Certificate]) {
    let mut first: HashMap<&Path, Place> = HashMap::new();
    for Certificate { cert, place, .. } in certificates {
        if let Some(earlier) = first.insert(cert, *place) {
            let message = "the same certificate twice on one listener";
            let twice = Diagnostic::at(*place, message).beside(earlier, "the first");
            field.tell(twice.help("remove one"));
        }
    }
}

fn only_one_default(items: &[Field<'_>]) {
    let mut first: Option<Place> = None;
    for item in items {
        let Some(field) = item.entry("default") else {
            continue;
        };
        if field.as_boolean() != Some(true) {
            continue;
        }
        match first {
            None => first = Some(field.place()),
            Some(place) => field.tell(
                Diagnostic::at(field.place(), "two default certificates on one listener")
                    .beside(place, "the first")
                    .help("keep `default = true` on one of them"),
            ),
        }
    }
}

pub(super) fn hsts(listener: &Table<'_>) -> Option<Hsts> {
    let field = listener.field("hsts")?;
    if !field.is_table() {
        return Some(Hsts {
            max_age: field.duration(AN_AGE)?,
            include_subdomains: false,
            preload: false,
        });
    }
    let table = field.table(&HSTS)?;
    let hsts = Hsts {
        max_age: table.duration("max_age", AN_AGE, YEAR),
        include_subdomains: table.boolean("include_subdomains", false),
        preload: table.boolean("preload", false),
    };
    if hsts.preload && (!hsts.include_subdomains || hsts.max_age < YEAR) {
        field.fail(
            "`preload` without what the preload list demands",
            r#"expected `include_subdomains = true` and a `max_age` of at least "365d""#,
        );
    }
    Some(hsts)
}
