//! GRE (RFC 2784), protocol 47: a header of 4 bytes, or of 8 with a checksum, and the inner IPv4 header behind it.
//!
//! ```text
//! | outer: director -> real server, protocol 47 | GRE | inner: client -> VIP | TCP, UDP, … |
//! | C 0 0 0 …  version 0 | protocol 0x0800 | [checksum | reserved] |                            the GRE header
//! ```
//!
//! Keys and sequence numbers (RFC 2890) are none of a director's: such packets are left alone. The checksum is not looked at;
//! what is inside has checksums of its own.

pub const PROTOCOL: u8 = 47;

const CHECKSUM: u16 = 0x8000;
const IPV4: u16 = 0x0800;

/// Bytes of a header that begins so; none if it is not one that a director makes.
pub fn len(first: [u8; 4]) -> Option<u32> {
    let (flags, protocol) =
        (u16::from_be_bytes([first[0], first[1]]), u16::from_be_bytes([first[2], first[3]]));
    if protocol != IPV4 {
        return None;
    }
    match flags {
        0 => Some(4),
        CHECKSUM => Some(8),
        _ => None,
    }
}
