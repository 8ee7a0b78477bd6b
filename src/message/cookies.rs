//! The cookies of a request (RFC 6265, section 5.4).

use super::{field::Name, head::Fields};

/// Name and value of every cookie, over all Cookie lines: HTTP/2 clients send several (RFC 9113,
/// section 8.2.3). Names are case-sensitive; a value keeps its quotes, as servers are sent it. What
/// has no `=` is no cookie.
pub fn all(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.all(Name::Cookie).flat_map(pairs)
}

fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&byte| byte == b';').filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_a_line() {
        let read = |line: &'static str| -> Vec<(&str, &str)> {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            pairs(line.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
        };
        assert_eq!(read("a=1; b=2"), [("a", "1"), ("b", "2")]);
        assert_eq!(read("a=\"x=y\";b=;  c = d ;;e"), [("a", "\"x=y\""), ("b", ""), ("c", "d")]);
        assert_eq!(read(""), []);
        assert_eq!(read(";;="), [("", "")]);
    }
}
