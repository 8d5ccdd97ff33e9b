//! GUE (draft-ietf-intarea-gue, variant 0): UDP to a port that both sides know, a header of at least 4 bytes, and the inner
//! IP header behind it.
//!
//! ```text
//! | outer: director -> real server, protocol 17 | UDP | GUE | inner: client -> VIP | TCP, UDP, … |
//! | variant 0, C 0, words that follow | protocol 4 or 41 | flags |                                   the GUE header
//! ```
//!
//! The UDP checksum is not looked at; what is inside has checksums of its own.

use super::ipip;

pub const PROTOCOL: u8 = 17;

/// UDP's header and the fixed part of GUE's.
pub const LEN: usize = 12;

/// Both headers.
pub struct Gue {
    /// In bytes.
    pub len: u32,
    /// Where they came to.
    pub port: u16,
    /// What is behind them.
    pub has_ipv6: bool,
}

/// None if what follows is no IP packet.
pub fn read(headers: [u8; LEN]) -> Option<Gue> {
    let port = u16::from_be_bytes([headers[2], headers[3]]);
    let (kind, protocol) = (headers[8], headers[9]);
    // The upper three bits: variant and "a control message".
    if kind >> 5 != 0 {
        return None;
    }
    let has_ipv6 = ipip::has_ipv6(protocol)?;
    Some(Gue { len: LEN as u32 + u32::from(kind & 0x1f) * 4, port, has_ipv6 })
}
