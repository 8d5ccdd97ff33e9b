//! A frame in the kernel: two pointers, and what the verifier must see before each access.

use core::ffi::c_void;
use rlvs_core::wire::{Be16, Be32, Frame, View};

/// The linear part of a frame.
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: usize,
    pub end: usize,
}

impl Frame for Bytes {
    type View = At;
    #[inline(always)]
    fn view(self, at: usize, len: usize) -> Option<At> {
        let start = self.data + at;
        if start + len > self.end { None } else { Some(At(start)) }
    }
}

/// A place in a frame with as many bytes behind it as `view` was asked for.
#[derive(Clone, Copy)]
pub struct At(pub usize);

// SAFETY (all below): `view` compared the bounds with the end of the frame; the verifier checks that it did.
impl View for At {
    #[inline(always)]
    fn u8(self, at: usize) -> u8 {
        unsafe { ((self.0 + at) as *const u8).read_volatile() }
    }
    #[inline(always)]
    fn be16(self, at: usize) -> Be16 {
        Be16(unsafe { ((self.0 + at) as *const u16).read_volatile() })
    }
    #[inline(always)]
    fn be32(self, at: usize) -> Be32 {
        Be32(unsafe { ((self.0 + at) as *const u32).read_volatile() })
    }
}

impl At {
    #[inline(always)]
    pub fn set_u8(self, at: usize, value: u8) {
        unsafe { ((self.0 + at) as *mut u8).write_volatile(value) }
    }
    #[inline(always)]
    pub fn set_be16(self, at: usize, value: Be16) {
        unsafe { ((self.0 + at) as *mut u16).write_volatile(value.0) }
    }
    #[inline(always)]
    pub fn set_be32(self, at: usize, value: Be32) {
        unsafe { ((self.0 + at) as *mut u32).write_volatile(value.0) }
    }
    /// Three words as they are.
    #[inline(always)]
    pub fn set_words(self, at: usize, words: [u32; 3]) {
        self.set_be32(at, Be32(words[0]));
        self.set_be32(at + 4, Be32(words[1]));
        self.set_be32(at + 8, Be32(words[2]));
    }
}

/// A pointer to some value on the stack, for a helper.
#[inline(always)]
pub fn ptr<T>(value: &T) -> *const c_void {
    (value as *const T).cast()
}

/// A length from 1 to `LIMIT` (a power of two), in a form whose bounds the verifier sees: longer ones are cut off, 0 becomes
/// `LIMIT`.
#[inline(always)]
pub fn bounded<const LIMIT: u32>(len: u32) -> u32 {
    (core::hint::black_box(len.wrapping_sub(1)).min(LIMIT - 1) & (LIMIT - 1)) + 1
}
