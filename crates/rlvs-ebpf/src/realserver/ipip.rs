//! IP in IP, with nothing between the two headers: IPv4 inside is protocol 4 (RFC 2003; in IPv6 RFC 2473), IPv6 inside is
//! protocol 41 (RFC 4213, section 3; in IPv6 RFC 2473).
//!
//! ```text
//! | outer: director -> real server, protocol 4 or 41 | inner: client -> VIP | TCP, UDP, … |
//! | inner: client -> VIP | TCP, UDP, … |                                                    after decapsulation
//! ```
//!
//! The real server needs the VIP on `lo` (`rlvs realserver up --vip VIP --tunnel ipip` sees to all).

const IPV4: u8 = 4;
const IPV6: u8 = 41;

/// Whether there is IPv6 inside; none if this is not the number of an IP packet inside another.
pub fn has_ipv6(protocol: u8) -> Option<bool> {
    match protocol {
        IPV4 => Some(false),
        IPV6 => Some(true),
        _ => None,
    }
}
