//! The director's maps in plain memory: what the brain asks ([`Sets`], [`Tables`]) is answered from here.
//!
//! One thread, so a word is a [`Cell`]. The network is of no interest: every way leads somewhere.

use rlvs_core::conn::entry::NewEntry;
use rlvs_core::conn::hash::Place;
use rlvs_core::conn::{self, Entry, SET_WORDS, Sets, Step};
use rlvs_core::maps::{
    BUCKETS_PER_PAGE, Datagram, DestConfig, Filter, FragmentKey, MarkRule, ServiceConfig, ServiceKey,
    Settings, SourceConfig, dest_state, global, sched_state, stats,
};
use rlvs_core::mem::Mem;
use rlvs_core::path::{Candidate, Decision, Hop, Layer, Look, Plan, Tables, hop_flag};
use rlvs_core::wire::{Be32, Packet};
use std::cell::Cell;

/// Jiffies per second.
pub const HZ: u32 = 250;
/// There is one service.
pub const SERVICE: u32 = 0;

pub struct Memory {
    pub settings: Settings,
    pub filter: Box<Filter>,
    pub service: ServiceConfig,
    pub dests: Vec<DestConfig>,
    pub buckets: Vec<u32>,
    conns: Vec<Cell<u32>>,
    dest_states: Vec<Cell<u32>>,
    stats: Vec<Cell<u32>>,
    sched_state: Vec<Cell<u32>>,
    global: Vec<Cell<u32>>,
    random: Cell<u64>,
    seed: u64,
}

/// A map's value.
#[derive(Clone, Copy)]
pub struct Row<'m>(&'m [Cell<u32>]);

impl Memory {
    /// For so many destinations and about so many connections at once.
    pub fn new(dests: usize, connections: usize, seed: u64) -> Memory {
        // Half full at most: a row of the table is seldom longer than one set.
        let sets = (connections * 2 / conn::WAYS).next_power_of_two().max(64);
        let words = |n: usize| vec![Cell::new(0); n];
        let settings = Settings {
            services: [1, 0],
            service_slots: 1,
            dest_slots: dests as u32,
            next_serial: 2,
            ..Settings::new(HZ)
        };
        Memory {
            settings,
            filter: Box::new(Filter { virtual_addrs: [0; 2048], real_addrs: [0; 2048] }),
            service: ServiceConfig { serial: 1, ..ServiceConfig::EMPTY },
            dests: vec![DestConfig::EMPTY; dests],
            buckets: Vec::new(),
            conns: words(sets * SET_WORDS),
            dest_states: words(dests * dest_state::WORDS),
            stats: words(dests * stats::WORDS),
            sched_state: words(sched_state::SERIAL + 1),
            global: words(global::WORDS),
            random: Cell::new(seed),
            seed,
        }
    }

    pub fn sets(&self) -> u32 {
        (self.conns.len() / SET_WORDS) as u32
    }

    fn row(words: &[Cell<u32>], len: usize, index: u32) -> Option<Row<'_>> {
        let first = index as usize * len;
        words.get(first..first + len).map(Row)
    }
}

impl<'m> Sets<Be32> for &'m Memory {
    type Set = Row<'m>;

    fn set(&self, index: u32) -> Option<Row<'m>> {
        Memory::row(&self.conns, SET_WORDS, index)
    }
    fn set_mask(&self) -> u32 {
        self.sets() - 1
    }
    fn seed(&self) -> u64 {
        self.seed
    }
    fn count(&self) -> u32 {
        self.global[global::CONNS].get()
    }
    fn claim(&self, place: Place) -> u32 {
        conn::claim::<Be32, _>(self, place)
    }
    fn rival_wins(&self, mine: Entry<Be32, Row<'m>>, new: &NewEntry<Be32>) -> bool {
        conn::rival_wins(self, mine, new)
    }
    fn release(&self, entry: Entry<Be32, Row<'m>>) {
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

impl<'m> Tables<Be32> for &'m Memory {
    type Mem = Row<'m>;
    type Global = Row<'m>;
    const LAYER: Layer = Layer::Stack;

    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
    fn filter(&self) -> Option<&Filter> {
        Some(&self.filter)
    }
    fn service_id(&self, key: &ServiceKey) -> Option<u32> {
        (*key == self.service.key).then_some(SERVICE)
    }
    fn service(&self, id: u32) -> Option<&ServiceConfig> {
        (id == SERVICE).then_some(&self.service)
    }
    fn dest(&self, id: u32) -> Option<&DestConfig> {
        self.dests.get(id as usize)
    }
    fn bucket(&self, page: u32, bucket: u32) -> Option<u32> {
        self.buckets.get(page as usize * BUCKETS_PER_PAGE + bucket as usize).copied()
    }
    fn mark_rule(&self, _: u32) -> Option<&MarkRule> {
        None
    }
    fn source(&self, _: u32) -> Option<&SourceConfig> {
        None
    }
    fn datagram(&self, _key: &FragmentKey) -> Option<Datagram> {
        None
    }
    fn dest_state(&self, id: u32) -> Option<Row<'m>> {
        Memory::row(&self.dest_states, dest_state::WORDS, id)
    }
    fn sched_state(&self, service: u32) -> Option<Row<'m>> {
        (service == SERVICE).then_some(Row(&self.sched_state))
    }
    fn stats(&self, dest: u32) -> Option<Row<'m>> {
        Memory::row(&self.stats, stats::WORDS, dest)
    }
    fn global(&self) -> Option<Row<'m>> {
        Some(Row(&self.global))
    }
    fn hz(&self) -> u32 {
        HZ
    }
    fn random(&self) -> u32 {
        let state = self.random.get().wrapping_add(super::load::STEP);
        self.random.set(state);
        super::load::mix(state) as u32
    }
    fn route(&self, to: Be32, hop: &mut Hop<Be32>) {
        let flags = hop_flag::ROUTED | hop_flag::RESOLVED;
        *hop = Hop { flags, ifindex: 1, macs: [0; 3], mtu: 1500, via: to };
    }
    fn hinted_route(&self, _: &DestConfig, _: &mut Hop<Be32>) {}
    fn each_dest<L: Look>(&self, first: u32, look: &mut L) {
        let mut id = first;
        while let (Some(dest), Some(state)) = (self.dest(id), self.dest_state(id)) {
            if dest.is_available() && look.visit(&Candidate::of(id, dest, state)) {
                return;
            }
            id = dest.next;
        }
    }
    fn can_finish(&self, _: &Packet<Be32>, _: Decision, _: &Plan<Be32>) -> bool {
        true
    }
}

impl Mem for Row<'_> {
    fn load(self, word: usize) -> u32 {
        self.0[word].get()
    }
    fn store(self, word: usize, value: u32) {
        self.0[word].set(value)
    }
    fn fetch_add(self, word: usize, delta: u32) -> u32 {
        self.0[word].replace(self.load(word).wrapping_add(delta))
    }
    fn add(self, word: usize, delta: u32) {
        self.fetch_add(word, delta);
    }
    fn compare_swap(self, word: usize, old: u32, new: u32) -> u32 {
        let held = self.load(word);
        if held == old {
            self.store(word, new);
        }
        held
    }
    fn load64(self, word: usize) -> u64 {
        u64::from(self.load(word)) | u64::from(self.load(word + 1)) << 32
    }
    fn store64(self, word: usize, value: u64) {
        self.store(word, value as u32);
        self.store(word + 1, (value >> 32) as u32);
    }
    fn compare_swap64(self, word: usize, old: u64, new: u64) -> u64 {
        let held = self.load64(word);
        if held == old {
            self.store64(word, new);
        }
        held
    }
}
