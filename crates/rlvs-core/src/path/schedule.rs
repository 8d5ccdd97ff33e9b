//! A new connection: which service, which server, a new entry.

use super::account::count_connection;
use super::load::bind;
use super::{DropReason, Located, Tables, admit, find_service, flow};
use crate::conn::entry::{NewEntry, Word};
use crate::conn::{self, Inserted};
use crate::fwd::Method;
use crate::maps::{DestConfig, NONE, ServiceConfig, Settings, global};
use crate::mem::Mem;
use crate::proto;
use crate::sched;
use crate::wire::{Addr, Packet};

/// Finds a server for the first packet of a flow and opens a connection.
#[inline(always)]
pub fn open_conn<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, now: u32) -> Located {
    let Some(settings) = tables.settings() else {
        return Located::Pass;
    };
    if !admit(packet, settings) {
        return Located::Pass;
    }
    let Some(service_id) = find_service(packet, tables, settings) else {
        return Located::Pass;
    };
    let Some(service) = tables.service(service_id) else {
        return Located::Pass;
    };
    let Some(dest_id) = schedule(packet, tables, service_id, service) else {
        return Located::NoServer;
    };
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return Located::NoServer;
    };
    match conn::insert(tables, &new_entry(packet, dest_id, dest, settings, now)) {
        Inserted::New(entry, _) => {
            bind(dest, state);
            if let Some(global) = tables.global() {
                global.add(global::CONNS, 1);
            }
            count_connection(dest_id, tables);
            Located::Request(entry.id)
        }
        Inserted::Lost => match conn::find_inbound(tables, &flow(packet)) {
            Some(entry) => Located::Request(entry.id),
            None => Located::Drop(DropReason::Contended),
        },
        Inserted::Full => Located::Drop(DropReason::TableFull),
    }
}

/// The service's server for this packet.
#[inline(always)]
pub fn schedule<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
) -> Option<u32> {
    // A packet for another port than the service's (port 0, FTP) needs persistence to be followed by its kin.
    if service.key.protocol != 0 && service.key.port != packet.dport {
        return None;
    }
    sched::pick(packet, tables, service_id, service)
}

#[inline(always)]
fn new_entry<A: Addr>(
    packet: &Packet<A>,
    dest_id: u32,
    dest: &DestConfig,
    settings: &Settings,
    now: u32,
) -> NewEntry<A> {
    // Replies of DR and TUN pass by: until one is seen, the state machine knows only the client.
    let seen = if dest.method == Method::Masquerade as u8 { 0 } else { Word::NO_OUTPUT };
    NewEntry {
        flow: flow(packet),
        dest_addr: A::from_words(|i| dest.addr[i & 3]),
        dest_port: if dest.method == Method::Masquerade as u8 { dest.port } else { packet.dport },
        word: Word::new(0, dest.method, Word::INACTIVE | seen),
        dest: dest_id,
        now,
        // Until the packet was delivered; if that fails, nothing else ends the entry.
        timeout: settings.timeouts[proto::timeout_index(packet.proto, 0) & 63],
        control: NONE,
        mark: packet.mark,
    }
}
