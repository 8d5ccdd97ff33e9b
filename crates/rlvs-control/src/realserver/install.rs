//! The steps of `up`, each noted in the journal before it is taken and skipped where all is as it should be.

use super::journal::{By, Step};
use super::links::Link;
use super::sysctl::{self, Setting};
use super::{Decap, Done, Tunnel, Wanted, Work, clamp, ebpf};
use crate::{Error, Result};
use std::net::IpAddr;

/// The fallback device that the ipip module makes in every namespace, and ours where there is none.
const TUNL0: &str = "tunl0";
const OURS: &str = "rlvs-ipip0";

pub fn all(work: &mut Work, done: &mut Done) -> Result<()> {
    let wanted = wanted(work)?;
    if wanted.vips.iter().any(IpAddr::is_ipv4) {
        for device in arp_devices(&wanted) {
            for setting in [Setting::ArpIgnore, Setting::ArpAnnounce] {
                set(work, setting, &device, done)?;
            }
        }
    }
    for vip in &wanted.vips {
        address(work, *vip, done)?;
    }
    let takers = match wanted.tunnel {
        Some(tunnel) => take(work, &wanted, tunnel, done)?,
        None => filtered(&wanted, None, &work.links.all()?),
    };
    takers.iter().try_for_each(|device| set(work, Setting::RpFilter, device, done))?;
    match wanted.clamp {
        Some(clamp) => clamp::install(work, done, &wanted, clamp),
        None => Ok(()),
    }
}

/// Where requests seem to come from once they are out of any tunnel: there `rp_filter` must not be strict.
pub fn filtered(wanted: &Wanted, by: Option<&By>, all: &[Link]) -> Vec<String> {
    match by {
        Some(By::Kernel { device }) => vec![device.clone()],
        _ if wanted.vips.iter().any(IpAddr::is_ipv4) => {
            receivers(wanted, all).iter().map(|l| l.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// Where the two ARP settings belong.
pub fn arp_devices(wanted: &Wanted) -> Vec<String> {
    if wanted.devices.is_empty() { vec!["all".to_string()] } else { wanted.devices.clone() }
}

/// The interfaces on which tunnel packets may arrive.
pub fn receivers<'a>(wanted: &Wanted, all: &'a [Link]) -> Vec<&'a Link> {
    let named = |l: &&Link| wanted.devices.contains(&l.name);
    let any = |l: &&Link| wanted.devices.is_empty() && l.up && l.receives && !l.loopback;
    all.iter().filter(|l| named(l) || any(l)).collect()
}

/// Takes a step: noted first, then done.
pub fn step(
    work: &mut Work,
    done: &mut Done,
    step: Step,
    act: impl FnOnce(&Work) -> Result<()>,
) -> Result<()> {
    work.journal.note(step)?;
    act(work)?;
    done.changes += 1;
    Ok(())
}

fn set(work: &mut Work, setting: Setting, device: &str, done: &mut Done) -> Result<()> {
    let effective = setting.effective(device)?;
    if setting.does(effective) {
        return Ok(());
    }
    let (key, wanted) = (setting.key(device), setting.wanted());
    if effective > wanted {
        return Err(Error::Invalid(format!(
            "{} is {effective}, which means 0 to the kernel and hides any smaller value: set it to 0 in \
             /proc/sys/net/ipv4/conf/all and on the interfaces, then try again",
            setting.name()
        )));
    }
    let Some(was) = sysctl::read(&key)? else { return Err(Error::NoSuchDevice(device.to_string())) };
    let set = wanted.to_string();
    step(work, done, Step::Sysctl { key: key.clone(), was, set: set.clone() }, |_| sysctl::write(&key, &set))
}

fn address(work: &mut Work, vip: IpAddr, done: &mut Done) -> Result<()> {
    let all = work.links.all()?;
    let Some(lo) = all.iter().find(|l| l.loopback) else {
        return Err(Error::NoSuchDevice("lo".to_string()));
    };
    if work.links.addresses()?.iter().any(|a| a.index == lo.index && a.address == vip) {
        return Ok(());
    }
    let index = lo.index;
    step(work, done, Step::Address { address: vip }, |w| w.links.add_vip(index, vip).map(|_| ()))
}

/// Sees to it that somebody takes tunnel packets; returns where the inner ones come from.
fn take(work: &mut Work, wanted: &Wanted, tunnel: Tunnel, done: &mut Done) -> Result<Vec<String>> {
    let by = match state_by(work) {
        Some(by) => by,
        None => choose(work, tunnel, wanted, done)?,
    };
    if let Some(state) = &mut work.journal.state {
        state.by = Some(by.clone());
    }
    work.journal.save()?;

    let all = work.links.all()?;
    match &by {
        By::Kernel { device } => {
            let link = all.iter().find(|l| l.name == *device && l.ipip).ok_or_else(|| {
                Error::Invalid(format!("{device}, which took tunnel packets, is gone: run `rlvs realserver down`, then `up` again"))
            })?;
            if !link.up {
                step(work, done, Step::LinkUp { name: device.clone() }, |w| w.links.set_up(link, true))?;
            }
        }
        By::Ebpf => {
            let receivers = receivers(wanted, &all);
            if receivers.is_empty() {
                return Err(Error::Invalid(
                    "no interface is up on which tunnel packets could arrive: set it up first, or name it (--dev DEV)".to_string(),
                ));
            }
            ebpf::install(work, done, &wanted.vips, tunnel, &receivers)?;
        }
    }
    Ok(filtered(wanted, Some(&by), &all))
}

fn state_by(work: &Work) -> Option<By> {
    work.journal.state.as_ref()?.by.clone()
}

fn wanted(work: &Work) -> Result<Wanted> {
    let state = work.journal.state.as_ref();
    state.map(|s| s.wanted.clone()).ok_or_else(|| Error::Invalid("nothing is wanted".to_string()))
}

/// (The kernel's ipip device is for IPv4 in IPv4 alone.)
fn choose(work: &mut Work, tunnel: Tunnel, wanted: &Wanted, done: &mut Done) -> Result<By> {
    let auto = wanted.decap == Decap::Auto && wanted.vips.iter().all(IpAddr::is_ipv4);
    if tunnel != Tunnel::Ipip || wanted.decap != Decap::Kernel && !auto {
        return Ok(By::Ebpf);
    }
    match (kernel_device(work, done)?, wanted.decap) {
        (Ok(device), _) => Ok(By::Kernel { device }),
        (Err(_), Decap::Auto) => Ok(By::Ebpf),
        (Err(source), _) => Err(Error::system(
            "making an ipip device (without --decap kernel our own program takes the tunnel packets)",
            source,
        )),
    }
}

/// The name of an ipip device, made if need be (which loads the module); or why there is none.
fn kernel_device(work: &mut Work, done: &mut Done) -> Result<std::result::Result<String, std::io::Error>> {
    if let Some(name) = existing(work)? {
        return Ok(Ok(name));
    }
    let making = Step::Link { name: OURS.to_string() };
    work.journal.note(making.clone())?;
    let refused = match work.links.add_ipip(OURS) {
        Ok(()) => {
            done.changes += 1;
            return Ok(Ok(OURS.to_string()));
        }
        Err(e) => e,
    };
    // Nothing was made, so there is nothing to undo. But the module may be there now, and its device with it:
    // the two would take the same packets, so the kernel refused ours.
    if let Some(state) = &mut work.journal.state {
        state.steps.retain(|s| *s != making);
    }
    work.journal.save()?;
    Ok(existing(work)?.ok_or(refused))
}

fn existing(work: &Work) -> Result<Option<String>> {
    let all = work.links.all()?;
    let found = all.into_iter().find(|l| l.ipip && (l.name == TUNL0 || l.name == OURS));
    Ok(found.map(|l| l.name))
}
