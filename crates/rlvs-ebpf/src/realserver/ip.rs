//! What an IP header says, of either family, as far as a tunnel's end asks.

use super::ecn::{CE, Ecn};

/// What its first bytes say, without the addresses.
pub struct First {
    /// The TOS byte, or the traffic class.
    pub tos: u8,
    /// What follows, by IANA's numbers.
    pub protocol: u8,
    pub cut: Cut,
    /// In bytes, with options and with IPv6's fragment header.
    pub header_len: u32,
    /// Header and payload, in bytes; what it has if the packet is huge means nothing.
    pub total_len: u32,
    /// The field for the length has 0, as in a GSO packet that is too long for it.
    pub is_huge: bool,
}

/// All of it. (In the order that is written here: the kernel takes no description of types whose fields are in another one.)
#[repr(C)]
pub struct Ip {
    /// IPv4 as ::ffff:0:0/96, in network order.
    pub source: [u8; 16],
    /// The same.
    pub destination: [u8; 16],
    pub header_len: u32,
    pub total_len: u32,
    pub cut: Cut,
    pub tos: u8,
    pub protocol: u8,
    pub is_huge: bool,
    pub is_ipv6: bool,
}

/// What piece of its packet this is.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Cut {
    /// What all pieces of a packet have in common, beside addresses and protocol.
    pub id: u32,
    /// Where the payload belongs, in bytes.
    pub offset: u32,
    pub more_follow: bool,
}

impl Cut {
    pub const NONE: Cut = Cut { id: 0, offset: 0, more_follow: false };
}

impl Ip {
    /// It is no fragment.
    pub fn is_whole(&self) -> bool {
        self.cut.offset == 0 && !self.cut.more_follow
    }

    /// Not the first fragment: what follows the header is payload from somewhere.
    pub fn is_later_piece(&self) -> bool {
        self.cut.offset != 0
    }

    /// As that of a piece that met congestion.
    pub fn set_ce(&mut self) {
        self.tos |= CE;
    }

    pub fn ecn(&self) -> Ecn {
        Ecn::of(self.tos)
    }

    /// Takes over what the first bytes say.
    #[inline(always)]
    pub fn set(&mut self, first: First) {
        self.header_len = first.header_len;
        self.total_len = first.total_len;
        self.tos = first.tos;
        self.protocol = first.protocol;
        self.cut = first.cut;
        self.is_huge = first.is_huge;
    }
}
