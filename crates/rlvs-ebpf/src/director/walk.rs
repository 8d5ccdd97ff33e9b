//! Walking along the destinations of a service.

use crate::maps;
use crate::memory::Words;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::maps::dest_flag;
use rlvs_core::path::{Candidate, Look};

/// More destinations than any map can hold; a walk ends at the end of its list.
const MANY: u32 = 1 << 20;

/// Shows the destinations from `first` on to `look`, until it says stop.
#[inline(always)]
pub fn each_dest<K: Look>(first: u32, look: &mut K) {
    // SAFETY: the looks are plain numbers; the copy is copied back before anybody reads the original.
    let mut walk = Walk { next: first, look: unsafe { core::ptr::read(look) } };
    unsafe {
        helpers::bpf_loop(MANY, step::<K> as *const () as *mut c_void, (&raw mut walk).cast(), 0);
        core::ptr::write(look, walk.look);
    }
}

/// One step of a walk along a service's destinations.
struct Walk<K> {
    next: u32,
    look: K,
}

unsafe extern "C" fn step<K: Look>(_: u64, walk: *mut c_void) -> i64 {
    // SAFETY: `bpf_loop` hands on the pointer that `each_dest` gave it.
    let walk = unsafe { &mut *walk.cast::<Walk<K>>() };
    let id = walk.next;
    let Some(dest) = maps::DEST.get(id) else {
        return 1;
    };
    let Some(state) = maps::DEST_STATE.get_ptr_mut(id) else {
        return 1;
    };
    // SAFETY: a value of DEST_STATE.
    let state = unsafe { Words::<15>::new(state) };
    walk.next = dest.next;
    if dest.flags & dest_flag::AVAILABLE == 0 {
        return 0;
    }
    walk.look.visit(&Candidate::of(id, dest, state)) as i64
}
