//! The brain's questions, answered from a [`World`].

use crate::memory::Row;
use crate::world::World;
use rlvs_core::conn::entry::NewEntry;
use rlvs_core::conn::hash::Place;
use rlvs_core::conn::{self, Entry, Sets, Step};
use rlvs_core::fwd::Kind;
use rlvs_core::maps::{
    BUCKETS_PER_PAGE, Datagram, DestConfig, Filter, FragmentKey, MarkRule, ServiceConfig, ServiceKey,
    Settings, SourceConfig, dest_flag,
};
use rlvs_core::path::{
    self, Candidate, Decision, Hop, Layer, Look, Plan, Tables, Verdict, drops_entries, hop_flag, sweep_set,
    thin_set,
};
use rlvs_core::proto::ftp;
use rlvs_core::wire::{Be32, Packet, ip_proto};
use std::marker::PhantomData;

/// Pages of buckets that a service slot has here.
pub(crate) const PAGES: usize = 16;

/// Where the story is told, as a type.
pub trait Where {
    const LAYER: Layer;
}
/// As the XDP program tells it.
pub struct Driver;
impl Where for Driver {
    const LAYER: Layer = Layer::Driver;
}
/// As the TC program tells it.
pub struct Stack;
impl Where for Stack {
    const LAYER: Layer = Layer::Stack;
}

/// The tables of a world as one processor sees them.
pub struct Brain<'w, L> {
    pub world: &'w World,
    pub cpu: usize,
    layer: PhantomData<L>,
}

impl<'w, L: Where> Brain<'w, L> {
    pub fn new(world: &'w World, cpu: usize) -> Brain<'w, L> {
        Brain { world, cpu, layer: PhantomData }
    }
}

impl<'w, L: Where> Sets<Be32> for Brain<'w, L> {
    type Set = Row<'w>;
    fn set(&self, index: u32) -> Option<Row<'w>> {
        self.world.conns.row(index as usize)
    }
    fn set_mask(&self) -> u32 {
        self.world.conns.len() as u32 - 1
    }
    fn seed(&self) -> u64 {
        self.world.seed
    }
    fn count(&self) -> u32 {
        self.world.connection_count()
    }
    fn claim(&self, place: Place) -> u32 {
        conn::claim(self, place)
    }
    fn rival_wins(&self, mine: Entry<Be32, Row<'w>>, new: &NewEntry<Be32>) -> bool {
        conn::rival_wins(self, mine, new)
    }
    fn release(&self, entry: Entry<Be32, Row<'w>>) {
        conn::release(self, entry)
    }
    fn repeat<S: Step>(&self, limit: u32, steps: &mut S) {
        for _ in 0..limit {
            if steps.step() {
                break;
            }
        }
    }
}

impl<'w, L: Where> Tables<Be32> for Brain<'w, L> {
    type Mem = Row<'w>;
    type Global = Row<'w>;
    const LAYER: Layer = L::LAYER;

    fn settings(&self) -> Option<&Settings> {
        Some(&self.world.settings)
    }
    fn filter(&self) -> Option<&Filter> {
        Some(&self.world.filter)
    }
    fn service_id(&self, key: &ServiceKey) -> Option<u32> {
        self.world.services.get(key).copied()
    }
    fn service(&self, id: u32) -> Option<&ServiceConfig> {
        self.world.service.get(id as usize)
    }
    fn dest(&self, id: u32) -> Option<&DestConfig> {
        self.world.dest.get(id as usize)
    }
    /// Pages are those of one service slot after another; each has room for the largest table.
    fn bucket(&self, page: u32, bucket: u32) -> Option<u32> {
        let (service, page) = (page as usize / PAGES, page as usize % PAGES);
        self.world.buckets.get(service)?.get(page * BUCKETS_PER_PAGE + bucket as usize).copied()
    }
    fn mark_rule(&self, number: u32) -> Option<&MarkRule> {
        self.world.marks.get(number as usize)
    }
    fn source(&self, number: u32) -> Option<&SourceConfig> {
        self.world.sources.get(number as usize)
    }
    fn datagram(&self, key: &FragmentKey) -> Option<Datagram> {
        self.world.datagrams.lock().expect("no panic meanwhile").get(key).copied()
    }
    fn dest_state(&self, id: u32) -> Option<Row<'w>> {
        self.world.dest_state.row(id as usize)
    }
    fn sched_state(&self, service: u32) -> Option<Row<'w>> {
        self.world.sched_state.row(service as usize)
    }
    fn stats(&self, dest: u32) -> Option<Row<'w>> {
        self.world.stats.row(dest as usize * self.world.cpus + self.cpu)
    }
    fn global(&self) -> Option<Row<'w>> {
        self.world.global.row(0)
    }
    fn hz(&self) -> u32 {
        World::HZ
    }
    fn random(&self) -> u32 {
        self.world.random()
    }
    fn route(&self, to: Be32, hop: &mut Hop<Be32>) {
        self.world.network.route(to, hop)
    }
    fn hinted_route(&self, dest: &DestConfig, hop: &mut Hop<Be32>) {
        if dest.hint_ifindex != 0 {
            hop.flags = hop_flag::ROUTED;
            hop.ifindex = dest.hint_ifindex;
            hop.via = dest.hint_via[0];
            hop.mtu = 1500;
        }
    }
    fn each_dest<K: Look>(&self, first: u32, look: &mut K) {
        let mut id = first;
        while let (Some(dest), Some(state)) = (self.dest(id), self.dest_state(id)) {
            let candidate = Candidate::of(id, dest, state);
            if dest.flags & dest_flag::AVAILABLE != 0 && look.visit(&candidate) {
                return;
            }
            id = dest.next;
        }
    }
    /// What the XDP program can finish: see the hands' answer to the same question.
    fn can_finish(&self, packet: &Packet<Be32>, decision: Decision, plan: &Plan<Be32>) -> bool {
        if L::LAYER == Layer::Stack {
            return true;
        }
        match decision.verdict() {
            Verdict::Forward => {
                const READY: u32 = hop_flag::RESOLVED | hop_flag::XDP_TARGET;
                let sum_missing = packet.proto == ip_proto::UDP && packet.l4_check.0 == 0;
                plan.hop.flags & (READY | hop_flag::PROBE) == READY
                    && packet.proto != ip_proto::SCTP
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

impl World {
    /// One whole round of the sweeping timer.
    pub fn sweep(&self) {
        let brain = Brain::<Stack>::new(self, 0);
        for index in 0..self.conns.len() {
            sweep_set::<Be32, _>(&brain, index as u32, self.now());
        }
    }

    /// What the kernel timer does once a second for the defences.
    pub fn watch(&self) {
        let brain = Brain::<Stack>::new(self, 0);
        let Some(global) = Tables::<Be32>::global(&brain) else { return };
        let sets = self.conns.len() as u32;
        path::watch(&self.settings, global, [sets * 15, sets * 7]);
        if drops_entries(&self.settings, global) {
            for _ in 0..(sets / 32).max(1) {
                thin_set::<Be32, _>(&brain, self.random() & (sets - 1), self.now());
            }
        }
    }
}
