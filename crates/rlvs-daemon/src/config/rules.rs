//! Which services and destinations a configuration stands for.

use super::model::*;
use rlvs_control::model::{Destination, Family, SchedFlags, Service, ServiceKey};
use std::collections::HashSet;

/// The most services of a configuration.
pub const MAX_SERVICES: u64 = 65_536;
/// The most destinations of all services together.
pub const MAX_DESTINATIONS: u64 = 1_000_000;

/// A service with its destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub service: Service,
    pub destinations: Vec<Destination>,
}

/// The rules when every real server is up, in the order in which keepalived adds them: virtual servers as they are
/// written; of a group its addresses first, then its firewall marks; then the real servers as they are written. Where
/// the weights of all do not give the quorum, there is the sorry server; where they do, it is there with weight 0 if it is
/// one with `inhibit`.
///
/// A configuration that [`validate`](super::validate::validate) does not complain of has no service twice; of one that
/// has, the first counts.
pub fn desired_rules(config: &Config) -> Vec<Rule> {
    let mut seen = HashSet::new();
    let mut rules = Vec::new();
    for server in &config.virtual_servers {
        let weight = server.real_servers.iter().map(|real| u64::from(real.effective_weight(server))).sum();
        for service in services(config, server).filter(|service| seen.insert(service.key)) {
            let inhibited = server.sorry_server.is_some_and(|sorry| sorry.inhibit);
            let destinations = match sorry_destination(&service.key, server) {
                Some(sorry) if !server.quorum_holds(weight, false) => vec![sorry],
                _ => {
                    let mut seen = HashSet::new();
                    let all = server.real_servers.iter().map(|real| destination(&service.key, server, real));
                    let sorry = sorry_destination(&service.key, server).filter(|_| inhibited);
                    let all = all.chain(sorry.map(|sorry| Destination { weight: 0, ..sorry }));
                    all.filter(|d| seen.insert((d.addr, d.port))).collect()
                }
            };
            rules.push(Rule { service, destinations });
        }
    }
    rules
}

/// The services of one virtual server, without destinations; not more than [`MAX_SERVICES`].
pub fn services<'a>(config: &'a Config, server: &'a VirtualServer) -> impl Iterator<Item = Service> + 'a {
    keys(config, server).map(|key| service(server, key))
}

/// A real server as a destination of a service, with its configured weight.
pub fn destination(key: &ServiceKey, server: &VirtualServer, real: &RealServer) -> Destination {
    let method = real.effective_method(server);
    Destination {
        weight: real.effective_weight(server),
        upper_threshold: real.upper_threshold,
        lower_threshold: real.lower_threshold,
        ..plain(key, real.address, method)
    }
}

/// The sorry server as a destination, with weight 1.
pub fn sorry_destination(key: &ServiceKey, server: &VirtualServer) -> Option<Destination> {
    let sorry = server.sorry_server?;
    Some(plain(key, sorry.address, sorry.method.unwrap_or(server.method)))
}

fn plain(key: &ServiceKey, address: Endpoint, forwarding: Forwarding) -> Destination {
    let Endpoint { addr, port } = destination_endpoint(key, address, forwarding);
    Destination {
        addr,
        port,
        method: forwarding.method,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: forwarding.tunnel,
        proxy_protocol: forwarding.proxy_protocol,
    }
}

/// Where packets go: only NAT changes the port, and a server without a port has the service's.
pub fn destination_endpoint(key: &ServiceKey, address: Endpoint, forwarding: Forwarding) -> Endpoint {
    match *key {
        ServiceKey::Address { port, .. } if address.port == 0 || !forwarding.method.maps_ports() => {
            Endpoint { port, ..address }
        }
        _ => address,
    }
}

fn service(server: &VirtualServer, key: ServiceKey) -> Service {
    let scheduler = server.effective_scheduler();
    let mut service = Service::new(key, scheduler);
    let flags = server.flags.iter().filter(|flag| flag.scheduler().is_none_or(|only| only == scheduler));
    service.flags = SchedFlags(flags.fold(0, |bits, flag| bits | flag.bit()));
    service.one_packet = server.one_packet;
    let all_ports = matches!(key, ServiceKey::Address { port: 0, .. });
    let timeout = match &server.persistence {
        Some(persistence) => Some(persistence.timeout),
        None => all_ports.then_some(Persistence::DEFAULT_TIMEOUT),
    };
    service.persistence = timeout.map(|timeout| rlvs_control::model::Persistence {
        timeout_secs: u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
    });
    if let Some(persistence) = &server.persistence {
        service.engine = persistence.engine.clone();
        match (persistence.granularity, key.family()) {
            (Some(Granularity::Mask(mask)), Family::Inet) => service.netmask = Some(mask),
            (Some(Granularity::Prefix(length)), Family::Inet6) => service.prefix_len = length,
            _ => {}
        }
    }
    service
}

/// What selects the services of a virtual server; at most [`MAX_SERVICES`] and one.
pub fn keys<'a>(config: &'a Config, server: &'a VirtualServer) -> Box<dyn Iterator<Item = ServiceKey> + 'a> {
    let protocol = server.protocol;
    let address = move |Endpoint { addr, port }| ServiceKey::Address { protocol, addr, port };
    let mark = move |mark, family: Option<Family>| ServiceKey::Fwmark {
        mark,
        family: family.unwrap_or_else(|| mark_family(server)),
    };
    match &server.service {
        ServiceAddress::Address(endpoint) => Box::new(std::iter::once(address(*endpoint))),
        ServiceAddress::Fwmark(number) => Box::new(std::iter::once(mark(*number, None))),
        ServiceAddress::Group(name) => {
            let members = config.group(name).map_or(&[][..], |group| &group.members);
            let addresses = members.iter().flat_map(Member::endpoints).map(address);
            let marks = members.iter().filter_map(move |member| match *member {
                Member::Fwmark { mark: number, family } => Some(mark(number, family)),
                Member::Addresses { .. } => None,
            });
            Box::new(addresses.chain(marks).take(MAX_SERVICES as usize + 1))
        }
    }
}

/// How many [`keys`] there are, without making them.
pub fn key_count(config: &Config, server: &VirtualServer) -> u64 {
    let ServiceAddress::Group(name) = &server.service else { return 1 };
    let members = config.group(name).map_or(&[][..], |group| &group.members);
    members.iter().fold(0u64, |sum, member| {
        sum.saturating_add(match member {
            Member::Fwmark { .. } => 1,
            Member::Addresses { .. } => member.endpoints().take(MAX_RANGE as usize).count() as u64,
        })
    })
}

/// `ip_family`, or that of the servers if they are all of one, or IPv4.
fn mark_family(server: &VirtualServer) -> Family {
    let sorry = server.sorry_server.map(|sorry| sorry.address);
    let mut servers = server.real_servers.iter().map(|real| real.address).chain(sorry);
    let of_servers = servers.next().map(|first| Family::of(first.addr));
    let is_same = servers.all(|other| Some(Family::of(other.addr)) == of_servers);
    let agreed = of_servers.filter(|_| is_same);
    server.family.or(agreed).unwrap_or(Family::Inet)
}

/// A service in words: `TCP 192.0.2.1:80`, `FWM 5`, `FWM 5 IPv6`.
pub fn key_text(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            format!("{protocol} {}", Endpoint { addr, port })
        }
        ServiceKey::Fwmark { mark, family: Family::Inet } => format!("FWM {mark}"),
        ServiceKey::Fwmark { mark, family: Family::Inet6 } => format!("FWM {mark} IPv6"),
    }
}
