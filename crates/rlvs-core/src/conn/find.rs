//! Finding: by tag, set after set along a row.

use super::entry::{Entry, Word};
use super::hash::{PROBES, Place, in_row, place, place_kept};
use super::tags::Matches;
use super::{Flow, OVERFLOWED, Sets, Step, WAYS};
use crate::maps::NONE;
use crate::mem::Mem;
use crate::wire::{Addr, Be16};
use core::marker::PhantomData;

/// What is sought: a connection by its flow as a client's packet shows it, or a server's (a reply).
#[derive(Clone, Copy)]
struct Wanted<'f, A> {
    flow: &'f Flow<A>,
    is_reply: bool,
}

impl<A: Addr> Wanted<'_, A> {
    #[inline(always)]
    fn is<M: Mem>(&self, e: Entry<A, M>) -> bool {
        let word = e.word();
        let it = if self.is_reply {
            e.is_answered_by(self.flow)
        } else {
            !word.has(Word::SHADOW) && e.is_inbound(self.flow)
        };
        it && word.is_live()
    }
}

/// The live connection that a client's packet belongs to.
#[inline(always)]
pub fn find_inbound<A: Addr, S: Sets<A>>(sets: &S, flow: &Flow<A>) -> Option<Entry<A, S::Set>> {
    let p = place(flow.proto, flow.client, flow.client_port, sets.seed());
    find(sets, p, Wanted { flow, is_reply: false })
}

/// The live connection that a packet from a real server to a client belongs to.
#[inline(always)]
pub fn find_outbound<A: Addr, S: Sets<A>>(
    sets: &S,
    proto: u8,
    server: (A, Be16),
    client: (A, Be16),
) -> Option<Entry<A, S::Set>> {
    find_reply(sets, &Flow::of_reply(proto, server, client))
}

/// The same by a flow that has server and port in place of the virtual ones.
#[inline(always)]
pub fn find_reply<A: Addr, S: Sets<A>>(sets: &S, flow: &Flow<A>) -> Option<Entry<A, S::Set>> {
    let p = place(flow.proto, flow.client, flow.client_port, sets.seed());
    find(sets, p, Wanted { flow, is_reply: true })
}

/// The live template or mapping of this flow.
#[inline(always)]
pub fn find_kept<A: Addr, S: Sets<A>>(sets: &S, flow: &Flow<A>) -> Option<Entry<A, S::Set>> {
    let p = place_kept(flow.proto, flow.client, flow.virtual_addr, flow.call, sets.seed());
    find(sets, p, Wanted { flow, is_reply: false })
}

/// Mostly it is where it was to go first: then its own cache line is all that is read. Else the first match at home is
/// it, or there is none; only else it is a search.
#[inline(always)]
fn find<A: Addr, S: Sets<A>>(sets: &S, p: Place, wanted: Wanted<'_, A>) -> Option<Entry<A, S::Set>> {
    let index = p.home & sets.set_mask();
    let set = sets.set(index)?;
    let favourite = Entry::new(set, p.favourite(Entry::<A, S::Set>::WAYS), index);
    if wanted.is(favourite) {
        return Some(favourite);
    }
    let mut matches = Matches::of(set, p.tag, Entry::<A, S::Set>::WAYS);
    if matches.any() {
        let e = Entry::new(set, matches.take(), index);
        if wanted.is(e) {
            return Some(e);
        }
    } else if set.load(OVERFLOWED) == 0 {
        return None;
    }
    let mut search = Search { walk: Walk::new(sets, p)?, wanted, found: sets.unknown(NONE) };
    sets.repeat(STEPS, &mut search);
    if search.found == NONE { None } else { Entry::at(sets, search.found) }
}

/// Steps of a walk at most: each set is entered once and each of its ways seen once.
pub(super) const STEPS: u32 = PROBES * (WAYS as u32 + 1);

/// All entries with a tag, set after set along a row, as long as something went on from there. (The parts of a
/// [`Place`] that it needs, and packed: a walk lies on a stack that has few bytes left.)
pub(super) struct Walk<'s, A, S> {
    sets: &'s S,
    matches: Matches,
    home: u32,
    step: u32,
    /// The number of the set in the row.
    number: u16,
    tag: u8,
    _family: PhantomData<A>,
}

impl<'s, A: Addr, S: Sets<A>> Walk<'s, A, S> {
    #[inline(always)]
    pub(super) fn new(sets: &'s S, place: Place) -> Option<Self> {
        let set = sets.set(place.home & sets.set_mask())?;
        let matches = Matches::of(set, place.tag, Entry::<A, S::Set>::WAYS);
        let Place { home, step, tag, .. } = place;
        Some(Walk { sets, matches, home, step, number: sets.unknown(0) as u16, tag, _family: PhantomData })
    }

    /// The next entry; `Err(true)` at the end, `Err(false)` to go on.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Entry<A, S::Set>, bool> {
        let mask = self.sets.set_mask();
        let index = in_row(self.home, self.step, self.number as u32, mask);
        let Some(set) = self.sets.set(index) else {
            return Err(true);
        };
        if self.matches.any() {
            return Ok(Entry::new(set, self.matches.take(), index));
        }
        if set.load(OVERFLOWED) == 0 {
            return Err(true);
        }
        self.number = self.number.wrapping_add(1);
        let number = self.number as u32;
        if number >= PROBES || number > mask {
            return Err(true);
        }
        let Some(set) = self.sets.set(in_row(self.home, self.step, number, mask)) else {
            return Err(true);
        };
        self.matches = Matches::of(set, self.tag, Entry::<A, S::Set>::WAYS);
        Err(false)
    }
}

struct Search<'s, A, S> {
    walk: Walk<'s, A, S>,
    wanted: Wanted<'s, A>,
    found: u32,
}

impl<A: Addr, S: Sets<A>> Step for Search<'_, A, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        match self.walk.next() {
            Ok(e) if self.wanted.is(e) => {
                self.found = e.id;
                true
            }
            Ok(_) => false,
            Err(end) => end,
        }
    }
}

/// Sees entries one by one.
pub trait Visit<A, M> {
    /// True to stop.
    fn visit(&mut self, entry: Entry<A, M>) -> bool;
}

/// Shows all live mappings of a flow, of which there may be many.
#[inline(always)]
pub fn each_kept<A: Addr, S: Sets<A>, V: Visit<A, S::Set>>(sets: &S, flow: &Flow<A>, visitor: V) -> V {
    let p = place_kept(flow.proto, flow.client, flow.virtual_addr, flow.call, sets.seed());
    let Some(walk) = Walk::new(sets, p) else {
        return visitor;
    };
    let mut all = All { walk, wanted: Wanted { flow, is_reply: false }, visitor };
    sets.repeat(STEPS, &mut all);
    all.visitor
}

struct All<'s, A, S, V> {
    walk: Walk<'s, A, S>,
    wanted: Wanted<'s, A>,
    visitor: V,
}

impl<A: Addr, S: Sets<A>, V: Visit<A, S::Set>> Step for All<'_, A, S, V> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        match self.walk.next() {
            Ok(e) if self.wanted.is(e) => self.visitor.visit(e),
            Ok(_) => false,
            Err(end) => end,
        }
    }
}
