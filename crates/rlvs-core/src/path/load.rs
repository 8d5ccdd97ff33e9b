//! A server's load: how many connections it has, and whether that is too many.
//!
//! The upper threshold counts active and inactive connections together. Reaching it takes the server out; it is back
//! when the count falls below the low mark (the lower threshold, or three quarters of the upper one).

use super::{Tables, close_shadow, persist};
use crate::conn::entry::{self, Entry, Word};
use crate::fwd::Method;
use crate::maps::{DestConfig, dest_state::*, global};
use crate::mem::Mem;
use crate::sched::mapping;
use crate::wire::Addr;

/// A new connection: counted as inactive until its state says otherwise.
#[inline(always)]
pub fn bind<M: Mem>(dest: &DestConfig, state: M) {
    state.add(INACTIVE, 1);
    if dest.upper_threshold == 0 {
        state.add(TOTAL, 1);
    } else {
        change_total(dest, state, 1);
    }
}

/// A connection is gone.
#[inline(always)]
pub fn unbind<M: Mem>(dest: &DestConfig, state: M, word: Word) {
    state.add(if word.has(Word::INACTIVE) { INACTIVE } else { ACTIVE }, u32::MAX);
    if state.load(TOTAL) & OVERLOADED == 0 && dest.upper_threshold == 0 {
        state.add(TOTAL, u32::MAX);
    } else {
        change_total(dest, state, u32::MAX);
    }
}

/// The thresholds were edited.
pub fn recompute_overload<M: Mem>(dest: &DestConfig, state: M) {
    change_total(dest, state, 0);
}

/// Count and flag change together, so that of two processors at the threshold neither undoes what the other saw.
#[inline(always)]
fn change_total<M: Mem>(dest: &DestConfig, state: M, delta: u32) {
    let mut tries = 0;
    while tries < 16 {
        let old = state.load(TOTAL);
        let total = (old & !OVERLOADED).wrapping_add(delta) & !OVERLOADED;
        let mut overloaded = old & OVERLOADED;
        if dest.upper_threshold == 0 || total < dest.low_mark {
            overloaded = 0;
        } else if total >= dest.upper_threshold {
            overloaded = OVERLOADED;
        }
        if state.compare_swap(TOTAL, old, total | overloaded) == old {
            return;
        }
        tries += 1;
    }
    // So much company at this server: the next one to come or go puts the flag right.
    state.add(TOTAL, delta);
}

/// Closes an entry whose word was `seen`, and gives its load back; does nothing if somebody else was first.
#[inline(always)]
pub fn close_connection<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>, seen: Word) {
    let (dest_id, control) = (conn.dest(), conn.control());
    if !seen.is_live() || !conn.close(seen) {
        return;
    }
    if seen.has(Word::SHADOW) {
        // It was never anybody's load.
    } else if seen.has(Word::MAPPING) {
        mapping::unbind(tables, dest_id, control);
    } else if let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) {
        if seen.has(Word::TEMPLATE) {
            state.add(PERSISTENT, u32::MAX);
            if conn.call() != 0 {
                tables.forget_call(entry::link(conn.id, seen));
            }
        } else {
            unbind(dest, state, seen);
            if !seen.is_of_ftp() {
                persist::leave(tables, control);
            }
            if seen.method() == Method::FullNat as u8 {
                close_shadow(tables, conn);
            }
        }
    }
    tables.release(conn);
    if let Some(global) = tables.global() {
        if seen.has(Word::EXPECTED) {
            global.add(global::EXPECTED, u32::MAX);
        }
        global.add(global::conns::<A>(), u32::MAX);
    }
}
