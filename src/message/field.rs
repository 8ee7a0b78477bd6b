//! The field names that a rule of ours names, recognised once, by length first.

/// A field name, if a rule concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Te,
    Via,
    Date,
    Host,
    Range,
    Expect,
    Cookie,
    Proxy,
    IfMatch,
    IfRange,
    Trailer,
    Upgrade,
    Referer,
    Forwarded,
    Connection,
    KeepAlive,
    UserAgent,
    XRequestId,
    XRealIp,
    IfNoneMatch,
    Authorization,
    ContentLength,
    Http2Settings,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    ProxyConnection,
    XForwardedProto,
    IfModifiedSince,
    TransferEncoding,
    ProxyAuthenticate,
    IfUnmodifiedSince,
    ProxyAuthorization,
    StrictTransportSecurity,
    /// One of those by which a proxy tells whom it has verified: ours, and those of RFC 9440.
    ClientCertificate,
    /// One of the above with underscores for hyphens: CGI and WSGI can't tell the two apart, so
    /// that `X_Forwarded_For` would be read as a field that only we may set.
    Disguised,
    Other,
}

impl Name {
    pub fn from_bytes(bytes: &[u8]) -> Name {
        let found = Name::spelled(bytes);
        if found == Name::Other && memchr::memchr(b'_', bytes).is_some() {
            return disguised(bytes);
        }
        found
    }

    fn spelled(bytes: &[u8]) -> Name {
        let is = |name: &[u8]| bytes.eq_ignore_ascii_case(name);
        match bytes.len() {
            2 if is(b"te") => Name::Te,
            3 if is(b"via") => Name::Via,
            4 if is(b"host") => Name::Host,
            4 if is(b"date") => Name::Date,
            5 if is(b"range") => Name::Range,
            5 if is(b"proxy") => Name::Proxy,
            6 if is(b"expect") => Name::Expect,
            6 if is(b"cookie") => Name::Cookie,
            7 if is(b"trailer") => Name::Trailer,
            7 if is(b"upgrade") => Name::Upgrade,
            7 if is(b"referer") => Name::Referer,
            8 if is(b"if-match") => Name::IfMatch,
            8 if is(b"if-range") => Name::IfRange,
            9 if is(b"forwarded") => Name::Forwarded,
            9 if is(b"x-real-ip") => Name::XRealIp,
            10 if is(b"connection") => Name::Connection,
            10 if is(b"keep-alive") => Name::KeepAlive,
            10 if is(b"user-agent") => Name::UserAgent,
            11 if is(b"client-cert") => Name::ClientCertificate,
            12 if is(b"x-request-id") => Name::XRequestId,
            13 if is(b"if-none-match") => Name::IfNoneMatch,
            13 if is(b"authorization") => Name::Authorization,
            14 if is(b"content-length") => Name::ContentLength,
            14 if is(b"http2-settings") => Name::Http2Settings,
            15 if is(b"x-forwarded-for") => Name::XForwardedFor,
            16 if is(b"x-forwarded-host") => Name::XForwardedHost,
            16 if is(b"x-forwarded-port") => Name::XForwardedPort,
            16 if is(b"proxy-connection") => Name::ProxyConnection,
            17 if is(b"client-cert-chain") => Name::ClientCertificate,
            17 if is(b"x-forwarded-proto") => Name::XForwardedProto,
            17 if is(b"if-modified-since") => Name::IfModifiedSince,
            17 if is(b"transfer-encoding") => Name::TransferEncoding,
            18 if is(b"proxy-authenticate") => Name::ProxyAuthenticate,
            20 if is(b"x-client-cert-verify") => Name::ClientCertificate,
            21 if is(b"x-client-cert-subject") => Name::ClientCertificate,
            19 if is(b"if-unmodified-since") => Name::IfUnmodifiedSince,
            19 if is(b"proxy-authorization") => Name::ProxyAuthorization,
            25 if is(b"x-client-cert-fingerprint") => Name::ClientCertificate,
            25 if is(b"strict-transport-security") => Name::StrictTransportSecurity,
            _ => Name::Other,
        }
    }

    /// Fields of one hop, which are not passed on (RFC 9110, section 7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        match self {
            Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::Te
            | Name::Upgrade
            | Name::Http2Settings
            | Name::ProxyAuthenticate
            | Name::ProxyAuthorization => true,
            Name::Via
            | Name::Date
            | Name::Host
            | Name::Range
            | Name::Expect
            | Name::Cookie
            | Name::Proxy
            | Name::IfMatch
            | Name::IfRange
            | Name::IfNoneMatch
            | Name::IfModifiedSince
            | Name::IfUnmodifiedSince
            | Name::Trailer
            | Name::Referer
            | Name::Forwarded
            | Name::UserAgent
            | Name::XRequestId
            | Name::XRealIp
            | Name::Authorization
            | Name::ContentLength
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::StrictTransportSecurity
            | Name::ClientCertificate
            | Name::Disguised
            | Name::Other => false,
        }
    }

    /// Fields that say for whom a proxy forwards: believed only from a trusted one.
    pub fn is_forwarding(self) -> bool {
        matches!(
            self,
            Name::Forwarded
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedPort
                | Name::XForwardedProto
                | Name::XRealIp
                | Name::XRequestId
        )
    }

    /// Whether a client's word in it counts. Whom a proxy has verified is not believed even of a
    /// trusted one: one that is trusted for the addresses of clients, as any CDN is, passes fields
    /// that it does not know on from anyone, and they would let anyone in.
    pub fn is_believed(self, trusted: bool) -> bool {
        self != Name::ClientCertificate && (trusted || !self.is_forwarding())
    }

    /// Fields that Connection may not take away: what we set or decide by would be lost on the way.
    pub fn is_protected(self) -> bool {
        let decided_by = matches!(self, Name::Host | Name::ContentLength | Name::Authorization);
        decided_by || self.is_forwarding() || self == Name::ClientCertificate
    }

    /// Fields that may not stand in trailers: framing, routing, authentication (RFC 9110,
    /// section 6.5.1).
    pub fn is_forbidden_in_trailers(self) -> bool {
        let controls = matches!(self, Name::Expect | Name::Trailer | Name::Disguised);
        controls || self.is_hop_by_hop() || self.is_protected()
    }
}

fn disguised(bytes: &[u8]) -> Name {
    let mut plain = [0; 32];
    let Some(plain) = plain.get_mut(..bytes.len()) else {
        return Name::Other;
    };
    for (to, &from) in plain.iter_mut().zip(bytes) {
        *to = if from == b'_' { b'-' } else { from };
    }
    match Name::spelled(plain) {
        Name::Other => Name::Other,
        _ => Name::Disguised,
    }
}

/// The members of a comma-separated list (RFC 9110, section 5.6.1), without white space and empty
/// members.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        assert_eq!(Name::from_bytes(b"hOsT"), Name::Host);
        assert_eq!(Name::from_bytes(b"Transfer-Encoding"), Name::TransferEncoding);
        assert_eq!(Name::from_bytes(b"Content-Type"), Name::Other);
        assert_eq!(Name::from_bytes(b""), Name::Other);
    }

    #[test]
    fn underscores_do_not_disguise_a_name() {
        assert_eq!(Name::from_bytes(b"X_Forwarded_For"), Name::Disguised);
        assert_eq!(Name::from_bytes(b"content_length"), Name::Disguised);
        assert_eq!(Name::from_bytes(b"x-forwarded_proto"), Name::Disguised);
        assert_eq!(Name::from_bytes(b"X_Client_Cert_Fingerprint"), Name::Disguised);
        assert_eq!(Name::from_bytes(b"my_field"), Name::Other);
        assert_eq!(Name::from_bytes(&[b'_'; 100]), Name::Other);
    }

    #[test]
    fn nobody_is_believed_on_whom_it_has_verified() {
        for name in [
            "X-Client-Cert-Subject",
            "x-client-cert-fingerprint",
            "X-CLIENT-CERT-VERIFY",
            "Client-Cert",
            "Client-Cert-Chain",
        ] {
            let name = Name::from_bytes(name.as_bytes());
            assert_eq!(name, Name::ClientCertificate);
            assert!(name.is_protected() && name.is_forbidden_in_trailers());
            assert!(!name.is_believed(true));
        }
        assert!(Name::XForwardedFor.is_believed(true) && !Name::XForwardedFor.is_believed(false));
    }

    #[test]
    fn members_of_a_list() {
        let members: Vec<&[u8]> = list_members(b" a ,, b\t,c").collect();
        assert_eq!(members, [b"a", b"b", b"c"]);
    }
}
