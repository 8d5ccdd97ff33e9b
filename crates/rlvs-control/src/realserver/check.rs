//! What `up` refuses, before it has changed anything.

use super::journal::{By, State};
use super::links::{Address, Link, Links};
use super::{Decap, Tunnel, Wanted};
use crate::{Error, Result};
use std::net::IpAddr;

/// Refuses what cannot work; tells in `notes` what may surprise. `more` is what is asked for now, `wanted` that and what
/// there was `before`.
pub fn asked(
    more: &Wanted,
    wanted: &Wanted,
    links: &Links,
    before: Option<&State>,
    notes: &mut Vec<String>,
) -> Result<()> {
    if more.vips.is_empty() {
        return invalid("no VIP given: which address do clients ask for? (--vip ADDRESS)");
    }
    for vip in &more.vips {
        unicast(*vip)?;
    }
    let all = links.all()?;
    for name in more.devices.iter().chain(&wanted.devices) {
        device(name, &all, wanted)?;
    }
    if before.is_some() && wanted.devices.is_empty() && !more.devices.is_empty() {
        notes.push(format!(
            "it is up on all interfaces already, not on {} alone (run `rlvs realserver down` first to limit it)",
            more.devices.join(", ")
        ));
    }
    let addresses = links.addresses()?;
    for vip in &wanted.vips {
        elsewhere(*vip, &all, &addresses, notes)?;
    }
    let is_ipip = wanted.tunnel.is_none_or(|tunnel| tunnel == Tunnel::Ipip);
    if let Some(tunnel) = wanted.tunnel
        && !is_ipip
        && wanted.decap == Decap::Kernel
    {
        return Err(Error::NotSupported(format!(
            "a device of the kernel's for {tunnel} (leave --decap out; or make it yourself, and run `up` without --tunnel)"
        )));
    }
    let six = more.vips.iter().find(|vip| more.tunnel.is_some() && vip.is_ipv6());
    if let (Some(vip), Decap::Kernel) = (six, wanted.decap) {
        return Err(Error::NotSupported(format!(
            "a device of the kernel's for the IPv6 VIP {vip}: its ipip is for IPv4 in IPv4 alone (leave --decap out; or make \
             an ip6tnl or sit device yourself, and run `up` without --tunnel)"
        )));
    }
    match (before.and_then(|s| s.by.as_ref()), wanted.decap) {
        (Some(By::Kernel { device }), _) if !is_ipip => {
            invalid(&format!("{device} takes ipip packets already: run `rlvs realserver down` first"))
        }
        (Some(By::Kernel { device }), _) if six.is_some() => invalid(&format!(
            "{device} takes tunnel packets already, and is for IPv4 in IPv4 alone: run `rlvs realserver down` first, then \
             `up` with all VIPs"
        )),
        (Some(By::Kernel { device }), Decap::Ebpf) => {
            invalid(&format!("{device} takes tunnel packets already: run `rlvs realserver down` first"))
        }
        (Some(By::Ebpf), Decap::Kernel) => {
            invalid("our own program takes tunnel packets already: run `rlvs realserver down` first")
        }
        _ => Ok(()),
    }
}

fn unicast(vip: IpAddr) -> Result<()> {
    let why_not = match vip {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => Some("means \"this network\""),
            [127, ..] => Some("is loopback: no packet with it travels a network"),
            [224..=239, ..] => Some("is multicast"),
            [240..=255, ..] => Some("is broadcast or reserved"),
            _ => None,
        },
        IpAddr::V6(v6) if v6.is_unspecified() => Some("means \"no address\""),
        IpAddr::V6(v6) if v6.is_loopback() => Some("is loopback: no packet with it travels a network"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("is multicast"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("is link-local: clients behind a router cannot ask for it")
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address in disguise: write it as one")
        }
        IpAddr::V6(_) => None,
    };
    match why_not {
        Some(why) => invalid(&format!("{vip} cannot be a VIP: it {why}; a VIP is a unicast address")),
        None => Ok(()),
    }
}

fn device(name: &str, all: &[Link], wanted: &Wanted) -> Result<()> {
    let Some(link) = all.iter().find(|l| l.name == name) else {
        return Err(Error::NoSuchDevice(name.to_string()));
    };
    if link.loopback {
        return invalid(&format!(
            "{name} does not face the network; --dev takes the interface on which requests arrive"
        ));
    }
    if (wanted.tunnel.is_some() || wanted.clamp.is_some()) && !link.receives {
        return invalid(&format!(
            "{name} is no interface on which tunnel packets arrive (a tunnel itself?); --dev takes the one they come in by"
        ));
    }
    Ok(())
}

/// A VIP that is on another interface than `lo` already.
fn elsewhere(vip: IpAddr, all: &[Link], addresses: &[Address], notes: &mut Vec<String>) -> Result<()> {
    for found in addresses {
        let Some(link) = all.iter().find(|l| l.index == found.index) else { continue };
        if found.address != vip && is_broadcast(vip, found) {
            return invalid(&format!("{vip} cannot be a VIP: it is the broadcast address of {}", link.name));
        }
        if found.address != vip || link.loopback {
            continue;
        }
        if link.arp {
            return invalid(&format!(
                "{vip} is on {name} already, which answers ARP for it: a real server has the VIP on lo only \
                 (`ip addr del {vip}/{prefix} dev {name}`; or is this the director, or {vip} the real server's own address?)",
                name = link.name,
                prefix = found.prefix,
            ));
        }
        notes.push(format!("{vip} is on {} too, which answers no ARP: left there", link.name));
    }
    Ok(())
}

/// The one that is set, or the last of the network: the kernel takes both for broadcast.
fn is_broadcast(vip: IpAddr, found: &Address) -> bool {
    let (IpAddr::V4(v4), IpAddr::V4(own)) = (vip, found.address) else { return false };
    let hosts = u32::MAX.checked_shr(found.prefix.into()).unwrap_or(0);
    found.broadcast == Some(vip) || found.prefix < 31 && own.to_bits() | hosts == v4.to_bits()
}

fn invalid(why: &str) -> Result<()> {
    Err(Error::Invalid(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vips_are_unicast() {
        for good in ["10.0.0.100", "192.0.2.1", "223.255.255.1", "2001:db8::1", "fd00::1"] {
            assert!(unicast(good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            let error = unicast(bad.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(&bad.parse::<IpAddr>().unwrap().to_string()), "{error}");
        }
    }
}
