//! The query as HTML forms write it (WHATWG URL, application/x-www-form-urlencoded): what nearly
//! every backend reads it as.

use crate::message::percent;

/// Raw key and raw value of each pair; `?debug` alone has the value "".
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let written = query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    written.map(|pair| match memchr::memchr(b'=', pair) {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, &[][..]),
    })
}

/// Whether a raw key or value means this text: `+` is a space, `%` with two hexadecimal digits the
/// byte they name, and any other `%` itself.
pub fn means(raw: &[u8], text: &str) -> bool {
    decoded(raw).eq(text.bytes())
}

fn decoded(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        match (first, after) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match percent::byte(*high, *low) {
                Some(byte) => {
                    rest = after;
                    Some(byte)
                }
                None => Some(b'%'),
            },
            (byte, _) => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_a_query() {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let read = |query: &'static str| -> Vec<(&str, &str)> {
            pairs(query.as_bytes()).map(|(key, value)| (text(key), text(value))).collect()
        };
        assert_eq!(read("a=1&b&&c=d=e&=f"), [("a", "1"), ("b", ""), ("c", "d=e"), ("", "f")]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_a_raw_text_means() {
        for (raw, text) in [
            ("a", "a"),
            ("a+b%20c", "a b c"),
            ("%C3%a9", "é"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%2525", "%25"),
            ("", ""),
        ] {
            assert!(means(raw.as_bytes(), text), "{raw}");
        }
        assert!(!means(b"a", "ab") && !means(b"ab", "a") && !means(b"%ff", "\u{ff}"));
    }
}
