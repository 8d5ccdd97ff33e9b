//! Inserting, without a lock; and the memory that a table is in.
//!
//! Inserting: claim a free way by its tag, write the entry, make it *pending*, then look for rivals: another processor
//! may be opening the same connection at this moment. Both made themselves visible before they looked, so at least
//! one sees the other. A live rival wins; between two pending ones the lower id wins and kills the other by swapping
//! its word to *free*, which makes the other's step to *live* fail. So exactly one goes live.

use super::entry::{Entry, NewEntry, Word};
use super::find::{STEPS, Walk};
use super::hash::{PROBES, Place};
use super::tags;
use super::{Flow, OVERFLOWED};
use crate::maps::NONE;
use crate::mem::Mem;
use crate::wire::Addr;
use core::marker::PhantomData;

/// The memory of a table.
pub trait Sets<A> {
    type Set: Mem;
    /// The set with this index (below the number of sets).
    fn set(&self, index: u32) -> Option<Self::Set>;
    /// Number of sets less one; the number is a power of two.
    fn set_mask(&self) -> u32;
    /// The secret of the hash.
    fn seed(&self) -> u64;
    /// Entries in the table, more or less.
    fn count(&self) -> u32;
    /// Steps that the hands may put into functions of their own: see [`claim`], [`rival_wins`] and [`release`].
    fn claim(&self, place: Place) -> u32;
    fn rival_wins(&self, mine: Entry<A, Self::Set>, new: &NewEntry<A>) -> bool;
    fn release(&self, entry: Entry<A, Self::Set>);
    /// Takes steps until one says stop, at most `limit`. (In the kernel a loop whose body the verifier sees once.)
    fn repeat<S: Step>(&self, limit: u32, steps: &mut S);
    /// The same number, but one the verifier does not know. Linux 6.1 looks at the body of a loop only once, with the
    /// values it has before the first step; a branch that these decide it takes for good. So what a body both reads
    /// and writes must start as an unknown.
    fn unknown(&self, number: u32) -> u32 {
        number
    }
}

/// The body of a loop.
pub trait Step {
    /// True to stop.
    fn step(&mut self) -> bool;
}

/// What became of an insertion. All fields are always set: the verifier refuses to see a value moved that nobody wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inserted {
    pub outcome: Outcome,
    /// Of the new entry: its id and its word.
    pub id: u32,
    pub word: Word,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Outcome {
    /// It is in.
    New,
    /// Another processor opened the same connection first.
    Lost,
    /// No set of its row has a free way.
    Full,
}

/// Puts a new entry into the table.
#[inline(always)]
pub fn insert<A: Addr, S: Sets<A>>(sets: &S, new: &NewEntry<A>) -> Inserted {
    let without = |outcome| Inserted { outcome, id: NONE, word: Word(0) };
    let id = sets.claim(new.place(sets.seed()));
    let Some(entry) = Entry::at(sets, id) else {
        return without(Outcome::Full);
    };
    let pending = entry.write(new);
    if !sets.rival_wins(entry, new)
        && let Some(word) = entry.publish(pending)
    {
        return Inserted { outcome: Outcome::New, id, word };
    }
    entry.close(pending);
    sets.release(entry);
    without(Outcome::Lost)
}

/// Claims a way at home, or in the next set of the row that has one; each set passed by counts it. The entry's id, or
/// `NONE`.
#[inline(always)]
pub fn claim<A: Addr, S: Sets<A>>(sets: &S, p: Place) -> u32 {
    let home_index = p.home & sets.set_mask();
    let Some(home) = sets.set(home_index) else {
        return NONE;
    };
    if let Some(way) = tags::claim(home, p, Entry::<A, S::Set>::WAYS) {
        return home_index << 4 | way as u32;
    }
    // A full table shall not be searched for every packet.
    let capacity = sets.set_mask().wrapping_add(1).wrapping_mul(Entry::<A, S::Set>::WAYS as u32);
    if sets.count() >= capacity {
        return NONE;
    }
    home.fetch_add(OVERFLOWED, 1);
    let _family = PhantomData;
    let mut claiming =
        Claiming { sets, place: p, number: sets.unknown(1), found: sets.unknown(NONE), _family };
    sets.repeat(PROBES - 1, &mut claiming);
    if claiming.found == NONE {
        uncount(sets, p, claiming.number);
    }
    claiming.found
}

struct Claiming<'s, A, S> {
    sets: &'s S,
    place: Place,
    number: u32,
    found: u32,
    _family: PhantomData<A>,
}

impl<A: Addr, S: Sets<A>> Step for Claiming<'_, A, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let mask = self.sets.set_mask();
        if self.number > mask {
            return true;
        }
        let index = self.place.set(self.number, mask);
        let Some(set) = self.sets.set(index) else {
            return true;
        };
        if let Some(way) = tags::claim(set, self.place, Entry::<A, S::Set>::WAYS) {
            self.found = index << 4 | way as u32;
            return true;
        }
        set.fetch_add(OVERFLOWED, 1);
        self.number = self.number.wrapping_add(1);
        false
    }
}

/// The first so many sets of a row no longer count an entry that passed by.
#[inline(always)]
fn uncount<A: Addr, S: Sets<A>>(sets: &S, place: Place, sets_passed: u32) {
    let mut back = Uncounting { sets, place, number: sets.unknown(0), _family: PhantomData };
    sets.repeat(sets_passed, &mut back);
}

struct Uncounting<'s, A, S> {
    sets: &'s S,
    place: Place,
    number: u32,
    _family: PhantomData<A>,
}

impl<A: Addr, S: Sets<A>> Step for Uncounting<'_, A, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if let Some(set) = self.sets.set(self.place.set(self.number, self.sets.set_mask())) {
            set.add(OVERFLOWED, u32::MAX);
        }
        self.number = self.number.wrapping_add(1);
        false
    }
}

/// Looks for other entries of the same flow; kills pending ones of higher id. True if one of them wins.
#[inline(always)]
pub fn rival_wins<A: Addr, S: Sets<A>>(sets: &S, mine: Entry<A, S::Set>, new: &NewEntry<A>) -> bool {
    // One address may map to several servers; a flow may not be twice.
    if new.word.has(Word::MAPPING) && new.serial != 0 {
        return false;
    }
    let Some(walk) = Walk::new(sets, new.place(sets.seed())) else {
        return true;
    };
    let mut rivals = Rivals { walk, flow: &new.flow, mine: mine.id ^ sets.unknown(0) };
    sets.repeat(STEPS, &mut rivals);
    rivals.mine == NONE
}

struct Rivals<'s, A, S> {
    walk: Walk<'s, A, S>,
    flow: &'s Flow<A>,
    /// `NONE` once it has lost.
    mine: u32,
}

impl<A: Addr, S: Sets<A>> Step for Rivals<'_, A, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let other = match self.walk.next() {
            Ok(other) => other,
            Err(end) => return end,
        };
        let word = other.word();
        if other.id != self.mine && other.is_inbound(self.flow) {
            let wins = word.is_live() || word.is_pending() && (other.id < self.mine || !other.close(word));
            if wins {
                self.mine = NONE;
            }
            return wins;
        }
        false
    }
}

/// Gives back the way of an entry that was closed. Only for the one who closed it.
#[inline(always)]
pub fn release<A: Addr, S: Sets<A>>(sets: &S, entry: Entry<A, S::Set>) {
    let p = entry.place(sets.seed());
    tags::release(entry.set, entry.way, p.tag);
    if p.home & sets.set_mask() != entry.id >> 4 {
        let mut counting =
            Counting { sets, place: p, at: entry.id >> 4, number: sets.unknown(0), _family: PhantomData };
        sets.repeat(PROBES, &mut counting);
    }
}

/// From home to the set where an entry was.
struct Counting<'s, A, S> {
    sets: &'s S,
    place: Place,
    at: u32,
    number: u32,
    _family: PhantomData<A>,
}

impl<A: Addr, S: Sets<A>> Step for Counting<'_, A, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let index = self.place.set(self.number, self.sets.set_mask());
        if index == self.at {
            return true;
        }
        if let Some(set) = self.sets.set(index) {
            set.add(OVERFLOWED, u32::MAX);
        }
        self.number = self.number.wrapping_add(1);
        false
    }
}
