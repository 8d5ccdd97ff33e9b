//! Finding and inserting, without a lock.
//!
//! Inserting: claim a free way by its tag, write the entry, make it *pending*, then look for rivals: another processor
//! may be opening the same connection at this moment. Both made themselves visible before they looked, so at least
//! one sees the other. A live rival wins; between two pending ones the lower id wins and kills the other by swapping
//! its word to *free*, which makes the other's step to *live* fail. So exactly one goes live.

use super::entry::{Entry, NewEntry, Word};
use super::hash::{Place, place};
use super::tags::{self, Matches};
use super::{Flow, OVERFLOWED, WAYS};
use crate::maps::NONE;
use crate::mem::Mem;
use crate::wire::{Addr, Be16};

/// The memory of a table.
pub trait Sets<A> {
    type Set: Mem;
    /// The set with this index (below the number of sets).
    fn set(&self, index: u32) -> Option<Self::Set>;
    /// Number of sets less one; the number is a power of two.
    fn set_mask(&self) -> u32;
    /// The secret of the hash.
    fn seed(&self) -> u64;
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

/// What became of an insertion.
pub enum Inserted<A, M> {
    /// It is in, and this is its word.
    New(Entry<A, M>, Word),
    /// Another processor opened the same connection first.
    Lost,
    /// Neither of its two sets has a free way.
    Full,
}

/// What is sought: a connection by its client and, of its other side, the virtual address (of a client's packet) or
/// the real server (of a reply).
#[derive(Clone, Copy)]
struct Wanted<A> {
    client: A,
    other: A,
    client_port: Be16,
    other_port: Be16,
    proto: u8,
    is_reply: bool,
}

impl<A: Addr> Wanted<A> {
    #[inline(always)]
    fn is<M: Mem>(&self, e: Entry<A, M>) -> bool {
        let flow = self.flow();
        let it = if self.is_reply {
            e.is_outbound(self.client, self.client_port, self.other, self.other_port, self.proto)
        } else {
            e.is_inbound(&flow)
        };
        it && e.word().is_live()
    }
    #[inline(always)]
    fn flow(&self) -> Flow<A> {
        Flow {
            client: self.client,
            virtual_addr: self.other,
            client_port: self.client_port,
            virtual_port: self.other_port,
            proto: self.proto,
        }
    }
}

/// The live connection that a client's packet belongs to.
#[inline(always)]
pub fn find_inbound<A: Addr, S: Sets<A>>(sets: &S, flow: &Flow<A>) -> Option<Entry<A, S::Set>> {
    let wanted = Wanted {
        client: flow.client,
        other: flow.virtual_addr,
        client_port: flow.client_port,
        other_port: flow.virtual_port,
        proto: flow.proto,
        is_reply: false,
    };
    find(sets, wanted)
}

/// The live connection that a packet from a real server to a client belongs to.
#[inline(always)]
pub fn find_outbound<A: Addr, S: Sets<A>>(
    sets: &S,
    proto: u8,
    server: (A, Be16),
    client: (A, Be16),
) -> Option<Entry<A, S::Set>> {
    let wanted = Wanted {
        client: client.0,
        other: server.0,
        client_port: client.1,
        other_port: server.1,
        proto,
        is_reply: true,
    };
    find(sets, wanted)
}

/// Mostly it is where it was to go first: then its own cache line is all that is read. Else the first match at home is
/// it, or there is none; only else it is a search.
#[inline(always)]
fn find<A: Addr, S: Sets<A>>(sets: &S, wanted: Wanted<A>) -> Option<Entry<A, S::Set>> {
    let p = place(wanted.proto, wanted.client, wanted.client_port, sets.seed());
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
    sets.repeat(2 * WAYS as u32 + 2, &mut search);
    if search.found == NONE { None } else { Entry::at(sets, search.found) }
}

/// All entries with a tag, at home and, if something overflowed from there, in the second set.
struct Walk<M> {
    set: M,
    second: M,
    index: u32,
    second_index: u32,
    tag: u8,
    matches: Matches,
    /// 1 in the home set, 0 in the second.
    at_home: u32,
}

impl<M: Mem> Walk<M> {
    #[inline(always)]
    fn new<A: Addr, S: Sets<A, Set = M>>(sets: &S, p: Place) -> Option<Walk<M>> {
        let index = p.home & sets.set_mask();
        let second_index = p.second & sets.set_mask();
        let (set, second) = (sets.set(index)?, sets.set(second_index)?);
        let matches = Matches::of(set, p.tag, Entry::<A, M>::WAYS);
        Some(Walk { set, second, index, second_index, tag: p.tag, matches, at_home: sets.unknown(1) })
    }

    /// The next entry; `Err(true)` at the end, `Err(false)` to go on.
    #[inline(always)]
    fn next<A: Addr>(&mut self) -> Result<Entry<A, M>, bool> {
        if self.matches.any() {
            return Ok(Entry::new(self.set, self.matches.take(), self.index));
        }
        if self.at_home == 0 || self.set.load(OVERFLOWED) == 0 {
            return Err(true);
        }
        self.at_home = 0;
        (self.set, self.index) = (self.second, self.second_index);
        self.matches = Matches::of(self.set, self.tag, Entry::<A, M>::WAYS);
        Err(false)
    }
}

struct Search<A, M> {
    walk: Walk<M>,
    wanted: Wanted<A>,
    found: u32,
}

impl<A: Addr, M: Mem> Step for Search<A, M> {
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

/// Puts a new connection into the table.
#[inline(always)]
pub fn insert<A: Addr, S: Sets<A>>(sets: &S, new: &NewEntry<A>) -> Inserted<A, S::Set> {
    let p = place(new.flow.proto, new.flow.client, new.flow.client_port, sets.seed());
    let Some(entry) = claim(sets, p) else {
        return Inserted::Full;
    };
    let pending = entry.write(new);
    if !rival_wins(sets, p, entry, &new.flow)
        && let Some(live) = entry.publish(pending)
    {
        return Inserted::New(entry, live);
    }
    entry.close(pending);
    release(sets, entry);
    Inserted::Lost
}

/// Claims a way at home, or in the second set, which home then counts.
#[inline(always)]
fn claim<A: Addr, S: Sets<A>>(sets: &S, p: Place) -> Option<Entry<A, S::Set>> {
    let home_index = p.home & sets.set_mask();
    let home = sets.set(home_index)?;
    if let Some(way) = tags::claim(home, p, Entry::<A, S::Set>::WAYS) {
        return Some(Entry::new(home, way, home_index));
    }
    let second_index = p.second & sets.set_mask();
    let second = sets.set(second_index)?;
    home.fetch_add(OVERFLOWED, 1);
    if let Some(way) = tags::claim(second, p, Entry::<A, S::Set>::WAYS)
        && second_index != home_index
    {
        return Some(Entry::new(second, way, second_index));
    }
    home.add(OVERFLOWED, u32::MAX);
    None
}

/// Looks for other entries of the same flow; kills pending ones of higher id. True if one of them wins.
#[inline(always)]
fn rival_wins<A: Addr, S: Sets<A>>(sets: &S, p: Place, mine: Entry<A, S::Set>, flow: &Flow<A>) -> bool {
    let Some(walk) = Walk::new(sets, p) else {
        return true;
    };
    let mut rivals = Rivals { walk, flow: *flow, mine: mine.id, lost: sets.unknown(0) };
    sets.repeat(2 * WAYS as u32 + 2, &mut rivals);
    rivals.lost != 0
}

struct Rivals<A, M> {
    walk: Walk<M>,
    flow: Flow<A>,
    mine: u32,
    lost: u32,
}

impl<A: Addr, M: Mem> Step for Rivals<A, M> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let other: Entry<A, M> = match self.walk.next() {
            Ok(other) => other,
            Err(end) => return end,
        };
        let word = other.word();
        if other.id != self.mine && other.is_inbound(&self.flow) {
            let wins = word.is_live() || word.is_pending() && (other.id < self.mine || !other.close(word));
            self.lost |= wins as u32;
            return wins;
        }
        false
    }
}

/// Gives back the way of an entry that was closed. Only for the one who closed it.
#[inline(always)]
pub fn release<A: Addr, S: Sets<A>>(sets: &S, entry: Entry<A, S::Set>) {
    let p = place(entry.proto(), entry.client(), entry.client_port(), sets.seed());
    let home = p.home & sets.set_mask();
    tags::release(entry.set, entry.way, p.tag);
    if home != entry.id >> 4
        && let Some(set) = sets.set(home)
    {
        set.add(OVERFLOWED, u32::MAX);
    }
}
