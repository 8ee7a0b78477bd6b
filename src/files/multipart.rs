//! The body of an answer with several ranges: multipart/byteranges (RFC 9110, section 14.6). Pure.
//!
//! What stands between the bytes of the file is written here; its length is known before any of it
//! is sent.

use std::io::Write;

use crate::files::ranges::ByteRange;

/// Sixteen random bytes are not in a file by chance.
pub const BOUNDARY_BYTES: usize = 16;

/// An answer's parts, in the order in which they were asked for.
#[derive(Debug)]
pub struct Multipart<'a> {
    boundary: String,
    /// Of the file.
    content_type: &'a str,
    /// Bytes of the file.
    whole: u64,
    ranges: &'a [ByteRange],
}

impl<'a> Multipart<'a> {
    pub fn new(
        random: [u8; BOUNDARY_BYTES],
        content_type: &'a str,
        whole: u64,
        ranges: &'a [ByteRange],
    ) -> Multipart<'a> {
        let boundary = format!("{:032x}", u128::from_be_bytes(random));
        Multipart { boundary, content_type, whole, ranges }
    }

    /// The answer's own Content-Type.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What stands in front of the bytes of the range at this position.
    pub fn write_head(&self, position: usize, out: &mut Vec<u8>) {
        let line_end = if position == 0 { "" } else { "\r\n" };
        let Multipart { boundary, content_type, whole, ranges } = self;
        write!(out, "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: ")
            .expect("a Vec takes every byte");
        ranges[position].write(out, *whole);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// What stands behind the bytes of the last range.
    pub fn write_end(&self, out: &mut Vec<u8>) {
        write!(out, "\r\n--{}--\r\n", self.boundary).expect("a Vec takes every byte");
    }

    /// Bytes of the whole body.
    pub fn length(&self) -> u64 {
        let mut framing = Vec::new();
        (0..self.ranges.len()).for_each(|position| self.write_head(position, &mut framing));
        self.write_end(&mut framing);
        let bytes: u64 = self.ranges.iter().map(|range| range.length()).sum();
        bytes + framing.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 14.6, with another boundary.
    #[test]
    fn a_body_of_two_parts() {
        let ranges = [ByteRange { first: 500, last: 999 }, ByteRange { first: 7000, last: 7999 }];
        let multipart = Multipart::new([0xa1; 16], "application/pdf", 8000, &ranges);
        let boundary = "a1".repeat(16);
        assert_eq!(multipart.content_type(), format!("multipart/byteranges; boundary={boundary}"));
        let file = vec![b'.'; 8000];
        let mut body = Vec::new();
        for (position, range) in ranges.iter().enumerate() {
            multipart.write_head(position, &mut body);
            body.extend_from_slice(&file[range.first as usize..=range.last as usize]);
        }
        multipart.write_end(&mut body);
        assert_eq!(body.len() as u64, multipart.length());
        let (first, second) = (".".repeat(500), ".".repeat(1000));
        let expected = format!(
            "--{boundary}\r\n\
             Content-Type: application/pdf\r\n\
             Content-Range: bytes 500-999/8000\r\n\
             \r\n\
             {first}\r\n\
             --{boundary}\r\n\
             Content-Type: application/pdf\r\n\
             Content-Range: bytes 7000-7999/8000\r\n\
             \r\n\
             {second}\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn a_boundary_has_all_its_digits() {
        let boundary = Multipart::new([0; 16], "a/b", 2, &[]).content_type();
        assert!(boundary.ends_with(&format!("={}", "0".repeat(32))), "{boundary}");
    }
}
