//! The words of an entry, and typed access to them.

mod new;
mod source;
mod word;

pub use new::NewEntry;
pub use word::Word;

use super::hash::{self, Place};
use super::{Flow, SET_WORDS, Sets};
use crate::maps::NONE;
use crate::mem::Mem;
use crate::wire::{Addr, Be16, Be32};
use core::marker::PhantomData;

/// Words after the three addresses (client, virtual, destination).
const PORTS: usize = 0; // client port, virtual port, as on the wire
const DEST_PORT: usize = 1; // destination port (low half), protocol (next byte)
/// State, life, flags and generation: see [`Word`].
pub const WORD: usize = 2;
const DEST: usize = 3;
const LAST_SEEN: usize = 4;
const TIMEOUT: usize = 5;
const CONTROL: usize = 6;
const IN_PACKETS: usize = 7;
const MARK_OR_CHILDREN: usize = 8;
const REPLY_HOP: usize = 9; // 9: when and where; 10, 11, 12: destination and source MAC (FULLNAT: see `source`)
/// Of a template or mapping, which have no replies.
const CALL: usize = 10; // and 11

/// An entry of the table: a set and a way. It stays where it is as long as it lives.
pub struct Entry<A, M> {
    pub set: M,
    pub way: usize,
    /// Set × 16 + way: how other entries point to it.
    pub id: u32,
    _family: PhantomData<A>,
}

impl<A, M: Mem> Clone for Entry<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, M: Mem> Copy for Entry<A, M> {}

/// The next hop of replies, kept in the entry: seen so many quarter seconds ago (8 bits), usable by XDP, interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHop {
    pub at: u8,
    pub flags: u8,
    pub ifindex: u32,
    pub macs: [u32; 3],
}

impl<A: Addr, M: Mem> Entry<A, M> {
    /// Words of a way: 16 for IPv4, 32 for IPv6.
    const WORDS: usize = if A::WORDS == 1 { 16 } else { 32 };
    const REST: usize = 3 * A::WORDS;
    /// Ways that fit beside the tags.
    pub const WAYS: usize = SET_WORDS / Self::WORDS - 1;

    #[inline(always)]
    pub fn new(set: M, way: usize, set_index: u32) -> Self {
        Entry { set, way, id: set_index << 4 | way as u32, _family: PhantomData }
    }
    /// The entry with this id.
    #[inline(always)]
    pub fn at<S: Sets<A, Set = M>>(sets: &S, id: u32) -> Option<Self> {
        let index = id >> 4;
        Some(Entry::new(sets.set(index)?, (id & 15) as usize, index))
    }
    /// The template that a link points to, if it still lives that life.
    #[inline(always)]
    pub fn linked<S: Sets<A, Set = M>>(sets: &S, link: u32) -> Option<Self> {
        if link == NONE {
            return None;
        }
        let entry = Self::at(sets, link & 0xff_ffff)?;
        let word = entry.word();
        (word.is_same_life(Word(link)) && word.has(Word::TEMPLATE)).then_some(entry)
    }
    /// The control connection that a data connection's link points to, likewise.
    #[inline(always)]
    pub fn control_of<S: Sets<A, Set = M>>(sets: &S, link: u32) -> Option<Self> {
        let entry = Self::at(sets, link & 0xff_ffff)?;
        let word = entry.word();
        (word.is_same_life(Word(link)) && !word.is_kept()).then_some(entry)
    }
    #[inline(always)]
    fn word_at(self, word: usize) -> usize {
        self.way * Self::WORDS + word
    }
    #[inline(always)]
    fn load(self, word: usize) -> u32 {
        self.set.load(self.word_at(Self::REST + word))
    }
    #[inline(always)]
    fn store(self, word: usize, value: u32) {
        self.set.store(self.word_at(Self::REST + word), value)
    }
    #[inline(always)]
    fn addr(self, which: usize) -> A {
        A::from_words(|i| Be32(self.set.load(self.word_at(which * A::WORDS + i))))
    }
    /// The same as comparing [`addr`](Entry::addr), without a copy of it.
    #[inline(always)]
    fn has_addr(self, which: usize, addr: &A) -> bool {
        let mut differs = 0;
        let mut i = 0;
        while i < A::WORDS {
            differs |= self.set.load(self.word_at(which * A::WORDS + i)) ^ addr.word(i).0;
            i += 1;
        }
        differs == 0
    }
    #[inline(always)]
    fn store_addr(self, which: usize, addr: A) {
        let mut i = 0;
        while i < A::WORDS {
            self.set.store(self.word_at(which * A::WORDS + i), addr.word(i).0);
            i += 1;
        }
    }

    #[inline(always)]
    pub fn client(self) -> A {
        self.addr(0)
    }
    #[inline(always)]
    pub fn virtual_addr(self) -> A {
        self.addr(1)
    }
    #[inline(always)]
    pub fn dest_addr(self) -> A {
        self.addr(2)
    }
    #[inline(always)]
    pub fn client_port(self) -> Be16 {
        Be16(self.load(PORTS) as u16)
    }
    #[inline(always)]
    pub fn virtual_port(self) -> Be16 {
        Be16((self.load(PORTS) >> 16) as u16)
    }
    #[inline(always)]
    pub fn dest_port(self) -> Be16 {
        Be16(self.load(DEST_PORT) as u16)
    }
    #[inline(always)]
    pub fn proto(self) -> u8 {
        (self.load(DEST_PORT) >> 16) as u8
    }
    /// Destination id.
    #[inline(always)]
    pub fn dest(self) -> u32 {
        self.load(DEST)
    }
    #[inline(always)]
    pub fn word(self) -> Word {
        Word(self.load(WORD))
    }
    #[inline(always)]
    pub fn control(self) -> u32 {
        self.load(CONTROL)
    }
    #[inline(always)]
    pub fn in_packets(self) -> u32 {
        self.load(IN_PACKETS)
    }
    #[inline(always)]
    pub fn mark(self) -> u32 {
        self.load(MARK_OR_CHILDREN)
    }
    #[inline(always)]
    pub fn timeout(self) -> u32 {
        self.load(TIMEOUT)
    }

    /// Where it belongs.
    #[inline(always)]
    pub fn place(self, seed: u64) -> Place {
        if self.word().is_kept() {
            hash::place_kept(self.proto(), self.client(), self.virtual_addr(), self.call(), seed)
        } else {
            hash::place(self.proto(), self.client(), self.client_port(), seed)
        }
    }

    /// What the call of a template is known by, 0 if it is not for a call. Only of templates and mappings.
    #[inline(always)]
    pub fn call(self) -> u64 {
        self.load(CALL) as u64 | (self.load(CALL + 1) as u64) << 32
    }

    /// A template's connections; more than 0 keep it alive.
    #[inline(always)]
    pub fn children(self) -> u32 {
        self.load(MARK_OR_CHILDREN)
    }
    #[inline(always)]
    pub fn add_children(self, delta: u32) {
        self.set.fetch_add(self.word_at(Self::REST + MARK_OR_CHILDREN), delta);
    }

    /// No packet finds this template any more; its connections keep it.
    #[inline(always)]
    pub fn set_aside(self) {
        let dest_port = self.load(DEST_PORT);
        self.store(PORTS, (0xffff << 16) as u32);
        self.store(DEST_PORT, dest_port | 0xffff);
    }

    /// A mapping's number: later ones are higher. And when its set of servers was changed last.
    #[inline(always)]
    pub fn serial(self) -> u32 {
        self.load(IN_PACKETS)
    }
    #[inline(always)]
    pub fn changed_at(self) -> u32 {
        self.load(MARK_OR_CHILDREN)
    }
    #[inline(always)]
    pub fn set_changed_at(self, now: u32) {
        self.store(MARK_OR_CHILDREN, now)
    }
    /// Points a mapping to another server; false if somebody else was first.
    #[inline(always)]
    pub fn swap_dest(self, old: u32, new: u32) -> bool {
        self.set.compare_swap(self.word_at(Self::REST + DEST), old, new) == old
    }
    #[inline(always)]
    pub fn last_seen(self) -> u32 {
        self.load(LAST_SEEN)
    }

    /// Is this the connection of a client's packet?
    #[inline(always)]
    pub fn is_inbound(self, f: &Flow<A>) -> bool {
        self.has_addr(0, &f.client)
            && self.load(PORTS) == (f.client_port.0 as u32 | (f.virtual_port.0 as u32) << 16)
            && self.has_addr(1, &f.virtual_addr)
            && self.proto() == f.proto
            && (f.call == 0 || self.call() == f.call)
    }

    /// Is this the connection of a server's packet? (Server and its port stand where a client's packet has the virtual
    /// ones.)
    #[inline(always)]
    pub fn is_outbound(self, f: &Flow<A>) -> bool {
        self.has_addr(0, &f.client)
            && self.client_port() == f.client_port
            && self.load(DEST_PORT) == (f.virtual_port.0 as u32 | (f.proto as u32) << 16)
            && self.has_addr(2, &f.virtual_addr)
    }

    /// Is a server's packet a reply of this connection? Of a shadow it is the flow as the server sees it.
    #[inline(always)]
    pub fn is_answered_by(self, f: &Flow<A>) -> bool {
        if self.word().has(Word::SHADOW) { self.is_inbound(f) } else { self.is_outbound(f) }
    }

    #[inline(always)]
    pub fn has_expired(self, now: u32) -> bool {
        idle(now, self.load(LAST_SEEN)) >= self.load(TIMEOUT)
    }

    /// Jiffies since it was due; only of one that is.
    #[inline(always)]
    pub fn overdue(self, now: u32) -> u32 {
        idle(now, self.load(LAST_SEEN)).wrapping_sub(self.load(TIMEOUT))
    }

    /// Jiffies until it expires.
    pub fn expires_in(self, now: u32) -> u32 {
        self.load(TIMEOUT).saturating_sub(idle(now, self.load(LAST_SEEN)))
    }

    /// A packet came: the timer starts anew. Words that stay the same are not written.
    #[inline(always)]
    pub fn touch(self, now: u32, timeout: u32) {
        if self.load(LAST_SEEN) != now {
            self.store(LAST_SEEN, now);
        }
        if self.load(TIMEOUT) != timeout {
            self.store(TIMEOUT, timeout);
        }
    }

    #[inline(always)]
    pub fn count_in_packet(self) {
        self.store(IN_PACKETS, self.load(IN_PACKETS).wrapping_add(1));
    }

    /// Replaces the deciding word; false if somebody else changed it first.
    #[inline(always)]
    pub fn swap_word(self, old: Word, new: Word) -> bool {
        self.set.compare_swap(self.word_at(Self::REST + WORD), old.0, new.0) == old.0
    }

    #[inline(always)]
    pub fn reply_hop(self) -> ReplyHop {
        let w = self.load(REPLY_HOP);
        ReplyHop {
            at: w as u8,
            flags: (w >> 8 & 15) as u8,
            ifindex: w >> 12,
            macs: [self.load(REPLY_HOP + 1), self.load(REPLY_HOP + 2), self.load(REPLY_HOP + 3)],
        }
    }

    #[inline(always)]
    pub fn set_reply_hop(self, hop: ReplyHop) {
        self.store(REPLY_HOP + 1, hop.macs[0]);
        self.store(REPLY_HOP + 2, hop.macs[1]);
        self.store(REPLY_HOP + 3, hop.macs[2]);
        self.store(REPLY_HOP, hop.at as u32 | (hop.flags as u32 & 15) << 8 | hop.ifindex << 12);
    }

    /// Writes a claimed way and makes it pending. Returns the word it now has.
    #[inline(always)]
    pub(in crate::conn) fn write(self, new: &NewEntry<A>) -> Word {
        self.store_addr(0, new.flow.client);
        self.store_addr(1, new.flow.virtual_addr);
        self.store_addr(2, new.dest_addr);
        self.store(PORTS, new.flow.client_port.0 as u32 | (new.flow.virtual_port.0 as u32) << 16);
        self.store(DEST_PORT, new.dest_port.0 as u32 | (new.flow.proto as u32) << 16);
        self.store(DEST, new.dest);
        self.store(LAST_SEEN, new.now);
        self.store(TIMEOUT, new.timeout);
        self.store(CONTROL, new.control);
        self.store(IN_PACKETS, new.serial);
        self.store(MARK_OR_CHILDREN, new.mark);
        self.store(REPLY_HOP, 0);
        if new.word.is_kept() {
            self.store(CALL, new.flow.call as u32);
            self.store(CALL + 1, (new.flow.call >> 32) as u32);
        }
        let old = self.word();
        let generation = old.0.wrapping_add(Word::GENERATION_ONE) & Word::GENERATION;
        let word = Word(new.word.0 & !Word::GENERATION | generation).with_life(Word::PENDING);
        // Nobody else writes a claimed way, so this succeeds; it is a swap for the barrier that comes with it.
        self.swap_word(old, word);
        word
    }

    /// Pending → live; false if another processor opened the same connection first.
    #[inline(always)]
    pub(in crate::conn) fn publish(self, pending: Word) -> Option<Word> {
        let live = pending.with_life(Word::LIVE);
        self.swap_word(pending, live).then_some(live)
    }

    /// Live or pending → free; true for the one who did it, who then owns the way until he clears its tag.
    #[inline(always)]
    pub fn close(self, seen: Word) -> bool {
        self.swap_word(seen, seen.with_life(Word::FREE))
    }

    /// Does it belong to a template?
    pub fn is_controlled(self) -> bool {
        self.control() != NONE
    }
}

/// How a connection points to the template of this id in one life of it.
#[inline(always)]
pub const fn link(id: u32, word: Word) -> u32 {
    id & 0xff_ffff | word.0 & Word::GENERATION
}

/// Jiffies since a packet came. Another processor may have stored a later tick than the one we read before: that is
/// no time at all, not almost 2^32.
#[inline(always)]
pub const fn idle(now: u32, last_seen: u32) -> u32 {
    let idle = now.wrapping_sub(last_seen);
    if idle > u32::MAX - 0xffff { 0 } else { idle }
}

#[cfg(test)]
mod tests {
    use super::idle;

    #[test]
    fn a_packet_of_the_next_tick_is_not_ages_old() {
        assert_eq!(idle(100, 101), 0);
        assert_eq!(idle(5, u32::MAX - 4), 10, "the clock goes round");
        assert_eq!(idle(31 * 86_400 * 1000, 0), 31 * 86_400 * 1000, "31 days at 1000 Hz");
    }
}
