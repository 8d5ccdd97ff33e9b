//! Persistence: a client that comes again gets the server it had.
//!
//! A *template* remembers it: an entry of the connection table from the client's network (by the service's mask), port 0,
//! to what the service stands for, and the server. Which connections share one template:
//!
//! | service | template's protocol, virtual address and port |
//! |---|---|
//! | a port | the packet's; the port |
//! | port 21, port 0 | the packet's; port 0: FTP's data connections, all ports |
//! | firewall mark | 0; the mark as an address; port 0: all protocols, addresses and ports of the mark |
//!
//! With persistence engine `sip` a template is for one call of a client: the Call-ID of the message that opens the
//! connection counts too, and its text is kept for listings.
//!
//! Each new connection starts the template's timer anew, and its connections keep it alive. It becomes *assured* when one of
//! them is established, or a server answered (UDP).

use super::service::FTP;
use super::{HELD_SECS, Tables, is_over};
use crate::conn::entry::{self, Entry, NewEntry, Word};
use crate::conn::{Flow, Outcome};
use crate::maps::sysctl::Setting;
use crate::maps::{DestConfig, NONE, ServiceConfig, Settings, dest_state, global, service_flag};
use crate::mem::Mem;
use crate::proto::tcp;
use crate::wire::{Addr, Be16, Be32, Packet, ip_proto};

/// A template's state once its service was seen to work.
pub const ASSURED: u8 = 1;

/// A server, and a link to the template that remembers it (or `NONE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remembered {
    pub dest: u32,
    pub template: u32,
}

/// The server this client had, if it may still be used.
#[inline(always)]
pub fn remembered<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Remembered> {
    let (settings, service) = tables.settings().zip(tables.service(service_id))?;
    let template = tables.find_kept(|| template_flow(packet, service))?;
    let word = template.word();
    if is_over(tables, template, word, now) {
        tables.close(template, word);
        return None;
    }
    if !is_valid(tables.dest(template.dest()), settings) {
        template.set_aside();
        return None;
    }
    // It was due this very second, but has connections.
    let is_held = template.has_expired(now);
    let timeout = if is_held { tables.hz().wrapping_mul(HELD_SECS) } else { template.timeout() };
    template.touch(now, timeout);
    Some(Remembered { dest: template.dest(), template: entry::link(template.id, word) })
}

/// Another processor has remembered a server for the client first.
pub const FIRST: u32 = NONE - 1;

/// Remembers the server that was chosen: a link to the template, `NONE` where there is no room for one, or [`FIRST`].
#[inline(always)]
pub fn remember<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    dest_id: u32,
    now: u32,
) -> u32 {
    let Some(service) = tables.service(service_id) else {
        return NONE;
    };
    let Some((dest, state)) = tables.dest(dest_id).zip(tables.dest_state(dest_id)) else {
        return NONE;
    };
    let inserted = tables.insert(|| NewEntry {
        flow: template_flow(packet, service),
        dest_addr: dest.addr_as(),
        dest_port: if is_named(packet, service) { dest.port } else { Be16(0) },
        word: Word::new(0, dest.method, Word::TEMPLATE),
        dest: dest_id,
        now,
        timeout: service.persist_timeout,
        control: NONE,
        mark: 0,
        serial: 0,
    });
    match inserted.outcome {
        Outcome::New => {
            state.add(dest_state::PERSISTENT, 1);
            if let Some(global) = tables.global() {
                global.add(global::conns::<A>(), 1);
            }
            let link = entry::link(inserted.id, inserted.word);
            if service.has(service_flag::SIP) && packet.call != 0 {
                tables.keep_call(link);
            }
            link
        }
        Outcome::Lost => FIRST,
        Outcome::Full => NONE,
    }
}

/// Is the packet for the one port that the service names? (Port 21 is not one: data connections are its kin.)
#[inline(always)]
fn is_named<A>(packet: &Packet<A>, service: &ServiceConfig) -> bool {
    service.key.protocol != 0 && service.key.port == packet.dport && service.key.port != FTP
}

#[inline(always)]
fn template_flow<A: Addr>(packet: &Packet<A>, service: &ServiceConfig) -> Flow<A> {
    let by_mark = service.key.protocol == 0;
    Flow {
        client: A::from_words(|i| Be32(packet.src.word(i).0 & service.netmask[i & 3].0)),
        virtual_addr: A::from_words(|i| match (by_mark, i) {
            (true, 0) => Be32::new(service.key.addr[0].0),
            (true, _) => Be32(0),
            (false, _) => packet.dst.word(i),
        }),
        client_port: Be16(0),
        virtual_port: if is_named(packet, service) { packet.dport } else { Be16(0) },
        proto: if by_mark { 0 } else { packet.proto },
        call: if service.has(service_flag::SIP) { packet.call } else { 0 },
    }
}

/// May a template's server still be used? (`expire_quiescent_template`: not with weight 0.)
#[inline(always)]
fn is_valid(dest: Option<&DestConfig>, settings: &Settings) -> bool {
    dest.is_some_and(|d| {
        d.is_available() && (d.weight != 0 || settings.sysctl(Setting::ExpireQuiescentTemplate) == 0)
    })
}

/// A connection that is to be opened joins its template; `NONE` if that is gone meanwhile.
#[inline(always)]
pub fn join<A: Addr, T: Tables<A>>(tables: &T, link: u32) -> u32 {
    match Entry::<A, T::Set>::linked(tables, link) {
        Some(template) => {
            template.add_children(1);
            // Who closes a template looks at its connections first: either he saw this one, or we see that he closed it.
            if Entry::<A, T::Set>::linked(tables, link).is_some() { link } else { NONE }
        }
        None => NONE,
    }
}

/// A connection that had joined is gone.
#[inline(always)]
pub fn leave<A: Addr, T: Tables<A>>(tables: &T, link: u32) {
    if let Some(template) = Entry::<A, T::Set>::linked(tables, link) {
        template.add_children(u32::MAX);
    }
}

/// Does this packet show that the service works?
#[inline(always)]
pub fn assures<A>(packet: &Packet<A>, is_reply: bool, state: u8) -> bool {
    match packet.proto {
        ip_proto::UDP => is_reply,
        ip_proto::SCTP => state == crate::proto::sctp::ESTABLISHED,
        _ => state == tcp::ESTABLISHED,
    }
}

/// Notes in a connection's template that the service works.
#[inline(always)]
pub fn assure<A: Addr, T: Tables<A>>(tables: &T, link: u32) {
    if let Some(template) = Entry::<A, T::Set>::linked(tables, link) {
        let word = template.word();
        if word.state() == 0 {
            template.swap_word(word, word.with_state(ASSURED));
        }
    }
}
