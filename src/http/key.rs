//! What of a request a consistent hash leads it by. Pure.

use std::net::IpAddr;

use crate::{
    config::{Hash, HashKey, network::Network},
    http::headers::Sender,
    message::{
        cookies,
        field::{Name, list_members},
        head::{Fields, Line},
    },
    pool::balance::consistent_hash::{hash, source_key},
};

/// What a key is made of.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub sender: Sender,
    pub trusted_proxies: &'a [Network],
    /// As it came, without the query.
    pub path: &'a str,
    pub fields: &'a Fields,
}

/// `None`: the request lacks what its key would be made of.
pub fn key(by: &Hash, asked: &Asked<'_>) -> Option<u64> {
    match &by.key {
        HashKey::Source => Some(source_key(client_address(asked))),
        HashKey::Path => Some(hash(asked.path.as_bytes())),
        HashKey::Header(name) => header(name, asked).map(hash),
        HashKey::Cookie(name) => {
            let mut cookies = cookies::all(asked.fields);
            let named = cookies.find(|(key, value)| *key == name.as_bytes() && !value.is_empty());
            named.map(|(_, value)| hash(value))
        }
    }
}

fn header<'a>(name: &str, asked: &Asked<'a>) -> Option<&'a [u8]> {
    let fields = asked.fields;
    // What a stranger says of whom it forwards for is not passed on either.
    let counts = |line: &&Line| {
        fields.bytes(line.name).eq_ignore_ascii_case(name.as_bytes())
            && line.known.is_believed(asked.sender.trusted)
    };
    let line = fields.lines().iter().find(counts)?;
    Some(fields.value(line)).filter(|value| !value.is_empty())
}

/// Whom the request comes from: behind trusted proxies the last address of X-Forwarded-For that is
/// not one of theirs.
fn client_address(asked: &Asked<'_>) -> IpAddr {
    let mut client = asked.sender.address;
    if !asked.sender.trusted {
        return client;
    }
    let values = asked.fields.all(Name::XForwardedFor);
    let members: Vec<&[u8]> = values.flat_map(list_members).collect();
    for member in members.into_iter().rev() {
        let Some(address) = address(member) else {
            break;
        };
        client = address;
        if !asked.trusted_proxies.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    client
}

fn address(member: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(member).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::h1::parse, message::head::Request};

    /// Header lines, parted by `|`, of a request of 192.0.2.7.
    fn of(by: HashKey, lines: &str, trusted_proxies: &str) -> Option<u64> {
        let mut request = Request::default();
        let head = format!("GET /a/b?c HTTP/1.1|Host: x|{lines}||").replace("|||", "||");
        parse::request(head.replace('|', "\r\n").as_bytes(), &mut request).unwrap();
        let networks: Vec<Network> =
            trusted_proxies.split_whitespace().map(|network| network.parse().unwrap()).collect();
        let address = "192.0.2.7".parse().unwrap();
        let trusted = networks.iter().any(|network| network.contains(address));
        let asked = Asked {
            sender: Sender { address, trusted, tls: false, port: 80 },
            trusted_proxies: &networks,
            path: "/a/b",
            fields: &request.fields,
        };
        key(&Hash { key: by, bound: None }, &asked)
    }

    fn of_address(text: &str) -> Option<u64> {
        Some(source_key(text.parse().unwrap()))
    }

    #[test]
    fn the_path_without_its_query() {
        assert_eq!(of(HashKey::Path, "", ""), Some(hash(b"/a/b")));
    }

    #[test]
    fn the_client_as_far_as_it_is_known() {
        let source = |lines, trusted| of(HashKey::Source, lines, trusted);
        assert_eq!(source("X-Forwarded-For: 1.1.1.1", ""), of_address("192.0.2.7"));
        let lines = "X-Forwarded-For: 9.9.9.9, 1.1.1.1|X-Forwarded-For: 10.0.0.1";
        assert_eq!(source(lines, "192.0.2.0/24"), of_address("10.0.0.1"));
        assert_eq!(source(lines, "192.0.2.0/24 10.0.0.0/8"), of_address("1.1.1.1"));
        assert_eq!(source(lines, "0.0.0.0/0"), of_address("9.9.9.9"));
        assert_eq!(source("X-Forwarded-For: unknown", "192.0.2.7"), of_address("192.0.2.7"));
        assert_eq!(source("", "192.0.2.7"), of_address("192.0.2.7"));
    }

    #[test]
    fn a_header_or_none() {
        let header = |lines| of(HashKey::Header("x-user".to_owned()), lines, "");
        assert_eq!(header("X-User: anna|X-User: berta"), Some(hash(b"anna")));
        assert_eq!(header("X-User:"), None);
        assert_eq!(header("X-Users: anna"), None);
    }

    #[test]
    fn a_forwarding_header_counts_from_trusted_proxies_alone() {
        let header = |trusted| of(HashKey::Header("x-real-ip".to_owned()), "X-Real-IP: a", trusted);
        assert_eq!((header(""), header("192.0.2.7")), (None, Some(hash(b"a"))));
    }

    #[test]
    fn a_cookie_or_none() {
        let cookie = |lines| of(HashKey::Cookie("user".to_owned()), lines, "");
        assert_eq!(cookie("Cookie: a=b; user=anna"), Some(hash(b"anna")));
        assert_eq!(cookie("Cookie: a=b|Cookie: user=anna"), Some(hash(b"anna")));
        assert_eq!(cookie("Cookie: User=anna; user="), None);
    }
}
