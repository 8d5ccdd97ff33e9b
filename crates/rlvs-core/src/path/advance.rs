//! A packet moves its connection's state machine and restarts its timer.

use super::{Tables, is_secure, persist};
use crate::conn::Entry;
use crate::conn::entry::Word;
use crate::maps::{NONE, Settings, dest_state};
use crate::mem::Mem;
use crate::proto::{self, View};
use crate::wire::{Addr, Packet, Part};

/// The next state, its timeout, and, when the connection becomes active or inactive, its server's counts. Of several
/// processors only the one whose swap succeeds moves the counts. `seen` is the entry's word from before `dest` was read
/// from it.
#[inline(always)]
pub fn advance<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    conn: Entry<A, T::Set>,
    seen: Word,
    tables: &T,
    settings: &Settings,
    view: View,
    now: u32,
) {
    let old = conn.word();
    if !old.is_same_life(seen) {
        return; // closed meanwhile; what is in its place now is not this packet's
    }
    if packet.part == Part::Later {
        conn.touch(now, conn.timeout()); // it shows no flags
        return;
    }
    let mut new = old;
    let mut view = view;
    if view == View::Output {
        new = new.with(Word::NO_OUTPUT, false);
    } else {
        conn.count_in_packet();
        if old.has(Word::NO_OUTPUT) {
            view = View::InputOnly;
        }
    }
    let event = proto::event(packet);
    let state = tables.next_state(packet.proto, event, view, old.state(), is_secure(settings, tables));
    let inactive = !proto::is_active(packet.proto, state);
    new = new.with_state(state).with(Word::INACTIVE, inactive);
    if !old.has(Word::ASSURED) && persist::assures(packet, view == View::Output, state) {
        new = new.with(Word::ASSURED, true);
    }
    // Read before the swap: as soon as it succeeded, another processor may close the entry and open another connection in it.
    let (dest_id, link) = (conn.dest(), conn.control());
    if new != old && conn.swap_word(old, new) {
        if new.0 & !old.0 & Word::ASSURED != 0 && link != NONE {
            persist::assure(tables, link);
        }
        if old.has(Word::INACTIVE) != inactive
            && let Some(dest) = tables.dest_state(dest_id)
        {
            let (from, to) = if inactive {
                (dest_state::ACTIVE, dest_state::INACTIVE)
            } else {
                (dest_state::INACTIVE, dest_state::ACTIVE)
            };
            dest.add(from, u32::MAX);
            dest.add(to, 1);
        }
    }
    let timeout = settings.timeouts[proto::timeout_index(packet.proto, state) & 63];
    conn.touch(now, timeout);
}
