//! The real server's side: what a host needs so that a director can send it requests for the VIP.
//!
//! With DR and TUN the request reaches the real server with the VIP as its destination, and the answer leaves with the VIP as
//! its source, past the director. So the VIP must be local on every real server, yet none of them may tell the network:
//! if one answered "who has the VIP?", clients would reach it directly (the ARP problem). [`up`] sees to it:
//!
//! 1. `arp_ignore` 1 and `arp_announce` 2 ([`sysctl`] says why): on `all`, which holds for interfaces that come later too;
//!    with `--dev` on those interfaces alone, for hosts where others must answer for addresses they do not have themselves
//!    (unnumbered links, proxies). What is right already is left alone. IPv6 needs none of this: its neighbour discovery
//!    answers for the asked interface's own addresses only.
//! 2. The VIP on `lo`, as /32 (/128), with scope host: no connection of this host's own takes it as its source.
//! 3. For TUN somebody who takes the request out of its outer header: the kernel's ipip device where there is one and that does
//!    (ipip, and no VIP of IPv6), else our program on TC ingress ([`ebpf`]).
//! 4. `rp_filter` loose (2) where it was strict (1), on the interfaces that requests seem to come from (for the kernel's
//!    tunnel that is its device alone): a request comes from the director's side with a client's address, which may be
//!    routed another way. Strict on `all` is met by 2 on the interface, the larger value counts; 0 and 2 are left alone.
//!
//! 5. If asked for, our program on TC egress, which lowers the MSS that clients hear to what fits through the tunnel
//!    ([`clamp`]).
//!
//! In this order, so that a VIP is never there unprotected; [`down`] goes backwards through the [`journal`] and restores
//! what was there before. All of it is about the network namespace of the calling thread.

mod check;
mod clamp;
mod ebpf;
mod hook;
mod install;
mod journal;
mod links;
mod status;
mod sweep;
mod sysctl;
mod undo;

#[path = "../../../rlvs-ebpf/src/realserver/counter.rs"]
#[allow(dead_code)] // the program uses the numbers, we the names
pub mod counter;

#[path = "../../../rlvs-ebpf/src/realserver/opened.rs"]
mod opened;

pub use clamp::Clamp;
pub use status::{Attached, Clamping, Decapsulation, SettingStatus, Status, VipStatus, status};

use crate::{Error, Result, bpffs};
use journal::{Journal, State};
use links::Links;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The encapsulations of TUN mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tunnel {
    Ipip,
    Gre,
    /// To this UDP port.
    Gue {
        port: u16,
    },
}

impl Tunnel {
    /// As the program knows it.
    fn number(self) -> u32 {
        match self {
            Tunnel::Ipip => opened::IPIP,
            Tunnel::Gre => opened::GRE,
            Tunnel::Gue { port } => opened::gue(port),
        }
    }
}

impl std::fmt::Display for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tunnel::Ipip => f.write_str("ipip"),
            Tunnel::Gre => f.write_str("gre"),
            Tunnel::Gue { port } => write!(f, "gue:{port}"),
        }
    }
}

impl std::str::FromStr for Tunnel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Tunnel> {
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        match (text, text.strip_prefix("gue:").map(port)) {
            ("ipip", _) => Ok(Tunnel::Ipip),
            ("gre", _) => Ok(Tunnel::Gre),
            (_, Some(Some(port))) => Ok(Tunnel::Gue { port }),
            ("gue", _) | (_, Some(None)) => Err(Error::Invalid(format!(
                "{text:?} without a port from 1 to 65535: gue:6080 is for what the director sends with --tun-port 6080"
            ))),
            _ => {
                Err(Error::Invalid(format!("unknown tunnel type {text:?}: there are ipip, gre and gue:PORT")))
            }
        }
    }
}

/// Who shall take tunnel packets out of their outer header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decap {
    /// The kernel's own device where it has one that does (IPv4 in IPv4 alone), else our program.
    #[default]
    Auto,
    Kernel,
    Ebpf,
}

/// What the real server is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub vips: Vec<IpAddr>,
    /// The interfaces that face director and clients; none named: all.
    pub devices: Vec<String>,
    pub tunnel: Option<Tunnel>,
    pub decap: Decap,
    /// The largest MSS that clients hear from the VIPs; none: whatever the stack says.
    #[serde(default)]
    pub clamp: Option<Clamp>,
}

impl Wanted {
    /// What there was, and what is asked for in addition.
    fn and(&self, more: &Wanted) -> Wanted {
        let mut sum = self.clone();
        sum.vips.extend(more.vips.iter().filter(|v| !self.vips.contains(v)));
        if self.devices.is_empty() || more.devices.is_empty() {
            sum.devices.clear();
        } else {
            sum.devices.extend(more.devices.iter().filter(|d| !self.devices.contains(d)).cloned());
        }
        sum.tunnel = more.tunnel.or(self.tunnel);
        sum.clamp = more.clamp.or(self.clamp);
        if more.decap != Decap::Auto {
            sum.decap = more.decap;
        }
        sum
    }
}

/// What an order did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// How many changes it made; 0 if all was as it should be.
    pub changes: usize,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Makes this network namespace a real server for `more.vips`, in addition to those it is one for. All of it or nothing.
pub fn up(more: &Wanted) -> Result<Done> {
    let mut work = Work::begin()?;
    let before = work.journal.state.clone();
    let wanted = before.as_ref().map_or_else(|| more.clone(), |s| s.wanted.and(more));
    let mut done = Done::default();
    check::asked(more, &wanted, &work.links, before.as_ref(), &mut done.notes)?;

    let mut state = before.clone().unwrap_or_else(|| State::new(wanted.clone()));
    state.wanted = wanted;
    let steps_before = state.steps.len();
    work.journal.state = Some(state);
    match install::all(&mut work, &mut done) {
        Ok(()) => work.journal.save().map(|()| done),
        Err(error) => {
            let undone = undo::back_to(&mut work, steps_before);
            if undone.is_ok() {
                work.journal.state = before;
            }
            // If that failed too, the journal still has what `down` must undo; the first error says more.
            let _ = work.journal.save();
            Err(error)
        }
    }
}

/// Restores what was there before the first [`up`].
pub fn down() -> Result<Done> {
    let mut work = Work::begin()?;
    let steps = work.journal.state.as_ref().map_or(0, |s| s.steps.len());
    let undone = undo::back_to(&mut work, 0);
    if undone.is_ok() {
        work.journal.state = None;
    }
    work.journal.save()?;
    undone.map(|notes| Done { changes: steps, notes })
}

/// What every order needs: the lock, the journal, the network.
struct Work {
    cookie: u64,
    journal: Journal,
    links: Links,
}

impl Work {
    fn begin() -> Result<Work> {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Err(Error::PermissionDenied(
                "`rlvs realserver` changes addresses and /proc/sys, which needs root (try sudo)".to_string(),
            ));
        }
        let cookie = bpffs::netns_cookie()?;
        Ok(Work { cookie, journal: Journal::open(cookie)?, links: Links::open()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(vips: &[&str], devices: &[&str], tunnel: Option<Tunnel>) -> Wanted {
        Wanted {
            vips: vips.iter().map(|v| v.parse().unwrap()).collect(),
            devices: devices.iter().map(ToString::to_string).collect(),
            tunnel,
            decap: Decap::Auto,
            clamp: None,
        }
    }

    #[test]
    fn a_second_up_adds() {
        let first = wanted(&["10.0.0.1"], &["eth0"], Some(Tunnel::Ipip));
        let both = first.and(&wanted(&["10.0.0.1", "10.0.0.2"], &["eth1"], None));
        assert_eq!(both, wanted(&["10.0.0.1", "10.0.0.2"], &["eth0", "eth1"], Some(Tunnel::Ipip)));
        assert_eq!(first.and(&wanted(&[], &[], None)).devices, [""; 0]);
    }
}
