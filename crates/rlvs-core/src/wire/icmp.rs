//! The ICMP errors that a director sends itself (RFC 792; RFC 1191 for the MTU; RFC 1812, section 4.3.2.3 for how
//! much is quoted; RFC 4443 for IPv6).

use super::ipv6;

pub const HEADER_LEN: usize = 8;
/// An error quotes as much of the packet as fits into 576 bytes with a 20-byte IP header and this header.
pub const MAX_QUOTE: usize = 576 - 20 - HEADER_LEN;
/// An ICMPv6 error quotes as much as fits into the smallest MTU of IPv6 (RFC 4443, section 2.4).
pub const MAX_QUOTE6: usize = 1280 - ipv6::LEN - HEADER_LEN;
/// Time to live of errors that Linux sends.
pub const TTL: u8 = 64;

/// Their type of service (`icmp_send`): precedence "internetwork control", with the packet's own type of service.
#[inline(always)]
pub const fn tos(of_packet: u8) -> u8 {
    of_packet & 0x1e | 0xc0
}

/// An error about a packet that cannot be forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Type 3, code 3 (ICMPv6: 1, 4): no real server can be had.
    PortUnreachable,
    /// Type 3, code 1 (ICMPv6: 1, 3): no route to the real server.
    HostUnreachable,
    /// Type 3, code 4 (ICMPv6: 2, 0); the next hop's MTU in bytes.
    FragmentationNeeded { mtu: u16 },
    /// Type 11, code 0 (ICMPv6: 3, 0).
    TimeExceeded,
}

impl Error {
    #[inline(always)]
    pub const fn kind_and_code(self) -> (u8, u8) {
        match self {
            Error::PortUnreachable => (3, 3),
            Error::HostUnreachable => (3, 1),
            Error::FragmentationNeeded { .. } => (3, 4),
            Error::TimeExceeded => (11, 0),
        }
    }

    /// The same of ICMPv6.
    #[inline(always)]
    pub const fn kind_and_code6(self) -> (u8, u8) {
        match self {
            Error::PortUnreachable => (1, 4),
            Error::HostUnreachable => (1, 3),
            Error::FragmentationNeeded { .. } => (2, 0),
            Error::TimeExceeded => (3, 0),
        }
    }

    /// The second word of the ICMP header, as a number.
    #[inline(always)]
    pub const fn rest(self) -> u32 {
        match self {
            Error::FragmentationNeeded { mtu } => mtu as u32,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    /// As Linux 6.1 was seen to.
    #[test]
    fn errors_carry_the_packets_type_of_service() {
        for (packet, error) in [(0, 0xc0), (0x10, 0xd0), (2, 0xc2), (3, 0xc2), (0xb8, 0xd8)] {
            assert_eq!(super::tos(packet), error, "{packet:#x}");
        }
    }
}
