//! Which bytes of a file a request asks for (RFC 9110, section 14). Pure.
//!
//! What breaks the grammar, has another unit or asks for more than it should is ignored, which
//! section 14.2 allows at any time: the client gets the whole file. So no set of ranges costs more
//! than the file itself: there are at most `max_ranges` of them, and together they are no longer than
//! it. Within that, overlapping ones are sent as asked for, as nginx and Go do: to join them would
//! spare a few bytes, and answer a client with ranges that it did not name.

use std::io::Write;

use crate::message::field::list_members;

/// Bytes of a file, both ends included, as the field says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    /// Not less than `first`.
    pub last: u64,
}

impl ByteRange {
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of Content-Range (section 14.4) in an answer of a file of so many bytes.
    pub fn write(self, out: &mut Vec<u8>, whole: u64) {
        let ByteRange { first, last } = self;
        write!(out, "bytes {first}-{last}/{whole}").expect("a Vec takes every byte");
    }
}

/// What is sent of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it, with 200.
    Whole,
    /// 206 with Content-Range.
    One(ByteRange),
    /// 206 with multipart/byteranges; at least two.
    Several(Vec<ByteRange>),
    /// 416: no range begins within the file.
    Unsatisfiable,
}

/// The value of Content-Range in a 416 (section 15.5.17).
pub fn write_unsatisfied(out: &mut Vec<u8>, whole: u64) {
    write!(out, "bytes */{whole}").expect("a Vec takes every byte");
}

/// Reads the value of Range for a file of so many bytes.
pub fn select(value: &[u8], whole: u64, max_ranges: usize) -> Selection {
    // No Content-Range can name a part of nothing, and some clients ask for "the first megabyte" of
    // everything: an empty file is sent as it is.
    let Some(set) = range_set(value).filter(|_| whole > 0) else {
        return Selection::Whole;
    };
    let mut ranges = Vec::new();
    let (mut asked, mut bytes) = (0, 0_u64);
    for spec in list_members(set) {
        asked += 1;
        let Some(spec) = read(spec).filter(|_| asked <= max_ranges) else {
            return Selection::Whole;
        };
        let Some(range) = spec.within(whole) else {
            continue;
        };
        bytes = match bytes.checked_add(range.length()) {
            Some(bytes) if bytes <= whole => bytes,
            _ => return Selection::Whole,
        };
        ranges.push(range);
    }
    match ranges[..] {
        _ if asked == 0 => Selection::Whole,
        [] => Selection::Unsatisfiable,
        [range] => Selection::One(range),
        _ => Selection::Several(ranges),
    }
}

/// Names of units are read in any case (section 14.1).
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// A range as it is written (section 14.1.1).
enum Spec {
    /// `500-`: up to the end, which is `last` then.
    From { first: u64, last: u64 },
    /// `-500`.
    Last(u64),
}

fn read(spec: &[u8]) -> Option<Spec> {
    let dash = memchr::memchr(b'-', spec)?;
    match (&spec[..dash], &spec[dash + 1..]) {
        (b"", length) => Some(Spec::Last(position(length)?)),
        (first, b"") => Some(Spec::From { first: position(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
}

/// A number too large for any file is as large as can be.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append =
        |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, append))
}

impl Spec {
    /// What there is of it in a file of so many bytes, more than none.
    fn within(self, whole: u64) -> Option<ByteRange> {
        let end = whole - 1;
        match self {
            Spec::From { first, last } => {
                (first <= end).then(|| ByteRange { first, last: last.min(end) })
            }
            Spec::Last(length) => {
                (length > 0).then(|| ByteRange { first: whole.saturating_sub(length), last: end })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_RANGES: usize = 4;

    fn text(selection: Selection) -> String {
        let one = |range: &ByteRange| format!("{}-{}", range.first, range.last);
        match selection {
            Selection::Whole => "whole".to_owned(),
            Selection::One(range) => one(&range),
            Selection::Several(ranges) => ranges.iter().map(one).collect::<Vec<_>>().join(" "),
            Selection::Unsatisfiable => "416".to_owned(),
        }
    }

    #[track_caller]
    fn check(whole: u64, rows: &[(&str, &str)]) {
        for (value, expected) in rows {
            assert_eq!(text(select(value.as_bytes(), whole, MAX_RANGES)), *expected, "{value}");
        }
    }

    /// The examples of section 14.1.2 are of a file of 10,000 bytes.
    #[test]
    fn one_range() {
        check(
            10_000,
            &[
                ("bytes=0-499", "0-499"),
                ("bytes=500-999", "500-999"),
                ("bytes=-500", "9500-9999"),
                ("bytes=9500-", "9500-9999"),
                ("bytes=0-", "0-9999"),
                ("bytes=0-0", "0-0"),
                ("bytes=9999-9999", "9999-9999"),
                ("bytes=9999-10000", "9999-9999"),
                ("bytes=0-99999999999999999999999", "0-9999"),
                ("bytes=-10001", "0-9999"),
                ("bytes=-99999999999999999999999", "0-9999"),
                ("BYTES=0-1", "0-1"),
                ("bytes= 0-1 ", "0-1"),
                ("bytes=,0-1,", "0-1"),
                ("bytes=00-01", "0-1"),
            ],
        );
    }

    #[test]
    fn several_ranges() {
        check(
            10_000,
            &[
                ("bytes=0-0,-1", "0-0 9999-9999"),
                ("bytes=0-999, 4500-5499,\t-1000", "0-999 4500-5499 9000-9999"),
                ("bytes=500-600,601-999", "500-600 601-999"),
                ("bytes=500-700,601-999", "500-700 601-999"),
                ("bytes=5-6,0-1", "5-6 0-1"),
                ("bytes=0-1,,2-3", "0-1 2-3"),
                ("bytes=0-4999,5000-9999", "0-4999 5000-9999"),
                ("bytes=0-1,10000-", "0-1"),
                ("bytes=0-1,2-3,4-5,6-7", "0-1 2-3 4-5 6-7"),
            ],
        );
    }

    #[test]
    fn what_asks_for_too_much_gets_the_whole() {
        check(
            10_000,
            &[
                ("bytes=0-1,2-3,4-5,6-7,8-9", "whole"),
                ("bytes=10000-,10000-,10000-,10000-,10000-", "whole"),
                ("bytes=0-,0-", "whole"),
                ("bytes=0-4999,4999-9999", "whole"),
                ("bytes=-1,0-", "whole"),
            ],
        );
        assert_eq!(select(b"bytes=0-1", 10, 0), Selection::Whole);
        assert_eq!(select(b"bytes=0-1", 10, 1), Selection::One(ByteRange { first: 0, last: 1 }));
        assert_eq!(select(b"bytes=0-1,3-4", 10, 1), Selection::Whole);
    }

    #[test]
    fn what_breaks_the_grammar_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=abc",
            "bytes=1",
            "bytes=2-1",
            "bytes=0-1,2-1",
            "bytes=0-1,x",
            "bytes=+0-1",
            "bytes=0--1",
            "bytes=--1",
            "bytes=0 -1",
            "bytes=0- 1",
            "bytes=0x0-1",
            "bytes=0-1;2-3",
            "bytes =0-1",
            "bytes:0-1",
            " bytes=0-1",
            "lines=0-1",
            "none",
            "bytes=1.0-2",
        ] {
            check(10_000, &[(value, "whole")]);
        }
    }

    #[test]
    fn ranges_outside_of_the_file() {
        check(
            10_000,
            &[
                ("bytes=10000-", "416"),
                ("bytes=10000-10001", "416"),
                ("bytes=-0", "416"),
                ("bytes=99999999999999999999999-", "416"),
                ("bytes=10000-,-0", "416"),
                ("bytes=-0,-1", "9999-9999"),
            ],
        );
        check(1, &[("bytes=0-", "0-0"), ("bytes=-1", "0-0"), ("bytes=1-", "416")]);
        check(0, &[("bytes=0-", "whole"), ("bytes=-1", "whole"), ("bytes=5-", "whole")]);
    }

    #[test]
    fn what_content_range_says() {
        let mut out = Vec::new();
        ByteRange { first: 42, last: 1233 }.write(&mut out, 1234);
        out.push(b'\n');
        write_unsatisfied(&mut out, 1234);
        assert_eq!(out, b"bytes 42-1233/1234\nbytes */1234");
    }

    /// Whatever is asked for lies within the file, and is no more than it.
    #[test]
    fn no_set_of_ranges_costs_more_than_the_file() {
        let mut random = fastrand::Rng::with_seed(9);
        let words = ["bytes=", "0", "-", ",", " ", "5", "9", "18446744073709551615", "10", "1-"];
        let mut selected = 0;
        for _ in 0..50_000 {
            let whole = [0, 1, 10, 100, u64::MAX][random.usize(..5)];
            let words = (0..random.usize(1..9)).map(|_| words[random.usize(..words.len())]);
            let value = format!("bytes={}", words.collect::<String>());
            let ranges = match select(value.as_bytes(), whole, MAX_RANGES) {
                Selection::Whole | Selection::Unsatisfiable => continue,
                Selection::One(range) => vec![range],
                Selection::Several(ranges) => ranges,
            };
            selected += 1;
            assert!(ranges.len() <= MAX_RANGES, "{value}");
            assert!(ranges.iter().all(|range| range.first <= range.last && range.last < whole));
            let bytes: u128 = ranges.iter().map(|range| u128::from(range.length())).sum();
            assert!(bytes <= u128::from(whole), "{value}");
        }
        assert!(selected > 1_000, "{selected}");
    }
}
