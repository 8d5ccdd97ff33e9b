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

/// What is known of the header that tells the server who the client is (see `path::handing`), in the word of the port; a bit
/// that is lost to another processor is set again by the next segment.
const FIRST_KNOWN: u32 = 1 << 18;
const SENT: u32 = 1 << 19;
const FOLLOWED: u32 = 1 << 20;
const HANDED_ON: u32 = 1 << 21;
/// The number of the client's first byte.
const FIRST: usize = REPLY_HOP + 3;

impl<A: Addr, M: Mem> Entry<A, M> {
    #[inline(always)]
    pub fn knows_first(self) -> bool {
        self.load(SOURCE_PORT) & FIRST_KNOWN != 0
    }
    /// The TCP sequence number of the client's first byte, in the machine's order.
    #[inline(always)]
    pub fn first(self) -> u32 {
        self.load(FIRST)
    }
    #[inline(always)]
    pub fn set_first(self, number: u32) {
        self.store(FIRST, number);
        self.note(FIRST_KNOWN);
    }
    /// Did the server acknowledge the header?
    #[inline(always)]
    pub fn is_handed_on(self) -> bool {
        self.load(SOURCE_PORT) & HANDED_ON != 0
    }
    #[inline(always)]
    pub fn note_handed_on(self) {
        self.note(HANDED_ON);
    }
    /// The header is sent, or data that follows it; true if the header went before and no data did yet.
    #[inline(always)]
    pub fn note_header_sent(self, with_data: bool) -> bool {
        let before = self.load(SOURCE_PORT);
        self.note(if with_data { SENT | FOLLOWED } else { SENT });
        before & (SENT | FOLLOWED) == SENT
    }
    #[inline(always)]
    fn note(self, bits: u32) {
        let word = self.load(SOURCE_PORT);
        if word & bits != bits {
            self.store(SOURCE_PORT, word | bits);
        }
    }
}
