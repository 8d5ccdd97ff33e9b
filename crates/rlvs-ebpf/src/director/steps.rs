//! Steps of the story as global functions: the verifier looks at each of them once, by itself, instead of on every
//! path that leads to it. They may take numbers and pointers to plain memory, and return a number.

use crate::maps;
use crate::tables::{Kernel, Tc};
use core::marker::PhantomData;
use rlvs_core::conn::entry::{NewEntry, Word};
use rlvs_core::conn::hash::Place;
use rlvs_core::conn::{self, Entry, Flow};
use rlvs_core::maps::NONE;
use rlvs_core::path::persist::{self, Remembered};
use rlvs_core::path::{
    Located, Tables, Welcome, close_connection, locate, mark_of, open_conn, open_to, welcome,
};
use rlvs_core::proto::{self, View};
use rlvs_core::sched::{self, Picked, lblc, lblcr, mapping};
use rlvs_core::wire::{Be16, Be32, Packet};

/// Nothing found.
pub const NOBODY: u64 = u64::MAX;

/// Tables for steps that ask no helper which wants a context.
#[inline(always)]
pub fn tables() -> Kernel<Tc> {
    Kernel { context: core::ptr::null_mut(), ifindex: 0, layer: PhantomData }
}

/// The id of the connection of a client's packet. `ports`: client's and virtual port as on the wire.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_find_inbound(client: u32, virtual_addr: u32, ports: u32, proto: u32) -> u64 {
    let flow = Flow {
        client: Be32(client),
        virtual_addr: Be32(virtual_addr),
        client_port: Be16(ports as u16),
        virtual_port: Be16((ports >> 16) as u16),
        proto: proto as u8,
    };
    conn::find_inbound(&tables(), &flow).map_or(NOBODY, |e| e.id as u64)
}

/// The id of the connection of a server's packet. `ports`: client's and server's port as on the wire.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_find_outbound(client: u32, server: u32, ports: u32, proto: u32) -> u64 {
    let client = (Be32(client), Be16(ports as u16));
    let server = (Be32(server), Be16((ports >> 16) as u16));
    conn::find_outbound(&tables(), proto as u8, server, client).map_or(NOBODY, |e| e.id as u64)
}

/// The id of the template or mapping of this flow.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_find_kept(flow: *const Flow<Be32>) -> u64 {
    // SAFETY: null, or a flow on the caller's stack.
    match unsafe { flow.as_ref() } {
        Some(flow) => conn::find_kept(&tables(), flow).map_or(NOBODY, |e| e.id as u64),
        None => NOBODY,
    }
}

/// The id of a way that was free and is claimed, for an entry that belongs there; or NONE.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_claim(home: u32, step: u32, tag: u32, way: u32) -> u64 {
    let place = Place { home, step, tag: tag as u8, way: way as u8 };
    conn::claim::<Be32, _>(&tables(), place) as u64
}

/// Is another entry of the same flow there first?
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_rival_wins(new: *const NewEntry<Be32>, mine: u32) -> u64 {
    let tables = tables();
    // SAFETY: null, or an entry on the caller's stack.
    match unsafe { new.as_ref() }.zip(Entry::at(&tables, mine)) {
        Some((new, mine)) => conn::rival_wins(&tables, mine, new) as u64,
        None => 1,
    }
}

/// Gives the way of a closed entry back.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_release(id: u32) -> u64 {
    let tables = tables();
    if let Some(entry) = Entry::at(&tables, id) {
        conn::release(&tables, entry);
    }
    0
}

/// Closes the entry of this id, if its word is still the one that was seen.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_close(id: u32, seen: u32) -> u64 {
    let tables = tables();
    if let Some(entry) = Entry::at(&tables, id) {
        close_connection(&tables, entry, Word(seen));
    }
    0
}

/// The server that a client had, and in the upper half the link to the template that says so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_remembered(packet: *const Packet<Be32>, service: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => persist::remembered(packet, &tables(), service, now).map_or(NOBODY, pair),
        None => NOBODY,
    }
}

/// Remembers a client's server: the link to the template, see `persist::remember`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_remember(packet: *const Packet<Be32>, service: u32, dest: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => persist::remember(packet, &tables(), service, dest, now) as u64,
        None => NONE as u64,
    }
}

#[inline(always)]
fn pair(r: Remembered) -> u64 {
    (r.template as u64) << 32 | r.dest as u64
}

/// The state after a packet, see `rlvs_core::proto::next_state`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_next_state(proto: u32, event: u32, view: u32, state: u32, secure: u32) -> u64 {
    let view = match view {
        0 => View::Input,
        1 => View::Output,
        _ => View::InputOnly,
    };
    proto::next_state(proto as u8, event as u8, view, state as u8, secure != 0) as u64
}

/// Opens a connection for a packet: the code of a [`Located`]. One number, whatever happened, so that the verifier need not
/// follow every way to it through the rest of the story.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_open(packet: *mut Packet<Be32>, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_mut() } {
        Some(packet) => open_conn(packet, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}

/// A packet's firewall mark.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_mark(packet: *const Packet<Be32>) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => mark_of(packet, &tables()) as u64,
        None => 0,
    }
}

/// The service that a packet opens a connection to; above [`NOT`] the code of a [`Located`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_welcome(packet: *const Packet<Be32>) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() }.map(|packet| welcome(packet, &tables())) {
        Some(Welcome::To(service)) => service as u64,
        Some(Welcome::Not(located)) => NOT | located.code(),
        None => NOT | Located::Pass.code(),
    }
}
pub const NOT: u64 = 1 << 63;

/// Opens a connection for a packet to a destination: the code of a [`Located`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_open_to(
    packet: *const Packet<Be32>,
    service: u32,
    dest: u32,
    template: u32,
    now: u32,
) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => open_to(packet, &tables(), service, Remembered { dest, template }, now).code(),
        None => Located::Pass.code(),
    }
}

/// The destination that a service's scheduler picks, or NONE; a function for each group of schedulers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_by_turns(service_id: u32) -> u64 {
    sched::pick_by_turns(&tables(), service_id).unwrap_or(NONE) as u64
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_by_load(service_id: u32) -> u64 {
    sched::pick_by_load(&tables(), service_id).unwrap_or(NONE) as u64
}

/// What the scheduler wlc would pick.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_least(service_id: u32) -> u64 {
    let tables = tables();
    match <Kernel<Tc> as Tables<Be32>>::service(&tables, service_id) {
        Some(service) => sched::wlc::pick(&tables, service).unwrap_or(NONE) as u64,
        None => NONE as u64,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_by_hash(packet: *const Packet<Be32>, service_id: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => sched::pick_by_hash(packet, &tables(), service_id).unwrap_or(NONE) as u64,
        None => NONE as u64,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_lblc(packet: *const Packet<Be32>, service_id: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => lblc::pick(packet, &tables(), service_id, now).map_or(NOBODY, Picked::code),
        None => NOBODY,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_lblcr(packet: *const Packet<Be32>, service_id: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => lblcr::pick(packet, &tables(), service_id, now).map_or(NOBODY, Picked::code),
        None => NOBODY,
    }
}

/// Moves an address to another server, if it has one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_moved(packet: *const Packet<Be32>, service_id: u32, dest: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => mapping::moved(packet, &tables(), service_id, dest) as u64,
        None => 0,
    }
}

/// Notes that an address got a server.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_note(packet: *const Packet<Be32>, service_id: u32, dest: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    if let Some(packet) = unsafe { packet.as_ref() } {
        mapping::note(packet, &tables(), service_id, dest, now);
    }
    0
}

/// Notes that the set of servers of an address was changed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_set_changed(packet: *const Packet<Be32>, service_id: u32, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    if let Some(packet) = unsafe { packet.as_ref() }
        && let Some(service) = maps::SERVICE.get(service_id)
    {
        lblcr::set_changed(packet, &tables(), service, now);
    }
    0
}

/// The first half of the story: the code of a [`Located`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_locate(packet: *const Packet<Be32>, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => locate(packet, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}
