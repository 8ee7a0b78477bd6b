//! FastCGI by hand: what a server of the tests' own reads, and the records that it writes.

use std::io::Read;

use super::Peer;

/// A request as it came: its flags, its parameters and its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub keeps_connection: bool,
    pub params: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of the one parameter of this name.
    #[track_caller]
    pub fn param(&self, name: &str) -> Option<&str> {
        let values: Vec<&str> = self
            .params
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(values.len() < 2, "{name} comes twice: {values:?}");
        values.first().copied()
    }

    /// Reads the next one, strictly; `None` when the daemon closed, or sent what no strict reader takes.
    pub fn read(peer: &mut Peer) -> Option<Asked> {
        let mut asked = Asked::default();
        let (kind, begin) = record(peer)?;
        if kind != 1 || begin[..2] != [0, 1] {
            peer.violation(format!("it begins with {kind} {begin:?}"));
            return None;
        }
        asked.keeps_connection = begin[2] & 1 == 1;
        for expected in [4, 5] {
            loop {
                let (kind, content) = record(peer)?;
                if kind != expected {
                    peer.violation(format!("{kind} where {expected} was expected"));
                    return None;
                }
                if content.is_empty() {
                    break;
                }
                match kind {
                    4 => asked.params.extend(pairs(&content)),
                    _ => asked.body.extend(content),
                }
            }
        }
        Some(asked)
    }
}

/// One record's kind and content.
fn record(peer: &mut Peer) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 8];
    peer.read_exact(&mut header).ok()?;
    let [version, kind, id_high, id_low, high, low, padding, _] = header;
    if (version, id_high, id_low) != (1, 0, 1) {
        peer.violation(format!("a record begins with {header:?}"));
        return None;
    }
    let mut content = vec![0; usize::from(u16::from_be_bytes([high, low])) + usize::from(padding)];
    peer.read_exact(&mut content).ok()?;
    content.truncate(content.len() - usize::from(padding));
    Some((kind, content))
}

fn pairs(mut content: &[u8]) -> Vec<(String, String)> {
    let length = |content: &mut &[u8]| -> usize {
        let (first, rest) = content.split_first().expect("a whole pair");
        *content = rest;
        if *first < 0x80 {
            return (*first).into();
        }
        let (more, rest) = content.split_at(3);
        *content = rest;
        u32::from_be_bytes([first & 0x7f, more[0], more[1], more[2]]) as usize
    };
    let mut pairs = Vec::new();
    while !content.is_empty() {
        let (name, value) = (length(&mut content), length(&mut content));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        pairs.push((text(&content[..name]), text(&content[name..name + value])));
        content = &content[name + value..];
    }
    pairs
}

pub fn stdout(content: impl AsRef<[u8]>) -> Vec<u8> {
    written(6, content.as_ref(), 0)
}

pub fn stderr(content: impl AsRef<[u8]>) -> Vec<u8> {
    written(7, content.as_ref(), 0)
}

/// `protocol_status` 0: the request is complete.
pub fn end(protocol_status: u8) -> Vec<u8> {
    written(3, &[0, 0, 0, 0, protocol_status, 0, 0, 0], 0)
}

/// A whole answer: the CGI head and the body in one record, then the end.
pub fn answer(content: impl AsRef<[u8]>) -> Vec<u8> {
    [stdout(content), end(0)].concat()
}

pub fn written(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("it fits in a record").to_be_bytes();
    let mut record = vec![1, kind, 0, 1, length[0], length[1], padding, 0];
    record.extend_from_slice(content);
    record.extend(vec![0; padding.into()]);
    record
}
