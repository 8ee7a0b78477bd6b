//! What may stand as a name, a host, a path or an address: text in, meaning or expectation out.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::model::{Address, HostMatch, SRV, UNIX};
use crate::observe::metrics::UNROUTED;

/// Names become metric labels and are typed into commands.
const LONGEST_NAME: usize = 64;
/// RFC 1035, section 2.3.4.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;
/// A longer path fits no request line at its default limit.
const LONGEST_PATH: usize = 4096;

/// The name of a listener or a pool.
pub(super) fn name(text: &str) -> Result<&str, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let valid = (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(allowed);
    let expected =
        || format!("expected a name of 1 to {LONGEST_NAME} letters, digits, `_`, `.` and `-`");
    valid.then_some(text).ok_or_else(expected)
}

/// The name of a route: printable, since it is a label people read.
pub(super) fn route_name(text: &str) -> Result<&str, String> {
    if text == UNROUTED {
        let why = "expected another name: metrics count the requests that came to no route as";
        return Err(format!("{why} `{UNROUTED}`"));
    }
    let length = text.chars().count();
    let printable = !text.chars().any(char::is_control) && text.trim() == text;
    let valid = printable && (1..=2 * LONGEST_NAME).contains(&length);
    let expected = || format!("expected a name of 1 to {} printable characters", 2 * LONGEST_NAME);
    valid.then_some(text).ok_or_else(expected)
}

/// `www.example.com`, `*.example.com`, or an IP address, in any case and without a port.
pub(super) fn host_match(text: &str) -> Result<HostMatch, String> {
    const EXPECTED: &str = r#"expected a host such as "www.example.com" or "*.example.com""#;
    if text == "*" {
        return Err("leave `host` out to take every host".to_owned());
    }
    if let Some(parent) = text.strip_prefix("*.") {
        let parent = host(parent).map_err(|why| format!("{EXPECTED}{why}"))?;
        return Ok(HostMatch::Wildcard(format!(".{parent}")));
    }
    if text.contains('*') {
        return Err(format!("{EXPECTED}; `*` stands alone, as the first label"));
    }
    let host = host(text).map_err(|why| format!("{EXPECTED}{why}"))?;
    Ok(HostMatch::Exact(host))
}

/// The name of a header field: a token (RFC 9110, section 5.6.2).
pub(super) fn field_name(text: &str) -> Result<&str, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let valid = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(token);
    let expected = || r#"expected the name of a header such as "X-Release""#.to_owned();
    valid.then_some(text).ok_or_else(expected)
}

/// Where a value stands in a JSON text: the names of members, from the outermost object inwards.
pub(super) fn json_path(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split('.').map(str::to_owned).collect();
    let whole = names.iter().all(|name| !name.is_empty());
    let printable = !text.chars().any(char::is_control);
    let valid = whole && printable && text.len() <= 4 * LONGEST_NAME;
    let expected = || r#"expected names with dots between, such as "build.version""#.to_owned();
    valid.then_some(names).ok_or_else(expected)
}

/// A value for the Host field: a host and perhaps a port (RFC 9110, section 7.2).
pub(super) fn authority(text: &str) -> Result<String, String> {
    const EXPECTED: &str = r#"expected a host such as "www.example.com" or "app:8080""#;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let valid_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !port.is_none_or(valid_port) {
        return Err(EXPECTED.to_owned());
    }
    host(name).map_err(|why| format!("{EXPECTED}{why}"))?;
    Ok(text.to_owned())
}

/// The name that a certificate is asked for: a host or an IP address, without a port. An IPv6
/// address may stand without brackets, as certificates have it.
pub(super) fn server_name(text: &str) -> Result<String, String> {
    const EXPECTED: &str = r#"expected a host such as "app.internal", or an IP address"#;
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    let host = host(text).map_err(|why| format!("{EXPECTED}{why}"))?;
    Ok(host.trim_matches(['[', ']']).to_owned())
}

/// A host in lower case. The error is what to add to an expectation.
fn host(text: &str) -> Result<String, &'static str> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed {
        let valid = address.parse::<Ipv6Addr>();
        return valid.map(|address| format!("[{address}]")).map_err(|_| "");
    }
    if !text.is_ascii() {
        return Err(r#"; write an international name in its "xn--" form"#);
    }
    if text.contains(':') {
        return Err("; without a port, and with an IPv6 address in brackets");
    }
    if text.ends_with('.') {
        return Err("; without a dot at the end");
    }
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let valid = text.len() <= LONGEST_HOST && text.split('.').all(label);
    valid.then(|| text.to_ascii_lowercase()).ok_or("")
}

/// A path of a route, in the form that requests are compared in: dot segments resolved, nothing
/// encoded that need not be (RFC 3986, section 6.2.2).
pub(super) fn route_path(text: &str) -> Result<&str, String> {
    if text.contains(['?', '#']) {
        return Err(
            "expected a path alone: the query is matched by `query = { KEY = true }`".to_owned()
        );
    }
    let path = origin_form(text)?;
    if path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("expected a path without `//`, `/./` and `/../`".to_owned());
    }
    for (at, _) in path.match_indices('%') {
        let code =
            path.get(at + 1..at + 3).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        if code.is_some_and(|code| code.bytes().any(|byte| byte.is_ascii_lowercase())) {
            let upper = code.unwrap_or_default().to_ascii_uppercase();
            return Err(format!(
                "expected `%{upper}` in capitals: paths are compared in that form"
            ));
        }
        match byte.ok_or("expected two hex digits after `%`")? {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                return Err(format!("expected `{}` as it is, not encoded", char::from(byte)));
            }
            b'/' | b'\\' | 0 => {
                return Err(
                    "requests with an encoded slash, backslash or NUL are refused".to_owned()
                );
            }
            _ => {}
        }
    }
    Ok(path)
}

/// A path and perhaps a query (RFC 9112, section 3.2.1).
pub(super) fn origin_form(text: &str) -> Result<&str, String> {
    if !text.starts_with('/') {
        return Err(r#"expected a path that begins with "/""#.to_owned());
    }
    if text.contains('#') {
        return Err(invisible());
    }
    visible(text)
}

/// A path or a URL, as far as its bytes and its length go.
pub(super) fn visible(text: &str) -> Result<&str, String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && text.len() <= LONGEST_PATH).then_some(text).ok_or_else(invisible)
}

fn invisible() -> String {
    format!(
        "expected at most {LONGEST_PATH} visible ASCII characters; write others as `%` and two hex digits"
    )
}

/// What is expected where an address has to stand.
pub(super) const NO_ADDRESS: &str =
    r#"expected an IP address and a port such as "10.0.1.11:8080" or "[2001:db8::1]:8080""#;

/// An IP address and a port above 0; IPv6 in brackets.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    const EXPECTED: &str = NO_ADDRESS;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            Err(format!("{EXPECTED}; a port is a number from 1 to 65535"))
        }
        Ok(address) => Ok(address),
        Err(_) if every_address(text).is_some() => {
            let port = every_address(text).unwrap_or_default();
            Err(format!(
                "{EXPECTED}; for every address write \"0.0.0.0:{port}\", \"[::]:{port}\" or both"
            ))
        }
        Err(_) if text.parse::<Ipv4Addr>().is_ok() => {
            Err(format!("{EXPECTED}; the port is missing"))
        }
        Err(_) if text.parse::<Ipv6Addr>().is_ok() => {
            Err(format!("{EXPECTED}; IPv6 stands in brackets, with its port behind them"))
        }
        Err(_) if text.contains("://") => Err(format!("{EXPECTED}; without a scheme")),
        Err(_) if names_a_host(text) => {
            Err(format!("{EXPECTED}; only backends are looked up by name, write the address"))
        }
        Err(_) => Err(EXPECTED.to_owned()),
    }
}

/// Where a backend is: an IP address or a name, with a port; or a name with SRV records, which tell
/// their own.
pub(super) fn backend(text: &str) -> Result<Address, String> {
    const EXPECTED: &str = r#"expected an address and a port such as "10.0.1.11:8080" or "app.internal:8080", a name with SRV records such as "srv:_http._tcp.app.internal", or a socket such as "unix:/run/app.sock""#;
    let because = |why: &str| format!("{EXPECTED}{why}");
    if text.contains("://") {
        return Err(because("; without a scheme"));
    }
    if let Some(path) = text.strip_prefix(UNIX) {
        return socket_path(path).map(Address::Unix).map_err(because);
    }
    if let Some(service) = text.strip_prefix(SRV) {
        return service_name(service).map(Address::Srv).map_err(because);
    }
    if !names_a_host(text) {
        return address(text).map(Address::Socket).map_err(|why| match why.as_str() {
            NO_ADDRESS => EXPECTED.to_owned(),
            _ => why,
        });
    }
    let (name, port) = text.rsplit_once(':').ok_or_else(|| because("; the port is missing"))?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| because("; a port is a number from 1 to 65535"))?;
    let name = absolute(name).map_err(because)?;
    Ok(Address::Host { name, port })
}

/// What the kernel takes for the path of a socket (unix(7)), with its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// `/run/php/php-fpm.sock`.
fn socket_path(text: &str) -> Result<Arc<str>, &'static str> {
    if !text.starts_with('/') || text.ends_with('/') || text.contains(char::is_control) {
        return Err("; the path of a socket begins with \"/\"");
    }
    if text[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("; the path of a socket is written without `//`, `.` and `..`");
    }
    let fits = text.len() <= LONGEST_SOCKET_PATH;
    fits.then(|| text.into()).ok_or("; the path of a socket has at most 107 bytes")
}

/// `_http._tcp.app.internal`: what is served, over what, and where (RFC 2782).
fn service_name(text: &str) -> Result<Arc<str>, &'static str> {
    let name = absolute(text)?;
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let served = labels.iter().take(2).all(|label| label.len() > 1 && label.starts_with('_'));
    let valid = served && labels.len() > 2 && labels[1] == "_tcp";
    valid.then_some(name).ok_or("; a service, `_tcp` and a name, with dots between them")
}

/// A name that is looked up, in lower case; a dot at its end keeps the system's search list away.
fn absolute(text: &str) -> Result<Arc<str>, &'static str> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let name = host(bare)?;
    Ok(if bare.len() < text.len() { format!("{name}.").into() } else { name.into() })
}

/// The port of `:443` or `*:443`, as other programs write "on every address".
fn every_address(text: &str) -> Option<u16> {
    text.strip_prefix('*').unwrap_or(text).strip_prefix(':')?.parse().ok()
}

fn names_a_host(text: &str) -> bool {
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    host(name).is_ok()
        && !name.starts_with('[')
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
}
