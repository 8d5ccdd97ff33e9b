//! ICMP errors that the director sends itself, made in place of the packet that caused them (RFC 792).
//!
//! The packet is cut to what is quoted, 28 bytes of room are made in front of it, and the result goes back to its
//! sender from the address it was for.

use crate::sum::sum_bytes;
use crate::tables::{Kernel, Tc};
use crate::tc::{leave, store};
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC};
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::fwd::{self, Edit};
use rlvs_core::path::{Hop, Tables, hop_flag};
use rlvs_core::wire::checksum::{add, finish};
use rlvs_core::wire::{Be32, Packet, eth, icmp, ip_proto, ipv4};

const IP: u32 = eth::HEADER_LEN as u32;
const ROOM: usize = ipv4::MIN_LEN + icmp::HEADER_LEN;

/// Turns the packet into the error and sends it back.
#[inline(always)]
pub fn answer(
    skb: *mut __sk_buff,
    packet: &Packet<Be32>,
    error: icmp::Error,
    tables: &Kernel<Tc>,
    hop: &mut Hop<Be32>,
) -> i32 {
    tables.route(packet.src, hop);
    if !hop.has(hop_flag::ROUTED) || make(skb, packet, error, tables.random() as u16).is_none() {
        return TC_ACT_SHOT;
    }
    leave(skb, hop)
}

#[inline(never)]
fn make(skb: *mut __sk_buff, packet: &Packet<Be32>, error: icmp::Error, id: u16) -> Option<()> {
    // Linux decrements the time to live before it finds a packet too big; the quote shows it.
    if let icmp::Error::FragmentationNeeded { .. } = error {
        let new = fwd::rewritten(packet, &Edit::nothing());
        let check = new.ip_check.bytes();
        store(skb, IP + ipv4::TTL_AT as u32, &[new.ttl, packet.proto, check[0], check[1]])?;
    }
    let quote = (packet.total_len as usize).min(icmp::MAX_QUOTE) as u32;
    // SAFETY: the context of the running program.
    unsafe {
        if helpers::bpf_skb_change_tail(skb, IP + quote, 0) != 0
            || helpers::bpf_skb_adjust_room(skb, ROOM as i32, BPF_ADJ_ROOM_MAC, 0) != 0
        {
            return None;
        }
    }
    let outer = ipv4::Header {
        tos: icmp::TOS,
        total_len: (ROOM as u32 + quote) as u16,
        id,
        dont_fragment: false,
        ttl: icmp::TTL,
        proto: ip_proto::ICMP,
        src: packet.dst,
        dst: packet.src,
    };
    let (kind, code) = error.kind_and_code();
    let head = Be32::from_bytes([kind, code, 0, 0]);
    let rest = Be32::new(error.rest());
    let sum = add(add(head.0, rest.0), quoted_sum(skb, packet, quote));
    let check = finish(sum).bytes();
    let words = outer.words();
    let head = Be32::from_bytes([kind, code, check[0], check[1]]);
    store(skb, IP, &[words[0], words[1], words[2], words[3], words[4], head, rest])
}

/// The sum over the quote. Where the kernel has still to complete the packet's checksum it will do so inside the
/// quote, when ours is already made: but after completion the transport part sums to the complement of what the
/// field holds now, whatever its data, so the sum is known beforehand.
#[inline(always)]
fn quoted_sum(skb: *mut __sk_buff, packet: &Packet<Be32>, quote: u32) -> u32 {
    let at = IP + ROOM as u32;
    if packet.checksum_looks_partial() {
        let header_len = packet.l4_at.wrapping_sub(packet.ip_at) as u32;
        return add(sum_bytes(skb, at, header_len, 0), !packet.l4_check.0 as u32 & 0xffff);
    }
    sum_bytes(skb, at, quote, 0)
}
