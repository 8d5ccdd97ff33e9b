//! The fixed part of an IPv4 header (RFC 791, section 3.1), as it lies in the packet.

use super::ecn::Ecn;

/// The length without options.
pub const LEN: usize = 20;

#[derive(Clone, Copy)]
pub struct Header([u8; LEN]);

impl Header {
    /// None if this is no IPv4 header.
    pub fn new(bytes: [u8; LEN]) -> Option<Header> {
        let header = Header(bytes);
        if bytes[0] >> 4 == 4 && header.header_len() >= LEN as u32 { Some(header) } else { None }
    }

    /// With options, in bytes: 20 to 60.
    pub fn header_len(&self) -> u32 {
        u32::from(self.0[0] & 0x0f) * 4
    }

    pub fn ecn(&self) -> Ecn {
        Ecn::of(self.0[1])
    }

    pub fn tos(&self) -> u8 {
        self.0[1]
    }

    /// Header and payload, in bytes. Zero in a GSO packet of more than 64 KiB.
    pub fn total_len(&self) -> u32 {
        u32::from(u16::from_be_bytes([self.0[2], self.0[3]]))
    }

    /// More fragments follow, or this is not the first one.
    pub fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x3fff != 0
    }

    /// Not the first fragment: what follows the header is payload from somewhere.
    pub fn is_later_fragment(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x1fff != 0
    }

    pub fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// In network order, as the maps and the kernel want it.
    pub fn source(&self) -> u32 {
        u32::from_ne_bytes([self.0[12], self.0[13], self.0[14], self.0[15]])
    }

    /// In network order, as the maps and the kernel want it.
    pub fn destination(&self) -> u32 {
        u32::from_ne_bytes([self.0[16], self.0[17], self.0[18], self.0[19]])
    }
}

/// Whether this sum (of 16-bit words, not yet folded) over a whole header, its checksum included, is that of an intact
/// one (RFC 1071); in any byte order.
pub fn is_sum_of_intact(sum: u32) -> bool {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}
