//! Which name below the root a path asks for. Pure.
//!
//! The path comes as routing reads it ([`crate::message::path`]): dot segments resolved, unreserved
//! bytes decoded. Whatever a file system could take for a way out is refused here, whoever opens the
//! name afterwards.

use std::borrow::Cow;

use crate::message::percent;

/// A name's limit on Linux (NAME_MAX).
const LONGEST_NAME: usize = 255;
/// A path's (PATH_MAX, of which the last byte is a NUL).
const LONGEST_PATH: usize = 4095;

/// The one name with a leading dot that is made to be read by strangers (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What a path asks for, relative to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Names with single slashes between; empty for the root itself. As a file system has them, so
    /// not always UTF-8.
    pub bytes: Cow<'a, [u8]>,
    pub kind: Kind,
}

/// What the path's end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No slash.
    File,
    Directory,
}

/// Whether names that begin with a dot are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    Refused,
    Served,
}

/// Why a path names nothing below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoName {
    /// It does not begin with `/`, or a `%` is not followed by two hexadecimal digits.
    Malformed,
    Nul,
    /// A `\`, encoded or not: a slash to some.
    Backslash,
    EncodedSlash,
    /// `.` or `..`.
    Dots,
    /// Two slashes in a row.
    Empty,
    /// Of a name or of all together; no file system that we know has it.
    TooLong,
    /// A leading dot.
    Hidden,
}

/// Reads the path that routing read; `/` is the root.
pub fn read(path: &str, hidden: Hidden) -> Result<Name<'_>, NoName> {
    let rest = path.strip_prefix('/').ok_or(NoName::Malformed)?;
    let (rest, kind) = match rest.strip_suffix('/') {
        Some(rest) => (rest, Kind::Directory),
        None if rest.is_empty() => (rest, Kind::Directory),
        None => (rest, Kind::File),
    };
    let bytes = decode(rest)?;
    // `//` is not the root.
    if !bytes.is_empty() || path.len() > 1 {
        for (position, name) in bytes.split(|&byte| byte == b'/').enumerate() {
            check(name, position, hidden)?;
        }
    }
    if bytes.len() > LONGEST_PATH {
        return Err(NoName::TooLong);
    }
    Ok(Name { bytes, kind })
}

fn decode(path: &str) -> Result<Cow<'_, [u8]>, NoName> {
    let bytes = path.as_bytes();
    if memchr::memchr3(b'%', b'\\', 0, bytes).is_none() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                percent::byte(*high, *low).ok_or(NoName::Malformed)?
            }
            (b'%', _) => return Err(NoName::Malformed),
            _ => first,
        };
        match byte {
            0 => return Err(NoName::Nul),
            b'\\' => return Err(NoName::Backslash),
            b'/' if first == b'%' => return Err(NoName::EncodedSlash),
            _ => decoded.push(byte),
        }
    }
    Ok(Cow::Owned(decoded))
}

fn check(name: &[u8], position: usize, hidden: Hidden) -> Result<(), NoName> {
    match name {
        b"" => Err(NoName::Empty),
        b"." | b".." => Err(NoName::Dots),
        name if name.len() > LONGEST_NAME => Err(NoName::TooLong),
        // RFC 8615, section 3: it is the first name of a path.
        name if position == 0 && name == WELL_KNOWN => Ok(()),
        [b'.', ..] if hidden == Hidden::Refused => Err(NoName::Hidden),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<(&[u8], Kind), NoName>) {
        let found = read(path, Hidden::Refused);
        let expected =
            expected.map(|(bytes, kind)| Name { bytes: Cow::Owned(bytes.to_vec()), kind });
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_that_name_something() {
        check("/", Ok((b"", Kind::Directory)));
        check("/a", Ok((b"a", Kind::File)));
        check("/a/", Ok((b"a", Kind::Directory)));
        check("/a/b.c", Ok((b"a/b.c", Kind::File)));
        check("/a%20b/%C3%A9", Ok(("a b/é".as_bytes(), Kind::File)));
        check("/a%FF", Ok((b"a\xff", Kind::File)));
        check("/a..b/...x..", Err(NoName::Hidden));
        check("/a..b/x..", Ok((b"a..b/x..", Kind::File)));
        check("/a:b*?<>|", Ok((b"a:b*?<>|", Kind::File)));
        check("/%2525", Ok((b"%25", Kind::File)));
        assert!(matches!(read("/a/b", Hidden::Refused).unwrap().bytes, Cow::Borrowed(_)));
    }

    #[test]
    fn ways_out_of_the_root_are_refused() {
        for path in ["/..", "/../a", "/a/..", "/a/../b", "/.", "/a/./b", "/%2E%2E/a", "/a/%2e."] {
            check(path, Err(NoName::Dots));
        }
        for path in ["//", "//a", "/a//", "/a//b"] {
            check(path, Err(NoName::Empty));
        }
        for path in ["/%2F", "/a%2fb", "/%2f..%2f", "/..%2Fa"] {
            check(path, Err(NoName::EncodedSlash));
        }
        for path in ["/\\", "/a\\..\\b", "/a%5Cb", "/%5c"] {
            check(path, Err(NoName::Backslash));
        }
        check("/a%00.html", Err(NoName::Nul));
        check("/a\0", Err(NoName::Nul));
        for path in ["", "a", "*", "/%", "/%4", "/%zz", "/%+1"] {
            check(path, Err(NoName::Malformed));
        }
        check("/%252e%252e/a", Ok((b"%2e%2e/a", Kind::File)));
    }

    #[test]
    fn names_have_an_end() {
        let name = "n".repeat(255);
        check(&format!("/{name}"), Ok((name.as_bytes(), Kind::File)));
        check(&format!("/{name}n"), Err(NoName::TooLong));
        check(&format!("/{}", "%61".repeat(256)), Err(NoName::TooLong));
        let path = "/n".repeat(2048);
        check(&path, Ok((&path.as_bytes()[1..], Kind::File)));
        check(&format!("{path}n"), Err(NoName::TooLong));
    }

    #[test]
    fn hidden_names_are_a_choice() {
        for path in ["/.git/config", "/a/.env", "/.htaccess", "/a/.b/", "/%2Egit"] {
            check(path, Err(NoName::Hidden));
            assert!(read(path, Hidden::Served).is_ok(), "{path}");
        }
        check("/.well-known/acme-challenge/x", Ok((b".well-known/acme-challenge/x", Kind::File)));
        check("/.well-known", Ok((b".well-known", Kind::File)));
        check("/.well-known/.git", Err(NoName::Hidden));
        check("/.well-known2", Err(NoName::Hidden));
        check("/a/.well-known/x", Err(NoName::Hidden));
        assert_eq!(read("/..", Hidden::Served), Err(NoName::Dots));
    }

    /// Whatever routing lets through: no name climbs, ends early or begins at the root.
    #[test]
    fn no_path_leaves_the_root() {
        let mut random = fastrand::Rng::with_seed(5);
        let words =
            ["/", "a", ".", "..", "%2e", "%2F", "%5C", "\\", "%00", "%25", "%", ".git", "é"];
        let mut named = 0;
        for _ in 0..50_000 {
            let words = (0..random.usize(1..8)).map(|_| words[random.usize(..words.len())]);
            let path = format!("/{}", words.collect::<String>());
            let Ok(reading) = crate::message::path::read(&path) else {
                continue;
            };
            let Ok(name) = read(&reading.path, Hidden::Served) else {
                continue;
            };
            named += 1;
            assert!(!name.bytes.contains(&0) && !name.bytes.contains(&b'\\'), "{path}");
            let whole = [b"/", &*name.bytes, b"/"].concat();
            let has = |what: &[u8]| memchr::memmem::find(&whole, what).is_some();
            assert!(!has(b"/../") && !has(b"/./"), "{path}");
            assert!(name.bytes.is_empty() || !has(b"//"), "{path}");
        }
        assert!(named > 5_000, "{named}");
    }
}
