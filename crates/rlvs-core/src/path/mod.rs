//! The packet's story, on one screen; each step has a room of its own.
//!
//! [`decide`] is called for every frame that [`wire::parse`](crate::wire::parse) could read. It tells the hands what
//! to do with it; the hands only carry it out. XDP and TC tell the same story: what XDP cannot finish it passes *up*,
//! before anything of the packet was counted, and TC tells the story again with the connection already in the table.
//!
//! The story has two halves, because in the kernel each gets a stack frame of its own: [`locate`] finds or opens the
//! connection, [`deliver`] plans the packet's way.

mod account;
mod admit;
mod advance;
mod decision;
mod expire;
mod hop;
mod load;
mod schedule;
mod service;
mod tables;

pub use account::account;
pub use admit::{admit, starts_anew};
pub use advance::advance;
pub use decision::{Decision, DropReason, Located, Plan, Verdict};
pub use expire::sweep_set;
pub use hop::{Hop, hop_flag, next_hop, reply_hop};
pub use load::{close_connection, recompute_overload};
pub use schedule::{open_conn, schedule};
pub use service::find_service;
pub use tables::{Candidate, Layer, Look, Tables};

use crate::conn::{Entry, Flow};
use crate::fwd;
use crate::maps::{Settings, dest_flag, filter_bit};
use crate::mem::Mem;
use crate::proto::View;
use crate::wire::{Addr, Packet, icmp};

/// What happens to a packet. `now` in jiffies; `plan` is filled in when the answer is [`Verdict::Forward`].
#[inline(always)]
pub fn decide<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let located = locate(packet, tables, now);
    deliver(packet, located, tables, now, plan)
}

/// First half: which connection the packet belongs to, a new one if need be.
#[inline(always)]
pub fn locate<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Located {
    let (Some(settings), Some(filter)) = (tables.settings(), tables.filter()) else {
        return Located::Pass;
    };
    if settings.services == 0 {
        return Located::Pass;
    }
    let (word, bit) = filter_bit(packet.dst.fold());
    if filter.virtual_addrs[word & 2047] & bit != 0 {
        if let Some(conn) = find_conn(packet, tables, settings, now) {
            return Located::Request(conn.id);
        }
        let opened = tables.open(packet, now);
        if opened != Located::Pass {
            return opened;
        }
    }
    let (word, bit) = filter_bit(packet.src.fold());
    if filter.real_addrs[word & 2047] & bit != 0
        && let Some(conn) = find_reply_conn(packet, tables, now)
    {
        return Located::Reply(conn.id);
    }
    Located::Pass
}

/// Second half: the packet's way, its connection's next state, the counters.
#[inline(always)]
pub fn deliver<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    located: Located,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let (id, view) = match located {
        Located::Request(id) => (id, View::Input),
        Located::Reply(id) => (id, View::Output),
        Located::Pass => return Decision::PASS,
        Located::Drop(reason) => return Decision::drop(reason),
        Located::NoServer => return NO_SERVER,
    };
    let Some((conn, settings)) = Entry::at(tables, id).zip(tables.settings()) else {
        return Decision::PASS;
    };
    let seen = conn.word();
    if !is_still(packet, conn, view) {
        return Decision::drop(DropReason::Contended);
    }
    let Some((dest, state)) = tables.dest(conn.dest()).zip(tables.dest_state(conn.dest())) else {
        return Decision::PASS;
    };
    let decision = match view {
        View::Output => {
            reply_hop(packet.dst, conn, tables, now, &mut plan.hop);
            fwd::nat::reply(packet, conn, plan)
        }
        _ if !dest.is_available() => return gone(dest.flags),
        _ => {
            next_hop(dest, state, tables, now, &mut plan.hop);
            fwd::forward(packet, conn, dest, settings, tables, plan)
        }
    };
    // What a server on this machine gets is counted too; by TC, or it would be counted twice.
    let local = view == View::Input && plan.hop.has(hop_flag::LOCAL);
    if decision == Decision::PASS && !local {
        return Decision::PASS;
    }
    if !tables.can_finish(packet, decision, plan) || (local && T::LAYER == Layer::Driver) {
        return Decision::UP;
    }
    advance(packet, conn, seen, state, settings, view, now);
    if dest.is_available() {
        account(packet, conn.dest(), view, tables);
    }
    decision
}

/// Is the entry that was found still the packet's? Another processor may have closed it meanwhile and opened another
/// connection in its place.
#[inline(always)]
fn is_still<A: Addr, M: Mem>(packet: &Packet<A>, conn: Entry<A, M>, view: View) -> bool {
    if view == View::Output {
        conn.is_outbound(packet.dst, packet.dport, packet.src, packet.sport, packet.proto)
    } else {
        conn.is_inbound(&flow(packet))
    }
}

/// The service has nobody for the packet.
const NO_SERVER: Decision = Decision::answer(icmp::Error::PortUnreachable, DropReason::NoServer);

/// The live connection of a client's packet, unless it is due or the packet starts a new one in its place.
#[inline(always)]
fn find_conn<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    settings: &Settings,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    let conn = tables.find_inbound(&flow(packet))?;
    let seen = conn.word();
    if conn.has_expired(now) || starts_anew(packet, seen, settings) {
        close_connection(tables, conn, seen);
        return None;
    }
    Some(conn)
}

/// The live masqueraded connection of a server's packet.
#[inline(always)]
fn find_reply_conn<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    let server = (packet.src, packet.sport);
    let client = (packet.dst, packet.dport);
    let conn = tables.find_outbound(packet.proto, server, client)?;
    let masqueraded = conn.word().method() == fwd::Method::Masquerade as u8;
    (masqueraded && !conn.has_expired(now)).then_some(conn)
}

/// The server of this connection was deleted: silence, until it is back or the connection expires. When the whole
/// service was deleted the packet is the stack's.
#[inline(always)]
fn gone(dest_flags: u32) -> Decision {
    if dest_flags & dest_flag::SERVICE_GONE != 0 {
        Decision::PASS
    } else {
        Decision::drop(DropReason::ServerGone)
    }
}

/// The flow of a client's packet.
#[inline(always)]
pub fn flow<A: Addr>(packet: &Packet<A>) -> Flow<A> {
    Flow {
        client: packet.src,
        virtual_addr: packet.dst,
        client_port: packet.sport,
        virtual_port: packet.dport,
        proto: packet.proto,
    }
}
