//! The subject of a certificate as a text: RFC 4514, in visible ASCII alone.
//!
//! Whatever a name holds, what is written can stand in a header line and can be read back: RFC 4514
//! (section 2.4) lets any byte be written as a backslash and two hex digits, and so we write every
//! byte that is no printable ASCII.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::{Any, Tag},
    prelude::{FromDer, X509Certificate},
    x509::AttributeTypeAndValue,
};

/// The names of attributes that readers know: those of RFC 4514, section 3, those that RFC 4519
/// registers and people use, and one that OpenSSL has made common.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "givenName"),
    ("2.5.4.46", "dnQualifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The subject, its last part first, as RFC 4514 has it; empty where the certificate has none.
///
/// # Errors
/// It is no certificate.
pub fn subject(der: &CertificateDer<'_>) -> Result<String, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let parts = certificate.subject().iter().map(|part| {
        let attributes: Vec<String> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    let parts: Vec<String> = parts.collect();
    Ok(parts.into_iter().rev().collect::<Vec<_>>().join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let known = SHORT_NAMES.iter().find(|(known, _)| *known == oid);
    match (known, text(attribute.attr_value())) {
        (Some((_, name)), Some(text)) => format!("{name}={}", escaped(&text)),
        (Some((_, name)), None) => format!("{name}={}", encoded(attribute.attr_value())),
        // Section 2.4: a type in digits goes with its value as it is encoded.
        (None, _) => format!("{oid}={}", encoded(attribute.attr_value())),
    }
}

/// The value in UTF-8, where its type says how to read it.
fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => std::str::from_utf8(value.data).ok().map(str::to_owned),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()
        }
        _ => None,
    }
}

/// RFC 4514, section 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if place == 0 => out.push_str("\\#"),
            b' ' if place == 0 || place == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                // A String takes every character.
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
    out
}

/// `#` and the value's encoding in hex digits.
fn encoded(value: &Any<'_>) -> String {
    let mut bytes = Vec::with_capacity(value.data.len() + 6);
    let identifier = (value.class() as u8) << 6 | u8::from(value.header.is_constructed()) << 5;
    // The types of values in names have low tag numbers.
    bytes.push(identifier | (value.tag().0 & 0x1f) as u8);
    let length = value.data.len();
    if length < 0x80 {
        bytes.push(length as u8);
    } else {
        let digits = length.to_be_bytes();
        let digits = &digits[digits.iter().take_while(|&&digit| digit == 0).count()..];
        bytes.push(0x80 | digits.len() as u8);
        bytes.extend_from_slice(digits);
    }
    bytes.extend_from_slice(value.data);
    let mut out = "#".to_owned();
    for byte in bytes {
        // A String takes every character.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn check(name: &[(DnType, DnValue)], expected: &str) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let found = subject(certificate.der()).expect("a certificate");
        assert_eq!(found, expected);
        assert!(found.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{found:?}");
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn the_last_part_comes_first() {
        check(
            &[
                (DnType::CountryName, utf8("DE")),
                (DnType::OrganizationName, utf8("Example GmbH")),
                (DnType::CommonName, utf8("proxy-7")),
            ],
            "CN=proxy-7,O=Example GmbH,C=DE",
        );
        check(&[], "");
    }

    #[test]
    fn nothing_breaks_out() {
        for (value, expected) in [
            ("a,b+c\"d\\e<f>g;h", r#"CN=a\,b\+c\"d\\e\<f\>g\;h"#),
            ("#a#", r"CN=\#a#"),
            (" a b ", r"CN=\ a b\ "),
            (" ", r"CN=\ "),
            ("a\r\nX-Evil: 1", r"CN=a\0D\0AX-Evil: 1"),
            ("Zoë\0\u{7f}", r"CN=Zo\C3\AB\00\7F"),
            ("a,CN=admin", r"CN=a\,CN=admin"),
        ] {
            check(&[(DnType::CommonName, utf8(value))], expected);
        }
    }

    #[test]
    fn other_types_and_other_encodings() {
        let bmp = DnValue::BmpString("Zoë".try_into().expect("a text"));
        check(&[(DnType::CommonName, bmp)], r"CN=Zo\C3\AB");
        let own = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, 1]);
        check(&[(own, utf8("a"))], "1.3.6.1.4.1.99999.1=#0c0161");
        let email = DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]);
        let address = DnValue::Ia5String("a@b.example".try_into().expect("a text"));
        check(&[(email, address)], "emailAddress=a@b.example");
        let teletex = DnValue::TeletexString("a".try_into().expect("a text"));
        check(&[(DnType::CommonName, teletex)], "CN=#140161");
        let long = "x".repeat(300);
        let own = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, 1]);
        let expected = format!("1.3.6.1.4.1.99999.1=#0c82012c{}", "78".repeat(300));
        check(&[(own, utf8(&long))], &expected);
    }

    #[test]
    fn damaged_certificates_are_visible_ascii_or_refused() {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::OrganizationName, utf8("Example, Zoë"));
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 9]), utf8("a"));
        let key = KeyPair::generate().expect("a key");
        let whole = params.self_signed(&key).expect("a certificate").der().to_vec();
        let mut random = fastrand::Rng::with_seed(19);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            if let Ok(subject) = subject(&CertificateDer::from(bytes)) {
                assert!(subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{subject:?}");
                read += 1;
            }
        }
        assert!(read > 1_000, "only {read} were read");
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(subject(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])).is_err());
        assert!(subject(&CertificateDer::from(Vec::new())).is_err());
    }
}
