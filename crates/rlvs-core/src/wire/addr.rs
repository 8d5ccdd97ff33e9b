//! Addresses of both families behind one trait, so that one story serves both and IPv4 pays for nothing of IPv6.

use super::be::Be32;

/// An IP address as words of the wire.
pub trait Addr: Copy + Eq {
    /// 1 for IPv4, 4 for IPv6.
    const WORDS: usize;
    /// 4 or 6, as in the header's version field.
    const FAMILY: u8;
    /// Word `i` < `WORDS`, in memory order.
    fn word(self, i: usize) -> Be32;
    fn from_words(words: impl Fn(usize) -> Be32) -> Self;

    /// All words folded into one by XOR, as a number: what IPVS's schedulers hash (Linux 6.1 `ip_vs_dh.c` folds so).
    #[inline(always)]
    fn fold(self) -> u32 {
        let mut x = 0;
        let mut i = 0;
        while i < Self::WORDS {
            x ^= self.word(i).0;
            i += 1;
        }
        Be32(x).get()
    }
}

/// An IPv4 address is its 32 bits.
impl Addr for Be32 {
    const WORDS: usize = 1;
    const FAMILY: u8 = 4;
    #[inline(always)]
    fn word(self, _: usize) -> Be32 {
        self
    }
    #[inline(always)]
    fn from_words(words: impl Fn(usize) -> Be32) -> Be32 {
        words(0)
    }
}

/// An IPv6 address.
impl Addr for [Be32; 4] {
    const WORDS: usize = 4;
    const FAMILY: u8 = 6;
    #[inline(always)]
    fn word(self, i: usize) -> Be32 {
        self[i & 3]
    }
    #[inline(always)]
    fn from_words(words: impl Fn(usize) -> Be32) -> [Be32; 4] {
        [words(0), words(1), words(2), words(3)]
    }
}
