//! Finding and inserting, without a lock.
//!
//! Inserting: claim a free way by swapping its tag from 0, write the entry, make it *pending*, then look for rivals:
//! another processor may be opening the same connection at this moment. Both made themselves visible before they
//! looked, so at least one sees the other. A live rival wins; between two pending ones the lower way wins and kills
//! the other by swapping its word to *free*, which makes the other's step to *live* fail. So exactly one goes live.

use super::entry::{Entry, NewEntry, Word};
use super::hash::{Place, place};
use super::{Flow, WAYS};
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

/// The live connection that a client's packet belongs to.
#[inline(always)]
pub fn find_inbound<A: Addr, S: Sets<A>>(sets: &S, flow: &Flow<A>) -> Option<Entry<A, S::Set>> {
    let p = place(flow.proto, flow.client, flow.client_port, sets.seed());
    find(sets, p, |e| e.is_inbound(flow))
}

/// The live connection that a packet from a real server to a client belongs to.
#[inline(always)]
pub fn find_outbound<A: Addr, S: Sets<A>>(
    sets: &S,
    proto: u8,
    server: (A, Be16),
    client: (A, Be16),
) -> Option<Entry<A, S::Set>> {
    let p = place(proto, client.0, client.1, sets.seed());
    find(sets, p, |e| e.is_outbound(client.0, client.1, server.0, server.1, proto))
}

#[inline(always)]
fn find<A: Addr, S: Sets<A>>(
    sets: &S,
    p: Place,
    is_it: impl Fn(Entry<A, S::Set>) -> bool + Copy,
) -> Option<Entry<A, S::Set>> {
    let mut index = p.home & sets.set_mask();
    let mut set = sets.set(index)?;
    let mut overflowed = set.load(0) != 0;
    loop {
        let mut way = 1;
        while way <= Entry::<A, S::Set>::WAYS {
            if set.load(way) == p.tag {
                let e = Entry::new(set, way, index);
                if is_it(e) && e.word().is_live() {
                    return Some(e);
                }
            }
            way += 1;
        }
        if !overflowed {
            return None;
        }
        overflowed = false;
        index = p.second & sets.set_mask();
        set = sets.set(index)?;
    }
}

/// Puts a new connection into the table.
#[inline(always)]
pub fn insert<A: Addr, S: Sets<A>>(sets: &S, new: &NewEntry<A>) -> Inserted<A, S::Set> {
    let p = place(new.flow.proto, new.flow.client, new.flow.client_port, sets.seed());
    let home_index = p.home & sets.set_mask();
    let second_index = p.second & sets.set_mask();
    let (Some(home), Some(second)) = (sets.set(home_index), sets.set(second_index)) else {
        return Inserted::Full;
    };
    let (entry, at_home) = match claim::<A, S::Set>(home, p.tag) {
        Some(way) => (Entry::new(home, way, home_index), true),
        None => {
            home.fetch_add(0, 1);
            match claim::<A, S::Set>(second, p.tag) {
                Some(way) => (Entry::new(second, way, second_index), false),
                None => {
                    home.add(0, u32::MAX);
                    return Inserted::Full;
                }
            }
        }
    };
    let pending = entry.write(new);
    if !rivals_win(home, home_index, entry, at_home, true, p.tag, &new.flow)
        && !(home.load(0) != 0 && rivals_win(second, second_index, entry, at_home, false, p.tag, &new.flow))
        && let Some(live) = entry.publish(pending)
    {
        return Inserted::New(entry, live);
    }
    entry.close(pending);
    release(sets, entry);
    Inserted::Lost
}

/// Claims a free way by its tag.
#[inline(always)]
fn claim<A: Addr, M: Mem>(set: M, tag: u32) -> Option<usize> {
    let mut way = 1;
    while way <= Entry::<A, M>::WAYS {
        if set.load(way) == 0 && set.compare_swap(way, 0, tag) == 0 {
            return Some(way);
        }
        way += 1;
    }
    None
}

/// Looks for other entries of the same flow in one set; kills pending ones of higher rank. True if one of them wins.
#[inline(always)]
fn rivals_win<A: Addr, M: Mem>(
    set: M,
    index: u32,
    mine: Entry<A, M>,
    mine_at_home: bool,
    is_home: bool,
    tag: u32,
    flow: &Flow<A>,
) -> bool {
    let mut way = 1;
    while way <= WAYS {
        if way <= Entry::<A, M>::WAYS && set.load(way) == tag {
            let other = Entry::<A, M>::new(set, way, index);
            let word = other.word();
            if other.id != mine.id && other.is_inbound(flow) {
                let other_ranks_first = if is_home == mine_at_home { way < mine.way } else { is_home };
                if word.is_live() || word.is_pending() && (other_ranks_first || !other.close(word)) {
                    return true;
                }
            }
        }
        way += 1;
    }
    false
}

/// Gives back the way of an entry that was closed. Only for the one who closed it.
#[inline(always)]
pub fn release<A: Addr, S: Sets<A>>(sets: &S, entry: Entry<A, S::Set>) {
    let p = place(entry.proto(), entry.client(), entry.client_port(), sets.seed());
    let home = p.home & sets.set_mask();
    entry.release();
    if home != entry.id >> 4
        && let Some(set) = sets.set(home)
    {
        set.add(0, u32::MAX);
    }
}
