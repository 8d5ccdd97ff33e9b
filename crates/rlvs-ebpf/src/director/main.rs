//! The hands of the director: the XDP and TC programs.
//!
//! Read bytes, ask the brain (`rlvs_core::path::decide`), do as it says. No policy here.
//!
//! | program | what |
//! |---|---|
//! | `rlvs_xdp` | native XDP (takes frames in several buffers) |
//! | `rlvs_xdp_skb` | generic XDP (a program that takes several buffers hands TC a broken frame there) |
//! | `rlvs_tc` | TC ingress: everything that XDP passes up, or everything |
//! | `rlvs_tc4`, `rlvs_xdp4`, `rlvs_xdp4_skb` | the same where there is no service of IPv6 |
//! | `rlvs_command` | orders of user space, run by `BPF_PROG_TEST_RUN` |
//! | `rlvs_namespace` | socket look-up that changes nothing; its link tells when the namespace is gone |
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics), allow(internal_features))]
// By value, keys would be copied once more on a small stack.
#![allow(clippy::needless_borrows_for_generic_args)]

#[cfg(target_arch = "bpf")]
mod answer;
#[cfg(target_arch = "bpf")]
mod calls;
#[cfg(target_arch = "bpf")]
mod command;
#[cfg(target_arch = "bpf")]
mod family;
#[cfg(target_arch = "bpf")]
mod fragments;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod ftp;
#[cfg(target_arch = "bpf")]
mod handing;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod memory;
#[cfg(target_arch = "bpf")]
mod related;
#[cfg(target_arch = "bpf")]
mod rewrite;
#[cfg(target_arch = "bpf")]
mod route;
#[cfg(target_arch = "bpf")]
mod split;
#[cfg(target_arch = "bpf")]
mod steps;
#[cfg(target_arch = "bpf")]
mod sum;
#[cfg(target_arch = "bpf")]
mod tables;
#[cfg(target_arch = "bpf")]
mod tc;
#[cfg(target_arch = "bpf")]
mod ticker;
#[cfg(target_arch = "bpf")]
mod trace;
#[cfg(target_arch = "bpf")]
mod tunnel;
#[cfg(target_arch = "bpf")]
mod walk;
#[cfg(target_arch = "bpf")]
mod xdp;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Never reached: a program with a reachable panic does not load.
    loop {}
}

/// Some helpers are for programs under the GPL only; this crate is available under it (see Cargo.toml).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
