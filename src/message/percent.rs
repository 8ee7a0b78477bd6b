//! Bytes behind a `%` (RFC 3986, section 2.1). Pure.

/// The byte that two hexadecimal digits stand for.
pub fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Writes a byte as `%` and two digits, in upper case (RFC 3986, section 2.1).
pub fn write(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Writes bytes as a part of a path: those that may stand in a segment as they are (RFC 3986,
/// section 3.3), all others behind a `%`.
pub fn write_segment(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if is_segment_byte(byte) { out.push(byte) } else { write(out, byte) }
    }
}

/// pchar of RFC 3986, section 3.3, but for `%`.
pub fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_written_and_read_back() {
        let every: Vec<u8> = (0..=255).collect();
        let mut written = Vec::new();
        write_segment(&mut written, &every);
        let text = String::from_utf8(written).unwrap();
        assert!(text.starts_with("%00%01") && text.ends_with("%FE%FF") && text.is_ascii());
        assert!(!text.contains(['/', '?', '#', '"', '<', '\\', ' ']));
        let mut rest = text.as_bytes();
        for expected in every {
            let byte = match rest {
                [b'%', high, low, after @ ..] => {
                    rest = after;
                    super::byte(*high, *low)
                }
                [first, after @ ..] => {
                    rest = after;
                    Some(*first)
                }
                [] => None,
            };
            assert_eq!(byte, Some(expected));
        }
    }
}
