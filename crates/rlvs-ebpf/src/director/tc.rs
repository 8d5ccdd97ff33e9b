//! TC ingress: finishes what XDP could not, or everything where there is no XDP.
//!
//! Writes go through helpers: they know of packets that are cut up later (GSO), of checksums that hardware completes,
//! and leave packets alone that are not written to (a program that writes through pointers makes the kernel copy the
//! header of every cloned packet).

use crate::answer::answer;
use crate::calls;
use crate::family::{Family, Six};
use crate::frame::{Bytes, ptr};
use crate::ftp::arrived;
use crate::maps;
use crate::rewrite;
use crate::split::split;
use crate::tables::{Kernel, Tc, count_drop, jiffies};
use crate::trace;
use aya_ebpf::bindings::{__sk_buff, BPF_F_INGRESS, TC_ACT_OK, TC_ACT_SHOT, bpf_redir_neigh};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use rlvs_core::path::{Decision, DropReason, Hop, Layer, Located, Plan, Verdict, deliver, hop_flag};
use rlvs_core::proto::ftp;
use rlvs_core::wire::eth::{self, EtherType};
use rlvs_core::wire::{Be16, Be32, Packet, Part, Skip, extension, read, read_extensions, read6};

/// Ethernet, the longest IPv4 header (an IPv6 header is shorter), and a TCP header without options.
const HEADERS: u32 = 14 + 60 + 20;
/// The same behind as many extension headers as are walked along.
pub const EXTENDED_HEADERS: u32 = HEADERS + extension::MAX_LEN as u32;
const UDP_LEN: u32 = 8;
const IP: u32 = eth::HEADER_LEN as u32;

#[classifier]
pub fn rlvs_tc(context: TcContext) -> i32 {
    run::<true>(context.skb.skb)
}

/// The same where there is no service of IPv6: the kernel is done with it in half the time.
#[classifier]
pub fn rlvs_tc4(context: TcContext) -> i32 {
    run::<false>(context.skb.skb)
}

#[inline(always)]
fn run<const SIX: bool>(skb: *mut __sk_buff) -> i32 {
    // SAFETY: the context of the running program.
    let (protocol, kind, tagged) = unsafe {
        let kind = (&raw const (*skb).pkt_type).read_volatile();
        ((&raw const (*skb).protocol).read_volatile(), kind, (&raw const (*skb).vlan_present).read_volatile())
    };
    // Frames for other hosts pass by on ports of bridges and on interfaces that listen to everything.
    const PACKET_HOST: u32 = 0;
    if kind != PACKET_HOST {
        return TC_ACT_OK;
    }
    // A frame of a VLAN, whose tag the kernel has taken off already: it comes again at the VLAN's own interface.
    if tagged != 0 {
        return TC_ACT_OK;
    }
    match EtherType(Be16(protocol as u16)) {
        EtherType::IPV4 => {
            let mut packet = Packet::<Be32>::empty();
            let kind = read_as(reading(skb, HEADERS, |frame| read(frame, &mut packet)));
            carry_out_kind(skb, kind, &mut packet)
        }
        EtherType::IPV6 if SIX => match maps::scratch() {
            Some(scratch) => {
                let kind = reads6(skb, &mut scratch.packet);
                carry_out_kind(skb, kind, &mut scratch.packet)
            }
            None => TC_ACT_OK,
        },
        _ => TC_ACT_OK,
    }
}

/// `gso_size` of packets whose pieces have buffers of their own (`include/linux/skbuff.h`).
const GSO_BY_FRAGS: u32 = 0xffff;

/// What a packet was read as: [`OURS`] with its ports, [`ICMP`] without.
type ReadAs = u32;
const NOTHING: ReadAs = 0;
const OURS: ReadAs = 1;
const ICMP: ReadAs = 2;
const FRAGMENT: ReadAs = 3;
const SECURED: ReadAs = 4;
const EXTENSION: ReadAs = 5;

#[inline(always)]
fn carry_out_kind<A: Family>(skb: *mut __sk_buff, kind: ReadAs, packet: &mut Packet<A>) -> i32 {
    // SAFETY: the context of the running program.
    let len = unsafe { (&raw const (*skb).len).read_volatile() };
    if packet.total_len as u32 + IP > len {
        return TC_ACT_OK; // shorter than its IP header says: the stack counts and drops it
    }
    match kind {
        OURS => carry_out(skb, packet),
        ICMP => A::tc_related(skb, packet) as i32,
        FRAGMENT => carry_out_fragment(skb, packet),
        SECURED => carry_out_secured(skb, packet),
        _ => TC_ACT_OK,
    }
}

/// AH or ESP: opens nothing.
#[inline(always)]
fn carry_out_secured<A: Family>(skb: *mut __sk_buff, packet: &mut Packet<A>) -> i32 {
    packet.follow_keys();
    let now = jiffies();
    match Located::from_code(A::locate(packet, now)) {
        known @ (Located::Request(_) | Located::Reply(_)) => {
            carry_out_located(skb, packet, known.code(), now)
        }
        _ => TC_ACT_OK,
    }
}

#[inline(always)]
fn carry_out_fragment<A: Family>(skb: *mut __sk_buff, packet: &mut Packet<A>) -> i32 {
    let now = jiffies();
    let known = A::fragment(skb, packet, now);
    match Located::from_code(known) {
        Located::New if packet.part == Part::First && A::first_fragment(skb, packet, known, now) != 0 => {
            TC_ACT_SHOT // it comes in again, and others after it
        }
        Located::New => carry_out(skb, packet),
        Located::Pass => TC_ACT_OK,
        Located::Up => TC_ACT_SHOT, // for now
        _ => carry_out_located(skb, packet, known, now),
    }
}

/// A function of its own: it shares no stack with what follows.
#[inline(never)]
fn reads6(skb: *mut __sk_buff, packet: &mut Packet<Six>) -> ReadAs {
    match read_as(reading(skb, HEADERS, |frame| read6(frame, packet))) {
        EXTENSION => rlvs6_extensions(skb, packet) as ReadAs,
        kind => kind,
    }
}

/// Goes on behind extension headers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rlvs6_extensions(skb: *mut __sk_buff, packet: *mut Packet<Six>) -> u64 {
    // SAFETY: null, or the place for a packet.
    let Some(packet) = (unsafe { packet.as_mut() }) else {
        return NOTHING as u64;
    };
    read_as(reading(skb, EXTENDED_HEADERS, |frame| read_extensions(frame, packet))) as u64
}

/// Reads a packet. Its first `len` bytes may not all lie in the linear part: then has them moved there, and tries once more. Not
/// those of a packet whose pieces have buffers of their own: they would not be found any more.
#[inline(always)]
pub fn reading(
    skb: *mut __sk_buff,
    len: u32,
    mut read: impl FnMut(Bytes) -> Result<(), Skip>,
) -> Result<(), Skip> {
    match read(bytes(skb)) {
        Err(skip @ (Skip::Malformed | Skip::Covered)) => {
            // SAFETY: the context of the running program.
            let (all, gso_size) = unsafe {
                ((&raw const (*skb).len).read_volatile(), (&raw const (*skb).gso_size).read_volatile())
            };
            if gso_size == GSO_BY_FRAGS {
                return if let Skip::Covered = skip { Ok(()) } else { Err(skip) };
            }
            // SAFETY: the context of the running program; pointers into the packet are made anew.
            if unsafe { helpers::bpf_skb_pull_data(skb, all.min(len)) } != 0 {
                return Err(Skip::Malformed);
            }
            read(bytes(skb))
        }
        other => other,
    }
}

#[inline(always)]
fn read_as(result: Result<(), Skip>) -> ReadAs {
    match result {
        Ok(()) => OURS,
        Err(Skip::Icmp) => ICMP,
        Err(Skip::Fragment) => FRAGMENT,
        Err(Skip::Secured) => SECURED,
        Err(Skip::Extension) => EXTENSION,
        Err(_) => NOTHING,
    }
}

#[inline(always)]
pub fn bytes(skb: *mut __sk_buff) -> Bytes {
    // SAFETY: the context of the running program.
    unsafe {
        Bytes {
            data: (&raw const (*skb).data).read_volatile() as usize,
            end: (&raw const (*skb).data_end).read_volatile() as usize,
        }
    }
}

#[inline(always)]
fn carry_out<A: Family>(skb: *mut __sk_buff, packet: &mut Packet<A>) -> i32 {
    // SAFETY: the context of the running program.
    let (gso_size, mark) =
        unsafe { ((&raw const (*skb).gso_size).read_volatile(), (&raw const (*skb).mark).read_volatile()) };
    packet.mark = mark;
    if gso_size != 0 {
        packet.segment_len = 0;
    }
    let now = jiffies();
    let mut located = A::locate(packet, now);
    if located == Located::Awaited.code() {
        located = arrived(packet, now);
    }
    if located == Located::New.code() {
        if calls::are_asked_for(packet.proto) {
            let len = packet.l4_len() as u32;
            packet.call = calls::rlvs_call_of(skb, packet.l4_at as u32 + UDP_LEN, len.wrapping_sub(UDP_LEN));
        }
        located = A::open(packet, now);
    }
    if packet.part == Part::First && A::first_fragment(skb, packet, located, now) != 0 {
        return TC_ACT_SHOT; // likewise
    }
    if located == Located::Pass.code() {
        return TC_ACT_OK;
    }
    carry_out_located(skb, packet, located, now)
}

/// The packet's connection has no source yet: what [`finish`] says then, which is no `TC_ACT_…`.
const SOURCELESS: i32 = 1000;

/// The second half of the story. The first packet of a connection may need a source before (`TC_ACT_…`).
#[inline(always)]
fn carry_out_located<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, located: u64, now: u32) -> i32 {
    let mut done = A::tc_finish(skb, packet, located, now);
    if done as i32 == SOURCELESS {
        // Here, and not where it was missed: there is no stack left there.
        let reason = A::bind_source(located as u32, now);
        if reason != 0 {
            let reason = DropReason::from_number(reason as u8);
            count_drop(reason);
            // SAFETY: the context of the running program.
            let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
            trace::note_to(packet, located, Decision::drop(reason), 0, Layer::Stack, ifindex);
            return TC_ACT_SHOT;
        }
        done = A::tc_finish(skb, packet, located, now);
    }
    let heard = (done >> 32) as u32;
    if heard != 0 {
        A::expect(packet, located, heard, now);
    }
    done as i32
}

/// The second half of the story, and what comes of it: `TC_ACT_…` in the lower half, in the upper one what was
/// [heard](crate::ftp::hear). (What follows from that has no room on this stack.)
#[inline(always)]
pub fn finish<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, located: u64, now: u32) -> u64 {
    let mut heard = 0;
    let done = A::with_plan(|plan| finish_with(skb, packet, located, now, plan, &mut heard));
    heard << 32 | done.unwrap_or(TC_ACT_OK) as u32 as u64
}

#[inline(always)]
fn finish_with<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    located: u64,
    now: u32,
    plan: &mut Plan<A>,
    heard: &mut u64,
) -> i32 {
    // SAFETY: the context of the running program.
    let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
    let tables = Kernel::<A, Tc>::new(skb.cast(), ifindex);
    let mut decision = Decision(A::tc_decide(skb, packet, located, now, plan));
    if decision == Decision::UP {
        return SOURCELESS;
    }
    if decision.is_sent() && ftp::may_speak(packet, &plan.edit) {
        *heard = A::hear(skb, packet, located, plan.edit.rewrite.src.word(0).0);
    }
    if decision.is_sent() && rewrite::apply(skb, packet, plan).is_none() {
        decision = Decision::drop(DropReason::EditFailed);
    }
    if decision.is_sent() && plan.edit.handing != 0 && A::hand_on(skb, packet, plan, located) != 0 {
        decision = Decision::drop(DropReason::EditFailed);
    }
    if A::WORDS == 1 && decision == Decision::SPLIT && split(skb, &plan.hop).is_none() {
        decision = Decision::drop(DropReason::WouldFragment);
    }
    trace::note(packet, located, decision, plan, Layer::Stack, ifindex);
    match decision.verdict() {
        Verdict::Pass | Verdict::Up => TC_ACT_OK,
        Verdict::Drop(reason) => {
            count_drop(reason);
            TC_ACT_SHOT
        }
        Verdict::Answer(error, reason) => {
            count_drop(reason);
            answer(skb, packet, error, &tables, &mut plan.hop)
        }
        Verdict::Forward => leave(skb, &plan.hop),
        // SAFETY: plain numbers.
        Verdict::Split => unsafe { helpers::bpf_redirect(plan.hop.ifindex, 0) as i32 },
    }
}

/// What becomes of the packet: the code of a [`Decision`].
#[inline(always)]
pub fn decide<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    located: u64,
    now: u32,
    plan: &mut Plan<A>,
) -> u64 {
    // SAFETY: the context of the running program.
    let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
    let tables = Kernel::<A, Tc>::new(skb.cast(), ifindex);
    deliver(packet, Located::from_code(located), &tables, now, plan).0
}

/// Sends the packet out: with the cached addresses, or through the kernel's neighbour table, which resolves what is
/// not known yet.
#[inline(always)]
pub fn leave<A: Family>(skb: *mut __sk_buff, hop: &Hop<A>) -> i32 {
    if hop.flags & (hop_flag::RESOLVED | hop_flag::PROBE) == hop_flag::RESOLVED {
        if store(skb, 0, &hop.macs, 0).is_none() {
            return TC_ACT_SHOT;
        }
        let flags = if hop.has(hop_flag::LOCAL) { BPF_F_INGRESS as u64 } else { 0 };
        // SAFETY: plain numbers.
        return unsafe { helpers::bpf_redirect(hop.ifindex, flags) as i32 };
    }
    if hop.has(hop_flag::ACROSS) {
        // The kernel looks where the outer header leads.
        // SAFETY: no next hop given.
        return unsafe { helpers::bpf_redirect_neigh(hop.ifindex, core::ptr::null_mut(), 0, 0) as i32 };
    }
    let mut neighbour = [A::NUMBER as u32, 0, 0, 0, 0]; // bpf_redir_neigh
    let mut i = 0;
    while i < A::WORDS {
        neighbour[1 + i] = hop.via.word(i).0;
        i += 1;
    }
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: five words are as large as the struct, and its size is passed along.
    unsafe { helpers::bpf_redirect_neigh(hop.ifindex, neighbour.as_mut_ptr().cast(), size, 0) as i32 }
}

/// Writes a value into the packet; `flags` are those of `bpf_skb_store_bytes`.
#[inline(always)]
pub fn store<T>(skb: *mut __sk_buff, at: u32, value: &T, flags: u64) -> Option<()> {
    // SAFETY: the context of the running program, and a value of the size given.
    let done = unsafe { helpers::bpf_skb_store_bytes(skb, at, ptr(value), size_of::<T>() as u32, flags) };
    (done == 0).then_some(())
}
