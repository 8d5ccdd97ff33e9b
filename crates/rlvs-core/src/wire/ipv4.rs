//! The IPv4 header (RFC 791, section 3.1): where its fields are, and what an outer one is built from.

use super::be::Be32;
use super::checksum::{add, finish, sum_words};

pub const MIN_LEN: usize = 20;
pub const TOS_AT: usize = 1;
pub const TOTAL_LEN_AT: usize = 2;
pub const ID_AT: usize = 4;
pub const FRAG_AT: usize = 6;
pub const TTL_AT: usize = 8;
pub const PROTO_AT: usize = 9;
pub const CHECK_AT: usize = 10;
pub const SRC_AT: usize = 12;
pub const DST_AT: usize = 16;

pub const DONT_FRAGMENT: u16 = 0x4000;
pub const MORE_FRAGMENTS: u16 = 0x2000;
pub const OFFSET_MASK: u16 = 0x1fff;

/// A header of 20 bytes to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub tos: u8,
    pub total_len: u16,
    pub id: u16,
    pub dont_fragment: bool,
    pub ttl: u8,
    pub proto: u8,
    pub src: Be32,
    pub dst: Be32,
}

impl Header {
    /// The header as five words in memory order, its checksum filled in.
    #[inline(always)]
    pub fn words(&self) -> [Be32; 5] {
        let frag = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        let mut w = [
            Be32::new(0x4500_0000 | (self.tos as u32) << 16 | self.total_len as u32),
            Be32::new((self.id as u32) << 16 | frag as u32),
            Be32::new((self.ttl as u32) << 24 | (self.proto as u32) << 16),
            self.src,
            self.dst,
        ];
        let check = finish(sum_words(&w));
        w[2] = Be32(add(w[2].0, Be32::new(check.get() as u32).0));
        w
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_header_recorded_from_the_kernel() {
        // c2-tun-ipip, step "ACK, DF"
        let h = Header {
            tos: 0,
            total_len: 60,
            id: 0,
            dont_fragment: true,
            ttl: 63,
            proto: 4,
            src: Be32::from_bytes([10, 1, 0, 254]),
            dst: Be32::from_bytes([10, 1, 0, 1]),
        };
        let bytes: [[u8; 4]; 5] = h.words().map(Be32::bytes);
        assert_eq!(bytes[0], [0x45, 0, 0, 60]);
        assert_eq!(bytes[1], [0, 0, 0x40, 0]);
        assert_eq!(finish(sum_words(&h.words())).0, 0, "the sum over a whole header is zero");
    }
}
