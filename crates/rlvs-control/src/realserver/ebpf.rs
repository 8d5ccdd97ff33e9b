//! Our own decapsulation: the program of rlvs-ebpf's `realserver`, loaded, pinned and attached to TC ingress.
//!
//! ```text
//! <bpffs>/rlvs/ns-<cookie>/realserver/program          the program
//!                                     VIPS             whose tunnel packets it takes
//!                                     COUNTERS         what became of them
//!                                     link-<ifindex>   tcx: removing the pin detaches it
//! ```
//!
//! tcx where the kernel has it (6.6); below, a filter of the clsact qdisc, which needs no pin. No process has to live.

use super::journal::Step;
use super::links::Link;
use super::{Done, Tunnel, Work, counter, install::step, sweep};
use crate::links;
use crate::{Error, Result, bpffs};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::links::FdLink;
use aya::programs::tc::{
    NlOptions, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, ProgramInfo, SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/rlvs-realserver.bpf.o"));

/// The program's name in the object and, in all of its 15 letters, in the kernel.
const PROGRAM: &str = "rlvs_realserver";
const VIPS: &str = "VIPS";
const COUNTERS: &str = "COUNTERS";

/// `BPF_F_ADJ_ROOM_DECAP_L3_IPV4`, since Linux 6.3.
const DECAP_L3_IPV4: u64 = 1 << 7;

/// Where our filter stands among others of clsact: early, at "4", the IP protocol number of IP in IP.
const FILTER: NlOptions = NlOptions { priority: 4, handle: TcHandle::new(0, 4), classid: None };

/// Loads the program if it is not there, opens it for `vips` and attaches it to `devices`.
pub fn install(
    work: &mut Work,
    done: &mut Done,
    vips: &[IpAddr],
    tunnel: Tunnel,
    devices: &[&Link],
) -> Result<()> {
    let pins = pins(work.cookie)?;
    sweep::dead_namespaces(&pins);
    if !complete(&pins) {
        step(work, done, Step::Pins, |_| load(&pins))?;
    }
    for vip in vips.iter().filter(|v| v.is_ipv4()) {
        if !is_open(&pins, *vip, tunnel)? {
            step(work, done, Step::Opened { address: *vip }, |_| open(&pins, *vip, tunnel))?;
        }
    }
    for device in devices {
        if !attached(work, device)? {
            attach(work, done, &pins, device)?;
        }
    }
    Ok(())
}

/// Whether our program gets the packets of this interface.
pub fn attached(work: &Work, device: &Link) -> Result<bool> {
    let Some(ours) = program_id(&pins(work.cookie)?) else { return Ok(false) };
    if !has_tcx() {
        return Ok(work.links.ingress_programs(device.index)?.contains(&ours));
    }
    let (_, programs) = SchedClassifier::query_tcx(&device.name, TcAttachType::Ingress)
        .map_err(|e| failed(format!("asking for the programs on {}", device.name), e))?;
    Ok(programs.iter().any(|p| p.id() == ours))
}

/// How programs are attached here, for people.
pub fn hook() -> &'static str {
    if has_tcx() { "tcx" } else { "clsact" }
}

/// What became of tunnel packets, by name; none if the program is not there.
pub fn counters(cookie: u64) -> Result<Option<BTreeMap<&'static str, u64>>> {
    let pins = pins(cookie)?;
    if !complete(&pins) {
        return Ok(None);
    }
    let data = MapData::from_pin(pins.join(COUNTERS)).map_err(|e| failed("opening the counters", e))?;
    let map = PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(data))
        .map_err(|e| failed("opening the counters", e))?;
    let mut all = BTreeMap::new();
    // An older program may have fewer.
    for (index, name) in counter::NAMES.iter().enumerate().take(map.len() as usize) {
        let per_cpu = map.get(&(index as u32), 0).map_err(|e| failed("reading the counters", e))?;
        all.insert(*name, per_cpu.iter().sum());
    }
    Ok(Some(all))
}

/// Whether packets of this tunnel for the VIP are taken.
pub fn takes(cookie: u64, vip: IpAddr, tunnel: Tunnel) -> Result<bool> {
    let pins = pins(cookie)?;
    Ok(complete(&pins) && is_open(&pins, vip, tunnel)?)
}

/// Takes no more tunnel packets for the VIP.
pub fn close(cookie: u64, vip: IpAddr) -> Result<()> {
    let (pins, IpAddr::V4(v4)) = (pins(cookie)?, vip) else { return Ok(()) };
    if !complete(&pins) {
        return Ok(());
    }
    match vips(&pins)?.remove(&key(v4)) {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(e) if io_os_error(&e) == Some(libc::ENOENT) => Ok(()),
        Err(e) => Err(failed(format!("closing the tunnel for {vip}"), e)),
    }
}

pub fn detach_tcx(cookie: u64, index: u32) -> Result<()> {
    let pin = link_pin(&pins(cookie)?, index);
    links::detach(&pin);
    remove(&pin)
}

pub fn detach_filter(device: &str) -> Result<()> {
    match qdisc_detach_program(device, TcAttachType::Ingress, PROGRAM) {
        Err(TcError::IoError(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|e| failed(format!("detaching our program from {device}"), e)),
    }
}

/// Removes our pins, and with them the program and its maps.
pub fn unpin(cookie: u64) -> Result<()> {
    let pins = pins(cookie)?;
    unpin_at(&pins)?;
    if let Some(namespace) = pins.parent() {
        // If the director is here too, its pins keep the directory.
        let _ = fs::remove_dir(namespace);
    }
    Ok(())
}

fn load(pins: &Path) -> Result<()> {
    // Something half made (a crash) is in the way.
    unpin_at(pins)?;
    fs::create_dir_all(pins)
        .map_err(|e| Error::system(format!("making the directory {}", pins.display()), e))?;
    let refused = |reason: String| Error::Load { reason };
    let flags = if kernel_has(6, 3) { DECAP_L3_IPV4 } else { 0 };
    let mut object = aya::EbpfLoader::new()
        .override_global("ROOM_FLAGS", &flags, true)
        .load(OBJECT)
        .map_err(|e| refused(chain(&e)))?;
    for name in [VIPS, COUNTERS] {
        let map = object.map(name).ok_or_else(|| refused(format!("no map {name} in it")))?;
        map.pin(pins.join(name)).map_err(|e| failed(format!("pinning {name}"), e))?;
    }
    let program: &mut SchedClassifier = object
        .program_mut(PROGRAM)
        .ok_or_else(|| refused(format!("no program {PROGRAM} in it")))?
        .try_into()
        .map_err(|e| refused(chain(&e)))?;
    program.load().map_err(|e| refused(chain(&e)))?;
    // Last: with it, all is there.
    program.pin(pins.join("program")).map_err(|e| failed("pinning the program", e))
}

fn attach(work: &mut Work, done: &mut Done, pins: &Path, device: &Link) -> Result<()> {
    let (name, index) = (device.name.clone(), device.index);
    let what = format!("attaching our program to {name}");
    let mut program =
        SchedClassifier::from_pin(pins.join("program")).map_err(|e| failed("opening the program", e))?;
    if has_tcx() {
        let pin = link_pin(pins, index);
        return step(work, done, Step::Tcx { name, index }, |_| {
            // Left by an interface that had this number before us (a crash), or detached by somebody.
            remove(&pin)?;
            let options = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program
                .attach_with_options(&device.name, TcAttachType::Ingress, options)
                .map_err(|e| failed(&what, e))?;
            let link: FdLink = program
                .take_link(id)
                .map_err(|e| failed(&what, e))?
                .try_into()
                .map_err(|e| failed(&what, e))?;
            link.pin(&pin).map(|_| ()).map_err(|e| failed(&what, e))
        });
    }
    if !work.links.has_clsact(index)? {
        step(work, done, Step::Clsact { name: name.clone(), index }, |_| {
            qdisc_add_clsact(&device.name)
                .map_err(|e| failed(format!("adding a clsact qdisc to {}", device.name), e))
        })?;
    }
    step(work, done, Step::Filter { name, index }, |_| {
        // One of ours that is not the pinned program: an earlier run's.
        detach_filter(&device.name)?;
        let id = program
            .attach_with_options(&device.name, TcAttachType::Ingress, TcAttachOptions::Netlink(FILTER))
            .map_err(|e| failed(&what, e))?;
        // Dropped, it would be detached.
        std::mem::forget(program.take_link(id).map_err(|e| failed(&what, e))?);
        Ok(())
    })
}

fn pins(cookie: u64) -> Result<PathBuf> {
    Ok(bpffs::base()?.join(format!("ns-{cookie}")).join("realserver"))
}

fn link_pin(pins: &Path, index: u32) -> PathBuf {
    pins.join(format!("link-{index}"))
}

fn complete(pins: &Path) -> bool {
    ["program", VIPS, COUNTERS].iter().all(|name| pins.join(name).exists())
}

fn has_tcx() -> bool {
    kernel_has(6, 6)
}

fn kernel_has(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(major, minor, 0))
}

fn program_id(pins: &Path) -> Option<u32> {
    ProgramInfo::from_pin(pins.join("program")).ok().map(|p| p.id())
}

fn vips(pins: &Path) -> Result<HashMap<MapData, u32, u32>> {
    let data = MapData::from_pin(pins.join(VIPS)).map_err(|e| failed("opening the map of VIPs", e))?;
    HashMap::try_from(Map::HashMap(data)).map_err(|e| failed("opening the map of VIPs", e))
}

fn is_open(pins: &Path, vip: IpAddr, tunnel: Tunnel) -> Result<bool> {
    let IpAddr::V4(v4) = vip else { return Ok(false) };
    match vips(pins)?.get(&key(v4), 0) {
        Ok(number) => Ok(number == tunnel.number()),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(e) => Err(failed("reading the map of VIPs", e)),
    }
}

fn open(pins: &Path, vip: IpAddr, tunnel: Tunnel) -> Result<()> {
    let IpAddr::V4(v4) = vip else { return Ok(()) };
    vips(pins)?.insert(key(v4), tunnel.number(), 0).map_err(|e| match io_os_error(&e) {
        Some(libc::E2BIG) => Error::Full { what: "VIP", limit: 4096 },
        _ => failed(format!("opening the tunnel for {vip}"), e),
    })
}

/// The key of a VIP: its bytes as they are in the packet.
fn key(vip: std::net::Ipv4Addr) -> u32 {
    u32::from_ne_bytes(vip.octets())
}

fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", pin.display()), e))
        }
        _ => Ok(()),
    }
}

pub(super) fn unpin_at(pins: &Path) -> Result<()> {
    match fs::remove_dir_all(pins) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", pins.display()), e))
        }
        _ => Ok(()),
    }
}

fn failed(doing: impl Into<String>, error: impl std::error::Error + 'static) -> Error {
    match io_os_error(&error) {
        Some(code) => Error::system(doing, io::Error::from_raw_os_error(code)),
        None => Error::system(doing, io::Error::other(chain(&error))),
    }
}

fn io_os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    causes(error).find_map(|e| e.downcast_ref::<io::Error>()?.raw_os_error())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| e.source())
}

/// The error and its causes on one line; of the verifier's story only the end.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}
