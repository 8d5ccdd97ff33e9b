//! A packet that is too large for its next hop, in pieces (TC): the data is copied aside, then each piece is made in
//! the packet's place and a copy of it sent.

use crate::frame::bounded;
use crate::maps;
use crate::tc::{bytes, store};
use aya_ebpf::bindings::{__sk_buff, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC};
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::fwd::cut::Cut;
use rlvs_core::path::{Hop, hop_flag};
use rlvs_core::wire::{Addr, Frame, eth, ipv4, ipv6};

const IP: u32 = eth::HEADER_LEN as u32;

/// Data of a packet that can be cut up, in bytes: what a frame on a link with MTU 9,000 can hold. (Of the buffer only half:
/// the verifier does not know that offset and length of a piece together are less.)
const MAX_DATA: u32 = 1 << 14;
pub const BUFFER: usize = 2 * MAX_DATA as usize;
/// More pieces than the largest packet has at the smallest MTU (68 bytes).
const PIECES: u32 = MAX_DATA / 48;

struct Work {
    skb: *mut __sk_buff,
    ifindex: u32,
    cut: Cut,
    failed: u32,
}

/// Sends all pieces but the last, which the packet becomes. It has its headers already. None if it cannot be.
#[inline(never)]
pub fn split<F: Addr>(skb: *mut __sk_buff, hop: &Hop<F>) -> Option<()> {
    if !hop.has(hop_flag::RESOLVED) {
        return None;
    }
    let cut = Cut::new(bytes(skb).view(IP as usize, ipv4::MIN_LEN)?, hop.mtu)?;
    let (data, len) = (maps::DATA.get_ptr_mut(0)?, cut.data_len() as u32);
    let at = IP + cut.header_len as u32;
    store(skb, 0, &hop.macs, 0)?;
    let mut work = Work { skb, ifindex: hop.ifindex, cut, failed: 0 };
    // SAFETY: the buffer is large enough; the callback gets the pointer to `work`, which outlives the loop.
    unsafe {
        if len == 0
            || len > MAX_DATA
            || helpers::bpf_skb_load_bytes(skb.cast(), at, data.cast(), bounded::<MAX_DATA>(len)) != 0
        {
            return None;
        }
        helpers::bpf_loop(PIECES, piece as *const () as *mut c_void, (&raw mut work).cast(), 0);
    }
    (work.failed == 0).then_some(())
}

unsafe extern "C" fn piece(number: u64, work: *mut c_void) -> i64 {
    // SAFETY: the pointer that `split` gave to `bpf_loop`.
    let work = unsafe { &mut *work.cast::<Work>() };
    match work.cut.piece(number as u32) {
        Some(p) => match make(work, p.at as u32, p.len as u32, &[p.said.0, p.frag.0, p.check.0]) {
            Some(()) if p.is_last => 1,
            // SAFETY: plain numbers.
            Some(()) if unsafe { helpers::bpf_clone_redirect(work.skb, work.ifindex, 0) } == 0 => 0,
            _ => {
                work.failed = 1;
                1
            }
        },
        None => 1,
    }
}

/// The kernel does not cut a packet off before the transport header that it knows of, which in a tunnel is the inner one:
/// behind these of Ethernet, outer IP, the largest shim and an inner IP header without options. To be shorter, a piece
/// has bytes taken out between the Ethernet and the outer IP header.
const LEAST: u32 = 14 + 20 + 12 + 20;
const TUNNEL4: u32 = ipv4::MIN_LEN as u32;
/// The same with an outer header of IPv6 and that of a fragment.
const LEAST6: u32 = 14 + HEADER6 + 12 + 20;
const HEADER6: u32 = (ipv6::LEN + ipv6::FRAGMENT_LEN) as u32;

/// Takes bytes out behind the Ethernet header; `WORDS` as long is the outer one that stays.
#[inline(always)]
fn shorten<const WORDS: usize>(skb: *mut __sk_buff, by: u32) -> Option<()> {
    let mut header = [0u32; WORDS];
    // SAFETY: the context of the running program, and a buffer of the size given.
    unsafe {
        if helpers::bpf_skb_load_bytes(
            skb.cast(),
            IP,
            header.as_mut_ptr().cast(),
            size_of_val(&header) as u32,
        ) != 0
            || helpers::bpf_skb_adjust_room(skb, (by as i32).wrapping_neg(), BPF_ADJ_ROOM_MAC, 0) != 0
        {
            return None;
        }
    }
    store(skb, IP, &header, 0)
}

#[inline(always)]
fn make(work: &Work, at: u32, len: u32, [said, frag, check]: &[u16; 3]) -> Option<()> {
    let data = maps::DATA.get_ptr_mut(0)?;
    let header_len = work.cut.header_len as u32;
    let at = core::hint::black_box(at) & (MAX_DATA - 1);
    let len = bounded::<MAX_DATA>(len);
    let total = IP + header_len + len;
    let of_ipv6 = work.cut.of_ipv6;
    let too_short = match header_len {
        HEADER6 if of_ipv6 => LEAST6.saturating_sub(total),
        TUNNEL4 => LEAST.saturating_sub(total),
        _ => 0,
    };
    // SAFETY: both are at most half the buffer's size.
    unsafe {
        if helpers::bpf_skb_change_tail(work.skb, total + too_short, 0) != 0 {
            return None;
        }
        if too_short != 0 {
            if of_ipv6 {
                shorten::<{ HEADER6 as usize / 4 }>(work.skb, too_short)?;
            } else {
                shorten::<{ TUNNEL4 as usize / 4 }>(work.skb, too_short)?;
            }
        }
        let from = data.cast::<u8>().add(at as usize).cast();
        if helpers::bpf_skb_store_bytes(work.skb, IP + header_len, from, len, 0) != 0 {
            return None;
        }
    }
    store(work.skb, IP + work.cut.len_at() as u32, said, 0)?;
    store(work.skb, IP + work.cut.frag_at() as u32, frag, 0)?;
    if of_ipv6 {
        return Some(());
    }
    store(work.skb, IP + ipv4::CHECK_AT as u32, check, 0)
}
