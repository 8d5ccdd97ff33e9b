//! What is in place and what is missing: the wanted state from the journal, beside what the kernel says now.

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
    let devices = status.decapsulation.iter().flat_map(|d| &d.devices).filter(|d| !d.in_place);
    let devices = devices.map(|d| match d.hook {
        "ipip" => format!("{} is not up", d.device),
        _ => format!("our program is not on {} (an interface that came later?)", d.device),
    });
    let all: Vec<String> = vips.chain(settings).chain(devices).collect();
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
            let attached = |link: &&Link| -> Result<Attached> {
                let in_place = ebpf::attached(work, link)?;
                Ok(Attached { device: link.name.clone(), hook: ebpf::hook(), in_place })
            };
            let devices = receivers(wanted, all).iter().map(attached).collect::<Result<_>>()?;
            let counters = ebpf::counters(work.cookie)?.unwrap_or_default();
            Ok(Decapsulation { tunnel, by: "ebpf", devices, counters })
        }
    }
}

fn steps(work: &Work) -> impl Iterator<Item = &super::journal::Step> {
    work.journal.state.iter().flat_map(|s| &s.steps)
}
