//! The source address that the server sees (FULLNAT), in the words where other connections keep the next hop of their
//! replies.
//!
//! A reply is addressed to that source, not to the client, so the connection alone would not be found: a second entry
//! stands for it, the *shadow*. Its client is the source, its virtual address the real server, its destination the
//! client; it points to its owner and goes with it. The next hop of replies is kept in the shadow.

use super::{Entry, REPLY_HOP, Sets, Word};
use crate::mem::Mem;
use crate::wire::{Addr, Be16, Be32};

/// The port (low half) and whether it counts.
const SOURCE_PORT: usize = REPLY_HOP;
const BOUND: u32 = 1 << 16;
const BINDING: u32 = 1 << 17;
/// The link to the shadow.
const SHADOW: usize = REPLY_HOP + 2;

impl<A: Addr, M: Mem> Entry<A, M> {
    /// Behind the words that both families have there is room in an entry of IPv6.
    const SOURCE: usize = if A::WORDS == 1 { REPLY_HOP + 1 } else { REPLY_HOP + 4 };

    #[inline(always)]
    pub fn has_source(self) -> bool {
        self.load(SOURCE_PORT) & BOUND != 0
    }
    #[inline(always)]
    pub fn source(self) -> A {
        A::from_words(|i| Be32(self.load(Self::SOURCE + i)))
    }
    #[inline(always)]
    pub fn source_port(self) -> Be16 {
        Be16(self.load(SOURCE_PORT) as u16)
    }

    /// The right to give it a source; false if another processor has it, or had it.
    #[inline(always)]
    pub fn begin_source(self) -> bool {
        self.set.compare_swap(self.word_at(Self::REST + SOURCE_PORT), 0, BINDING) == 0
    }
    /// No source was to be had: the next packet may try again.
    #[inline(always)]
    pub fn give_up_source(self) {
        self.store(SOURCE_PORT, 0)
    }
    /// `shadow` is a [`link`](super::link).
    #[inline(always)]
    pub fn set_source(self, addr: A, port: Be16, shadow: u32) {
        let mut i = 0;
        while i < A::WORDS {
            self.store(Self::SOURCE + i, addr.word(i).0);
            i += 1;
        }
        self.store(SHADOW, shadow);
        // Last, and a swap for the barrier that comes with it.
        self.set.compare_swap(self.word_at(Self::REST + SOURCE_PORT), BINDING, BOUND | port.0 as u32);
    }

    /// Its shadow, if it has one.
    #[inline(always)]
    pub fn shadow<S: Sets<A, Set = M>>(self, sets: &S) -> Option<Self> {
        if !self.has_source() {
            return None;
        }
        let link = self.load(SHADOW);
        let shadow = Self::at(sets, link & 0xff_ffff)?;
        let word = shadow.word();
        (word.is_same_life(Word(link)) && word.has(Word::SHADOW)).then_some(shadow)
    }
    /// Of a shadow: the connection it stands for, if that still lives.
    #[inline(always)]
    pub fn owner<S: Sets<A, Set = M>>(self, sets: &S) -> Option<Self> {
        let link = self.control();
        let owner = Self::at(sets, link & 0xff_ffff)?;
        owner.word().is_same_life(Word(link)).then_some(owner)
    }
}
