//! What is asked of both, and what of the answers differs: `Differs` says why.

/// Sun, 06 Nov 1994 08:49:37 GMT.
pub const MODIFIED_SECONDS: u64 = 784_111_777;
pub const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
pub const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
pub const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

pub const FILES: &[(&str, &str)] = &[
    ("index.html", "<!doctype html><p>a site"),
    ("ten.txt", "0123456789"),
    ("empty.txt", ""),
    ("style.css", "p { color: red }"),
    ("app.js", "let x = 1"),
    ("module.mjs", "export {}"),
    ("data.json", "{}"),
    ("feed.xml", "<feed/>"),
    ("logo.svg", "<svg/>"),
    ("a.png", "PNG"),
    ("a.jpg", "JPEG"),
    ("a.webp", "WEBP"),
    ("a.avif", "AVIF"),
    ("a.woff", "WOFF"),
    ("a.woff2", "WOFF2"),
    ("a.wasm", "WASM"),
    ("a.mp4", "MP4"),
    ("a.mp3", "MP3"),
    ("a.pdf", "PDF"),
    ("a.zip", "ZIP"),
    ("favicon.ico", "ICO"),
    ("page.xhtml", "<html/>"),
    ("app.webmanifest", "{}"),
    ("README", "read me"),
    ("a.unheard-of", "?"),
    ("UPPER.TXT", "UPPER"),
    ("a b.txt", "a space"),
    ("é.txt", "an accent"),
    ("100%.txt", "a percent sign"),
    (".hidden", "hidden"),
    (".git/config", "hidden"),
    (".well-known/security.txt", "Contact"),
    ("docs/index.html", "<p>docs"),
    ("docs/page.html", "<p>page"),
    ("bare/file.txt", "no index here"),
    ("encoded.txt", "without a coding"),
    ("encoded.txt.gz", "bytes of gzip"),
];

/// A request line without its version, header lines parted by `|`, and what differs. `{tag}` is the
/// entity tag that each has for /ten.txt, `{modified}`, `{earlier}` and `{later}` are dates.
pub type Case = (&'static str, &'static str, &'static [Differs]);

/// What differs, what each says (nothing: it does not say it), and why ours does. Where the status
/// differs, the rest follows from it.
pub type Differs = (&'static str, &'static str, &'static str, &'static str);

const CSS: &str = "nginx's list of types with a charset lacks this one";
const OLD_TYPES: &str = "nginx's table is older, or lacks it: RFC 9239, RFC 6713";
const XML: &str = "XML says its charset itself, and a parameter would overrule it: RFC 7303, 3.2";
const BARE: &str = "what is there and not shown is as if it were not there";
const ONE_ADDRESS: &str = "a file has one address, which rules by path are written for";
const ENCODED_SLASH: &str = "a slash that is encoded parts no names: RFC 3986, 2.2 and 3.3";
const HIDDEN: &str = "names with a leading dot are served only where the site says so";
const ALLOW: Differs = ("allow", "", "GET, HEAD, OPTIONS", "a 405 has it: RFC 9110, 15.5.6");
const OPTIONS: &str = "what may be done here is told: RFC 9110, 9.3.7";
const METHOD_FIRST: &str = "no file takes it, whether there is one or not";
const METHOD_NAMES: &str = "it is a method that nobody knows, and no broken request: RFC 9110, 9.1";
const LISTS: &str = "several lines are one list: RFC 9110, 5.3";
const INSTEAD: &str = "the date counts only where no tag is asked for: RFC 9110, 13.2.2";
const LATER_THAN: &str =
    "what is not modified after the date is not modified since: RFC 9110, 13.1.3";
const NO_DATE: &str = "what is no date is not there: RFC 9110, 13.1.4";
const LARGE_NUMBER: &str = "a position beyond the end is the end: RFC 9110, 14.1.2";
const NO_RANGE: &str = "what is no range is not there; both are allowed: RFC 9110, 14.2";
const TWO_RANGES: &str = "Range stands once: of two, none is sure to be meant";
const GET_ALONE: &str = "ranges are of GET: RFC 9110, 14.2";
const OF_CODED: &str = "ranges are of the bytes that are sent, coded or not: RFC 9110, 14 and 8.4";
const RANGES_OF_CODED: Differs = ("accept-ranges", "", "bytes", OF_CODED);
const ANY: &str = "any coding is any coding: RFC 9110, 12.5.3";

pub const CONTENT: &[Case] = &[
    ("GET /", "", &[]),
    ("GET /index.html", "", &[]),
    ("GET /ten.txt", "", &[]),
    ("GET /ten.txt?a=b&c", "", &[]),
    ("GET /empty.txt", "", &[]),
    ("GET /large.bin", "", &[]),
    ("HEAD /", "", &[]),
    ("HEAD /ten.txt", "", &[]),
    ("HEAD /empty.txt", "", &[]),
    ("HEAD /large.bin", "", &[]),
    ("HEAD /missing", "", &[]),
    ("GET /style.css", "", &[("type", "text/css", "text/css; charset=utf-8", CSS)]),
    (
        "GET /app.js",
        "",
        &[(
            "type",
            "application/javascript; charset=utf-8",
            "text/javascript; charset=utf-8",
            OLD_TYPES,
        )],
    ),
    (
        "GET /module.mjs",
        "",
        &[("type", "application/octet-stream", "text/javascript; charset=utf-8", OLD_TYPES)],
    ),
    ("GET /data.json", "", &[]),
    ("GET /feed.xml", "", &[("type", "text/xml; charset=utf-8", "text/xml", XML)]),
    ("GET /logo.svg", "", &[]),
    ("GET /a.png", "", &[]),
    ("GET /a.jpg", "", &[]),
    ("GET /a.webp", "", &[]),
    ("GET /a.avif", "", &[]),
    ("GET /a.woff", "", &[]),
    ("GET /a.woff2", "", &[]),
    ("GET /a.wasm", "", &[]),
    ("GET /a.mp4", "", &[]),
    ("GET /a.mp3", "", &[]),
    ("GET /a.pdf", "", &[]),
    ("GET /a.zip", "", &[]),
    ("GET /favicon.ico", "", &[]),
    ("GET /page.xhtml", "", &[]),
    (
        "GET /app.webmanifest",
        "",
        &[("type", "application/octet-stream", "application/manifest+json", OLD_TYPES)],
    ),
    ("GET /README", "", &[]),
    ("GET /a.unheard-of", "", &[]),
    ("GET /UPPER.TXT", "", &[]),
];

pub const PATHS: &[Case] = &[
    ("GET /missing", "", &[]),
    ("GET /missing/", "", &[]),
    ("GET /docs", "", &[]),
    ("GET /docs?a=b", "", &[]),
    ("HEAD /docs", "", &[]),
    ("GET /docs/", "", &[]),
    ("GET /docs/page.html", "", &[]),
    ("GET /bare/", "", &[("status", "403", "404", BARE)]),
    ("GET /bare", "", &[]),
    ("GET /ten.txt/", "", &[]),
    ("GET /ten.txt/x", "", &[]),
    ("GET /TEN.TXT", "", &[]),
    ("GET /a%20b.txt", "", &[]),
    ("GET /%C3%A9.txt", "", &[]),
    ("GET /%c3%a9.txt", "", &[]),
    ("GET /100%25.txt", "", &[]),
    ("GET /%74en.txt", "", &[]),
    ("GET /./ten.txt", "", &[]),
    ("GET /docs/../ten.txt", "", &[]),
    ("GET /docs/%2e%2e/ten.txt", "", &[]),
    ("GET //ten.txt", "", &[("status", "200", "404", ONE_ADDRESS)]),
    ("GET /docs//page.html", "", &[("status", "200", "404", ONE_ADDRESS)]),
    ("GET /docs%2Fpage.html", "", &[("status", "200", "404", ENCODED_SLASH)]),
    ("GET /docs/..%2Ften.txt", "", &[("status", "200", "404", ENCODED_SLASH)]),
    ("GET /docs\\page.html", "", &[]),
    ("GET /..", "", &[]),
    ("GET /../ten.txt", "", &[]),
    ("GET /%2e%2e/ten.txt", "", &[]),
    ("GET /..%2Ften.txt", "", &[]),
    ("GET /ten.txt%00", "", &[]),
    ("GET /ten.txt%00.html", "", &[]),
    ("GET /%", "", &[]),
    ("GET /%zz", "", &[]),
    ("GET /.hidden", "", &[("status", "200", "404", HIDDEN)]),
    ("GET /.git/config", "", &[("status", "200", "404", HIDDEN)]),
    ("GET /.well-known/security.txt", "", &[]),
    ("GET http://www.example.com/ten.txt", "", &[]),
];

pub const METHODS: &[Case] = &[
    ("POST /ten.txt", "Content-Length: 0", &[ALLOW]),
    ("PUT /ten.txt", "Content-Length: 0", &[ALLOW]),
    ("DELETE /ten.txt", "", &[ALLOW]),
    ("PATCH /ten.txt", "Content-Length: 0", &[ALLOW]),
    ("OPTIONS /ten.txt", "", &[("status", "405", "204", OPTIONS)]),
    ("TRACE /ten.txt", "", &[ALLOW]),
    ("PROPFIND /ten.txt", "", &[ALLOW]),
    ("POST /missing", "Content-Length: 0", &[("status", "404", "405", METHOD_FIRST)]),
    ("POST /docs", "Content-Length: 0", &[("status", "301", "405", METHOD_FIRST)]),
    ("get /ten.txt", "", &[("status", "400", "405", METHOD_NAMES)]),
];

pub const CONDITIONS: &[Case] = &[
    ("GET /ten.txt", "If-None-Match: {tag}", &[]),
    ("HEAD /ten.txt", "If-None-Match: {tag}", &[]),
    ("GET /ten.txt", "If-None-Match: W/{tag}", &[]),
    ("GET /ten.txt", "If-None-Match: \"x\", {tag}", &[]),
    ("GET /ten.txt", "If-None-Match: \"x\",W/{tag},\"y\"", &[]),
    (
        "GET /ten.txt",
        "If-None-Match: \"x\"|If-None-Match: {tag}",
        &[("status", "400", "304", LISTS)],
    ),
    ("GET /ten.txt", "If-None-Match: \"x\"", &[]),
    ("GET /ten.txt", "If-None-Match: *", &[]),
    ("GET /missing", "If-None-Match: *", &[]),
    ("GET /docs", "If-None-Match: *", &[]),
    ("GET /ten.txt", "If-None-Match: x", &[]),
    ("GET /ten.txt", "If-None-Match: \"x\"|If-Modified-Since: {modified}", &[]),
    (
        "GET /ten.txt",
        "If-None-Match: {tag}|If-Modified-Since: {earlier}",
        &[("status", "200", "304", INSTEAD)],
    ),
    ("GET /ten.txt", "If-Modified-Since: {modified}", &[]),
    ("HEAD /ten.txt", "If-Modified-Since: {modified}", &[]),
    ("GET /ten.txt", "If-Modified-Since: {earlier}", &[]),
    ("GET /ten.txt", "If-Modified-Since: {later}", &[("status", "200", "304", LATER_THAN)]),
    ("GET /ten.txt", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", &[]),
    ("GET /ten.txt", "If-Modified-Since: Sun Nov  6 08:49:37 1994", &[]),
    ("GET /ten.txt", "If-Modified-Since: yesterday", &[]),
    ("GET /missing", "If-Modified-Since: {modified}", &[]),
    ("GET /ten.txt", "If-Match: {tag}", &[]),
    ("GET /ten.txt", "If-Match: \"x\", {tag}", &[]),
    ("GET /ten.txt", "If-Match: *", &[]),
    ("GET /ten.txt", "If-Match: \"x\"", &[]),
    ("HEAD /ten.txt", "If-Match: \"x\"", &[]),
    ("GET /ten.txt", "If-Match: W/{tag}", &[]),
    ("GET /missing", "If-Match: *", &[]),
    ("GET /ten.txt", "If-Unmodified-Since: {modified}", &[]),
    ("GET /ten.txt", "If-Unmodified-Since: {later}", &[]),
    ("GET /ten.txt", "If-Unmodified-Since: {earlier}", &[]),
    ("GET /ten.txt", "If-Unmodified-Since: yesterday", &[("status", "412", "200", NO_DATE)]),
    (
        "GET /ten.txt",
        "If-Match: {tag}|If-Unmodified-Since: {earlier}",
        &[("status", "412", "200", INSTEAD)],
    ),
    ("GET /ten.txt", "If-Match: \"x\"|If-None-Match: {tag}", &[]),
    ("GET /ten.txt", "If-Match: {tag}|If-None-Match: {tag}", &[]),
];

pub const CODINGS: &[Case] = &[
    ("GET /encoded.txt", "", &[]),
    ("GET /encoded.txt", "Accept-Encoding: gzip", &[RANGES_OF_CODED]),
    ("HEAD /encoded.txt", "Accept-Encoding: gzip", &[RANGES_OF_CODED]),
    ("GET /encoded.txt", "Accept-Encoding: deflate, gzip, br, zstd", &[RANGES_OF_CODED]),
    ("GET /encoded.txt", "Accept-Encoding: gzip;q=0.5", &[RANGES_OF_CODED]),
    ("GET /encoded.txt", "Accept-Encoding: gzip;q=0", &[]),
    ("GET /encoded.txt", "Accept-Encoding: identity", &[]),
    ("GET /encoded.txt", "Accept-Encoding: br", &[]),
    (
        "GET /encoded.txt",
        "Accept-Encoding: *",
        &[
            ("content-encoding", "", "gzip", ANY),
            ("length", "16", "13", ANY),
            ("body", "without a coding", "bytes of gzip", ANY),
        ],
    ),
    ("GET /encoded.txt", "Accept-Encoding: GZIP", &[RANGES_OF_CODED]),
    ("GET /encoded.txt", "Accept-Encoding:", &[]),
    (
        "GET /encoded.txt",
        "Accept-Encoding: gzip|Range: bytes=0-4",
        &[("status", "200", "206", OF_CODED)],
    ),
    ("GET /encoded.txt", "Accept-Encoding: gzip|If-Modified-Since: {modified}", &[]),
    (
        "GET /encoded.txt.gz",
        "",
        &[("type", "application/octet-stream", "application/gzip", OLD_TYPES)],
    ),
    ("GET /ten.txt", "Accept-Encoding: gzip", &[]),
];

pub const RANGES: &[Case] = &[
    ("GET /ten.txt", "Range: bytes=0-4", &[]),
    ("GET /ten.txt", "Range: bytes=5-", &[]),
    ("GET /ten.txt", "Range: bytes=-3", &[]),
    ("GET /ten.txt", "Range: bytes=0-", &[]),
    ("GET /ten.txt", "Range: bytes=9-9", &[]),
    ("GET /ten.txt", "Range: bytes=8-100", &[]),
    ("GET /ten.txt", "Range: bytes=-100", &[]),
    (
        "GET /ten.txt",
        "Range: bytes=0-99999999999999999999",
        &[("status", "416", "206", LARGE_NUMBER)],
    ),
    ("GET /ten.txt", "Range: Bytes=0-4", &[]),
    ("GET /ten.txt", "Range: bytes= 0-4", &[]),
    ("GET /ten.txt", "Range: bytes=0-1,4-5", &[]),
    ("GET /ten.txt", "Range: bytes=4-5, 0-1", &[]),
    ("GET /ten.txt", "Range: bytes=0-1,-2", &[]),
    ("GET /ten.txt", "Range: bytes=0-3,2-5", &[]),
    ("GET /ten.txt", "Range: bytes=0-1,20-", &[]),
    ("GET /ten.txt", "Range: bytes=0-,0-", &[]),
    ("GET /ten.txt", "Range: bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", &[]),
    ("GET /large.bin", "Range: bytes=0-99", &[]),
    ("GET /large.bin", "Range: bytes=100000-299999", &[]),
    ("GET /large.bin", "Range: bytes=-1000", &[]),
    ("GET /large.bin", "Range: bytes=0-9,100000-200000,-10", &[]),
    ("GET /large.bin", "Range: bytes={17 ranges}", &[]),
    ("GET /ten.txt", "Range: bytes=10-", &[]),
    ("GET /ten.txt", "Range: bytes=20-30", &[]),
    ("GET /ten.txt", "Range: bytes=-0", &[]),
    ("GET /ten.txt", "Range: bytes=5-4", &[("status", "416", "200", NO_RANGE)]),
    ("GET /ten.txt", "Range: bytes=abc", &[("status", "416", "200", NO_RANGE)]),
    ("GET /ten.txt", "Range: bytes=", &[]),
    ("GET /ten.txt", "Range: lines=0-4", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|Range: bytes=5-9", &[("status", "206", "200", TWO_RANGES)]),
    ("GET /empty.txt", "Range: bytes=0-", &[]),
    ("GET /empty.txt", "Range: bytes=-1", &[]),
    ("GET /missing", "Range: bytes=0-4", &[]),
    ("GET /docs/", "Range: bytes=0-2", &[]),
    ("HEAD /ten.txt", "Range: bytes=0-4", &[("status", "206", "200", GET_ALONE)]),
    ("HEAD /ten.txt", "Range: bytes=20-", &[("status", "416", "200", GET_ALONE)]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: {tag}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: \"x\"", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: W/{tag}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: {modified}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: {earlier}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Range: {later}", &[]),
    ("GET /ten.txt", "Range: bytes=20-|If-Range: \"x\"", &[]),
    ("GET /ten.txt", "If-Range: {tag}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-None-Match: {tag}", &[]),
    ("GET /ten.txt", "Range: bytes=0-4|If-Match: \"x\"", &[]),
    ("GET /ten.txt", "Range: bytes=20-|If-None-Match: {tag}", &[]),
    ("GET /ten.txt", "Range: bytes=20-|If-Match: \"x\"", &[]),
];

/// What curl is told, in which `{tag}` stands for a file with the tag, and what of its words differs.
pub type CurlCase = (&'static [&'static str], &'static str, &'static [Differs]);

pub const CURL: &[CurlCase] = &[
    (&[], "/ten.txt", &[]),
    (&["--http1.0"], "/ten.txt", &[]),
    (&["--head"], "/ten.txt", &[]),
    (&["--range", "0-4"], "/ten.txt", &[]),
    (&["--range", "-4"], "/ten.txt", &[]),
    (&["--range", "5-"], "/large.bin", &[]),
    (&["--range", "20-"], "/ten.txt", &[]),
    (&["--continue-at", "4"], "/ten.txt", &[]),
    (&["--continue-at", "10"], "/ten.txt", &[]),
    (&["--time-cond", MODIFIED], "/ten.txt", &[]),
    (&["--time-cond", EARLIER], "/ten.txt", &[]),
    (&["--time-cond", "-Sun, 06 Nov 1994 08:49:36 GMT"], "/ten.txt", &[]),
    (&["--time-cond", "-Sun, 06 Nov 1994 08:49:37 GMT"], "/ten.txt", &[]),
    (&["--etag-compare", "{tag}"], "/ten.txt", &[]),
    (&["--location"], "/docs", &[]),
    (&["--location"], "/docs?a=b", &[]),
    (&["--fail"], "/missing", &[]),
    (&["--path-as-is"], "/docs/../ten.txt", &[]),
    (&["--request", "DELETE"], "/ten.txt", &[]),
    (&["--data", "a=b"], "/ten.txt", &[]),
];
