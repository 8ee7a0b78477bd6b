//! Names that say what is in the file: `app.3f2a9c1b.js`. Pure.
//!
//! What has one is kept by browsers for a year, so a name is believed only where it can hardly be
//! anything else: a version, a date, a word, a size or an identifier that somebody chose is none.
//! Documents never have one: their address is what people keep. The forms are those of webpack,
//! Parcel, Rails, Django, Gatsby and Angular (hexadecimal digits), Rollup and Vite (eight signs of
//! base64url), and esbuild (eight of base32).

/// MD5 cut short is the shortest in use, SHA-512 the longest.
const HEX_DIGITS: std::ops::RangeInclusive<usize> = 8..=128;

/// What base64url and base32 have.
const SHORT: usize = 8;

/// What is asked for by the same name when it has changed.
const DOCUMENTS: &[&[u8]] = &[b"html", b"htm", b"xhtml", b"php"];

/// What bundlers write. Eight signs of any kind are believed of nothing else: of pictures and
/// downloads, people name too many.
const BUNDLED: &[&[u8]] = &[b"js", b"mjs", b"css", b"wasm", b"woff2", b"woff", b"ttf"];

/// Neighbours of different kinds (capital, small letter, digit, `-` or `_`) in eight random signs: 4.5
/// on average. Words, and words with a number, have up to three.
const LEAST_CHANGES: usize = 4;

/// Whether the last name of this path ends in a fingerprint, before its extensions.
pub fn has(name: &[u8]) -> bool {
    let start = memchr::memrchr(b'/', name).map_or(0, |slash| slash + 1);
    let name = &name[start..];
    // A map has the fingerprint of what it is the map of.
    let name = name.strip_suffix(b".map").unwrap_or(name);
    let Some(dot) = memchr::memrchr(b'.', name) else {
        return false;
    };
    let (stem, extension) = (&name[..dot], &name[dot + 1..]);
    if DOCUMENTS.iter().any(|document| document.eq_ignore_ascii_case(extension)) {
        return false;
    }
    has_hex(stem) || (BUNDLED.contains(&extension) && has_short(stem))
}

/// `main.3f2a9c1b`, `main.3f2a9c1b.chunk`, `main-3f2a9c1b`; but nothing before it, it may be all
/// that a picture of a user is known by.
fn has_hex(stem: &[u8]) -> bool {
    let mut words = stem.split(|&byte| byte == b'.');
    let first = words.next().is_some_and(ends_in_hex);
    first || words.any(|word| is_hex(word) || ends_in_hex(word))
}

fn ends_in_hex(word: &[u8]) -> bool {
    let Some(dash) = memchr::memrchr(b'-', word).filter(|&dash| dash > 0) else {
        return false;
    };
    is_hex(&word[dash + 1..]) && !ends_in_uuid(word)
}

/// Digits alone are a number or a date, letters alone may be a word.
fn is_hex(word: &[u8]) -> bool {
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    let small = word.iter().filter(|byte| matches!(byte, b'a'..=b'f')).count();
    HEX_DIGITS.contains(&word.len()) && digits > 0 && small > 0 && digits + small == word.len()
}

/// An identifier stays the same when its content changes (RFC 9562).
fn ends_in_uuid(word: &[u8]) -> bool {
    let groups = word.rsplit(|&byte| byte == b'-').take(5).map(<[u8]>::len);
    groups.eq([12, 4, 4, 4, 8])
}

/// `index-BxY3k2Qz`, `chunk-QYVZ3JLU`: whatever the sign is that stands before it, since it may have
/// one in it as well.
fn has_short(stem: &[u8]) -> bool {
    let Some((before, short)) = stem.split_at_checked(stem.len().wrapping_sub(SHORT)) else {
        return false;
    };
    let apart = before.len() > 1 && before.ends_with(b"-") || before.ends_with(b".");
    let has = |is: fn(&u8) -> bool| short.iter().any(is);
    let base64 = short.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let base32 = short.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
    let random = has(u8::is_ascii_digit) && changes(short) >= LEAST_CHANGES && base64 && mixed;
    apart && (random || (base32 && digit_within(short)))
}

/// Neighbours of different kinds.
fn changes(word: &[u8]) -> usize {
    let kind = |byte: u8| match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    word.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count()
}

/// `VERSION2` ends in its number.
fn digit_within(word: &[u8]) -> bool {
    word.windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1].is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_what_is_in_them() {
        for name in [
            "app.3f2a9c1b.js",
            "assets/app.3f2a9c1b.css",
            "main.3f2a9c1b.chunk.js",
            "main.3f2a9c1b.js.map",
            "main.8e4f9cbe.js.LICENSE.txt",
            "app.55e7cbb9ba48.css",
            "application-0b3a1f6f8a4c9d2e7f1b5a3c8d6e4f2a0b3a1f6f8a4c9d2e7f1b5a3c8d6e4f2a.css",
            "webpack-runtime-9b1c2d3e4f5a6b7c8d9e.js",
            "logo.6ce24c58.svg",
            "font-1b2c3d4e5f.woff2",
            "index-BxY3k2Qz.css",
            "index-BxY3k2Qz.js.map",
            "vendor-a_B3-xY9.js",
            "index.BxY3k2Qz.js",
            "chunk-QYVZ3JLU.js",
        ] {
            assert!(has(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_that_somebody_chose() {
        for name in [
            "",
            ".",
            "app.js",
            "jquery-3.7.1.js",
            "jquery-3.7.1.min.js",
            "jquery.20240131.js",
            "report-20240131.pdf",
            "report-2024-01-31.pdf",
            "report.1706659200.pdf",
            "photo-1280x720.jpg",
            "photo-1280x720.js",
            "deadbeef.js",
            "cafe-facade.js",
            "coffee.deadbeef.js",
            "3f2a9c1b.js",
            "3f2a9c1b/app.js",
            "d41d8cd98f00b204e9800998ecf8427e.jpg",
            "-3f2a9c1b.js",
            "app.3F2A9C1B.js",
            "app.3f2a9c1.js",
            "app.3f2a9c1b",
            "page.3f2a9c1b.html",
            "page-3f2a9c1b.HTM",
            "avatar-550e8400-e29b-41d4-a716-44665544000a.png",
            "550e8400-e29b-41d4-a716-44665544000a.png",
            "book-Chapter1.js",
            "case-iPhone15.css",
            "lang-Version2.js",
            "lang-VERSION2.js",
            "page-Homepage.js",
            "page-HomePage.js",
            "page-homepage.js",
            "page-HOMEPAGE.js",
            "index-BxY3k2Qz.jpg",
            "index_BxY3k2Qz.js",
            "BxY3k2Qz.js",
            "-BxY3k2Qz.js",
            "index-BxY3k2Q.js",
            "Mp3Music.js",
        ] {
            assert!(!has(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn most_names_of_bundlers_are_believed() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut share = |alphabet: &[u8], length: usize| {
            let mut hits = 0;
            for _ in 0..10_000 {
                let hash: String = (0..length)
                    .map(|_| char::from(alphabet[random.usize(..alphabet.len())]))
                    .collect();
                hits += usize::from(has(format!("index-{hash}.js").as_bytes()));
            }
            hits / 100
        };
        let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let [hex, base64, base32] = [
            share(b"0123456789abcdef", 8),
            share(base64, 8),
            share(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 8),
        ];
        assert!(hex > 90 && base64 > 50 && base32 > 60, "{hex} {base64} {base32}");
    }
}
