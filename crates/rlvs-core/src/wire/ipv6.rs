//! The IPv6 header (RFC 8200, section 3): where its fields are. It has no checksum, and no length of its own: always
//! 40 bytes. What may stand between it and TCP or UDP: see [`extension`](super::extension).

use super::be::Be32;

pub const LEN: usize = 40;
pub const PAYLOAD_LEN_AT: usize = 4;
pub const NEXT_HEADER_AT: usize = 6;
pub const HOP_LIMIT_AT: usize = 7;
pub const SRC_AT: usize = 8;
pub const DST_AT: usize = 24;
/// The header of a fragment (section 4.5): its number, and its length.
pub const FRAGMENT: u8 = 44;
pub const FRAGMENT_LEN: usize = 8;

/// The traffic class, from the first word.
#[inline(always)]
pub const fn traffic_class(first: Be32) -> u8 {
    (first.get() >> 20) as u8
}

/// The first two words of a header: version, traffic class, no flow label; payload length, next header, hop limit.
#[inline(always)]
pub const fn first_words(class: u8, payload_len: u16, next_header: u8, hop_limit: u8) -> [Be32; 2] {
    [
        Be32::new(6 << 28 | (class as u32) << 20),
        Be32::new((payload_len as u32) << 16 | (next_header as u32) << 8 | hop_limit as u32),
    ]
}
