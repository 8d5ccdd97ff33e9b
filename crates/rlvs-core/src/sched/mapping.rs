//! Mappings of lblc and lblcr: which server a destination address got, as entries of the connection table.
//!
//! A mapping's flow is (destination address, service, kind); it has no ports and is found only by all of that. It holds
//! a place in the table like a connection, is forgotten by the same sweep, and counts in its server's `MAPPINGS`, so that
//! a deleted server's slot is not given away while somebody points to it.

use crate::conn::entry::{Entry, NewEntry, Word, idle};
use crate::conn::{Flow, Outcome};
use crate::maps::sysctl::Setting;
use crate::maps::{ServiceConfig, dest_state, global, sched_state};
use crate::mem::Mem;
use crate::path::Tables;
use crate::wire::{Addr, Be16, Be32, Packet};

/// Stand in the flow where a connection has its protocol; no packet has these (IANA keeps them for experiments, and
/// nothing else opens connections here).
pub const LBLC: u8 = 253;
pub const LBLCR: u8 = 254;

/// How many mappings a service may have before the idle ones go, and at most.
pub const MANY: u32 = 16 * 1024;
const TOO_MANY: u32 = MANY / 2 * 3;
/// How long they must be idle then.
const IDLE_SECS: u32 = 6 * 60;

/// The flow of the mappings of an address. The service's serial number, not its slot: a slot is used again.
#[inline(always)]
pub fn flow<A: Addr>(addr: A, service: &ServiceConfig, kind: u8) -> Flow<A> {
    Flow {
        client: addr,
        virtual_addr: A::from_words(|i| Be32(if i == 0 { service.serial } else { 0 })),
        client_port: Be16(0),
        virtual_port: Be16(0),
        proto: kind,
        call: 0,
    }
}

/// Notes that an address got this server: with lblc it has no other, with lblcr it is one of several. Does nothing where there
/// is no room: then the choice is made anew the next time.
#[inline(always)]
pub fn note<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, service_id: u32, dest_id: u32, now: u32) {
    let Some((settings, service)) = tables.settings().zip(tables.service(service_id)) else {
        return;
    };
    let Some((sched, dest)) = tables.sched_state(service_id).zip(tables.dest_state(dest_id)) else {
        return;
    };
    let kind = super::mapping_kind(service.scheduler);
    let (expiration, serial) = if kind == LBLC {
        (Setting::LblcExpiration, 0)
    } else {
        let serial = sched.fetch_add(sched_state::SERIAL, 1).wrapping_add(1).max(1);
        (Setting::LblcrExpiration, serial)
    };
    if sched.load(sched_state::MAPPINGS) >= TOO_MANY {
        return;
    }
    let inserted = tables.insert(|| NewEntry {
        flow: flow(packet.dst, service, kind),
        dest_addr: A::from_words(|_| Be32(0)),
        dest_port: Be16(0),
        word: Word::new(0, 0, Word::MAPPING),
        dest: dest_id,
        now,
        timeout: settings.sysctl(expiration).wrapping_mul(tables.hz()),
        control: service_id,
        mark: now,
        serial,
    });
    if inserted.outcome == Outcome::New {
        dest.add(dest_state::MAPPINGS, 1);
        sched.add(sched_state::MAPPINGS, 1);
        if let Some(global) = tables.global() {
            global.add(global::conns::<A>(), 1);
        }
    }
}

/// With lblc an address that has a server gets another one: false if it has none.
#[inline(always)]
pub fn moved<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, service_id: u32, to: u32) -> bool {
    let Some(service) = tables.service(service_id) else {
        return false;
    };
    if super::mapping_kind(service.scheduler) != LBLC {
        return false;
    }
    let Some(entry) = tables.find_kept(|| flow(packet.dst, service, LBLC)) else {
        return false;
    };
    let from = entry.dest();
    if from != to
        && let Some((old, new)) = tables.dest_state(from).zip(tables.dest_state(to))
        && entry.swap_dest(from, to)
    {
        new.add(dest_state::MAPPINGS, 1);
        old.add(dest_state::MAPPINGS, u32::MAX);
    }
    true
}

/// Shall a mapping go before its time: its service is gone or schedules otherwise, or has too many of them?
#[inline(always)]
pub fn is_stale<A: Addr, T: Tables<A>>(tables: &T, entry: Entry<A, T::Set>, now: u32) -> bool {
    let service_id = entry.control();
    let Some((service, sched)) = tables.service(service_id).zip(tables.sched_state(service_id)) else {
        return true;
    };
    if service.serial != entry.virtual_addr().word(0).0
        || super::mapping_kind(service.scheduler) != entry.proto()
    {
        return true;
    }
    let old = idle(now, entry.last_seen()) >= tables.hz().wrapping_mul(IDLE_SECS);
    old && sched.load(sched_state::MAPPINGS) > MANY
}

/// A mapping is gone.
#[inline(always)]
pub fn unbind<A: Addr, T: Tables<A>>(tables: &T, dest: u32, service: u32) {
    if let Some(state) = tables.dest_state(dest) {
        state.add(dest_state::MAPPINGS, u32::MAX);
    }
    if let Some(sched) = tables.sched_state(service) {
        sched.add(sched_state::MAPPINGS, u32::MAX);
    }
}
