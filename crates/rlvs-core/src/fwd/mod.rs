//! Forwarding methods: how a packet is changed so that it reaches its real server.
//!
//! A method only plans: it returns an [`Edit`] as plain data, and the hands carry it out with what their layer has.
//! All methods decrement the time to live, as IPVS does.

pub mod cut;
pub mod dr;
pub mod nat;
pub mod tun;

use crate::maps::{DestConfig, Settings};
use crate::path::{Decision, DropReason, Plan, Tables, hop_flag};
use crate::wire::checksum::{add, update};
use crate::wire::{Addr, Be16, Packet, icmp, ip_proto};

/// Numbers of `DestConfig::method`; those of IPVS's connection flags (`ip_vs.h`, `IP_VS_CONN_F_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Method {
    Masquerade = 0,
    Local = 1,
    Tunnel = 2,
    DirectRoute = 3,
    /// Ours: masquerading, with a source address of the director.
    FullNat = 5,
}

/// Does the server see an address and port of its own, so that its replies have to be translated back?
#[inline(always)]
pub const fn translates(method: u8) -> bool {
    method == Method::Masquerade as u8 || method == Method::FullNat as u8
}

/// Where a packet goes, and by which method (a number of [`Method`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<A> {
    /// The destination's id.
    pub dest: u32,
    pub method: u8,
    pub addr: A,
    pub port: Be16,
}

/// What is changed in the packet, beside its time to live and its MACs. All fields are always set, also where their
/// kind does not use them: the verifier refuses to see a byte copied that nobody wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edit<A> {
    pub kind: Kind,
    pub rewrite: nat::Rewrite<A>,
    pub encap: tun::Encap,
    /// The connection whose client is to be told to its server (see [`path::handing`](crate::path::handing)): its id and
    /// one more; or 0.
    pub handing: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// NAT: addresses and ports change.
    Nat,
    /// DR: nothing.
    Direct,
    /// TUN: headers are put in front.
    Tunnel,
}

impl<A: Addr> Edit<A> {
    /// Nothing but the time to live and the MACs.
    #[inline(always)]
    pub fn nothing() -> Edit<A> {
        Edit { kind: Kind::Direct, rewrite: nat::Rewrite::none(), encap: tun::Encap::NONE, handing: 0 }
    }

    /// Bytes that the packet grows by.
    #[inline(always)]
    pub fn growth(&self) -> u32 {
        if self.kind == Kind::Tunnel { self.encap.overhead } else { 0 }
    }
}

/// Fields of the packet after the change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewritten {
    pub ttl: u8,
    /// Of IPv4; IPv6 has none.
    pub ip_check: Be16,
    /// TCP's or UDP's checksum; meaningless where a UDP packet has none.
    pub l4_check: Be16,
}

/// Time to live and checksums as the hands have to write them. Checksums are updated, never computed anew (RFC 1624):
/// a wrong one stays wrong, so the receiver still finds out.
#[inline(always)]
pub fn rewritten<A: Addr>(packet: &Packet<A>, edit: &Edit<A>) -> Rewritten {
    let ttl = packet.ttl.wrapping_sub(1);
    let old = Be16::from_bytes([packet.ttl, packet.proto]);
    let new = Be16::from_bytes([ttl, packet.proto]);
    let mut ip_change = add(!old.0 as u32 & 0xffff, new.0 as u32);
    let mut l4_check = packet.l4_check;
    if edit.kind == Kind::Nat {
        let rewrite = &edit.rewrite;
        let addresses = rewrite.address_change(packet);
        ip_change = add(ip_change, addresses);
        // SCTP's sum is another one, and does not cover the addresses.
        l4_check = update(l4_check, add(addresses, rewrite.port_change(packet)));
        if packet.proto == ip_proto::UDP && l4_check.0 == 0 {
            l4_check = Be16(0xffff); // RFC 768: zero would say "none"
        }
    }
    Rewritten { ttl, ip_check: update(packet.ip_check, ip_change), l4_check }
}

/// Plans the way of a client's packet to its server; the plan's hop is known.
#[inline(always)]
pub fn forward<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    target: &Target<A>,
    dest: &DestConfig,
    settings: &Settings,
    tables: &T,
    plan: &mut Plan<A>,
) -> Decision {
    let method = target.method;
    if plan.hop.has(hop_flag::LOCAL) {
        return local(packet, target);
    }
    if !plan.hop.has(hop_flag::ROUTED) {
        return Decision::answer(icmp::Error::HostUnreachable, DropReason::NoRoute);
    }
    if packet.ttl <= 1 {
        return Decision::answer(icmp::Error::TimeExceeded, DropReason::TtlExceeded);
    }
    if translates(method) {
        nat::request(packet, target, &mut plan.edit);
    } else if method == Method::Tunnel as u8 {
        tun::plan(packet, target.dest, dest, settings, tables, &mut plan.edit);
    } else {
        dr::plan(&mut plan.edit);
    }
    fit(packet, plan)
}

/// Does the packet fit through the next hop? If not, it goes in pieces, or its sender learns what would fit (RFC 1191).
#[inline(always)]
pub(crate) fn fit<A: Addr>(packet: &Packet<A>, plan: &Plan<A>) -> Decision {
    let growth = plan.edit.growth();
    if packet.segment_len as u32 + growth <= plan.hop.mtu {
        return Decision::FORWARD;
    }
    // What is cut up is the outermost packet; and only packets of IPv4, in whatever they travel.
    let outermost = match plan.edit.kind {
        Kind::Tunnel => plan.edit.encap.dont_fragment,
        _ => packet.dont_fragment,
    };
    if A::WORDS == 1 && !outermost && !packet.checksum_looks_partial() {
        return Decision::SPLIT;
    }
    if !packet.dont_fragment {
        return Decision::drop(DropReason::WouldFragment);
    }
    let mtu = plan.hop.mtu.saturating_sub(growth).min(u16::MAX as u32) as u16;
    Decision::answer(icmp::Error::FragmentationNeeded { mtu }, DropReason::TooBig)
}

/// The real server is the director itself: the stack has the packet as it is, unless a port were to change.
#[inline(always)]
fn local<A: Addr>(packet: &Packet<A>, target: &Target<A>) -> Decision {
    let as_it_is = target.addr == packet.dst && target.port == packet.dport;
    if translates(target.method) && !as_it_is {
        return Decision::drop(DropReason::LocalServer);
    }
    Decision::PASS
}
