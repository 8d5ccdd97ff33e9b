//! The kernel timer that sweeps the connection table: sixteen times a second a sixteenth of it.

use crate::maps;
use crate::memory::Words;
use crate::tables::{Kernel, Tc, jiffies};
use aya_ebpf::bindings::bpf_timer;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use core::marker::PhantomData;
use rlvs_core::maps::global;
use rlvs_core::mem::Mem;
use rlvs_core::path::sweep_set;
use rlvs_core::wire::Be32;

const SLICES: u32 = 16;
const PERIOD_NS: u64 = 1_000_000_000 / SLICES as u64;
const CLOCK_MONOTONIC: u64 = 1;

/// Arms the timer; does nothing to one that is armed but start its period anew.
#[inline(always)]
pub fn start() -> i32 {
    let Some(ticker) = maps::TICKER.get_ptr_mut(0) else {
        return 1;
    };
    // SAFETY: a timer inside a map value, and the map it is in.
    unsafe {
        let timer: *mut bpf_timer = &raw mut (*ticker).timer;
        let map = (&raw const maps::TICKER).cast_mut().cast::<c_void>();
        let made = helpers::bpf_timer_init(timer, map, CLOCK_MONOTONIC);
        if made != 0 && made != -16 {
            return 2;
        }
        if helpers::bpf_timer_set_callback(timer, tick as *const () as *mut c_void) != 0 {
            return 3;
        }
        if helpers::bpf_timer_start(timer, PERIOD_NS, 0) != 0 { 4 } else { 0 }
    }
}

unsafe extern "C" fn tick(_map: *mut c_void, _key: *mut c_void, timer: *mut c_void) -> i32 {
    if let Some(global) = maps::GLOBAL.get_ptr_mut(0) {
        // SAFETY: the value of GLOBAL.
        let global = unsafe { Words::<15>::new(global) };
        global.store(global::TICKS, global.load(global::TICKS).wrapping_add(1));
        if global.load(global::CONNS) != 0 {
            sweep(global);
        }
    }
    // SAFETY: the timer that called us; it is the first field of its value.
    unsafe { helpers::bpf_timer_start(timer.cast(), PERIOD_NS, 0) };
    0
}

/// Where a slice is, and its clock.
struct Slice {
    first: u32,
    now: u32,
}

#[inline(always)]
fn sweep(global: Words<15>) {
    let mask = maps::SET_MASK.load();
    let count = (mask.wrapping_add(1) / SLICES).max(1);
    let first = global.load(global::SWEEP_AT) & mask;
    let mut slice = Slice { first, now: jiffies() };
    // SAFETY: the callback gets the pointer to `slice`, which outlives the loop.
    unsafe { helpers::bpf_loop(count, sweep_one as *const () as *mut c_void, (&raw mut slice).cast(), 0) };
    global.store(global::SWEEP_AT, first.wrapping_add(count));
}

unsafe extern "C" fn sweep_one(i: u64, slice: *mut c_void) -> i64 {
    // SAFETY: the pointer that `sweep` gave to `bpf_loop`.
    let slice = unsafe { &*slice.cast::<Slice>() };
    let tables = Kernel::<Tc> { context: core::ptr::null_mut(), ifindex: 0, layer: PhantomData };
    let index = slice.first.wrapping_add(i as u32) & maps::SET_MASK.load();
    sweep_set::<Be32, _>(&tables, index, slice.now);
    0
}
