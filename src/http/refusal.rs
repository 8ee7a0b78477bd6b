//! Every oddity that is refused, and every way in which an exchange fails: one row each.
//!
//! A row says the reason, which brings the status and the word for logs and metrics, and the
//! sentence for whoever reads them. Sources: RFC 9110 and 9112, sections as named.

use crate::observe::reason::Reason;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// What was found and what was expected.
    pub detail: &'static str,
}

impl Refusal {
    /// What the client gets. Each reason in the table has a status, which a test holds.
    pub fn status(self) -> u16 {
        self.reason.status().unwrap_or(500)
    }

    /// The request breaks the grammar of a message: what HTTP/2 calls malformed (RFC 9113, section
    /// 8.1.1), in difference to one that is understood and not served.
    pub fn is_malformed(self) -> bool {
        use Reason::*;
        matches!(
            self.reason,
            BadMethod
                | BadTarget
                | BadHeader
                | BadHost
                | LengthConflict
                | BadContentLength
                | BadTransferEncoding
                | BadTrailer
                | BadConnection
        )
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $reason:ident $detail:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Refusal =
                Refusal { reason: Reason::$reason, detail: $detail };
        )*
        /// Every row, for the tests that hold the table.
        pub const ALL: &[Refusal] = &[$($name),*];
    };
}

table! {
    // The first line (RFC 9112, section 3).
    BAD_REQUEST_LINE = BadRequestLine "the first line is not a method, a target and a version with single spaces between them";
    BAD_METHOD = BadMethod "the method has a byte that may not stand in one";
    BAD_TARGET = BadTarget "the target is none of the forms of RFC 9112, section 3.2, or has a byte that may not stand in one";
    ASTERISK = BadTarget "the target * goes with OPTIONS alone";
    BAD_VERSION = BadVersion "the version is neither HTTP/1.1 nor HTTP/1.0";
    HTTP2_PREFACE = Http2Preface "HTTP/2 is not spoken here";
    CONNECT = ConnectMethod "CONNECT is not served";
    LINE_TOO_LONG = LineTooLong "the first line is longer than max_request_line";

    // Header lines (RFC 9112, sections 2.2 and 5).
    BARE_LF = BareLf "a line ends with LF alone; CR LF was expected";
    OBS_FOLD = ObsFold "a header line begins with white space (obsolete line folding)";
    BAD_HEADER = BadHeader "a header line is not a name, a colon and a value of the bytes that may stand in them";
    HEADER_TOO_LONG = HeaderTooLong "a header line is longer than max_header";
    HEADERS_TOO_LARGE = HeadersTooLarge "the header lines are longer together than max_headers_size";
    TOO_MANY_HEADERS = TooManyHeaders "there are more header lines than max_headers";

    // The host (RFC 9112, section 3.2).
    NO_HOST = BadHost "the request needs a Host";
    SEVERAL_HOSTS = BadHost "there is more than one Host";
    BAD_HOST = BadHost "Host is no valid authority";
    HOST_DIFFERS = BadHost "the target names another host than Host does";

    /// RFC 9110, section 7.4: over TLS, a connection stands for the hosts of its certificate.
    MISDIRECTED = Misdirected "the host is of another certificate than the one that this connection asked for";

    CLIENT_UNKNOWN = Misdirected "the connection was made before this listener asked its clients for the certificates that it asks for now";

    // Framing (RFC 9112, section 6).
    LENGTH_CONFLICT = LengthConflict "Content-Length and Transfer-Encoding exclude each other";
    SEVERAL_LENGTHS = BadContentLength "there is more than one Content-Length";
    BAD_LENGTH = BadContentLength "Content-Length is not 1 to 19 digits";
    BAD_ENCODING = BadTransferEncoding "Transfer-Encoding is not the single word chunked";
    SEVERAL_ENCODINGS = BadTransferEncoding "there is more than one Transfer-Encoding";
    ENCODING_IN_10 = BadTransferEncoding "HTTP/1.0 has no Transfer-Encoding";
    BAD_CHUNK = BadChunk "a chunk is not a size of 1 to 16 hexadecimal digits, CR LF, its data, CR LF";
    EXTENSION_TOO_LONG = BadChunk "a chunk extension is longer than 256 bytes or has a byte that may not stand in one";
    BAD_TRAILER = BadTrailer "a trailer line is malformed, too large, or names a field that may not come that late";
    BODY_TOO_LARGE = BodyTooLarge "the body is longer than max_body";
    TRACE_WITH_BODY = BadContentLength "a TRACE request may not have a body";

    HTTP2_BODY = BadContentLength "the frames of the body are not what its Content-Length says";

    // Connection and expectations (RFC 9110, sections 7.6.1 and 10.1.1).
    BAD_CONNECTION = BadConnection "Connection names a field that may not be taken away, or holds a byte that may not stand in a name";
    EXPECTATION = Expectation "the only expectation known is 100-continue";

    // The path (RFC 3986, section 5.2.4).
    BAD_PATH = BadPath "the path climbs above the root or holds a broken or NUL encoding";
    AMBIGUOUS_PATH = AmbiguousPath "the path takes another route when its encoded slashes or backslashes are read as slashes, or several slashes as one";

    AMBIGUOUS_REWRITE = AmbiguousPath "what the route leaves of the path could be read in two ways, as its encoded slashes, backslashes or several slashes are";

    // What routes look at besides (RFC 9110, section 5.3).
    AMBIGUOUS_MATCH = AmbiguousMatch "a header or a key of the query comes with several values, of which a route takes one";

    // Time.
    HEADER_TIMEOUT = HeaderTimeout "the head did not come whole within the header timeout";
    BODY_TIMEOUT = BodyTimeout "the body stood still for longer than the body_idle timeout";

    // Scripts (RFC 3875).
    NO_SCRIPT = NoScript "the path leads to no script below the route's root";
    SCRIPT_NOT_LOOKED_UP = RequestTimeout "the file system did not say within the connect timeout whether the script is there";
    LENGTH_NEEDED = LengthRequired "a script must be told the length of the body, which is longer than what is read to find it out";
    PARAMETER_TOO_LONG = HeadersTooLarge "what came under the name of one header is longer than a FastCGI record";

    // Files (RFC 9110, sections 13.1, 14.2 and 15.5).
    METHOD_NOT_ALLOWED = MethodNotAllowed "files are asked by GET and HEAD alone";
    PRECONDITION_FAILED = PreconditionFailed "the file is not what the request holds it to be";
    RANGE_NOT_SATISFIABLE = RangeNotSatisfiable "no range that was asked for begins within the file";
    NO_FILE = NoFile "there is no file of this name";
    DISK_BUSY = DiskBusy "as many requests wait for the disk as may";
    DISK_TIMEOUT = DiskTimeout "the disk did not answer within the timeout of reads";
    FILE_UNREADABLE = FileUnreadable "the file can not be read; the log says why";

    // Nobody to answer.
    NO_ROUTE = NoRoute "no route takes this request";
    NO_BACKEND = NoBackend "no backend of the pool is up";
    QUEUE_FULL = QueueFull "every backend that is up has max_requests under way, and the pool's queue is full";
    QUEUE_TIMEOUT = QueueTimeout "no backend had a place for the request within the timeout of the pool's queue";
    BUFFERS_FULL = BuffersFull "the bodies that are read whole for scripts take all memory that the pool's buffers allow";
    POOL_CHANGED = NoBackend "since a reload the pool speaks another protocol than the one that the request waited for";

    NO_TUNNEL = NoUpgrade "a tunnel was asked for, and there is none to that protocol, or none on this route, or none with a body";
    NO_UPGRADE = NoUpgrade "a tunnel was asked for, and the pool's backends speak HTTP/2, to which none is opened";

    // The backend.
    CONNECT_FAILED = ConnectFailed "no connection to a backend could be made";
    CONNECT_TIMEOUT = ConnectTimeout "no connection to a backend was made within the connect timeout";
    UPSTREAM_NAME = UpstreamName "the backend's certificate is not valid for the name that it must have";
    UPSTREAM_ISSUER = UpstreamIssuer "the backend's certificate was issued by no authority that is trusted for it";
    UPSTREAM_EXPIRED = UpstreamExpired "the backend's certificate has expired or is not valid yet";
    UPSTREAM_CERTIFICATE = UpstreamHandshake "the backend's certificate can't be used";
    UPSTREAM_REFUSES_OURS = UpstreamHandshake "the backend wants a certificate of ours, or another one";
    UPSTREAM_HANDSHAKE = UpstreamHandshake "the TLS handshake with the backend failed";
    FIRST_BYTE_TIMEOUT = FirstByteTimeout "the backend did not begin to answer within the first_byte timeout";
    REQUEST_TIMEOUT = RequestTimeout "the exchange took longer than the whole timeout";
    UPSTREAM_STALLED = FirstByteTimeout "the backend took no byte of the request for longer than the idle timeout";
    UPSTREAM_RESET = UpstreamReset "the backend closed the connection before it answered";
    BAD_RESPONSE = BadResponse "the backend's answer is malformed";
    BAD_RESPONSE_LENGTH = BadResponse "the backend's answer is framed in two ways or in none that is valid";
    BAD_RESPONSE_SIZE = BadResponse "the head of the backend's answer is over the limits";
    TOO_MANY_INTERIM = BadResponse "the backend sent more than 100 interim answers and no final one";
    BAD_RECORD = BadResponse "what the backend sent is no FastCGI record of an answer";
    NO_CGI_HEAD = BadResponse "the script's answer ended before its head did";
    NOT_UPGRADED = BadResponse "the backend answered a request for a tunnel as if none had been asked for";
    UNASKED_UPGRADE = BadResponse "the backend switched protocols unasked";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_an_error_with_words() {
        for row in ALL {
            assert!(row.reason.status().is_some(), "{row:?}");
            assert!(row.detail.len() > 20 && !row.detail.ends_with('.'), "{row:?}");
        }
    }
}
