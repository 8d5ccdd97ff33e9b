//! Our own decapsulation: the program of rlvs-ebpf's `realserver`, loaded, pinned and attached to TC ingress.
//!
//! ```text
//! <bpffs>/rlvs/ns-<cookie>/realserver/program          the program
//!                                     OPENED           whose tunnel packets it takes
//!                                     COUNTERS         what became of them
//!                                     link-<ifindex>   tcx: removing the pin detaches it
//! ```

use super::hook::{Program, failed, io_os_error};
use super::journal::Step;
use super::links::Link;
use super::{Done, Tunnel, Work, counter, install::step, sweep};
use crate::{Error, Result};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

const OPENED: &str = "OPENED";
const COUNTERS: &str = "COUNTERS";
const MAPS: [&str; 2] = [OPENED, COUNTERS];

/// Loads the program if it is not there, opens it for `vips` and attaches it to `devices`.
pub fn install(
    work: &mut Work,
    done: &mut Done,
    vips: &[IpAddr],
    tunnel: Tunnel,
    devices: &[&Link],
) -> Result<()> {
    let pins = Program::Decap.pins(work.cookie)?;
    sweep::dead_namespaces(work.cookie);
    if !complete(&pins) {
        step(work, done, Step::Pins { program: Program::Decap }, |_| Program::Decap.load(&pins, &MAPS))?;
    }
    for vip in vips {
        if !is_open(&pins, *vip, tunnel)? {
            step(work, done, Step::Opened { address: *vip }, |_| open(&pins, *vip, tunnel))?;
        }
    }
    Program::Decap.put_on(work, done, devices)
}

/// What became of tunnel packets, by name; none if the program is not there.
pub fn counters(cookie: u64) -> Result<Option<BTreeMap<&'static str, u64>>> {
    let pins = Program::Decap.pins(cookie)?;
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
    let pins = Program::Decap.pins(cookie)?;
    Ok(complete(&pins) && is_open(&pins, vip, tunnel)?)
}

/// Takes no more tunnel packets for the VIP.
pub fn close(cookie: u64, vip: IpAddr) -> Result<()> {
    let pins = Program::Decap.pins(cookie)?;
    if !complete(&pins) {
        return Ok(());
    }
    match opened(&pins)?.remove(&key(vip)) {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(e) if io_os_error(&e) == Some(libc::ENOENT) => Ok(()),
        Err(e) => Err(failed(format!("closing the tunnel for {vip}"), e)),
    }
}

fn complete(pins: &Path) -> bool {
    Program::Decap.is_complete(pins, &MAPS)
}

fn opened(pins: &Path) -> Result<HashMap<MapData, [u8; 16], u32>> {
    let data = MapData::from_pin(pins.join(OPENED)).map_err(|e| failed("opening the map of VIPs", e))?;
    HashMap::try_from(Map::HashMap(data)).map_err(|e| failed("opening the map of VIPs", e))
}

fn is_open(pins: &Path, vip: IpAddr, tunnel: Tunnel) -> Result<bool> {
    match opened(pins)?.get(&key(vip), 0) {
        Ok(number) => Ok(number == tunnel.number()),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(e) => Err(failed("reading the map of VIPs", e)),
    }
}

fn open(pins: &Path, vip: IpAddr, tunnel: Tunnel) -> Result<()> {
    opened(pins)?.insert(key(vip), tunnel.number(), 0).map_err(|e| match io_os_error(&e) {
        Some(libc::E2BIG) => Error::Full { what: "VIP", limit: 4096 },
        _ => failed(format!("opening the tunnel for {vip}"), e),
    })
}

/// The key of a VIP: its bytes as they are in the packet, IPv4 as ::ffff:0:0/96.
pub fn key(vip: IpAddr) -> [u8; 16] {
    match vip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
