//! Map values as rows of words, with the kernel's atomic instructions.
//!
//! LLVM 22 miscompiles an atomic addition with relaxed order whose result is used (it returns the operand); so
//! everything whose result counts is sequentially consistent, and `add`, whose result nobody sees, is relaxed.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};
use rlvs_core::mem::Mem;

/// A map value of `MASK` + 1 words; an index wraps, so the verifier sees every access inside.
#[derive(Clone, Copy)]
pub struct Words<const MASK: usize>(*mut u32);

impl<const MASK: usize> Words<MASK> {
    /// `value` must point to a map value of at least `MASK` + 1 words.
    #[inline(always)]
    pub unsafe fn new<const N: usize>(value: *mut [u32; N]) -> Self {
        const { assert!(N > MASK && (MASK + 1).is_power_of_two()) };
        Words(value.cast())
    }
    #[inline(always)]
    fn at(self, word: usize) -> *mut u32 {
        // SAFETY: masked to the size that `new` was promised.
        unsafe { self.0.add(word & MASK) }
    }
    #[inline(always)]
    fn at64(self, word: usize) -> *mut u64 {
        // SAFETY: as above; an even index leaves room for two words, and map values are aligned to eight bytes.
        unsafe { self.0.add(word & MASK & !1).cast() }
    }
}

// SAFETY (all below): `at` and `at64` point into a live map value; map values may be changed by other processors,
// hence volatile and atomic accesses only.
impl<const MASK: usize> Mem for Words<MASK> {
    #[inline(always)]
    fn load(self, word: usize) -> u32 {
        unsafe { self.at(word).read_volatile() }
    }
    #[inline(always)]
    fn store(self, word: usize, value: u32) {
        unsafe { self.at(word).write_volatile(value) }
    }
    #[inline(always)]
    fn fetch_add(self, word: usize, delta: u32) -> u32 {
        unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(self.at(word), delta) }
    }
    #[inline(always)]
    fn add(self, word: usize, delta: u32) {
        unsafe {
            atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(self.at(word), delta);
        }
    }
    #[inline(always)]
    fn compare_swap(self, word: usize, old: u32, new: u32) -> u32 {
        unsafe {
            atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.at(word),
                old,
                new,
            )
            .0
        }
    }
    #[inline(always)]
    fn load64(self, word: usize) -> u64 {
        unsafe { self.at64(word).read_volatile() }
    }
    #[inline(always)]
    fn store64(self, word: usize, value: u64) {
        unsafe { self.at64(word).write_volatile(value) }
    }
    #[inline(always)]
    fn compare_swap64(self, word: usize, old: u64, new: u64) -> u64 {
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.at64(word),
                old,
                new,
            )
            .0
        }
    }
}
