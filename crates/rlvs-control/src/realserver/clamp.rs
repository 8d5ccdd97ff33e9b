//! The MSS of what clients hear from the VIPs, lowered to what fits through the tunnel: rlvs-ebpf's `clamp`, loaded, pinned and
//! attached to TC egress. Only where `--clamp-mss` asked for it.
//!
//! ```text
//! <bpffs>/rlvs/ns-<cookie>/realserver-mss/program          the program
//!                                         CLAMPS           the largest MSS for each VIP
//!                                         CLAMPED          how many segments had a larger one
//!                                         link-<ifindex>   tcx: removing the pin detaches it
//! ```
//!
//! A host does not know the way between director and itself, but it knows its interfaces. The smallest MTU of those that
//! requests may arrive on, less the headers of the tunnel, is the largest packet that comes through; where a router on the way
//! takes less, the operator has to say so.

use super::ebpf::key;
use super::hook::{Program, failed, io_os_error};
use super::install::{receivers, step};
use super::journal::Step;
use super::links::Link;
use super::{Done, Tunnel, Wanted, Work, sweep};
use crate::{Error, Result};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use rlvs_core::fwd::tun::{gre, gue};
use rlvs_core::wire::{ipv4, ipv6};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

const CLAMPS: &str = "CLAMPS";
const CLAMPED: &str = "CLAMPED";
const MAPS: [&str; 2] = [CLAMPS, CLAMPED];

/// Without options, which count as data (RFC 6691).
const TCP_LEN: usize = 20;

/// Less would be no way to work: a path of IPv4 has at least 576 bytes, one of IPv6 1280.
const LEAST: u16 = 400;

/// How large the MSS may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clamp {
    /// As large as the interfaces' MTU and the tunnel's headers let it be.
    Auto,
    To(u16),
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clamp::Auto => f.write_str("auto"),
            Clamp::To(mss) => write!(f, "{mss}"),
        }
    }
}

impl FromStr for Clamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Clamp> {
        match (text, text.parse::<u16>()) {
            ("auto", _) => Ok(Clamp::Auto),
            (_, Ok(mss)) if mss >= LEAST => Ok(Clamp::To(mss)),
            _ => Err(Error::Invalid(format!(
                "{text:?} is no MSS: it is auto, or a number of bytes from {LEAST} to 65535 (1360 fits nearly everywhere)"
            ))),
        }
    }
}

impl Clamp {
    /// The largest MSS for this VIP.
    pub fn most(self, vip: IpAddr, tunnel: Option<Tunnel>, mtu: u32) -> u32 {
        let ip = if vip.is_ipv4() { ipv4::MIN_LEN } else { ipv6::LEN };
        match self {
            Clamp::Auto => mtu.saturating_sub((tunnel_len(tunnel) + ip + TCP_LEN) as u32),
            Clamp::To(mss) => u32::from(mss),
        }
    }
}

/// All that a director may put in front of a packet. The outer header may be one of IPv6 whatever is inside; and without
/// `--tunnel` somebody else takes off nobody knows what.
fn tunnel_len(tunnel: Option<Tunnel>) -> usize {
    let words = match tunnel {
        Some(Tunnel::Ipip) => 0,
        Some(Tunnel::Gre) => gre::words(true),
        Some(Tunnel::Gue { .. }) | None => gue::WORDS,
    };
    ipv6::LEN + 4 * words
}

/// The smallest MTU of the interfaces that requests may arrive on; none if there are none.
pub fn mtu(devices: &[&Link]) -> Option<u32> {
    devices.iter().map(|link| link.mtu).min()
}

/// Sees to it that no VIP tells of a larger MSS.
pub fn install(work: &mut Work, done: &mut Done, wanted: &Wanted, clamp: Clamp) -> Result<()> {
    let all = work.links.all()?;
    let devices = receivers(wanted, &all);
    let Some(mtu) = mtu(&devices) else {
        return Err(Error::Invalid(
            "no interface is up on which --clamp-mss could work: set it up first, or name it (--dev DEV)"
                .to_string(),
        ));
    };
    let limits = wanted.vips.iter().map(|vip| (*vip, clamp.most(*vip, wanted.tunnel, mtu)));
    let limits: Vec<(IpAddr, u32)> = limits.collect();
    if let Some((_, most)) = limits.iter().find(|(_, most)| *most < u32::from(LEAST)) {
        return Err(Error::Invalid(format!(
            "an MTU of {mtu} leaves room for {most} bytes of TCP in a tunnel: too few; name the interface that requests \
             arrive on (--dev DEV), or say how many fit (--clamp-mss MSS)"
        )));
    }
    let pins = Program::Clamp.pins(work.cookie)?;
    sweep::dead_namespaces(work.cookie);
    if !complete(&pins) {
        step(work, done, Step::Pins { program: Program::Clamp }, |_| Program::Clamp.load(&pins, &MAPS))?;
    }
    for (vip, most) in &limits {
        if get(&pins, *vip)? != Some(*most) {
            step(work, done, Step::Clamped { address: *vip }, |_| set(&pins, *vip, *most))?;
        }
    }
    Program::Clamp.put_on(work, done, &devices)
}

/// The largest MSS that the VIP tells of now; none if nobody limits it.
pub fn of(cookie: u64, vip: IpAddr) -> Result<Option<u32>> {
    let pins = Program::Clamp.pins(cookie)?;
    if complete(&pins) { get(&pins, vip) } else { Ok(None) }
}

/// How many segments had a larger MSS.
pub fn clamped(cookie: u64) -> Result<u64> {
    let pins = Program::Clamp.pins(cookie)?;
    if !complete(&pins) {
        return Ok(0);
    }
    let opening = |e: &dyn fmt::Display| format!("opening the count of clamped segments: {e}");
    let data = MapData::from_pin(pins.join(CLAMPED)).map_err(|e| failed(opening(&e), e))?;
    let map = PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(data)).map_err(|e| failed(opening(&e), e))?;
    let per_cpu = map.get(&0, 0).map_err(|e| failed("reading the count of clamped segments", e))?;
    Ok(per_cpu.iter().sum())
}

/// Lets the VIP tell what it likes.
pub fn release(cookie: u64, vip: IpAddr) -> Result<()> {
    let pins = Program::Clamp.pins(cookie)?;
    if !complete(&pins) {
        return Ok(());
    }
    match clamps(&pins)?.remove(&key(vip)) {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(e) if io_os_error(&e) == Some(libc::ENOENT) => Ok(()),
        Err(e) => Err(failed(format!("no longer limiting the MSS of {vip}"), e)),
    }
}

fn complete(pins: &Path) -> bool {
    Program::Clamp.is_complete(pins, &MAPS)
}

fn clamps(pins: &Path) -> Result<HashMap<MapData, [u8; 16], u32>> {
    let data = MapData::from_pin(pins.join(CLAMPS)).map_err(|e| failed("opening the map of limits", e))?;
    HashMap::try_from(Map::HashMap(data)).map_err(|e| failed("opening the map of limits", e))
}

fn get(pins: &Path, vip: IpAddr) -> Result<Option<u32>> {
    match clamps(pins)?.get(&key(vip), 0) {
        Ok(most) => Ok(Some(most)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(e) => Err(failed("reading the map of limits", e)),
    }
}

fn set(pins: &Path, vip: IpAddr, most: u32) -> Result<()> {
    clamps(pins)?.insert(key(vip), most, 0).map_err(|e| match io_os_error(&e) {
        Some(libc::E2BIG) => Error::Full { what: "VIP", limit: 4096 },
        _ => failed(format!("limiting the MSS of {vip}"), e),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits() {
        let (four, six) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        let gue = Some(Tunnel::Gue { port: 6080 });
        for (clamp, vip, tunnel, mtu, most) in [
            // 1500 - 40 - 20 - 20, and so on.
            (Clamp::Auto, four, Some(Tunnel::Ipip), 1500, 1420),
            (Clamp::Auto, six, Some(Tunnel::Ipip), 1500, 1400),
            (Clamp::Auto, four, Some(Tunnel::Gre), 1500, 1412),
            (Clamp::Auto, four, gue, 1500, 1408),
            (Clamp::Auto, six, None, 1500, 1388),
            (Clamp::Auto, four, Some(Tunnel::Ipip), 9000, 8920),
            (Clamp::Auto, four, Some(Tunnel::Ipip), 68, 0),
            (Clamp::To(1300), four, gue, 1500, 1300),
            (Clamp::To(1300), six, None, 1400, 1300),
        ] {
            assert_eq!(clamp.most(vip, tunnel, mtu), most, "{clamp} {vip} {tunnel:?} {mtu}");
        }
    }

    #[test]
    fn clamps_by_name() {
        for clamp in [Clamp::Auto, Clamp::To(400), Clamp::To(65535)] {
            assert_eq!(clamp.to_string().parse::<Clamp>().unwrap(), clamp);
        }
        for text in ["", "399", "0", "65536", "-1", "on", "1360b"] {
            let error = text.parse::<Clamp>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
