//! FULLNAT: the address and port of the director that a connection's server sees.
//!
//! ```text
//!            client → director                       director → real server
//! request    CIP:cport → VIP:vport                   SIP:sport → RIP:rport
//!            director → client                       real server → director
//! reply      VIP:vport → CIP:cport                   RIP:rport → SIP:sport
//! ```
//!
//! One source may serve many connections, as long as their servers (or ports of these) differ: what must be unique is
//! the flow of the reply. The connection table says whether it is: the reply's flow gets an entry of its own, the
//! [shadow](crate::conn::entry), and of two alike only one goes live. A port that is taken costs another try.

use super::{DropReason, Tables};
use crate::conn::entry::{self, NewEntry, Word};
use crate::conn::{Entry, Flow, Outcome};
use crate::fwd::Method;
use crate::maps::{DestConfig, Settings, SourceConfig, global};
use crate::mem::Mem;
use crate::wire::{Addr, Be16, ip_proto};

/// Ports that are tried. In a pool that is half used up, one connection of 65,536 finds none.
const TRIES: u32 = 16;
/// Ports where no pool says which: below those that Linux gives to the machine's own connections
/// (`ip_local_port_range` begins at 32768).
pub const FIRST_PORT: u16 = 1024;
pub const PORTS: u16 = 32768 - FIRST_PORT;
/// A shadow goes with its owner, not by itself.
const FOREVER: u32 = u32::MAX;

/// Gives a new connection its source; or says why its packet is dropped.
#[inline(always)]
pub fn bind_source<A: Addr, T: Tables<A>>(
    tables: &T,
    conn: Entry<A, T::Set>,
    now: u32,
) -> Result<(), DropReason> {
    if !matches!(conn.proto(), ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP) {
        return Err(DropReason::NoSource); // it has no ports
    }
    if !conn.begin_source() {
        return if conn.has_source() { Ok(()) } else { Err(DropReason::Contended) };
    }
    let mut tries = 0;
    while tries < TRIES {
        match tables.try_source(conn, now) {
            Outcome::New => return Ok(()),
            Outcome::Lost => tries += 1,
            Outcome::Full => break,
        }
    }
    conn.give_up_source();
    Err(DropReason::NoSource)
}

/// Tries one source, for the one who began; [`Outcome::Lost`] if another connection to that server has it.
#[inline(always)]
pub fn try_source<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>, now: u32) -> Outcome {
    let seen = conn.word();
    let Some((settings, dest)) = tables.settings().zip(tables.dest(conn.dest())) else {
        return Outcome::Full;
    };
    let (addr, port) = candidate(tables, settings, dest);
    let inserted = tables.insert(|| NewEntry {
        flow: Flow {
            client: addr,
            client_port: port,
            virtual_addr: conn.dest_addr(),
            virtual_port: conn.dest_port(),
            proto: conn.proto(),
            call: 0,
        },
        dest_addr: conn.client(),
        dest_port: conn.client_port(),
        word: Word::new(0, Method::FullNat as u8, Word::SHADOW),
        dest: conn.dest(),
        now,
        timeout: FOREVER,
        control: entry::link(conn.id, seen),
        mark: 0,
        serial: 0,
    });
    if inserted.outcome == Outcome::New {
        if let Some(global) = tables.global() {
            global.add(global::conns::<A>(), 1);
        }
        conn.set_source(addr, port, entry::link(inserted.id, inserted.word));
    }
    inserted.outcome
}

/// Any address of the pool and any of its ports; without a pool, the address that the route to the server gives.
#[inline(always)]
fn candidate<A: Addr, T: Tables<A>>(tables: &T, settings: &Settings, dest: &DestConfig) -> (A, Be16) {
    let random = tables.random();
    let (first, count) = settings.sources_of(A::FAMILY);
    let chosen = if count == 0 { None } else { tables.source(first + (random >> 16) % count) };
    let none = SourceConfig { addr: dest.tunnel_src, first_port: FIRST_PORT, ports: PORTS, pad: 0 };
    let source = chosen.unwrap_or(&none);
    let port = source.first_port as u32 + (random & 0xffff) % (source.ports as u32).max(1);
    (A::from_words(|i| source.addr[i & 3]), Be16::new(port as u16))
}

/// A connection was closed: its shadow goes, too.
#[inline(always)]
pub fn close_shadow<A: Addr, T: Tables<A>>(tables: &T, conn: Entry<A, T::Set>) {
    let Some(shadow) = conn.shadow(tables) else {
        return;
    };
    if shadow.close(shadow.word()) {
        tables.release(shadow);
        if let Some(global) = tables.global() {
            global.add(global::conns::<A>(), u32::MAX);
        }
    }
}
