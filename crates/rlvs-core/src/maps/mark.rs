//! Rules that give packets a firewall mark. Packets meet XDP and TC before netfilter could mark them, so the programs
//! have a classifier of their own; the mark is looked at when a connection is opened.

use crate::wire::{Addr, Be32, Packet};

/// One rule: what a packet must be, and its mark then. The last rule that fits decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkRule {
    pub mark: u32,
    /// 4, 6, or 0 for both.
    pub family: u8,
    /// 0 for every protocol.
    pub protocol: u8,
    /// Destination ports from `first_port` to `last_port`, both included, in the machine's order.
    pub first_port: u16,
    pub last_port: u16,
    pub pad: u16,
    /// Source and destination networks: addresses with the host part 0, and masks.
    pub src: [Be32; 4],
    pub src_mask: [Be32; 4],
    pub dst: [Be32; 4],
    pub dst_mask: [Be32; 4],
}

impl MarkRule {
    pub const EMPTY: MarkRule = MarkRule {
        mark: 0,
        family: 0,
        protocol: 0,
        first_port: 0,
        last_port: u16::MAX,
        pad: 0,
        src: [Be32(0); 4],
        src_mask: [Be32(0); 4],
        dst: [Be32(0); 4],
        dst_mask: [Be32(0); 4],
    };

    /// Does a packet fit?
    #[inline(always)]
    pub fn fits<A: Addr>(&self, packet: &Packet<A>) -> bool {
        let port = packet.dport.get();
        let mut fits = (self.family == 0 || self.family == A::FAMILY)
            && (self.protocol == 0 || self.protocol == packet.proto)
            && port >= self.first_port
            && port <= self.last_port;
        let mut i = 0;
        while i < A::WORDS {
            fits &= packet.src.word(i).0 & self.src_mask[i & 3].0 == self.src[i & 3].0;
            fits &= packet.dst.word(i).0 & self.dst_mask[i & 3].0 == self.dst[i & 3].0;
            i += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn layout_is_locked() {
        assert_eq!(core::mem::size_of::<super::MarkRule>(), 76);
    }
}
