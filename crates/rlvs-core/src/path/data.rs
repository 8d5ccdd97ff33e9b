//! FTP's data connections, behind NAT. What the control connection says of them is read by [`proto::ftp`](crate::proto::ftp);
//! here is what follows.
//!
//! A data connection is *expected* first: an entry of the table of a kind of its own, for one end of it is not known before
//! its first packet comes.
//!
//! | | opened by | client's port | virtual port | server's port |
//! |---|---|---|---|---|
//! | passive | the client | any | the server's | as it said |
//! | active | the server | as the client said | 20 | any |
//!
//! Its SYN finds what is expected, and becomes an ordinary connection in its place. (IPVS takes active ones only from the
//! port below the control connection's; many servers use any.) Nobody looks for them where none is expected, as
//! `GLOBAL` tells. An expected connection is bound to its server, like others, and listed in state LISTEN, as by IPVS.
//!
//! While data flows nobody speaks on the control connection; its data connections keep it alive.
//!
//! A server is only asked for ports that are open to everybody (`ip_unprivileged_port_start`): a client might have it say
//! anything in a line that looks like a 227.

use super::load::bind;
use super::{DropReason, HELD_SECS, Located, Tables, flow, is_still};
use crate::conn::entry::{self, Entry, NewEntry, Word};
use crate::conn::{Flow, Outcome};
use crate::maps::{filter_bit, global};
use crate::mem::Mem;
use crate::proto::ftp::{CONTROL, DATA, Said};
use crate::proto::{View, tcp, timeout_index};
use crate::wire::tcp_flags::{ACK, RST, SYN};
use crate::wire::{Addr, Be16, Packet, ip_proto};

/// In place of TCP's: a template may be of the same flow.
const EXPECTED_TCP: u8 = ip_proto::TCP | 0x80;

/// May this be the first packet of a connection that is expected?
#[inline(always)]
pub(super) fn may_be_expected<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T) -> bool {
    packet.proto == ip_proto::TCP
        && packet.tcp_flags & (SYN | ACK | RST) == SYN
        && tables.global().is_some_and(|g| g.load(global::EXPECTED) != 0)
}

/// The connection that was expected, opened by its first packet. If none was, [`Located::New`], or [`Located::Pass`] for a packet of
/// a server to somebody.
#[inline(always)]
pub fn expected<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Located {
    match awaited(packet, tables, now) {
        Located::Request(id) => arrive::<true, _, _>(packet, id, tables, now),
        Located::Reply(id) => arrive::<false, _, _>(packet, id, tables, now),
        other => other,
    }
}

/// First half of that: what is expected, as [`Located::Request`] or [`Located::Reply`]; or what else becomes of the packet. (In the
/// kernel each half has a stack frame of its own.)
#[inline(always)]
pub fn awaited<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Located {
    let passive = tables.find_kept(|| passive_flow(packet.src, packet.dst, packet.dport));
    let is_passive = passive.is_some();
    let found = match passive {
        Some(entry) => Some(entry),
        None => tables.find_kept(|| active_flow(packet.dst, packet.src, packet.dport)),
    };
    match found {
        Some(expected) if expected.has_expired(now) => {
            tables.close(expected, expected.word());
            unexpected(packet, tables)
        }
        Some(expected) if is_passive => Located::Request(expected.id),
        Some(expected) => {
            // The client's port was used before, for a connection with another port of a server.
            if let Some(old) = tables.find_inbound(|| called_back(packet, expected)) {
                tables.close(old, old.word());
            }
            Located::Reply(expected.id)
        }
        None => unexpected(packet, tables),
    }
}

/// Second half: an ordinary connection takes the place of what was expected, the entry of this id.
#[inline(always)]
pub fn arrive<const PASSIVE: bool, A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    id: u32,
    tables: &T,
    now: u32,
) -> Located {
    const CONTENDED: Located = Located::Drop(DropReason::Contended);
    let Some(expected) = Entry::<A, T::Set>::at(tables, id) else {
        return CONTENDED;
    };
    let (word, dest_id) = (expected.word(), expected.dest());
    if !word.is_live() || !word.has(Word::EXPECTED) {
        return CONTENDED; // another processor was first
    }
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return CONTENDED;
    };
    let inserted = tables.insert(|| NewEntry {
        flow: if PASSIVE { flow(packet) } else { called_back(packet, expected) },
        dest_addr: if PASSIVE { expected.dest_addr() } else { packet.src },
        dest_port: if PASSIVE { expected.dest_port() } else { packet.sport },
        word: Word::new(tcp::LISTEN, word.method(), Word::INACTIVE | Word::DATA | Word::ASSURED),
        dest: dest_id,
        now,
        timeout: expected.timeout(),
        control: expected.control(),
        mark: 0,
        serial: 0,
    });
    if inserted.outcome != Outcome::New {
        return CONTENDED;
    }
    bind(dest, state);
    if let Some(global) = tables.global() {
        global.add(global::conns::<A>(), 1);
    }
    tables.close(expected, word);
    if PASSIVE { Located::Request(inserted.id) } else { Located::Reply(inserted.id) }
}

/// The flow of a connection that a server opens.
#[inline(always)]
fn called_back<A: Addr, M: Mem>(packet: &Packet<A>, expected: Entry<A, M>) -> Flow<A> {
    Flow {
        client: packet.dst,
        virtual_addr: expected.dest_addr(),
        client_port: packet.dport,
        virtual_port: expected.dest_port(),
        proto: packet.proto,
        call: 0,
    }
}

#[inline(always)]
fn unexpected<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T) -> Located {
    let (word, bit) = filter_bit(packet.dst.fold());
    let for_us = tables.filter().is_some_and(|f| f.virtual_addrs[word & 2047] & bit != 0);
    if for_us { Located::New } else { Located::Pass }
}

/// What follows from what was said on a control connection. `port` goes with it.
#[inline(always)]
pub fn expect<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    located: Located,
    said: Said,
    port: Be16,
    tables: &T,
    now: u32,
) {
    let (id, view) = match located {
        Located::Request(id) => (id, View::Input),
        Located::Reply(id) => (id, View::Output),
        _ => return,
    };
    let Some((control, settings)) = Entry::at(tables, id).zip(tables.settings()) else {
        return;
    };
    let word = control.word();
    if !word.is_live() || control.virtual_port() != CONTROL || !is_still(packet, control, view) {
        return;
    }
    let is_active = said == Said::Active;
    if !is_active && (port.get() as u32) < settings.unprivileged_port {
        return;
    }
    let (vip, server) = (control.virtual_addr(), control.dest_addr());
    let awaited = || {
        if is_active {
            active_flow(control.client(), server, port)
        } else {
            passive_flow(control.client(), vip, port)
        }
    };
    if let Some(old) = tables.find_kept(awaited) {
        tables.close(old, old.word()); // perhaps of another server
    }
    let dest_id = control.dest();
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return;
    };
    let inserted = tables.insert(|| NewEntry {
        flow: awaited(),
        dest_addr: if is_active { vip } else { server },
        dest_port: if is_active { DATA } else { port },
        word: Word::new(tcp::LISTEN, word.method(), Word::INACTIVE | Word::EXPECTED),
        dest: dest_id,
        now,
        timeout: settings.timeouts[timeout_index(ip_proto::TCP, tcp::LISTEN)],
        control: entry::link(control.id, word),
        mark: 0,
        serial: 0,
    });
    if inserted.outcome == Outcome::New {
        bind(dest, state);
        if let Some(global) = tables.global() {
            global.add(global::conns::<A>(), 1);
            global.add(global::EXPECTED, 1);
        }
    }
}

/// A client will connect to this port of the virtual address.
#[inline(always)]
fn passive_flow<A>(client: A, virtual_addr: A, virtual_port: Be16) -> Flow<A> {
    let client_port = Be16(0);
    Flow { client, virtual_addr, client_port, virtual_port, proto: EXPECTED_TCP, call: 0 }
}

/// A server, which stands where the virtual address does, will connect to this port of the client.
#[inline(always)]
fn active_flow<A>(client: A, server: A, client_port: Be16) -> Flow<A> {
    let virtual_port = Be16(0);
    Flow { client, virtual_addr: server, client_port, virtual_port, proto: EXPECTED_TCP, call: 0 }
}

/// A data connection that is still there keeps its control connection, as IPVS does it: a minute more when it is due.
#[inline(always)]
pub(super) fn keep_control<A: Addr, T: Tables<A>>(tables: &T, data: Entry<A, T::Set>, now: u32) {
    // Each entry is looked at once a second, this one perhaps a little later than the other one.
    const SOON_SECS: u32 = 3;
    if let Some(control) = Entry::<A, T::Set>::control_of(tables, data.control())
        && control.expires_in(now) < tables.hz().wrapping_mul(SOON_SECS)
    {
        control.touch(now, tables.hz().wrapping_mul(HELD_SECS));
    }
}

/// As listings show what is expected: client, virtual side, server; each with its port, 0 for any. (TCP's entries only.)
pub fn shown<A: Addr, M: Mem>(e: Entry<A, M>) -> [(A, Be16); 3] {
    let (client, virt) = ((e.client(), e.client_port()), (e.virtual_addr(), e.virtual_port()));
    let dest = (e.dest_addr(), e.dest_port());
    if e.word().has(Word::EXPECTED) && e.client_port() != Be16(0) {
        [client, dest, virt]
    } else {
        [client, virt, dest]
    }
}
