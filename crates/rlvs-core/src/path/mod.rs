//! The packet's story, on one screen; each step has a room of its own.
//!
//! [`decide`] is called for every frame that [`wire::parse`](crate::wire::parse) could read. It tells the hands what
//! to do with it; the hands only carry it out. XDP and TC tell the same story: what XDP cannot finish it passes *up*,
//! before anything of the packet was counted, and TC tells the story again with the connection already in the table.

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
pub use decision::{Answer, Decision, DropReason, Forward};
pub use expire::{expire, sweep_set};
pub use hop::{Hop, hop_flag, next_hop, reply_hop};
pub use load::{close_connection, recompute_overload};
pub use schedule::{open_conn, schedule};
pub use service::find_service;
pub use tables::{Candidate, Layer, Look, Tables};

use crate::conn::{self, Entry, Flow};
use crate::fwd;
use crate::maps::{Settings, dest_flag, filter_bit};
use crate::proto::View;
use crate::wire::{Addr, Packet};

/// What happens to a packet. `now` in jiffies.
#[inline(always)]
pub fn decide<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Decision<A> {
    let (Some(settings), Some(filter)) = (tables.settings(), tables.filter()) else {
        return Decision::Pass;
    };
    if settings.services == 0 {
        return Decision::Pass;
    }
    let (word, bit) = filter_bit(packet.dst.fold());
    if filter.virtual_addrs[word & 2047] & bit != 0 {
        match inbound(packet, tables, settings, now) {
            Decision::Pass => {}
            other => return other,
        }
    }
    let (word, bit) = filter_bit(packet.src.fold());
    if filter.real_addrs[word & 2047] & bit != 0 {
        return outbound(packet, tables, settings, now);
    }
    Decision::Pass
}

/// A packet for a virtual address.
#[inline(always)]
fn inbound<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, settings: &Settings, now: u32) -> Decision<A> {
    let conn = match find_conn(packet, tables, settings, now) {
        Some(conn) => conn,
        None => match open_conn(packet, tables, settings, now) {
            Ok(conn) => conn,
            Err(decision) => return decision,
        },
    };
    let Some((dest, state)) = tables.dest(conn.dest()).zip(tables.dest_state(conn.dest())) else {
        return Decision::Pass;
    };
    if !dest.is_available() {
        return gone(dest.flags);
    }
    let hop = next_hop(dest, state, tables, now);
    let decision = fwd::forward(packet, conn, dest, &hop, settings, tables);
    if !tables.can_finish(packet, &decision) {
        return Decision::Up;
    }
    advance(packet, conn, state, settings, View::Input, now);
    account(packet, conn.dest(), View::Input, tables);
    decision
}

/// A packet of a masqueraded real server, on its way back to the client.
#[inline(always)]
fn outbound<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, settings: &Settings, now: u32) -> Decision<A> {
    let server = (packet.src, packet.sport);
    let client = (packet.dst, packet.dport);
    let Some(conn) = conn::find_outbound(tables, packet.proto, server, client) else {
        return Decision::Pass;
    };
    if conn.word().method() != fwd::Method::Masquerade as u8 || conn.has_expired(now) {
        return Decision::Pass;
    }
    let Some(state) = tables.dest_state(conn.dest()) else {
        return Decision::Pass;
    };
    let hop = reply_hop(packet.dst, conn, tables, now);
    let decision = fwd::nat::reply(packet, conn, &hop);
    if !tables.can_finish(packet, &decision) {
        return Decision::Up;
    }
    advance(packet, conn, state, settings, View::Output, now);
    if tables.dest(conn.dest()).is_some_and(|d| d.is_available()) {
        account(packet, conn.dest(), View::Output, tables);
    }
    decision
}

/// The live connection of a client's packet, unless it is due or the packet starts a new one in its place.
#[inline(always)]
fn find_conn<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    settings: &Settings,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    let conn = conn::find_inbound(tables, &flow(packet))?;
    if conn.has_expired(now) {
        expire(tables, conn);
        return None;
    }
    if starts_anew(packet, conn.word(), settings) {
        close_connection(tables, conn, conn.word());
        return None;
    }
    Some(conn)
}

/// The server of this connection was deleted: silence, until it is back or the connection expires. When the whole
/// service was deleted the packet is the stack's.
#[inline(always)]
fn gone<A>(dest_flags: u32) -> Decision<A> {
    if dest_flags & dest_flag::SERVICE_GONE != 0 { Decision::Pass } else { Decision::Drop(DropReason::ServerGone) }
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
