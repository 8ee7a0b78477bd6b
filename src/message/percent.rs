//! Bytes behind a `%` (RFC 3986, section 2.1). Pure.

/// The byte that two hexadecimal digits stand for.
pub fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
