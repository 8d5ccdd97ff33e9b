//! What is in place and what is missing: the wanted state from the journal, beside what the kernel says now.

use super::clamp::{self, Clamp};
use super::hook::{self, Program};
use super::install::{arp_devices, filtered, receivers};
use super::journal::By;
use super::links::{Address, Link, Received};
use super::sysctl::Setting;
use super::{Tunnel, Wanted, Work, ebpf, sysctl};
use crate::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// `up` was here.
    pub up: bool,
    /// Nothing is missing.
    pub complete: bool,
    /// The network namespace's cookie.
    pub namespace: u64,
    /// The interfaces it is limited to; empty for all.
    pub devices: Vec<String>,
    pub vips: Vec<VipStatus>,
    pub settings: Vec<SettingStatus>,
    pub decapsulation: Option<Decapsulation>,
    /// None if the MSS is left alone.
    pub clamping: Option<Clamping>,
    /// What is not as `up` made it, in words.
    pub missing: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct VipStatus {
    pub address: IpAddr,
    /// Where it was found, as `lo/32`.
    pub found: Vec<String>,
    pub in_place: bool,
    /// `down` removes it.
    pub ours: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct SettingStatus {
    /// As sysctl(8) takes it.
    pub name: String,
    pub wanted: String,
    pub found: Option<String>,
    /// What the kernel goes by: the larger of the interface's value and that of `all`.
    pub effective: Option<i64>,
    pub in_place: bool,
    /// What `down` restores.
    pub was: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Decapsulation {
    pub tunnel: Tunnel,
    /// `kernel` or `ebpf`.
    pub by: &'static str,
    pub devices: Vec<Attached>,
    /// For the kernel: what the device received. For ours: packets by what became of them.
    pub counters: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Attached {
    pub device: String,
    /// `tcx` or `clsact` for our program, `ipip` for the kernel's device.
    pub hook: &'static str,
    pub in_place: bool,
}

/// The MSS of what the VIPs send.
#[derive(Debug, Clone, Serialize)]
pub struct Clamping {
    /// `auto`, or the number that was asked for.
    pub asked: String,
    /// The largest MSS for each VIP; none if nobody limits it.
    pub limits: BTreeMap<IpAddr, Option<u32>>,
    pub devices: Vec<Attached>,
    /// Segments that had a larger one.
    pub clamped: u64,
}

/// What this network namespace is as a real server.
pub fn status() -> Result<Status> {
    let work = Work::begin()?;
    let mut status = Status {
        up: false,
        complete: false,
        namespace: work.cookie,
        devices: Vec::new(),
        vips: Vec::new(),
        settings: Vec::new(),
        decapsulation: None,
        clamping: None,
        missing: Vec::new(),
    };
    let Some(state) = &work.journal.state else { return Ok(status) };
    let wanted = &state.wanted;
    let all = work.links.all()?;
    let addresses = work.links.addresses()?;
    status.up = true;
    status.devices.clone_from(&wanted.devices);
    status.vips = wanted.vips.iter().map(|vip| vip_status(&work, *vip, &all, &addresses)).collect();

    if wanted.vips.iter().any(IpAddr::is_ipv4) {
        for device in arp_devices(wanted) {
            for setting in [Setting::ArpIgnore, Setting::ArpAnnounce] {
                status.settings.push(setting_status(&work, setting, &device)?);
            }
        }
    }
    for device in filtered(wanted, state.by.as_ref(), &all) {
        status.settings.push(setting_status(&work, Setting::RpFilter, &device)?);
    }
    if let (Some(tunnel), Some(by)) = (wanted.tunnel, &state.by) {
        let decapsulation = decapsulation(&work, wanted, tunnel, by, &all)?;
        if *by == By::Ebpf {
            for vip in &wanted.vips {
                if !ebpf::takes(work.cookie, *vip, tunnel)? {
                    status.missing.push(format!("tunnel packets for {vip} are not taken"));
                }
            }
        }
        status.decapsulation = Some(decapsulation);
    } else if wanted.tunnel.is_some() {
        status.missing.push("nobody takes tunnel packets".to_string());
    }
    if let Some(clamp) = wanted.clamp {
        status.clamping = Some(clamping(&work, wanted, clamp, &all, &mut status.missing)?);
    }
    missing(&mut status);
    status.complete = status.missing.is_empty();
    Ok(status)
}

fn missing(status: &mut Status) {
    let vips = status.vips.iter().filter(|v| !v.in_place).map(|v| match v.found.as_slice() {
        [] => format!("{} is not on lo", v.address),
        found => format!("{} is on {}, not on lo alone", v.address, found.join(" and ")),
    });
    let settings =
        status.settings.iter().filter(|s| !s.in_place).map(|s| {
            format!("{} is {}, wanted {}", s.name, s.found.as_deref().unwrap_or("not there"), s.wanted)
        });
    let decapsulation = status.decapsulation.iter().flat_map(|d| &d.devices);
    let devices = decapsulation.filter(|d| !d.in_place).map(|d| match d.hook {
        "ipip" => format!("{} is not up", d.device),
        _ => format!("our program is not on {} (an interface that came later?)", d.device),
    });
    let clamping = status.clamping.iter().flat_map(|c| &c.devices).filter(|d| !d.in_place);
    let clamping = clamping.map(|d| {
        format!("our program that lowers the MSS is not on {} (an interface that came later?)", d.device)
    });
    let all: Vec<String> = vips.chain(settings).chain(devices).chain(clamping).collect();
    status.missing.extend(all);
}

fn vip_status(work: &Work, vip: IpAddr, all: &[Link], addresses: &[Address]) -> VipStatus {
    let places: Vec<(&Link, &Address)> = addresses
        .iter()
        .filter(|a| a.address == vip)
        .filter_map(|a| Some((all.iter().find(|l| l.index == a.index)?, a)))
        .collect();
    VipStatus {
        address: vip,
        found: places.iter().map(|(link, a)| format!("{}/{}", link.name, a.prefix)).collect(),
        in_place: places.iter().any(|(link, _)| link.loopback) && !places.iter().any(|(link, _)| link.arp),
        ours: steps(work).any(|s| matches!(s, super::journal::Step::Address { address } if *address == vip)),
    }
}

fn setting_status(work: &Work, setting: Setting, device: &str) -> Result<SettingStatus> {
    let name = setting.key(device);
    let found = sysctl::read(&name)?;
    let effective = if found.is_some() { Some(setting.effective(device)?) } else { None };
    let wanted = match setting {
        Setting::RpFilter => "not 1".to_string(),
        _ => setting.wanted().to_string(),
    };
    // The first note is the oldest: what was there before us.
    let was = steps(work).find_map(|s| match s {
        super::journal::Step::Sysctl { key, was, .. } if *key == name => Some(was.clone()),
        _ => None,
    });
    let in_place = effective.is_some_and(|e| setting.does(e));
    Ok(SettingStatus { name, wanted, found, effective, in_place, was })
}

fn decapsulation(
    work: &Work,
    wanted: &Wanted,
    tunnel: Tunnel,
    by: &By,
    all: &[Link],
) -> Result<Decapsulation> {
    match by {
        By::Kernel { device } => {
            let link = all.iter().find(|l| l.name == *device && l.ipip);
            let Received { packets, bytes, errors, dropped } = link.map(|l| l.received).unwrap_or_default();
            let counters = [("packets", packets), ("bytes", bytes), ("errors", errors), ("dropped", dropped)];
            let attached =
                Attached { device: device.clone(), hook: "ipip", in_place: link.is_some_and(|l| l.up) };
            Ok(Decapsulation { tunnel, by: "kernel", devices: vec![attached], counters: counters.into() })
        }
        By::Ebpf => {
            let devices = attached(work, Program::Decap, &receivers(wanted, all))?;
            let counters = ebpf::counters(work.cookie)?.unwrap_or_default();
            Ok(Decapsulation { tunnel, by: "ebpf", devices, counters })
        }
    }
}

fn clamping(
    work: &Work,
    wanted: &Wanted,
    clamp: Clamp,
    all: &[Link],
    missing: &mut Vec<String>,
) -> Result<Clamping> {
    let devices = receivers(wanted, all);
    let mtu = clamp::mtu(&devices);
    let mut limits = BTreeMap::new();
    for vip in &wanted.vips {
        let is = clamp::of(work.cookie, *vip)?;
        let most = mtu.map(|mtu| clamp.most(*vip, wanted.tunnel, mtu));
        match (is, most) {
            (None, _) => missing.push(format!("nobody limits the MSS of {vip}")),
            (Some(is), Some(most)) if is != most => {
                missing.push(format!("the MSS of {vip} is limited to {is}, wanted {most} (another MTU?)"));
            }
            _ => {}
        }
        limits.insert(*vip, is);
    }
    Ok(Clamping {
        asked: clamp.to_string(),
        limits,
        devices: attached(work, Program::Clamp, &devices)?,
        clamped: clamp::clamped(work.cookie)?,
    })
}

fn attached(work: &Work, program: Program, devices: &[&Link]) -> Result<Vec<Attached>> {
    let attached = |link: &&Link| -> Result<Attached> {
        let in_place = program.is_on(work, link)?;
        Ok(Attached { device: link.name.clone(), hook: hook::kind(), in_place })
    };
    devices.iter().map(attached).collect()
}

fn steps(work: &Work) -> impl Iterator<Item = &super::journal::Step> {
    work.journal.state.iter().flat_map(|s| &s.steps)
}
