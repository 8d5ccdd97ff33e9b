//! ICMP errors about a connection: they go where its packets go.
//!
//! | from | the quote shows | goes to | NAT rewrites |
//! |---|---|---|---|
//! | the client's side | VIP → client | the real server, like a request | destination; quoted source and port |
//! | a server's side (NAT) | client → real server | the client, like a reply | source; quoted destination and port |
//!
//! (FULLNAT rewrites the other side, too: the quote from a server's side shows the director's own address as source.)
//!
//! Without them path MTU discovery fails (RFC 1191): in DR and TUN the real server sends, but a router's "too big" comes
//! to the VIP, so to the director. An error changes no state and starts no timer; it is counted like a packet. Nothing is
//! ever answered to an error (RFC 1122, section 3.2.2).

use super::{Decision, Located, Plan, Tables, Verdict, account, hop, is_translated, next_hop, owner_of};
use crate::conn::{Entry, Flow};
use crate::fwd::{self, Method};
use crate::maps::filter_bit;
use crate::proto::View;
use crate::wire::{Addr, Packet, Quote};

/// First half: the connection that an ICMP error is about, as [`Located::Request`] or [`Located::Reply`] by the way the
/// error has to go; else [`Located::Pass`].
#[inline(always)]
pub fn locate_related<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    quote: &Quote<A>,
    tables: &T,
    now: u32,
) -> Located {
    let (Some(settings), Some(filter)) = (tables.settings(), tables.filter()) else {
        return Located::Pass;
    };
    if settings.services[(A::WORDS > 1) as usize] == 0 || packet.dst != quote.src {
        return Located::Pass;
    }
    let (word, bit) = filter_bit(quote.src.fold());
    if filter.virtual_addrs[word & 2047] & bit != 0
        && let Some(conn) = tables.find_inbound(|| request_of(quote))
        && !conn.has_expired(now)
    {
        return Located::Request(conn.id);
    }
    let (word, bit) = filter_bit(quote.dst.fold());
    if filter.real_addrs[word & 2047] & bit != 0
        && let Some(conn) =
            tables.find_outbound(quote.proto, (quote.dst, quote.dport), (quote.src, quote.sport))
        && is_translated(conn)
        && !conn.has_expired(now)
    {
        return Located::Reply(conn.id);
    }
    Located::Pass
}

/// The flow of the requests that a quoted reply belongs to.
#[inline(always)]
fn request_of<A: Addr>(quote: &Quote<A>) -> Flow<A> {
    Flow {
        client: quote.dst,
        virtual_addr: quote.src,
        client_port: quote.dport,
        virtual_port: quote.sport,
        proto: quote.proto,
        call: 0,
    }
}

/// Second half: the error's way; `plan` is filled in when the answer is [`Verdict::Forward`].
#[inline(always)]
pub fn deliver_related<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    located: Located,
    tables: &T,
    now: u32,
    plan: &mut Plan<A>,
) -> Decision {
    let (id, view) = match located {
        Located::Request(id) => (id, View::Input),
        Located::Reply(id) => (id, View::Output),
        _ => return Decision::PASS,
    };
    let Some((found, settings)) = Entry::at(tables, id).zip(tables.settings()) else {
        return Decision::PASS;
    };
    let Some(conn) = owner_of(found, tables, now) else {
        return Decision::PASS;
    };
    let dest_id = conn.dest();
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return Decision::PASS;
    };
    let decision = if view == View::Output {
        let client = fwd::nat::receiver(packet, found);
        hop::reply_hop(client.0, packet.segment_len, found, tables, now, &mut plan.hop);
        fwd::nat::reply(packet, conn, client, plan)
    } else {
        next_hop(dest, state, tables, now, &mut plan.hop);
        let (method, addr, port) = (conn.word().method(), conn.dest_addr(), conn.dest_port());
        let target = fwd::Target { dest: dest_id, method, addr, port };
        let decision = fwd::forward(packet, &target, dest, settings, tables, plan);
        if method == Method::FullNat as u8 {
            if !conn.has_source() {
                return Decision::PASS; // nothing was sent yet that an error could be about
            }
            (plan.edit.rewrite.src, plan.edit.rewrite.sport) = (conn.source(), conn.source_port());
        }
        decision
    };
    // A deleted server still learns of its connections, as with IPVS, but nothing is counted for it any more.
    if decision != Decision::PASS && dest.is_available() {
        account(packet, dest_id, view, tables);
    }
    match decision.verdict() {
        Verdict::Answer(_, reason) => Decision::drop(reason),
        _ => decision,
    }
}
