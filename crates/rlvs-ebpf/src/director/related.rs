//! ICMP errors about a connection, in TC: told by `rlvs_core::path::related`, carried out here.

use crate::family::{Family, Six};
use crate::frame::Bytes;
use crate::maps;
use crate::steps;
use crate::sum::sum_bytes;
use crate::tables::{Kernel, Tc, count_drop, jiffies};
use crate::tc::{self, leave, store};
use crate::trace;
use aya_ebpf::bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM, TC_ACT_OK, TC_ACT_SHOT};
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::fwd::{self, Kind, nat};
use rlvs_core::path::{Decision, DropReason, Layer, Located, Plan, Verdict, deliver_related, locate_related};
use rlvs_core::wire::{Be32, Packet, Quote, Skip, checksum, ip_proto, ipv4, read_quote, read_quote6};

/// Ethernet, the longest IPv4 header, an ICMP header, and the longest IPv4 header and eight bytes that are quoted.
const HEADERS: u32 = 14 + 60 + 8 + 60 + 8;

/// What a family has of its own.
pub trait Related: Sized {
    /// What becomes of an ICMP packet (`TC_ACT_…`).
    fn related(skb: *mut __sk_buff, packet: *const Packet<Self>) -> u64;
    fn read_quote(frame: Bytes, packet: &Packet<Self>, quote: &mut Quote<Self>) -> Result<(), Skip>;
}

impl Related for Be32 {
    #[inline(always)]
    fn related(skb: *mut __sk_buff, packet: *const Packet<Be32>) -> u64 {
        rlvs_tc_related(skb, packet)
    }
    #[inline(always)]
    fn read_quote(frame: Bytes, packet: &Packet<Be32>, quote: &mut Quote<Be32>) -> Result<(), Skip> {
        read_quote(frame, packet, quote)
    }
}

impl Related for Six {
    #[inline(always)]
    fn related(skb: *mut __sk_buff, packet: *const Packet<Six>) -> u64 {
        rlvs6_tc_related(skb, packet)
    }
    #[inline(always)]
    fn read_quote(frame: Bytes, packet: &Packet<Six>, quote: &mut Quote<Six>) -> Result<(), Skip> {
        read_quote6(frame, packet, quote)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rlvs_tc_related(skb: *mut __sk_buff, packet: *const Packet<Be32>) -> u64 {
    // SAFETY: null, or a packet of the caller's.
    let Some(packet) = (unsafe { packet.as_ref() }) else {
        return TC_ACT_OK as u64;
    };
    carry_out(skb, packet, &mut Quote::empty()) as u64
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rlvs6_tc_related(skb: *mut __sk_buff, packet: *const Packet<Six>) -> u64 {
    // SAFETY: null, or a packet of the caller's.
    match unsafe { packet.as_ref() }.zip(maps::scratch()) {
        Some((packet, scratch)) => carry_out(skb, packet, &mut scratch.quote) as u64,
        None => TC_ACT_OK as u64,
    }
}

#[inline(always)]
fn carry_out<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, quote: &mut Quote<A>) -> i32 {
    if !can_be_read(skb, packet, quote) {
        return TC_ACT_OK;
    }
    A::with_plan(|plan| decided(skb, packet, quote, plan)).unwrap_or(TC_ACT_OK)
}

/// As with other packets: what is not in the linear part is moved there first.
#[inline(never)]
fn can_be_read<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, quote: &mut Quote<A>) -> bool {
    match A::read_quote(tc::bytes(skb), packet, quote) {
        Ok(()) => true,
        Err(Skip::Malformed) => {
            // SAFETY: the context of the running program.
            unsafe {
                let len = (&raw const (*skb).len).read_volatile();
                if helpers::bpf_skb_pull_data(skb, len.min(HEADERS)) != 0 {
                    return false;
                }
            }
            A::read_quote(tc::bytes(skb), packet, quote).is_ok()
        }
        Err(_) => false,
    }
}

#[inline(always)]
fn decided<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, quote: &Quote<A>, plan: &mut Plan<A>) -> i32 {
    // SAFETY: the context of the running program.
    let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
    let tables = Kernel::<A, Tc>::new(skb.cast(), ifindex);
    let dropped = |reason| {
        count_drop(reason);
        TC_ACT_SHOT
    };
    let now = jiffies();
    let located = located(packet, quote, now);
    if located == Located::Pass.code() {
        return TC_ACT_OK;
    }
    let decision = delivered(packet, located, &tables, now, plan);
    trace::note(packet, located, decision, plan, Layer::Stack, ifindex);
    match decision.verdict() {
        Verdict::Pass | Verdict::Up | Verdict::Answer(..) => TC_ACT_OK,
        Verdict::Drop(reason) => dropped(reason),
        Verdict::Forward if !is_right(skb, packet) => dropped(DropReason::BadChecksum),
        Verdict::Forward => {
            // Side by side, because of the stack.
            let done = if plan.edit.kind == Kind::Nat {
                translate(skb, packet, quote, plan)
            } else {
                tc::apply(skb, packet, plan)
            };
            match done {
                Some(()) => leave(skb, &plan.hop),
                None => dropped(DropReason::EditFailed),
            }
        }
    }
}

/// The code of a [`Located`].
#[inline(never)]
fn located<A: Family>(packet: &Packet<A>, quote: &Quote<A>, now: u32) -> u64 {
    locate_related(packet, quote, &steps::tables::<A>(), now).code()
}

#[inline(never)]
fn delivered<A: Family>(
    packet: &Packet<A>,
    located: u64,
    tables: &Kernel<A, Tc>,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    deliver_related(packet, Located::from_code(located), tables, now, plan)
}

/// The checksum of the ICMP message.
#[inline(always)]
fn is_right<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>) -> bool {
    let start = if A::WORDS == 1 {
        0
    } else {
        checksum::pseudo(packet.src, packet.dst, ip_proto::ICMPV6, packet.l4_len())
    };
    let sum = sum_bytes(skb, packet.l4_at as u32, packet.l4_len() as u32, start);
    checksum::finish(sum).0 == 0
}

#[inline(never)]
fn translate<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    quote: &Quote<A>,
    plan: &Plan<A>,
) -> Option<()> {
    let new = fwd::rewritten(packet, &plan.edit);
    let r = nat::requoted(packet, quote, &plan.edit.rewrite);
    A::store_head(skb, packet, &new, plan.edit.rewrite.addresses(packet))?;
    let flags = BPF_F_RECOMPUTE_CSUM as u64;
    store(skb, r.addr_at as u32, &r.addr, flags)?;
    if A::WORDS == 1 {
        store(skb, quote.ip_at as u32 + ipv4::CHECK_AT as u32, &r.ip_check, flags)?;
    }
    store(skb, r.port_at as u32, &r.port, flags)?;
    store(skb, packet.l4_at as u32 + 2, &r.icmp_check, flags)
}
