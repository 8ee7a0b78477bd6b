//! What a file's name says of its content: Content-Type (RFC 9110, section 8.3). Pure.

/// What is not known: a browser saves it, and looks for no other meaning in it.
const UNKNOWN: &str = "application/octet-stream";

/// Where the table of `mime_guess` has an older name, none, or one of another trade.
const CORRECTED: &[(&str, &str)] = &[
    // RFC 9239.
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    // A part of a stream (RFC 8216, section 3.2); TypeScript is not what browsers load.
    ("ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    // RFC 8081.
    ("woff", "font/woff"),
    ("otf", "font/otf"),
    // ECMA-426.
    ("map", "application/json"),
    // RFC 9512, RFC 6350, RFC 8878.
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("vcf", "text/vcard"),
    ("zst", "application/zstd"),
    ("obj", "model/obj"),
    ("stl", "model/stl"),
    ("usdz", "model/vnd.usdz+zip"),
    ("rpm", "application/x-rpm"),
];

/// A site's types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types {
    own: Vec<(String, String)>,
    charset: String,
}

/// The value of Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType<'a> {
    /// With parameters, where the site's own table has them.
    media_type: &'a str,
    /// Empty where none is said.
    charset: &'a str,
}

impl Types {
    /// `own`: by extension, in any case and without its dot, and before what is known here.
    /// `charset`: of text; empty for none.
    pub fn new(own: impl IntoIterator<Item = (String, String)>, charset: &str) -> Types {
        Types { own: own.into_iter().collect(), charset: charset.to_owned() }
    }

    /// The type of the file of this name, whatever stands in front of its last slash.
    pub fn of(&self, name: &[u8]) -> ContentType<'_> {
        let media_type = extension(name).and_then(|extension| self.by_extension(extension));
        let media_type = media_type.unwrap_or(UNKNOWN);
        let charset = if takes_charset(media_type) { &self.charset } else { "" };
        ContentType { media_type, charset }
    }

    fn by_extension(&self, extension: &str) -> Option<&str> {
        let is = |known: &str| known.eq_ignore_ascii_case(extension);
        if let Some((_, own)) = self.own.iter().find(|(known, _)| is(known)) {
            return Some(own);
        }
        if let Some((_, corrected)) = CORRECTED.iter().find(|(known, _)| is(known)) {
            return Some(corrected);
        }
        mime_guess::from_ext(extension).first_raw()
    }
}

/// What follows the last dot of the last name. A leading dot hides a name and ends none.
fn extension(name: &[u8]) -> Option<&str> {
    let start = memchr::memrchr(b'/', name).map_or(0, |slash| slash + 1);
    let name = &name[start..];
    let dot = memchr::memrchr(b'.', name).filter(|&dot| dot > 0)?;
    std::str::from_utf8(&name[dot + 1..]).ok()
}

/// Text, and scripts under their older name. JSON is UTF-8 and has no charset (RFC 8259, section 11);
/// XML says its own in its first line, which a charset here would overrule (RFC 7303, section 3.2).
fn takes_charset(media_type: &str) -> bool {
    let text = media_type.starts_with("text/") && media_type != "text/xml";
    let script = matches!(media_type, "application/javascript" | "application/x-javascript");
    (text || script) && !media_type.contains(';')
}

impl ContentType<'_> {
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.media_type.as_bytes());
        if !self.charset.is_empty() {
            out.extend_from_slice(b"; charset=");
            out.extend_from_slice(self.charset.as_bytes());
        }
    }

    /// Without parameters: `text/html`.
    pub fn essence(&self) -> &str {
        self.media_type.split(';').next().unwrap_or(self.media_type).trim_ascii()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(types: &Types, rows: &[(&str, &str)]) {
        for (name, expected) in rows {
            let mut out = Vec::new();
            types.of(name.as_bytes()).write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), *expected, "{name}");
        }
    }

    fn plain() -> Types {
        Types::new([], "utf-8")
    }

    #[test]
    fn what_a_site_is_made_of() {
        check(
            &plain(),
            &[
                ("index.html", "text/html; charset=utf-8"),
                ("a/b/INDEX.HTM", "text/html; charset=utf-8"),
                ("style.css", "text/css; charset=utf-8"),
                ("app.js", "text/javascript; charset=utf-8"),
                ("app.mjs", "text/javascript; charset=utf-8"),
                ("app.3f2a9c1b.js.map", "application/json"),
                ("data.json", "application/json"),
                ("app.webmanifest", "application/manifest+json"),
                ("app.wasm", "application/wasm"),
                ("feed.xml", "text/xml"),
                ("feed.atom", "application/atom+xml"),
                ("page.xhtml", "application/xhtml+xml"),
                ("logo.svg", "image/svg+xml"),
                ("a.png", "image/png"),
                ("a.JPG", "image/jpeg"),
                ("a.webp", "image/webp"),
                ("a.avif", "image/avif"),
                ("favicon.ico", "image/x-icon"),
                ("a.woff", "font/woff"),
                ("a.woff2", "font/woff2"),
                ("a.ttf", "font/ttf"),
                ("a.mp4", "video/mp4"),
                ("a.webm", "video/webm"),
                ("a.ts", "video/mp2t"),
                ("a.m3u8", "application/vnd.apple.mpegurl"),
                ("a.mp3", "audio/mpeg"),
                ("a.ogg", "audio/ogg"),
                ("a.vtt", "text/vtt; charset=utf-8"),
                ("a.txt", "text/plain; charset=utf-8"),
                ("a.md", "text/markdown; charset=utf-8"),
                ("a.csv", "text/csv; charset=utf-8"),
                ("a.pdf", "application/pdf"),
                ("a.tar.gz", "application/gzip"),
                ("a.zip", "application/zip"),
            ],
        );
    }

    #[test]
    fn what_is_not_known() {
        check(
            &plain(),
            &[
                ("README", UNKNOWN),
                ("a.unheard-of", UNKNOWN),
                ("a.", UNKNOWN),
                (".html", UNKNOWN),
                ("a.html/b", UNKNOWN),
                ("a/.html", UNKNOWN),
                ("", UNKNOWN),
                ("a.é", UNKNOWN),
            ],
        );
        let mut out = Vec::new();
        plain().of(b"a.\xff").write(&mut out);
        assert_eq!(out, UNKNOWN.as_bytes());
    }

    #[test]
    fn a_site_has_its_own_types() {
        let own = [
            ("wasm", "application/x-wasm"),
            ("Page", "text/html"),
            ("old", "text/html; charset=iso-8859-1"),
            ("js", "application/javascript"),
            ("unheard-of", "text/plain"),
        ];
        let own = own.map(|(extension, of)| (extension.to_owned(), of.to_owned()));
        let types = Types::new(own.clone(), "utf-8");
        check(
            &types,
            &[
                ("a.wasm", "application/x-wasm"),
                ("a.page", "text/html; charset=utf-8"),
                ("a.OLD", "text/html; charset=iso-8859-1"),
                ("a.js", "application/javascript; charset=utf-8"),
                ("a.unheard-of", "text/plain; charset=utf-8"),
                ("a.css", "text/css; charset=utf-8"),
            ],
        );
        assert_eq!(types.of(b"a.old").essence(), "text/html");
        let no_charset = Types::new(own, "");
        check(&no_charset, &[("a.page", "text/html"), ("a.css", "text/css")]);
    }
}
