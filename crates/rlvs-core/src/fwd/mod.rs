//! Forwarding methods: how a packet is changed so that it reaches its real server.
//!
//! A method only plans: it returns an [`Edit`] as plain data, and the hands carry it out with what their layer has.
//! All methods decrement the time to live, as IPVS does.

pub mod dr;
pub mod nat;
pub mod tun;

use crate::conn::Entry;
use crate::maps::{DestConfig, Settings};
use crate::mem::Mem;
use crate::path::{Answer, Decision, DropReason, Hop, Tables, hop_flag};
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
}

/// What is changed in the packet, beside its time to live and its MACs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edit<A> {
    /// NAT: one side of the flow gets a new address and port.
    Nat(nat::Rewrite<A>),
    /// DR: nothing.
    Direct,
    /// TUN: a header is put in front.
    Tunnel(tun::Encap),
}

impl<A> Edit<A> {
    /// Bytes that the packet grows by.
    #[inline(always)]
    pub fn growth(&self) -> u32 {
        match self {
            Edit::Tunnel(encap) => encap.overhead(),
            _ => 0,
        }
    }
}

/// Fields of the packet after the change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewritten {
    pub ttl: u8,
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
    if let Edit::Nat(rewrite) = edit {
        let addresses = rewrite.address_change(packet);
        ip_change = add(ip_change, addresses);
        l4_check = update(l4_check, add(addresses, rewrite.port_change(packet)));
        if packet.proto == ip_proto::UDP && l4_check.0 == 0 {
            l4_check = Be16(0xffff); // RFC 768: zero would say "none"
        }
    }
    Rewritten { ttl, ip_check: update(packet.ip_check, ip_change), l4_check }
}

/// Plans the way of a client's packet to its server.
#[inline(always)]
pub fn forward<A: Addr, T: Tables<A>, M: Mem>(
    packet: &Packet<A>,
    conn: Entry<A, M>,
    dest: &DestConfig,
    hop: &Hop<A>,
    settings: &Settings,
    tables: &T,
) -> Decision<A> {
    let method = conn.word().method();
    if hop.has(hop_flag::LOCAL) {
        return local(packet, conn, method);
    }
    if !hop.has(hop_flag::ROUTED) {
        return Decision::Drop(DropReason::NoRoute);
    }
    if packet.ttl <= 1 {
        return Decision::Answer(Answer { error: icmp::Error::TimeExceeded, reason: DropReason::TtlExceeded });
    }
    let edit = if method == Method::Masquerade as u8 {
        nat::request(conn)
    } else if method == Method::Tunnel as u8 {
        tun::plan(packet, dest, settings, tables)
    } else {
        dr::plan()
    };
    fit(packet, edit, hop)
}

/// Does the packet fit through the next hop? If not, its sender learns what would (RFC 1191).
#[inline(always)]
pub(crate) fn fit<A: Addr>(packet: &Packet<A>, edit: Edit<A>, hop: &Hop<A>) -> Decision<A> {
    let growth = edit.growth();
    if packet.segment_len as u32 + growth > hop.mtu {
        if !packet.dont_fragment {
            return Decision::Drop(DropReason::WouldFragment);
        }
        let mtu = hop.mtu.saturating_sub(growth).min(u16::MAX as u32) as u16;
        let error = icmp::Error::FragmentationNeeded { mtu };
        return Decision::Answer(Answer { error, reason: DropReason::TooBig });
    }
    Decision::Forward(crate::path::Forward { edit, hop: *hop })
}

/// The real server is the director itself: the stack has the packet as it is, unless a port were to change.
#[inline(always)]
fn local<A: Addr, M: Mem>(packet: &Packet<A>, conn: Entry<A, M>, method: u8) -> Decision<A> {
    let as_it_is = conn.dest_addr() == packet.dst && conn.dest_port() == packet.dport;
    if method == Method::Masquerade as u8 && !as_it_is && conn.dest_port() != Be16(0) {
        return Decision::Drop(DropReason::LocalServer);
    }
    Decision::Pass
}
