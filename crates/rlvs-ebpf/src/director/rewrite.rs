//! TC: a packet changed as planned, through helpers that know of sums which hardware completes.

use crate::family::Family;
use crate::steps;
use crate::sum::sum_bytes;
use crate::tc::store;
use crate::tunnel;
use aya_ebpf::bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR};
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::fwd::nat::Rewrite;
use rlvs_core::fwd::{self, Kind};
use rlvs_core::path::Plan;
use rlvs_core::wire::{Be16, Packet, Part, checksum, ip_proto};

/// Changes the packet as planned.
#[inline(always)]
pub fn apply<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, plan: &Plan<A>) -> Option<()> {
    // Side by side, because of the stack.
    if plan.edit.kind == Kind::Tunnel {
        tunnel::encapsulate(skb, packet, &plan.edit.encap, plan.hop.mtu)
    } else {
        rewrite(skb, packet, plan)
    }
}

#[inline(never)]
fn rewrite<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, plan: &Plan<A>) -> Option<()> {
    let new = fwd::rewritten(packet, &plan.edit);
    if plan.edit.kind == Kind::Nat {
        let rewrite = &plan.edit.rewrite;
        A::store_head(skb, packet, &new, (rewrite.src, rewrite.dst))?;
        translate(skb, packet, rewrite)
    } else {
        A::store_head(skb, packet, &new, (packet.src, packet.dst))
    }
}

/// Port and transport checksum of a translated packet.
#[inline(always)]
fn translate<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, rewrite: &Rewrite<A>) -> Option<()> {
    if packet.part == Part::Later {
        return Some(());
    }
    let l4_at = packet.l4_at as u32;
    store(skb, l4_at, &[rewrite.sport, rewrite.dport], 0)?;
    if packet.proto == ip_proto::SCTP {
        let change = rewrite.port_bits(packet);
        return if change == 0 { Some(()) } else { change_crc(skb, packet, change) };
    }
    let is_tcp = packet.proto == ip_proto::TCP;
    if !is_tcp && packet.l4_check.0 == 0 {
        // (Of a fragment it would take the others.)
        return if packet.part == Part::Whole { complete_udp_sum(skb, packet, rewrite) } else { Some(()) };
    }
    let check_at = l4_at + if is_tcp { 16 } else { 6 };
    let zero_rule = if is_tcp { 0 } else { BPF_F_MARK_MANGLED_0 as u64 };
    let (addresses, ports) = (rewrite.address_change(packet), rewrite.port_change(packet));
    // SAFETY: the context of the running program, offsets inside the packet.
    unsafe {
        let flags = BPF_F_PSEUDO_HDR as u64 | zero_rule;
        if helpers::bpf_l4_csum_replace(skb, check_at, 0, addresses as u64, flags) != 0 {
            return None;
        }
        (helpers::bpf_l4_csum_replace(skb, check_at, 0, ports as u64, zero_rule) == 0).then_some(())
    }
}

/// SCTP's checksum, which covers no address, but the ports. Zero is where hardware is to make it, and stays. Not of fragments: the
/// first one does not tell how many bytes there are.
#[inline(always)]
fn change_crc<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, change: u32) -> Option<()> {
    if packet.part != Part::Whole {
        return None;
    }
    let at = packet.l4_at as u32 + 8;
    let mut crc = 0u32;
    // SAFETY: the context of the running program, and a variable of the size given.
    if unsafe { helpers::bpf_skb_load_bytes(skb.cast(), at, (&raw mut crc).cast(), 4) } != 0 {
        return None;
    }
    if crc == 0 {
        return Some(());
    }
    let change = steps::rlvs_crc_change(change, packet.l4_len() as u32) as u32;
    store(skb, at, &(crc ^ change.to_le()), 0)
}

/// A datagram without checksum gets one, as IPVS does.
#[inline(always)]
fn complete_udp_sum<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, rewrite: &Rewrite<A>) -> Option<()> {
    let start = checksum::pseudo(rewrite.src, rewrite.dst, packet.proto, packet.l4_len());
    let sum = sum_bytes(skb, packet.l4_at as u32, packet.l4_len() as u32, start);
    let check = checksum::finish(sum);
    let check = if check.0 == 0 { Be16(0xffff) } else { check };
    store(skb, packet.l4_at as u32 + 6, &check, 0)
}
