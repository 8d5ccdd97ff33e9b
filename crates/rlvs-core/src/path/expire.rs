//! Entries whose time is up.
//!
//! A timer in the kernel sweeps the table, a slice at each tick, so that entries go and counts return with nobody in
//! user space; a packet that meets a due entry first closes it itself.

use super::Tables;
use super::data::keep_control;
use crate::conn::Entry;
use crate::conn::entry::Word;
use crate::conn::tags::{is_empty, tag};
use crate::maps::sysctl::Setting;
use crate::sched::mapping;
use crate::wire::Addr;

/// A template that is due while it has connections lives on for this long (Linux 6.1, `ip_vs_conn_expire`).
pub const HELD_SECS: u32 = 60;

/// Closes all entries of one set that have to go.
#[inline(always)]
pub fn sweep_set<A: Addr, T: Tables<A>>(tables: &T, index: u32, now: u32) {
    let Some(set) = tables.set(index) else {
        return;
    };
    if is_empty(set) {
        return;
    }
    let mut way = 1;
    while way <= Entry::<A, T::Set>::WAYS {
        if tag(set, way) != 0 {
            let conn = Entry::new(set, way, index);
            let word = conn.word();
            if word.is_live() && has_to_go(tables, conn, word, now) {
                tables.close(conn, word);
            } else if word.is_of_ftp() && word.is_live() {
                keep_control(tables, conn, now);
            }
        }
        way += 1;
    }
}

#[inline(always)]
fn has_to_go<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>, word: Word, now: u32) -> bool {
    if is_over(tables, conn, word, now) {
        return true;
    }
    if word.has(Word::MAPPING) {
        return mapping::is_stale(tables, conn, now);
    }
    // With expire_nodest_conn the connections of a deleted server go with it.
    let at_once = tables.settings().is_some_and(|s| s.sysctl(Setting::ExpireNodestConn) != 0);
    at_once
        && !word.is_kept()
        && !word.has(Word::SHADOW)
        && tables.dest(conn.dest()).is_some_and(|d| !d.is_available())
}

/// Is an entry due? A template with connections is not: it lives on. Some of them may have been due before it, and still be
/// there only because the sweep, which takes a second, has not met them yet; and the kernel's own timers of a minute are
/// late by about as much. So only after two seconds its timer starts anew, from when it was due.
#[inline(always)]
pub fn is_over<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>, word: Word, now: u32) -> bool {
    if word.has(Word::SHADOW) {
        return conn.owner(tables).is_none(); // it goes with its owner
    }
    if !conn.has_expired(now) {
        return false;
    }
    if word.has(Word::TEMPLATE) && conn.children() != 0 {
        let overdue = conn.overdue(now);
        if overdue >= tables.hz().wrapping_mul(2) {
            conn.touch(now.wrapping_sub(overdue), tables.hz().wrapping_mul(HELD_SECS));
        }
        return false;
    }
    true
}
