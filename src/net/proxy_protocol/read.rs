//! The header that a proxy before us sends. The parsers are pure.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::AsyncReadExt;

use crate::net::socket::Socket;

use super::{Endpoints, SIGNATURE, Told};

/// The longest line of version 1, its CRLF included (section 2.1).
const LONGEST_LINE: usize = 107;
/// What may follow the head of version 2: addresses, then fields that we skip.
const MAX_REST: usize = 4096;

/// Why there is no header.
#[derive(Debug)]
pub enum HeaderError {
    /// What came first is no header.
    Malformed,
    Io(io::Error),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> HeaderError {
        HeaderError::Io(error)
    }
}

/// Reads the header and no byte behind it.
pub async fn header(stream: &mut Socket) -> Result<Told, HeaderError> {
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await?;
    if begin == SIGNATURE {
        return read_v2(stream).await;
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE || !line.starts_with(b"PROXY ") {
            return Err(HeaderError::Malformed);
        }
        line.push(next_of_line(stream).await?);
    }
    v1(&line).ok_or(HeaderError::Malformed)
}

/// A byte at a time: what stands behind the line is not ours to read.
async fn next_of_line(stream: &mut Socket) -> io::Result<u8> {
    stream.read_u8().await
}

async fn read_v2(stream: &mut Socket) -> Result<Told, HeaderError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(HeaderError::Malformed);
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    v2(command, family, &rest).ok_or(HeaderError::Malformed)
}

/// A whole line of version 1 with its CRLF (section 2.1).
pub fn v1(line: &[u8]) -> Option<Told> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        let plain = line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        return plain.then_some(Told::Nobody);
    }
    let (source, destination) = (ip(family, words.next()?)?, ip(family, words.next()?)?);
    let ports = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let source = SocketAddr::new(source, ports.0);
    Some(Told::Client(Endpoints { source, destination: SocketAddr::new(destination, ports.1) }))
}

fn ip(family: &str, text: &str) -> Option<IpAddr> {
    match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// Decimal, without a sign or a zero in front.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| digits && canonical)
}

/// What follows the signature of version 2 (section 2.2): version and command, family and protocol,
/// the addresses with what stands behind them.
pub fn v2(command: u8, family: u8, rest: &[u8]) -> Option<Told> {
    match command {
        0x20 => return Some(Told::Nobody),
        0x21 => {}
        _ => return None,
    }
    match family {
        // Over TCP; what is told of other kinds of socket is none of ours.
        0x11 => {
            let (addresses, _) = rest.split_first_chunk::<12>()?;
            let (source, rest) = addresses.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            endpoints(Ipv4Addr::from(*source), Ipv4Addr::from(*destination), ports)
        }
        0x21 => {
            let (addresses, _) = rest.split_first_chunk::<36>()?;
            let (source, rest) = addresses.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            endpoints(Ipv6Addr::from(*source), Ipv6Addr::from(*destination), ports)
        }
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(Told::Nobody),
        _ => None,
    }
}

/// The ports are the source's, then the destination's.
fn endpoints<Ip: Into<IpAddr>>(source: Ip, destination: Ip, ports: &[u8]) -> Option<Told> {
    let &[a, b, c, d] = ports.first_chunk::<4>()?;
    let source = SocketAddr::new(source.into(), u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new(destination.into(), u16::from_be_bytes([c, d]));
    Some(Told::Client(Endpoints { source, destination }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(source: &str, destination: &str) -> Option<Told> {
        let address = |text: &str| text.parse().expect("an address");
        let (source, destination) = (address(source), address(destination));
        Some(Told::Client(Endpoints { source, destination }))
    }

    #[test]
    fn a_line() {
        let line = |line: &str| v1(format!("{line}\r\n").as_bytes());
        assert_eq!(
            line("PROXY TCP4 192.0.2.7 10.0.0.1 5 443"),
            client("192.0.2.7:5", "10.0.0.1:443")
        );
        assert_eq!(
            line("PROXY TCP6 2001:db8::7 ::1 65535 443"),
            client("[2001:db8::7]:65535", "[::1]:443")
        );
        assert_eq!(line("PROXY UNKNOWN"), Some(Told::Nobody));
        assert_eq!(line("PROXY UNKNOWN ffff::1 x 1 2"), Some(Told::Nobody));
        for bad in [
            "PROXY",
            "proxy TCP4 192.0.2.7 10.0.0.1 5 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 5",
            "PROXY TCP4 192.0.2.7 10.0.0.1 5 443 6",
            "PROXY TCP4  192.0.2.7 10.0.0.1 5 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 5 65536",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +5 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 05 443",
            "PROXY TCP4 192.0.2.07 10.0.0.1 5 443",
            "PROXY TCP4 2001:db8::7 ::1 5 443",
            "PROXY TCP6 192.0.2.7 10.0.0.1 5 443",
            "PROXY UDP4 192.0.2.7 10.0.0.1 5 443",
            "PROXY UNKNOWN \0",
        ] {
            assert_eq!(line(bad), None, "{bad}");
        }
        assert_eq!(v1(b"PROXY UNKNOWN\n"), None);
    }

    #[test]
    fn a_head_of_version_2() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0, 5, 1, 187];
        assert_eq!(v2(0x21, 0x11, &v4), client("192.0.2.7:5", "10.0.0.1:443"));
        let with_more = [&v4[..], &[3, 0, 1, 0]].concat();
        assert_eq!(v2(0x21, 0x11, &with_more), client("192.0.2.7:5", "10.0.0.1:443"));
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 9, 8);
        assert_eq!(v2(0x21, 0x21, &v6), client("[::1]:9", "[::2]:8"));
        assert_eq!(v2(0x20, 0x11, &v4), Some(Told::Nobody), "its own connection");
        assert_eq!(v2(0x21, 0x00, &[]), Some(Told::Nobody));
        assert_eq!(v2(0x21, 0x11, &v4[..11]), None);
        assert_eq!(v2(0x21, 0x21, &v6[..35]), None);
        for (command, family) in [(0x22, 0x11), (0x11, 0x11), (0x31, 0x11), (0x21, 0x13)] {
            assert_eq!(v2(command, family, &v4), None);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let alphabet = b"PROXY TCP46UNKNOWN0123456789.:af \r\n\0\xff";
        for _ in 0..20_000 {
            let length = random.usize(..80);
            let text: Vec<u8> =
                (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            let _ = v1(&[b"PROXY TCP4 ", &text[..], b"\r\n"].concat());
            let _ = v2(random.u8(0x20..0x23), random.u8(..0x40), &text);
        }
    }
}
