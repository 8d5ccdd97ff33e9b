//! Map values in plain memory: rows of words that several threads may change, with the processor's own atomics.

use rlvs_core::mem::Mem;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A value's words start where 64 bits may start.
#[repr(C, align(64))]
struct Aligned<const N: usize>([AtomicU32; N]);

/// An array map: so many values of `N` words, all zero at first.
pub struct Rows<const N: usize>(Box<[Aligned<N>]>);

impl<const N: usize> Rows<N> {
    pub fn new(len: usize) -> Rows<N> {
        Rows((0..len).map(|_| Aligned(std::array::from_fn(|_| AtomicU32::new(0)))).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn row(&self, index: usize) -> Option<Row<'_>> {
        self.0.get(index).map(|value| Row(&value.0))
    }
}

/// One value. An index past its end is a bug of the brain, so it panics.
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a [AtomicU32]);

impl Row<'_> {
    fn pair(self, word: usize) -> &'static AtomicU64 {
        assert!(
            word.is_multiple_of(2) && word + 1 < self.0.len(),
            "64 bits at word {word} of {}",
            self.0.len()
        );
        // SAFETY: both words are inside the value, which begins at a multiple of 64 bytes; every access, of 32 bits
        // or 64, is atomic. The reference is used at once, while the value is borrowed.
        unsafe { AtomicU64::from_ptr(self.0[word].as_ptr().cast()) }
    }
}

impl Mem for Row<'_> {
    fn load(self, word: usize) -> u32 {
        self.0[word].load(Ordering::Relaxed)
    }
    fn store(self, word: usize, value: u32) {
        self.0[word].store(value, Ordering::Relaxed)
    }
    fn fetch_add(self, word: usize, delta: u32) -> u32 {
        self.0[word].fetch_add(delta, Ordering::SeqCst)
    }
    fn add(self, word: usize, delta: u32) {
        self.0[word].fetch_add(delta, Ordering::Relaxed);
    }
    fn compare_swap(self, word: usize, old: u32, new: u32) -> u32 {
        self.0[word].compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|x| x)
    }
    fn load64(self, word: usize) -> u64 {
        self.pair(word).load(Ordering::Relaxed)
    }
    fn store64(self, word: usize, value: u64) {
        self.pair(word).store(value, Ordering::Relaxed)
    }
    fn compare_swap64(self, word: usize, old: u64, new: u64) -> u64 {
        self.pair(word).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|x| x)
    }
}
