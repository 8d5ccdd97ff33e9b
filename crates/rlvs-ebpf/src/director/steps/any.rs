//! The steps themselves, for any family.

use super::{NOBODY, NOT, tables};
use crate::family::Family;
use crate::{fragments, ftp, handing, maps, related, tc, trace, xdp};
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_OK, xdp_md};
use rlvs_core::conn::entry::{NewEntry, Word};
use rlvs_core::conn::hash::Place;
use rlvs_core::conn::{self, Entry, Flow, Outcome};
use rlvs_core::maps::NONE;
use rlvs_core::path::persist::{self, Remembered};
use rlvs_core::path::{self, Decision, Located, Plan, Welcome};
use rlvs_core::sched::{self, Picked, lblc, lblcr, mapping};
use rlvs_core::wire::Packet;

// SAFETY (all pointers below): null, or to a value on the caller's stack.

#[inline(always)]
pub fn find_kept<A: Family>(flow: *const Flow<A>) -> u64 {
    match unsafe { flow.as_ref() } {
        Some(flow) => conn::find_kept(&tables(), flow).map_or(NOBODY, |e| e.id as u64),
        None => NOBODY,
    }
}

#[inline(always)]
pub fn claim<A: Family>(home: u32, step: u32, tag: u32, way: u32) -> u64 {
    let place = Place { home, step, tag: tag as u8, way: way as u8 };
    conn::claim::<A, _>(&tables::<A>(), place) as u64
}

#[inline(always)]
pub fn rival_wins<A: Family>(new: *const NewEntry<A>, mine: u32) -> u64 {
    let tables = tables::<A>();
    match unsafe { new.as_ref() }.zip(Entry::at(&tables, mine)) {
        Some((new, mine)) => conn::rival_wins(&tables, mine, new) as u64,
        None => 1,
    }
}

#[inline(always)]
pub fn release<A: Family>(id: u32) -> u64 {
    let tables = tables::<A>();
    if let Some(entry) = Entry::at(&tables, id) {
        conn::release(&tables, entry);
    }
    0
}

#[inline(always)]
pub fn close<A: Family>(id: u32, seen: u32) -> u64 {
    let tables = tables::<A>();
    if let Some(entry) = Entry::at(&tables, id) {
        path::close_connection(&tables, entry, Word(seen));
    }
    0
}

#[inline(always)]
pub fn remembered<A: Family>(packet: *const Packet<A>, service: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => persist::remembered(packet, &tables(), service, now).map_or(NOBODY, pair),
        None => NOBODY,
    }
}

#[inline(always)]
pub fn remember<A: Family>(packet: *const Packet<A>, service: u32, dest: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => persist::remember(packet, &tables(), service, dest, now) as u64,
        None => NONE as u64,
    }
}

#[inline(always)]
fn pair(r: Remembered) -> u64 {
    (r.template as u64) << 32 | r.dest as u64
}

#[inline(always)]
pub fn locate<A: Family>(packet: *const Packet<A>, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::locate(packet, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn open<A: Family>(packet: *mut Packet<A>, now: u32) -> u64 {
    match unsafe { packet.as_mut() } {
        Some(packet) => path::open_conn(packet, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn mark<A: Family>(packet: *const Packet<A>) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::mark_of(packet, &tables()) as u64,
        None => 0,
    }
}

#[inline(always)]
pub fn welcome<A: Family>(packet: *const Packet<A>) -> u64 {
    match unsafe { packet.as_ref() }.map(|packet| path::welcome(packet, &tables())) {
        Some(Welcome::To(service)) => service as u64,
        Some(Welcome::Not(located)) => NOT | located.code(),
        None => NOT | Located::Pass.code(),
    }
}

#[inline(always)]
pub fn open_to<A: Family>(packet: *const Packet<A>, service: u32, dest: u32, template: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::open_to(packet, &tables(), service, Remembered { dest, template }, now).code(),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn bind_source<A: Family>(id: u32, now: u32) -> u64 {
    let tables = tables::<A>();
    match Entry::at(&tables, id) {
        Some(conn) => path::bind_source(&tables, conn, now).err().map_or(0, |reason| reason as u64),
        None => 0,
    }
}

#[inline(always)]
pub fn try_source<A: Family>(id: u32, now: u32) -> u64 {
    let tables = tables::<A>();
    let outcome = Entry::at(&tables, id).map_or(Outcome::Full, |conn| path::try_source(&tables, conn, now));
    outcome as u64
}

#[inline(always)]
pub fn pick_by_hash<A: Family>(packet: *const Packet<A>, service: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => sched::pick_by_hash(packet, &tables(), service).unwrap_or(NONE) as u64,
        None => NONE as u64,
    }
}

#[inline(always)]
pub fn pick_lblc<A: Family>(packet: *const Packet<A>, service: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => lblc::pick(packet, &tables(), service, now).map_or(NOBODY, Picked::code),
        None => NOBODY,
    }
}

#[inline(always)]
pub fn pick_lblcr<A: Family>(packet: *const Packet<A>, service: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => lblcr::pick(packet, &tables(), service, now).map_or(NOBODY, Picked::code),
        None => NOBODY,
    }
}

#[inline(always)]
pub fn moved<A: Family>(packet: *const Packet<A>, service: u32, dest: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => mapping::moved(packet, &tables(), service, dest) as u64,
        None => 0,
    }
}

#[inline(always)]
pub fn note<A: Family>(packet: *const Packet<A>, service: u32, dest: u32, now: u32) -> u64 {
    if let Some(packet) = unsafe { packet.as_ref() } {
        mapping::note(packet, &tables(), service, dest, now);
    }
    0
}

#[inline(always)]
pub fn set_changed<A: Family>(packet: *const Packet<A>, service: u32, now: u32) -> u64 {
    if let Some(packet) = unsafe { packet.as_ref() }
        && let Some(service) = maps::SERVICE.get(service)
    {
        lblcr::set_changed(packet, &tables(), service, now);
    }
    0
}

#[inline(always)]
pub fn xdp_finish<A: Family>(context: *mut xdp_md, packet: *const Packet<A>, located: u64, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => xdp::finish(context, packet, located, now) as u64,
        None => XDP_PASS as u64,
    }
}

#[inline(always)]
pub fn xdp_decide<A: Family>(
    context: *mut xdp_md,
    packet: *const Packet<A>,
    located: u64,
    now: u32,
    plan: *mut Plan<A>,
) -> u64 {
    match unsafe { packet.as_ref().zip(plan.as_mut()) } {
        Some((packet, plan)) => xdp::decide(context, packet, located, now, plan),
        None => Decision::PASS.0,
    }
}

#[inline(always)]
pub fn fragment<A: Family>(skb: *mut __sk_buff, packet: *mut Packet<A>, now: u32) -> u64 {
    match unsafe { packet.as_mut() } {
        Some(packet) => fragments::sort(skb, packet, now),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn first_fragment<A: Family>(
    skb: *mut __sk_buff,
    packet: *const Packet<A>,
    located: u64,
    now: u32,
) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => fragments::first(skb, packet, located, now),
        None => 0,
    }
}

#[inline(always)]
pub fn tc_finish<A: Family>(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => tc::finish(skb, packet, located, now),
        None => TC_ACT_OK as u64,
    }
}

#[inline(always)]
pub fn tc_decide<A: Family>(
    skb: *mut __sk_buff,
    packet: *const Packet<A>,
    located: u64,
    now: u32,
    plan: *mut Plan<A>,
) -> u64 {
    match unsafe { packet.as_ref().zip(plan.as_mut()) } {
        Some((packet, plan)) => tc::decide(skb, packet, located, now, plan),
        None => Decision::PASS.0,
    }
}

#[inline(always)]
pub fn hand_on<A: Family>(
    skb: *mut __sk_buff,
    packet: *const Packet<A>,
    plan: *const Plan<A>,
    located: u64,
) -> u64 {
    match unsafe { packet.as_ref().zip(plan.as_ref()) } {
        Some((packet, plan)) => handing::carry_out(skb, packet, plan, located),
        None => 1,
    }
}

#[inline(always)]
pub fn tc_related<A: Family>(skb: *mut __sk_buff, packet: *const Packet<A>) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => related::carry_out(skb, packet) as u64,
        None => TC_ACT_OK as u64,
    }
}

#[inline(always)]
pub fn hear<A: Family>(skb: *mut __sk_buff, packet: *const Packet<A>, located: u64, vip: u32) -> u64 {
    // Where nobody looks at it (IPv6), the compiler would have the caller leave it unset, which the verifier refuses.
    let vip = core::hint::black_box(vip);
    match unsafe { packet.as_ref() } {
        Some(packet) => ftp::hear(skb, packet, located, vip) as u64,
        None => 0,
    }
}

#[inline(always)]
pub fn expect<A: Family>(packet: *const Packet<A>, located: u64, heard: u32, now: u32) -> u64 {
    if let Some(packet) = unsafe { packet.as_ref() } {
        ftp::expect(packet, located, heard, now);
    }
    0
}

#[inline(always)]
pub fn awaited<A: Family>(packet: *const Packet<A>, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::data::awaited(packet, &tables(), now).code(),
        None => Located::New.code(),
    }
}

#[inline(always)]
pub fn arrive<A: Family>(packet: *const Packet<A>, expected: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::data::arrive::<true, _, _>(packet, expected, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn arrive_back<A: Family>(packet: *const Packet<A>, expected: u32, now: u32) -> u64 {
    match unsafe { packet.as_ref() } {
        Some(packet) => path::data::arrive::<false, _, _>(packet, expected, &tables(), now).code(),
        None => Located::Pass.code(),
    }
}

#[inline(always)]
pub fn trace<A: Family>(
    packet: *const Packet<A>,
    located: u64,
    decision: u64,
    layer_and_if: u64,
    to_if: u32,
) -> u64 {
    if let Some(packet) = unsafe { packet.as_ref() } {
        trace::tell(packet, located, Decision(decision), layer_and_if, to_if);
    }
    0
}
