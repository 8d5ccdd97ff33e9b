//! The kernel's routing and neighbour tables.

use crate::family::{Family, Six};
use crate::maps;
use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup,
};
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::maps::{DestConfig, links};
use rlvs_core::path::{Hop, hop_flag};
use rlvs_core::wire::Be32;

/// The kernel's route and neighbour for an address. The kernel refuses where forwarding is off for the interface.
#[inline(never)]
pub fn route<A: Family>(context: *mut c_void, ifindex: u32, to: &A, hop: &mut Hop<A>) {
    let to = *to;
    ask(
        context,
        ifindex,
        A::NUMBER,
        hop,
        |question| to.ask_for(question),
        |answer, hop| {
            hop.via = A::next_hop(answer);
        },
    );
}

/// The same for a destination of the other address family.
#[inline(never)]
pub fn route_across<A: Family>(context: *mut c_void, ifindex: u32, dest: &DestConfig, hop: &mut Hop<A>) {
    if dest.family == 6 {
        let to: Six = dest.addr;
        ask(context, ifindex, Six::NUMBER, hop, |question| to.ask_for(question), |_, _| {});
    } else {
        let to: Be32 = dest.addr[0];
        ask(context, ifindex, Be32::NUMBER, hop, |question| to.ask_for(question), |_, _| {});
    }
}

#[inline(always)]
fn ask<A: Family>(
    context: *mut c_void,
    ifindex: u32,
    family: u8,
    hop: &mut Hop<A>,
    fill: impl FnOnce(&mut bpf_fib_lookup),
    take: impl FnOnce(&bpf_fib_lookup, &mut Hop<A>),
) {
    hop.flags = 0;
    // Words, because clearing a struct of bytes becomes a call with a loop.
    let mut words = [0u64; size_of::<bpf_fib_lookup>() / 8];
    // SAFETY: the same size, a stricter alignment, and all zero is a valid value of this plain C struct.
    let ask = unsafe { &mut *(&raw mut words).cast::<bpf_fib_lookup>() };
    ask.family = family;
    ask.ifindex = ifindex;
    ask.__bindgen_anon_1.tot_len = 1; // makes it report the MTU
    fill(ask);
    // SAFETY: the context of the running program, and a struct of the size given.
    let answer =
        unsafe { helpers::bpf_fib_lookup(context, ask, size_of::<bpf_fib_lookup>() as i32, 0) } as u32;
    if answer == BPF_FIB_LKUP_RET_NOT_FWDED {
        hop.flags = hop_flag::LOCAL;
        return;
    }
    if answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH {
        return;
    }
    hop.flags = hop_flag::ROUTED;
    hop.ifindex = ask.ifindex;
    take(ask, hop);
    // SAFETY: all fields of the union are plain integers.
    hop.mtu = unsafe { ask.__bindgen_anon_1.mtu_result } as u32;
    if answer == BPF_FIB_LKUP_RET_SUCCESS {
        hop.flags |= hop_flag::RESOLVED;
        let (d, s) = (ask.dmac, ask.smac);
        hop.macs[0] = u32::from_ne_bytes([d[0], d[1], d[2], d[3]]);
        hop.macs[1] = u32::from_ne_bytes([d[4], d[5], s[0], s[1]]);
        hop.macs[2] = u32::from_ne_bytes([s[2], s[3], s[4], s[5]]);
    } else if hop.mtu <= 1 {
        hop.mtu = 1500; // the kernel tells it only with a neighbour
    }
    // SAFETY: a hash map that only user space writes.
    if let Some(flags) = unsafe { maps::LINKS.get(hop.ifindex) }
        && flags & links::XDP_TARGET != 0
    {
        hop.flags |= hop_flag::XDP_TARGET;
    }
}
