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

use super::{Edit, Kind, Target};
use crate::conn::Entry;
use crate::mem::Mem;
use crate::path::{Decision, Plan, hop_flag};
use crate::wire::checksum::{add, change};
use crate::wire::{Addr, Be16, Be32, Packet};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
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
    /// For edits of another kind.
    #[inline(always)]
    pub fn none() -> Rewrite<A> {
        Rewrite { side: Side::Source, addr: A::from_words(|_| Be32(0)), port: Be16(0) }
    }

    /// Source and destination afterwards.
    #[inline(always)]
    pub fn addresses(&self, packet: &Packet<A>) -> (A, A) {
        if self.side == Side::Source { (self.addr, packet.dst) } else { (packet.src, self.addr) }
    }

    /// Source and destination port afterwards.
    #[inline(always)]
    pub fn ports(&self, packet: &Packet<A>) -> [Be16; 2] {
        if self.side == Side::Source { [self.port, packet.dport] } else { [packet.sport, self.port] }
    }

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
pub fn request<A: Addr>(target: &Target<A>, edit: &mut Edit<A>) {
    edit.kind = Kind::Nat;
    edit.rewrite = Rewrite { side: Side::Destination, addr: target.addr, port: target.port };
}

/// From the server to the client. What the stack would answer with an ICMP error to the server (time to live ran
/// out, too big) it gets as it is: then the error comes from the right address and quotes the right packet.
#[inline(always)]
pub fn reply<A: Addr, M: Mem>(packet: &Packet<A>, conn: Entry<A, M>, plan: &mut Plan<A>) -> Decision {
    if packet.ttl <= 1 || !plan.hop.has(hop_flag::ROUTED) || plan.hop.has(hop_flag::LOCAL) {
        return Decision::PASS;
    }
    plan.edit.kind = Kind::Nat;
    plan.edit.rewrite = Rewrite { side: Side::Source, addr: conn.virtual_addr(), port: conn.virtual_port() };
    let decision = super::fit(packet, plan);
    if decision.is_answer() { Decision::PASS } else { decision }
}
