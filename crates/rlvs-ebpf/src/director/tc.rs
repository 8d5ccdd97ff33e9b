//! TC ingress: finishes what XDP could not, or everything where there is no XDP.
//!
//! Writes go through helpers: they know of packets that are cut up later (GSO), of checksums that hardware completes,
//! and leave packets alone that are not written to (a program that writes through pointers makes the kernel copy the
//! header of every cloned packet).

use crate::answer::answer;
use crate::frame::{Bytes, ptr};
use crate::steps::{rlvs_locate, rlvs_open};
use crate::sum::sum_bytes;
use crate::tables::{Kernel, Tc, count_drop, jiffies};
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_MARK_MANGLED_0,
    BPF_F_PSEUDO_HDR, TC_ACT_OK, TC_ACT_SHOT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_redir_neigh,
};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use core::marker::PhantomData;
use rlvs_core::fwd::nat::Rewrite;
use rlvs_core::fwd::tun::Encap;
use rlvs_core::fwd::{self, Kind};
use rlvs_core::path::{Decision, DropReason, Hop, Located, Plan, Verdict, deliver, hop_flag};
use rlvs_core::wire::eth::{self, EtherType};
use rlvs_core::wire::{Be16, Be32, Packet, Skip, checksum, ip_proto, ipv4, parse};

/// Ethernet, the longest IPv4 header, and a TCP header without options.
const HEADERS: u32 = 14 + 60 + 20;
const IP: u32 = eth::HEADER_LEN as u32;

#[classifier]
pub fn rlvs_tc(context: TcContext) -> i32 {
    run(context.skb.skb)
}

#[inline(always)]
fn run(skb: *mut __sk_buff) -> i32 {
    // SAFETY: the context of the running program.
    let (protocol, kind) = unsafe {
        ((&raw const (*skb).protocol).read_volatile(), (&raw const (*skb).pkt_type).read_volatile())
    };
    // Frames for other hosts pass by on ports of bridges and on interfaces that listen to everything.
    const PACKET_HOST: u32 = 0;
    if protocol as u16 != EtherType::IPV4.0.0 || kind != PACKET_HOST {
        return TC_ACT_OK;
    }
    let packet = match parse(bytes(skb)) {
        Ok(packet) => packet,
        Err(Skip::Malformed) => match parse_pulled(skb) {
            Some(packet) => packet,
            None => return TC_ACT_OK,
        },
        Err(_) => return TC_ACT_OK,
    };
    carry_out(skb, packet)
}

/// The headers may not lie in the linear part: have them moved there, and try once more.
#[inline(always)]
fn parse_pulled(skb: *mut __sk_buff) -> Option<Packet<Be32>> {
    // SAFETY: the context of the running program.
    unsafe {
        let len = (&raw const (*skb).len).read_volatile();
        if helpers::bpf_skb_pull_data(skb, len.min(HEADERS)) != 0 {
            return None;
        }
    }
    parse(bytes(skb)).ok()
}

#[inline(always)]
fn bytes(skb: *mut __sk_buff) -> Bytes {
    // SAFETY: the context of the running program.
    unsafe {
        Bytes {
            data: (&raw const (*skb).data).read_volatile() as usize,
            end: (&raw const (*skb).data_end).read_volatile() as usize,
        }
    }
}

#[inline(always)]
fn carry_out(skb: *mut __sk_buff, mut packet: Packet<Be32>) -> i32 {
    // SAFETY: the context of the running program.
    let (gso_size, mark) =
        unsafe { ((&raw const (*skb).gso_size).read_volatile(), (&raw const (*skb).mark).read_volatile()) };
    packet.mark = mark;
    if gso_size != 0 {
        packet.segment_len = 0;
    }
    let now = jiffies();
    let mut located = rlvs_locate(&packet, now);
    if located == Located::New.code() {
        located = rlvs_open(&mut packet, now);
    }
    if located == Located::Pass.code() {
        return TC_ACT_OK;
    }
    rlvs_tc_finish(skb, &packet, located, now) as i32
}

/// The second half of the story and what comes of it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_tc_finish(
    skb: *mut __sk_buff,
    packet: *const Packet<Be32>,
    located: u64,
    now: u32,
) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => finish(skb, packet, located, now) as u64,
        None => TC_ACT_OK as u64,
    }
}

#[inline(always)]
fn finish(skb: *mut __sk_buff, packet: &Packet<Be32>, located: u64, now: u32) -> i32 {
    // SAFETY: the context of the running program.
    let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
    let tables = Kernel::<Tc> { context: skb.cast(), ifindex, layer: PhantomData };
    let mut plan = Plan::empty();
    match Decision(rlvs_tc_decide(skb, packet, located, now, &mut plan)).verdict() {
        Verdict::Pass | Verdict::Up => TC_ACT_OK,
        Verdict::Drop(reason) => {
            count_drop(reason);
            TC_ACT_SHOT
        }
        Verdict::Answer(error, reason) => {
            count_drop(reason);
            answer(skb, packet, error, &tables, &mut plan.hop)
        }
        Verdict::Forward => match apply(skb, packet, &plan) {
            Some(()) => leave(skb, &plan.hop),
            None => {
                count_drop(DropReason::EditFailed);
                TC_ACT_SHOT
            }
        },
    }
}

/// What becomes of the packet: the code of a [`Decision`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_tc_decide(
    skb: *mut __sk_buff,
    packet: *const Packet<Be32>,
    located: u64,
    now: u32,
    plan: *mut Plan<Be32>,
) -> u64 {
    // SAFETY: the context of the running program; the others null, or on the caller's stack.
    let (ifindex, packet, plan) =
        unsafe { ((&raw const (*skb).ingress_ifindex).read_volatile(), packet.as_ref(), plan.as_mut()) };
    let tables = Kernel::<Tc> { context: skb.cast(), ifindex, layer: PhantomData };
    match packet.zip(plan) {
        Some((packet, plan)) => deliver(packet, Located::from_code(located), &tables, now, plan).0,
        None => Decision::PASS.0,
    }
}

/// Changes the packet as planned.
#[inline(never)]
fn apply(skb: *mut __sk_buff, packet: &Packet<Be32>, plan: &Plan<Be32>) -> Option<()> {
    let new = fwd::rewritten(packet, &plan.edit);
    let (mut src, mut dst) = (packet.src, packet.dst);
    if plan.edit.kind == Kind::Nat {
        (src, dst) = plan.edit.rewrite.addresses(packet);
    }
    // TTL, protocol, checksum, both addresses: twelve bytes in a row.
    let ttl_word = [new.ttl, packet.proto, new.ip_check.bytes()[0], new.ip_check.bytes()[1]];
    let part = [Be32::from_bytes(ttl_word), src, dst];
    store(skb, IP + ipv4::TTL_AT as u32, &part)?;
    match plan.edit.kind {
        Kind::Direct => Some(()),
        Kind::Nat => translate(skb, packet, &plan.edit.rewrite),
        Kind::Tunnel => encapsulate(skb, packet, &plan.edit.encap),
    }
}

/// Port and transport checksum of a translated packet.
#[inline(always)]
fn translate(skb: *mut __sk_buff, packet: &Packet<Be32>, rewrite: &Rewrite<Be32>) -> Option<()> {
    let l4_at = packet.l4_at as u32;
    store(skb, l4_at, &rewrite.ports(packet))?;
    if packet.proto == ip_proto::SCTP {
        return Some(()); // its sum covers no address, and its port is not translated
    }
    let is_tcp = packet.proto == ip_proto::TCP;
    if !is_tcp && packet.l4_check.0 == 0 {
        return complete_udp_sum(skb, packet, rewrite);
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

/// A datagram without checksum gets one, as IPVS does.
#[inline(always)]
fn complete_udp_sum(skb: *mut __sk_buff, packet: &Packet<Be32>, rewrite: &Rewrite<Be32>) -> Option<()> {
    let (src, dst) = rewrite.addresses(packet);
    let start = checksum::pseudo(src, dst, packet.proto, packet.l4_len());
    let sum = sum_bytes(skb, packet.l4_at as u32, packet.l4_len() as u32, start);
    let check = checksum::finish(sum);
    let check = if check.0 == 0 { Be16(0xffff) } else { check };
    store(skb, packet.l4_at as u32 + 6, &check)
}

/// Makes room behind the Ethernet header and writes the outer IP header there.
#[inline(always)]
fn encapsulate(skb: *mut __sk_buff, packet: &Packet<Be32>, encap: &Encap) -> Option<()> {
    let mut flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 as u64;
    if packet.proto != ip_proto::TCP {
        flags |= BPF_F_ADJ_ROOM_FIXED_GSO as u64;
    }
    // SAFETY: the context of the running program.
    let made = unsafe { helpers::bpf_skb_adjust_room(skb, ipv4::MIN_LEN as i32, BPF_ADJ_ROOM_MAC, flags) };
    if made != 0 {
        return None;
    }
    store(skb, IP, &encap.outer.words())
}

/// Sends the packet out: with the cached addresses, or through the kernel's neighbour table, which resolves what is
/// not known yet.
#[inline(always)]
pub fn leave(skb: *mut __sk_buff, hop: &Hop<Be32>) -> i32 {
    if hop.flags & (hop_flag::RESOLVED | hop_flag::PROBE) == hop_flag::RESOLVED {
        if store(skb, 0, &hop.macs).is_none() {
            return TC_ACT_SHOT;
        }
        // SAFETY: plain numbers.
        return unsafe { helpers::bpf_redirect(hop.ifindex, 0) as i32 };
    }
    const AF_INET: u32 = 2;
    let mut neighbour = [AF_INET, hop.via.0, 0, 0, 0]; // bpf_redir_neigh
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: five words are as large as the struct, and its size is passed along.
    unsafe { helpers::bpf_redirect_neigh(hop.ifindex, neighbour.as_mut_ptr().cast(), size, 0) as i32 }
}

/// Writes a value into the packet.
#[inline(always)]
pub fn store<T>(skb: *mut __sk_buff, at: u32, value: &T) -> Option<()> {
    // SAFETY: the context of the running program, and a value of the size given.
    let done = unsafe { helpers::bpf_skb_store_bytes(skb, at, ptr(value), size_of::<T>() as u32, 0) };
    (done == 0).then_some(())
}
