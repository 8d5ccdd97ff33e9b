//! What cannot work in a model, or will not do what it seems to say. The model may come from either format; a finding
//! names its place in the model, and [`Places`] knows where in the file that is.

use super::model::*;
use super::report::{Diagnostic, Level, Span};
use super::rules::{self, MAX_DESTINATIONS, MAX_SERVICES};
use rlvs_control::model::{Family, ServiceKey};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

mod passive;
mod server;
mod via;

/// A part of the configuration, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Global,
    Tls,
    Group(usize),
    TrackFile(usize),
    VirtualServer(usize),
    /// Of which virtual server, and which one.
    RealServer(usize, usize),
    Check(usize, usize, usize),
}

/// Where the parts of a configuration stand in its files.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<Place, Span>);

impl Places {
    pub fn set(&mut self, place: Place, span: Span) {
        self.0.insert(place, span);
    }

    pub fn get(&self, place: Place) -> Option<Span> {
        self.0.get(&place).copied()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub place: Place,
    pub message: String,
    pub help: String,
}

impl Finding {
    pub fn diagnostic(self, places: &Places) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.level, self.message).help(self.help);
        diagnostic.span = places.get(self.place);
        diagnostic
    }
}

/// The shortest time between checks.
const MIN_DELAY: Duration = Duration::from_millis(1);

/// Everything there is to say, in the order of the file.
pub fn validate(config: &Config) -> Vec<Finding> {
    let mut v = Validation { config, findings: Vec::new() };
    v.names();
    for (i, server) in config.virtual_servers.iter().enumerate() {
        v.virtual_server(i, server);
    }
    if v.size() {
        v.services_are_unique();
    }
    v.findings
}

struct Validation<'a> {
    config: &'a Config,
    findings: Vec<Finding>,
}

impl<'a> Validation<'a> {
    fn error(&mut self, place: Place, message: impl fmt::Display, help: impl fmt::Display) {
        self.say(Level::Error, place, message, help);
    }

    fn warn(&mut self, place: Place, message: impl fmt::Display, help: impl fmt::Display) {
        self.say(Level::Warning, place, message, help);
    }

    fn say(&mut self, level: Level, place: Place, message: impl fmt::Display, help: impl fmt::Display) {
        self.findings.push(Finding { level, place, message: message.to_string(), help: help.to_string() });
    }

    fn names(&mut self) {
        let mut seen = HashMap::new();
        for (i, group) in self.config.groups.iter().enumerate() {
            if seen.insert(&group.name, i).is_some() {
                let message = format!("two groups have the name {}", group.name);
                self.error(Place::Group(i), message, "put the members of both into one");
            }
            if group.members.is_empty() {
                self.warn(
                    Place::Group(i),
                    format!("the group {} is empty", group.name),
                    "no service comes of it",
                );
            }
        }
        let mut seen = HashMap::new();
        for (i, file) in self.config.track_files.iter().enumerate() {
            if seen.insert(&file.name, i).is_some() {
                let message = format!("two track files have the name {}", file.name);
                self.error(Place::TrackFile(i), message, "give one of them another name");
            }
        }
        if let Some(daemon) = &self.config.global.sync_daemon
            && (daemon.max_len == Some(0) || daemon.port == Some(0) || daemon.ttl == Some(0))
        {
            let message = "0 as length, port or ttl of the sync daemon";
            self.error(Place::Global, message, "leave it out, the default is taken then");
        }
        let sources = &self.config.global.fullnat_sources;
        for (i, source) in sources.iter().enumerate() {
            if sources[..i].iter().any(|other| other.0.address == source.0.address) {
                let message = format!("{} is twice in the pool of FULLNAT", source.0.address);
                self.error(Place::Global, message, "write it once, with one range of ports");
            }
        }
        self.not_supported();
        self.passive(Place::Global, &self.config.global.passive);
        let t = &self.config.global.timeouts;
        if [t.tcp, t.tcp_fin, t.udp].iter().flatten().any(|time| !is_whole(*time)) {
            self.error(
                Place::Global,
                "a connection timeout that is no whole number of seconds",
                "1 s at least",
            );
        }
    }

    /// What keepalived has and the daemon does otherwise, or not at all.
    fn not_supported(&mut self) {
        if self.config.global.sync_daemon.is_some() {
            let message = "connections are not told to another director yet: lvs_sync_daemon does nothing";
            self.warn(Place::Global, message, "leave it out, or watch for a version that has it");
        }
        let Some(tls) = &self.config.tls else { return };
        if tls.password.is_some() {
            let message = "an encrypted key cannot be read: the password in the block SSL does nothing";
            self.warn(Place::Tls, message, "openssl pkey -in KEY -out KEY.plain, and chmod it to 0600");
        }
        if tls.ca.is_some() {
            let message =
                "any certificate of a server will do, as in keepalived: ca in the block SSL does nothing";
            self.warn(Place::Tls, message, "leave it out");
        }
        if tls.certificate.is_some() != tls.key.is_some() {
            let message = "a certificate without a key, or a key without a certificate";
            self.error(Place::Tls, message, "the block SSL takes both or none");
        }
    }

    fn virtual_server(&mut self, i: usize, server: &'a VirtualServer) {
        let place = Place::VirtualServer(i);
        if let ServiceAddress::Group(name) = &server.service
            && self.config.group(name).is_none()
        {
            self.error(
                place,
                format!("there is no group {name}"),
                format!("write virtual_server_group {name}"),
            );
        }
        self.scheduling(place, server);
        self.persistence(place, server);
        self.timing(place, &server.timing);
        self.agent(place, &server.agent, None);
        self.passive_of(i, server);
        self.weight(place, server.weight);
        self.quorum(place, server);
        if let Some(sorry) = &server.sorry_server {
            self.reachable(
                place,
                server,
                sorry.address,
                sorry.method.unwrap_or(server.method),
                "sorry server",
            );
        }
        if server.agent != Agent::default()
            && !server.agent.names_somebody()
            && server.real_servers.iter().all(|real| real.effective_agent(server).is_none())
        {
            self.warn(
                place,
                "settings of agents, and no agent is asked",
                "write agent.port, or leave them out",
            );
        }
        if server.real_servers.is_empty() && server.sorry_server.is_none() {
            self.warn(
                place,
                format!("{} has no real server", server.service),
                "connections to it are refused",
            );
        }
        let mut seen = HashMap::new();
        let first = rules::keys(self.config, server).next();
        for (j, real) in server.real_servers.iter().enumerate() {
            let method = real.effective_method(server);
            let endpoint =
                first.map_or(real.address, |key| rules::destination_endpoint(&key, real.address, method));
            if seen.insert(endpoint, j).is_some() {
                let message = format!("the real server {endpoint} is there twice");
                self.error(Place::RealServer(i, j), message, "remove one, and give the other both weights");
            }
            self.real_server((i, j), server, real);
        }
    }

    fn scheduling(&mut self, place: Place, server: &VirtualServer) {
        let scheduler = server.effective_scheduler();
        if !SCHEDULERS.contains(&scheduler) {
            self.error(
                place,
                format!("{scheduler:?} is no scheduler"),
                format!("there are {}", SCHEDULERS.join(", ")),
            );
        }
        for flag in &server.flags {
            if let Some(only) = flag.scheduler().filter(|only| *only != scheduler) {
                let message =
                    format!("{} is a flag of {only}, not of {scheduler}; it is ignored", flag.name());
                self.warn(place, message, format!("leave it out, or write lvs_sched {only}"));
            }
        }
        if server.one_packet
            && server.protocol != Protocol::Udp
            && matches!(server.service, ServiceAddress::Address(_))
        {
            self.error(place, "ops is for UDP, or for firewall marks", "leave it out, or write protocol UDP");
        }
    }

    fn persistence(&mut self, place: Place, server: &VirtualServer) {
        if let ServiceAddress::Address(Endpoint { port: 0, .. }) = server.service
            && server.persistence.is_none()
        {
            let message = "a service of all ports must be persistent; it gets a timeout of 360 s";
            self.warn(place, message, "write a port, or persistence_timeout");
        }
        let Some(persistence) = &server.persistence else { return };
        if !is_whole(persistence.timeout) {
            self.error(place, "a persistence timeout that is no whole number of seconds", "1 s at least");
        }
        if persistence.engine.as_deref().is_some_and(|engine| engine != "sip") {
            self.error(place, "an unknown persistence engine", "there is sip");
        }
        if persistence.engine.is_some() && server.protocol != Protocol::Udp {
            self.error(place, "the persistence engine sip is for UDP", "leave it out, or write protocol UDP");
        }
        let families = rules::keys(self.config, server).map(|key| key.family());
        let (v4, v6) = families.fold((false, false), |(v4, v6), family| {
            (v4 || family == Family::Inet, v6 || family == Family::Inet6)
        });
        match persistence.granularity {
            Some(Granularity::Mask(mask)) if v6 => {
                let help = "write a prefix length, like 64";
                self.error(place, format!("the granularity {mask} is not for IPv6"), help);
            }
            Some(Granularity::Prefix(prefix)) if v4 => {
                let help = "write a mask, like 255.255.255.0";
                self.error(place, format!("the granularity {prefix} is not for IPv4"), help);
            }
            _ => {}
        }
    }

    fn quorum(&mut self, place: Place, server: &VirtualServer) {
        if server.quorum == Some(0) {
            self.error(place, "a quorum of 0", "1 is the least, and the default");
        }
        let all: u64 = server.real_servers.iter().map(|real| u64::from(real.effective_weight(server))).sum();
        let dynamic =
            server.real_servers.iter().flat_map(|real| &real.checks).any(|check| match &check.kind {
                CheckKind::Misc(misc) => misc.dynamic,
                CheckKind::File(file) => file.dynamic,
                _ => false,
            });
        let needed = u64::from(server.effective_quorum()) + u64::from(server.hysteresis);
        if server.quorum.is_some() && all < needed && !dynamic {
            let message =
                format!("the quorum of {needed} is never gained: all real servers together weigh {all}");
            self.warn(place, message, "lower quorum or hysteresis, or raise weights");
        }
    }

    /// Is it not too much?
    fn size(&mut self) -> bool {
        let (mut services, mut destinations) = (0u64, 0u64);
        for (i, server) in self.config.virtual_servers.iter().enumerate() {
            let of_this = rules::key_count(self.config, server);
            services = services.saturating_add(of_this);
            destinations =
                destinations.saturating_add(of_this.saturating_mul(server.real_servers.len() as u64));
            if services > MAX_SERVICES || destinations > MAX_DESTINATIONS {
                let message = format!(
                    "more than {MAX_SERVICES} services or {MAX_DESTINATIONS} destinations come of this"
                );
                self.error(Place::VirtualServer(i), message, "a firewall mark stands for many addresses");
                return false;
            }
        }
        true
    }

    fn services_are_unique(&mut self) {
        let mut seen: HashMap<ServiceKey, usize> = HashMap::new();
        for (i, server) in self.config.virtual_servers.iter().enumerate() {
            for key in rules::keys(self.config, server) {
                if let Some(before) = seen.insert(key, i) {
                    let message = if before == i {
                        format!("{} names {} twice", server.service, rules::key_text(&key))
                    } else {
                        let other = &self.config.virtual_servers[before].service;
                        format!("{} is already a service of virtual_server {other}", rules::key_text(&key))
                    };
                    self.error(Place::VirtualServer(i), message, "one service can be there only once");
                    break;
                }
            }
        }
    }
}

fn is_whole(time: Duration) -> bool {
    time >= Duration::from_secs(1) && time.subsec_nanos() == 0
}
