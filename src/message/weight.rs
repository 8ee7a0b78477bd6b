//! How much a client wants something: `q=0.5` (RFC 9110, section 12.4.2). Pure.

/// The weight of what has none, in thousandths.
pub const MOST: u16 = 1000;

/// The weight that a parameter says, in thousandths.
pub fn of(parameter: &[u8]) -> Option<u16> {
    thousandths(value(parameter)?)
}

/// What stands behind the `q=` of a parameter that is a weight.
pub fn value(parameter: &[u8]) -> Option<&[u8]> {
    parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))
}

/// From 0 to 1 with at most three digits behind the point, in thousandths.
pub fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] => (whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(3);
    let fraction = padded.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(MOST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_as_people_write_them() {
        for (text, expected) in [
            ("q=1", Some(1000)),
            ("q=1.", Some(1000)),
            ("q=1.000", Some(1000)),
            ("q=0", Some(0)),
            ("q=0.", Some(0)),
            ("q=0.5", Some(500)),
            ("Q=0.05", Some(50)),
            ("q=0.999", Some(999)),
            ("q=0.0001", None),
            ("q=1.001", None),
            ("q=2", None),
            ("q=-1", None),
            ("q=.5", None),
            ("q=", None),
            ("q", None),
            ("", None),
            ("q =1", None),
            ("q= 1", None),
            ("q=0,5", None),
            ("q=1e0", None),
            ("x=1", None),
        ] {
            assert_eq!(of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_stands_behind_a_parameter() {
        assert_eq!(value(b"q=0.5"), Some(&b"0.5"[..]));
        assert_eq!(value(b"Q=1"), Some(&b"1"[..]));
        assert_eq!(value(b"charset=utf-8"), None);
    }
}
