//! Telling `rlvs trace` about packets. While nobody asks, a packet pays for one look at a word.

use crate::family::Family;
use crate::maps;
use crate::steps::tables;
use crate::tables::jiffies;
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::conn::Entry;
use rlvs_core::maps::{TraceConfig, TraceEvent};
use rlvs_core::path::{Decision, Layer, Located, Plan, Verdict};
use rlvs_core::wire::{Addr, Be16, Be32, Packet};

/// Tells what was decided about a packet that came in by an interface.
#[inline(always)]
pub fn note<A: Family>(
    packet: &Packet<A>,
    located: u64,
    decision: Decision,
    plan: &Plan<A>,
    layer: Layer,
    ifindex: u32,
) {
    note_to(packet, located, decision, plan.hop.ifindex, layer, ifindex);
}

/// The same; `to` is the interface by which it goes out if it does.
#[inline(always)]
pub fn note_to<A: Family>(
    packet: &Packet<A>,
    located: u64,
    decision: Decision,
    to: u32,
    layer: Layer,
    ifindex: u32,
) {
    if let Some(config) = maps::TRACE.get(0)
        // SAFETY: a word that user space writes meanwhile.
        && unsafe { (&raw const config.until).read_volatile() } != 0
    {
        let out = if decision.is_sent() { to } else { 0 };
        A::trace(packet, located, decision.0, (layer as u64) << 32 | ifindex as u64, out);
    }
}

/// Somebody asks.
#[inline(always)]
pub fn tell<A: Family>(packet: &Packet<A>, located: u64, decision: Decision, layer_and_if: u64, to_if: u32) {
    let Some(config) = maps::TRACE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the value of `TRACE`. Its counters may be written by several processors at once: then a packet more or
    // less is told.
    let config = unsafe { &mut *config };
    let dropped = matches!(decision.verdict(), Verdict::Drop(_) | Verdict::Answer(..));
    // What goes up is told by the next layer.
    if decision == Decision::UP || !config.fits(packet, dropped) || !is_due(config) {
        return;
    }
    let Some(mut event) = maps::EVENTS.reserve::<TraceEvent>(0) else {
        config.lost = config.lost.wrapping_add(1);
        return;
    };
    let e = event.as_mut_ptr();
    // SAFETY: memory of the ring that is ours until it is submitted; every field is written.
    unsafe {
        (*e).at_ns = helpers::bpf_ktime_get_ns();
        (*e).decision = decision.0;
        (*e).src = wide(packet.src);
        (*e).dst = wide(packet.dst);
        (*e).sport = packet.sport;
        (*e).dport = packet.dport;
        (*e).len = packet.total_len;
        (*e).from_if = layer_and_if as u32;
        (*e).to_if = to_if;
        (*e).family = A::FAMILY;
        (*e).protocol = packet.proto;
        (*e).tcp_flags = packet.tcp_flags;
        (*e).layer = (layer_and_if >> 32) as u8;
        (*e).ttl = packet.ttl;
        where_to::<A>(Located::from_code(located), &mut *e);
    }
    event.submit(0);
}

#[inline(always)]
fn wide<A: Addr>(addr: A) -> [Be32; 4] {
    let word = |i: usize| if i < A::WORDS { addr.word(i) } else { Be32(0) };
    [word(0), word(1), word(2), word(3)]
}

/// One of so many, and not too many in a second.
#[inline(always)]
fn is_due(config: &mut TraceConfig) -> bool {
    let now = jiffies();
    if (now.wrapping_sub(config.until) as i32) >= 0 {
        config.until = 0; // who asked is gone
        return false;
    }
    config.fitted = config.fitted.wrapping_add(1);
    if !config.fitted.is_multiple_of(config.one_in.max(1)) {
        return false;
    }
    if now.wrapping_sub(config.second_at) >= maps::HZ.load() {
        config.second_at = now;
        config.told = 0;
    }
    if config.told >= config.per_second {
        config.lost = config.lost.wrapping_add(1);
        return false;
    }
    config.told = config.told.wrapping_add(1);
    true
}

/// The server of a packet's connection, or whom a reply is from.
#[inline(always)]
fn where_to<A: Family>(located: Located, e: &mut TraceEvent) {
    let mut dest_id = rlvs_core::maps::NONE;
    e.to = [Be32(0); 4];
    e.to_port = Be16(0);
    e.to_family = e.family;
    e.method = u8::MAX;
    e.is_reply = 0;
    match located {
        Located::Request(id) | Located::Reply(id) => {
            let Some(conn) = Entry::<A, _>::at(&tables::<A>(), id) else {
                return;
            };
            dest_id = conn.dest();
            e.to_port = conn.dest_port();
            if let Located::Reply(_) = located {
                e.is_reply = 1;
                e.to = wide(conn.virtual_addr());
                e.to_port = conn.virtual_port();
            }
        }
        Located::OnePacket(dest) => dest_id = dest,
        _ => {}
    }
    if let Some(dest) = maps::DEST.get(dest_id) {
        e.method = dest.method;
        if e.is_reply == 0 {
            e.to = dest.addr;
            e.to_family = dest.family;
            if e.to_port == Be16(0) {
                e.to_port = dest.port;
            }
        }
    }
}
