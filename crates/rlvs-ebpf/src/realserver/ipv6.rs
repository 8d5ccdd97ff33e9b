//! The fixed part of an IPv6 header (RFC 8200, section 3), as it lies in the packet.

use super::ip::{Cut, First};

/// The length without extension headers.
pub const LEN: usize = 40;
/// Where the two addresses begin.
pub const ADDRESSES: usize = 8;
/// What follows is a fragment header (section 4.5).
pub const FRAGMENT: u8 = 44;
pub const FRAGMENT_LEN: usize = 8;

/// None if this is no IPv6 header.
#[inline(always)]
pub fn read(bytes: [u8; ADDRESSES]) -> Option<First> {
    if bytes[0] >> 4 != 6 {
        return None;
    }
    let payload = u32::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    Some(First {
        tos: bytes[0] << 4 | bytes[1] >> 4,
        protocol: bytes[6],
        cut: Cut::NONE,
        header_len: LEN as u32,
        total_len: LEN as u32 + payload,
        is_huge: payload == 0,
    })
}

/// What the fragment header behind the fixed part adds.
#[inline(always)]
pub fn with_fragment(first: First, bytes: [u8; FRAGMENT_LEN]) -> First {
    // An offset in units of eight bytes, two bits of nothing, and "more follow".
    let place = u16::from_be_bytes([bytes[2], bytes[3]]);
    let cut = Cut {
        id: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        offset: u32::from(place & 0xfff8),
        more_follow: place & 1 != 0,
    };
    First { protocol: bytes[0], header_len: first.header_len + FRAGMENT_LEN as u32, cut, ..first }
}
