//! The fixed part of an IPv4 header (RFC 791, section 3.1), as it lies in the packet.

use super::ip::{Cut, First};

/// The length without options.
pub const LEN: usize = 20;
/// Where the two addresses begin.
pub const ADDRESSES: usize = 12;

/// None if this is no IPv4 header.
#[inline(always)]
pub fn read(bytes: [u8; ADDRESSES]) -> Option<First> {
    let header_len = u32::from(bytes[0] & 0x0f) * 4;
    if bytes[0] >> 4 != 4 || header_len < LEN as u32 {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    // Three flags, the last of which says "more follow", and an offset in units of eight bytes.
    let cut = Cut {
        id: u32::from(word(4)),
        offset: u32::from(word(6) & 0x1fff) * 8,
        more_follow: word(6) & 0x2000 != 0,
    };
    let total_len = u32::from(word(2));
    let (tos, protocol) = (bytes[1], bytes[9]);
    Some(First { tos, protocol, cut, header_len, total_len, is_huge: total_len == 0 })
}

/// An address as one of IPv6: ::ffff:0:0/96.
#[inline(always)]
pub fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Whether this sum (of 16-bit words, not yet folded) over a whole header, its checksum included, is that of an intact
/// one (RFC 1071); in any byte order.
pub fn is_sum_of_intact(sum: u32) -> bool {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}
