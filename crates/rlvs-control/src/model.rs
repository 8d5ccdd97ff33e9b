//! What an operator works with: services, destinations, connections and their counters, as plain data.
//!
//! Nothing here knows a map or a file. The words are those of `ipvsadm(8)`; addresses and ports are in host
//! form (`IpAddr`, `u16`), times in seconds, byte rates in bytes per second.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Inet,
    Inet6,
}

impl Family {
    pub fn of(addr: IpAddr) -> Family {
        if addr.is_ipv4() { Family::Inet } else { Family::Inet6 }
    }
}

/// A transport protocol; the order is the one of listings (IP protocol numbers 6, 17, 132).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    pub const fn from_number(n: u8) -> Option<Protocol> {
        match n {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            132 => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

/// What selects a service: `-t`/`-u`/`--sctp-service ADDR:PORT` or `-f MARK [-6]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKey {
    /// Port 0 means every port that no other service has.
    Address { protocol: Protocol, addr: IpAddr, port: u16 },
    /// Mark 1..=2^32-1.
    Fwmark { mark: u32, family: Family },
}

impl ServiceKey {
    pub fn family(&self) -> Family {
        match *self {
            ServiceKey::Address { addr, .. } => Family::of(addr),
            ServiceKey::Fwmark { family, .. } => family,
        }
    }
}

/// Scheduler flags as bits: 1 = flag-1 (sh-fallback, mh-fallback), 2 = flag-2 (sh-port, mh-port), 4 = flag-3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchedFlags(pub u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    pub timeout_secs: u32,
}

/// A virtual service, as `-A` and `-E` define it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub key: ServiceKey,
    /// A scheduler's name as typed after `-s`; `none` schedules nothing. Unknown names are refused by `add_service`.
    pub scheduler: String,
    pub flags: SchedFlags,
    pub persistence: Option<Persistence>,
    /// IPv4: the mask as an address (default 255.255.255.255; any bit pattern is allowed). `None` for IPv6.
    pub netmask: Option<std::net::Ipv4Addr>,
    /// IPv6: the prefix length, 1..=128 (default 128). For IPv4 it is 32 and means nothing.
    pub prefix_len: u8,
    /// `--pe`, a persistence engine's name (only `sip` exists).
    pub engine: Option<String>,
    /// `--ops`: every datagram is scheduled by itself.
    pub one_packet: bool,
}

impl Service {
    pub fn new(key: ServiceKey, scheduler: &str) -> Service {
        Service {
            key,
            scheduler: scheduler.to_owned(),
            flags: SchedFlags(0),
            persistence: None,
            netmask: (key.family() == Family::Inet).then_some(std::net::Ipv4Addr::BROADCAST),
            prefix_len: if key.family() == Family::Inet { 32 } else { 128 },
            engine: None,
            one_packet: false,
        }
    }
}

/// How a packet reaches the real server: `-m`, `-g`, `-i`, `--fullnat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `-m`, listed as `Masq`: addresses and ports are rewritten both ways.
    Masquerade,
    /// `-i`, listed as `Tunnel`.
    Tunnel,
    /// `-g`, listed as `Route`: only the MAC address changes.
    DirectRoute,
    /// `--fullnat`, listed as `FullNAT`: like `Masquerade`, and the server sees an address of the director.
    FullNat,
}

impl Method {
    /// Are ports translated? With the others a packet arrives at the port it was sent to.
    pub fn maps_ports(self) -> bool {
        matches!(self, Method::Masquerade | Method::FullNat)
    }

    /// As listed by `ipvsadm -L`.
    pub fn listed(self) -> &'static str {
        match self {
            Method::Masquerade => "Masq",
            Method::Tunnel => "Tunnel",
            Method::DirectRoute => "Route",
            Method::FullNat => "FullNAT",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    #[default]
    Ipip,
    Gue,
    Gre,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    #[default]
    None,
    Full,
    Remote,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    pub kind: TunnelKind,
    /// GUE's UDP port; 0 for the others.
    pub port: u16,
    pub checksum: TunnelChecksum,
}

/// A real server of a service, as `-a` and `-e` define it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub addr: IpAddr,
    pub port: u16,
    pub method: Method,
    /// 0..=2^31-1; 0 takes no new connections.
    pub weight: u32,
    /// Connections at which the server is taken out (0: never), and below which it is back (0: 3/4 of upper).
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub tunnel: Tunnel,
    /// FULLNAT: new TCP connections begin with a PROXY protocol header (version 2) that says who the client is.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// Totals since creation or the last `-Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub conns: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

/// Smoothed rates per second, as `--rate` shows them (bytes, not bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub conns_per_sec: u64,
    pub in_packets_per_sec: u64,
    pub out_packets_per_sec: u64,
    pub in_bytes_per_sec: u64,
    pub out_bytes_per_sec: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    #[serde(flatten)]
    pub service: Service,
    pub counters: Counters,
    pub rates: Rates,
    /// In the kernel's order: the one added last comes first.
    pub destinations: Vec<DestinationView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationView {
    #[serde(flatten)]
    pub destination: Destination,
    pub active_connections: u32,
    pub inactive_connections: u32,
    pub persistent_connections: u32,
    pub counters: Counters,
    pub rates: Rates,
}

/// One entry of the connection table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// IP protocol number; 0 for the template of a firewall-mark service (listed as `IP`).
    pub protocol: u8,
    pub client: IpAddr,
    pub client_port: u16,
    /// For a template of a firewall-mark service the mark stands here as an address (0.0.0.MARK).
    pub virtual_addr: IpAddr,
    pub virtual_port: u16,
    pub destination: IpAddr,
    pub destination_port: u16,
    /// `ESTABLISHED`, `UDP`, `NONE`, …
    pub state: &'static str,
    pub expires_secs: u32,
    pub is_template: bool,
    /// Learnt from another director by connection sync.
    pub from_sync: bool,
    /// Persistence engine and its data, when there is one.
    pub engine: Option<(String, String)>,
    /// FULLNAT: the director's address and port that the server sees.
    pub source: Option<SocketAddr>,
}

/// Clients that a masqueraded destination has not answered at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub service: ServiceKey,
    pub addr: IpAddr,
    pub port: u16,
    /// Connections opened to it, as in its counters.
    pub opened: u64,
    /// How many of them wait, by the seconds since their client last sent something.
    pub since: BTreeMap<u32, u32>,
    /// Those were found in such a part of the connection table; in all there are as many more.
    pub share: f64,
}

/// `--set` and `-L --timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    pub tcp_secs: u32,
    pub tcp_fin_secs: u32,
    pub udp_secs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRole {
    Master,
    Backup,
}

/// A connection sync daemon: `--start-daemon`, `-L --daemon`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    pub role: SyncRole,
    pub interface: String,
    pub sync_id: u8,
    pub max_len: Option<u16>,
    pub group: Option<IpAddr>,
    pub port: Option<u16>,
    pub ttl: Option<u8>,
}
