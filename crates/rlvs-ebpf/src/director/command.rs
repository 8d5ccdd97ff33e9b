//! Orders of user space (`rlvs_core::maps::command`): state is changed here, by a program, and nowhere else.

use crate::frame::Bytes;
use crate::tables::{Kernel, Tc, jiffies};
use crate::{maps, ticker};
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::{classifier, sk_lookup};
use aya_ebpf::programs::{SkLookupContext, TcContext};
use rlvs_core::maps::command::{Command, MAGIC, op};
use rlvs_core::maps::{NONE, dest_state, stats};
use rlvs_core::mem::Mem;
use rlvs_core::path::{Tables, recompute_overload};
use rlvs_core::sched;
use rlvs_core::wire::{Be32, Frame, View};

const EINVAL: i32 = 22;

#[classifier]
pub fn rlvs_command(context: TcContext) -> i32 {
    let skb = context.skb.skb;
    match read(skb) {
        Some(command) if command.magic == MAGIC => obey(skb, &command),
        _ => EINVAL,
    }
}

/// Attached to a network namespace only so that its link tells when the namespace is gone: every socket is found as
/// without it.
#[sk_lookup]
pub fn rlvs_namespace(_: SkLookupContext) -> u32 {
    const SK_PASS: u32 = 1;
    SK_PASS
}

fn read(skb: *mut __sk_buff) -> Option<Command> {
    // SAFETY: the context of the running program.
    let frame = unsafe {
        Bytes {
            data: (&raw const (*skb).data).read_volatile() as usize,
            end: (&raw const (*skb).data_end).read_volatile() as usize,
        }
    };
    let bytes = frame.view(0, size_of::<Command>())?;
    let word = |i: usize| bytes.be32(i * 4).0;
    let mut arg = [0; 12];
    arg[0] = word(4);
    Some(Command { magic: word(0), op: word(1), service: word(2), dest: word(3), arg })
}

#[inline(always)]
fn obey(skb: *mut __sk_buff, c: &Command) -> i32 {
    let tables = Kernel::<Be32, Tc>::new(skb.cast(), 0);
    match c.op {
        op::START => ticker::start(),
        op::RESET_DEST => reset_dest(&tables, c.dest),
        op::SWEEP => ticker::sweep_all(),
        op::ZERO_RATES => ticker::zero_rates(c.arg[0], c.dest),
        op::DEFENCE => ticker::watch(),
        op::RESET_SCHED => change_sched(&tables, c, Change::Start),
        op::DESTS_CHANGED => change_sched(&tables, c, Change::Edited),
        op::DEST_REMOVED => change_sched(&tables, c, Change::Removed),
        op::THRESHOLDS_CHANGED => match tables.dest(c.dest).zip(tables.dest_state(c.dest)) {
            Some((dest, state)) => {
                recompute_overload(dest, state);
                0
            }
            None => EINVAL,
        },
        op::CLOCK => {
            let now = jiffies();
            let at = core::mem::offset_of!(Command, arg) as u32;
            // SAFETY: the context of the running program and four bytes of the stack.
            unsafe { helpers::bpf_skb_store_bytes(skb, at, (&raw const now).cast(), 4, 0) as i32 }
        }
        _ => EINVAL,
    }
}

fn reset_dest(tables: &Kernel<Be32, Tc>, dest: u32) -> i32 {
    let Some(state) = tables.dest_state(dest) else {
        return EINVAL;
    };
    let mut i = 0;
    while i < dest_state::WORDS {
        state.store(i, 0);
        i += 1;
    }
    ticker::zero_rates(dest, NONE);
    let cpus = maps::CPUS.load();
    let mut context = dest.wrapping_mul(cpus);
    // SAFETY: the callback gets the pointer to `context`, which outlives the loop.
    unsafe {
        let clear = clear_row as *const () as *mut core::ffi::c_void;
        helpers::bpf_loop(cpus, clear, (&raw mut context).cast(), 0);
    }
    0
}

unsafe extern "C" fn clear_row(i: u64, first: *mut core::ffi::c_void) -> i64 {
    // SAFETY: the pointer that `reset_dest` gave to `bpf_loop`.
    let row = unsafe { *first.cast::<u32>() }.wrapping_add(i as u32);
    if let Some(row) = maps::STATS.get_ptr_mut(row) {
        // SAFETY: a row of STATS.
        let row = unsafe { crate::memory::Words::<15>::new(row) };
        let mut i = 0;
        while i < stats::WORDS {
            row.store(i, 0);
            i += 1;
        }
    }
    0
}

enum Change {
    Start,
    Edited,
    Removed,
}

/// Moves a scheduler's state on; tried again when a packet moved it meanwhile.
#[inline(always)]
fn change_sched(tables: &Kernel<Be32, Tc>, c: &Command, change: Change) -> i32 {
    let Some((service, state)) = tables.service(c.service).zip(tables.sched_state(c.service)) else {
        return EINVAL;
    };
    let mut tries = 0;
    while tries < 8 {
        let old = state.load64(0);
        let new = match change {
            Change::Start => sched::changed(service, 0),
            Change::Edited => sched::changed(service, old),
            Change::Removed => sched::removed(service, old, c.dest, c.arg[0]),
        };
        if state.compare_swap64(0, old, new) == old {
            return 0;
        }
        tries += 1;
    }
    11 // EAGAIN
}
