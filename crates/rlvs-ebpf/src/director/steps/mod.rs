//! Steps of the story as global functions: the verifier looks at each of them once, by itself, instead of on every
//! path that leads to it. They may take numbers and pointers to plain memory, and return a number.
//!
//! Steps that see an address are here once, for any family; [`Steps`] is what a family has of them as global functions
//! (`rlvs_…` for IPv4, `rlvs6_…` for IPv6).

mod any;

use crate::family::{Family, Six};
use crate::tables::{Kernel, Tc};
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use rlvs_core::conn::entry::NewEntry;
use rlvs_core::conn::{self, Flow};
use rlvs_core::maps::NONE;
use rlvs_core::path::{Plan, Tables};
use rlvs_core::proto::{self, View};
use rlvs_core::sched;
use rlvs_core::wire::{Be16, Be32, Packet, crc32c};

/// Nothing found.
pub const NOBODY: u64 = u64::MAX;
/// Above this the answer of `welcome` is the code of a [`Located`].
pub const NOT: u64 = 1 << 63;

/// Tables for steps that ask no helper which wants a context.
#[inline(always)]
pub fn tables<A: Family>() -> Kernel<A, Tc> {
    Kernel::new(core::ptr::null_mut(), 0)
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $four:ident, $six:ident: $step:ident($($arg:ident: $kind:ty),+);)+) => {
        pub trait Steps<A> {
            $($(#[doc = $doc])+ fn $step($($arg: $kind),+) -> u64;)+
        }
        mod four {
            use super::*;
            type A = Be32;
            $(
                #[unsafe(no_mangle)]
                #[inline(never)]
                extern "C" fn $four($($arg: $kind),+) -> u64 {
                    any::$step::<A>($($arg),+)
                }
            )+
            impl Steps<A> for A {
                $(
                    #[inline(always)]
                    fn $step($($arg: $kind),+) -> u64 {
                        $four($($arg),+)
                    }
                )+
            }
        }
        mod six {
            use super::*;
            type A = Six;
            $(
                #[unsafe(no_mangle)]
                #[inline(never)]
                extern "C" fn $six($($arg: $kind),+) -> u64 {
                    any::$step::<A>($($arg),+)
                }
            )+
            impl Steps<A> for A {
                $(
                    #[inline(always)]
                    fn $step($($arg: $kind),+) -> u64 {
                        $six($($arg),+)
                    }
                )+
            }
        }
    };
}

steps! {
    /// The id of the template or mapping of this flow.
    rlvs_find_kept, rlvs6_find_kept: find_kept(flow: *const Flow<A>);
    /// The id of a way that was free and is claimed, for an entry that belongs there; or NONE.
    rlvs_claim, rlvs6_claim: claim(home: u32, step: u32, tag: u32, way: u32);
    /// Is another entry of the same flow there first?
    rlvs_rival_wins, rlvs6_rival_wins: rival_wins(new: *const NewEntry<A>, mine: u32);
    /// Gives the way of a closed entry back.
    rlvs_release, rlvs6_release: release(id: u32);
    /// Closes the entry of this id, if its word is still the one that was seen.
    rlvs_close, rlvs6_close: close(id: u32, seen: u32);
    /// The server that a client had, and in the upper half the link to the template that says so.
    rlvs_remembered, rlvs6_remembered: remembered(packet: *const Packet<A>, service: u32, now: u32);
    /// Remembers a client's server: the link to the template, see `persist::remember`.
    rlvs_remember, rlvs6_remember: remember(packet: *const Packet<A>, service: u32, dest: u32, now: u32);
    /// The first half of the story: the code of a [`Located`].
    rlvs_locate, rlvs6_locate: locate(packet: *const Packet<A>, now: u32);
    /// Opens a connection for a packet: the code of a [`Located`]. One number, whatever happened, so that the verifier
    /// need not follow every way to it through the rest of the story.
    rlvs_open, rlvs6_open: open(packet: *mut Packet<A>, now: u32);
    /// A packet's firewall mark.
    rlvs_mark, rlvs6_mark: mark(packet: *const Packet<A>);
    /// The service that a packet opens a connection to; above [`NOT`] the code of a [`Located`].
    rlvs_welcome, rlvs6_welcome: welcome(packet: *const Packet<A>);
    /// Opens a connection for a packet to a destination: the code of a [`Located`].
    rlvs_open_to, rlvs6_open_to:
        open_to(packet: *const Packet<A>, service: u32, dest: u32, template: u32, now: u32);
    /// FULLNAT: gives a connection its source: 0, or the number of a [`DropReason`](rlvs_core::path::DropReason).
    rlvs_bind_source, rlvs6_bind_source: bind_source(id: u32, now: u32);
    /// Tries one: the number of an [`Outcome`](rlvs_core::conn::Outcome).
    rlvs_try_source, rlvs6_try_source: try_source(id: u32, now: u32);
    /// The destination that a service's scheduler picks, or NONE; a function for each group of schedulers.
    rlvs_pick_by_hash, rlvs6_pick_by_hash: pick_by_hash(packet: *const Packet<A>, service: u32);
    /// The same; above NONE see [`Picked::code`].
    rlvs_pick_lblc, rlvs6_pick_lblc: pick_lblc(packet: *const Packet<A>, service: u32, now: u32);
    /// The same.
    rlvs_pick_lblcr, rlvs6_pick_lblcr: pick_lblcr(packet: *const Packet<A>, service: u32, now: u32);
    /// Moves an address to another server, if it has one.
    rlvs_moved, rlvs6_moved: moved(packet: *const Packet<A>, service: u32, dest: u32);
    /// Notes that an address got a server.
    rlvs_note, rlvs6_note: note(packet: *const Packet<A>, service: u32, dest: u32, now: u32);
    /// XDP: the second half of the story, and what comes of it (`XDP_…`).
    rlvs_xdp_finish, rlvs6_xdp_finish:
        xdp_finish(context: *mut xdp_md, packet: *const Packet<A>, located: u64, now: u32);
    /// Its first step, what becomes of the packet: the code of a [`Decision`](rlvs_core::path::Decision).
    rlvs_xdp_decide, rlvs6_xdp_decide:
        xdp_decide(context: *mut xdp_md, packet: *const Packet<A>, located: u64, now: u32, plan: *mut Plan<A>);
    /// TC: what becomes of a fragment: the code of a [`Located`](rlvs_core::path::Located), `Up` if it was set aside.
    rlvs_fragment, rlvs6_fragment: fragment(skb: *mut __sk_buff, packet: *mut Packet<A>, now: u32);
    /// TC: a first fragment, before it is located and after; not 0 if it is used up.
    rlvs_first_fragment, rlvs6_first_fragment:
        first_fragment(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, now: u32);
    /// TC: the same, see `tc::finish`.
    rlvs_tc_finish, rlvs6_tc_finish:
        tc_finish(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, now: u32);
    /// Likewise.
    rlvs_tc_decide, rlvs6_tc_decide:
        tc_decide(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, now: u32, plan: *mut Plan<A>);
    /// TC: hands the client's address on; not 0 if the packet cannot be sent.
    rlvs_hand_on, rlvs6_hand_on:
        hand_on(skb: *mut __sk_buff, packet: *const Packet<A>, plan: *const Plan<A>, located: u64);
    /// TC: what becomes of an ICMP packet.
    rlvs_tc_related, rlvs6_tc_related: tc_related(skb: *mut __sk_buff, packet: *const Packet<A>);
    /// TC: what is said on a control connection of FTP, see `ftp::hear`.
    rlvs_hear, rlvs6_hear: hear(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, vip: u32);
    /// What follows from it.
    rlvs_expect, rlvs6_expect: expect(packet: *const Packet<A>, located: u64, heard: u32, now: u32);
    /// What of FTP is expected and may have come now: the code of a [`Located`](rlvs_core::path::Located), see `path::data`.
    rlvs_awaited, rlvs6_awaited: awaited(packet: *const Packet<A>, now: u32);
    /// The connection in its place: opened by the client.
    rlvs_arrive, rlvs6_arrive: arrive(packet: *const Packet<A>, expected: u32, now: u32);
    /// Opened by the server.
    rlvs_arrive_back, rlvs6_arrive_back: arrive_back(packet: *const Packet<A>, expected: u32, now: u32);
    /// Tells who traces about a packet.
    rlvs_trace, rlvs6_trace:
        trace(packet: *const Packet<A>, located: u64, decision: u64, layer_and_if: u64, to_if: u32);
    /// Notes that the set of servers of an address was changed.
    rlvs_set_changed, rlvs6_set_changed: set_changed(packet: *const Packet<A>, service: u32, now: u32);
}

/// The id of the connection of a client's packet. `ports`: client's and virtual port as on the wire.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_find_inbound(client: u32, virtual_addr: u32, ports: u32, proto: u32) -> u64 {
    find_inbound(&flow_of(client, virtual_addr, ports, proto))
}

/// The id of the connection of a server's packet. `ports`: client's and server's port as on the wire.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_find_outbound(client: u32, server: u32, ports: u32, proto: u32) -> u64 {
    find_outbound(&flow_of(client, server, ports, proto))
}

/// The same for IPv6, whose addresses are too long for numbers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs6_find_inbound(flow: *const Flow<Six>) -> u64 {
    // SAFETY: null, or a flow on the caller's stack.
    unsafe { flow.as_ref() }.map_or(NOBODY, find_inbound)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs6_find_outbound(flow: *const Flow<Six>) -> u64 {
    // SAFETY: null, or a flow on the caller's stack.
    unsafe { flow.as_ref() }.map_or(NOBODY, find_outbound)
}

#[inline(always)]
fn flow_of(client: u32, other: u32, ports: u32, proto: u32) -> Flow<Be32> {
    Flow {
        client: Be32(client),
        virtual_addr: Be32(other),
        client_port: Be16(ports as u16),
        virtual_port: Be16((ports >> 16) as u16),
        proto: proto as u8,
        call: 0,
    }
}

#[inline(always)]
fn find_inbound<A: Family>(flow: &Flow<A>) -> u64 {
    conn::find_inbound(&tables(), flow).map_or(NOBODY, |e| e.id as u64)
}

#[inline(always)]
fn find_outbound<A: Family>(flow: &Flow<A>) -> u64 {
    conn::find_reply(&tables(), flow).map_or(NOBODY, |e| e.id as u64)
}

/// See `rlvs_core::wire::crc32c`: a long loop, for which one look is enough.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_crc_change(change: u32, len: u32) -> u64 {
    crc32c::change_of_first(change, len as u16) as u64
}

/// The state after a packet, see `rlvs_core::proto::next_state`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_next_state(proto: u32, event: u32, view: u32, state: u32, secure: u32) -> u64 {
    let view = match view {
        0 => View::Input,
        1 => View::Output,
        _ => View::InputOnly,
    };
    proto::next_state(proto as u8, event as u8, view, state as u8, secure != 0) as u64
}

/// The destination that a scheduler which sees no address picks, or NONE: services of both families.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_by_turns(service_id: u32) -> u64 {
    sched::pick_by_turns(&tables::<Be32>(), service_id).unwrap_or(NONE) as u64
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_by_load(service_id: u32) -> u64 {
    sched::pick_by_load(&tables::<Be32>(), service_id).unwrap_or(NONE) as u64
}

/// What the scheduler wlc would pick.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_pick_least(service_id: u32) -> u64 {
    let tables = tables::<Be32>();
    match tables.service(service_id) {
        Some(service) => sched::wlc::pick(&tables, service).unwrap_or(NONE) as u64,
        None => NONE as u64,
    }
}
