//! A body by its framing (RFC 9112, section 6). Pure.

use crate::http::refusal::{self, Refusal};

use super::chunked::{self, Chunked, LateFields};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
    /// By the end of the connection: responses only.
    UntilClose,
}

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    reading: Reading,
    /// Bytes of data that may come.
    left: u64,
    /// A piece of it was found, and consumed by whoever asked.
    begun: bool,
}

#[derive(Debug)]
enum Reading {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes are data.
    Data(usize),
    /// So many bytes are framing: to be skipped.
    Framing(usize),
    /// So many bytes are framing, and the body has ended.
    End(usize),
    /// Nothing: more must be read.
    More,
}

impl Body {
    /// Of a request. `limit`: how many bytes of data it may have where its length is not told.
    pub fn new(framing: Framing, limit: u64) -> Body {
        Body::of(framing, limit, LateFields::Refused)
    }

    pub fn of_answer(framing: Framing) -> Body {
        Body::of(framing, u64::MAX, LateFields::Dropped)
    }

    fn of(framing: Framing, limit: u64, late_fields: LateFields) -> Body {
        let reading = match framing {
            Framing::Empty | Framing::Length(0) => Reading::Ended,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked(Chunked::new(late_fields)),
            Framing::UntilClose => Reading::UntilClose,
        };
        Body { reading, left: limit, begun: false }
    }

    /// Reads one piece; the caller consumes what it counts before it asks again.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let piece = self.read(input)?;
        self.begun |= piece != Piece::More;
        Ok(piece)
    }

    fn read(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let piece = match &mut self.reading {
            Reading::Ended => return Ok(Piece::End(0)),
            _ if input.is_empty() => return Ok(Piece::More),
            Reading::UntilClose => Piece::Data(input.len()),
            Reading::Length(left) => {
                let length =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= length as u64;
                if *left == 0 {
                    self.reading = Reading::Ended;
                }
                return Ok(Piece::Data(length));
            }
            Reading::Chunked(chunked) => {
                let piece = match chunked.next(input)? {
                    None => Piece::More,
                    Some(chunked::Piece::Framing(count)) => Piece::Framing(count),
                    Some(chunked::Piece::Data(count)) => Piece::Data(count),
                    Some(chunked::Piece::End(count)) => Piece::End(count),
                };
                // A chunk that says it is too long is refused before its data has come.
                if matches!(piece, Piece::Framing(_)) && chunked.left() > self.left {
                    return Err(refusal::BODY_TOO_LARGE);
                }
                piece
            }
        };
        if let Piece::Data(count) = piece {
            self.left = self.left.checked_sub(count as u64).ok_or(refusal::BODY_TOO_LARGE)?;
        }
        Ok(piece)
    }

    /// So many bytes of data, no more than remain of a told length, have gone past the input.
    pub fn skip(&mut self, count: u64) {
        let Reading::Length(left) = &mut self.reading else {
            unreachable!("only a told length is known without looking");
        };
        *left = left.checked_sub(count).expect("no more is skipped than remains");
        self.begun |= count > 0;
        if *left == 0 {
            self.reading = Reading::Ended;
        }
    }

    /// Whether not a byte of it was consumed, of its framing neither.
    pub fn is_untouched(&self) -> bool {
        !self.begun
    }

    /// The connection ended: whether the body may end with it.
    pub fn may_end_with_connection(&self) -> bool {
        matches!(self.reading, Reading::UntilClose | Reading::Ended)
    }

    /// The trailer lines that came, each with its CRLF.
    pub fn trailers(&self) -> &[u8] {
        match &self.reading {
            Reading::Chunked(chunked) => chunked.trailers(),
            Reading::Length(_) | Reading::UntilClose | Reading::Ended => &[],
        }
    }

    /// Bytes of data that are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.reading {
            Reading::Length(left) => Some(left),
            Reading::Ended => Some(0),
            Reading::Chunked(_) | Reading::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_ends_the_body_and_leaves_the_next_request_alone() {
        let mut body = Body::new(Framing::Length(3), 10);
        assert_eq!(body.next(b""), Ok(Piece::More));
        assert!(!body.may_end_with_connection());
        assert_eq!(body.next(b"ab"), Ok(Piece::Data(2)));
        assert_eq!(body.next(b"cGET"), Ok(Piece::Data(1)));
        assert_eq!(body.next(b"GET"), Ok(Piece::End(0)));
    }

    #[test]
    fn a_chunked_body_is_held_to_the_limit() {
        let mut body = Body::new(Framing::Chunked, 4);
        assert_eq!(body.next(b"3\r\nabc"), Ok(Piece::Framing(3)));
        assert_eq!(body.next(b"abc"), Ok(Piece::Data(3)));
        assert_eq!(body.next(b"\r\n2\r\n"), Err(refusal::BODY_TOO_LARGE));
        let all_bits = b"FFFFFFFFFFFFFFFF\r\n";
        assert_eq!(Body::new(Framing::Chunked, 4).next(all_bits), Err(refusal::BODY_TOO_LARGE));
    }

    #[test]
    fn a_body_is_untouched_until_a_byte_of_it_is_consumed() {
        for (framing, first) in [(Framing::Length(3), "a"), (Framing::Chunked, "3\r")] {
            let mut body = Body::new(framing, 10);
            assert_eq!(body.next(b""), Ok(Piece::More));
            assert!(body.is_untouched());
            assert_ne!(body.next(first.as_bytes()), Ok(Piece::More));
            assert!(!body.is_untouched(), "{framing:?}");
        }
    }

    #[test]
    fn no_body_ends_at_once() {
        assert_eq!(Body::new(Framing::Empty, 0).next(b"x"), Ok(Piece::End(0)));
        assert_eq!(Body::new(Framing::Length(0), 0).next(b"x"), Ok(Piece::End(0)));
    }

    #[test]
    fn until_close_ends_with_the_connection() {
        let mut body = Body::new(Framing::UntilClose, u64::MAX);
        assert_eq!(body.next(b"abc"), Ok(Piece::Data(3)));
        assert!(body.may_end_with_connection());
    }
}
