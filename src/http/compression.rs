//! Which answers of a route are encoded on their way, and what their heads say of it (RFC 9110,
//! sections 8.4, 8.8.3 and 12.5.3). Pure, but for the place that an answer takes.

use crate::{
    config::{Compress, Words},
    http::{
        compressors::{Place, Placed, Places},
        h1::body::Framing,
        headers::{self, Inbound},
        passage::Passage,
        route::Route,
        transfer::{Encoded, OF_THE_BYTES},
    },
    message::{
        encoder::Encoder,
        encoding::{Accepted, Choice, Encoding},
        field::{Name, list_members},
        head::{Fields, Line, Request, Response},
        method::Method,
    },
    observe::metrics::{Coding, RouteMetrics},
};

/// What a route has its answers encoded by.
pub struct Compression {
    pub compress: Compress,
    pub places: Places,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is never encoded.
    AsItIs,
    /// Not this time, but for another client it would be.
    Varies,
    /// Too many others are at once.
    NoRoom,
    /// The answer that the client holds is still the same, and was encoded when the client got it.
    NotModified,
    Encode(Encoding),
}

/// An answer on which it has been judged.
pub struct Judged {
    pub verdict: Verdict,
    /// Of one that has a body; boxed, since few answers are encoded and all have room for it.
    pub encoded: Option<Box<Encoded>>,
}

impl Compression {
    /// Judges an answer, and takes a place for it where it is encoded. `framing` is the backend's.
    pub fn judge(&self, request: &Request, response: &Response, framing: Framing) -> Judged {
        let verdict = judge(&self.compress, request, response, framing);
        let settled = Judged { verdict, encoded: None };
        let Verdict::Encode(encoding) = verdict else {
            return settled;
        };
        if request.method == Method::Head {
            return settled;
        }
        match self.places.take() {
            None => Judged { verdict: Verdict::NoRoom, ..settled },
            Some(place) => {
                let encoded = Encoded::new(self.placed(encoding, place), told_length(framing));
                Judged { encoded: Some(Box::new(encoded)), ..settled }
            }
        }
    }

    fn placed(&self, encoding: Encoding, place: Place) -> Placed {
        Placed { encoder: Encoder::new(encoding, self.compress.level), place }
    }
}

/// What becomes of an answer of this route.
pub fn judged(
    route: Option<&Route>,
    request: &Request,
    response: &Response,
    framing: Framing,
) -> Judged {
    match route.and_then(|route| route.rules.compression.as_ref()) {
        None => Judged { verdict: Verdict::AsItIs, encoded: None },
        Some(compression) => compression.judge(request, response, framing),
    }
}

/// Whether an answer is encoded, and how.
pub fn judge(
    compress: &Compress,
    request: &Request,
    response: &Response,
    framing: Framing,
) -> Verdict {
    let fields = &response.fields;
    if response.status == 304 {
        return not_modified(request, fields);
    }
    let has_none = matches!(response.status, 100..=199 | 204 | 205);
    if has_none || request.is_connect() || is_encoded(fields) || is_fixed(&request.fields, fields) {
        return Verdict::AsItIs;
    }
    let mut types = fields.named(b"content-type");
    if !types.next().is_some_and(|content_type| compress.takes(content_type)) {
        return Verdict::AsItIs;
    }
    if length(request, fields, framing).is_some_and(|length| length < compress.min_length) {
        return Verdict::AsItIs;
    }
    // Bytes of a part are counted in what was not encoded.
    if response.status == 206 || fields.named(b"content-range").next().is_some() {
        return Verdict::Varies;
    }
    let accepted = Accepted::of_request(&request.fields);
    match accepted.choose(compress.encodings.iter().copied()) {
        Choice::Encoded(encoding) => Verdict::Encode(encoding),
        Choice::Identity | Choice::Nothing => Verdict::Varies,
    }
}

fn is_encoded(fields: &Fields) -> bool {
    let mut codings = fields.named(b"content-encoding").flat_map(list_members);
    codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether either side has said that nobody may change the bytes (RFC 9111, sections 5.2.1.6 and
/// 5.2.2.6).
fn is_fixed(request: &Fields, response: &Fields) -> bool {
    let says_so = |fields: &Fields| {
        let mut directives = fields.named(b"cache-control").flat_map(list_members);
        directives.any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
    };
    says_so(response) || says_so(request)
}

/// Of the body that a GET brings; `None` where it is not told.
fn length(request: &Request, fields: &Fields, framing: Framing) -> Option<u64> {
    if request.method != Method::Head {
        return told_length(framing);
    }
    let digits = fields.first(Name::ContentLength)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn told_length(framing: Framing) -> Option<u64> {
    match framing {
        Framing::Empty => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    }
}

/// A backend answers with the tag that it knows; the client must find the one that it was given in it,
/// or it would not know which of its answers is meant (RFC 9111, section 4.3.4).
fn not_modified(request: &Request, fields: &Fields) -> Verdict {
    let Some(tag) = fields.named(b"etag").next().filter(|tag| is_strong(tag)) else {
        return Verdict::AsItIs;
    };
    let mut held = request.fields.all(Name::IfNoneMatch).flat_map(list_members);
    match held.any(|held| held.strip_prefix(b"W/") == Some(tag)) {
        true => Verdict::NotModified,
        false => Verdict::AsItIs,
    }
}

fn is_strong(tag: &[u8]) -> bool {
    tag.starts_with(b"\"")
}

impl Verdict {
    /// How the body is framed, of one that is framed so by the backend, before it is said in the words
    /// of the client's version.
    pub fn framing(self, framing: Framing) -> Framing {
        match (self, framing) {
            (Verdict::Encode(_), Framing::Length(_)) => Framing::Chunked,
            (_, framing) => framing,
        }
    }

    /// An answer has gone, or broken off: what its route counts.
    pub fn count(self, metrics: &RouteMetrics, slot: usize, passage: &Passage) {
        let (before, after) = (passage.taken(), passage.moved());
        match self {
            Verdict::NoRoom => metrics.uncompressed(slot),
            // An answer to HEAD has a head alone.
            Verdict::Encode(_) if before + after == 0 => {}
            Verdict::Encode(encoding) => metrics.compressed(slot, coding(encoding), before, after),
            Verdict::AsItIs | Verdict::Varies | Verdict::NotModified => {}
        }
    }

    /// As `headers::write_response`, with what is to be said of this.
    pub fn write_response(self, out: &mut Vec<u8>, response: &Response, inbound: &Inbound<'_>) {
        let fields = &response.fields;
        let keeps = |line: &Line| !self.drops(fields, line);
        headers::write_changed(out, response, inbound, keeps, |out, is_kept| {
            if self.weakens() {
                let tags = fields.lines().iter().filter(|line| is_strong_tag(fields, line));
                for line in tags.filter(|line| is_kept(line)) {
                    out.extend_from_slice(b"ETag: W/");
                    out.extend_from_slice(fields.value(line));
                    out.extend_from_slice(b"\r\n");
                }
            }
            if let Verdict::Encode(encoding) = self {
                out.extend_from_slice(b"Content-Encoding: ");
                out.extend_from_slice(encoding.word().as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            let varies = fields.lines().iter().filter(|line| is_named(fields, line, b"vary"));
            if !varies.filter(|line| is_kept(line)).any(|line| says_it_varies(fields.value(line))) {
                out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
            }
        });
    }

    /// Whether two bodies that differ in their coding alone have one tag, which is then a weak one
    /// (RFC 9110, section 8.8.3.3). It still matches in If-None-Match, which compares weakly, and no
    /// more in If-Match and If-Range, as it must.
    fn weakens(self) -> bool {
        match self {
            Verdict::Encode(_) | Verdict::NotModified => true,
            Verdict::AsItIs | Verdict::Varies | Verdict::NoRoom => false,
        }
    }

    fn drops(self, fields: &Fields, line: &Line) -> bool {
        if self.weakens() && is_strong_tag(fields, line) {
            return true;
        }
        let is = |name: &[u8]| is_named(fields, line, name);
        let of_the_bytes = || OF_THE_BYTES.iter().any(|name| is(name));
        matches!(self, Verdict::Encode(_))
            && (line.known == Name::ContentLength
                || is(b"content-encoding")
                || is(b"accept-ranges")
                || of_the_bytes())
    }
}

/// Under which name it is counted.
pub fn coding(encoding: Encoding) -> Coding {
    match encoding {
        Encoding::Brotli => Coding::Brotli,
        Encoding::Zstd => Coding::Zstd,
        Encoding::Gzip => Coding::Gzip,
    }
}

fn is_named(fields: &Fields, line: &Line, name: &[u8]) -> bool {
    fields.bytes(line.name).eq_ignore_ascii_case(name)
}

fn is_strong_tag(fields: &Fields, line: &Line) -> bool {
    is_named(fields, line, b"etag") && is_strong(fields.value(line))
}

fn says_it_varies(value: &[u8]) -> bool {
    let mut members = list_members(value);
    members.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"))
}

#[cfg(test)]
mod tests {
    use super::{Encoding::*, Verdict::*, *};
    use crate::http::h1::parse;

    fn request(lines: &str) -> Request {
        let mut request = Request::default();
        let (method, lines) = lines.split_once('|').unwrap_or((lines, ""));
        let lines: String = lines.split('|').map(|line| format!("{line}\r\n")).collect();
        let head = format!("{method} / HTTP/1.1\r\n{}\r\n", lines.trim_start());
        parse::request(head.as_bytes(), &mut request).unwrap();
        request
    }

    fn response(lines: &str) -> Response {
        let mut response = Response::default();
        let (status, lines) = lines.split_once('|').unwrap_or((lines, ""));
        let lines: String = lines.split('|').map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} X\r\n{}\r\n", lines.trim_start());
        parse::response(head.as_bytes(), &mut response).unwrap();
        response
    }

    const ASKED: &str = "GET|Accept-Encoding: gzip, br";
    const TEXT: &str = "200|Content-Type: text/plain";

    #[track_caller]
    fn check(asked: &str, answered: &str, framing: Framing, expected: Verdict) {
        let found = judge(&Compress::default(), &request(asked), &response(answered), framing);
        assert_eq!(found, expected, "{asked} -> {answered}");
    }

    #[test]
    fn text_is_encoded_as_the_client_takes_it() {
        check(ASKED, TEXT, Framing::Chunked, Encode(Brotli));
        check(ASKED, TEXT, Framing::UntilClose, Encode(Brotli));
        check("GET|Accept-Encoding: gzip", TEXT, Framing::Length(5000), Encode(Gzip));
        check(
            "POST|Accept-Encoding: zstd",
            "404|Content-Type: text/html",
            Framing::Chunked,
            Encode(Zstd),
        );
        check("GET", TEXT, Framing::Chunked, Varies);
        check("GET|Accept-Encoding: deflate", TEXT, Framing::Chunked, Varies);
        check("GET|Accept-Encoding: identity;q=0", TEXT, Framing::Chunked, Varies);
    }

    #[test]
    fn what_is_never_encoded() {
        for answered in [
            "200",
            "200|Content-Type: image/png",
            "200|Content-Type: application/grpc",
            "200|Content-Type: text/plain|Content-Encoding: gzip",
            "200|Content-Type: text/plain|Content-Encoding: identity, x",
            "200|Content-Type: text/plain|Cache-Control: public, No-Transform",
            "204|Content-Type: text/plain",
            "205|Content-Type: text/plain",
            "304|Content-Type: text/plain",
        ] {
            check(ASKED, answered, Framing::Chunked, AsItIs);
        }
        let fixed = "GET|Accept-Encoding: gzip|Cache-Control: no-transform";
        check(fixed, TEXT, Framing::Chunked, AsItIs);
        check(
            ASKED,
            "200|Content-Type: text/plain|Content-Encoding: identity",
            Framing::Chunked,
            Encode(Brotli),
        );
    }

    #[test]
    fn short_bodies_and_parts_stay_as_they_are() {
        check(ASKED, TEXT, Framing::Length(1023), AsItIs);
        check(ASKED, TEXT, Framing::Length(1024), Encode(Brotli));
        check(ASKED, TEXT, Framing::Empty, AsItIs);
        check(
            ASKED,
            "206|Content-Type: text/plain|Content-Range: bytes 0-1/9",
            Framing::Length(5000),
            Varies,
        );
        check(ASKED, "206|Content-Type: text/plain", Framing::Length(5000), Varies);
        check(
            ASKED,
            "416|Content-Type: text/plain|Content-Range: bytes */9",
            Framing::Length(5000),
            Varies,
        );
    }

    #[test]
    fn head_is_judged_as_get_would_be() {
        let head = "HEAD|Accept-Encoding: gzip";
        check(
            head,
            "200|Content-Type: text/plain|Content-Length: 5000",
            Framing::Empty,
            Encode(Gzip),
        );
        check(head, "200|Content-Type: text/plain|Content-Length: 50", Framing::Empty, AsItIs);
        check(head, TEXT, Framing::Empty, Encode(Gzip));
    }

    #[test]
    fn a_tag_that_was_weakened_is_known_again() {
        for (held, answered, expected) in [
            ("W/\"a\"", "\"a\"", NotModified),
            ("\"b\", W/\"a\"", "\"a\"", NotModified),
            ("\"a\"", "\"a\"", AsItIs),
            ("W/\"a\"", "W/\"a\"", AsItIs),
            ("W/\"b\"", "\"a\"", AsItIs),
            ("*", "\"a\"", AsItIs),
        ] {
            let asked = format!("GET|If-None-Match: {held}");
            check(&asked, &format!("304|ETag: {answered}"), Framing::Empty, expected);
        }
        check("GET|If-None-Match: W/\"a\"", "304", Framing::Empty, AsItIs);
    }

    #[track_caller]
    fn written(verdict: Verdict, lines: &str, expected: &str) {
        let framing = verdict.framing(Framing::Length(5));
        let inbound = Inbound { framing, ..Inbound::bare() };
        let mut out = Vec::new();
        verdict.write_response(&mut out, &response(lines), &inbound);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "|");
        assert_eq!(text, format!("HTTP/1.1 200 X|{expected}||"));
    }

    #[test]
    fn the_head_says_how_the_body_is_encoded() {
        written(
            Encode(Gzip),
            "200|Content-Length: 5|ETag: \"a\"|A: b|Accept-Ranges: bytes|Content-Encoding: identity|\
             Content-MD5: x|Digest: x|Repr-Digest: x|content-digest: x|Vary: Cookie|C: d",
            "A: b|Vary: Cookie|C: d|ETag: W/\"a\"|Content-Encoding: gzip|Vary: Accept-Encoding|\
             Transfer-Encoding: chunked",
        );
        written(
            Encode(Brotli),
            "200|ETag: W/\"a\"|Vary: origin, accept-encoding",
            "ETag: W/\"a\"|Vary: origin, accept-encoding|Content-Encoding: br|\
             Transfer-Encoding: chunked",
        );
    }

    #[test]
    fn the_head_of_what_is_not_encoded_says_that_it_varies() {
        let lines = "200|Content-Length: 5|ETag: \"a\"|Accept-Ranges: bytes|Digest: x";
        let kept = lines.strip_prefix("200|").unwrap();
        written(Varies, lines, &format!("{kept}|Vary: Accept-Encoding"));
        written(Varies, "200|Vary: *", "Vary: *");
        written(NotModified, "200|ETag: \"a\"", "ETag: W/\"a\"|Vary: Accept-Encoding");
    }
}
