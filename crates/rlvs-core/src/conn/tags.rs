//! The sixteen tags of a set, compared eight at a time.
//!
//! Each tag is a byte of two 64-bit words. To find a byte, XOR with it in all places makes it zero, and the classic
//! test for a zero byte marks its highest bit (it may also mark bytes above a true one; whoever looks there finds
//! another key). No branches: for the verifier the way found is a number between 0 and 15, not sixteen cases.

use super::hash::Place;
use crate::mem::Mem;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The ways of a set that may hold what is sought, as two words with marked bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Matches {
    low: u64,
    high: u64,
}

#[inline(always)]
const fn zero_bytes(x: u64) -> u64 {
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// The number of the lowest marked byte.
#[inline(always)]
const fn lowest(marks: u64) -> usize {
    ((((marks & marks.wrapping_neg()) >> 7).wrapping_mul(0x0001_0203_0405_0607)) >> 56) as usize & 7
}

impl Matches {
    /// Ways with this tag, among the first `ways`.
    #[inline(always)]
    pub fn of<M: Mem>(set: M, tag: u8, ways: usize) -> Matches {
        let everywhere = ONES.wrapping_mul(tag as u64);
        let low = zero_bytes(set.load64(0) ^ everywhere);
        let high = if ways > 7 { zero_bytes(set.load64(2) ^ everywhere) } else { 0 };
        Matches { low, high }
    }

    #[inline(always)]
    pub fn any(self) -> bool {
        self.low | self.high != 0
    }

    /// Takes out the lowest way; only where there is one.
    #[inline(always)]
    pub fn take(&mut self) -> usize {
        if self.low != 0 {
            let way = lowest(self.low);
            self.low &= self.low.wrapping_sub(1);
            way
        } else {
            let way = lowest(self.high) | 8;
            self.high &= self.high.wrapping_sub(1);
            way
        }
    }
}

/// Has the set no entry? (An IPv6 set has tags only in its first word; the second is 0.)
#[inline(always)]
pub fn is_empty<M: Mem>(set: M) -> bool {
    set.load64(0) | set.load64(2) == 0
}

/// The tag of a way, 0 if it is free.
#[inline(always)]
pub fn tag<M: Mem>(set: M, way: usize) -> u8 {
    (set.load(way >> 2) >> ((way & 3) * 8)) as u8
}

/// Claims a free way by its tag, its favourite if that is free; none if the set is full.
#[inline(always)]
pub fn claim<M: Mem>(set: M, p: Place, ways: usize) -> Option<usize> {
    let mut tries = 0;
    while tries < 8 {
        // Way 0 is never free.
        let low = zero_bytes(set.load64(0) | 0xff);
        let high = if ways > 7 { zero_bytes(set.load64(2)) } else { 0 };
        let mut free = Matches { low, high };
        if !free.any() {
            return None;
        }
        let favourite = p.favourite(ways);
        let way = if tries == 0 && tag(set, favourite) == 0 { favourite } else { free.take() };
        let word = way >> 2;
        let shift = (way & 3) * 8;
        let old = set.load(word);
        if old >> shift & 0xff == 0 && set.compare_swap(word, old, old | (p.tag as u32) << shift) == old {
            return Some(way);
        }
        tries += 1;
    }
    None
}

/// Gives a way back. Only for its owner, who knows that it holds this tag.
#[inline(always)]
pub fn release<M: Mem>(set: M, way: usize, tag: u8) {
    set.add(way >> 2, ((tag as u32) << ((way & 3) * 8)).wrapping_neg());
}
