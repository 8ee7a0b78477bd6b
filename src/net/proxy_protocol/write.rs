//! The header that we send to a backend. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Announcement, Endpoints, SIGNATURE, Told};
use crate::config::ProxyProtocol;

/// Version 2 with the command LOCAL: a connection of the proxy's own (section 2.2).
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

impl Announcement {
    /// The bytes that go ahead of all others.
    pub fn header(&self) -> Vec<u8> {
        match (self.version, self.told) {
            (ProxyProtocol::V1, told) => line(told).into_bytes(),
            (ProxyProtocol::V2, Told::Nobody) => binary(LOCAL, UNSPECIFIED, &[]),
            (ProxyProtocol::V2, Told::Client(endpoints)) => proxied(endpoints),
        }
    }
}

/// Version 1 (section 2.1).
fn line(told: Told) -> String {
    let Told::Client(endpoints) = told else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let (ips, ports) = (ips(endpoints), ports(endpoints));
    let family = match ips {
        Ips::V4(..) => "TCP4",
        Ips::V6(..) => "TCP6",
    };
    let (source, destination): (IpAddr, IpAddr) = match ips {
        Ips::V4(source, destination) => (source.into(), destination.into()),
        Ips::V6(source, destination) => (source.into(), destination.into()),
    };
    format!("PROXY {family} {source} {destination} {} {}\r\n", ports[0], ports[1])
}

fn proxied(endpoints: Endpoints) -> Vec<u8> {
    let ports = ports(endpoints).map(u16::to_be_bytes).concat();
    match ips(endpoints) {
        Ips::V4(source, destination) => {
            let addresses = [source.octets(), destination.octets()].concat();
            binary(PROXY, TCP_OVER_IPV4, &[addresses, ports].concat())
        }
        Ips::V6(source, destination) => {
            let addresses = [source.octets(), destination.octets()].concat();
            binary(PROXY, TCP_OVER_IPV6, &[addresses, ports].concat())
        }
    }
}

/// Version 2 (section 2.2); `rest` is 36 bytes at the most.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u8::try_from(rest.len()).expect("two addresses and two ports");
    [&SIGNATURE[..], &[command, family, 0, length], rest].concat()
}

/// Both of one family: a header has room for one.
enum Ips {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// Where they differ, as a chain of proxies may have it, the older is written as the newer
/// (RFC 4291, section 2.5.5.2).
fn ips(endpoints: Endpoints) -> Ips {
    let Endpoints { source, destination } = endpoints;
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ips::V4(source, destination),
        (source, destination) => Ips::V6(as_v6(source), as_v6(destination)),
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn ports(endpoints: Endpoints) -> [u16; 2] {
    [endpoints.source.port(), endpoints.destination.port()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy_protocol::read;

    fn told(source: &str, destination: &str) -> Told {
        let address = |text: &str| text.parse().expect("an address");
        let (source, destination) = (address(source), address(destination));
        Told::Client(Endpoints { source, destination })
    }

    fn header(version: ProxyProtocol, told: Told) -> Vec<u8> {
        Announcement { version, told }.header()
    }

    #[test]
    fn a_line() {
        let line = |told| String::from_utf8(header(ProxyProtocol::V1, told)).expect("text");
        let v4 = told("192.0.2.7:5", "10.0.0.1:443");
        assert_eq!(line(v4), "PROXY TCP4 192.0.2.7 10.0.0.1 5 443\r\n");
        let v6 = told("[2001:db8::7]:65535", "[::1]:443");
        assert_eq!(line(v6), "PROXY TCP6 2001:db8::7 ::1 65535 443\r\n");
        let mapped = told("[::ffff:192.0.2.7]:5", "[::ffff:10.0.0.1]:443");
        assert_eq!(line(mapped), "PROXY TCP4 192.0.2.7 10.0.0.1 5 443\r\n");
        let mixed = told("192.0.2.7:5", "[2001:db8::1]:443");
        assert_eq!(line(mixed), "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 5 443\r\n");
        assert_eq!(line(Told::Nobody), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2() {
        let bytes = header(ProxyProtocol::V2, told("192.0.2.7:4660", "10.0.0.1:443"));
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\x01\xbb";
        assert_eq!(bytes, expected);
        assert_eq!(header(ProxyProtocol::V2, Told::Nobody), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    #[test]
    fn what_is_written_is_read() {
        for told in [
            told("192.0.2.7:5", "10.0.0.1:443"),
            told("[2001:db8::7]:65535", "[::1]:443"),
            Told::Nobody,
        ] {
            assert_eq!(read::v1(&header(ProxyProtocol::V1, told)), Some(told));
            let bytes = header(ProxyProtocol::V2, told);
            let (head, rest) = bytes.split_at(16);
            assert_eq!(read::v2(head[12], head[13], rest), Some(told));
        }
    }
}
