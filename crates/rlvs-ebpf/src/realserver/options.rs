//! The hands of [`clamp`](super::clamp): the options of a SYN, in a buffer of the processor's own.
//!
//! Options are at most 40 bytes: a kind, a length and what it says; two kinds are a byte alone (RFC 9293, section 3.1). The walk
//! is a `bpf_loop`. Linux 6.1 looks at the body of one once, with the values from before the first step, so the walk's place
//! must be an unknown to it: in a map, as all of it is.

use super::packet::Packet;
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::btf_map;
use core::ffi::c_void;
use core::ptr::null_mut;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const MSS_LEN: u8 = 4;
/// TCP-AO (RFC 5925): a signature over the options, too.
const AUTHENTICATION: u8 = 29;

/// The longest options, rounded up to a power of two; of an index, less one.
const ROOM: usize = 64;
const MASK: u32 = ROOM as u32 - 1;
const MOST_OPTIONS: u32 = 40;
const TCP_LEN: u32 = 20;
const CHECK_AT: u32 = 16;

#[btf_map]
static WALK: PerCpuArray<Walk, 1> = PerCpuArray::new();

#[repr(C)]
pub struct Walk {
    bytes: [u8; ROOM],
    len: u32,
    at: u32,
    /// The largest MSS.
    most: u32,
    /// How many were larger, and are not any more.
    lowered: u32,
    /// The options are signed.
    signed: u32,
}

pub struct Options {
    walk: *mut Walk,
    len: u32,
}

impl Options {
    /// The `len` bytes behind the TCP header at `tcp_at` (counted from the packet's first byte).
    #[inline(always)]
    pub fn read(packet: &Packet, tcp_at: u32, len: u32) -> Option<Options> {
        let walk = WALK.get_ptr_mut(0)?;
        // The verifier must see that 1 <= len <= 64: volatile, so that the compiler does not leave out what it knows.
        let last = len.wrapping_sub(1);
        // SAFETY: a local variable.
        let len = (unsafe { (&raw const last).read_volatile() } & MASK) + 1;
        // SAFETY: this processor's buffer, for `ROOM` bytes.
        let read = unsafe {
            (&raw mut (*walk).len).write_volatile(len);
            packet.load(tcp_at + TCP_LEN, (&raw mut (*walk).bytes).cast(), len)
        };
        read.then_some(Options { walk, len })
    }

    /// Lowers the MSS to `most`, with the checksum; none if nothing was to be changed, and nothing is.
    #[inline(always)]
    pub fn lower(&self, packet: &Packet, tcp_at: u32, most: u32) -> Option<()> {
        let (walk, len) = (self.walk, self.len);
        // SAFETY: this processor's buffer, which the kernel reads and the loop's body writes while we hold no reference to it.
        unsafe {
            (&raw mut (*walk).at).write_volatile(0);
            (&raw mut (*walk).most).write_volatile(most);
            (&raw mut (*walk).lowered).write_volatile(0);
            (&raw mut (*walk).signed).write_volatile(0);
            let bytes = (&raw mut (*walk).bytes).cast::<u8>();
            // A header is whole words, so this is no change; the sum of bytes takes nothing else.
            let sum = |seed| helpers::bpf_csum_diff(null_mut(), 0, bytes.cast(), len & !3, seed) as u32;
            let before = sum(0);
            helpers::bpf_loop(MOST_OPTIONS, look_at_one as *const () as *mut c_void, null_mut(), 0);
            if (&raw const (*walk).lowered).read_volatile() == 0
                || (&raw const (*walk).signed).read_volatile() != 0
            {
                return None;
            }
            let change = sum(!before);
            if !packet.store(tcp_at + TCP_LEN, bytes, len) {
                return None;
            }
            // What was stored made all before it writable, the checksum's place too: this cannot fail.
            packet.move_checksum(tcp_at + CHECK_AT, change);
        }
        Some(())
    }
}

/// Looks at one option. 1 is the end.
unsafe extern "C" fn look_at_one(_: u64, _: *mut c_void) -> i64 {
    let Some(walk) = WALK.get_ptr_mut(0) else { return 1 };
    // SAFETY: this processor's buffer, and no index into it beyond the mask.
    unsafe {
        let at = (&raw const (*walk).at).read_volatile();
        let len = (&raw const (*walk).len).read_volatile();
        if at >= len {
            return 1;
        }
        let bytes = (&raw mut (*walk).bytes).cast::<u8>();
        let byte = |i: u32| bytes.add((i & MASK) as usize);
        let kind = byte(at).read_volatile();
        if kind == END {
            return 1;
        }
        if kind == NOP {
            (&raw mut (*walk).at).write_volatile(at + 1);
            return 0;
        }
        if at + 1 >= len {
            return 1; // cut off
        }
        let size = byte(at + 1).read_volatile();
        if size < 2 || at + u32::from(size) > len {
            return 1; // nonsense, as which the receiver ends, too
        }
        if kind == AUTHENTICATION {
            (&raw mut (*walk).signed).write_volatile(1);
        }
        if kind == MSS && size == MSS_LEN {
            let (high, low) = (byte(at + 2), byte(at + 3));
            let mss = u32::from(high.read_volatile()) << 8 | u32::from(low.read_volatile());
            let most = (&raw const (*walk).most).read_volatile();
            if mss > most {
                high.write_volatile((most >> 8) as u8);
                low.write_volatile(most as u8);
                (&raw mut (*walk).lowered).write_volatile(1);
            }
        }
        (&raw mut (*walk).at).write_volatile(at + u32::from(size));
    }
    0
}
