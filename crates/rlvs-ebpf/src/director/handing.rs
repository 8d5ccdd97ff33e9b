//! The client's address handed on (PROXY protocol): what the brain decides of it, carried out in TC.
//!
//! The packet has its new addresses and ports already. All sums are moved by what changes (`bpf_l4_csum_replace`), which is
//! right for whole ones and for those that hardware is to complete.

use crate::family::Family;
use crate::frame::bounded;
use crate::maps;
use crate::steps;
use crate::sum::sum_bytes;
use crate::tc::store;
use aya_ebpf::bindings::{__sk_buff, BPF_F_PSEUDO_HDR};
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::conn::{Entry, Sets};
use rlvs_core::path::handing::{self, Extra, HEADER_FLAGS, Segment, WORDS, hand_on, header_len};
use rlvs_core::path::{Located, Plan, hop_flag};
use rlvs_core::proto::View;
use rlvs_core::wire::checksum::add;
use rlvs_core::wire::{Be16, Be32, Packet, Part};

const SEQ_AT: u32 = 4;
const ACK_AT: u32 = 8;
const FLAGS_AT: u32 = 12;
const CHECK_AT: u32 = 16;
const TCP_LEN: u32 = 20;
/// Of an index into the options, which are at most 40 bytes.
const MASK: u32 = 63;

/// Not 0 if the packet cannot be sent.
#[inline(always)]
pub fn carry_out<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, plan: &Plan<A>, located: u64) -> u64 {
    done(skb, packet, plan, located).is_none() as u64
}

#[inline(always)]
fn done<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, plan: &Plan<A>, located: u64) -> Option<()> {
    if packet.part == Part::Later {
        return Some(());
    }
    let tables = steps::tables::<A>();
    let conn = Entry::at(&tables, plan.edit.handing.wrapping_sub(1))?;
    let view = if let Located::Reply(_) = Located::from_code(located) { View::Output } else { View::Input };
    let at = packet.l4_at as u32;
    // Numbers, and the word of length, flags and window.
    let mut words = [Be32(0); 3];
    // SAFETY: the context of the running program, and room for so many bytes.
    unsafe {
        if helpers::bpf_skb_load_bytes(skb.cast(), at + SEQ_AT, words.as_mut_ptr().cast(), 12) != 0 {
            return None;
        }
    }
    let [seq, ack, rest] = words;
    let Some((mut segment, len)) = Segment::read(words, packet.l4_len()) else {
        return Some(()); // the receiver's to refuse
    };
    let data = segment.data;
    let extra = hand_on(conn, view, &mut segment);
    replace(skb, at, SEQ_AT, seq, Be32::new(segment.seq))?;
    replace(skb, at, ACK_AT, ack, Be32::new(segment.ack))?;
    match extra {
        Extra::Nothing => Some(()),
        Extra::Cut => (rlvs_cut_options(skb, at, len) == 0).then_some(()),
        Extra::Append => carry_header(skb, packet, conn.id, at + len, 0),
        Extra::Before => {
            // The segment itself goes now, and what is left becomes the one before it. (A receiver puts them in order.)
            if !plan.hop.has(hop_flag::RESOLVED) || packet.segment_len as u32 > plan.hop.mtu {
                return None; // the client sends it again
            }
            store(skb, 0, &plan.hop.macs, 0)?;
            // What is behind the packet on the link could make the frame too long for the next one.
            let end = at + len + data;
            // SAFETY: the context of the running program; no pointer into the packet is held.
            unsafe {
                let is_longer = (&raw const (*skb).len).read_volatile() > end;
                if is_longer && helpers::bpf_skb_change_tail(skb, end, 0) != 0
                    || helpers::bpf_clone_redirect(skb, plan.hop.ifindex, 0) != 0
                {
                    return None;
                }
            }
            let first = Be32::new(segment.seq.wrapping_sub(header_len::<A>()));
            replace(skb, at, SEQ_AT, Be32::new(segment.seq), first)?;
            let [offset, _, window, more] = rest.bytes();
            replace(skb, at, FLAGS_AT, rest, Be32::from_bytes([offset, HEADER_FLAGS, window, more]))?;
            // (Summed here: there is no stack left for it in there.)
            let old = sum_bytes(skb, at + len, data, 0);
            carry_header(skb, packet, conn.id, at + len, old)
        }
    }
}

/// Another word of the TCP header.
#[inline(always)]
fn replace(skb: *mut __sk_buff, tcp_at: u32, at: u32, old: Be32, new: Be32) -> Option<()> {
    if old == new {
        return Some(());
    }
    store(skb, tcp_at + at, &new, 0)?;
    // SAFETY: the context of the running program, an offset inside the packet.
    let summed =
        unsafe { helpers::bpf_l4_csum_replace(skb, tcp_at + CHECK_AT, old.0 as u64, new.0 as u64, 4) };
    (summed == 0).then_some(())
}

/// The segment carries the header instead of its data, whose sum is `old`.
#[inline(never)]
fn carry_header<A: Family>(
    skb: *mut __sk_buff,
    packet: &Packet<A>,
    id: u32,
    at: u32,
    old: u32,
) -> Option<()> {
    let len = header_len::<A>();
    let header = maps::STRETCH.get_ptr_mut(0)?.cast::<[Be32; WORDS]>();
    let conn = Entry::<A, _>::at(&steps::tables::<A>(), id)?;
    // SAFETY: the context of the running program; this processor's buffer, which is larger than a header.
    unsafe {
        handing::write_header(conn, &mut *header);
        let sum = helpers::bpf_csum_diff(core::ptr::null_mut(), 0, header.cast(), len, !old) as u32;
        if helpers::bpf_skb_change_tail(skb, at + len, 0) != 0
            || helpers::bpf_skb_store_bytes(skb, at, header.cast(), len, 0) != 0
            || helpers::bpf_l4_csum_replace(skb, packet.l4_at as u32 + CHECK_AT, 0, sum as u64, 0) != 0
        {
            return None;
        }
    }
    let new_len = at.wrapping_add(len).wrapping_sub(packet.l4_at as u32) as u16;
    let (old_len, new_len) = (Be16::new(packet.l4_len()).0 as u64, Be16::new(new_len).0 as u64);
    let (check_at, flags) = (packet.l4_at as u32 + CHECK_AT, BPF_F_PSEUDO_HDR as u64 | 2);
    // SAFETY: the context of the running program, an offset inside the packet.
    if unsafe { helpers::bpf_l4_csum_replace(skb, check_at, old_len, new_len, flags) } != 0 {
        return None;
    }
    A::store_len(skb, packet, at.wrapping_add(len).wrapping_sub(packet.ip_at as u32) as u16)
}

/// A SYN's options that the server must not see become padding, or an experiment's that says nothing (RFC 4727). A global
/// function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rlvs_cut_options(skb: *mut __sk_buff, tcp_at: u32, len: u32) -> u64 {
    cut_options(skb, tcp_at, len).is_none() as u64
}

#[inline(always)]
fn cut_options(skb: *mut __sk_buff, tcp_at: u32, len: u32) -> Option<()> {
    let len = len.saturating_sub(TCP_LEN);
    if len == 0 {
        return Some(());
    }
    let len = bounded::<{ MASK + 1 }>(len);
    let options = maps::STRETCH.get_ptr_mut(0)?.cast::<u8>();
    let mut walk = Walk { at: steps::tables::<Be32>().unknown(0), len };
    // SAFETY: the context of the running program; this processor's buffer, which is larger than the options; and the callback
    // gets the pointer to `walk`, which outlives the loop.
    unsafe {
        if helpers::bpf_skb_load_bytes(skb.cast(), tcp_at + TCP_LEN, options.cast(), len) != 0 {
            return None;
        }
        let sum = || helpers::bpf_csum_diff(core::ptr::null_mut(), 0, options.cast(), len & !3, 0) as u32;
        let before = sum();
        helpers::bpf_loop(MASK, cut_one as *const () as *mut c_void, (&raw mut walk).cast(), 0);
        let change = add(sum(), !before);
        if helpers::bpf_skb_store_bytes(skb, tcp_at + TCP_LEN, options.cast(), len, 0) != 0
            || helpers::bpf_l4_csum_replace(skb, tcp_at + CHECK_AT, 0, change as u64, 0) != 0
        {
            return None;
        }
    }
    Some(())
}

struct Walk {
    at: u32,
    len: u32,
}

/// Looks at one option. 1 is the end.
unsafe extern "C" fn cut_one(_: u64, walk: *mut c_void) -> i64 {
    const EXPERIMENT: u8 = 253;
    const NOP: u8 = 1;
    // SAFETY: the pointer that `cut_options` gave to `bpf_loop`.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let Some(options) = maps::STRETCH.get_ptr_mut(0).filter(|_| walk.at < walk.len) else {
        return 1;
    };
    let options = options.cast::<u8>();
    let at = walk.at;
    // SAFETY: this processor's buffer, which is larger than the mask.
    let size = unsafe {
        let [kind, size] = [at, at + 1].map(|i| options.add((i & MASK) as usize));
        match kind.read_volatile() {
            0 => return 1,
            NOP => 1,
            _ if at + 1 >= walk.len => return 1, // cut off
            option => {
                let len = size.read_volatile();
                if handing::cuts(option) && len == 2 {
                    kind.write_volatile(NOP);
                    size.write_volatile(NOP);
                } else if handing::cuts(option) {
                    kind.write_volatile(EXPERIMENT);
                }
                len.max(1)
            }
        }
    };
    walk.at = at + size as u32;
    0
}
