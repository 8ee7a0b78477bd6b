//! The host that a request is for (RFC 9110, section 7.2; RFC 3986, section 3.2).

use std::borrow::Cow;

/// Whether this may stand in Host: a name, an IPv4 address or an IPv6 address in brackets, and a
/// port where there is one.
///
/// Stricter than the grammar: no userinfo (RFC 9110, section 4.2.4), no percent-encoding or
/// sub-delimiters in a name, no empty host, no empty port. No client sends these, and parsers
/// differ over what they mean.
pub fn is_valid(authority: &[u8]) -> bool {
    let Some((host, port)) = split(authority) else {
        return false;
    };
    let port_fits = port.is_none_or(|port| {
        (1..=5).contains(&port.len())
            && port.iter().all(u8::is_ascii_digit)
            && port.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 65535
    });
    port_fits && host_is_valid(host)
}

fn host_is_valid(host: &[u8]) -> bool {
    if let Some(inside) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return std::str::from_utf8(inside)
            .is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    (1..=255).contains(&host.len()) && host.iter().all(fits)
}

/// Host and port; `None` where a bracket is left open.
fn split(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = match authority.first() {
        Some(b'[') => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    match authority.get(host_end) {
        None => Some((authority, None)),
        Some(b':') => Some((&authority[..host_end], Some(&authority[host_end + 1..]))),
        Some(_) => None,
    }
}

/// A valid authority without its port.
pub fn without_port(authority: &[u8]) -> &[u8] {
    split(authority).map_or(authority, |(host, _)| host)
}

/// The host of a valid authority as routes know it: without the port, in lower case, without the
/// dot that ends a fully qualified name.
pub fn routing_host(authority: &[u8]) -> Cow<'_, str> {
    let host = without_port(authority);
    let host = host.strip_suffix(b".").unwrap_or(host);
    // A valid authority is ASCII; anything else matches no route.
    let text = std::str::from_utf8(host).unwrap_or_default();
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_in_host() {
        for good in
            ["a", "a.example.com", "A_b-c.org", "1.2.3.4", "a:80", "[::1]", "[::1]:8443", "a."]
        {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:000080",
            "u@a",
            "a/b",
            "a b",
            "a,b",
            "[::1",
            "::1",
            "[::1]x",
            "[x]",
            "[::1%25eth0]",
            "a\\b",
            "a%41",
            "a?b",
            "a#b",
            "é",
            "a\0",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
        assert!(!is_valid("a".repeat(256).as_bytes()));
    }

    #[test]
    fn the_host_that_routes_know() {
        assert_eq!(routing_host(b"WWW.Example.com:8443"), "www.example.com");
        assert_eq!(routing_host(b"example.com."), "example.com");
        assert_eq!(routing_host(b"[::1]:80"), "[::1]");
    }

    #[test]
    fn any_bytes_are_judged() {
        let mut random = fastrand::Rng::with_seed(9);
        let alphabet = b"aZ0.:-_[]@%/ \0\xff";
        for _ in 0..50_000 {
            let byte = |random: &mut fastrand::Rng| alphabet[random.usize(..alphabet.len())];
            let bytes: Vec<u8> = (0..random.usize(..12)).map(|_| byte(&mut random)).collect();
            let host = routing_host(&bytes);
            if is_valid(&bytes) {
                assert!(host.is_ascii() && !host.contains(['@', '/', ' ']), "{host}");
                assert!(is_valid(without_port(&bytes)), "{}", bytes.escape_ascii());
            }
        }
    }
}
