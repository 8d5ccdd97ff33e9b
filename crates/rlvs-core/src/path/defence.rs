//! What a director does when it is attacked or overrun: drop some new connections (`drop_packet`), drop entries that are
//! likely to be idle (`drop_entry`), and trust a client only after its server did (`secure_tcp`).
//!
//! Each has a mode: 0 never, 3 always, 1 automatic; an automatic defence that acts shows as 2. Automatic defences act when
//! memory is low. The memory that matters here are the connection tables, which never grow: `amemthresh` counts free entries
//! of IPv4's in pages of 64, and means the same part of IPv6's.

use super::Tables;
use crate::conn::Entry;
use crate::conn::entry::{Word, idle};
use crate::conn::tags::tag;
use crate::maps::sysctl::Setting;
use crate::maps::{Settings, global};
use crate::mem::Mem;
use crate::proto::{sctp, tcp};
use crate::wire::{Addr, ip_proto};

const ALWAYS: u32 = 3;
/// Entries of 64 bytes in a page of 4 KiB.
const ENTRIES_PER_PAGE: u32 = 64;
const GUARD_SECS: u32 = 60;

/// Which automatic defences act, once a second. `capacity`: entries that fit into the tables of IPv4 and IPv6.
#[inline(always)]
pub fn watch<M: Mem>(settings: &Settings, global: M, capacity: [u32; 2]) {
    let free4 = capacity[0].saturating_sub(global.load(global::CONNS)) as u64;
    let free6 = capacity[1].saturating_sub(global.load(global::CONNS6)) as u64;
    // As if that table were as large as IPv4's.
    let free6 = (free6 * capacity[0] as u64).checked_div(capacity[1] as u64).unwrap_or(free4);
    let free = (free4.min(free6) / ENTRIES_PER_PAGE as u64) as u32;
    let wanted = settings.sysctl(Setting::Amemthresh);
    let low = free < wanted;
    let is_automatic = |setting| matches!(settings.sysctl(setting), 1 | 2);
    let bit = |setting, bit| if low && is_automatic(setting) { bit } else { 0 };
    let rate = if low && is_automatic(Setting::DropPacket) {
        // The less is free, the more are dropped.
        wanted.checked_div(wanted.wrapping_sub(free)).unwrap_or(0)
    } else {
        0
    };
    global.store(global::DROP_RATE, rate);
    global.store(
        global::DEFENCE,
        bit(Setting::SecureTcp, global::SECURE) | bit(Setting::DropEntry, global::DROP_ENTRY),
    );
}

/// Shall this new connection be dropped?
#[inline(always)]
pub fn drops_packet<A: Addr, T: Tables<A>>(settings: &Settings, tables: &T) -> bool {
    let mode = settings.sysctl(Setting::DropPacket);
    if mode == 0 {
        return false;
    }
    let Some(global) = tables.global() else {
        return false;
    };
    let rate =
        if mode == ALWAYS { settings.sysctl(Setting::AmDroprate) } else { global.load(global::DROP_RATE) };
    rate != 0 && is_turn(global, global::DROP_COUNTER, rate)
}

/// Counts down; every `rate`th call is the turn, the first one too.
#[inline(always)]
fn is_turn<M: Mem>(global: M, counter: usize, rate: u32) -> bool {
    if global.fetch_add(counter, u32::MAX).wrapping_sub(1) as i32 > 0 {
        return false;
    }
    global.store(counter, rate);
    true
}

/// Do the stricter states apply?
#[inline(always)]
pub fn is_secure<A: Addr, T: Tables<A>>(settings: &Settings, tables: &T) -> bool {
    match settings.sysctl(Setting::SecureTcp) {
        0 => false,
        ALWAYS => true,
        _ => tables.global().is_some_and(|g| g.load(global::DEFENCE) & global::SECURE != 0),
    }
}

/// Are entries to be dropped?
#[inline(always)]
pub fn drops_entries<M: Mem>(settings: &Settings, global: M) -> bool {
    match settings.sysctl(Setting::DropEntry) {
        0 => false,
        ALWAYS => true,
        _ => global.load(global::DEFENCE) & global::DROP_ENTRY != 0,
    }
}

/// Drops what can be spared of a set.
#[inline(always)]
pub fn thin_set<A: Addr, T: Tables<A>>(tables: &T, index: u32, now: u32) {
    let Some((set, global)) = tables.set(index).zip(tables.global()) else {
        return;
    };
    let mut way = 1;
    while way <= Entry::<A, T::Set>::WAYS {
        if tag(set, way) != 0 {
            let conn = Entry::new(set, way, index);
            let word = conn.word();
            if word.is_live() && can_be_spared(conn, word, global, now, tables.hz()) {
                tables.close(conn, word);
            }
        }
        way += 1;
    }
}

/// Half-open connections, templates that never saw a server answer, and those open or UDP ones that were idle for a
/// minute and had few packets: of those with n packets one of n (Linux 6.1, `ip_vs_random_dropentry`, seen from outside).
#[inline(always)]
fn can_be_spared<A: Addr, M: Mem, G: Mem>(
    conn: Entry<A, M>,
    word: Word,
    global: G,
    now: u32,
    hz: u32,
) -> bool {
    if word.has(Word::MAPPING | Word::SHADOW) {
        return false;
    }
    if word.has(Word::TEMPLATE) {
        return conn.children() == 0 && word.state() == 0;
    }
    match conn.proto() {
        ip_proto::TCP if matches!(word.state(), tcp::SYN_RECV | tcp::SYNACK) => return true,
        ip_proto::TCP if word.state() != tcp::ESTABLISHED => return false,
        ip_proto::SCTP if matches!(word.state(), sctp::INIT1 | sctp::INIT) => return true,
        ip_proto::SCTP if word.state() != sctp::ESTABLISHED => return false,
        _ => {}
    }
    if idle(now, conn.last_seen()) < hz.wrapping_mul(GUARD_SECS) {
        return false;
    }
    // One of so many with 0, 1, … packets. (A table, because the verifier of Linux 6.1 does not understand what the compiler
    // makes of the comparison.)
    static RATES: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0];
    let packets = conn.in_packets().min(9) as usize & 15;
    RATES[packets] != 0 && is_turn(global, global::ENTRY_COUNTERS + packets, RATES[packets])
}
