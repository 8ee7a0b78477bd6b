//! Why a handshake failed. Pure.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error};

/// A handshake that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    pub cause: Cause,
    /// What was found, for the log.
    pub words: String,
}

/// What was wrong, as far as it matters to whoever has to put it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer showed no certificate, and had to.
    Missing,
    /// The peer's certificate is valid for other names.
    Name,
    /// No authority that is trusted here has signed the peer's certificate.
    Issuer,
    /// The peer's certificate has expired, or is not valid yet.
    Expired,
    /// The peer's certificate can't be used for something else.
    Certificate,
    /// The peer wants a certificate of ours, or another one.
    OurCertificate,
    /// No common ground, no TLS at all, or the peer went away.
    Protocol,
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let Some(of_tls) = of_tls else {
            let words = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "the other end closed within the handshake".to_owned()
                }
                _ => error.to_string(),
            };
            return HandshakeError { cause: Cause::Protocol, words };
        };
        HandshakeError::from(of_tls)
    }
}

impl From<&Error> for HandshakeError {
    fn from(error: &Error) -> HandshakeError {
        let words = match error {
            Error::InvalidMessage(_) => format!("{error}: does it speak TLS on this port?"),
            _ => error.to_string(),
        };
        HandshakeError { cause: cause(error), words }
    }
}

/// With TLS 1.3 our side of the handshake is done before the peer has judged our certificate, so
/// that its refusal is read in the place of an answer.
pub fn refuses_our_certificate(error: &io::Error) -> bool {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    of_tls.is_some_and(|error| cause(error) == Cause::OurCertificate)
}

fn cause(error: &Error) -> Cause {
    use CertificateError::*;
    match error {
        Error::NoCertificatesPresented => Cause::Missing,
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Cause::Name,
        // A bad signature is that of an authority with the same name and another key.
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => Cause::Issuer,
        Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => Cause::Expired,
        Error::InvalidCertificate(_) => Cause::Certificate,
        Error::AlertReceived(alert) if of_certificates(*alert) => Cause::OurCertificate,
        _ => Cause::Protocol,
    }
}

/// The alerts of RFC 8446, section 6.2, that a peer sends when it does not like who we are.
fn of_certificates(alert: AlertDescription) -> bool {
    use AlertDescription::*;
    matches!(
        alert,
        NoCertificate
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
            | CertificateRequired
            // Its authority has the same name as the one of our certificate, and another key.
            | DecryptError
    )
}

impl std::error::Error for HandshakeError {}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: Error, expected: Cause) {
        let read = io::Error::new(io::ErrorKind::InvalidData, error.clone());
        assert_eq!(refuses_our_certificate(&read), expected == Cause::OurCertificate, "{error}");
        assert_eq!(HandshakeError::from(read).cause, expected, "{error}");
    }

    #[test]
    fn what_can_be_put_right_has_a_cause_of_its_own() {
        check(CertificateError::NotValidForName.into(), Cause::Name);
        check(CertificateError::UnknownIssuer.into(), Cause::Issuer);
        check(CertificateError::BadSignature.into(), Cause::Issuer);
        check(CertificateError::Expired.into(), Cause::Expired);
        check(CertificateError::NotValidYet.into(), Cause::Expired);
        check(CertificateError::BadEncoding.into(), Cause::Certificate);
        check(Error::NoCertificatesPresented, Cause::Missing);
        check(Error::AlertReceived(AlertDescription::CertificateRequired), Cause::OurCertificate);
        check(Error::AlertReceived(AlertDescription::UnknownCA), Cause::OurCertificate);
        check(Error::AlertReceived(AlertDescription::HandshakeFailure), Cause::Protocol);
    }

    #[test]
    fn what_is_no_tls_error_is_told_in_words() {
        let gone = HandshakeError::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(gone.cause, Cause::Protocol);
        assert_eq!(gone.to_string(), "the other end closed within the handshake");
        assert!(!refuses_our_certificate(&io::ErrorKind::UnexpectedEof.into()));
    }
}
