//! A new connection: which service, which server, a new entry.

use super::account::count_connection;
use super::load::bind;
use super::persist::{self, FIRST, Remembered};
use super::service::{FTP, FTP_DATA};
use super::{DropReason, Located, Tables, admit, drops_packet, find_service, flow};
use crate::conn::entry::{NewEntry, Word};
use crate::conn::{Entry, Outcome};
use crate::fwd::translates;
use crate::maps::{DestConfig, NONE, ServiceConfig, global, service_flag};
use crate::mem::Mem;
use crate::proto;
use crate::wire::{Addr, Be16, Packet, Part, ip_proto};

/// Finds a server for the first packet of a flow and opens a connection. The packet gets its mark on the way.
#[inline(always)]
pub fn open_conn<A: Addr, T: Tables<A>>(packet: &mut Packet<A>, tables: &T, now: u32) -> Located {
    if packet.part == Part::Later {
        return Located::Drop(DropReason::FragmentLost);
    }
    if tables.settings().is_some_and(|s| s.mark_rules != 0) {
        packet.mark = tables.mark(packet);
    }
    let service_id = match tables.welcome(packet) {
        Welcome::To(service_id) => service_id,
        Welcome::Not(located) => return located,
    };
    let Some(service) = tables.service(service_id) else {
        return Located::Pass;
    };
    let persistent = service.has(service_flag::PERSISTENT);
    let known = if persistent { tables.remembered(packet, service_id, now) } else { None };
    let chosen = match known {
        Some(known) => known,
        None => {
            let Some(picked) = tables.pick(packet, service_id, now) else {
                return nobody(packet, service);
            };
            if picked.is_new && !tables.moved(packet, service_id, picked.dest) {
                tables.note(packet, service_id, picked.dest, now);
            }
            if picked.surplus != NONE
                && let Some(entry) = Entry::<A, T::Set>::at(tables, picked.surplus)
            {
                tables.close(entry, entry.word());
                tables.set_changed(packet, service_id, now);
            }
            let alone = Remembered { dest: picked.dest, template: NONE };
            if !persistent {
                alone
            } else {
                match tables.remember(packet, service_id, picked.dest, now) {
                    FIRST => match choice_of_the_first(packet, tables, service_id, now) {
                        Some(known) => known,
                        None => return Located::Drop(DropReason::Contended),
                    },
                    template => Remembered { template, ..alone },
                }
            }
        }
    };
    match tables.open_to(packet, service_id, chosen, now) {
        // Another processor was first.
        Located::New => match tables.find_inbound(|| flow(packet)) {
            Some(entry) => Located::Request(entry.id),
            None => Located::Drop(DropReason::Contended),
        },
        opened => opened,
    }
}

/// How often to look for the template of another processor, which needs less than a microsecond to make it live.
const TRIES: u32 = 16;

/// Another processor was first to remember a server for this client: its choice counts, as soon as it can be seen.
#[inline(always)]
fn choice_of_the_first<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Remembered> {
    let mut tries = 0;
    while tries < TRIES {
        let known = tables.remembered(packet, service_id, now);
        if known.is_some() {
            return known;
        }
        tries += 1;
    }
    None
}

/// Whether a packet may open a connection, and to which service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Welcome {
    To(u32),
    Not(Located),
}

/// The service that a packet opens a connection to.
#[inline(always)]
pub fn welcome<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T) -> Welcome {
    const PASS: Welcome = Welcome::Not(Located::Pass);
    let Some(settings) = tables.settings() else {
        return PASS;
    };
    if !admit(packet, settings) {
        return PASS;
    }
    let Some(service_id) = find_service(packet, packet.mark, tables, settings) else {
        return PASS;
    };
    let Some(service) = tables.service(service_id) else {
        return PASS;
    };
    // Scheduled once, and counted once, by the layer that can finish every packet, and read every one.
    let by_call = service.has(service_flag::SIP) && service.has(service_flag::PERSISTENT);
    if packet.from_driver && (by_call || is_alone(packet, service)) {
        return Welcome::Not(Located::Up);
    }
    if drops_packet(settings, tables) {
        return Welcome::Not(Located::Drop(DropReason::Defence));
    }
    // FTP's data port never opens one; another port than the service's (port 0, FTP) needs persistence.
    let by_mark = service.key.protocol == 0;
    let named = by_mark || service.key.port == packet.dport || service.has(service_flag::PERSISTENT);
    if packet.sport == FTP_DATA || !named {
        return PASS;
    }
    if by_call && packet.call == 0 {
        return Welcome::Not(Located::Drop(DropReason::NoCallId));
    }
    Welcome::To(service_id)
}

/// Is the packet scheduled by itself, without a connection?
#[inline(always)]
fn is_alone<A>(packet: &Packet<A>, service: &ServiceConfig) -> bool {
    service.has(service_flag::ONE_PACKET) && packet.proto == ip_proto::UDP
}

/// Opens a connection to the server that was chosen; [`Located::New`] if another processor opened it first.
#[inline(always)]
pub fn open_to<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    chosen: Remembered,
    now: u32,
) -> Located {
    const GONE: Located = Located::NoServer { by_mark: false };
    let dest_id = chosen.dest;
    let Some((settings, service)) = tables.settings().zip(tables.service(service_id)) else {
        return GONE;
    };
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return GONE;
    };
    if is_alone(packet, service) {
        count_connection(dest_id, tables);
        return Located::OnePacket(dest_id);
    }
    let template = persist::join(tables, chosen.template);
    let port = dest_port(packet, service, dest);
    // Replies of DR and TUN pass by: until one is seen, the state machine knows only the client.
    let seen = if translates(dest.method) { 0 } else { Word::NO_OUTPUT };
    let inserted = tables.insert(|| NewEntry {
        flow: flow(packet),
        dest_addr: dest.addr_as(),
        dest_port: port,
        word: Word::new(0, dest.method, Word::INACTIVE | seen),
        dest: dest_id,
        now,
        // Until the packet was delivered; if that fails, nothing else ends the entry.
        timeout: settings.timeouts[proto::timeout_index(packet.proto, 0) & 63],
        control: template,
        mark: packet.mark,
        serial: 0,
    });
    match inserted.outcome {
        Outcome::New => {
            bind(dest, state);
            if let Some(global) = tables.global() {
                global.add(global::conns::<A>(), 1);
            }
            count_connection(dest_id, tables);
            Located::Request(inserted.id)
        }
        Outcome::Lost => {
            persist::leave(tables, template);
            Located::New
        }
        Outcome::Full => {
            persist::leave(tables, template);
            Located::Drop(DropReason::TableFull)
        }
    }
}

/// No server takes the packet.
#[inline(always)]
fn nobody<A: Addr>(packet: &Packet<A>, service: &ServiceConfig) -> Located {
    let data_of_ftp = service.key.port == FTP && packet.dport != FTP;
    if data_of_ftp { Located::Pass } else { Located::NoServer { by_mark: service.key.protocol == 0 } }
}

/// The server's port: its own, unless it has none or the packet is for a port that the service does not name.
#[inline(always)]
pub(super) fn dest_port<A: Addr>(packet: &Packet<A>, service: &ServiceConfig, dest: &DestConfig) -> Be16 {
    let persistent = service.has(service_flag::PERSISTENT);
    let named = !persistent || service.key.port == packet.dport;
    if named && dest.port != Be16(0) { dest.port } else { packet.dport }
}
