//! A server's load: how many connections it has, and whether that is too many.
//!
//! The upper threshold counts active and inactive connections together. Reaching it takes the server out; it is back
//! when the count falls below the low mark (the lower threshold, or three quarters of the upper one).

use super::Tables;
use crate::conn::entry::{Entry, Word};
use crate::conn::release;
use crate::maps::{DestConfig, NONE, dest_state::*, global};
use crate::mem::Mem;
use crate::wire::Addr;

/// A new connection: counted as inactive until its state says otherwise.
#[inline(always)]
pub fn bind<M: Mem>(dest: &DestConfig, state: M) {
    state.add(INACTIVE, 1);
    let before = state.fetch_add(TOTAL, 1);
    if dest.upper_threshold != 0 && before.wrapping_add(1) >= dest.upper_threshold {
        state.store(FLAGS, state.load(FLAGS) | OVERLOADED);
    }
}

/// A connection is gone.
#[inline(always)]
pub fn unbind<M: Mem>(dest: &DestConfig, state: M, word: Word) {
    state.add(if word.has(Word::INACTIVE) { INACTIVE } else { ACTIVE }, u32::MAX);
    let before = state.fetch_add(TOTAL, u32::MAX);
    if state.load(FLAGS) & OVERLOADED != 0 && before.wrapping_sub(1) < dest.low_mark {
        state.store(FLAGS, state.load(FLAGS) & !OVERLOADED);
    }
}

/// The thresholds were edited.
pub fn recompute_overload<M: Mem>(dest: &DestConfig, state: M) {
    let total = state.load(TOTAL);
    let flags = state.load(FLAGS);
    if dest.upper_threshold == 0 || total < dest.low_mark {
        state.store(FLAGS, flags & !OVERLOADED);
    } else if total >= dest.upper_threshold {
        state.store(FLAGS, flags | OVERLOADED);
    }
}

/// Closes an entry whose word was `seen`, and gives its load back; does nothing if somebody else was first.
#[inline(always)]
pub fn close_connection<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>, seen: Word) {
    let dest_id = conn.dest();
    if !seen.is_live() || !conn.close(seen) {
        return;
    }
    if dest_id != NONE
        && let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id))
    {
        if seen.has(Word::TEMPLATE) {
            state.add(PERSISTENT, u32::MAX);
        } else {
            unbind(dest, state, seen);
        }
    }
    release(tables, conn);
    if let Some(global) = tables.global() {
        global.add(global::CONNS, u32::MAX);
    }
}
