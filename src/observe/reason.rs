//! The words by which a failed or refused request is known: one closed list for the access log,
//! `equipoise_http_errors_total{reason}` and the error page.

/// One row a reason: what it means, its name, its word, the status the client gets.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $word:literal, $status:expr;)+) => {
        /// Why a request was refused or failed. Each says when, and whose fault it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of [`Reason::index`].
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The word in logs, metrics and error pages.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Reason::$name => $word,)+
                }
            }

            /// The status the client is answered with. `None`: it can't be answered any more,
            /// for it has gone or the head of another answer was already sent.
            pub const fn status(self) -> Option<u16> {
                match self {
                    $(Reason::$name => $status,)+
                }
            }
        }
    };
}

reasons! {
    // The client's fault: refused, answered, closed.
    /// The first line is not method, space, target, space, version. Client.
    BadRequestLine = "bad-request-line", Some(400);
    /// The target is in no known form, or holds a fragment, a control byte, a space or a
    /// non-ASCII byte. Client.
    BadTarget = "bad-target", Some(400);
    /// A version that is neither HTTP/1.0 nor HTTP/1.1. Client.
    BadVersion = "bad-version", Some(505);
    /// HTTP/2.0 in a text request line: the HTTP/2 preface where HTTP/2 is not spoken. Client.
    Http2Preface = "http2-preface", Some(505);
    /// A byte outside `token` in the method. Client.
    BadMethod = "bad-method", Some(400);
    /// CONNECT: this is no forward proxy. Client.
    ConnectMethod = "connect-method", Some(405);
    /// A header line with an empty or malformed name, white space before its colon, or a
    /// forbidden byte in its value. Client.
    BadHeader = "bad-header", Some(400);
    /// Obsolete line folding (RFC 9112, 5.2). Client.
    ObsFold = "obs-fold", Some(400);
    /// A line that ends in LF without CR, or a CR without LF. Client.
    BareLf = "bare-lf", Some(400);
    /// Not exactly one Host, an invalid one, or one that differs from the target. Client.
    BadHost = "bad-host", Some(400);
    /// Content-Length twice, or not 1 to 19 digits. Client.
    BadContentLength = "bad-content-length", Some(400);
    /// Transfer-Encoding that is not the one word `chunked`, is there twice, or comes with
    /// HTTP/1.0. Client.
    BadTransferEncoding = "bad-transfer-encoding", Some(400);
    /// Content-Length beside Transfer-Encoding. Client.
    LengthConflict = "length-conflict", Some(400);
    /// A chunk with a malformed size, extension or end. Client.
    BadChunk = "bad-chunk", Some(400);
    /// A malformed trailer, or one that only a head may carry. Client.
    BadTrailer = "bad-trailer", Some(400);
    /// Connection names a field that must reach the backend. Client.
    BadConnection = "bad-connection", Some(400);
    /// The path climbs above the root. Client.
    BadPath = "bad-path", Some(400);
    /// An encoded slash, backslash or NUL where the route would depend on it. Client.
    AmbiguousPath = "ambiguous-path", Some(400);
    /// Several values under one key, of which a route takes one. Client.
    AmbiguousMatch = "ambiguous-match", Some(400);
    /// Expect with anything but `100-continue`. Client.
    Expectation = "expectation", Some(417);
    /// The Host belongs to another certificate than the one the handshake chose. Client.
    Misdirected = "misdirected", Some(421);
    /// The request line is over `max_request_line`. Client.
    LineTooLong = "line-too-long", Some(414);
    /// One header line is over `max_header`. Client.
    HeaderTooLong = "header-too-long", Some(431);
    /// All header lines together are over `max_headers_size`. Client.
    HeadersTooLarge = "headers-too-large", Some(431);
    /// More header lines than `max_headers`. Client.
    TooManyHeaders = "too-many-headers", Some(431);
    /// The request's body is over `max_body`. Client.
    BodyTooLarge = "body-too-large", Some(413);
    /// A body without a Content-Length, longer than is read ahead for a script. Client.
    LengthRequired = "length-required", Some(411);
    /// The head was not whole within the listener's `header` timeout. Client.
    HeaderTimeout = "header-timeout", Some(408);
    /// No byte of the request's body came within `body_idle`. Client.
    BodyTimeout = "body-timeout", Some(408);
    /// Frames of HTTP/2 that carry nothing, or resets, beyond `max_control_frames` and
    /// `max_resets`: its connection was closed. Client.
    Http2Flood = "http2-flood", None;
    /// The client closed or reset before its answer was done. Client.
    ClientGone = "client-gone", None;
    /// The client took no byte of its answer within `body_idle`. Client.
    ClientStalled = "client-stalled", None;

    // Nobody to give it to: a matter of the configuration, or of all backends.
    /// A method that files are not asked by. Client.
    MethodNotAllowed = "method-not-allowed", Some(405);
    /// What the request holds a file to is not so (RFC 9110, section 13.1). Client.
    PreconditionFailed = "precondition-failed", Some(412);
    /// No range that was asked for begins within the file. Client.
    RangeNotSatisfiable = "range-not-satisfiable", Some(416);
    /// Nothing is there of that name, or nothing that may be seen. Client or files.
    NoFile = "no-file", Some(404);
    /// As many requests as may wait for the disk. Disk.
    DiskBusy = "disk-busy", Some(503);
    /// The disk said nothing within `timeout` of `reads`; or the answer had begun and is cut. Disk.
    DiskTimeout = "disk-timeout", Some(503);
    /// The system denied a file that is there; or the answer had begun and is cut. Files.
    FileUnreadable = "file-unreadable", Some(500);
    /// The file was changed while it was sent: the answer is cut. Files.
    FileChanged = "file-changed", None;
    /// No route takes this host and path. Client or configuration.
    NoRoute = "no-route", Some(404);
    /// The path leads to no script below the root of its route. Client or configuration.
    NoScript = "no-script", Some(404);
    /// No backend of the pool is up. Backends.
    NoBackend = "no-backend", Some(503);
    /// Every backend that is up has its `max_requests`, and `max` of the pool's `queue` wait
    /// already. Backends.
    QueueFull = "queue-full", Some(503);
    /// No backend had a place within `timeout` of the pool's `queue`. Backends.
    QueueTimeout = "queue-timeout", Some(503);
    /// Bodies that are read whole for scripts take all of the pool's `buffers`. Backends.
    BuffersFull = "buffers-full", Some(503);

    /// An extended CONNECT to what opens no tunnel: a pool whose backends speak HTTP/2, a fixed answer,
    /// a protocol that is not passed on. Configuration, or the client.
    NoUpgrade = "no-upgrade", Some(501);
    /// No byte passed either way on an upgraded or a TCP connection within `tunnel_idle`. Nobody's.
    TunnelIdle = "tunnel-idle", None;
    /// The process ended, and `drain_timeout` had passed: an upgraded or a TCP connection that was
    /// still open was cut. Nobody's.
    DrainTimeout = "drain-timeout", None;

    // The backend's fault.
    /// The backend refused the connection, or could not be reached. Backend.
    ConnectFailed = "connect-failed", Some(502);
    /// The connection was not open within `connect`. Backend.
    ConnectTimeout = "connect-timeout", Some(504);
    /// The backend's certificate is valid for other names than the one it must have. Backend.
    UpstreamName = "upstream-certificate-name", Some(502);
    /// The backend's certificate leads to no trusted authority. Backend.
    UpstreamIssuer = "upstream-certificate-issuer", Some(502);
    /// The backend's certificate has expired, or is not valid yet. Backend.
    UpstreamExpired = "upstream-certificate-expired", Some(502);
    /// TLS with the backend came to nothing for another reason. Backend.
    UpstreamHandshake = "upstream-handshake-failed", Some(502);
    /// No byte of the answer came within `first_byte`. Backend.
    FirstByteTimeout = "first-byte-timeout", Some(504);
    /// The answer began, then no byte of it came within `idle`. Backend.
    ResponseIdleTimeout = "response-idle-timeout", None;
    /// The whole exchange took longer than `whole`; 504 where no head was sent yet. Backend.
    RequestTimeout = "request-timeout", Some(504);
    /// The backend closed or reset before the head of its answer was whole. Backend.
    UpstreamReset = "upstream-reset", Some(502);
    /// The backend closed or reset within the body of its answer; or reset a connection that is
    /// relayed, or ended it over TLS without a close_notify. Backend.
    UpstreamTruncated = "upstream-truncated", None;
    /// The answer breaks HTTP's rules or its head is over the limits. Backend.
    BadResponse = "bad-response", Some(502);
}

impl Reason {
    /// The place in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn index_is_the_place_in_all() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place, "{reason}");
        }
    }

    #[test]
    fn words_are_distinct_and_kebab_case() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            let word = reason.word();
            assert!(seen.insert(word), "{word} is there twice");
            assert!(
                word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{word}"
            );
        }
    }

    #[test]
    fn a_status_is_an_error() {
        for reason in Reason::ALL {
            if let Some(status) = reason.status() {
                assert!((400..600).contains(&status), "{reason} answers {status}");
            }
        }
    }
}
