//! The one table of what a client may not send in HTTP/2 (HTTP.md, "Refuse"; RFC 9113, section 8).
//! A row is a name, what differs from a plain request, and what must become of the stream: reset
//! with PROTOCOL_ERROR, or answered with a status; where both fit, both stand there with `|`.

use crate::harness::h2::frame::flag;

/// Where a request goes wrong, and with that what the backend may have seen of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// In the head: nothing of it.
    Head,
    /// Behind the head: part of it, never a whole request.
    Body,
    /// Behind its own end: that one request, and nothing more.
    Behind,
}

pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone)]
pub struct Row {
    pub name: String,
    pub fields: Fields,
    /// Payloads of DATA frames.
    pub data: Vec<Vec<u8>>,
    pub trailers: Option<Fields>,
    /// Of the last DATA or of the trailers.
    pub last_flags: u8,
    pub expected: &'static str,
    pub stage: Stage,
}

const RESET: &str = "PROTOCOL_ERROR";
const ANY: &str = "400|PROTOCOL_ERROR|GOAWAY";
/// Bytes that may stand in no field: the `h2` crate ends the whole connection for them, where
/// RFC 9113, section 8.1.1, asks for the stream alone.
const BYTES: &str = "PROTOCOL_ERROR|GOAWAY";
/// What HTTP.md's rules for both versions refuse with 400, and RFC 9113 calls malformed or allows
/// to be refused.
const EITHER: &str = "400|PROTOCOL_ERROR";

/// A field, its name and its value.
type Field = (&'static [u8], &'static [u8]);

/// A name, the length that is told, and payloads of DATA frames.
type Told = (&'static str, &'static [u8], &'static [&'static [u8]]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const PATH: Field = (b":path", b"/");
const AUTHORITY: Field = (b":authority", b"www.example.com");
const PLAIN: [Field; 4] = [METHOD, SCHEME, PATH, AUTHORITY];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, fields) in FIELDS {
        rows.push(head(name, [&PLAIN, *fields].concat(), RESET));
    }
    for (name, fields) in BAD_BYTES {
        rows.push(head(name, [&PLAIN, *fields].concat(), BYTES));
    }
    for (name, fields, expected) in RULES_OF_BOTH {
        rows.push(head(name, [&PLAIN, *fields].concat(), expected));
    }
    for (name, fields, expected) in HEADS {
        rows.push(head(name, fields.to_vec(), expected));
    }
    for (name, path, expected) in PATHS {
        rows.push(head(name, vec![METHOD, SCHEME, (b":path", path), AUTHORITY], expected));
    }
    for (name, method, expected) in METHODS {
        rows.push(head(name, vec![(b":method", method), SCHEME, PATH, AUTHORITY], expected));
    }
    for (name, authority, expected) in AUTHORITIES {
        rows.push(head(name, vec![METHOD, SCHEME, PATH, (b":authority", authority)], expected));
    }
    for (name, length, data) in LENGTHS {
        let mut row = head(name, [&POST[..], &[(b"content-length", length)]].concat(), RESET);
        row.data = data.iter().map(|piece| piece.to_vec()).collect();
        row.stage = Stage::Body;
        rows.push(row);
    }
    for (name, length, data) in SURPLUS {
        let mut row =
            head(name, [&POST[..], &[(b"content-length", length)]].concat(), "200|PROTOCOL_ERROR");
        row.data = data.iter().map(|piece| piece.to_vec()).collect();
        row.stage = Stage::Behind;
        rows.push(row);
    }
    for (name, trailers, expected) in TRAILERS {
        let mut row = head(name, POST.to_vec(), expected);
        row.data = vec![b"hello".to_vec()];
        row.trailers = Some(owned(trailers));
        row.stage = Stage::Body;
        let mut told = Row { name: format!("{name}, behind a told length"), ..row.clone() };
        told.fields.push((b"content-length".to_vec(), b"5".to_vec()));
        rows.extend([row, told]);
    }
    rows.extend(made());
    rows
}

fn head(name: &str, fields: Vec<Field>, expected: &'static str) -> Row {
    Row {
        name: name.to_owned(),
        fields: owned(&fields),
        data: Vec::new(),
        trailers: None,
        last_flags: flag::END_STREAM,
        expected,
        stage: Stage::Head,
    }
}

fn owned(fields: &[Field]) -> Fields {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

const POST: [Field; 4] = [(b":method", b"POST"), SCHEME, PATH, AUTHORITY];

/// Behind a whole head: fields of a connection, white space around values, hosts that differ,
/// pseudo-header fields that are repeated or out of place.
#[rustfmt::skip]
const FIELDS: &[(&str, &[Field])] = &[
    ("connection: close", &[(b"connection", b"close")]),
    ("connection: keep-alive", &[(b"connection", b"keep-alive")]),
    ("connection that names a field", &[(b"connection", b"x-hop"), (b"x-hop", b"a")]),
    ("an empty connection", &[(b"connection", b"")]),
    ("keep-alive", &[(b"keep-alive", b"timeout=5")]),
    ("proxy-connection", &[(b"proxy-connection", b"keep-alive")]),
    ("transfer-encoding: chunked", &[(b"transfer-encoding", b"chunked")]),
    ("transfer-encoding: identity", &[(b"transfer-encoding", b"identity")]),
    ("an empty transfer-encoding", &[(b"transfer-encoding", b"")]),
    ("upgrade: websocket", &[(b"upgrade", b"websocket")]),
    ("upgrade: h2c", &[(b"upgrade", b"h2c")]),
    ("te: gzip", &[(b"te", b"gzip")]),
    ("te: chunked", &[(b"te", b"chunked")]),
    ("te: trailers and more", &[(b"te", b"trailers, deflate")]),
    ("te: trailers with a weight", &[(b"te", b"trailers;q=0.5")]),
    ("an empty te", &[(b"te", b"")]),
    ("a good te and a bad one", &[(b"te", b"trailers"), (b"te", b"gzip")]),
    ("a space before a value", &[(b"x-a", b" a")]),
    ("a space behind a value", &[(b"x-a", b"a ")]),
    ("a tab before a value", &[(b"x-a", b"\ta")]),
    ("a tab behind a value", &[(b"x-a", b"a\t")]),
    ("a space as a value", &[(b"x-a", b" ")]),
    ("a space before a host", &[(b"host", b" www.example.com")]),
    ("a host that differs", &[(b"host", b"other.example.com")]),
    ("a host that differs by a port", &[(b"host", b"www.example.com:8080")]),
    ("an empty host", &[(b"host", b"")]),
    (":method repeated", &[(b":method", b"GET")]),
    (":scheme repeated", &[(b":scheme", b"http")]),
    (":path repeated", &[(b":path", b"/")]),
    (":path repeated with another value", &[(b":path", b"/other")]),
    (":authority repeated", &[(b":authority", b"www.example.com")]),
    (":status in a request", &[(b":status", b"200")]),
    (":protocol without CONNECT", &[(b":protocol", b"websocket")]),
];

/// Behind a whole head: bytes that no name and no value may have.
#[rustfmt::skip]
const BAD_BYTES: &[(&str, &[Field])] = &[
    ("an upper-case name", &[(b"X-UPPER", b"a")]),
    ("a name with one upper-case letter", &[(b"x-uppeR", b"a")]),
    ("an upper-case name of the static table", &[(b"Accept", b"a")]),
    ("an upper-case Host", &[(b"Host", b"www.example.com")]),
    ("an upper-case Content-Length", &[(b"Content-Length", b"0")]),
    ("an upper-case pseudo-header field", &[(b":Path", b"/")]),
    ("a space in a name", &[(b"x a", b"a")]),
    ("a space behind a name", &[(b"x-a ", b"a")]),
    ("a space before a name", &[(b" x-a", b"a")]),
    ("a tab in a name", &[(b"x\ta", b"a")]),
    ("a colon in a name", &[(b"x:a", b"a")]),
    ("a colon behind a name", &[(b"x-a:", b"a")]),
    ("a line in a name", &[(b"x-a: b\r\nx-b", b"a")]),
    ("an LF in a name", &[(b"x\na", b"a")]),
    ("a CR in a name", &[(b"x\ra", b"a")]),
    ("a NUL in a name", &[(b"x\0a", b"a")]),
    ("a control byte in a name", &[(b"x\x01a", b"a")]),
    ("a DEL in a name", &[(b"x\x7fa", b"a")]),
    ("a non-ASCII byte in a name", &[(b"x\xe9a", b"a")]),
    ("a quote in a name", &[(b"x\"a", b"a")]),
    ("an empty name", &[(b"", b"a")]),
    ("a CR in a value", &[(b"x-a", b"a\rb")]),
    ("an LF in a value", &[(b"x-a", b"a\nb")]),
    ("a line in a value", &[(b"x-a", b"a\r\nx-b: c")]),
    ("a request in a value", &[(b"x-a", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n")]),
    ("a CR at the end of a value", &[(b"x-a", b"a\r")]),
    ("an LF at the beginning of a value", &[(b"x-a", b"\na")]),
    ("a NUL in a value", &[(b"x-a", b"a\0b")]),
    ("a NUL as a value", &[(b"x-a", b"\0")]),
    ("an unknown pseudo-header field", &[(b":other", b"a")]),
    ("an empty pseudo-header field", &[(b":", b"a")]),
    (":host", &[(b":host", b"www.example.com")]),
];

/// Behind a whole head: what the rules of both versions refuse.
#[rustfmt::skip]
const RULES_OF_BOTH: &[(&str, &[Field], &str)] = &[
    ("two equal hosts", &[(b"host", b"www.example.com"), (b"host", b"www.example.com")], EITHER),
    ("an equal host and one that differs", &[(b"host", b"www.example.com"), (b"host", b"a.example.com")], EITHER),
    ("two equal lengths", &[(b"content-length", b"0"), (b"content-length", b"0")], EITHER),
    ("two lengths in one", &[(b"content-length", b"0, 0")], EITHER),
    ("a length with a plus", &[(b"content-length", b"+0")], EITHER),
    ("a length with a minus", &[(b"content-length", b"-0")], EITHER),
    ("a length in hex", &[(b"content-length", b"0x0")], EITHER),
    ("an empty length", &[(b"content-length", b"")], EITHER),
    ("a length of 20 digits", &[(b"content-length", b"00000000000000000000")], EITHER),
    ("a length with an underscore", &[(b"content-length", b"1_0")], EITHER),
    ("a length without a body", &[(b"content-length", b"5")], EITHER),
    ("a control byte in a value", &[(b"x-a", b"a\x01b")], ANY),
    ("a DEL in a value", &[(b"x-a", b"a\x7fb")], ANY),
];

/// Whole heads.
#[rustfmt::skip]
const HEADS: &[(&str, &[Field], &str)] = &[
    ("no :method", &[SCHEME, PATH, AUTHORITY], RESET),
    ("no :scheme", &[METHOD, PATH, AUTHORITY], RESET),
    ("no :path", &[METHOD, SCHEME, AUTHORITY], RESET),
    ("no field at all", &[], RESET),
    ("fields but no pseudo-header field", &[(b"x-a", b"a")], RESET),
    ("neither :authority nor host", &[METHOD, SCHEME, PATH], EITHER),
    (":method behind a field", &[SCHEME, PATH, AUTHORITY, (b"x-a", b"a"), METHOD], RESET),
    (":scheme behind a field", &[METHOD, PATH, AUTHORITY, (b"x-a", b"a"), SCHEME], RESET),
    (":path behind a field", &[METHOD, SCHEME, AUTHORITY, (b"x-a", b"a"), PATH], RESET),
    (":authority behind a field", &[METHOD, SCHEME, PATH, (b"x-a", b"a"), AUTHORITY], RESET),
    (":authority behind an equal host", &[METHOD, SCHEME, PATH, (b"host", b"www.example.com"), AUTHORITY], RESET),
    ("an unknown pseudo-header field first", &[(b":other", b"a"), METHOD, SCHEME, PATH, AUTHORITY], BYTES),
    ("a status instead of a method", &[(b":status", b"200"), SCHEME, PATH, AUTHORITY], RESET),
    ("an empty :scheme", &[METHOD, (b":scheme", b""), PATH, AUTHORITY], EITHER),
    ("a URL as :scheme", &[METHOD, (b":scheme", b"http://other.example.com/?"), PATH, AUTHORITY], EITHER),
    ("a line in :scheme", &[METHOD, (b":scheme", b"http\r\nx: a"), PATH, AUTHORITY], RESET),
    ("a space before :scheme", &[METHOD, (b":scheme", b" http"), PATH, AUTHORITY], RESET),
    ("two hosts without :authority", &[METHOD, SCHEME, PATH, (b"host", b"a.example.com"), (b"host", b"b.example.com")], EITHER),
    ("CONNECT", &[(b":method", b"CONNECT"), (b":authority", b"www.example.com:443")], "405"),
    ("CONNECT with :path and :scheme", &[(b":method", b"CONNECT"), SCHEME, PATH, AUTHORITY], "405|PROTOCOL_ERROR"),
    ("CONNECT without :authority", &[(b":method", b"CONNECT")], "405|PROTOCOL_ERROR"),
    ("extended CONNECT without :path", &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, AUTHORITY], RESET),
    ("extended CONNECT without :scheme", &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), PATH, AUTHORITY], RESET),
    ("extended CONNECT with two protocols", &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":protocol", b"websocket"), SCHEME, PATH, AUTHORITY], RESET),
];

#[rustfmt::skip]
const PATHS: &[(&str, &[u8], &str)] = &[
    ("an empty :path", b"", RESET),
    (":path without a slash", b"a", RESET),
    (":path that is a query", b"?a=b", RESET),
    (":path in absolute-form", b"http://www.example.com/", RESET),
    (":path that is an authority", b"www.example.com:80", RESET),
    (":path with a backslash first", b"\\a", RESET),
    ("* for GET", b"*", RESET),
    ("* and more", b"*/", RESET),
    ("a space before :path", b" /", RESET),
    ("a space behind :path", b"/ ", RESET),
    ("a tab behind :path", b"/\t", RESET),
    ("a version in :path", b"/ HTTP/1.1", EITHER),
    ("a request in :path", b"/ HTTP/1.1\r\nHost: www.example.com\r\n\r\nGET /smuggled", RESET),
    ("a CR in :path", b"/a\rb", RESET),
    ("an LF in :path", b"/a\nb", RESET),
    ("a NUL in :path", b"/a\0b", RESET),
    ("a tab in :path", b"/a\tb", EITHER),
    ("a space in :path", b"/a b", EITHER),
    ("a control byte in :path", b"/a\x01b", EITHER),
    ("a DEL in :path", b"/a\x7fb", EITHER),
    ("a non-ASCII byte in :path", b"/\xe9", ANY),
    ("UTF-8 in :path", "/é".as_bytes(), EITHER),
    ("a path above the root", b"/../a", EITHER),
    ("a path above the root, encoded", b"/%2e%2e/a", EITHER),
    ("a path above the root, further in", b"/a/../../b", EITHER),
];

#[rustfmt::skip]
const METHODS: &[(&str, &[u8], &str)] = &[
    ("an empty :method", b"", ANY),
    ("a space in :method", b"GE T", ANY),
    ("a request line in :method", b"GET / HTTP/1.1\r\nx: a\r\n\r\nGET", BYTES),
    ("a target in :method", b"GET /smuggled HTTP/1.1", ANY),
    ("a space behind :method", b"GET ", BYTES),
    ("a space before :method", b" GET", BYTES),
    ("a colon in :method", b"GE:T", ANY),
    ("a slash in :method", b"GE/T", ANY),
    ("a quote in :method", b"\"GET\"", ANY),
    ("a non-ASCII byte in :method", b"G\xc9T", ANY),
    ("a NUL in :method", b"GE\0T", BYTES),
];

#[rustfmt::skip]
const AUTHORITIES: &[(&str, &[u8], &str)] = &[
    ("an empty :authority", b"", EITHER),
    ("userinfo in :authority", b"user@www.example.com", EITHER),
    ("a path in :authority", b"www.example.com/a", EITHER),
    ("a query in :authority", b"www.example.com?a", EITHER),
    ("a fragment in :authority", b"www.example.com#a", EITHER),
    ("a comma in :authority", b"a.example.com,b.example.com", EITHER),
    ("a space in :authority", b"www example com", EITHER),
    ("a space before :authority", b" www.example.com", RESET),
    ("a space behind :authority", b"www.example.com ", RESET),
    ("a line in :authority", b"www.example.com\r\nx: a", RESET),
    ("a NUL in :authority", b"www.example.com\0", RESET),
    ("a port that is no number", b"www.example.com:http", EITHER),
    ("a port above 65535", b"www.example.com:65536", EITHER),
    ("two ports", b"www.example.com:80:80", EITHER),
    ("a bracket that is left open", b"[::1", EITHER),
    ("a backslash in :authority", b"www.example.com\\a", EITHER),
    ("a non-ASCII byte in :authority", b"www.\xe9xample.com", ANY),
];

/// Lengths that the DATA belie, and that the backend can't take for whole.
#[rustfmt::skip]
const LENGTHS: &[Told] = &[
    ("less DATA than told", b"6", &[b"hello"]),
    ("more DATA than told", b"4", &[b"hello"]),
    ("less DATA than told, in two frames", b"7", &[b"hello", b"!"]),
    ("no DATA where some is told", b"5", &[b""]),
];

/// More bytes than told, behind those that were: the backend may have its whole request by then, and
/// even have answered it, but gets no byte more.
#[rustfmt::skip]
const SURPLUS: &[Told] = &[
    ("more DATA than told, in a second frame", b"5", &[b"hello", b"!"]),
    ("DATA where none is told", b"0", &[b"hello"]),
    ("a request behind the told length", b"5", &[b"hello", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"]),
];

#[rustfmt::skip]
const TRAILERS: &[(&str, &[Field], &str)] = &[
    ("an unknown pseudo-header field in trailers", &[(b":other", b"a")], BYTES),
    ("an upper-case name in trailers", &[(b"X-Sum", b"a")], BYTES),
    ("connection in trailers", &[(b"connection", b"close")], RESET),
    ("an LF in a trailer", &[(b"x-sum", b"a\nb")], BYTES),
    ("a NUL in a trailer", &[(b"x-sum", b"a\0b")], BYTES),
    ("a space behind a trailer", &[(b"x-sum", b"a ")], RESET),
    ("a line in a trailer's name", &[(b"x: a\r\nx-sum", b"a")], BYTES),
    ("a quote in a trailer's name", &[(b"x\"sum", b"a")], RESET),
    ("transfer-encoding in trailers", &[(b"transfer-encoding", b"chunked")], RESET),
    ("content-length in trailers", &[(b"content-length", b"5")], EITHER),
    ("host in trailers", &[(b"host", b"www.example.com")], EITHER),
    ("authorization in trailers", &[(b"authorization", b"Basic YTpi")], EITHER),
];

/// Rows whose bytes are made: over the limits, and oddly ended.
fn made() -> Vec<Row> {
    let mut rows = Vec::new();
    let with = |more: Fields| [owned(&PLAIN), more].concat();
    let mut limit = |name: &str, fields: Fields, expected| {
        rows.push(Row { fields, ..head(name, Vec::new(), expected) });
    };
    let long = |length: usize| vec![b'a'; length];
    limit("a value over the limit", with(vec![(b"x-a".to_vec(), long(17 << 10))]), "431");
    limit("a name over the limit", with(vec![(long(17 << 10), b"a".to_vec())]), "431");
    let many = |count: usize, length| {
        with((0..count).map(|at| (format!("x-{at}").into_bytes(), long(length))).collect())
    };
    limit("too many fields", many(101, 1), "431");
    limit("too many bytes of fields", many(9, 8 << 10), "431");
    let path = [b"/".to_vec(), long(9 << 10)].concat();
    let mut fields = owned(&PLAIN);
    fields[2].1 = path;
    limit("a path over the limit", fields, "414");
    let fields = [owned(&POST), vec![(b"content-length".to_vec(), b"1048577".to_vec())]].concat();
    rows.push(Row {
        fields,
        data: vec![b"a".to_vec()],
        last_flags: flag::NONE,
        ..head("a body over the limit", Vec::new(), "413")
    });
    rows.push(Row {
        data: vec![b"hello".to_vec()],
        trailers: Some(vec![(b"x-sum".to_vec(), b"a".to_vec())]),
        last_flags: flag::NONE,
        stage: Stage::Body,
        ..head("trailers that do not end the stream", POST.to_vec(), RESET)
    });
    rows
}
