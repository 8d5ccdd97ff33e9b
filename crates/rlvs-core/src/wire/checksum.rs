//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! The ones' complement sum does not care for byte order as long as all words have the same one, so everything here
//! works on words as they lie in memory.

use super::addr::Addr;
use super::be::{Be16, Be32};

/// Adds two words of a sum, with end-around carry.
#[inline(always)]
pub const fn add(a: u32, b: u32) -> u32 {
    let s = a as u64 + b as u64;
    (s as u32).wrapping_add((s >> 32) as u32)
}

/// Folds a 32-bit sum to 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let s = (sum & 0xffff) + (sum >> 16);
    ((s & 0xffff) + (s >> 16)) as u16
}

/// The checksum of what was summed, as it goes into a header.
#[inline(always)]
pub const fn finish(sum: u32) -> Be16 {
    Be16(!fold(sum))
}

#[inline(always)]
pub fn sum_words(words: &[Be32]) -> u32 {
    let mut sum = 0;
    for w in words {
        sum = add(sum, w.0);
    }
    sum
}

/// The sum of some bytes; an odd last byte is padded with zero. For the host.
pub fn sum_bytes(bytes: &[u8]) -> u32 {
    let mut sum = 0;
    for pair in bytes.chunks(2) {
        let b = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum = add(sum, u16::from_ne_bytes(b) as u32);
    }
    sum
}

/// What to add to a sum when the word `old` becomes `new`.
#[inline(always)]
pub const fn change(old: u32, new: u32) -> u32 {
    add(!old, new)
}

/// A header's checksum after the words it covers changed by `change` (RFC 1624, equation 3).
#[inline(always)]
pub const fn update(check: Be16, change: u32) -> Be16 {
    finish(add(!check.0 as u32 & 0xffff, change))
}

/// The sum over the pseudo header of TCP and UDP (RFC 9293, section 3.1; of IPv6: RFC 8200, section 8.1), not folded.
#[inline(always)]
pub fn pseudo<A: Addr>(src: A, dst: A, proto: u8, l4_len: u16) -> u32 {
    let mut sum = Be16::new(proto as u16).0 as u32 + Be16::new(l4_len).0 as u32;
    let mut i = 0;
    while i < A::WORDS {
        sum = add(sum, add(src.word(i).0, dst.word(i).0));
        i += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updating_equals_summing_anew() {
        let mut bytes = [0x45u8, 0x10, 0, 48, 0x42, 0x42, 0, 0, 60, 6, 0, 0, 172, 16, 0, 9, 10, 0, 0, 100];
        let before = finish(sum_bytes(&bytes));
        assert_eq!(before.bytes(), [0x85, 0xf9], "recorded in c2-nat");
        let old = u32::from_ne_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        bytes[16..].copy_from_slice(&[10, 1, 0, 1]);
        let new = u32::from_ne_bytes([10, 1, 0, 1]);
        assert_eq!(update(before, change(old, new)), finish(sum_bytes(&bytes)));
    }
}
