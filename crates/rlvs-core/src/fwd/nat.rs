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
use crate::wire::checksum::{add, change, update};
use crate::wire::{Addr, Be16, Be32, Packet, Quote};

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

/// What of an ICMP error's quote is rewritten, beside its outer address: the same host, on the other side of the quoted
/// packet, because that went the other way. Offsets count from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requoted<A> {
    pub addr_at: u16,
    pub addr: A,
    pub port_at: u16,
    pub port: Be16,
    /// IPv4: the quoted header's checksum.
    pub ip_check: Be16,
    pub icmp_check: Be16,
}

/// The quoted transport checksum stays as it is, as with IPVS: most of it is not quoted anyway.
#[inline(always)]
pub fn requoted<A: Addr>(packet: &Packet<A>, quote: &Quote<A>, rewrite: &Rewrite<A>) -> Requoted<A> {
    let (src_at, dst_at) = quote.addresses_at();
    let (addr_at, old, port_at, old_port) = if rewrite.side == Side::Destination {
        (src_at, quote.src, quote.l4_at, quote.sport)
    } else {
        (dst_at, quote.dst, quote.l4_at.wrapping_add(2), quote.dport)
    };
    let mut addresses = 0;
    let mut i = 0;
    while i < A::WORDS {
        addresses = add(addresses, change(old.word(i).0, rewrite.addr.word(i).0));
        i += 1;
    }
    let mut sum = add(addresses, add(!old_port.0 as u32 & 0xffff, rewrite.port.0 as u32));
    let ip_check = update(quote.ip_check, addresses);
    if A::WORDS == 1 {
        sum = add(sum, add(!quote.ip_check.0 as u32 & 0xffff, ip_check.0 as u32));
    } else {
        // ICMPv6's checksum covers the outer addresses, too (RFC 4443, section 2.3).
        sum = add(sum, rewrite.address_change(packet));
    }
    let icmp_check = update(quote.icmp_check, sum);
    Requoted { addr_at, addr: rewrite.addr, port_at, port: rewrite.port, ip_check, icmp_check }
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
