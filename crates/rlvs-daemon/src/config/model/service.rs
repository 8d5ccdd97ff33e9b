//! Virtual servers, and groups of addresses that share one.

use super::server::{RealServer, Script, SorryServer};
use super::text::{as_string, split_port, v6_number};
use super::timing::Timing;
use super::{Check, EffectiveTiming, Endpoint, Forwarding, is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

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
    #[serde(default, skip_serializing_if = "is_default")]
    pub timing: Timing,
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
            timing: Timing::default(),
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

/// `virtual_server_group NAME { … }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub members: Vec<Member>,
}

/// The most addresses of one range.
pub const MAX_RANGE: u128 = 65_536;

/// One line of a group: `192.0.2.1:80`, `192.0.2.1-10:80`, `192.0.2.250-192.0.3.9`, `fwmark 1 inet6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// From `first` to `last`, both included, of one family and in order; one address has itself as last.
    Addresses {
        first: IpAddr,
        last: IpAddr,
        port: u16,
    },
    Fwmark {
        mark: u32,
        family: Option<AddressFamily>,
    },
}

as_string!(Member);

impl Member {
    /// A range in keepalived's words: `A`, `A-B`, `A-N` (N replaces the last part of A), `A/PREFIX`.
    pub fn range(text: &str, port: u16) -> Result<Member, String> {
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            let first = address(first)?;
            (first, last_of_range(first, last)?)
        } else if let Some((base, prefix)) = text.split_once('/') {
            network(address(base)?, prefix)?
        } else {
            (address(text)?, address(text)?)
        };
        let count = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(b)).checked_sub(u32::from(a).into()),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6_number(b).checked_sub(v6_number(a)),
            _ => return Err(format!("{first} and {last} are not of one family")),
        };
        match count {
            None => Err(format!("{last} comes before {first}; write the lower address first")),
            Some(more) if more >= MAX_RANGE => {
                Err(format!("{text} has more than {MAX_RANGE} addresses; use a firewall mark for so many"))
            }
            Some(_) => Ok(Member::Addresses { first, last, port }),
        }
    }

    /// Every address of a range; none for a mark.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        let (first, last, port) = match *self {
            Member::Addresses { first, last, port } => (first, last, port),
            // An empty range.
            Member::Fwmark { .. } => (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), Ipv4Addr::UNSPECIFIED.into(), 0),
        };
        let numbers = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a))..=u128::from(u32::from(b)),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6_number(a)..=v6_number(b),
            _ => RangeInclusive::new(1, 0), // no address: a range is of one family
        };
        numbers.map(move |n| Endpoint {
            addr: if first.is_ipv4() {
                Ipv4Addr::from(n as u32).into() // fits: it is between two IPv4 addresses
            } else {
                Ipv6Addr::from(n).into()
            },
            port,
        })
    }

    /// The range without its port, as short as it can be.
    pub(crate) fn range_text(first: IpAddr, last: IpAddr) -> String {
        match (first, last) {
            _ if first == last => first.to_string(),
            (IpAddr::V4(a), IpAddr::V4(b)) if a.octets()[..3] == b.octets()[..3] => {
                format!("{a}-{}", b.octets()[3])
            }
            _ => format!("{first}-{last}"),
        }
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address; names are not resolved"))
}

/// `text` is a whole address, or the last part of `first`: decimal for IPv4, hexadecimal for IPv6.
fn last_of_range(first: IpAddr, text: &str) -> Result<IpAddr, String> {
    let no_end = || format!("{text:?} ends no range that begins with {first}");
    if text.is_empty() || text.starts_with('+') {
        return Err(no_end());
    }
    match first {
        IpAddr::V4(_) if text.contains('.') => address(text),
        IpAddr::V6(_) if text.contains(':') => address(text),
        IpAddr::V4(addr) => {
            let [a, b, c, _] = addr.octets();
            Ok(Ipv4Addr::new(a, b, c, text.parse().map_err(|_| no_end())?).into())
        }
        IpAddr::V6(addr) => {
            let mut parts = addr.segments();
            parts[7] = u16::from_str_radix(text, 16).map_err(|_| no_end())?;
            Ok(Ipv6Addr::from(parts).into())
        }
    }
}

/// First and last address of a network.
fn network(base: IpAddr, prefix: &str) -> Result<(IpAddr, IpAddr), String> {
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let length: u32 = match prefix.parse() {
        Ok(length) if length <= bits => length,
        _ => return Err(format!("{prefix:?} is no prefix length of {base}; it goes from 0 to {bits}")),
    };
    let (first, last): (IpAddr, IpAddr) = match base {
        IpAddr::V4(addr) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            (Ipv4Addr::from(u32::from(addr) & !host).into(), Ipv4Addr::from(u32::from(addr) | host).into())
        }
        IpAddr::V6(addr) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            (Ipv6Addr::from(v6_number(addr) & !host).into(), Ipv6Addr::from(v6_number(addr) | host).into())
        }
    };
    if first != base {
        return Err(format!("{base} is not where a network /{length} begins; write {first}/{length}"));
    }
    Ok((first, last))
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Member::Addresses { first, last, port } => {
                let range = Member::range_text(first, last);
                match (first, port) {
                    (_, 0) => f.write_str(&range),
                    (IpAddr::V4(_), port) => write!(f, "{range}:{port}"),
                    (IpAddr::V6(_), port) => write!(f, "[{range}]:{port}"),
                }
            }
            Member::Fwmark { mark, family: None } => write!(f, "fwmark {mark}"),
            Member::Fwmark { mark, family: Some(family) } => {
                write!(f, "fwmark {mark} {}", family_word(family))
            }
        }
    }
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Member, String> {
        if let Some(mark) = text.strip_prefix("fwmark ") {
            let (mark, family) = match mark.split_once(' ') {
                Some((mark, family)) => (mark, Some(parse_family(family)?)),
                None => (mark, None),
            };
            return Ok(Member::Fwmark { mark: parse_mark(mark)?, family });
        }
        let (range, port) = split_port(text)?;
        Member::range(range, port)
    }
}

pub(crate) fn family_word(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Inet => "inet",
        AddressFamily::Inet6 => "inet6",
    }
}

pub(crate) fn parse_family(text: &str) -> Result<AddressFamily, String> {
    match text {
        "inet" => Ok(AddressFamily::Inet),
        "inet6" => Ok(AddressFamily::Inet6),
        _ => Err(format!("{text:?} is no address family; there are inet and inet6")),
    }
}

/// A client keeps its real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Whole seconds.
    #[serde(with = "super::text::needed_time")]
    pub timeout: Duration,
    /// Clients of one network are taken for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// `sip`, the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

impl Persistence {
    /// What `persistence_timeout` without a value means.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(360);
}

/// A mask for IPv4 (`255.255.255.0`), a prefix length for IPv6 (`64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    Mask(Ipv4Addr),
    Prefix(u8),
}

as_string!(Granularity);

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Granularity::Mask(mask) => mask.fmt(f),
            Granularity::Prefix(length) => length.fmt(f),
        }
    }
}

impl FromStr for Granularity {
    type Err = String;

    fn from_str(text: &str) -> Result<Granularity, String> {
        if let Ok(mask) = text.parse() {
            return Ok(Granularity::Mask(mask));
        }
        match text.parse() {
            Ok(length @ 1..=128) => Ok(Granularity::Prefix(length)),
            _ => Err(format!(
                "{text:?} is no granularity; write a mask for IPv4 (255.255.255.0) or a prefix length for IPv6 (64)"
            )),
        }
    }
}

/// Every scheduler of Linux 6.1.
pub const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// What changes how a scheduler picks. The names with `sh` and `mh` are those of flags 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerFlag {
    #[serde(rename = "flag-1")]
    Flag1,
    #[serde(rename = "flag-2")]
    Flag2,
    #[serde(rename = "flag-3")]
    Flag3,
    ShFallback,
    ShPort,
    MhFallback,
    MhPort,
}

impl SchedulerFlag {
    pub const ALL: [SchedulerFlag; 7] = [
        SchedulerFlag::Flag1,
        SchedulerFlag::Flag2,
        SchedulerFlag::Flag3,
        SchedulerFlag::ShFallback,
        SchedulerFlag::ShPort,
        SchedulerFlag::MhFallback,
        SchedulerFlag::MhPort,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SchedulerFlag::Flag1 => "flag-1",
            SchedulerFlag::Flag2 => "flag-2",
            SchedulerFlag::Flag3 => "flag-3",
            SchedulerFlag::ShFallback => "sh-fallback",
            SchedulerFlag::ShPort => "sh-port",
            SchedulerFlag::MhFallback => "mh-fallback",
            SchedulerFlag::MhPort => "mh-port",
        }
    }

    /// The bit in `SchedFlags`.
    pub fn bit(self) -> u8 {
        match self {
            SchedulerFlag::Flag1 | SchedulerFlag::ShFallback | SchedulerFlag::MhFallback => 1,
            SchedulerFlag::Flag2 | SchedulerFlag::ShPort | SchedulerFlag::MhPort => 2,
            SchedulerFlag::Flag3 => 4,
        }
    }

    /// The only scheduler that has this flag, if there is only one.
    pub fn scheduler(self) -> Option<&'static str> {
        match self {
            SchedulerFlag::ShFallback | SchedulerFlag::ShPort => Some("sh"),
            SchedulerFlag::MhFallback | SchedulerFlag::MhPort => Some("mh"),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
