//! Attaching the programs to interfaces, and taking them off.
//!
//! Without other orders every Ethernet-like interface that is up is attached, and the loopback device (for clients on the director), in the mode that suits its driver:
//! hardware and virtio interfaces get native XDP (generic XDP where the driver refuses) and TC; veth, bridge, VLAN, bond
//! and the like get TC alone, because XDP is slower there, and frames can vanish. Ports of a bridge or bond are left
//! alone: their master is attached.

mod interfaces;
mod tc;
mod xdp;

pub use interfaces::{Interface, interfaces};

use crate::instance::Instance;
use crate::{Error, Result, object};
use rlvs_core::maps::links;
use serde::Serialize;
use std::fs;
use std::io;

/// How an interface is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Native XDP and TC.
    Xdp,
    /// Generic XDP and TC.
    Skb,
    /// TC alone.
    Tc,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Mode::Xdp => "xdp",
            Mode::Skb => "skb",
            Mode::Tc => "tc",
        }
    }
}

/// May XDP redirect frames into the interface? `None`: found out.
pub type RedirectInto = Option<bool>;

/// An interface and what is on it.
#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    pub name: String,
    pub ifindex: u32,
    pub mode: Option<Mode>,
    /// XDP may redirect into it.
    pub xdp_target: bool,
    pub why: String,
}

/// Attaches every suitable interface in its suitable mode.
pub fn attach_all(instance: &Instance) -> Result<()> {
    for interface in interfaces()? {
        if interface.unsuitable().is_none() {
            attach(instance, &interface, None, None)?;
        }
    }
    Ok(())
}

/// Attaches one interface, in the mode given or the one that suits it. Replaces what of ours is there.
pub fn attach(
    instance: &Instance,
    interface: &Interface,
    mode: Option<Mode>,
    target: RedirectInto,
) -> Result<Mode> {
    let wanted = mode.unwrap_or_else(|| interface.suitable_mode());
    if interface.loopback {
        accept_own_addresses(&interface.name)?;
    }
    tc::attach(instance, interface)?;
    let got = match wanted {
        Mode::Tc => {
            xdp::detach(instance, interface.ifindex)?;
            Mode::Tc
        }
        Mode::Skb => xdp::attach(instance, interface, Mode::Skb)?,
        Mode::Xdp => match xdp::attach(instance, interface, Mode::Xdp) {
            Err(_) if mode.is_none() => xdp::attach(instance, interface, Mode::Skb).unwrap_or(Mode::Tc),
            other => other?,
        },
    };
    let into = target.unwrap_or_else(|| interface.takes_xdp_frames(got));
    set_flags(instance, interface.ifindex, if into { links::XDP_TARGET } else { 0 })?;
    Ok(got)
}

/// A client on this machine gets its answers by the loopback device, from the virtual address, which is ours as well: Linux
/// would take that for forged.
fn accept_own_addresses(name: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{name}/accept_local");
    fs::write(&path, "1").map_err(|e| Error::system(format!("writing 1 to {path}"), e))
}

/// Has packets of IPv6 looked at, too: puts the programs for both families in the place of those for IPv4. The new ones are
/// pinned last, so what is interrupted is done again.
pub fn serve_both(instance: &Instance) -> Result<()> {
    if instance.programs() == &object::BOTH {
        return Ok(());
    }
    let mut ebpf = instance.load_both()?;
    for interface in interfaces()? {
        tc::replace(instance, &interface, object::tc_program(&mut ebpf, object::BOTH.tc)?)?;
        xdp::replace(instance, &interface, &object::BOTH)?;
    }
    object::pin_tc(&mut ebpf, &instance.dir, object::BOTH.tc)?;
    for name in [object::FOUR.tc, object::FOUR.xdp, object::FOUR.xdp_skb] {
        unpin(&instance.dir.join(name))?;
    }
    Ok(())
}

/// Takes our programs off an interface; harmless where there are none.
pub fn detach(instance: &Instance, interface: &Interface) -> Result<()> {
    xdp::detach(instance, interface.ifindex)?;
    tc::detach(instance, interface)?;
    set_flags(instance, interface.ifindex, 0)
}

/// Takes our programs off everything.
pub fn detach_all(instance: &Instance) -> Result<()> {
    for interface in interfaces()? {
        detach(instance, &interface)?;
    }
    Ok(())
}

/// All interfaces, what is on them and why.
pub fn attached(instance: Option<&Instance>) -> Result<Vec<Attached>> {
    let mut list = Vec::new();
    for interface in interfaces()? {
        let mode = instance.and_then(|i| mode_of(i, &interface));
        let why = match (mode, interface.unsuitable()) {
            (None, Some(why)) => why,
            (None, None) => "nobody asked for it".to_string(),
            (Some(_), _) => interface.why(),
        };
        let flags = match instance {
            Some(i) => flags(i, interface.ifindex)?,
            None => 0,
        };
        let xdp_target = flags & links::XDP_TARGET != 0;
        list.push(Attached { name: interface.name, ifindex: interface.ifindex, mode, xdp_target, why });
    }
    Ok(list)
}

fn mode_of(instance: &Instance, interface: &Interface) -> Option<Mode> {
    match xdp::mode(instance, interface.ifindex) {
        Some(mode) => Some(mode),
        None => tc::is_attached(instance, interface).then_some(Mode::Tc),
    }
}

fn set_flags(instance: &Instance, ifindex: u32, flags: u32) -> Result<()> {
    let mut map = object::open_hash::<u32, u32>(&instance.dir, "LINKS")?;
    map.insert(ifindex, flags, 0)
        .map_err(|e| Error::system("writing map LINKS", io::Error::other(object::chain(&e))))
}

fn flags(instance: &Instance, ifindex: u32) -> Result<u32> {
    let map = object::open_hash::<u32, u32>(&instance.dir, "LINKS")?;
    Ok(map.get(&ifindex, 0).unwrap_or(0))
}

/// The error of attaching something somewhere.
fn failed(what: &str, interface: &Interface, e: &dyn std::error::Error) -> Error {
    let way_out =
        if what == "native XDP" { " (its driver may have none: try --mode skb or --mode tc)" } else { "" };
    Error::system(
        format!("attaching {what} to {}{way_out}", interface.name),
        io::Error::other(object::chain(e)),
    )
}

/// Removes a pin; harmless where there is none.
fn unpin(path: &std::path::Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("removing {}", path.display()), e))
        }
        _ => Ok(()),
    }
}
