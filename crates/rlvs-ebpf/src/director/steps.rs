//! Steps of the story as global functions: the verifier looks at each of them once, by itself, instead of on every
//! path that leads to it. They may take numbers and pointers to plain memory, and return a number.

use crate::tables::{Kernel, Tc};
use core::marker::PhantomData;
use rlvs_core::conn::{self, Flow};
use rlvs_core::path::{Located, locate, open_conn};
use rlvs_core::wire::{Be16, Be32, Packet};

/// Nothing found.
const NOBODY: u64 = u64::MAX;

/// Tables for steps that ask no helper which wants a context.
#[inline(always)]
fn tables() -> Kernel<Tc> {
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

/// Opens a connection for a packet: the code of a [`Located`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_open(packet: *const Packet<Be32>, now: u32) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => open_conn(packet, &tables(), now).code(),
        None => Located::Pass.code(),
    }
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
