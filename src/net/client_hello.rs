//! Which name a TLS client asks for, read from its first words without answering them (RFC 8446,
//! section 4.1.2; RFC 6066, section 3). Pure: bytes in, a name or "more" out.
//!
//! It is read strictly: what another reader could take for another name has none.

/// So long a ClientHello may be, without the heads of its records. The longest of browsers, with a
/// post-quantum key, take 2 KiB.
pub const MAX_HELLO: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// The largest fragment that a record may carry (RFC 8446, section 5.1).
const MAX_FRAGMENT: usize = 1 << 14;
/// RFC 1035, section 2.3.4.
const LONGEST_NAME: usize = 253;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Too few to say.
    More,
    /// No TLS.
    Other,
    /// A whole ClientHello, and the name it asks for: in lower case, without a dot at its end.
    Hello(Option<String>),
}

/// TLS, but nothing that a careful client would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads a ClientHello as it comes. No record is read twice: the smallest carry one byte, and each may
/// come by itself.
#[derive(Default)]
pub struct Reader {
    /// So many bytes are whole records, whose fragments are joined.
    read: usize,
    joined: Vec<u8>,
}

impl Reader {
    /// Reads what has come so far, from the first byte of the connection on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Reading, Malformed> {
        match bytes {
            [] => return Ok(Reading::More),
            [HANDSHAKE, ..] => {}
            _ => return Ok(Reading::Other),
        }
        loop {
            if let Some(message) = message(&self.joined)? {
                return hello(message).map(Reading::Hello).ok_or(Malformed);
            }
            let Some(Record { fragment, behind }) = record(&bytes[self.read..])? else {
                return Ok(Reading::More);
            };
            self.joined.extend_from_slice(fragment);
            self.read = bytes.len() - behind.len();
        }
    }
}

/// The body of the first handshake message, whose fragments these are; `None`: not all of it is here
/// yet.
fn message(joined: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    match joined.first() {
        Some(&kind) if kind != CLIENT_HELLO => return Err(Malformed),
        _ => {}
    }
    let [_, a, b, c, body @ ..] = joined else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    if length > MAX_HELLO || body.len() > length {
        // Nothing may follow it before it has been answered.
        return Err(Malformed);
    }
    Ok((body.len() == length).then_some(body))
}

/// The first record, and what stands behind it.
struct Record<'a> {
    fragment: &'a [u8],
    behind: &'a [u8],
}

fn record(bytes: &[u8]) -> Result<Option<Record<'_>>, Malformed> {
    let kinds = [Some(&HANDSHAKE), None];
    let majors = [Some(&3), None];
    if !kinds.contains(&bytes.first()) || !majors.contains(&bytes.get(1)) {
        return Err(Malformed);
    }
    let [_, _, _, high, low, behind @ ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if !(1..=MAX_FRAGMENT).contains(&length) {
        return Err(Malformed);
    }
    let parts = behind.split_at_checked(length);
    Ok(parts.map(|(fragment, behind)| Record { fragment, behind }))
}

/// What the message says of a name; `None`: it is malformed.
fn hello(message: &[u8]) -> Option<Option<String>> {
    let mut rest = Bytes(message);
    let version = rest.take(2)?;
    if version[0] != 3 {
        return None;
    }
    let _random = rest.take(32)?;
    let session = rest.prefixed::<1>()?;
    let suites = rest.prefixed::<2>()?;
    let compressions = rest.prefixed::<1>()?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return None;
    }
    if rest.0.is_empty() {
        // Before TLS 1.3 there need be no extension at all.
        return Some(None);
    }
    let extensions = rest.prefixed::<2>()?;
    rest.0.is_empty().then_some(())?;
    name_of(extensions)
}

fn name_of(extensions: &[u8]) -> Option<Option<String>> {
    let mut rest = Bytes(extensions);
    let mut kinds = Vec::new();
    let mut name = None;
    while !rest.0.is_empty() {
        let kind = u16::from_be_bytes(rest.take(2)?.try_into().ok()?);
        let content = rest.prefixed::<2>()?;
        if kind == SERVER_NAME {
            name = Some(server_name(content)?);
        }
        kinds.push(kind);
    }
    kinds.sort_unstable();
    let each_once = kinds.windows(2).all(|pair| pair[0] != pair[1]);
    each_once.then_some(name)
}

/// One host name: no second, and nothing of a kind that no one knows.
fn server_name(content: &[u8]) -> Option<String> {
    let mut outer = Bytes(content);
    let mut list = Bytes(outer.prefixed::<2>()?);
    let kind = list.take(1)?;
    let name = list.prefixed::<2>()?;
    if kind[0] != HOST_NAME || !list.0.is_empty() || !outer.0.is_empty() {
        return None;
    }
    // Forbidden, but sent by some; it names no other host.
    let name = name.strip_suffix(b".").unwrap_or(name);
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.iter().all(allowed) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// What a length of `N` bytes stands before.
    fn prefixed<const N: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.take(N)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, server::Acceptor,
    };

    use super::*;

    fn read(bytes: &[u8]) -> Result<Reading, Malformed> {
        Reader::default().read(bytes)
    }

    /// What a client of rustls says first.
    fn said(name: &str) -> Vec<u8> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = name.to_owned().try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("a Vec takes all");
        bytes
    }

    fn hello_of(name: &str) -> Result<Reading, Malformed> {
        Ok(Reading::Hello((!name.is_empty()).then(|| name.to_owned())))
    }

    /// The same message in records of at most `size` bytes.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let records = hello[5..].chunks(size);
        records
            .flat_map(|part| {
                let length = (part.len() as u16).to_be_bytes();
                [&[HANDSHAKE, 3, 1], &length[..], part].concat()
            })
            .collect()
    }

    /// A hello with these extensions.
    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        let length = (extensions.len() as u16).to_be_bytes();
        let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 0x01], &[1, 0], &length, extensions]
            .concat();
        let message = [&[CLIENT_HELLO, 0], &(body.len() as u16).to_be_bytes()[..], &body].concat();
        [&[HANDSHAKE, 3, 1], &(message.len() as u16).to_be_bytes()[..], &message].concat()
    }

    fn name_extension(name: &[u8]) -> Vec<u8> {
        let length = |length: usize| (length as u16).to_be_bytes();
        let (outer, list, own) =
            (length(name.len() + 5), length(name.len() + 3), length(name.len()));
        [&[0, 0], &outer[..], &list, &[HOST_NAME], &own, name].concat()
    }

    #[test]
    fn a_name_is_read_however_it_comes() {
        let hello = said("Www.Example.com");
        assert_eq!(read(&hello), hello_of("www.example.com"));
        for size in [1, 7, 100] {
            assert_eq!(read(&in_records(&hello, size)), hello_of("www.example.com"), "{size}");
        }
        for end in 0..hello.len() {
            assert_eq!(read(&hello[..end]), Ok(Reading::More), "{end} bytes");
        }
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let mut bytes = in_records(&said("www.example.com"), 1);
        let length = bytes.len();
        let mut reader = Reader::default();
        for end in 1..length {
            assert_eq!(reader.read(&bytes[..end]), Ok(Reading::More), "{end} bytes");
            // It is told again what it is, by its first byte alone.
            bytes[..end / 6 * 6].iter_mut().skip(1).for_each(|byte| *byte = 0);
        }
        assert_eq!(reader.read(&bytes), hello_of("www.example.com"));
    }

    #[test]
    fn a_client_may_ask_for_none() {
        assert_eq!(read(&said("192.0.2.7")), hello_of(""));
        assert_eq!(read(&with_extensions(&[])), hello_of(""));
        let without = with_extensions(&[]);
        let body = without.len() - 11;
        let mut old = without[..without.len() - 2].to_vec();
        (old[4], old[8]) = (body as u8 + 4, body as u8);
        (old[4], old[8]) = (old.len() as u8 - 5, old.len() as u8 - 9);
        assert_eq!(read(&old), hello_of(""), "TLS 1.2 without extensions");
    }

    #[test]
    fn what_is_no_tls() {
        for bytes in [&b"SSH-2.0-x"[..], b"GET / HTTP/1.1", b"\0", b"\x80\x2e\x01"] {
            assert_eq!(read(bytes), Ok(Reading::Other));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = |bytes: &[u8]| assert_eq!(read(bytes), Err(Malformed), "{bytes:?}");
        let name = name_extension(b"a.example");
        assert_eq!(read(&with_extensions(&name)), hello_of("a.example"));
        assert_eq!(read(&with_extensions(&name_extension(b"A.example."))), hello_of("a.example"));
        refused(&with_extensions(&[&name[..], &name].concat()));
        refused(&with_extensions(&[&name[..], &[5, 5, 0, 0, 5, 5, 0, 0]].concat()));
        for bad in [&b""[..], b".", b"a b", b"a\0b", b"a/b", b"\xc3\xa9.example", &[b'a'; 254]] {
            refused(&with_extensions(&name_extension(bad)));
        }
        // Two names; a name of another kind; a list that is shorter than its extension.
        refused(&with_extensions(b"\0\0\0\x0a\0\x08\0\0\x01a\0\0\x01b"));
        refused(&with_extensions(b"\0\0\0\x06\0\x04\x01\0\x01a"));
        refused(&with_extensions(b"\0\0\0\x07\0\x04\0\0\x01ab"));
        // Bytes behind the message in its record, and another message than a hello.
        let mut more = with_extensions(&name);
        more.push(0);
        more[4] += 1;
        refused(&more);
        refused(&[HANDSHAKE, 3, 1, 0, 4, 2, 0, 0, 0]);
        refused(&[HANDSHAKE, 3, 1, 0, 0]);
        refused(&[HANDSHAKE, 2]);
        refused(&[HANDSHAKE, 3, 1, 0, 4, CLIENT_HELLO, 1, 0, 0]);
    }

    #[test]
    fn whoever_else_reads_a_name_reads_the_same() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let hello = said("www.example.com");
        let mut both = 0;
        for _ in 0..20_000 {
            let mut bytes = hello.clone();
            for _ in 0..random.usize(..3) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] = bytes[at].wrapping_add(1),
                    _ => drop(bytes.remove(at)),
                }
            }
            let mut acceptor = Acceptor::default();
            let fed = acceptor.read_tls(&mut &bytes[..]);
            let (Ok(_), Ok(Some(accepted))) = (fed, acceptor.accept()) else {
                // It must not panic, whatever comes.
                let _ = read(&bytes);
                continue;
            };
            if let Ok(Reading::Hello(name)) = read(&bytes) {
                let theirs = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                assert_eq!(name, theirs, "seed {seed}: {bytes:?}");
                both += 1;
            }
        }
        assert!(both > 1_000, "{both}");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let length = random.usize(..80);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            for (byte, right) in bytes.iter_mut().zip([HANDSHAKE, 3, 1, 0, 60, 1, 0, 0, 56, 3]) {
                if random.u8(..10) > 0 {
                    *byte = right;
                }
            }
            let _ = read(&bytes);
        }
    }
}
