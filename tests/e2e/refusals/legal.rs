//! What looks odd and is legal: strictness must not break it.

/// A row: a name, the head's lines, the body as it is sent, and as it is meant.
pub struct Row {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub target: Option<&'static str>,
    pub body: Vec<u8>,
}

const HOST: &[u8] = b"Host: www.example.com\r\n";

/// All rows, as whole requests.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for &(name, line) in FIRST_LINES {
        rows.push(row(name, [line, b"\r\n", HOST, b"\r\n"].concat(), b""));
    }
    for &(name, target) in TARGETS {
        let line = format!("GET {target} HTTP/1.1\r\n");
        let mut row = row(name, [line.as_bytes(), HOST, b"\r\n"].concat(), b"");
        row.target = Some(target);
        rows.push(row);
    }
    for &(name, lines) in HOSTS {
        rows.push(row(name, [b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat(), b""));
    }
    for &(name, lines) in FIELDS {
        rows.push(row(name, [b"GET / HTTP/1.1\r\n", HOST, lines, b"\r\n"].concat(), b""));
    }
    for &Body(name, lines, sent, meant) in BODIES {
        rows.push(row(name, [b"POST / HTTP/1.1\r\n", HOST, lines, b"\r\n", sent].concat(), meant));
    }
    for &(name, bytes, meant) in WHOLE {
        rows.push(row(name, bytes.to_vec(), meant));
    }
    rows.extend(limits());
    rows
}

fn row(name: &'static str, bytes: Vec<u8>, meant: &[u8]) -> Row {
    Row { name, bytes, target: None, body: meant.to_vec() }
}

/// The first line without its end.
const FIRST_LINES: &[(&str, &[u8])] = &[
    ("a plain request", b"GET / HTTP/1.1"),
    ("a method in lower case", b"get / HTTP/1.1"),
    ("a method of WebDAV", b"PROPFIND / HTTP/1.1"),
    ("a method with a hyphen", b"M-SEARCH / HTTP/1.1"),
    ("a method of odd token bytes", b"!#$%&'*+-.^_`|~ / HTTP/1.1"),
    ("OPTIONS of the server", b"OPTIONS * HTTP/1.1"),
    ("OPTIONS of a path", b"OPTIONS /a HTTP/1.1"),
    ("TRACE", b"TRACE / HTTP/1.1"),
    ("absolute-form", b"GET http://www.example.com/a HTTP/1.1"),
    ("absolute-form without a path", b"GET http://www.example.com HTTP/1.1"),
    ("absolute-form with a query", b"GET http://www.example.com/?a=b HTTP/1.1"),
    ("absolute-form in upper case", b"GET HTTP://WWW.EXAMPLE.COM/a HTTP/1.1"),
];

/// Targets that reach the backend byte for byte.
const TARGETS: &[(&str, &str)] = &[
    ("an empty query", "/?"),
    ("two question marks", "/a?b?c"),
    ("dots and slashes in the query", "/a?b=/../../c"),
    ("a URL in the query", "/a?b=http://other.example.com/"),
    ("an encoded NUL in the query", "/a?b=%00"),
    ("a percent sign in the query", "/a?b=100%"),
    ("two slashes", "/a//b"),
    ("two slashes first", "//a"),
    ("all the marks of a path", "/a-._~!$&'()*+,;=:@"),
    ("an encoded space", "/a%20b"),
    ("an encoded unreserved byte", "/%7Ea"),
    ("an encoded slash that decides nothing", "/a%2Fb"),
    ("dot segments", "/a/./b/../c"),
    ("encoded dot segments", "/a/%2e/b"),
    ("three dots", "/.../a"),
    ("a hidden file", "/.well-known/a"),
    ("an encoded UTF-8 letter", "/%C3%A9"),
];

const HOSTS: &[(&str, &[u8])] = &[
    ("no space after Host's colon", b"Host:www.example.com\r\n"),
    ("many spaces after Host's colon", b"Host:   \t www.example.com\r\n"),
    ("spaces after Host", b"Host: www.example.com \t\r\n"),
    ("Host in lower case", b"host: www.example.com\r\n"),
    ("Host in upper case", b"HOST: WWW.EXAMPLE.COM\r\n"),
    ("Host with a port", b"Host: www.example.com:8080\r\n"),
    ("Host with a dot at its end", b"Host: www.example.com.\r\n"),
    ("Host of one label", b"Host: localhost\r\n"),
    ("Host with an underscore", b"Host: my_service.example.com\r\n"),
    ("Host is an IPv4 address", b"Host: 127.0.0.1\r\n"),
    ("Host is an IPv6 address", b"Host: [::1]\r\n"),
    ("Host is an IPv6 address with a port", b"Host: [2001:db8::1]:8443\r\n"),
    ("Host after other fields", b"Accept: */*\r\nHost: www.example.com\r\n"),
];

#[rustfmt::skip]
const FIELDS: &[(&str, &[u8])] = &[
    ("an empty value", b"Foo:\r\n"),
    ("a blank value", b"Foo: \t \r\n"),
    ("a value with colons", b"Foo: a:b: c\r\n"),
    ("a value with a tab", b"Foo: a\tb\r\n"),
    ("a value in quotes", b"Foo: \"a, \\\"b\\\"\"\r\n"),
    ("a value with ISO 8859-1", b"Foo: caf\xe9\r\n"),
    ("a name of odd token bytes", b"!#$%&'*+-.^_`|~: a\r\n"),
    ("a name of one letter", b"a: b\r\n"),
    ("one name twice", b"Foo: a\r\nFoo: b\r\n"),
    ("two cookies", b"Cookie: a=b\r\nCookie: c=d\r\n"),
    ("Connection: close", b"Connection: close\r\n"),
    ("Connection: keep-alive", b"Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n"),
    ("Connection names a field", b"Connection: keep-alive, Foo\r\nFoo: bar\r\n"),
    ("Connection names a field that is not there", b"Connection: Foo\r\n"),
    ("Proxy-Connection", b"Proxy-Connection: keep-alive\r\n"),
    ("TE: trailers", b"TE: trailers\r\nConnection: TE\r\n"),
    ("an upgrade that we do not make", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    ("fields that only we set", b"X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n"),
    ("Content-Length: 0 on GET", b"Content-Length: 0\r\n"),
];

/// A name, the framing lines, the body as it is sent, and as it is meant.
struct Body(&'static str, &'static [u8], &'static [u8], &'static [u8]);

#[rustfmt::skip]
const BODIES: &[Body] = &[
    Body("no body", b"", b"", b""),
    Body("Content-Length: 0", b"Content-Length: 0\r\n", b"", b""),
    Body("a length", b"Content-Length: 5\r\n", b"hello", b"hello"),
    Body("a length without a space", b"Content-Length:5\r\n", b"hello", b"hello"),
    Body("a length in spaces", b"Content-Length: \t 5 \t\r\n", b"hello", b"hello"),
    Body("a length with zeros", b"Content-Length: 005\r\n", b"hello", b"hello"),
    Body("a length of 19 digits that is short", b"Content-Length: 0000000000000000005\r\n", b"hello", b"hello"),
    Body("a body that looks like a request", b"Content-Length: 18\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"),
    Body("chunks", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("chunked in another case", b"transfer-encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("chunked in spaces", b"Transfer-Encoding:\t chunked \r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("no chunk but the last", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b""),
    Body("many chunks", b"Transfer-Encoding: chunked\r\n", b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", b"hello"),
    Body("a size in upper case", b"Transfer-Encoding: chunked\r\n", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    Body("a size in lower case", b"Transfer-Encoding: chunked\r\n", b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    Body("a size with zeros", b"Transfer-Encoding: chunked\r\n", b"0005\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("a size of 16 digits", b"Transfer-Encoding: chunked\r\n", b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("a last size of zeros", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n000\r\n\r\n", b"hello"),
    Body("an extension", b"Transfer-Encoding: chunked\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("an extension in quotes", b"Transfer-Encoding: chunked\r\n", b"5;a=\"b\"\r\nhello\r\n0\r\n\r\n", b"hello"),
    Body("an extension without a value", b"Transfer-Encoding: chunked\r\n", b"5;a\r\nhello\r\n0;b\r\n\r\n", b"hello"),
    Body("a trailer", b"Transfer-Encoding: chunked\r\nTrailer: Foo\r\n", b"5\r\nhello\r\n0\r\nFoo: bar\r\n\r\n", b"hello"),
    Body("a trailer that was not announced", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\nFoo: bar\r\n\r\n", b"hello"),
    Body("chunk data that looks like an end", b"Transfer-Encoding: chunked\r\n", b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n\r\n"),
    Body("Expect: 100-continue with the body sent at once", b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", b"hello"),
    Body("Expect in another case", b"Expect: 100-Continue\r\nContent-Length: 5\r\n", b"hello", b"hello"),
];

#[rustfmt::skip]
const WHOLE: &[(&str, &[u8], &[u8])] = &[
    ("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: www.example.com\r\n\r\n", b""),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", b""),
    ("HTTP/1.0 that keeps alive", b"GET / HTTP/1.0\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\r\n", b""),
    ("HTTP/1.0 with a body", b"POST / HTTP/1.0\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    ("a GET with a body", b"GET / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    ("a GET with chunks", b"GET / HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a DELETE with a body", b"DELETE / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
];

/// Rows that are made rather than written: what is just within each limit.
fn limits() -> Vec<Row> {
    let head = |line: &[u8], fields: &str| [line, HOST, fields.as_bytes(), b"\r\n"].concat();
    let plain = b"GET / HTTP/1.1\r\n";
    let long_line = format!("GET /{} HTTP/1.1\r\n", "a".repeat((8 << 10) - 14));
    let long_field = format!("Foo: {}\r\n", "a".repeat((16 << 10) - 5));
    let large_fields = format!("Foo: {}\r\n", "a".repeat(8000)).repeat(8);
    let many_fields = "Foo: bar\r\n".repeat(99);
    let extension = format!(
        "POST / HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\nhello\r\n0\r\n\r\n",
        "a".repeat(250)
    );
    let body = vec![b'a'; 1 << 20];
    let large_body = [
        b"POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1048576\r\n\r\n".as_slice(),
        &body,
    ];
    vec![
        row("a request line of 8 KiB", head(long_line.as_bytes(), ""), b""),
        row("a field of 16 KiB", head(plain, &long_field), b""),
        row("fields of nearly 64 KiB", head(plain, &large_fields), b""),
        row("100 fields", head(plain, &many_fields), b""),
        row("an extension of 250 bytes", extension.into_bytes(), b"hello"),
        row("a body of max_body", large_body.concat(), &body),
    ]
}
