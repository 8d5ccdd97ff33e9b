//! The packet's story, on one screen; each step has a room of its own.
//!
//! [`decide`] is called for every frame that [`wire::parse`](crate::wire::parse) could read. It tells the hands what
//! to do with it; the hands only carry it out. XDP and TC tell the same story: what XDP cannot finish it passes *up*,
//! before anything of the packet was counted, and TC tells the story again with the connection already in the table.
//!
//! The story has parts, because in the kernel each gets a stack frame of its own: [`locate`] finds the connection,
//! [`data::expected`] opens one that was expected (FTP), [`open_conn`] any other, [`deliver`] plans the packet's way.

mod account;
mod admit;
mod advance;
pub mod data;
mod decision;
mod defence;
pub mod estimate;
mod expire;
pub mod fragment;
pub mod handing;
mod hop;
pub mod limit;
mod load;
pub mod persist;
mod related;
mod schedule;
mod service;
mod source;
mod tables;

pub use account::account;
pub use admit::{admit, starts_anew};
pub use advance::advance;
pub use decision::{Decision, DropReason, Located, Plan, Verdict};
pub use defence::{drops_entries, drops_packet, is_secure, thin_set, watch};
pub use expire::{HELD_SECS, is_over, sweep_set};
pub use hop::{Hop, MTU_EXPIRES_SECS, hop_flag, next_hop, reply_hop};
pub use load::{close_connection, recompute_overload};
pub use related::{deliver_related, locate_related};
pub use schedule::{Welcome, open_conn, open_to, welcome};
pub use service::{find_service, mark_of};
pub use source::{FIRST_PORT, PORTS, bind_source, close_shadow, try_source};
pub use tables::{Candidate, Layer, Look, Tables};

use crate::conn::entry::Word;
use crate::conn::{Entry, Flow};
use crate::fwd::{self, Method};
use crate::maps::sysctl::Setting;
use crate::maps::{DestConfig, Settings, filter_bit};
use crate::mem::Mem;
use crate::proto::View;
use crate::wire::{Addr, Be16, Packet, icmp, ip_proto};

/// What happens to a packet. `now` in jiffies; `plan` is filled in when the answer is [`Verdict::Forward`].
#[inline(always)]
pub fn decide<A: Addr, T: Tables<A>>(
    packet: &mut Packet<A>,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let mut located = locate(packet, tables, now);
    if located == Located::Awaited {
        located = data::expected(packet, tables, now);
    }
    if located == Located::New {
        located = open_conn(packet, tables, now);
    }
    finish(packet, located, tables, now, plan)
}

/// The second half, with the step that the first packet of a connection needs where it gets a source (FULLNAT).
#[inline(always)]
pub fn finish<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    located: Located,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let decision = deliver(packet, located, tables, now, plan);
    if T::LAYER == Layer::Driver || decision != Decision::UP {
        return decision;
    }
    match give_source(located, tables, now) {
        Ok(()) => deliver(packet, located, tables, now, plan),
        Err(reason) => Decision::drop(reason),
    }
}

/// First half: which connection the packet belongs to; [`Located::New`] if it may open one.
#[inline(always)]
pub fn locate<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Located {
    let (Some(settings), Some(filter)) = (tables.settings(), tables.filter()) else {
        return Located::Pass;
    };
    if settings.services[(A::WORDS > 1) as usize] == 0 {
        return Located::Pass;
    }
    let (word, bit) = filter_bit(packet.dst.fold());
    let for_us = filter.virtual_addrs[word & 2047] & bit != 0;
    if for_us && let Some(conn) = find_conn(packet, tables, settings, now) {
        return Located::Request(conn.id);
    }
    let (word, bit) = filter_bit(packet.src.fold());
    let from_server = filter.real_addrs[word & 2047] & bit != 0;
    if from_server && let Some(conn) = find_reply_conn(packet, tables, now) {
        return Located::Reply(conn.id);
    }
    if (for_us || from_server) && data::may_be_expected(packet, tables) {
        return Located::Awaited;
    }
    if for_us { Located::New } else { Located::Pass }
}

/// Second half: the packet's way, its connection's next state, the counters. In TC [`Decision::UP`] says that the
/// connection needs a source first ([`bind_source`]).
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
        Located::Pass | Located::New | Located::Awaited => return Decision::PASS,
        Located::Up => return Decision::UP,
        Located::Drop(reason) => return Decision::drop(reason),
        Located::NoServer { by_mark } => return no_server(packet, by_mark, tables, &mut plan.hop),
        Located::OnePacket(dest) => return deliver_alone(packet, dest, tables, now, plan),
    };
    let Some((found, settings)) = Entry::at(tables, id).zip(tables.settings()) else {
        return Decision::PASS;
    };
    let Some(conn) = owner_of(found, tables, now) else {
        return Decision::PASS;
    };
    let seen = conn.word();
    if !is_still(packet, found, view) {
        return Decision::drop(DropReason::Contended);
    }
    let dest_id = conn.dest();
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return Decision::PASS;
    };
    let decision = match view {
        View::Output => {
            let client = fwd::nat::receiver(packet, found);
            reply_hop(client.0, packet.segment_len, found, tables, now, &mut plan.hop);
            fwd::nat::reply(packet, conn, client, plan)
        }
        _ if !dest.is_available() => return gone(tables, conn, seen, settings),
        _ => {
            next_hop(dest, state, tables, now, &mut plan.hop);
            let (addr, port) = (conn.dest_addr(), conn.dest_port());
            let target = fwd::Target { dest: dest_id, method: seen.method(), addr, port };
            let decision = fwd::forward(packet, &target, dest, settings, tables, plan);
            if seen.method() == Method::FullNat as u8 && decision.is_sent() {
                if !conn.has_source() {
                    return Decision::UP;
                }
                (plan.edit.rewrite.src, plan.edit.rewrite.sport) = (conn.source(), conn.source_port());
            }
            decision
        }
    };
    // The client's address is handed on in TC alone; to the end, whatever the destination is told meanwhile.
    if packet.proto == ip_proto::TCP
        && seen.method() == Method::FullNat as u8
        && (dest.hands_on() || conn.knows_first())
    {
        if T::LAYER == Layer::Driver {
            return Decision::UP;
        }
        plan.edit.handing = conn.id.wrapping_add(1);
    }
    // What a server on this machine gets is counted too; by TC, or it would be counted twice.
    let local = view == View::Input && plan.hop.has(hop_flag::LOCAL);
    if decision == Decision::PASS && !local {
        return Decision::PASS;
    }
    if !tables.can_finish(packet, decision, plan) || (local && T::LAYER == Layer::Driver) {
        return Decision::UP;
    }
    advance(packet, conn, seen, tables, settings, view, now);
    if dest.is_available() {
        account(packet, dest_id, view, tables);
    }
    decision
}

/// The connection itself, where a shadow was found; none if that is over.
#[inline(always)]
fn owner_of<A: Addr, T: Tables<A>>(
    found: Entry<A, T::Set>,
    tables: &T,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    if !found.word().has(Word::SHADOW) {
        return Some(found);
    }
    found.owner(tables).filter(|conn| !conn.has_expired(now))
}

/// FULLNAT: the first packet of a connection, which [`deliver`] did not finish, chooses its source; in TC.
#[inline(always)]
fn give_source<A: Addr, T: Tables<A>>(located: Located, tables: &T, now: u32) -> Result<(), DropReason> {
    let Located::Request(id) = located else {
        return Err(DropReason::ServerGone);
    };
    Entry::at(tables, id).map_or(Err(DropReason::ServerGone), |conn| bind_source(tables, conn, now))
}

/// A packet without connection (one-packet scheduling) and its way.
#[inline(always)]
fn deliver_alone<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    dest_id: u32,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let found = tables.dest(dest_id).zip(tables.dest_state(dest_id)).zip(tables.settings());
    let Some(((dest, state), settings)) = found else {
        return Decision::PASS;
    };
    next_hop(dest, state, tables, now, &mut plan.hop);
    let decision = fwd::forward(packet, &target_of(packet, dest_id, dest), dest, settings, tables, plan);
    account(packet, dest_id, View::Input, tables);
    decision
}

/// Where a packet without connection goes.
#[inline(always)]
fn target_of<A: Addr>(packet: &Packet<A>, id: u32, dest: &DestConfig) -> fwd::Target<A> {
    fwd::Target {
        dest: id,
        method: dest.method,
        addr: dest.addr_as(),
        port: if dest.port == Be16(0) { packet.dport } else { dest.port },
    }
}

/// Is the entry that was found still the packet's? Another processor may have closed it meanwhile and opened another
/// connection in its place.
#[inline(always)]
fn is_still<A: Addr, M: Mem>(packet: &Packet<A>, conn: Entry<A, M>, view: View) -> bool {
    if view == View::Output {
        let (server, client) = ((packet.src, packet.sport), (packet.dst, packet.dport));
        conn.is_answered_by(&Flow::of_reply(packet.proto, server, client))
    } else {
        conn.is_inbound(&flow(packet))
    }
}

/// The service has nobody for the packet: its sender learns it from the address it asked, if that is ours.
#[inline(always)]
fn no_server<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    by_mark: bool,
    tables: &T,
    hop: &mut Hop<A>,
) -> Decision {
    if by_mark {
        tables.route(packet.dst, hop);
        if !hop.has(hop_flag::LOCAL) {
            let bypass = tables.settings().is_some_and(|s| s.sysctl(Setting::CacheBypass) != 0);
            return if bypass { Decision::PASS } else { Decision::drop(DropReason::NoServer) };
        }
    }
    Decision::answer(icmp::Error::PortUnreachable, DropReason::NoServer)
}

/// The live connection of a client's packet, unless it is due or the packet starts a new one in its place.
#[inline(always)]
fn find_conn<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    settings: &Settings,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    let conn = tables.find_inbound(|| flow(packet))?;
    let seen = conn.word();
    if conn.has_expired(now) || starts_anew(packet, conn, seen, settings, tables) {
        tables.close(conn, seen);
        return None;
    }
    Some(conn)
}

/// The live connection of a server's packet, if its replies are translated.
#[inline(always)]
fn find_reply_conn<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    now: u32,
) -> Option<Entry<A, T::Set>> {
    let server = (packet.src, packet.sport);
    let client = (packet.dst, packet.dport);
    let conn = tables.find_outbound(packet.proto, server, client)?;
    (is_translated(conn) && !conn.has_expired(now)).then_some(conn)
}

/// Does a server's packet that found this entry have to be translated back? (With FULLNAT only what is addressed to the
/// source is, which the shadow stands for.)
#[inline(always)]
fn is_translated<A: Addr, M: Mem>(conn: Entry<A, M>) -> bool {
    let word = conn.word();
    word.method() == Method::Masquerade as u8 || word.has(Word::SHADOW)
}

/// The server of this connection was deleted: silence, until it is back or the connection expires; with
/// `expire_nodest_conn` it does so at once.
#[inline(always)]
fn gone<A: Addr, T: Tables<A>>(
    tables: &T,
    conn: Entry<A, T::Set>,
    seen: Word,
    settings: &Settings,
) -> Decision {
    if settings.sysctl(Setting::ExpireNodestConn) != 0 {
        tables.close(conn, seen);
    }
    Decision::drop(DropReason::ServerGone)
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
        call: 0,
    }
}
