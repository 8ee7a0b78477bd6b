//! Numbers and addresses as a head is written: without `core::fmt`, which would be the most of what
//! writing a head costs.

use std::net::{IpAddr, Ipv4Addr};

/// In decimal.
pub fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// As `Display` has it.
pub fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => v4(out, address),
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

fn v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
}

/// Thirty-two hexadecimal digits.
pub fn hexadecimal(number: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    for (two, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        two[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        two[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_as_the_standard_library_writes_them() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        for sample in [0, 7, 10, 255, 65_535, u64::MAX] {
            assert_eq!(written(&|out| number(out, sample)), sample.to_string());
        }
        for sample in ["0.0.0.0", "192.0.2.7", "255.255.255.255", "2001:db8::1", "::"] {
            assert_eq!(written(&|out| address(out, sample.parse().unwrap())), sample);
        }
        for sample in [0, 5, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            assert_eq!(hexadecimal(sample), format!("{sample:032x}").as_bytes());
        }
    }
}
