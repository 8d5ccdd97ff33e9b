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
//!
//! With FULLNAT the source of a request is rewritten, too, to an address and port of the director (SIP:sport): then no
//! server needs a route of any kind, for it sees a client on the director. [`path::source`](crate::path) chooses it.

use super::{Edit, Kind, Target};
use crate::conn::Entry;
use crate::conn::entry::Word;
use crate::mem::Mem;
use crate::path::{Decision, Plan, hop_flag};
use crate::wire::checksum::{add, change, update};
use crate::wire::{Addr, Be16, Be32, Packet, Quote};

/// Both sides of the flow afterwards; mostly one of them stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite<A> {
    pub src: A,
    pub dst: A,
    pub sport: Be16,
    pub dport: Be16,
}

impl<A: Addr> Rewrite<A> {
    /// For edits of another kind.
    #[inline(always)]
    pub fn none() -> Rewrite<A> {
        let none = A::from_words(|_| Be32(0));
        Rewrite { src: none, dst: none, sport: Be16(0), dport: Be16(0) }
    }

    /// What the new addresses do to the sum of the IP header, and of the pseudo header.
    #[inline(always)]
    pub fn address_change(&self, packet: &Packet<A>) -> u32 {
        add(difference(packet.src, self.src), difference(packet.dst, self.dst))
    }

    /// What the new ports do to the sum of the transport header.
    #[inline(always)]
    pub fn port_change(&self, packet: &Packet<A>) -> u32 {
        add(port_difference(packet.sport, self.sport), port_difference(packet.dport, self.dport))
    }

    /// Old exclusive-or new, as a number whose least byte is the first one; 0 if both stay. (What that does to SCTP's checksum
    /// [`crc32c`](crate::wire::crc32c) says.)
    #[inline(always)]
    pub fn port_bits(&self, packet: &Packet<A>) -> u32 {
        let ports = |s: Be16, d: Be16| {
            let ([a, b], [c, d]) = (s.bytes(), d.bytes());
            u32::from_le_bytes([a, b, c, d])
        };
        ports(packet.sport, packet.dport) ^ ports(self.sport, self.dport)
    }
}

/// What stays the same adds minus zero, which no sum notices but that of nothing; and something always changes. (Leaving it
/// out would double the verifier's work with each word.)
#[inline(always)]
fn difference<A: Addr>(old: A, new: A) -> u32 {
    let mut sum = 0;
    let mut i = 0;
    while i < A::WORDS {
        sum = add(sum, change(old.word(i).0, new.word(i).0));
        i += 1;
    }
    sum
}

#[inline(always)]
fn port_difference(old: Be16, new: Be16) -> u32 {
    add(!old.0 as u32 & 0xffff, new.0 as u32)
}

/// The quote of an ICMP error as it has to be, when its outer addresses are rewritten: the same hosts, with source and
/// destination exchanged, because the quoted packet went the other way. What the rewrite leaves alone stays in the quote,
/// too; its source need not be the host that the quote tells of, but a router on the way. The quoted transport checksum
/// stays as it is, as with IPVS: most of it is not quoted anyway.
#[inline(always)]
pub fn requote<A: Addr>(packet: &Packet<A>, quote: &mut Quote<A>, rewrite: &Rewrite<A>) {
    let (mut addresses, mut ports) = (0, 0);
    if rewrite.dst != packet.dst {
        addresses = difference(quote.src, rewrite.dst);
        ports = port_difference(quote.sport, rewrite.dport);
        (quote.src, quote.sport) = (rewrite.dst, rewrite.dport);
    }
    if rewrite.src != packet.src {
        addresses = add(addresses, difference(quote.dst, rewrite.src));
        ports = add(ports, port_difference(quote.dport, rewrite.sport));
        (quote.dst, quote.dport) = (rewrite.src, rewrite.sport);
    }
    let mut sum = add(addresses, ports);
    let ip_check = update(quote.ip_check, addresses);
    if A::WORDS == 1 {
        sum = add(sum, port_difference(quote.ip_check, ip_check));
    } else {
        // ICMPv6's checksum covers the outer addresses, too (RFC 4443, section 2.3).
        sum = add(sum, rewrite.address_change(packet));
    }
    quote.ip_check = ip_check;
    quote.icmp_check = update(quote.icmp_check, sum);
}

/// From the client to the server.
#[inline(always)]
pub fn request<A: Addr>(packet: &Packet<A>, target: &Target<A>, edit: &mut Edit<A>) {
    edit.kind = Kind::Nat;
    let (src, sport) = (packet.src, packet.sport);
    edit.rewrite = Rewrite { src, dst: target.addr, sport, dport: target.port };
}

/// Who gets a reply: whom it is addressed to, or the client whose shadow it found.
#[inline(always)]
pub fn receiver<A: Addr, M: Mem>(packet: &Packet<A>, found: Entry<A, M>) -> (A, Be16) {
    if found.word().has(Word::SHADOW) {
        (found.dest_addr(), found.dest_port())
    } else {
        (packet.dst, packet.dport)
    }
}

/// From the server to the client. What the stack would answer with an ICMP error to the server (time to live ran
/// out, too big) it gets as it is: then the error comes from the right address and quotes the right packet. A client on this
/// machine gets it by the loopback device, where an address of our own may be a source.
#[inline(always)]
pub fn reply<A: Addr, M: Mem>(
    packet: &Packet<A>,
    conn: Entry<A, M>,
    (dst, dport): (A, Be16),
    plan: &mut Plan<A>,
) -> Decision {
    if plan.hop.has(hop_flag::LOCAL) {
        plan.hop.become_loopback();
    }
    if packet.ttl <= 1 || !plan.hop.has(hop_flag::ROUTED) {
        return Decision::PASS;
    }
    plan.edit.kind = Kind::Nat;
    let (src, sport) = (conn.virtual_addr(), conn.virtual_port());
    plan.edit.rewrite = Rewrite { src, dst, sport, dport };
    let decision = super::fit(packet, plan);
    if decision.is_answer() { Decision::PASS } else { decision }
}
