//! The programs: restore, change, and on to the program under test.

use super::flow::{CONFIG, Client, Config, FRAME, WORDS, next};
use aya_ebpf::bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_TX};
use aya_ebpf::bindings::{TC_ACT_OK, TC_ACT_SHOT};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::{classifier, map, xdp};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::{TcContext, XdpContext};

/// The program under test; programs of one type to each map.
#[map]
static XDP_TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static TC_TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

const CHECK_AT: usize = 24;
const SRC_AT: usize = 26;
const DST_AT: usize = 30;
const SPORT_AT: usize = 34;
const DPORT_AT: usize = 36;

#[xdp(frags)]
pub fn bench_xdp(context: XdpContext) -> u32 {
    if restore_xdp(&context).is_some() {
        // SAFETY: a map of programs of this type; comes back only if there is none in it.
        unsafe { XDP_TARGET.tail_call(&context, 0) };
    }
    XDP_ABORTED
}

#[xdp(frags)]
pub fn empty_xdp(_: XdpContext) -> u32 {
    XDP_TX
}

#[classifier]
pub fn bench_tc(context: TcContext) -> i32 {
    if restore_tc(&context).is_some() {
        // SAFETY: a map of programs of this type; comes back only if there is none in it.
        unsafe { TC_TARGET.tail_call(&context, 0) };
    }
    TC_ACT_SHOT
}

#[classifier]
pub fn empty_tc(_: TcContext) -> i32 {
    TC_ACT_OK
}

#[inline(always)]
fn config() -> Option<&'static mut Config> {
    // SAFETY: one run at a time, which user space waits for.
    CONFIG.get_ptr_mut(0).map(|config| unsafe { &mut *config })
}

#[inline(always)]
fn restore_xdp(context: &XdpContext) -> Option<()> {
    let config = config()?;
    let ctx = context.ctx;
    // SAFETY: the context of the running program; the bounds are compared before anything is written.
    unsafe {
        let (mut data, mut end) = bounds_xdp(ctx);
        let surplus = end.wrapping_sub(data) as i64 - FRAME as i64;
        if surplus != 0 {
            if helpers::bpf_xdp_adjust_head(ctx, surplus as i32) != 0 {
                return None;
            }
            (data, end) = bounds_xdp(ctx);
        }
        if data + FRAME > end {
            return None;
        }
        write(data, config);
    }
    Some(())
}

/// # Safety
/// The context of the running program.
#[inline(always)]
unsafe fn bounds_xdp(ctx: *mut aya_ebpf::bindings::xdp_md) -> (usize, usize) {
    // SAFETY: the caller's.
    unsafe {
        (
            (&raw const (*ctx).data).read_volatile() as usize,
            (&raw const (*ctx).data_end).read_volatile() as usize,
        )
    }
}

#[inline(always)]
fn restore_tc(context: &TcContext) -> Option<()> {
    let config = config()?;
    let skb = context.skb.skb;
    // SAFETY: the context of the running program; the bounds are compared before anything is written.
    unsafe {
        let surplus = (&raw const (*skb).len).read_volatile() as i32 - FRAME as i32;
        if surplus != 0 && helpers::bpf_skb_adjust_room(skb, -surplus, BPF_ADJ_ROOM_MAC, 0) != 0 {
            return None;
        }
        let data = (&raw const (*skb).data).read_volatile() as usize;
        let end = (&raw const (*skb).data_end).read_volatile() as usize;
        if data + FRAME > end {
            return None;
        }
        write(data, config);
    }
    Some(())
}

/// Writes the template, and the next client into it.
///
/// # Safety
/// `data` must be the start of a frame of at least [`FRAME`] bytes.
#[inline(always)]
unsafe fn write(data: usize, config: &mut Config) {
    let client: Client = next(config);
    // SAFETY: all offsets lie inside the frame.
    unsafe {
        let mut i = 0;
        while i < WORDS {
            ((data + i * 4) as *mut u32).write_volatile(config.frame[i]);
            i += 1;
        }
        ((data + CHECK_AT) as *mut u16).write_volatile(client.ip_check.0);
        if config.is_reply != 0 {
            ((data + DST_AT) as *mut u32).write_volatile(client.addr.0);
            ((data + DPORT_AT) as *mut u16).write_volatile(client.port.0);
        } else {
            ((data + SRC_AT) as *mut u32).write_volatile(client.addr.0);
            ((data + SPORT_AT) as *mut u16).write_volatile(client.port.0);
        }
    }
}
