//! ICMP errors about a connection, in TC: told by `rlvs_core::path::related`, carried out here.

use crate::family::Family;
use crate::maps;
use crate::rewrite;
use crate::steps;
use crate::sum::sum_bytes;
use crate::tables::{Kernel, Tc, count_drop, jiffies};
use crate::tc::{self, leave, store};
use crate::trace;
use aya_ebpf::bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM, TC_ACT_OK, TC_ACT_SHOT};
use rlvs_core::fwd::{self, Kind, nat};
use rlvs_core::path::{Decision, DropReason, Layer, Located, Plan, Verdict, deliver_related, locate_related};
use rlvs_core::wire::{Packet, Quote, checksum, ip_proto, ipv4, read_too_big};

/// Ethernet, the longest IPv4 header (or extensions of IPv6), an ICMP header, and the longest IPv4 header and eight bytes
/// that are quoted.
const HEADERS: u32 = tc::EXTENDED_HEADERS + 8 + 60 + 8;

/// What becomes of an ICMP packet (`TC_ACT_…`).
#[inline(always)]
pub fn carry_out<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>) -> i32 {
    let done = A::with_quote(|quote| {
        if !is_readable(skb, packet, quote) {
            learn(skb, packet);
            return TC_ACT_OK;
        }
        A::with_plan(|plan| finish(skb, packet, quote, plan)).unwrap_or(TC_ACT_OK)
    });
    done.unwrap_or(TC_ACT_OK)
}

#[inline(never)]
fn is_readable<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, quote: &mut Quote<A>) -> bool {
    tc::reading(skb, HEADERS, |frame| A::read_quote(frame, packet, quote)).is_ok()
}

#[inline(always)]
fn finish<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    quote: &mut Quote<A>,
    plan: &mut Plan<A>,
) -> i32 {
    // SAFETY: the context of the running program.
    let ifindex = unsafe { (&raw const (*skb).ingress_ifindex).read_volatile() };
    let now = jiffies();
    let located = located(packet, quote, now);
    if located == Located::Pass.code() {
        learn(skb, packet);
        return TC_ACT_OK;
    }
    let mut decision = if is_right(skb, packet) {
        delivered(packet, located, &Kernel::new(skb.cast(), ifindex), now, plan)
    } else {
        Decision::drop(DropReason::BadChecksum)
    };
    if decision == Decision::SPLIT {
        decision = Decision::drop(DropReason::WouldFragment);
    }
    if decision == Decision::FORWARD && apply(skb, packet, quote, plan).is_none() {
        decision = Decision::drop(DropReason::EditFailed);
    }
    trace::note(packet, located, decision, plan, Layer::Stack, ifindex);
    match decision.verdict() {
        Verdict::Pass | Verdict::Up | Verdict::Answer(..) | Verdict::Split => TC_ACT_OK,
        Verdict::Drop(reason) => {
            count_drop(reason);
            TC_ACT_SHOT
        }
        Verdict::Forward => leave(skb, &plan.hop),
    }
}

/// What a router says of a packet that the director made itself. It goes on to the stack in any case.
#[inline(never)]
fn learn<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>) {
    let Some((dst, mtu)) = read_too_big(tc::bytes(skb), packet) else {
        return;
    };
    let to = dst.map(|word| word.0);
    let _ = maps::PATH_MTU.insert(&to, &[mtu, jiffies()], 0);
}

#[inline(always)]
fn apply<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    quote: &mut Quote<A>,
    plan: &Plan<A>,
) -> Option<()> {
    // Side by side, because of the stack.
    if plan.edit.kind == Kind::Nat {
        translate(skb, packet, quote, plan)
    } else {
        rewrite::apply(skb, packet, plan)
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
    quote: &mut Quote<A>,
    plan: &Plan<A>,
) -> Option<()> {
    let new = fwd::rewritten(packet, &plan.edit);
    nat::requote(packet, quote, &plan.edit.rewrite);
    A::store_head(skb, packet, &new, (plan.edit.rewrite.src, plan.edit.rewrite.dst))?;
    let flags = BPF_F_RECOMPUTE_CSUM as u64;
    let (src_at, dst_at) = quote.addresses_at();
    store(skb, src_at as u32, &quote.src, flags)?;
    store(skb, dst_at as u32, &quote.dst, flags)?;
    if A::WORDS == 1 {
        store(skb, quote.ip_at as u32 + ipv4::CHECK_AT as u32, &quote.ip_check, flags)?;
    }
    store(skb, quote.l4_at as u32, &[quote.sport, quote.dport], flags)?;
    store(skb, packet.l4_at as u32 + 2, &quote.icmp_check, flags)
}
