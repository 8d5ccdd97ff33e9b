//! The Ethernet header (IEEE 802.3): destination, source, type.

use super::be::Be16;

pub const HEADER_LEN: usize = 14;
pub const DST_AT: usize = 0;
pub const SRC_AT: usize = 6;
pub const TYPE_AT: usize = 12;

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EtherType(pub Be16);

impl EtherType {
    pub const IPV4: EtherType = EtherType(Be16::new(0x0800));
    pub const IPV6: EtherType = EtherType(Be16::new(0x86dd));
}

/// The lowest bit of the first byte marks group addresses (multicast, broadcast).
pub const GROUP_BIT: u8 = 1;
