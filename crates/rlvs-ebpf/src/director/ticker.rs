//! The kernel timer, sixteen times a second: sweeps a sixteenth of the connection tables, takes the counters of a part of the
//! destinations for their rates, and once a second looks after the defences.

use crate::family::{Family, Six};
use crate::fragments;
use crate::maps;
use crate::memory::Words;
use crate::steps::tables;
use crate::tables::jiffies;
use aya_ebpf::bindings::bpf_timer;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{global, rates, stats};
use rlvs_core::mem::Mem;
use rlvs_core::path::estimate::{self, Five};
use rlvs_core::path::{drops_entries, sweep_set, thin_set};
use rlvs_core::wire::Be32;

const SLICES: u32 = 16;
const PERIOD_NS: u64 = 1_000_000_000 / SLICES as u64;
/// Rates are estimated every two seconds.
const ESTIMATE_SLICES: u32 = 2 * SLICES;
/// So many destinations are sampled in one tick; more than these one part after another.
const AT_ONCE: u32 = 1024;
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
    if let Some(global) = global() {
        let ticks = global.load(global::TICKS).wrapping_add(1);
        global.store(global::TICKS, ticks);
        sweep::<Be32>(global);
        sweep::<Six>(global);
        if ticks % SLICES == 0 {
            watch();
            if fragments::any_waits() {
                each(fragments::PLACES, give_up, &mut jiffies());
            }
        }
        estimate(global, ticks % ESTIMATE_SLICES);
    }
    // SAFETY: the timer that called us; it is the first field of its value.
    unsafe { helpers::bpf_timer_start(timer.cast(), PERIOD_NS, 0) };
    0
}

unsafe extern "C" fn give_up(number: u64, now: *mut c_void) -> i64 {
    // SAFETY: the pointer that `tick` gave to `bpf_loop`.
    fragments::give_up(number as u32, unsafe { *now.cast::<u32>() });
    0
}

#[inline(always)]
fn global() -> Option<Words<63>> {
    // SAFETY: the value of GLOBAL.
    maps::GLOBAL.get_ptr_mut(0).map(|p| unsafe { Words::new(p) })
}

/// `bpf_loop` with a context of our own.
#[inline(always)]
fn each<C>(count: u32, body: unsafe extern "C" fn(u64, *mut c_void) -> i64, context: &mut C) {
    // SAFETY: the callback gets the pointer to `context`, which outlives the loop.
    unsafe { helpers::bpf_loop(count, body as *const () as *mut c_void, (&raw mut *context).cast(), 0) };
}

/// Where a slice is, and its clock.
struct Slice {
    first: u32,
    now: u32,
}

#[inline(always)]
fn sweep<A: Family>(global: Words<63>) {
    if global.load(global::conns::<A>()) == 0 {
        return;
    }
    let mask = A::set_mask();
    let count = (mask.wrapping_add(1) / SLICES).max(1);
    let first = global.load(A::SWEEP_AT) & mask;
    each(count, sweep_one::<A>, &mut Slice { first, now: jiffies() });
    global.store(A::SWEEP_AT, first.wrapping_add(count));
}

/// Both tables at once.
#[inline(always)]
pub fn sweep_all() -> i32 {
    sweep_table::<Be32>();
    sweep_table::<Six>();
    0
}

#[inline(always)]
fn sweep_table<A: Family>() {
    each(A::set_mask().wrapping_add(1), sweep_one::<A>, &mut Slice { first: 0, now: jiffies() });
}

unsafe extern "C" fn sweep_one<A: Family>(i: u64, slice: *mut c_void) -> i64 {
    // SAFETY: the pointer that `each` gave to `bpf_loop`.
    let slice = unsafe { &*slice.cast::<Slice>() };
    let index = slice.first.wrapping_add(i as u32) & A::set_mask();
    sweep_set(&tables::<A>(), index, slice.now);
    0
}

/// Which automatic defences act; drops entries if that is one of them.
#[inline(never)]
pub fn watch() -> i32 {
    let Some((settings, global)) = maps::SETTINGS.get(0).zip(global()) else {
        return 1;
    };
    let (sets, sets6) = (maps::SET_MASK.load().wrapping_add(1), maps::SET_MASK6.load().wrapping_add(1));
    rlvs_core::path::watch(settings, global, [sets.wrapping_mul(15), sets6.wrapping_mul(7)]);
    if drops_entries(settings, global) {
        thin::<Be32>();
        thin::<Six>();
    }
    0
}

#[inline(always)]
fn thin<A: Family>() {
    let sets = A::set_mask().wrapping_add(1);
    each((sets / 32).max(1), thin_one::<A>, &mut Slice { first: 0, now: jiffies() });
}

unsafe extern "C" fn thin_one<A: Family>(_: u64, slice: *mut c_void) -> i64 {
    // SAFETY: the pointer that `each` gave to `bpf_loop`.
    let slice = unsafe { &*slice.cast::<Slice>() };
    // SAFETY: a plain number.
    let index = unsafe { helpers::bpf_get_prandom_u32() } & A::set_mask();
    thin_set(&tables::<A>(), index, slice.now);
    0
}

/// Samples a slice of the destinations; behind the last one services and the total.
#[inline(never)]
fn estimate(global: Words<63>, slice: u32) {
    let Some(settings) = maps::SETTINGS.get(0) else {
        return;
    };
    if settings.sysctl(Setting::RunEstimation) == 0 {
        return;
    }
    let all = settings.dest_slots;
    if all <= AT_ONCE {
        // All at one moment, as Linux does it: a service's rate is that of its servers.
        if slice == 0 {
            each(all, sample_one, &mut Slice { first: 0, now: all });
            settle(settings.service_slots);
        }
        return;
    }
    let count = all / ESTIMATE_SLICES + 1;
    if slice == 0 {
        settle(settings.service_slots);
        global.store(global::ESTIMATE_AT, 0);
    }
    let first = global.load(global::ESTIMATE_AT);
    global.store(global::ESTIMATE_AT, first.wrapping_add(count));
    each(count, sample_one, &mut Slice { first, now: all });
}

/// Services, and the total, which is the last row.
#[inline(always)]
fn settle(services: u32) {
    each(services, settle_one, &mut Slice { first: maps::DESTINATIONS.load(), now: 0 });
    each(1, settle_one, &mut Slice { first: total_row(), now: 0 });
}

fn total_row() -> u32 {
    maps::DESTINATIONS.load().wrapping_add(maps::SERVICE_SLOTS.load())
}

#[inline(always)]
fn rates(row: u32) -> Option<Words<31>> {
    // SAFETY: a value of RATES.
    maps::RATES.get_ptr_mut(row).map(|p| unsafe { Words::new(p) })
}

unsafe extern "C" fn settle_one(i: u64, slice: *mut c_void) -> i64 {
    // SAFETY: the pointer that `each` gave to `bpf_loop`.
    let slice = unsafe { &*slice.cast::<Slice>() };
    if let Some(row) = rates(slice.first.wrapping_add(i as u32)) {
        estimate::settle(row);
    }
    0
}

unsafe extern "C" fn sample_one(i: u64, slice: *mut c_void) -> i64 {
    // SAFETY: the pointer that `each` gave to `bpf_loop`; its `now` is the end of the slots here.
    let slice = unsafe { &*slice.cast::<Slice>() };
    let id = slice.first.wrapping_add(i as u32);
    if id >= slice.now {
        return 1;
    }
    let (Some(dest), Some(row)) = (maps::DEST.get(id), rates(id)) else {
        return 1;
    };
    if dest.service >= maps::SERVICE_SLOTS.load() {
        return 0;
    }
    let counted = counted(id);
    let grown = estimate::sample(row, &counted);
    if let Some(service) = rates(maps::DESTINATIONS.load().wrapping_add(dest.service)) {
        estimate::gather(service, &grown);
    }
    if let Some(total) = rates(total_row()) {
        estimate::gather(total, &grown);
    }
    0
}

/// A destination's counters, of all processors together.
struct Counted {
    first: u32,
    sum: Five,
}

#[inline(always)]
fn counted(dest: u32) -> Five {
    let cpus = maps::CPUS.load();
    let mut counted = Counted { first: dest.wrapping_mul(cpus), sum: [0; 5] };
    each(cpus, add_row, &mut counted);
    counted.sum
}

unsafe extern "C" fn add_row(i: u64, counted: *mut c_void) -> i64 {
    // SAFETY: the pointer that `each` gave to `bpf_loop`.
    let counted = unsafe { &mut *counted.cast::<Counted>() };
    if let Some(row) = maps::STATS.get_ptr_mut(counted.first.wrapping_add(i as u32)) {
        // SAFETY: a row of STATS.
        let row = unsafe { Words::<15>::new(row) };
        let words = [stats::CONNS, stats::IN_PACKETS, stats::OUT_PACKETS, stats::IN_BYTES, stats::OUT_BYTES];
        let mut i = 0;
        while i < 5 {
            counted.sum[i] = counted.sum[i].wrapping_add(row.load64(words[i]));
            i += 1;
        }
    }
    0
}

/// A row of `RATES` starts anew; `dest` is the destination whose counters it follows, or NONE.
#[inline(never)]
pub fn zero_rates(row: u32, dest: u32) -> i32 {
    let Some(row) = rates(row) else {
        return 22; // EINVAL
    };
    let now = if dest == rlvs_core::maps::NONE { [0; 5] } else { counted(dest) };
    let mut i = 0;
    while i < 5 {
        row.store64(rates::AVERAGE + 2 * i, 0);
        row.store64(rates::LAST + 2 * i, now[i]);
        i += 1;
    }
    0
}
