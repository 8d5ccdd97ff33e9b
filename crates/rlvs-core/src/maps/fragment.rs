//! What is known of a datagram that comes in fragments, for those after the first, which have no ports.

use crate::wire::{Addr, Be16, Be32, Packet};

/// Which datagram a fragment belongs to (RFC 791, section 3.2; RFC 8200, section 4.5).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FragmentKey {
    /// Of IPv4 the first word, the others 0.
    pub src: [Be32; 4],
    pub dst: [Be32; 4],
    /// Its number, as on the wire; of IPv4 16 bits.
    pub id: u32,
    pub proto: u8,
    pub family: u8,
    pub zero: u16,
}

impl FragmentKey {
    #[inline(always)]
    pub fn of<A: Addr>(packet: &Packet<A>) -> FragmentKey {
        let wide = |addr: A| {
            let mut words = [Be32(0); 4];
            let mut i = 0;
            while i < A::WORDS {
                words[i] = addr.word(i);
                i += 1;
            }
            words
        };
        FragmentKey {
            src: wide(packet.src),
            dst: wide(packet.dst),
            id: packet.id,
            proto: packet.proto,
            family: A::FAMILY,
            zero: 0,
        }
    }
}

/// What the first fragment told.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram {
    pub sport: Be16,
    pub dport: Be16,
    /// When, in jiffies.
    pub at: u32,
    /// The code of a [`Located`](crate::path::Located); `New` if the connection has to be looked for.
    pub located: u64,
}
