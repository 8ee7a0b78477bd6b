//! The path as routing reads it (RFC 3986, sections 5.2.4 and 6.2.2). What is forwarded stays as it
//! came, byte for byte.

use std::borrow::Cow;

use crate::message::percent;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// A `%` that two hexadecimal digits don't follow, or an encoded NUL.
    BadEncoding,
    /// Its `..` climb above the root.
    AboveRoot,
}

/// A path in the readings that a backend may give it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Dot segments resolved, percent-encoded unreserved bytes decoded.
    pub path: Cow<'a, str>,
    /// The same to those who take `%2F`, `%5C` and `\` for slashes, to those who take several slashes
    /// for one, and to those who do both; none where it has none of them. A path whose readings take
    /// different routes is refused.
    others: Vec<String>,
}

/// How many other readings there may be.
pub const OTHERS: usize = 3;

impl Reading<'_> {
    /// The readings that differ in kind from `path`; none for most.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The reading of that kind, which is `path` itself for most.
    pub fn other(&self, kind: usize) -> &str {
        self.others.get(kind).map_or(&self.path, String::as_str)
    }
}

/// Paths are short: to look at each pair costs less than to prepare a search.
fn has(path: &[u8], two: &[u8; 2]) -> bool {
    path.windows(2).any(|pair| pair == two)
}

/// Reads a path that begins with `/` and is ASCII.
pub fn read(path: &str) -> Result<Reading<'_>, PathError> {
    let bytes = path.as_bytes();
    let odd = memchr::memchr2(b'%', b'\\', bytes).is_some();
    let several = has(bytes, b"//");
    if !odd && !has(bytes, b"/.") {
        let others =
            if several { vec![path.to_owned(), merged(path), merged(path)] } else { vec![] };
        return Ok(Reading { path: Cow::Borrowed(path), others });
    }
    let (decoded, hides_slash) = decode(bytes)?;
    let plain = Cow::Owned(resolve_dots(&decoded)?);
    if !hides_slash && !several {
        return Ok(Reading { path: plain, others: Vec::new() });
    }
    let shown = show_slashes(&decoded);
    let others = [&*shown, &merged(&decoded), &merged(&shown)].map(resolve_dots);
    Ok(Reading { path: plain, others: others.into_iter().collect::<Result<_, _>>()? })
}

/// Several slashes are one before dots are resolved, as servers that merge them do.
fn merged(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for byte in path.chars() {
        if byte != '/' || !merged.ends_with('/') {
            merged.push(byte);
        }
    }
    merged
}

/// Decodes encoded unreserved bytes, writes the other encodings in upper case, and tells whether an
/// encoded slash or a backslash in any form is among them.
fn decode(path: &[u8]) -> Result<(String, bool), PathError> {
    let mut decoded = String::with_capacity(path.len());
    let mut hides_slash = false;
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            hides_slash |= first == b'\\';
            decoded.push(char::from(first));
            continue;
        }
        let byte = match after {
            [high, low, ..] => percent::byte(*high, *low).ok_or(PathError::BadEncoding)?,
            _ => return Err(PathError::BadEncoding),
        };
        rest = &after[2..];
        match byte {
            0 => return Err(PathError::BadEncoding),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(char::from(byte));
            }
            byte => {
                hides_slash |= byte == b'/' || byte == b'\\';
                decoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    Ok((decoded, hides_slash))
}

fn show_slashes(decoded: &str) -> String {
    decoded.replace("%2F", "/").replace("%5C", "/").replace('\\', "/")
}

fn resolve_dots(path: &str) -> Result<String, PathError> {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(segments.pop().ok_or(PathError::AboveRoot)?),
            _ => segments.push(segment),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &segments {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if ends_in_folder || resolved.is_empty() {
        resolved.push('/');
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `others`: slashed, merged, both.
    fn check(path: &str, expected: &str, others: Option<[&str; OTHERS]>) {
        let reading = read(path).unwrap();
        assert_eq!(reading.path, expected, "{path}");
        let found = reading.others().iter().map(String::as_str);
        assert!(found.eq(others.into_iter().flatten()), "{path}: {:?}", reading.others());
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["/", "/a", "/a/", "/a/b.c", "/a..b", "/*"] {
            check(path, path, None);
            assert!(matches!(read(path).unwrap().path, Cow::Borrowed(_)), "{path}");
        }
    }

    #[test]
    fn dots_are_resolved_encoded_or_not() {
        check("/a/./b", "/a/b", None);
        check("/a/../b", "/b", None);
        check("/a/%2e%2E/b", "/b", None);
        check("/a/b/..", "/a/", None);
        check("/a/.", "/a/", None);
        check("/.well-known/x", "/.well-known/x", None);
    }

    #[test]
    fn unreserved_bytes_are_decoded_and_others_kept() {
        check("/%61%7e%2d", "/a~-", None);
        check("/a%20b%c3", "/a%20b%C3", None);
    }

    #[test]
    fn a_hidden_slash_gives_a_second_reading() {
        check("/a%2fb", "/a%2Fb", Some(["/a/b", "/a%2Fb", "/a/b"]));
        check("/a%2f..%2fb", "/a%2F..%2Fb", Some(["/b", "/a%2F..%2Fb", "/b"]));
        check("/a\\b", "/a\\b", Some(["/a/b", "/a\\b", "/a/b"]));
        check("/a/%5c", "/a/%5C", Some(["/a//", "/a/%5C", "/a/"]));
    }

    #[test]
    fn several_slashes_are_one_to_some() {
        check("//a", "//a", Some(["//a", "/a", "/a"]));
        check("/a///b/", "/a///b/", Some(["/a///b/", "/a/b/", "/a/b/"]));
        check("/a//../b", "/a/b", Some(["/a/b", "/b", "/b"]));
        check("/%61//b", "/a//b", Some(["/a//b", "/a/b", "/a/b"]));
        check("/c/a%2f/../b", "/c/b", Some(["/c/a/b", "/c/b", "/c/b"]));
    }

    #[test]
    fn what_is_refused() {
        for path in ["/..", "/a/../../b", "/%2e%2e/", "/%2f..%2f../x", "/..%5c", "/a/\\..\\..\\.."]
        {
            assert_eq!(read(path), Err(PathError::AboveRoot), "{path}");
        }
        assert_eq!(read("//../a"), Err(PathError::AboveRoot), "where slashes are merged");
        for path in ["/%", "/%4", "/%zz", "/%00", "/a%0", "/%+1"] {
            assert_eq!(read(path), Err(PathError::BadEncoding), "{path}");
        }
    }

    #[test]
    fn no_path_panics() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let length = random.usize(0..24);
            let alphabet = b"/.%2eEfF5cC\\0a";
            let tail: String =
                (0..length).map(|_| char::from(alphabet[random.usize(..alphabet.len())])).collect();
            let path = format!("/{tail}");
            if let Ok(reading) = read(&path) {
                assert!(reading.path.starts_with('/'), "{path}");
                assert!(!format!("{}/", reading.path).contains("/../"), "{path}");
            }
        }
    }
}
