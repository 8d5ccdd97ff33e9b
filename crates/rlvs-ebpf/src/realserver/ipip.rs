//! IP in IP (RFC 2003), protocol 4: the inner IPv4 header follows the outer one, with nothing between them.
//!
//! ```text
//! | outer: director -> real server, protocol 4 | inner: client -> VIP | TCP, UDP, … |
//! | inner: client -> VIP | TCP, UDP, … |                                             after decapsulation
//! ```
//!
//! The real server needs the VIP on `lo` (`rlvs realserver up --vip VIP --tunnel ipip` sees to all).

use super::ipv4::Header;

pub const PROTOCOL: u8 = 4;

/// Where the inner header begins, counted from the outer one; none if this is not IP in IP.
pub fn inner_at(outer: &Header) -> Option<u32> {
    if outer.protocol() == PROTOCOL { Some(outer.header_len()) } else { None }
}
