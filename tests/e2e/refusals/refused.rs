//! The one table of what a client may not send (HTTP.md, "Refuse"). A row is a name, the bytes
//! that differ from a plain request, the status and the reason; where two words fit equally well,
//! both stand there with `|`.

/// Where a request goes wrong, and with that what the backend may have seen of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// In the head: nothing of it.
    Head,
    /// In the body: part of it, never a whole request.
    Body,
}

pub struct Row {
    pub name: String,
    pub bytes: Vec<u8>,
    pub statuses: Vec<u16>,
    pub reasons: &'static str,
    pub stage: Stage,
}

/// A line of a table: name, bytes, status, reason.
struct Line(&'static str, &'static [u8], &'static str, &'static str);

/// Lines that are made whole requests in the same way.
struct Table {
    lines: &'static [Line],
    stage: Stage,
    whole: fn(&[u8]) -> Vec<u8>,
}

/// All rows, as whole requests.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for table in TABLES {
        for Line(name, bytes, status, reasons) in table.lines {
            let bytes = (table.whole)(bytes);
            rows.push(row(name, bytes, status, reasons, table.stage));
        }
    }
    rows.extend(limits());
    rows
}

fn row(name: &str, bytes: Vec<u8>, status: &str, reasons: &'static str, stage: Stage) -> Row {
    let statuses = status.split('|').map(|status| status.parse());
    Row {
        name: name.to_owned(),
        bytes,
        statuses: statuses.collect::<Result<_, _>>().expect("numbers"),
        reasons,
        stage,
    }
}

const TABLES: &[Table] = &[
    Table { lines: FIRST_LINES, stage: Stage::Head, whole: |line| [line, HOST, b"\r\n"].concat() },
    Table {
        lines: TARGETS,
        stage: Stage::Head,
        whole: |target| [b"GET ", target, b" HTTP/1.1\r\n", HOST, b"\r\n"].concat(),
    },
    Table { lines: HOSTS, stage: Stage::Head, whole: |lines| [LINE, lines, b"\r\n"].concat() },
    Table {
        lines: FIELDS,
        stage: Stage::Head,
        whole: |lines| [LINE, HOST, lines, b"\r\n"].concat(),
    },
    Table {
        lines: FRAMING,
        stage: Stage::Head,
        whole: |lines| [b"POST / HTTP/1.1\r\n", HOST, lines, b"\r\n0\r\n\r\n"].concat(),
    },
    Table { lines: CHUNKS, stage: Stage::Body, whole: |body| [CHUNKED, body].concat() },
    Table {
        lines: TRAILERS,
        stage: Stage::Body,
        whole: |lines| [CHUNKED, b"5\r\nhello\r\n0\r\n", lines, b"\r\n"].concat(),
    },
    Table { lines: WHOLE, stage: Stage::Head, whole: <[u8]>::to_vec },
];

const LINE: &[u8] = b"GET / HTTP/1.1\r\n";
const HOST: &[u8] = b"Host: www.example.com\r\n";
const CHUNKED: &[u8] =
    b"POST / HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The first line with its end.
#[rustfmt::skip]
const FIRST_LINES: &[Line] = &[
    Line("a space before the method", b" GET / HTTP/1.1\r\n", "400", "bad-request-line|bad-method"),
    Line("a tab before the method", b"\tGET / HTTP/1.1\r\n", "400", "bad-request-line|bad-method"),
    Line("two spaces after the method", b"GET  / HTTP/1.1\r\n", "400", "bad-request-line|bad-target"),
    Line("two spaces before the version", b"GET /  HTTP/1.1\r\n", "400", "bad-request-line|bad-version|bad-target"),
    Line("a tab after the method", b"GET\t/ HTTP/1.1\r\n", "400", "bad-request-line|bad-method"),
    Line("a tab before the version", b"GET /\tHTTP/1.1\r\n", "400", "bad-request-line|bad-target"),
    Line("a vertical tab after the method", b"GET\x0b/ HTTP/1.1\r\n", "400", "bad-request-line|bad-method"),
    Line("a form feed before the version", b"GET /\x0cHTTP/1.1\r\n", "400", "bad-request-line|bad-target"),
    Line("a space after the version", b"GET / HTTP/1.1 \r\n", "400", "bad-request-line|bad-version"),
    Line("a tab after the version", b"GET / HTTP/1.1\t\r\n", "400", "bad-request-line|bad-version"),
    Line("a fourth word", b"GET / HTTP/1.1 more\r\n", "400", "bad-request-line|bad-version"),
    Line("a space in the target", b"GET /a b HTTP/1.1\r\n", "400", "bad-request-line|bad-version|bad-target"),
    Line("HTTP/0.9", b"GET /\r\n", "400|505", "bad-request-line|bad-version"),
    Line("no target", b"GET HTTP/1.1\r\n", "400", "bad-request-line|bad-target|bad-version"),
    Line("an empty target", b"GET  HTTP/1.1\r\n", "400", "bad-request-line|bad-target|bad-version"),
    Line("a method alone", b"GET\r\n", "400", "bad-request-line"),
    Line("a colon in the method", b"GE:T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a slash in the method", b"GE/T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a bracket in the method", b"GE(T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a quote in the method", b"\"GET\" / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a control byte in the method", b"GE\x01T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a NUL in the method", b"GE\0T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a non-ASCII byte in the method", b"G\xc9T / HTTP/1.1\r\n", "400", "bad-method|bad-request-line"),
    Line("a bare CR in the target", b"GET /\ra HTTP/1.1\r\n", "400", "bad-request-line|bad-target"),
    Line("a bare CR after the method", b"GET\r/ HTTP/1.1\r\n", "400", "bad-request-line|bad-method"),
    Line("a bare CR at the end", b"GET / HTTP/1.1\r\r\n", "400", "bad-request-line|bad-version|bad-header"),
    Line("a bare CR for CRLF", b"GET / HTTP/1.1\r", "400", "bad-request-line|bad-version|bad-header"),
    Line("a bare LF for CRLF", b"GET / HTTP/1.1\n", "400", "bare-lf|bad-request-line"),
    Line("a bare LF before the method", b"\nGET / HTTP/1.1\r\n", "400", "bare-lf|bad-request-line"),
    Line("a lower-case version", b"GET / http/1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("a mixed-case version", b"GET / Http/1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.10", b"GET / HTTP/1.10\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.01", b"GET / HTTP/1.01\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/01.1", b"GET / HTTP/01.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1", b"GET / HTTP/1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.", b"GET / HTTP/1.\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.1.1", b"GET / HTTP/1.1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/11", b"GET / HTTP/11\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1,1", b"GET / HTTP/1,1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/-1.1", b"GET / HTTP/-1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.1a", b"GET / HTTP/1.1a\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP 1.1", b"GET / HTTP 1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTPS/1.1", b"GET / HTTPS/1.1\r\n", "400|505", "bad-version|bad-request-line"),
    Line("HTTP/1.2", b"GET / HTTP/1.2\r\n", "505", "bad-version"),
    Line("HTTP/0.9 spelled out", b"GET / HTTP/0.9\r\n", "400|505", "bad-version"),
    Line("HTTP/2.0", b"GET / HTTP/2.0\r\n", "400|505", "bad-version|http2-preface"),
    Line("HTTP/3.0", b"GET / HTTP/3.0\r\n", "505", "bad-version"),
    Line("HTTP/9.9", b"GET / HTTP/9.9\r\n", "505", "bad-version"),
    Line("CONNECT to an authority", b"CONNECT www.example.com:443 HTTP/1.1\r\n", "405", "connect-method"),
    Line("CONNECT to a path", b"CONNECT / HTTP/1.1\r\n", "405", "connect-method"),
    Line("POST to an asterisk", b"POST * HTTP/1.1\r\n", "400", "bad-target"),
    Line("OPTIONS of more than an asterisk", b"OPTIONS *a HTTP/1.1\r\n", "400", "bad-target"),
];

/// The target of a GET.
#[rustfmt::skip]
const TARGETS: &[Line] = &[
    Line("an asterisk", b"*", "400", "bad-target"),
    Line("a path without a slash", b"a/b", "400", "bad-target"),
    Line("a name alone", b"www.example.com", "400", "bad-target"),
    Line("authority-form", b"www.example.com:80", "400", "bad-target"),
    Line("a query alone", b"?a=b", "400", "bad-target"),
    Line("a fragment", b"/a#b", "400", "bad-target"),
    Line("an empty fragment", b"/a#", "400", "bad-target"),
    Line("a fragment in the query", b"/a?b#c", "400", "bad-target"),
    Line("a non-ASCII byte in the target", b"/\xc3\xa9", "400", "bad-target|bad-request-line"),
    Line("a non-ASCII byte in the query", b"/?\xff", "400", "bad-target|bad-request-line"),
    Line("a control byte in the target", b"/a\x01b", "400", "bad-target|bad-request-line"),
    Line("a NUL in the target", b"/a\0b", "400", "bad-target|bad-request-line"),
    Line("a DEL in the target", b"/a\x7f", "400", "bad-target|bad-request-line"),
    Line("absolute-form without an authority", b"http://", "400", "bad-target|bad-host"),
    Line("absolute-form with an empty authority", b"http:///a", "400", "bad-target|bad-host"),
    Line("absolute-form with one slash", b"http:/a", "400", "bad-target"),
    Line("absolute-form of another scheme", b"ftp://www.example.com/", "400", "bad-target"),
    Line("absolute-form with a user", b"http://user@www.example.com/", "400", "bad-target|bad-host"),
    Line("absolute-form with a password", b"http://a:b@www.example.com/", "400", "bad-target|bad-host"),
    Line("absolute-form with a word as port", b"http://www.example.com:web/", "400", "bad-target|bad-host"),
    Line("absolute-form of another host", b"http://other.example.com/", "400", "bad-host"),
    Line("absolute-form of another port", b"http://www.example.com:81/", "400", "bad-host"),
    Line("absolute-form with a fragment", b"http://www.example.com/#a", "400", "bad-target"),
    Line("a path above the root", b"/../a", "400", "bad-path"),
    Line("a path above the root, later", b"/a/../../b", "400", "bad-path"),
    Line("a path above the root, encoded", b"/%2e%2E/a", "400", "bad-path"),
    Line("a path above the root by an encoded slash", b"/..%2fa", "400", "bad-path"),
    Line("a path above the root by a backslash", b"/..\\a", "400", "bad-path|bad-target|bad-request-line"),
    Line("a percent sign alone", b"/100%", "400", "bad-path"),
    Line("a percent sign and one digit", b"/%4", "400", "bad-path"),
    Line("a percent sign and no digits", b"/%zz", "400", "bad-path"),
    Line("an encoded NUL", b"/a%00b", "400", "bad-path"),
    Line("an encoded slash that decides a route", b"/admin%2fx", "400", "ambiguous-path"),
    Line("an encoded slash that decides a route, in upper case", b"/admin%2Fx", "400", "ambiguous-path"),
    Line("an encoded backslash that decides a route", b"/admin%5cx", "400", "ambiguous-path"),
    Line("several slashes that decide a route", b"//admin/x", "400", "ambiguous-path"),
    Line("several slashes that decide a route, one of them encoded", b"/%2fadmin/x", "400", "ambiguous-path"),
    Line("a way into a route by an empty segment", b"/a//../admin/x", "400", "ambiguous-path"),
    Line("a way into a route by encoded slashes", b"/a%2f..%2fadmin%2fx", "400", "ambiguous-path"),
    Line("a way out of a route by encoded slashes", b"/admin/..%2fx", "400", "ambiguous-path"),
];

/// The header lines, Host among them.
#[rustfmt::skip]
const HOSTS: &[Line] = &[
    Line("no Host", b"", "400", "bad-host"),
    Line("no Host among others", b"Accept: */*\r\n", "400", "bad-host"),
    Line("an empty Host", b"Host:\r\n", "400", "bad-host"),
    Line("a blank Host", b"Host: \r\n", "400", "bad-host"),
    Line("two Hosts", b"Host: www.example.com\r\nHost: other.example.com\r\n", "400", "bad-host"),
    Line("two equal Hosts", b"Host: www.example.com\r\nHost: www.example.com\r\n", "400", "bad-host"),
    Line("two Hosts in two cases", b"host: www.example.com\r\nHOST: www.example.com\r\n", "400", "bad-host"),
    Line("two Hosts, one empty", b"Host: www.example.com\r\nHost:\r\n", "400", "bad-host"),
    Line("a space in Host", b"Host: www.example.com other\r\n", "400", "bad-host"),
    Line("a list in Host", b"Host: www.example.com, other.example.com\r\n", "400", "bad-host"),
    Line("a path in Host", b"Host: www.example.com/a\r\n", "400", "bad-host"),
    Line("a scheme in Host", b"Host: http://www.example.com\r\n", "400", "bad-host"),
    Line("a user in Host", b"Host: user@www.example.com\r\n", "400", "bad-host"),
    Line("a query in Host", b"Host: www.example.com?a\r\n", "400", "bad-host"),
    Line("a fragment in Host", b"Host: www.example.com#a\r\n", "400", "bad-host"),
    Line("a backslash in Host", b"Host: www.example.com\\a\r\n", "400", "bad-host"),
    Line("a quote in Host", b"Host: \"www.example.com\"\r\n", "400", "bad-host"),
    Line("an encoded byte in Host", b"Host: www%2eexample.com\r\n", "400", "bad-host"),
    Line("a non-ASCII byte in Host", b"Host: www.ex\xe4mple.com\r\n", "400", "bad-host|bad-header"),
    Line("a word as port", b"Host: www.example.com:web\r\n", "400", "bad-host"),
    Line("a port out of range", b"Host: www.example.com:65536\r\n", "400", "bad-host"),
    Line("a signed port", b"Host: www.example.com:+80\r\n", "400", "bad-host"),
    Line("two ports", b"Host: www.example.com:80:80\r\n", "400", "bad-host"),
    Line("a port alone", b"Host: :80\r\n", "400", "bad-host"),
    Line("an IPv6 address without brackets", b"Host: ::1\r\n", "400", "bad-host"),
    Line("an open bracket", b"Host: [::1\r\n", "400", "bad-host"),
    Line("a name in brackets", b"Host: [www]\r\n", "400", "bad-host"),
    Line("something after the bracket", b"Host: [::1]a\r\n", "400", "bad-host"),
    Line("a space before the first header", b" Host: www.example.com\r\n", "400", "obs-fold|bad-header"),
    Line("a tab before the first header", b"\tHost: www.example.com\r\n", "400", "obs-fold|bad-header"),
    Line("a blank line folded before the first header", b" \r\nHost: www.example.com\r\n", "400", "obs-fold|bad-header"),
    Line("a space before Host's colon", b"Host : www.example.com\r\n", "400", "bad-header"),
    Line("a folded Host", b"Host:\r\n www.example.com\r\n", "400", "obs-fold"),
    Line("a bare LF after Host", b"Host: www.example.com\n", "400", "bare-lf"),
    Line("a bare CR in Host", b"Host: www.example.com\rX: y\r\n", "400", "bad-header"),
    Line("a NUL in Host", b"Host: www.example.com\0\r\n", "400", "bad-header|bad-host"),
];

/// Header lines after Host.
#[rustfmt::skip]
const FIELDS: &[Line] = &[
    Line("a space before the colon", b"Foo : bar\r\n", "400", "bad-header"),
    Line("a tab before the colon", b"Foo\t: bar\r\n", "400", "bad-header"),
    Line("an empty name", b": bar\r\n", "400", "bad-header"),
    Line("no colon", b"Foo\r\n", "400", "bad-header"),
    Line("no colon but a space", b"Foo bar\r\n", "400", "bad-header"),
    Line("a space in a name", b"Fo o: bar\r\n", "400", "bad-header"),
    Line("a bracket in a name", b"Fo(o: bar\r\n", "400", "bad-header"),
    Line("a slash in a name", b"Fo/o: bar\r\n", "400", "bad-header"),
    Line("a quote in a name", b"\"Foo\": bar\r\n", "400", "bad-header"),
    Line("an at sign in a name", b"Fo@o: bar\r\n", "400", "bad-header"),
    Line("a control byte in a name", b"Fo\x01o: bar\r\n", "400", "bad-header"),
    Line("a NUL in a name", b"Fo\0o: bar\r\n", "400", "bad-header"),
    Line("a DEL in a name", b"Fo\x7fo: bar\r\n", "400", "bad-header"),
    Line("a non-ASCII byte in a name", b"F\xf6o: bar\r\n", "400", "bad-header"),
    Line("a bare CR in a name", b"Fo\ro: bar\r\n", "400", "bad-header"),
    Line("a bare CR before a name", b"\rFoo: bar\r\n", "400", "bad-header"),
    Line("a NUL in a value", b"Foo: b\0r\r\n", "400", "bad-header"),
    Line("a bare CR in a value", b"Foo: b\rr\r\n", "400", "bad-header"),
    Line("a bare CR at a value's end", b"Foo: bar\r\r\n", "400", "bad-header"),
    Line("a bare CR that hides a field", b"Foo: bar\rContent-Length: 5\r\n", "400", "bad-header"),
    Line("a bare LF after a field", b"Foo: bar\n", "400", "bare-lf"),
    Line("a bare LF that hides a field", b"Foo: bar\nContent-Length: 5\r\n", "400", "bare-lf"),
    Line("LF CR after a field", b"Foo: bar\n\r", "400", "bare-lf"),
    Line("a bare LF as the head's end", b"Foo: bar\r\n\n", "400", "bare-lf"),
    Line("bare LFs alone", b"Foo: bar\n\n", "400", "bare-lf"),
    Line("a value folded by a space", b"Foo: bar\r\n baz\r\n", "400", "obs-fold"),
    Line("a value folded by a tab", b"Foo: bar\r\n\tbaz\r\n", "400", "obs-fold"),
    Line("a field behind a space", b"Foo: bar\r\n Content-Length: 5\r\n", "400", "obs-fold"),
    Line("a folded blank", b"Foo: bar\r\n \r\n", "400", "obs-fold"),
    Line("Connection names Host", b"Connection: Host\r\n", "400", "bad-connection"),
    Line("Connection names Content-Length", b"Connection: close, content-length\r\n", "400", "bad-connection"),
    Line("Connection names Authorization", b"Connection: Authorization\r\n", "400", "bad-connection"),
    Line("Connection names X-Forwarded-For", b"Connection: X-Forwarded-For\r\n", "400", "bad-connection"),
    Line("Connection names X-Forwarded-Proto", b"Connection: x-forwarded-proto\r\n", "400", "bad-connection"),
    Line("Connection names X-Forwarded-Host", b"Connection: keep-alive,X-Forwarded-Host\r\n", "400", "bad-connection"),
    Line("Connection names Forwarded", b"Connection: Forwarded\r\n", "400", "bad-connection"),
    Line("a second Connection names Host", b"Connection: close\r\nConnection: Host\r\n", "400", "bad-connection"),
    Line("an unknown expectation", b"Expect: 200-ok\r\n", "417", "expectation"),
    Line("an expectation too many", b"Expect: 100-continue, more\r\n", "417", "expectation"),
];

/// The framing lines of a POST; `0\r\n\r\n` follows the head.
#[rustfmt::skip]
const FRAMING: &[Line] = &[
    Line("Content-Length, then Transfer-Encoding", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400", "length-conflict"),
    Line("Transfer-Encoding, then Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400", "length-conflict"),
    Line("Content-Length: 0 beside Transfer-Encoding", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "400", "length-conflict"),
    Line("Content-Length beside Transfer-Encoding: identity", b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "400", "length-conflict|bad-transfer-encoding"),
    Line("two lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n", "400", "bad-content-length|length-conflict"),
    Line("two equal lengths", b"Content-Length: 5\r\nContent-Length: 5\r\n", "400", "bad-content-length|length-conflict"),
    Line("two lengths in two cases", b"content-length: 5\r\nCONTENT-LENGTH: 0\r\n", "400", "bad-content-length|length-conflict"),
    Line("a list of lengths", b"Content-Length: 5, 6\r\n", "400", "bad-content-length"),
    Line("a list of equal lengths", b"Content-Length: 5, 5\r\n", "400", "bad-content-length"),
    Line("a list of lengths without spaces", b"Content-Length: 5,5\r\n", "400", "bad-content-length"),
    Line("a length and a comma", b"Content-Length: 5,\r\n", "400", "bad-content-length"),
    Line("a plus sign before the length", b"Content-Length: +5\r\n", "400", "bad-content-length"),
    Line("a minus sign before the length", b"Content-Length: -5\r\n", "400", "bad-content-length"),
    Line("a length of minus zero", b"Content-Length: -0\r\n", "400", "bad-content-length"),
    Line("a hexadecimal length", b"Content-Length: 0x5\r\n", "400", "bad-content-length"),
    Line("a letter after the length", b"Content-Length: 5a\r\n", "400", "bad-content-length"),
    Line("a space in the length", b"Content-Length: 5 5\r\n", "400", "bad-content-length"),
    Line("an underscore in the length", b"Content-Length: 5_0\r\n", "400", "bad-content-length"),
    Line("a fraction as length", b"Content-Length: 5.0\r\n", "400", "bad-content-length"),
    Line("an exponent in the length", b"Content-Length: 1e1\r\n", "400", "bad-content-length"),
    Line("a semicolon after the length", b"Content-Length: 5;\r\n", "400", "bad-content-length"),
    Line("a quoted length", b"Content-Length: \"5\"\r\n", "400", "bad-content-length"),
    Line("an empty length", b"Content-Length:\r\n", "400", "bad-content-length"),
    Line("a blank length", b"Content-Length: \t \r\n", "400", "bad-content-length"),
    Line("a length of 20 digits", b"Content-Length: 00000000000000000005\r\n", "400", "bad-content-length"),
    Line("a length over 64 bits", b"Content-Length: 18446744073709551621\r\n", "400", "bad-content-length"),
    Line("a vertical tab before the length", b"Content-Length: \x0b5\r\n", "400", "bad-content-length|bad-header"),
    Line("a vertical tab after the length", b"Content-Length: 5\x0b\r\n", "400", "bad-content-length|bad-header"),
    Line("a NUL after the length", b"Content-Length: 5\0\r\n", "400", "bad-header"),
    Line("a digit that is not ASCII", b"Content-Length: \xd9\xa5\r\n", "400", "bad-content-length|bad-header"),
    Line("a space before the length's colon", b"Content-Length : 5\r\n", "400", "bad-header"),
    Line("a folded length", b"Content-Length:\r\n 5\r\n", "400", "obs-fold"),
    Line("a length over the limit", b"Content-Length: 1048577\r\n", "413", "body-too-large"),
    Line("a length of 19 digits", b"Content-Length: 9999999999999999999\r\n", "413|400", "body-too-large|bad-content-length"),
    Line("another coding", b"Transfer-Encoding: gzip\r\n", "400", "bad-transfer-encoding"),
    Line("another coding before chunked", b"Transfer-Encoding: gzip, chunked\r\n", "400", "bad-transfer-encoding"),
    Line("another coding after chunked", b"Transfer-Encoding: chunked, gzip\r\n", "400", "bad-transfer-encoding"),
    Line("chunked twice", b"Transfer-Encoding: chunked, chunked\r\n", "400", "bad-transfer-encoding"),
    Line("identity", b"Transfer-Encoding: identity\r\n", "400", "bad-transfer-encoding"),
    Line("chunked and identity", b"Transfer-Encoding: chunked, identity\r\n", "400", "bad-transfer-encoding"),
    Line("no coding", b"Transfer-Encoding:\r\n", "400", "bad-transfer-encoding"),
    Line("chunked with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", "400", "bad-transfer-encoding"),
    Line("chunked and a comma", b"Transfer-Encoding: chunked,\r\n", "400", "bad-transfer-encoding"),
    Line("a comma and chunked", b"Transfer-Encoding: ,chunked\r\n", "400", "bad-transfer-encoding"),
    Line("quoted chunked", b"Transfer-Encoding: \"chunked\"\r\n", "400", "bad-transfer-encoding"),
    Line("chunked with a letter before", b"Transfer-Encoding: xchunked\r\n", "400", "bad-transfer-encoding"),
    Line("chunked with a letter after", b"Transfer-Encoding: chunkedx\r\n", "400", "bad-transfer-encoding"),
    Line("chunked with a space within", b"Transfer-Encoding: chun ked\r\n", "400", "bad-transfer-encoding"),
    Line("a vertical tab before chunked", b"Transfer-Encoding: \x0bchunked\r\n", "400", "bad-transfer-encoding|bad-header"),
    Line("a vertical tab after chunked", b"Transfer-Encoding: chunked\x0b\r\n", "400", "bad-transfer-encoding|bad-header"),
    Line("a byte order mark before chunked", b"Transfer-Encoding: \xef\xbb\xbfchunked\r\n", "400", "bad-transfer-encoding|bad-header"),
    Line("a no-break space after chunked", b"Transfer-Encoding: chunked\xa0\r\n", "400", "bad-transfer-encoding|bad-header"),
    Line("a NUL after chunked", b"Transfer-Encoding: chunked\0\r\n", "400", "bad-header"),
    Line("a bare CR after chunked", b"Transfer-Encoding: chunked\r\r\n", "400", "bad-header"),
    Line("two codings on two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "400", "bad-transfer-encoding"),
    Line("chunked on two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400", "bad-transfer-encoding"),
    Line("an unknown coding, then chunked", b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "400", "bad-transfer-encoding"),
    Line("a space before the coding's colon", b"Transfer-Encoding : chunked\r\n", "400", "bad-header"),
    Line("a folded coding", b"Transfer-Encoding:\r\n chunked\r\n", "400", "obs-fold"),
    Line("a coding behind a fold", b"Foo: bar\r\n Transfer-Encoding: chunked\r\n", "400", "obs-fold"),
    Line("a coding behind a bare LF", b"Foo: bar\nTransfer-Encoding: chunked\r\n", "400", "bare-lf"),
    Line("a NUL in the coding's name", b"Transfer-Encoding\0: chunked\r\n", "400", "bad-header"),
];

/// A chunked body, verbatim.
#[rustfmt::skip]
const CHUNKS: &[Line] = &[
    Line("a hexadecimal prefix", b"0x5\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a plus sign before a size", b"+5\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a minus sign before a size", b"-5\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a space before a size", b" 5\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a space after a size", b"5 \r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a tab after a size", b"5\t\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a space before an extension", b"5 ;a=b\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("an underscore in a size", b"0_5\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a comma after a size", b"5,\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a letter that is no digit", b"5g\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("an empty size", b"\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("an extension without a size", b";a=b\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a quoted size", b"\"5\"\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a size of 17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a size over 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a bare LF after a size", b"5\nhello\r\n0\r\n\r\n", "400", "bad-chunk|bare-lf"),
    Line("a bare CR after a size", b"5\rhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("CR CR LF after a size", b"5\r\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a NUL after a size", b"5\0\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a bare LF after the data", b"5\r\nhello\n0\r\n\r\n", "400", "bad-chunk|bare-lf"),
    Line("a bare CR after the data", b"5\r\nhello\r0\r\n\r\n", "400", "bad-chunk"),
    Line("nothing after the data", b"5\r\nhello0\r\n\r\n", "400", "bad-chunk"),
    Line("more data than the size", b"5\r\nhello!\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("less data than the size", b"5\r\nhell\r\n0\r\n\r\n", "400", "bad-chunk|bare-lf"),
    Line("two empty lines between chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk|bare-lf"),
    Line("a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n", "400", "bad-chunk"),
    Line("a bare LF after the last size", b"5\r\nhello\r\n0\n\r\n", "400", "bad-chunk|bare-lf"),
    Line("a bare LF as the body's end", b"5\r\nhello\r\n0\r\n\n", "400", "bad-chunk|bad-trailer|bare-lf"),
    Line("a last size with a prefix", b"5\r\nhello\r\n0x0\r\n\r\n", "400", "bad-chunk"),
    Line("a last size with a sign", b"5\r\nhello\r\n-0\r\n\r\n", "400", "bad-chunk"),
];

/// Trailer lines after a whole body.
#[rustfmt::skip]
const TRAILERS: &[Line] = &[
    Line("Content-Length as trailer", b"Content-Length: 5\r\n", "400", "bad-trailer"),
    Line("Transfer-Encoding as trailer", b"Transfer-Encoding: chunked\r\n", "400", "bad-trailer"),
    Line("Host as trailer", b"Host: www.example.com\r\n", "400", "bad-trailer"),
    Line("Authorization as trailer", b"Authorization: Basic YTpi\r\n", "400", "bad-trailer"),
    Line("Proxy-Authorization as trailer", b"Proxy-Authorization: Basic YTpi\r\n", "400", "bad-trailer"),
    Line("X-Forwarded-For as trailer", b"X-Forwarded-For: 10.0.0.1\r\n", "400", "bad-trailer"),
    Line("Forwarded as trailer", b"Forwarded: for=10.0.0.1\r\n", "400", "bad-trailer"),
    Line("Connection as trailer", b"Connection: close\r\n", "400", "bad-trailer"),
    Line("a space before a trailer's colon", b"Foo : bar\r\n", "400", "bad-trailer|bad-header"),
    Line("a trailer without a colon", b"Foo\r\n", "400", "bad-trailer|bad-header"),
    Line("a trailer without a name", b": bar\r\n", "400", "bad-trailer|bad-header"),
    Line("a folded trailer", b"Foo: bar\r\n baz\r\n", "400", "bad-trailer|obs-fold"),
    Line("a bare LF after a trailer", b"Foo: bar\n", "400", "bad-trailer|bare-lf"),
    Line("a bare CR in a trailer", b"Foo: b\rr\r\n", "400", "bad-trailer|bad-header"),
    Line("a NUL in a trailer", b"Foo: b\0r\r\n", "400", "bad-trailer|bad-header"),
];

/// Requests that share nothing with the others.
#[rustfmt::skip]
const WHOLE: &[Line] = &[
    Line("the HTTP/2 preface with a field", b"PRI * HTTP/2.0\r\nHost: www.example.com\r\n\r\nSM\r\n\r\n", "505", "bad-version"),
    Line("a TLS handshake", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", "400", "bad-request-line|bad-method"),
    Line("zero bytes", b"\0\0\0\0\r\n\r\n", "400", "bad-request-line|bad-method"),
    Line("Transfer-Encoding with HTTP/1.0", b"POST / HTTP/1.0\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "bad-transfer-encoding"),
    Line("both lengths with HTTP/1.0", b"POST / HTTP/1.0\r\nHost: www.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "bad-transfer-encoding|length-conflict"),
    Line("two Hosts with HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a.example.com\r\nHost: b.example.com\r\n\r\n", "400", "bad-host"),
    Line("an invalid Host with HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", "400", "bad-host"),
    Line("an absolute-form of another host with HTTP/1.0", b"GET http://a.example.com/ HTTP/1.0\r\nHost: b.example.com\r\n\r\n", "400", "bad-host"),
    Line("an absolute-form without Host", b"GET http://www.example.com/ HTTP/1.1\r\n\r\n", "400", "bad-host"),
];

/// Where HTTP/1 alone is spoken.
pub fn http1_alone() -> Row {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    row("the HTTP/2 preface", preface, "400|505", "http2-preface", Stage::Head)
}

/// Rows that are made rather than written: one byte or line over each limit.
fn limits() -> Vec<Row> {
    let head = |line: &[u8], fields: &[u8]| [line, HOST, fields, b"\r\n"].concat();
    let long_line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(8 << 10));
    let long_field = format!("Foo: {}\r\n", "a".repeat(16 << 10));
    let large_fields = format!("Foo: {}\r\n", "a".repeat(9000)).repeat(8);
    let many_fields = "Foo: bar\r\n".repeat(100);
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(257));
    let trailers =
        |lines: &str| [CHUNKED, b"5\r\nhello\r\n0\r\n", lines.as_bytes(), b"\r\n"].concat();
    let over = "bad-trailer|header-too-long|headers-too-large|too-many-headers";
    let data = vec![b'a'; (1 << 20) + 1];
    let chunk = |before: &[u8]| [CHUNKED, before, &data].concat();
    let in_head = |name, bytes, status, reason| row(name, bytes, status, reason, Stage::Head);
    let in_body = |name, bytes, status, reasons| row(name, bytes, status, reasons, Stage::Body);
    let (large, over_size) = ("body-too-large", "body-too-large|bad-chunk");
    vec![
        in_head(
            "a request line over 8 KiB",
            head(long_line.as_bytes(), b""),
            "414",
            "line-too-long",
        ),
        in_head("a field over 16 KiB", head(LINE, long_field.as_bytes()), "431", "header-too-long"),
        in_head(
            "fields over 64 KiB",
            head(LINE, large_fields.as_bytes()),
            "431",
            "headers-too-large",
        ),
        in_head("101 fields", head(LINE, many_fields.as_bytes()), "431", "too-many-headers"),
        in_body(
            "an extension over 256 bytes",
            [CHUNKED, extension.as_bytes()].concat(),
            "400",
            "bad-chunk",
        ),
        in_body("a chunk over the limit", chunk(b"100001\r\n"), "413", large),
        in_body(
            "chunks that add up over the limit",
            chunk(b"5\r\nhello\r\n100000\r\n"),
            "413",
            large,
        ),
        in_body("a chunk without end", chunk(b"ffffffffffffffff\r\n"), "413|400", over_size),
        in_body("a trailer over 16 KiB", trailers(&long_field), "400|431", over),
        in_body("trailers over 64 KiB", trailers(&large_fields), "400|431", over),
        in_body("101 trailers", trailers(&many_fields.repeat(2)), "400|431", over),
    ]
}
