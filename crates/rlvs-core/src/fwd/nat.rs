//! NAT (masquerading): addresses and ports are rewritten both ways.
//!
//! ```text
//!            client → director                       director → real server
//! request    CIP:cport → VIP:vport                   CIP:cport → RIP:rport
//!            director → client                       real server → director
//! reply      VIP:vport → CIP:cport                   RIP:rport → CIP:cport
//! ```
//!
//! The real server's default route must lead back through the director; it needs nothing else, and ports may differ.

use super::Edit;
use crate::conn::Entry;
use crate::mem::Mem;
use crate::path::{Decision, Hop, hop_flag};
use crate::wire::checksum::{add, change};
use crate::wire::{Addr, Be16, Packet};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Side {
    Source = 0,
    Destination = 1,
}

/// One side of the flow gets a new address and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite<A> {
    pub side: Side,
    pub addr: A,
    pub port: Be16,
}

impl<A: Addr> Rewrite<A> {
    /// What the new address does to the sum of the IP header, and of the pseudo header.
    #[inline(always)]
    pub fn address_change(&self, packet: &Packet<A>) -> u32 {
        let old = if self.side == Side::Source { packet.src } else { packet.dst };
        let mut sum = 0;
        let mut i = 0;
        while i < A::WORDS {
            sum = add(sum, change(old.word(i).0, self.addr.word(i).0));
            i += 1;
        }
        sum
    }

    /// What the new port does to the sum of the transport header.
    #[inline(always)]
    pub fn port_change(&self, packet: &Packet<A>) -> u32 {
        let old = if self.side == Side::Source { packet.sport } else { packet.dport };
        add(!old.0 as u32 & 0xffff, self.port.0 as u32)
    }
}

/// From the client to the server.
#[inline(always)]
pub fn request<A: Addr, M: Mem>(conn: Entry<A, M>) -> Edit<A> {
    Edit::Nat(Rewrite { side: Side::Destination, addr: conn.dest_addr(), port: conn.dest_port() })
}

/// From the server to the client. What the stack would answer with an ICMP error to the server (time to live ran
/// out, too big) it gets as it is: then the error comes from the right address and quotes the right packet.
#[inline(always)]
pub fn reply<A: Addr, M: Mem>(packet: &Packet<A>, conn: Entry<A, M>, hop: &Hop<A>) -> Decision<A> {
    if packet.ttl <= 1 || !hop.has(hop_flag::ROUTED) || hop.has(hop_flag::LOCAL) {
        return Decision::Pass;
    }
    let rewrite = Rewrite { side: Side::Source, addr: conn.virtual_addr(), port: conn.virtual_port() };
    match super::fit(packet, Edit::Nat(rewrite), hop) {
        Decision::Answer(_) => Decision::Pass,
        other => other,
    }
}
