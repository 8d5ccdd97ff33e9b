//! The maps, under the names and with the values of `rlvs_core::maps`. User space sets the real sizes at load time.

use crate::family::Six;
use crate::{fragments, split, sum};
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, bpf_timer};
use aya_ebpf::btf_maps;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use rlvs_core::conn::entry::NewEntry;
use rlvs_core::conn::{Flow, SET_WORDS};
use rlvs_core::maps::{
    BUCKETS_PER_PAGE, CALL_ID_LEN, Datagram, DestConfig, Filter, FragmentKey, MarkRule, SOURCES_PER_FAMILY,
    ServiceConfig, ServiceKey, Settings, SourceConfig, TraceConfig, dest_state, global, rates, stats,
};
use rlvs_core::path::Plan;
use rlvs_core::wire::{Packet, Quote};

/// Room for the part of a message that is looked at, and a Call-ID that begins at its end.
pub const MESSAGE_LEN: usize = 2048;
/// `BPF_F_MMAPABLE` (Linux 5.5): user space reads and writes these without a system call.
const SHARED: u32 = 1 << 10;

#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(1, SHARED);
#[map]
pub static FILTER: Array<Filter> = Array::with_max_entries(1, SHARED);
#[map]
pub static SERVICES: HashMap<ServiceKey, u32> = HashMap::with_max_entries(1024, 0);
#[map]
pub static SERVICE: Array<ServiceConfig> = Array::with_max_entries(1024, SHARED);
#[map]
pub static DEST: Array<DestConfig> = Array::with_max_entries(1024, SHARED);
#[map]
pub static BUCKETS: Array<[u32; BUCKETS_PER_PAGE]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static MARKS: Array<MarkRule> = Array::with_max_entries(1024, SHARED);
/// Source addresses of FULLNAT.
#[map]
pub static SOURCES: Array<SourceConfig> = Array::with_max_entries(2 * SOURCES_PER_FAMILY, SHARED);
#[map]
pub static LINKS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

#[map]
pub static DEST_STATE: Array<[u32; dest_state::WORDS]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static SCHED_STATE: Array<[u32; 16]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static STATS: Array<[u32; stats::WORDS]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static RATES: Array<[u32; rates::WORDS]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static DROPS: Array<u64> = Array::with_max_entries(64, SHARED);
#[map]
pub static CONNS: Array<[u32; SET_WORDS]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static CONNS6: Array<[u32; SET_WORDS]> = Array::with_max_entries(1024, SHARED);
#[map]
pub static GLOBAL: Array<[u32; global::WORDS]> = Array::with_max_entries(1, SHARED);

/// What of an IPv6 packet is too large for the stack of 512 bytes. Packets are looked at one by one on each processor:
/// softirqs are off meanwhile, and none of these programs runs inside another.
pub struct Scratch {
    pub packet: Packet<Six>,
    pub plan: Plan<Six>,
    /// For the step that is called next.
    pub flow: Flow<Six>,
    pub entry: NewEntry<Six>,
    pub quote: Quote<Six>,
}
#[map]
pub static SCRATCH6: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: see `Scratch`; zeroes are a value of it.
    SCRATCH6.get_ptr_mut(0).map(|p| unsafe { &mut *p })
}

/// The bytes that are being summed, on each processor.
#[map]
pub static STRETCH: PerCpuArray<[u8; sum::CHUNK]> = PerCpuArray::with_max_entries(1, 0);

/// Datagrams that come in fragments: the oldest have to give way.
#[map]
pub static DATAGRAMS: LruHashMap<FragmentKey, Datagram> = LruHashMap::with_max_entries(8192, 0);
#[map]
pub static FRAGMENTS_ASIDE: Array<[u32; fragments::PLACE_WORDS]> =
    Array::with_max_entries(fragments::PLACES, 0);

/// MTUs of the ways to real servers, as routers on them told, and when. (All four words of an address: IPv4 in the first.)
#[map]
pub static PATH_MTU: LruHashMap<[u32; 4], [u32; 2]> = LruHashMap::with_max_entries(4096, 0);

/// Who got ICMP errors, and how many more each may get (see `rlvs_core::path::limit`).
#[map]
pub static ANSWERED: LruHashMap<[u32; 4], [u32; 2]> = LruHashMap::with_max_entries(4096, 0);

/// The data of the packet that is being cut up, on each processor.
#[map]
pub static DATA: PerCpuArray<[u8; split::BUFFER]> = PerCpuArray::with_max_entries(1, 0);

/// What `rlvs trace` asks for, and its answers.
#[map]
pub static TRACE: Array<TraceConfig> = Array::with_max_entries(1, SHARED);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);

/// Call-IDs of templates (persistence engine sip), for listings: by the template's link and the family's number. Takes
/// memory only for what is in it.
#[map]
pub static CALLS: HashMap<[u32; 2], [u8; CALL_ID_LEN]> =
    HashMap::with_max_entries(1 << 16, BPF_F_NO_PREALLOC);
/// The SIP message that is being looked at, on each processor.
pub struct Message {
    pub bytes: [u8; MESSAGE_LEN],
    pub id_at: u32,
}
#[map]
pub static MESSAGE: PerCpuArray<Message> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
pub struct Ticker {
    pub timer: bpf_timer,
}
#[btf_map]
pub static TICKER: btf_maps::Array<Ticker, 1> = btf_maps::Array::new();

/// Jiffies per second of this kernel.
#[unsafe(no_mangle)]
pub static HZ: Global<u32> = Global::new(250);
/// Sets of the connection tables, less one: IPv4's and IPv6's.
#[unsafe(no_mangle)]
pub static SET_MASK: Global<u32> = Global::new(1023);
#[unsafe(no_mangle)]
pub static SET_MASK6: Global<u32> = Global::new(1023);
/// Secret of their hash.
#[unsafe(no_mangle)]
pub static SEED: Global<u64> = Global::new(0);
/// Processors that may exist: rows of `STATS` for each destination.
#[unsafe(no_mangle)]
pub static CPUS: Global<u32> = Global::new(1);
/// Slots of `DEST` and of `SERVICE`: where in `RATES` the services and the total are.
#[unsafe(no_mangle)]
pub static DESTINATIONS: Global<u32> = Global::new(1024);
#[unsafe(no_mangle)]
pub static SERVICE_SLOTS: Global<u32> = Global::new(1024);
