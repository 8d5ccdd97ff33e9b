//! What the brain asks of the world, answered from maps and helpers.

use crate::calls;
use crate::family::Family;
use crate::maps;
use crate::memory::Words;
use crate::route::{route, route_across};
use crate::steps;
use crate::walk;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use core::marker::PhantomData;
use rlvs_core::conn::entry::{NewEntry, Word};
use rlvs_core::conn::hash::Place;
use rlvs_core::conn::{self, Entry, Flow, Inserted, Outcome, Sets, Step};
use rlvs_core::fwd::Kind;
use rlvs_core::maps::{
    BUCKETS_PER_PAGE, DROP_REASONS, Datagram, DestConfig, Filter, FragmentKey, MarkRule, NONE, ServiceConfig,
    ServiceKey, Settings, SourceConfig, call_key, global,
};
use rlvs_core::mem::Mem;
use rlvs_core::path::persist::Remembered;
use rlvs_core::path::{
    Decision, DropReason, Hop, Layer, Located, Look, MTU_EXPIRES_SECS, Plan, Tables, Verdict, Welcome,
    hop_flag,
};
use rlvs_core::proto::{View, ftp};
use rlvs_core::sched::{self, Group, Picked, Scheduler};
use rlvs_core::wire::{Be16, Packet, ip_proto};

/// A compile-time [`Layer`].
pub trait At {
    const LAYER: Layer;
}
pub struct Xdp;
impl At for Xdp {
    const LAYER: Layer = Layer::Driver;
}
pub struct Tc;
impl At for Tc {
    const LAYER: Layer = Layer::Stack;
}

/// The tables as a program sees them. `context` is what helpers want, `ifindex` where the frame came in.
pub struct Kernel<A, L> {
    context: *mut c_void,
    ifindex: u32,
    _kind: PhantomData<(A, L)>,
}

impl<A, L> Kernel<A, L> {
    #[inline(always)]
    pub fn new(context: *mut c_void, ifindex: u32) -> Self {
        Kernel { context, ifindex, _kind: PhantomData }
    }
}

// SAFETY (all map accesses below): values of array maps live as long as the programs; configuration is read only.
impl<A: Family, L: At> Sets<A> for Kernel<A, L> {
    type Set = Words<255>;
    #[inline(always)]
    fn set(&self, index: u32) -> Option<Words<255>> {
        A::table().get_ptr_mut(index).map(|p| unsafe { Words::new(p) })
    }
    #[inline(always)]
    fn set_mask(&self) -> u32 {
        A::set_mask()
    }
    #[inline(always)]
    fn seed(&self) -> u64 {
        maps::SEED.load()
    }
    #[inline(always)]
    fn count(&self) -> u32 {
        self.global().map_or(0, |g| g.load(global::conns::<A>()))
    }
    #[inline(always)]
    fn claim(&self, p: Place) -> u32 {
        A::claim(p.home, p.step, p.tag as u32, p.way as u32) as u32
    }
    #[inline(always)]
    fn rival_wins(&self, mine: Entry<A, Words<255>>, new: &NewEntry<A>) -> bool {
        A::rival_wins(new, mine.id) != 0
    }
    #[inline(always)]
    fn release(&self, entry: Entry<A, Words<255>>) {
        A::release(entry.id);
    }
    #[inline(always)]
    fn repeat<S: Step>(&self, limit: u32, steps: &mut S) {
        let body = take_step::<S> as *const () as *mut c_void;
        // SAFETY: the callback gets the pointer to `steps`, which outlives the loop.
        unsafe { helpers::bpf_loop(limit, body, (&raw mut *steps).cast(), 0) };
    }
    #[inline(always)]
    fn unknown(&self, number: u32) -> u32 {
        match self.global() {
            Some(global) => number ^ global.load(global::ZERO),
            None => 0,
        }
    }
}

impl<A: Family, L: At> Tables<A> for Kernel<A, L> {
    type Mem = Words<15>;
    type Global = Words<63>;
    const LAYER: Layer = L::LAYER;

    #[inline(always)]
    fn find_inbound(&self, flow: impl FnOnce() -> Flow<A>) -> Option<Entry<A, Words<255>>> {
        found(self, A::inbound(flow))
    }
    #[inline(always)]
    fn find_outbound(&self, proto: u8, server: (A, Be16), client: (A, Be16)) -> Option<Entry<A, Words<255>>> {
        found(self, A::outbound(|| Flow::of_reply(proto, server, client)))
    }
    #[inline(always)]
    fn datagram(&self, key: &FragmentKey) -> Option<Datagram> {
        // SAFETY: copied at once; another processor may write a newer one meanwhile.
        unsafe { maps::DATAGRAMS.get(key) }.copied()
    }
    #[inline(always)]
    fn find_kept(&self, flow: impl FnOnce() -> Flow<A>) -> Option<Entry<A, Words<255>>> {
        found(self, A::kept(flow))
    }
    #[inline(always)]
    fn insert(&self, new: impl FnOnce() -> NewEntry<A>) -> Inserted {
        let full = Inserted { outcome: Outcome::Full, id: NONE, word: Word(0) };
        A::with_entry(new, |new| conn::insert(self, new)).unwrap_or(full)
    }
    #[inline(always)]
    fn settled<'f>(&self, flow: &'f Flow<A>) -> Option<&'f Flow<A>> {
        A::settled(flow)
    }
    #[inline(always)]
    fn close(&self, conn: Entry<A, Words<255>>, seen: Word) {
        A::close(conn.id, seen.0);
    }
    #[inline(always)]
    fn try_source(&self, conn: Entry<A, Words<255>>, now: u32) -> Outcome {
        match A::try_source(conn.id, now) {
            0 => Outcome::New,
            1 => Outcome::Lost,
            _ => Outcome::Full,
        }
    }
    #[inline(always)]
    fn mark(&self, packet: &Packet<A>) -> u32 {
        A::mark(packet) as u32
    }
    #[inline(always)]
    fn welcome(&self, packet: &Packet<A>) -> Welcome {
        match A::welcome(packet) {
            code if code & steps::NOT != 0 => Welcome::Not(Located::from_code(code & !steps::NOT)),
            service => Welcome::To(service as u32),
        }
    }
    #[inline(always)]
    fn open_to(&self, packet: &Packet<A>, service: u32, chosen: Remembered, now: u32) -> Located {
        Located::from_code(A::open_to(packet, service, chosen.dest, chosen.template, now))
    }
    #[inline(always)]
    fn pick_least(&self, service: u32) -> Option<u32> {
        let id = steps::rlvs_pick_least(service) as u32;
        (id != NONE).then_some(id)
    }
    #[inline(always)]
    fn remembered(&self, packet: &Packet<A>, service: u32, now: u32) -> Option<Remembered> {
        remembered(A::remembered(packet, service, now))
    }
    #[inline(always)]
    fn remember(&self, packet: &Packet<A>, service: u32, dest: u32, now: u32) -> u32 {
        A::remember(packet, service, dest, now) as u32
    }
    #[inline(always)]
    fn keep_call(&self, template: u32) {
        calls::keep(&call_key::<A>(template));
    }
    #[inline(always)]
    fn forget_call(&self, template: u32) {
        calls::forget(&call_key::<A>(template));
    }
    #[inline(always)]
    fn moved(&self, packet: &Packet<A>, service: u32, dest: u32) -> bool {
        A::moved(packet, service, dest) != 0
    }
    #[inline(always)]
    fn pick(&self, packet: &Packet<A>, service: u32, now: u32) -> Option<Picked> {
        let scheduler = maps::SERVICE.get(service)?.scheduler;
        let id = match sched::group(scheduler) {
            Group::Turns => steps::rlvs_pick_by_turns(service),
            Group::Load => steps::rlvs_pick_by_load(service),
            Group::Hash => A::pick_by_hash(packet, service),
            Group::Locality => {
                let code = if scheduler == Scheduler::Lblc as u8 {
                    A::pick_lblc(packet, service, now)
                } else {
                    A::pick_lblcr(packet, service, now)
                };
                return (code != steps::NOBODY).then_some(Picked::from_code(code));
            }
            Group::Nobody => NONE as u64,
        } as u32;
        (id != NONE).then_some(Picked::known(id))
    }
    #[inline(always)]
    fn note(&self, packet: &Packet<A>, service: u32, dest: u32, now: u32) {
        A::note(packet, service, dest, now);
    }
    #[inline(always)]
    fn set_changed(&self, packet: &Packet<A>, service: u32, now: u32) {
        A::set_changed(packet, service, now);
    }

    #[inline(always)]
    fn next_state(&self, proto: u8, event: u8, view: View, state: u8, secure: bool) -> u8 {
        let (proto, event) = (proto as u32, event as u32);
        steps::rlvs_next_state(proto, event, view as u32, state as u32, secure as u32) as u8
    }
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        maps::SETTINGS.get(0)
    }
    #[inline(always)]
    fn filter(&self) -> Option<&Filter> {
        maps::FILTER.get(0)
    }
    #[inline(always)]
    fn service_id(&self, key: &ServiceKey) -> Option<u32> {
        unsafe { maps::SERVICES.get(key) }.copied()
    }
    #[inline(always)]
    fn service(&self, id: u32) -> Option<&ServiceConfig> {
        maps::SERVICE.get(id)
    }
    #[inline(always)]
    fn dest(&self, id: u32) -> Option<&DestConfig> {
        maps::DEST.get(id)
    }
    #[inline(always)]
    fn bucket(&self, page: u32, bucket: u32) -> Option<u32> {
        let page = maps::BUCKETS.get(page)?;
        // SAFETY: masked to the page; another writer may be at work, so volatile.
        Some(unsafe { (&raw const page[bucket as usize & (BUCKETS_PER_PAGE - 1)]).read_volatile() })
    }
    #[inline(always)]
    fn mark_rule(&self, number: u32) -> Option<&MarkRule> {
        maps::MARKS.get(number)
    }
    #[inline(always)]
    fn source(&self, number: u32) -> Option<&SourceConfig> {
        maps::SOURCES.get(number)
    }

    #[inline(always)]
    fn dest_state(&self, id: u32) -> Option<Words<15>> {
        maps::DEST_STATE.get_ptr_mut(id).map(|p| unsafe { Words::new(p) })
    }
    #[inline(always)]
    fn sched_state(&self, service: u32) -> Option<Words<15>> {
        maps::SCHED_STATE.get_ptr_mut(service).map(|p| unsafe { Words::new(p) })
    }
    #[inline(always)]
    fn stats(&self, dest: u32) -> Option<Words<15>> {
        let cpu = unsafe { helpers::bpf_get_smp_processor_id() };
        let row = dest.wrapping_mul(maps::CPUS.load()).wrapping_add(cpu);
        maps::STATS.get_ptr_mut(row).map(|p| unsafe { Words::new(p) })
    }
    #[inline(always)]
    fn global(&self) -> Option<Words<63>> {
        maps::GLOBAL.get_ptr_mut(0).map(|p| unsafe { Words::new(p) })
    }
    #[inline(always)]
    fn hz(&self) -> u32 {
        maps::HZ.load()
    }
    #[inline(always)]
    fn random(&self) -> u32 {
        unsafe { helpers::bpf_get_prandom_u32() }
    }
    #[inline(always)]
    fn route(&self, to: A, hop: &mut Hop<A>) {
        route(self.context, self.ifindex, &to, hop)
    }
    #[inline(always)]
    fn route_across(&self, dest: &DestConfig, hop: &mut Hop<A>) {
        route_across(self.context, self.ifindex, dest, hop)
    }
    #[inline(always)]
    fn hinted_route(&self, dest: &DestConfig, hop: &mut Hop<A>) {
        if dest.hint_ifindex != 0 {
            hop.flags = hop_flag::ROUTED;
            hop.ifindex = dest.hint_ifindex;
            hop.via = A::from_words(|i| dest.hint_via[i & 3]);
            hop.mtu = dest.hint_mtu;
        }
    }
    #[inline(always)]
    fn path_mtu(&self, dest: &DestConfig, now: u32) -> u32 {
        told_mtu(dest, now)
    }
    #[inline(always)]
    fn each_dest<K: Look>(&self, first: u32, look: &mut K) {
        walk::each_dest(first, look);
    }
    /// XDP leaves to TC what needs a neighbour, a checksum to be completed or made, an ICMP answer, to be read (FTP), or an
    /// interface that cannot take its frames.
    #[inline(always)]
    fn can_finish(&self, packet: &Packet<A>, decision: Decision, plan: &Plan<A>) -> bool {
        if L::LAYER == Layer::Stack {
            return true;
        }
        match decision.verdict() {
            Verdict::Forward => {
                const READY: u32 = hop_flag::RESOLVED | hop_flag::XDP_TARGET;
                let sum_missing = packet.proto == ip_proto::UDP && packet.l4_check.0 == 0;
                plan.hop.flags & (READY | hop_flag::PROBE) == READY
                    && packet.proto != ip_proto::SCTP // TC knows sums that hardware is to complete
                    && !(sum_missing && plan.edit.kind == Kind::Nat)
                    && !(plan.edit.kind == Kind::Tunnel && plan.edit.encap.summed)
                    && !ftp::may_speak(packet, &plan.edit)
                    && !packet.checksum_looks_partial()
            }
            Verdict::Answer(..) | Verdict::Split => false,
            _ => true,
        }
    }
}

/// What a step remembered.
#[inline(always)]
fn remembered(code: u64) -> Option<Remembered> {
    (code != steps::NOBODY).then_some(Remembered { dest: code as u32, template: (code >> 32) as u32 })
}

/// The entry that a step found.
#[inline(always)]
fn found<A: Family, L: At>(tables: &Kernel<A, L>, id: u64) -> Option<Entry<A, Words<255>>> {
    if id > u32::MAX as u64 {
        return None;
    }
    Entry::at(tables, id as u32)
}

unsafe extern "C" fn take_step<S: Step>(_: u64, steps: *mut c_void) -> i64 {
    // SAFETY: `bpf_loop` hands on the pointer that `repeat` gave it.
    unsafe { &mut *steps.cast::<S>() }.step() as i64
}

/// Counts a dropped packet.
#[inline(always)]
pub fn count_drop(reason: DropReason) {
    let cpu = unsafe { helpers::bpf_get_smp_processor_id() };
    let index = cpu.wrapping_mul(DROP_REASONS as u32).wrapping_add(reason as u32);
    if let Some(count) = maps::DROPS.get_ptr_mut(index) {
        // SAFETY: this processor's own counter.
        unsafe { count.write_volatile(count.read_volatile().wrapping_add(1)) }
    }
}

/// The kernel's clock tick, low 32 bits.
#[inline(always)]
pub fn jiffies() -> u32 {
    unsafe { helpers::bpf_jiffies64() as u32 }
}

#[inline(never)]
fn told_mtu(dest: &DestConfig, now: u32) -> u32 {
    let four = dest.family != 6;
    let rest = if four { [0; 3] } else { [dest.addr[1].0, dest.addr[2].0, dest.addr[3].0] };
    let to = [dest.addr[0].0, rest[0], rest[1], rest[2]];
    // SAFETY: two words that are written at once.
    match unsafe { maps::PATH_MTU.get(&to) } {
        Some([mtu, at]) if now.wrapping_sub(*at) < maps::HZ.load().wrapping_mul(MTU_EXPIRES_SECS) => *mtu,
        _ => 0,
    }
}
