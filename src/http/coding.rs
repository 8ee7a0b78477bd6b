//! How a body is framed where it goes. Pure.

use crate::http::fastcgi::record::{self, Kind, MOST_CONTENT};

/// What stands around the pieces of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is: the head has its length, or the connection ends with it.
    Identity,
    Chunked,
    /// In FastCGI's records.
    Records,
}

impl Coding {
    /// How many bytes may go as one piece.
    pub fn most(self) -> usize {
        match self {
            Coding::Identity | Coding::Chunked => usize::MAX,
            Coding::Records => MOST_CONTENT,
        }
    }
}

/// What goes before a piece of so many bytes.
pub fn push_piece(out: &mut Vec<u8>, coding: Coding, count: usize) {
    match coding {
        Coding::Identity => {}
        Coding::Chunked => {
            push_hex(out, count);
            out.extend_from_slice(b"\r\n");
        }
        Coding::Records => out.extend_from_slice(&record::header(Kind::Stdin, count)),
    }
}

/// What goes behind the last piece. Records have no room for trailers.
pub fn push_end(out: &mut Vec<u8>, coding: Coding, trailers: &[u8]) {
    match coding {
        Coding::Identity => {}
        Coding::Chunked => {
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(trailers);
            out.extend_from_slice(b"\r\n");
        }
        Coding::Records => record::end_stdin(out),
    }
}

/// A chunk's size.
fn push_hex(out: &mut Vec<u8>, count: usize) {
    use std::io::Write;
    write!(out, "{count:x}").expect("a Vec takes every byte");
}
