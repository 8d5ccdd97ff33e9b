//! Virtual servers, and groups of addresses that share one.

use super::agent::Agent;
use super::server::{RealServer, Script, SorryServer};
use super::text::as_string;
use super::timing::Timing;
use super::{Check, EffectiveTiming, Endpoint, Forwarding, Passive, Via, is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

mod group;
mod persistence;
mod scheduling;

pub use group::{Group, MAX_RANGE, Member};
pub(crate) use group::{family_word, parse_family};
pub use persistence::{Granularity, Persistence};
pub use scheduling::{SCHEDULERS, SchedulerFlag};

pub use rlvs_control::model::{Family as AddressFamily, Protocol};

/// `virtual_server …`: one service, or as many as its group has members, with the same real servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualServer {
    pub service: ServiceAddress,
    #[serde(default = "tcp", skip_serializing_if = "is_tcp")]
    pub protocol: Protocol,
    /// For a firewall mark whose real servers do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<AddressFamily>,
    /// One of [`SCHEDULERS`]; wlc if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<SchedulerFlag>,
    /// Every datagram is scheduled by itself (`ops`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_packet: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub method: Forwarding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,

    /// Down until checks have passed; on real servers that do not say it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alpha: bool,
    /// At the end, run the scripts for what goes down.
    #[serde(default, skip_serializing_if = "is_default")]
    pub omega: bool,
    /// No checks while the virtual address is not on this host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ha_suspend: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub inhibit_on_failure: bool,
    /// Of real servers that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// The total weight of living servers at which the service works; 1 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Gained at quorum + hysteresis, lost below quorum - hysteresis.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hysteresis: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_up: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_down: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<SorryServer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    /// Of checks of real servers that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub timing: Timing,
    /// Not in keepalived.conf.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: Agent,
    /// Likewise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passive: Passive,
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "real_server")]
    pub real_servers: Vec<RealServer>,
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

fn is_tcp(protocol: &Protocol) -> bool {
    *protocol == Protocol::Tcp
}

impl VirtualServer {
    pub fn new(service: ServiceAddress) -> VirtualServer {
        VirtualServer {
            service,
            protocol: Protocol::Tcp,
            family: None,
            scheduler: None,
            flags: BTreeSet::new(),
            one_packet: false,
            method: Forwarding::default(),
            persistence: None,
            alpha: false,
            omega: false,
            ha_suspend: false,
            inhibit_on_failure: false,
            weight: None,
            quorum: None,
            hysteresis: 0,
            quorum_up: None,
            quorum_down: None,
            sorry_server: None,
            virtualhost: None,
            via: None,
            timing: Timing::default(),
            agent: Agent::default(),
            passive: Passive::default(),
            real_servers: Vec::new(),
        }
    }

    pub fn effective_scheduler(&self) -> &str {
        self.scheduler.as_deref().unwrap_or("wlc")
    }

    pub fn effective_quorum(&self) -> u32 {
        self.quorum.unwrap_or(1)
    }

    /// Is the quorum there, with so much living weight, if it was there before (or was not)?
    pub fn quorum_holds(&self, live_weight: u64, was_there: bool) -> bool {
        let (quorum, hysteresis) = (u64::from(self.effective_quorum()), u64::from(self.hysteresis));
        if was_there {
            live_weight > 0 && live_weight >= quorum.saturating_sub(hysteresis)
        } else {
            live_weight >= quorum + hysteresis
        }
    }

    /// Where `check` of `server` connects to: `connect_port`, the real server's port, or that of the service; 0 if none
    /// has one.
    pub fn check_port(&self, server: &RealServer, check: &Check) -> u16 {
        let own = check.connect.port.unwrap_or(server.address.port);
        match self.service {
            ServiceAddress::Address(Endpoint { port, .. }) if own == 0 => port,
            _ => own,
        }
    }

    /// When `check` of `server` runs.
    pub fn effective_timing(&self, server: &RealServer, check: &Check) -> EffectiveTiming {
        EffectiveTiming::of(&check.kind, [&check.timing, &server.timing, &self.timing])
    }
}

/// What clients talk to: `192.0.2.1:80`, `fwmark 1`, or `group NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAddress {
    /// Port 0: all ports, which needs persistence.
    Address(Endpoint),
    Fwmark(u32),
    Group(String),
}

as_string!(ServiceAddress);

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceAddress::Address(endpoint) => endpoint.fmt(f),
            ServiceAddress::Fwmark(mark) => write!(f, "fwmark {mark}"),
            ServiceAddress::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl FromStr for ServiceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServiceAddress, String> {
        match text.split_once(' ') {
            Some(("fwmark", mark)) => Ok(ServiceAddress::Fwmark(parse_mark(mark)?)),
            Some(("group", name)) => Ok(ServiceAddress::Group(name.to_owned())),
            _ => Ok(ServiceAddress::Address(text.parse()?)),
        }
    }
}

/// A firewall mark, 1..=2^32-1.
pub(crate) fn parse_mark(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(mark) if mark > 0 => Ok(mark),
        _ => Err(format!("{text:?} is no firewall mark; a mark is a number from 1 to 4294967295")),
    }
}

#[cfg(test)]
mod tests;
