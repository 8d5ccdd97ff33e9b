//! Tunnels in TC: outer headers in front of a packet.

use crate::family::Family;
use crate::maps;
use crate::sum::sum_when_completed;
use crate::tc::store;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
    BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
};
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::fwd::tun::{self, Encap, outer};
use rlvs_core::fwd::{self, Edit};
use rlvs_core::maps::DestConfig;
use rlvs_core::wire::eth::{self, EtherType};
use rlvs_core::wire::{Packet, ip_proto, ipv4, ipv6};

const IP: u32 = eth::HEADER_LEN as u32;

/// Decrements the time to live, makes room behind the Ethernet header and writes the outer headers there; `mtu` is that of
/// the next hop.
#[inline(never)]
pub fn encapsulate<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    encap: &Encap,
    mtu: u32,
) -> Option<()> {
    let dest = maps::DEST.get(encap.dest)?;
    let new = fwd::rewritten(packet, &Edit::nothing());
    A::store_head(skb, packet, &new, (packet.src, packet.dst))?;
    let sum = if encap.summed { sum_when_completed(skb, packet, IP, packet.total_len as u32) } else { 0 };
    let cut6 = tun::is_cut6(packet, encap, dest, mtu);
    let room = encap.overhead + if cut6 { ipv6::FRAGMENT_LEN as u32 } else { 0 };
    // SAFETY: the context of the running program.
    let made = unsafe {
        // Of what we cut up ourselves the kernel must not know it, or it refuses to have it shortened.
        let fits = packet.segment_len as u32 + encap.overhead <= mtu;
        let flags = if fits { room_flags(packet.proto, dest) as u64 } else { 0 };
        helpers::bpf_skb_adjust_room(skb, room as i32, BPF_ADJ_ROOM_MAC, flags)
    };
    if made != 0 {
        return None;
    }
    let shim_at = if dest.family == 6 {
        let mut header = outer::header6(packet, encap, dest);
        let behind = IP + ipv6::LEN as u32;
        if cut6 {
            let fragment = outer::cut6(&mut header, encap.id);
            store(skb, IP, &header, 0)?;
            store(skb, behind, &fragment, 0)?;
            behind + ipv6::FRAGMENT_LEN as u32
        } else {
            store(skb, IP, &header, 0)?;
            behind
        }
    } else {
        store(skb, IP, &outer::header4(packet, encap, dest), 0)?;
        IP + ipv4::MIN_LEN as u32
    };
    if dest.is_across::<A>() {
        let outside = if dest.family == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
        store(skb, eth::TYPE_AT as u32, &outside, 0)?;
    }
    if dest.tunnel_kind == tun::kind::IPIP {
        return Some(());
    }
    let words = tun::shim(packet, encap, dest, sum);
    match tun::shim_words(dest, encap.summed) {
        1 => store(skb, shim_at, &words[0], 0),
        2 => store(skb, shim_at, &[words[0], words[1]], 0),
        _ => store(skb, shim_at, &words, 0),
    }
}

/// What the kernel has to know about the new headers to cut a packet up later (GSO).
#[inline(always)]
fn room_flags(proto: u8, dest: &DestConfig) -> u32 {
    let outer = if dest.family == 6 { BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 } else { BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 };
    let shim = match dest.tunnel_kind {
        tun::kind::GUE => BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        tun::kind::GRE => BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
        _ => 0,
    };
    let fixed = if proto == ip_proto::TCP { 0 } else { BPF_F_ADJ_ROOM_FIXED_GSO };
    outer | shim | fixed
}
