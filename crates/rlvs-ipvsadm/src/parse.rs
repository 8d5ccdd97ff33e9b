//! Makes a [`Command`] of a command line, or a [`Refusal`]; nothing is changed either way.
//!
//! The first option is the command; after it the options are taken in the order typed, and the first one that
//! is wrong ends it. Each is understood where it stands, as the original does it, so some orders mean less than
//! others: before the service a mask is an IPv4 one (and an IPv6 service never sees it), and a server's port has
//! no name and no default.

use crate::address::{self, HostPort};
use crate::command::Command;
use crate::errors::{Refusal, cannot_cut, try_help, wrong_use};
use crate::legality;
use crate::list::ListRequest;
use crate::names::Names;
use crate::number::in_range;
use crate::options::{Filled, Opt, Slot, Verb};
use crate::sched_flags;
use crate::words::{Found, Words};
use rlvs_control::model::*;
use std::net::{IpAddr, Ipv4Addr};

const DEFAULT_SCHEDULER: &str = "wlc";
const DEFAULT_PERSISTENCE_SECS: u32 = 360;
const DEFAULT_INTERFACE: &str = "eth0";
const MAX_TIMEOUT_SECS: i64 = 31 * 24 * 60 * 60;
const MAX_NUMBER: i64 = i32::MAX as i64;

/// `args` without the program's name.
pub fn parse(args: &[String], names: &dyn Names) -> Result<Command, Refusal> {
    if args.is_empty() {
        return Ok(Command::List(ListRequest::default()));
    }
    let mut words = Words::new(args);
    let mut given = match words.next_option() {
        Some(Ok(Found { definition, value })) => match definition.opt {
            Opt::Verb(verb) => Given::new(verb, value, names)?,
            _ => return Err(try_help()),
        },
        _ => return Err(try_help()),
    };
    match given.verb {
        Verb::Help => return Ok(Command::Help),
        Verb::Version => return Ok(Command::Version),
        _ => {}
    }
    while let Some(found) = words.next_option() {
        let found = found.map_err(|fault| cannot_cut(&words, fault))?;
        given.take(&found, &words)?;
    }
    let mut loose = words.loose();
    if given.verb == Verb::Set {
        given.timeouts = Some(parse_timeouts(&mut loose)?);
    }
    if let Some(word) = loose.first() {
        return Err(wrong_use(format!("unexpected argument {word}")));
    }
    given.into_command()
}

/// Three timeouts, which are taken off the front of `loose`.
fn parse_timeouts(loose: &mut &[&str]) -> Result<Timeouts, Refusal> {
    let [tcp, tcp_fin, udp, rest @ ..] = *loose else {
        return Err(wrong_use("--set option requires 3 timeout values"));
    };
    *loose = rest;
    Ok(Timeouts {
        tcp_secs: parse_timeout(tcp, 0)?,
        tcp_fin_secs: parse_timeout(tcp_fin, 0)?,
        udp_secs: parse_timeout(udp, 0)?,
    })
}

fn parse_timeout(text: &str, least: i64) -> Result<u32, Refusal> {
    in_range(text, least..=MAX_TIMEOUT_SECS)
        .map(|n| n as u32)
        .ok_or_else(|| wrong_use(format!("invalid timeout value `{text}' specified")))
}

/// A number, or the words that call it illegal.
fn number(text: &str, range: std::ops::RangeInclusive<i64>, name: &str) -> Result<u32, Refusal> {
    in_range(text, range).map(|n| n as u32).ok_or_else(|| illegal(name))
}

fn illegal(name: &str) -> Refusal {
    wrong_use(format!("illegal {name} specified"))
}

/// What has been typed so far.
struct Given<'a> {
    verb: Verb,
    names: &'a dyn Names,
    filled: Filled,
    key: Option<ServiceKey>,
    role: Option<SyncRole>,
    timeouts: Option<Timeouts>,
    scheduler: Option<&'a str>,
    sched_flags: &'a str,
    persistence: Option<Persistence>,
    /// IPv4's.
    netmask: Ipv4Addr,
    /// IPv6's.
    prefix_len: u8,
    engine: Option<&'a str>,
    server: Option<(IpAddr, u16)>,
    method: Method,
    weight: u32,
    upper_threshold: u32,
    lower_threshold: u32,
    tunnel: Tunnel,
    proxy_protocol: bool,
    daemon: DaemonOptions,
}

#[derive(Default)]
struct DaemonOptions {
    interface: Option<String>,
    sync_id: u8,
    max_len: Option<u16>,
    group: Option<IpAddr>,
    port: Option<u16>,
    ttl: Option<u8>,
}

impl<'a> Given<'a> {
    fn new(verb: Verb, value: Option<&str>, names: &'a dyn Names) -> Result<Given<'a>, Refusal> {
        let role = match (verb, value) {
            (Verb::StartDaemon | Verb::StopDaemon, Some("master")) => Some(SyncRole::Master),
            (Verb::StartDaemon | Verb::StopDaemon, Some("backup")) => Some(SyncRole::Backup),
            (Verb::StartDaemon, _) => return Err(illegal("start-daemon parameter")),
            // The original's slip of the pen.
            (Verb::StopDaemon, _) => return Err(illegal("start_daemon")),
            _ => None,
        };
        Ok(Given {
            verb,
            names,
            filled: Filled::default(),
            key: None,
            role,
            timeouts: None,
            scheduler: None,
            sched_flags: "",
            persistence: None,
            netmask: Ipv4Addr::BROADCAST,
            prefix_len: 128,
            engine: None,
            server: None,
            method: Method::DirectRoute,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::default(),
            proxy_protocol: false,
            daemon: DaemonOptions::default(),
        })
    }

    fn take(&mut self, found: &Found<'a>, words: &Words) -> Result<(), Refusal> {
        let Found { definition, value } = *found;
        if let Some(slot) = definition.slot
            && !self.filled.fill(slot)
        {
            let name = legality::name_of(slot);
            return Err(wrong_use(format!("multiple '{name}' options specified")));
        }
        let text = value.unwrap_or_default();
        match definition.opt {
            Opt::Verb(_) => {
                return Err(wrong_use(format!("invalid option `{}'", words.last_word())));
            }
            Opt::TcpService => self.key = Some(self.parse_service(Protocol::Tcp, text)?),
            Opt::UdpService => self.key = Some(self.parse_service(Protocol::Udp, text)?),
            Opt::SctpService => self.key = Some(self.parse_service(Protocol::Sctp, text)?),
            Opt::FwmarkService => self.key = Some(parse_fwmark(text)?),
            Opt::Ipv6 => match &mut self.key {
                Some(ServiceKey::Fwmark { family, .. }) => *family = Family::Inet6,
                // With an empty line below, as recorded.
                _ => return Err(wrong_use("-6 used before -f\n")),
            },
            Opt::Scheduler => self.scheduler = Some(text).filter(|t| !t.is_empty()),
            Opt::SchedFlags => self.sched_flags = text,
            Opt::Engine => self.engine = Some(text).filter(|t| !t.is_empty()),
            Opt::Persistent => {
                let timeout_secs = match value {
                    Some(text) => parse_timeout(text, 1)?,
                    None => DEFAULT_PERSISTENCE_SECS,
                };
                self.persistence = Some(Persistence { timeout_secs });
            }
            Opt::Netmask => self.take_netmask(text)?,
            Opt::RealServer => self.server = Some(self.parse_server(text)?),
            Opt::Gatewaying => self.method = Method::DirectRoute,
            Opt::Ipip => self.method = Method::Tunnel,
            Opt::Masquerading => self.method = Method::Masquerade,
            Opt::FullNat => self.method = Method::FullNat,
            Opt::ProxyProtocol => self.proxy_protocol = true,
            Opt::Weight => self.weight = number(text, 0..=MAX_NUMBER, "weight")?,
            Opt::UpperThreshold => {
                self.upper_threshold = number(text, 0..=MAX_NUMBER, "u_threshold")?;
            }
            Opt::LowerThreshold => {
                self.lower_threshold = number(text, 0..=MAX_NUMBER, "l_threshold")?;
            }
            Opt::TunType => {
                self.tunnel.kind = match text {
                    "ipip" => TunnelKind::Ipip,
                    "gue" => TunnelKind::Gue,
                    "gre" => TunnelKind::Gre,
                    _ => return Err(illegal("tunnel type")),
                }
            }
            Opt::TunPort => self.tunnel.port = number(text, 1..=65535, "tunnel port")? as u16,
            Opt::TunNocsum => self.tunnel.checksum = TunnelChecksum::None,
            Opt::TunCsum => self.tunnel.checksum = TunnelChecksum::Full,
            Opt::TunRemcsum => self.tunnel.checksum = TunnelChecksum::Remote,
            Opt::Switch | Opt::Sort => {}
            Opt::SyncId
            | Opt::SyncMaxlen
            | Opt::McastInterface
            | Opt::McastGroup
            | Opt::McastPort
            | Opt::McastTtl => self.daemon.take(definition.opt, text)?,
        }
        Ok(())
    }

    fn parse_service(&self, protocol: Protocol, text: &str) -> Result<ServiceKey, Refusal> {
        let HostPort { addr, port } = address::parse(text, Some(protocol), self.names)
            .ok_or_else(|| illegal("virtual server address[:port]"))?;
        Ok(ServiceKey::Address { protocol, addr, port: port.unwrap_or(0) })
    }

    /// A server's address, and its port or the service's, as far as that is known.
    fn parse_server(&self, text: &str) -> Result<(IpAddr, u16), Refusal> {
        let (protocol, service_port) = match self.key {
            Some(ServiceKey::Address { protocol, port, .. }) => (Some(protocol), port),
            Some(ServiceKey::Fwmark { .. }) => (Some(Protocol::Tcp), 0),
            None => (None, 0),
        };
        let server = address::parse(text, protocol, self.names)
            .ok_or_else(|| illegal("real server address[:port]"))?;
        Ok((server.addr, server.port.unwrap_or(service_port)))
    }

    fn take_netmask(&mut self, text: &str) -> Result<(), Refusal> {
        match self.key.map_or(Family::Inet, |k| k.family()) {
            Family::Inet => {
                let mask = address::dotted(text);
                self.netmask = mask.ok_or_else(|| illegal("virtual server persistent mask"))?;
            }
            Family::Inet6 => self.prefix_len = number(text, 1..=128, "ipv6 netmask")? as u8,
        }
        Ok(())
    }

    fn into_command(self) -> Result<Command, Refusal> {
        let flags = sched_flags::parse(self.sched_flags, self.scheduler.unwrap_or(DEFAULT_SCHEDULER))?;
        legality::check_command(self.verb, self.filled)?;
        // The table of rules saw to it that those who need a service have one.
        let key = self.key.ok_or_else(try_help);
        Ok(match self.verb {
            Verb::Help => Command::Help,
            Verb::Version => Command::Version,
            Verb::AddService => Command::AddService(self.service(key?, flags)?),
            Verb::EditService => Command::EditService(self.service(key?, flags)?),
            Verb::DeleteService => Command::DeleteService(key?),
            Verb::Clear => Command::Clear,
            Verb::Restore => Command::Restore,
            Verb::Save => Command::Save { numeric: self.filled.has(Slot::Numeric) },
            Verb::AddServer => {
                let service = key?;
                Command::AddServer { service, server: self.destination(&service)? }
            }
            Verb::EditServer => {
                let service = key?;
                Command::EditServer { service, server: self.destination(&service)? }
            }
            Verb::DeleteServer => {
                let service = key?;
                let (addr, port) = self.server.ok_or_else(try_help)?;
                Command::DeleteServer { service, addr, port }
            }
            Verb::List => Command::List(ListRequest::from_filled(self.filled, self.key)),
            Verb::Zero => Command::Zero(self.key),
            Verb::Set => Command::SetTimeouts(self.timeouts.ok_or_else(try_help)?),
            Verb::StartDaemon => Command::StartDaemon(self.sync_daemon()?),
            Verb::StopDaemon => Command::StopDaemon(self.role.ok_or_else(try_help)?),
        })
    }

    fn service(&self, key: ServiceKey, flags: SchedFlags) -> Result<Service, Refusal> {
        let one_packet = self.filled.has(Slot::Ops);
        if let ServiceKey::Address { protocol, port, .. } = key {
            if port == 0 && self.persistence.is_none() {
                return Err(wrong_use("Zero port specified for non-persistent service"));
            }
            if one_packet && protocol != Protocol::Udp {
                let text = "One-Packet Scheduling is only for UDP virtual services";
                return Err(wrong_use(text));
            }
        }
        let scheduler = self.scheduler.unwrap_or(DEFAULT_SCHEDULER);
        let (netmask, prefix_len) = match key.family() {
            Family::Inet => (Some(self.netmask), 32),
            Family::Inet6 => (None, self.prefix_len),
        };
        Ok(Service {
            flags,
            persistence: self.persistence,
            netmask,
            prefix_len,
            engine: self.engine.map(str::to_owned),
            one_packet,
            ..Service::new(key, scheduler)
        })
    }

    fn destination(&self, service: &ServiceKey) -> Result<Destination, Refusal> {
        let (addr, mut port) = self.server.ok_or_else(try_help)?;
        if Family::of(addr) != service.family() && self.method != Method::Tunnel {
            let text = "Different address family is allowed only for tunneling servers";
            return Err(wrong_use(text));
        }
        legality::check_proxy_protocol(self.method, service, self.proxy_protocol)?;
        legality::check_tunnel(self.method, self.tunnel.kind, self.filled)?;
        // Only masquerading can change a packet's port.
        if let (ServiceKey::Address { port: service_port, .. }, Method::DirectRoute | Method::Tunnel) =
            (service, self.method)
        {
            port = *service_port;
        }
        Ok(Destination {
            addr,
            port,
            method: self.method,
            weight: self.weight,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
            tunnel: self.tunnel,
            proxy_protocol: self.proxy_protocol,
        })
    }

    fn sync_daemon(self) -> Result<SyncDaemon, Refusal> {
        let DaemonOptions { interface, sync_id, max_len, group, port, ttl } = self.daemon;
        let role = self.role.ok_or_else(try_help)?;
        let interface = interface.unwrap_or_else(|| DEFAULT_INTERFACE.to_owned());
        Ok(SyncDaemon { role, interface, sync_id, max_len, group, port, ttl })
    }
}

impl DaemonOptions {
    fn take(&mut self, opt: Opt, text: &str) -> Result<(), Refusal> {
        match opt {
            Opt::SyncId => self.sync_id = number(text, 0..=255, "syncid")? as u8,
            Opt::SyncMaxlen => {
                // The largest UDP payload (RFC 768 over RFC 791).
                self.max_len = Some(number(text, 1..=65535 - 20 - 8, "sync-maxlen")? as u16);
            }
            Opt::McastInterface => self.interface = Some(text.to_owned()),
            Opt::McastGroup => {
                let group: Option<IpAddr> = text.parse().ok();
                let family = if text.contains(':') { "IPv6" } else { "IPv4" };
                let refusal = || wrong_use(format!("invalid {family} mcast-group `{text}'"));
                self.group = Some(group.filter(IpAddr::is_multicast).ok_or_else(refusal)?);
            }
            Opt::McastPort => self.port = Some(number(text, 1..=65535, "mcast-port")? as u16),
            Opt::McastTtl => self.ttl = Some(number(text, 1..=255, "mcast-ttl")? as u8),
            _ => {}
        }
        Ok(())
    }
}

fn parse_fwmark(text: &str) -> Result<ServiceKey, Refusal> {
    let mark = in_range(text, 1..=i64::from(u32::MAX))
        .ok_or_else(|| wrong_use(format!("invalid fwmark value `{text}' specified")))?;
    Ok(ServiceKey::Fwmark { mark: mark as u32, family: Family::Inet })
}
