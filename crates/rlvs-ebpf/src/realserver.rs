//! The real server's programs: one takes tunnelled requests out of their outer header, one sees to it that clients send what
//! fits into it ([`clamp`]).
//!
//! In TUN mode the director wraps a request for the VIP in a second IP header addressed to the real server. A kernel
//! with the ipip module unwraps it; our program, on TC ingress, does so where there is no such module, and then lets the
//! inner packet go on to the VIP on `lo` as if it had come that way.
//!
//! It touches only what is surely meant for it: a tunnel packet to this host whose inner destination is one of [`OPENED`].
//! All else goes on untouched, bit for bit, and the kernel does what it would have done without us.
//! [`counter`] has the fates a packet can meet; `rlvs realserver status` shows how many met which.
//!
//! Outer packets in fragments are put together first ([`pieces`]). A further encapsulation is a module beside [`ipip`],
//! [`gre`] and [`gue`] that tells where the inner header begins.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics), allow(internal_features))]
// By value, keys would be copied once more on a small stack.
#![allow(clippy::needless_borrows_for_generic_args)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod realserver {
    pub mod clamp;
    pub mod counter;
    pub mod ecn;
    pub mod gre;
    pub mod gue;
    pub mod ip;
    pub mod ipip;
    pub mod ipv4;
    pub mod ipv6;
    pub mod opened;
    pub mod options;
    pub mod packet;
    pub mod pieces;
    pub mod story;
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Never reached: nothing here can panic, and the build refuses an object that could.
    loop {}
}

/// Helpers that touch packets are open only to programs under a licence compatible with the GPL.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
