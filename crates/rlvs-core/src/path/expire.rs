//! Connections whose time is up.
//!
//! A timer in the kernel sweeps the table, a slice at each tick, so that entries go and counts return with nobody in
//! user space; a packet that meets a due entry first closes it itself.

use super::{Tables, close_connection};
use crate::conn::Entry;
use crate::conn::tags::tag;
use crate::wire::Addr;

/// Closes all due entries of one set.
#[inline(always)]
pub fn sweep_set<A: Addr, T: Tables<A>>(tables: &T, index: u32, now: u32) {
    let Some(set) = tables.set(index) else {
        return;
    };
    let mut way = 1;
    while way <= Entry::<A, T::Set>::WAYS {
        if tag(set, way) != 0 {
            let conn = Entry::new(set, way, index);
            let word = conn.word();
            if word.is_live() && conn.has_expired(now) {
                close_connection(tables, conn, word);
            }
        }
        way += 1;
    }
}
