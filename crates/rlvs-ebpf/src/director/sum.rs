//! Sums over a stretch of a frame, for TC: where a whole checksum has to be computed.

use crate::frame::bounded;
use crate::maps;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::wire::checksum::add;
use rlvs_core::wire::{Addr, Packet};

/// Bytes at a time: `bpf_csum_diff` takes no more.
pub const CHUNK: usize = 512;
/// Chunks of the longest packet.
const CHUNKS: u32 = (1 << 16) / CHUNK as u32;

struct Walk {
    skb: *mut __sk_buff,
    at: u32,
    left: u32,
    sum: u32,
}

/// The ones' complement sum of `len` bytes from offset `at`, not folded; an odd last byte is padded with zero.
#[inline(never)]
pub fn sum_bytes(skb: *mut __sk_buff, at: u32, len: u32, start: u32) -> u32 {
    let mut walk = Walk { skb, at, left: len, sum: start };
    // SAFETY: the callback gets the pointer to `walk`, which outlives the loop.
    unsafe { helpers::bpf_loop(CHUNKS, chunk as *const () as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.sum
}

unsafe extern "C" fn chunk(_: u64, walk: *mut c_void) -> i64 {
    // SAFETY: the pointer that `sum_bytes` gave to `bpf_loop`.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let Some(stretch) = maps::STRETCH.get_ptr_mut(0).filter(|_| walk.left != 0) else {
        return 1;
    };
    let len = bounded::<{ CHUNK as u32 }>(walk.left);
    let last_word = (len - 1) >> 2;
    // SAFETY: this processor's buffer has CHUNK bytes; the length is between 1 and CHUNK, in words too.
    unsafe {
        stretch.cast::<u32>().add(last_word as usize).write(0);
        if helpers::bpf_skb_load_bytes(walk.skb.cast(), walk.at, stretch.cast(), len) != 0 {
            return 1;
        }
        walk.sum =
            helpers::bpf_csum_diff(core::ptr::null_mut(), 0, stretch.cast(), (last_word + 1) << 2, walk.sum)
                as u32;
    }
    walk.at += CHUNK as u32;
    walk.left = walk.left.saturating_sub(CHUNK as u32);
    (walk.left == 0) as i64
}

/// The sum over the first `len` bytes of the packet, which begins at offset `at`, as it will be when the kernel has
/// completed the packet's checksum: then the transport part sums to the complement of what the field holds before, whatever
/// its data.
#[inline(always)]
pub fn sum_when_completed<A: Addr>(skb: *mut __sk_buff, packet: &Packet<A>, at: u32, len: u32) -> u32 {
    let partial = packet.checksum_looks_partial();
    let header_len = packet.l4_at.wrapping_sub(packet.ip_at) as u32;
    let start = if partial { !packet.l4_check.0 as u32 & 0xffff } else { 0 };
    add(sum_bytes(skb, at, if partial { header_len } else { len }, 0), start)
}
