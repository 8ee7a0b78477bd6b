//! The path as routing reads it (RFC 3986, sections 5.2.4 and 6.2.2). What is forwarded stays as it
//! came, byte for byte.

use std::borrow::Cow;

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
    /// The same where `%2F`, `%5C` and `\` count as slashes; `None` where it has none of them. A
    /// path whose two readings take different routes is refused.
    pub slashed: Option<String>,
}

/// Reads a path that begins with `/` and is ASCII.
pub fn read(path: &str) -> Result<Reading<'_>, PathError> {
    let bytes = path.as_bytes();
    let odd = memchr::memchr2(b'%', b'\\', bytes).is_some();
    if !odd && memchr::memmem::find(bytes, b"/.").is_none() {
        return Ok(Reading { path: Cow::Borrowed(path), slashed: None });
    }
    let (decoded, hides_slash) = decode(bytes)?;
    let plain = resolve_dots(&decoded)?;
    if !hides_slash {
        return Ok(Reading { path: Cow::Owned(plain), slashed: None });
    }
    let slashed = resolve_dots(&show_slashes(&decoded))?;
    Ok(Reading { path: Cow::Owned(plain), slashed: Some(slashed) })
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
            [high, low, ..] => hex(*high, *low).ok_or(PathError::BadEncoding)?,
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

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
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

    fn check(path: &str, expected: &str, slashed: Option<&str>) {
        let reading = read(path).unwrap();
        assert_eq!(reading.path, expected, "{path}");
        assert_eq!(reading.slashed.as_deref(), slashed, "{path}");
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["/", "/a", "/a/", "/a//b", "/a/b.c", "/a..b", "/*"] {
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
        check("/a//../b", "/a/b", None);
    }

    #[test]
    fn unreserved_bytes_are_decoded_and_others_kept() {
        check("/%61%7e%2d", "/a~-", None);
        check("/a%20b%c3", "/a%20b%C3", None);
    }

    #[test]
    fn a_hidden_slash_gives_a_second_reading() {
        check("/a%2fb", "/a%2Fb", Some("/a/b"));
        check("/a%2f..%2fb", "/a%2F..%2Fb", Some("/b"));
        check("/a\\b", "/a\\b", Some("/a/b"));
        check("/a/%5c", "/a/%5C", Some("/a//"));
    }

    #[test]
    fn what_is_refused() {
        for path in ["/..", "/a/../../b", "/%2e%2e/", "/%2f..%2f../x", "/..%5c", "/a/\\..\\..\\.."]
        {
            assert_eq!(read(path), Err(PathError::AboveRoot), "{path}");
        }
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
