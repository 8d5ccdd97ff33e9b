//! Headers and checksums: bytes in, plain data out.
//!
//! [`parse`](packet::parse) and [`parse6`](packet::parse6) read a frame through [`Frame`] and give a
//! [`Packet`](packet::Packet); nothing is
//! copied that is not needed, and nothing is changed. Numbers that come from the wire keep their byte order in their
//! type ([`Be16`], [`Be32`]), so they can be compared and summed without swapping a byte.

pub mod addr;
pub mod be;
pub mod checksum;
pub mod crc32c;
pub mod eth;
pub mod extension;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod packet;
pub mod quote;
pub mod too_big;

pub use addr::Addr;
pub use be::{Be16, Be32};
pub use extension::read_extensions;
pub use packet::{Packet, Part, Skip, parse, parse6, read, read_fragment, read_fragment6, read6};
pub use quote::{Quote, read_quote, read_quote6};
pub use too_big::read_too_big;

/// Protocol numbers of the IP header (IANA "Assigned Internet Protocol Numbers").
pub mod ip_proto {
    pub const ICMP: u8 = 1;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    /// IPv6 inside another header.
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// TCP header flags (RFC 9293, section 3.1).
pub mod tcp_flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
}

/// A frame to read from. In the kernel a pair of pointers, on the host a slice.
pub trait Frame: Copy {
    type View: View;
    /// `len` bytes from offset `at` of the frame, if it is that long.
    fn view(self, at: usize, len: usize) -> Option<Self::View>;
}

/// Some bytes of a frame, already known to be there. Offsets count from the start of the view.
pub trait View: Copy {
    fn u8(self, at: usize) -> u8;
    fn be16(self, at: usize) -> Be16;
    fn be32(self, at: usize) -> Be32;
}

/// A slice as a frame, for the host.
impl<'a> Frame for &'a [u8] {
    type View = &'a [u8];
    fn view(self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.get(at..at.checked_add(len)?)
    }
}

impl View for &[u8] {
    fn u8(self, at: usize) -> u8 {
        self[at]
    }
    fn be16(self, at: usize) -> Be16 {
        Be16::from_bytes([self[at], self[at + 1]])
    }
    fn be32(self, at: usize) -> Be32 {
        Be32::from_bytes([self[at], self[at + 1], self[at + 2], self[at + 3]])
    }
}
