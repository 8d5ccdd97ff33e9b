//! GRE (RFC 2784), protocol 47: a header of 4 bytes, or of 8 with a checksum, and the inner IP header behind it.
//!
//! ```text
//! | outer: director -> real server, protocol 47 | GRE | inner: client -> VIP | TCP, UDP, … |
//! | C 0 0 0 …  version 0 | protocol 0x0800 or 0x86dd | [checksum | reserved] |               the GRE header
//! ```
//!
//! Keys and sequence numbers (RFC 2890) are none of a director's: such packets are left alone. The checksum is not looked at;
//! what is inside has checksums of its own.

pub const PROTOCOL: u8 = 47;

const CHECKSUM: u16 = 0x8000;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Bytes of a header that begins so, and whether IPv6 is behind it; none if it is not one that a director makes.
pub fn read(first: [u8; 4]) -> Option<(u32, bool)> {
    let (flags, protocol) =
        (u16::from_be_bytes([first[0], first[1]]), u16::from_be_bytes([first[2], first[3]]));
    let has_ipv6 = match protocol {
        IPV4 => false,
        IPV6 => true,
        _ => return None,
    };
    match flags {
        0 => Some((4, has_ipv6)),
        CHECKSUM => Some((8, has_ipv6)),
        _ => None,
    }
}
