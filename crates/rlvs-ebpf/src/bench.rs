//! The wrapper of the benchmark: gives a program under test a fresh packet of another flow, over and over.
//!
//! `BPF_PROG_TEST_RUN` repeats a program on one and the same packet, which it does not restore: the second time a
//! translated packet would already be translated, and every packet would be of one flow, whose entry stays in the
//! nearest cache. So user space runs `bench_xdp` or `bench_tc`, which write the template of [`CONFIG`] over what the
//! repeat before left, make the next flow out of it, and tail-call the program under test. `empty_xdp` and `empty_tc`
//! are what its time is compared with: all of the wrapper, and nothing behind it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod bench {
    pub mod flow;
    pub mod wrapper;
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
