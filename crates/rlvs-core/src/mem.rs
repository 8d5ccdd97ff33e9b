//! Shared memory as a row of 32-bit words.
//!
//! State that several processors change at once (connections, loads, cursors) lives in map values. The brain reaches
//! it only through this trait: the hands implement it with the kernel's atomic instructions, tests with `AtomicU32`.
//! Words are in the machine's byte order. An index past the end is a bug; implementations may wrap it.

/// A piece of shared memory. `Copy`, because it is a pointer.
pub trait Mem: Copy {
    fn load(self, word: usize) -> u32;
    fn store(self, word: usize, value: u32);
    /// Adds (wrapping) and returns the value **before**; a full barrier.
    fn fetch_add(self, word: usize, delta: u32) -> u32;
    /// Adds (wrapping), nobody needs the result.
    fn add(self, word: usize, delta: u32);
    /// Stores `new` if the word holds `old`; returns what it held. A full barrier.
    fn compare_swap(self, word: usize, old: u32, new: u32) -> u32;

    /// The same for the 64 bits of two words, the first of which is even.
    fn load64(self, word: usize) -> u64;
    fn store64(self, word: usize, value: u64);
    fn compare_swap64(self, word: usize, old: u64, new: u64) -> u64;
}
