//! Everything around a director, in plain memory.

use crate::memory::{Row, Rows};
use crate::network::Network;
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::{Entry, SET_WORDS};
use rlvs_core::maps::sysctl::{self, Setting};
use rlvs_core::maps::{
    Datagram, DestConfig, Filter, FragmentKey, MarkRule, NONE, ServiceConfig, ServiceKey, Settings,
    SourceConfig, dest_state, global,
};
use rlvs_core::mem::Mem;
use rlvs_core::path::DropReason;
use rlvs_core::proto;
use rlvs_core::wire::Be32;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many of everything.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub services: usize,
    pub destinations: usize,
    /// A power of two.
    pub connection_sets: usize,
    pub cpus: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { services: 16, destinations: 64, connection_sets: 64, cpus: 1 }
    }
}

pub struct World {
    pub network: Network,
    pub settings: Settings,
    pub filter: Box<Filter>,
    pub(crate) services: HashMap<ServiceKey, u32>,
    pub(crate) service: Vec<ServiceConfig>,
    pub(crate) dest: Vec<DestConfig>,
    pub(crate) sched_state: Rows<16>,
    pub(crate) dest_state: Rows<16>,
    pub(crate) stats: Rows<16>,
    pub(crate) global: Rows<{ global::WORDS }>,
    /// A table for each service slot.
    pub(crate) buckets: Vec<Vec<u32>>,
    pub marks: Vec<MarkRule>,
    /// Source addresses of FULLNAT; as many as the settings say count.
    pub sources: Vec<SourceConfig>,
    pub(crate) conns: Rows<SET_WORDS>,
    pub(crate) datagrams: Mutex<HashMap<FragmentKey, Datagram>>,
    /// Fragments that wait for their first one, and those that come in again after it.
    pub(crate) aside: Mutex<Vec<(FragmentKey, u32, Vec<u8>)>>,
    pub(crate) again: Mutex<Vec<(u32, Vec<u8>)>>,
    drops: [AtomicU64; 64],
    now: AtomicU32,
    random: AtomicU64,
    /// Secret of the connection table's hash.
    pub(crate) seed: u64,
    pub(crate) cpus: usize,
}

/// Connections of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Loads {
    pub active: u32,
    pub inactive: u32,
    pub total: u32,
    pub persistent: u32,
    pub mappings: u32,
    pub overloaded: bool,
}

impl World {
    /// Jiffies per second here.
    pub const HZ: u32 = 250;

    pub fn new(sizes: Sizes, seed: u64) -> World {
        assert!(sizes.connection_sets.is_power_of_two());
        let settings = Settings {
            service_slots: sizes.services as u32,
            dest_slots: sizes.destinations as u32,
            ..Settings::new(World::HZ)
        };
        World {
            network: Network::default(),
            settings,
            filter: Box::new(Filter { virtual_addrs: [0; 2048], real_addrs: [0; 2048] }),
            services: HashMap::new(),
            service: vec![ServiceConfig::EMPTY; sizes.services],
            dest: vec![DestConfig::EMPTY; sizes.destinations],
            sched_state: Rows::new(sizes.services),
            dest_state: Rows::new(sizes.destinations),
            stats: Rows::new(sizes.destinations * sizes.cpus),
            global: Rows::new(1),
            buckets: vec![Vec::new(); sizes.services],
            marks: Vec::new(),
            sources: Vec::new(),
            conns: Rows::new(sizes.connection_sets),
            datagrams: Mutex::default(),
            aside: Mutex::default(),
            again: Mutex::default(),
            drops: std::array::from_fn(|_| AtomicU64::new(0)),
            // A jiffies counter starts shortly before it wraps, as Linux's does: so every test lives through it.
            now: AtomicU32::new(0u32.wrapping_sub(300 * World::HZ)),
            random: AtomicU64::new(seed),
            seed,
            cpus: sizes.cpus,
        }
    }

    /// The clock, in jiffies. It stands still until it is moved.
    pub fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn advance(&self, jiffies: u32) {
        self.now.fetch_add(jiffies, Ordering::Relaxed);
    }

    /// Frames that come in again, with their interfaces: fragments that had waited for their first one.
    pub fn come_again(&self) -> Vec<(u32, Vec<u8>)> {
        std::mem::take(&mut self.again.lock().expect("no panic meanwhile"))
    }

    /// The fragment that was set aside last is forgotten.
    pub fn forget_waiting(&self) {
        self.aside.lock().expect("no panic meanwhile").pop();
    }

    /// Sets what `rlvs sysctl` sets.
    pub fn sysctl(&mut self, name: &str, value: u32) {
        let definition = sysctl::by_name(name).unwrap_or_else(|| panic!("no setting {name}"));
        self.settings.sysctl[definition.setting as usize] = value;
    }

    pub fn setting(&self, setting: Setting) -> u32 {
        self.settings.sysctl(setting)
    }

    /// Adds a rule of `rlvs mark`.
    pub fn mark(&mut self, rule: MarkRule) {
        self.marks.push(rule);
        self.settings.mark_rules = self.marks.len() as u32;
    }

    /// Adds an address of `rlvs source`.
    pub fn source(&mut self, address: Ipv4Addr, first: u16, last: u16) {
        let addr = [Be32::from_bytes(address.octets()), Be32(0), Be32(0), Be32(0)];
        self.sources.push(SourceConfig { addr, first_port: first, ports: last - first + 1, pad: 0 });
        self.settings.sources = self.sources.len() as u32;
    }

    pub fn unmark(&mut self) {
        self.marks.clear();
        self.settings.mark_rules = 0;
    }

    /// Moves the clock and does what the kernel timer does meanwhile.
    pub fn wait_secs(&self, secs: u32) {
        for _ in 0..secs {
            self.advance(World::HZ);
            self.sweep();
            self.watch();
        }
    }

    /// The next random number (SplitMix64).
    pub(crate) fn random(&self) -> u32 {
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        crate::random::mix(state) as u32
    }

    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.drops[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Ordering::Relaxed)
    }

    /// What `GLOBAL` says of how many entries the table has.
    pub fn connection_count(&self) -> u32 {
        self.global.row(0).map_or(0, |g| g.load(global::CONNS))
    }

    /// What it says of how many data connections of FTP are expected.
    pub fn expected_count(&self) -> u32 {
        self.global.row(0).map_or(0, |g| g.load(global::EXPECTED))
    }

    /// All live entries, but what schedulers remember.
    pub fn connections(&self) -> Vec<Entry<Be32, Row<'_>>> {
        self.entries().filter(|e| e.word().is_live() && !e.word().has(Word::MAPPING)).collect()
    }

    /// Every way of every set that has a tag, live or not.
    pub fn entries(&self) -> impl Iterator<Item = Entry<Be32, Row<'_>>> {
        (0..self.conns.len()).flat_map(|i| self.conns.row(i).map(|set| (i, set))).flat_map(|(i, set)| {
            let ways = 1..=Entry::<Be32, Row>::WAYS;
            ways.filter(move |w| rlvs_core::conn::tags::tag(set, *w) != 0)
                .map(move |way| Entry::new(set, way, i as u32))
        })
    }

    /// The words of a set of the connection table.
    pub fn set_words(&self, index: usize) -> Option<Row<'_>> {
        self.conns.row(index)
    }

    pub fn sets(&self) -> usize {
        self.conns.len()
    }

    pub fn loads(&self, dest: u32) -> Loads {
        let Some(s) = self.dest_state.row(dest as usize) else {
            return Loads::default();
        };
        Loads {
            active: s.load(dest_state::ACTIVE),
            inactive: s.load(dest_state::INACTIVE),
            persistent: s.load(dest_state::PERSISTENT),
            mappings: s.load(dest_state::MAPPINGS),
            total: s.load(dest_state::TOTAL) & !dest_state::OVERLOADED,
            overloaded: s.load(dest_state::TOTAL) & dest_state::OVERLOADED != 0,
        }
    }

    pub fn dest_config(&self, dest: u32) -> &DestConfig {
        &self.dest[dest as usize]
    }

    /// Destination ids of a service, the newest first.
    pub fn dests(&self, key: (u8, SocketAddrV4)) -> Vec<u32> {
        let mut list = Vec::new();
        let mut id = self.service_id(key).map_or(NONE, |s| self.service[s as usize].first);
        while (id as usize) < self.dest.len() {
            assert!(list.len() < self.dest.len(), "the list of {key:?} goes round");
            list.push(id);
            id = self.dest[id as usize].next;
        }
        list
    }

    pub fn service_id(&self, key: (u8, SocketAddrV4)) -> Option<u32> {
        self.services.get(&crate::rules::service_key(key)).copied()
    }
}

impl std::fmt::Display for World {
    /// The whole state, for a test that failed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "now {} jiffies, {} connections", self.now(), self.connection_count())?;
        for (id, d) in self.dest.iter().enumerate().filter(|(_, d)| d.flags != 0) {
            let (addr, port, l) = (d.addr[0].bytes(), d.port.get(), self.loads(id as u32));
            writeln!(f, "dest {id} {addr:?}:{port} weight {} flags {:#x} {l:?}", d.weight, d.flags)?;
        }
        for e in self.connections() {
            let state = proto::state_name(e.proto(), e.word().state(), e.word().has(Word::TEMPLATE));
            let (client, cport, left) = (e.client().bytes(), e.client_port().get(), e.expires_in(self.now()));
            writeln!(f, "conn {:#x} {client:?}:{cport} -> dest {} {state} {left} jiffies", e.id, e.dest())?;
        }
        for reason in DropReason::ALL.iter().filter(|r| self.drops(**r) > 0) {
            writeln!(f, "dropped {} {}", self.drops(*reason), reason.word())?;
        }
        Ok(())
    }
}
