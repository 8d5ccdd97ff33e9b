//! Loading the programs: the committed object, with sizes and constants that fit this machine.

use crate::{Error, Result, bpffs};
use aya::maps::Map;
use aya::programs::links::FdLink;
use aya::programs::{Program, SchedClassifier, SkLookup, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_obj::programs::XdpAttachType;
use rlvs_core::maps::DROP_REASONS;
use std::path::Path;

/// Built by `cargo xtask bpf`; aligned, because it is an ELF file.
#[repr(align(16))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../bpf/rlvs-director.bpf.o"));

/// The programs that packets meet.
#[derive(Debug, PartialEq, Eq)]
pub struct Programs {
    pub tc: &'static str,
    pub xdp: &'static str,
    pub xdp_skb: &'static str,
}

/// For services of IPv4 and IPv6.
pub static BOTH: Programs = Programs { tc: "rlvs_tc", xdp: "rlvs_xdp", xdp_skb: "rlvs_xdp_skb" };
/// For IPv4 alone, as long as there is no service of IPv6: the kernel verifies them in half the time, which on a small
/// machine is seconds.
pub static FOUR: Programs = Programs { tc: "rlvs_tc4", xdp: "rlvs_xdp4", xdp_skb: "rlvs_xdp4_skb" };

pub const COMMAND: &str = "rlvs_command";
const NAMESPACE: &str = "rlvs_namespace";

/// The maps that are pinned; all of them are.
pub const MAPS: [&str; 25] = [
    "SETTINGS",
    "FILTER",
    "SERVICES",
    "SERVICE",
    "DEST",
    "BUCKETS",
    "MARKS",
    "SOURCES",
    "LINKS",
    "DEST_STATE",
    "SCHED_STATE",
    "STATS",
    "RATES",
    "DROPS",
    "CONNS",
    "CONNS6",
    "CALLS",
    "TRACE",
    "EVENTS",
    "GLOBAL",
    "TICKER",
    "DATAGRAMS",
    "FRAGMENTS_ASIDE",
    "ANSWERED",
    "PATH_MTU",
];

/// How many of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub services: u32,
    pub destinations: u32,
    /// Sets of 15 connections of IPv4, a power of two; sets of 7 of IPv6, likewise.
    pub connection_sets: u32,
    pub connection6_sets: u32,
    /// Pages of 256 buckets for hashing schedulers: dh and sh take one for each service, mh sixteen.
    pub bucket_pages: u32,
    pub cpus: u32,
    pub hz: u32,
}

impl Sizes {
    /// What fits this machine: connections of IPv4 may take a 64th of its memory, at least 15 thousand and at most 4
    /// million, those of IPv6 a quarter of that (where there are 7 in a set); counters (64 bytes for each destination and processor) at most 64 MB; buckets a 256th, at most 32 MB.
    pub fn of_this_machine() -> Sizes {
        let cpus = possible_cpus();
        let budget = memory_bytes() / 64;
        let sets = (budget / 1024).clamp(1 << 10, 1 << 18);
        let sets = 1u32 << sets.ilog2();
        let most = if memory_bytes() < 4 << 30 { 1 << 14 } else { 1 << 16 };
        let destinations = ((64 << 20) / (64 * cpus as u64)).clamp(4096, most) as u32;
        let bucket_pages = (memory_bytes() / 256 / 1024).clamp(512, 32768) as u32;
        Sizes {
            services: 16384,
            destinations,
            connection_sets: sets,
            connection6_sets: sets / 4,
            bucket_pages,
            cpus,
            hz: jiffies_per_second(),
        }
    }
}

/// The object with new maps; of the programs those that every instance needs are loaded, and attached to nothing.
pub fn load(sizes: &Sizes, seed: u64, programs: &Programs) -> Result<Ebpf> {
    let mut ebpf = object(sizes, seed, None)?;
    for name in [programs.tc, COMMAND] {
        let program: &mut SchedClassifier = typed(&mut ebpf, name)?;
        program.load().map_err(|e| unloadable(name, &e))?;
    }
    Ok(ebpf)
}

/// The object with the maps pinned in `dir`, its TC program for both families loaded.
pub fn load_both(dir: &Path, sizes: &Sizes, seed: u64) -> Result<Ebpf> {
    let mut ebpf = object(sizes, seed, Some(dir))?;
    let program: &mut SchedClassifier = typed(&mut ebpf, BOTH.tc)?;
    program.load().map_err(|e| unloadable(BOTH.tc, &e))?;
    Ok(ebpf)
}

/// A TC program of a loaded object.
pub fn tc_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    typed(ebpf, name)
}

/// Loads and pins an XDP program that works on the maps pinned in `dir`, if it is not there. The kernel takes its time to
/// verify a program (a tenth of a second, far more on a small machine), so only what is attached is loaded.
pub fn load_xdp(dir: &Path, name: &str, sizes: &Sizes, seed: u64) -> Result<Xdp> {
    let pin = dir.join(name);
    if !pin.exists() {
        let mut ebpf = object(sizes, seed, Some(dir))?;
        let program: &mut Xdp = typed(&mut ebpf, name)?;
        program.load().map_err(|e| unloadable(name, &e))?;
        program.pin(&pin).map_err(|e| unpinnable(name, dir, &e))?;
    }
    Xdp::from_pin(&pin, XdpAttachType::Interface).map_err(|e| unloadable(name, &e))
}

/// The object, with new maps or those pinned in a directory.
fn object(sizes: &Sizes, seed: u64, maps_in: Option<&Path>) -> Result<Ebpf> {
    let (mask, mask6) = (sizes.connection_sets - 1, sizes.connection6_sets - 1);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("HZ", &sizes.hz, true)
        .override_global("SET_MASK", &mask, true)
        .override_global("SET_MASK6", &mask6, true)
        .override_global("SEED", &seed, true)
        .override_global("CPUS", &sizes.cpus, true)
        .override_global("DESTINATIONS", &sizes.destinations, true)
        .override_global("SERVICE_SLOTS", &sizes.services, true)
        .map_max_entries("SERVICES", sizes.services)
        .map_max_entries("SERVICE", sizes.services)
        .map_max_entries("SCHED_STATE", sizes.services)
        .map_max_entries("DEST", sizes.destinations)
        .map_max_entries("DEST_STATE", sizes.destinations)
        .map_max_entries("BUCKETS", sizes.bucket_pages)
        .map_max_entries("RATES", sizes.destinations + sizes.services + 1)
        .map_max_entries("STATS", sizes.destinations * sizes.cpus)
        .map_max_entries("DROPS", sizes.cpus * DROP_REASONS as u32)
        .map_max_entries("CONNS", sizes.connection_sets)
        .map_max_entries("CONNS6", sizes.connection6_sets);
    if let Some(dir) = maps_in {
        for map in MAPS {
            loader.map_pin_path(map, dir.join(map));
        }
    }
    loader.load(&OBJECT.0).map_err(refused)
}

fn unloadable(name: &str, e: &dyn std::error::Error) -> Error {
    Error::Load { reason: format!("{name}: {}", chain(e)) }
}

fn unpinnable(name: &str, dir: &Path, e: &dyn std::error::Error) -> Error {
    Error::system(format!("pinning {name} in {}", dir.display()), std::io::Error::other(chain(e)))
}

/// Pins all maps and the loaded programs below `dir`.
pub fn pin(ebpf: &mut Ebpf, dir: &Path, programs: &Programs) -> Result<()> {
    for name in MAPS {
        let map =
            ebpf.map(name).ok_or_else(|| Error::Load { reason: format!("the object has no map {name}") })?;
        map.pin(dir.join(name)).map_err(|e| unpinnable(name, dir, &e))?;
    }
    pin_tc(ebpf, dir, programs.tc)?;
    pin_tc(ebpf, dir, COMMAND)
}

pub fn pin_tc(ebpf: &mut Ebpf, dir: &Path, name: &str) -> Result<()> {
    let program: &mut SchedClassifier = typed(ebpf, name)?;
    program.pin(dir.join(name)).map_err(|e| unpinnable(name, dir, &e))
}

/// Pins a link that lives as long as this network namespace: a look-up program that lets every socket be found.
pub fn pin_namespace_link(ebpf: &mut Ebpf, path: &Path) -> Result<()> {
    let problem = |e: &dyn std::error::Error| {
        Error::system("noting the network namespace", std::io::Error::other(chain(e)))
    };
    let program: &mut SkLookup = typed(ebpf, NAMESPACE)?;
    program.load().map_err(|e| problem(&e))?;
    let namespace = std::fs::File::open("/proc/thread-self/ns/net").map_err(|e| problem(&e))?;
    let id = program.attach(namespace).map_err(|e| problem(&e))?;
    let link: FdLink = program.take_link(id).map_err(|e| problem(&e))?.into();
    link.pin(path).map_err(|e| problem(&e))?;
    Ok(())
}

fn typed<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    let missing = || Error::Load { reason: format!("the object has no program {name}") };
    ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(|_| missing())
}

/// A map by its pin.
pub fn open_map(dir: &Path, name: &str) -> Result<aya::maps::MapData> {
    aya::maps::MapData::from_pin(dir.join(name)).map_err(|e| {
        Error::system(format!("opening {}", dir.join(name).display()), std::io::Error::other(chain(&e)))
    })
}

/// The same as a hash map.
pub fn open_hash<K: aya::Pod, V: aya::Pod>(
    dir: &Path,
    name: &str,
) -> Result<aya::maps::HashMap<aya::maps::MapData, K, V>> {
    let map = Map::HashMap(open_map(dir, name)?);
    map.try_into().map_err(|e: aya::maps::MapError| {
        Error::system(format!("opening map {name}"), std::io::Error::other(e))
    })
}

/// Says in our words why the kernel refused.
fn refused(e: aya::EbpfError) -> Error {
    let text = chain(&e);
    if text.contains("Operation not permitted") || text.contains("os error 1)") {
        return Error::PermissionDenied(
            "loading packet programs needs root (CAP_BPF and CAP_NET_ADMIN)".into(),
        );
    }
    if text.contains("os error 12)") || text.contains("os error 7)") {
        return Error::Load { reason: format!("not enough memory for the tables: {text}") };
    }
    Error::Load { reason: format!("{text} (Linux {}; 6.1 or newer is needed)", bpffs::kernel_release()) }
}

/// An error and its causes on one line.
pub fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        let c_text = c.to_string();
        if !text.contains(&c_text) {
            text = format!("{text}: {c_text}");
        }
        cause = c.source();
    }
    text
}

/// Jiffies per second: the coarse clock moves once in each.
pub fn jiffies_per_second() -> u32 {
    let mut resolution = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a timespec that lives over the call.
    let rc = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut resolution) };
    if rc != 0 || resolution.tv_nsec == 0 {
        return 250;
    }
    (1_000_000_000 + resolution.tv_nsec as u64 / 2).checked_div(resolution.tv_nsec as u64).unwrap_or(250)
        as u32
}

fn possible_cpus() -> u32 {
    aya::util::nr_cpus().unwrap_or(1) as u32
}

pub fn memory_bytes() -> u64 {
    // SAFETY: plain queries.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    pages.max(0) as u64 * size.max(0) as u64
}

pub fn random() -> Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: a buffer of the size given.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if n != 8 {
        return Err(Error::system("asking for random bytes", std::io::Error::last_os_error()));
    }
    Ok(u64::from_ne_bytes(bytes))
}
