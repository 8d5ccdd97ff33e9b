//! GUE (draft-ietf-intarea-gue, variant 0): UDP to a port that both sides know, a header of at least 4 bytes, and the inner
//! IPv4 header behind it.
//!
//! ```text
//! | outer: director -> real server, protocol 17 | UDP | GUE | inner: client -> VIP | TCP, UDP, … |
//! | variant 0, C 0, words that follow | protocol 4 | flags |                                           the GUE header
//! ```
//!
//! The UDP checksum is not looked at; what is inside has checksums of its own.

use super::ipip;

pub const PROTOCOL: u8 = 17;

/// UDP's header and the fixed part of GUE's.
pub const LEN: usize = 12;

/// Bytes of both headers, and the port they came to; none if what follows is no IPv4 packet.
pub fn len(headers: [u8; LEN]) -> Option<(u32, u16)> {
    let port = u16::from_be_bytes([headers[2], headers[3]]);
    let (kind, protocol) = (headers[8], headers[9]);
    // The upper three bits: variant and "a control message".
    if kind >> 5 != 0 || protocol != ipip::PROTOCOL {
        return None;
    }
    Some((LEN as u32 + u32::from(kind & 0x1f) * 4, port))
}
