//! ICMP errors that the director sends itself, made in place of the packet that caused them (RFC 792, RFC 4443).
//!
//! The packet is cut to what is quoted, room for two headers is made in front of it, and the result goes back to its
//! sender from the address it was for.

use crate::family::Family;
use crate::maps;
use crate::steps;
use crate::sum::sum_when_completed;
use crate::tables::{Kernel, Tc, jiffies};
use crate::tc::leave;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC};
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::fwd::{self, Edit};
use rlvs_core::maps::global;
use rlvs_core::mem::Mem;
use rlvs_core::path::{Hop, Tables, hop_flag, limit};
use rlvs_core::wire::{Packet, eth, icmp};

const IP: u32 = eth::HEADER_LEN as u32;

/// Turns the packet into the error and sends it back.
#[inline(always)]
pub fn answer<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    error: icmp::Error,
    tables: &Kernel<A, Tc>,
    hop: &mut Hop<A>,
) -> i32 {
    if !may_be_sent(packet, error) {
        return TC_ACT_SHOT;
    }
    tables.route(packet.src, hop);
    if !hop.has(hop_flag::ROUTED) || make(skb, packet, error, tables.random() as u16).is_none() {
        return TC_ACT_SHOT;
    }
    leave(skb, hop)
}

/// Does its rate allow it? (Processors may count at the same time; then it is a few more.)
#[inline(never)]
fn may_be_sent<A: Family>(packet: &Packet<A>, error: icmp::Error) -> bool {
    let tables = steps::tables::<A>();
    let Some((settings, global)) = tables.settings().zip(tables.global()) else {
        return false;
    };
    let limits = &settings.answers;
    let interval = if A::WORDS == 1 { limits.interval } else { limits.interval6 };
    if !limit::is_limited::<A>(error, limits) {
        return true;
    }
    let (now, hz) = (jiffies(), tables.hz());
    if limits.per_sec != 0 {
        let bucket = [global.load(global::ANSWERS), global.load(global::ANSWERS_AT)];
        let (left, may) = limit::to_all(bucket, now, hz, limits);
        global.store(global::ANSWERS, left[0]);
        global.store(global::ANSWERS_AT, left[1]);
        if !may {
            return false;
        }
    }
    if interval == 0 {
        return true;
    }
    let mut host = [0; 4];
    let mut i = 0;
    while i < A::WORDS {
        host[i] = packet.src.word(i).0;
        i += 1;
    }
    if let Some(bucket) = maps::ANSWERED.get_ptr_mut(&host) {
        // SAFETY: values of the map live as long as the program runs.
        let (left, may) = limit::to_one(unsafe { bucket.read() }, now, interval);
        unsafe { bucket.write(left) };
        return may;
    }
    let _ = maps::ANSWERED.insert(&host, &limit::first_to_one(now, interval), 0);
    true
}

#[inline(never)]
fn make<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, error: icmp::Error, id: u16) -> Option<()> {
    // Linux decrements the time to live before it finds a packet too big; the quote shows it.
    if let icmp::Error::FragmentationNeeded { .. } = error {
        let new = fwd::rewritten(packet, &Edit::nothing());
        A::store_head(skb, packet, &new, (packet.src, packet.dst))?;
    }
    let quote = (packet.total_len as usize).min(A::MAX_QUOTE) as u32;
    // SAFETY: the context of the running program.
    unsafe {
        if helpers::bpf_skb_change_tail(skb, IP + quote, 0) != 0
            || helpers::bpf_skb_adjust_room(skb, room::<A>() as i32, BPF_ADJ_ROOM_MAC, 0) != 0
        {
            return None;
        }
    }
    // The kernel will complete the packet's own checksum inside the quote, after ours is made.
    let sum = sum_when_completed(skb, packet, IP + room::<A>(), quote);
    A::store_error(skb, packet, error, id, quote, sum)
}

/// Bytes in front of the quote: an IP and an ICMP header.
const fn room<A: Family>() -> u32 {
    (A::HEADER_LEN + icmp::HEADER_LEN) as u32
}
