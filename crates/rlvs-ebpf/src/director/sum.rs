//! Sums over a stretch of a frame, for TC: where a whole checksum has to be computed.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::wire::checksum::add;

const CHUNK: usize = 64;

struct Walk {
    skb: *mut __sk_buff,
    at: u32,
    left: u32,
    sum: u32,
    buffer: [u64; CHUNK / 8],
}

/// The ones' complement sum of `len` bytes from offset `at`, not folded; an odd last byte is padded with zero.
#[inline(never)]
pub fn sum_bytes(skb: *mut __sk_buff, at: u32, len: u32, start: u32) -> u32 {
    let mut walk = Walk { skb, at, left: len, sum: start, buffer: [0; CHUNK / 8] };
    // SAFETY: the callback gets the pointer to `walk`, which outlives the loop.
    unsafe { helpers::bpf_loop(1024, chunk as *const () as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.sum
}

unsafe extern "C" fn chunk(_: u64, walk: *mut c_void) -> i64 {
    // SAFETY: the pointer that `sum_bytes` gave to `bpf_loop`.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let buffer = (&raw mut walk.buffer).cast::<c_void>();
    // SAFETY: the buffer has CHUNK bytes; the length is between 1 and CHUNK.
    unsafe {
        if walk.left >= CHUNK as u32 {
            if helpers::bpf_skb_load_bytes(walk.skb.cast(), walk.at, buffer, CHUNK as u32) != 0 {
                return 1;
            }
            walk.left -= CHUNK as u32;
        } else {
            if walk.left == 0 {
                return 1;
            }
            // The same number, in a form that shows the verifier of Linux 6.1 that it is not 0.
            let rest = (core::hint::black_box(walk.left.wrapping_sub(1)) & (CHUNK as u32 - 1)) + 1;
            let mut i = 0;
            while i < CHUNK / 8 {
                (&raw mut walk.buffer).cast::<u64>().add(i).write_volatile(0); // no call of memset
                i += 1;
            }
            if helpers::bpf_skb_load_bytes(walk.skb.cast(), walk.at, buffer, rest) != 0 {
                return 1;
            }
            walk.left = 0;
        }
    }
    let mut i = 0;
    while i < CHUNK / 8 {
        let word = walk.buffer[i];
        walk.sum = add(add(walk.sum, word as u32), (word >> 32) as u32);
        i += 1;
    }
    walk.at += CHUNK as u32;
    (walk.left == 0) as i64
}
