//! `virtual_server … { … }` and `virtual_server_group NAME { … }`.

use super::args::{number, whole_seconds};
use super::elsewhere;
use super::global::set;
use super::reader::Reader;
use super::tree::Statement;
use crate::config::model::{
    Forwarding, Granularity, Group, Member, Persistence, Protocol, SCHEDULERS, SchedulerFlag, ServiceAddress,
    SorryServer, Timing, VirtualServer, parse_family, parse_mark,
};
use crate::config::validate::Place;
use std::time::Duration;

const KNOWN: [&str; 39] = [
    "lvs_sched",
    "lb_algo",
    "lvs_method",
    "lb_kind",
    "ops",
    "flag-1",
    "flag-2",
    "flag-3",
    "sh-port",
    "sh-fallback",
    "mh-port",
    "mh-fallback",
    "persistence_timeout",
    "persistence_granularity",
    "persistence_engine",
    "protocol",
    "delay_loop",
    "connect_timeout",
    "retry",
    "delay_before_retry",
    "warmup",
    "inhibit_on_failure",
    "ha_suspend",
    "alpha",
    "omega",
    "quorum",
    "hysteresis",
    "quorum_up",
    "quorum_down",
    "sorry_server",
    "sorry_server_inhibit",
    "sorry_server_lvs_method",
    "virtualhost",
    "ip_family",
    "weight",
    "real_server",
    "smtp_alert",
    "snmp_name",
    "hashed",
];

/// Parts of a virtual server that are one value in the model, but many keywords in the file.
#[derive(Default)]
struct Parts {
    persist_timeout: Option<Duration>,
    granularity: Option<Granularity>,
    engine: Option<String>,
    protocol: Option<Protocol>,
    sorry_inhibit: bool,
    sorry_method: Option<Forwarding>,
}

impl Reader<'_> {
    pub fn virtual_server(&mut self, s: &Statement, index: usize) -> Option<VirtualServer> {
        let service = self.service_address(s);
        // With a wrong address the block is read all the same, for what else is wrong.
        let mut server = VirtualServer::new(service.clone().unwrap_or(ServiceAddress::Fwmark(1)));
        let mut parts = Parts::default();
        for s in self.block(s) {
            self.virtual_server_word(s, index, &mut server, &mut parts);
        }
        self.put_together(s, &mut server, parts);
        service.map(|_| server)
    }

    fn service_address(&mut self, s: &Statement) -> Option<ServiceAddress> {
        const USAGE: &str = "virtual_server ADDRESS [PORT], fwmark N or group NAME";
        match s.args.first().map(|word| word.text.as_str()) {
            Some("fwmark") if self.args_count(s, 2..=2, USAGE) => {
                Some(ServiceAddress::Fwmark(self.parse(s, &s.args[1], parse_mark)?))
            }
            Some("group") if self.args_count(s, 2..=2, USAGE) => {
                Some(ServiceAddress::Group(s.args[1].text.clone()))
            }
            Some("fwmark" | "group") => None,
            _ => self.endpoint(s).map(ServiceAddress::Address),
        }
    }

    fn virtual_server_word(
        &mut self,
        s: &Statement,
        index: usize,
        server: &mut VirtualServer,
        parts: &mut Parts,
    ) {
        let word = s.keyword.text.as_str();
        if let Some(flag) = SchedulerFlag::ALL.into_iter().find(|flag| flag.name() == word) {
            if self.switch(s) == Some(true) {
                server.flags.insert(flag);
            }
            return;
        }
        if self.timing_word(s, &mut server.timing) {
            return;
        }
        match word {
            "lvs_sched" | "lb_algo" => set(&mut server.scheduler, self.one(s, "lvs_sched NAME", scheduler)),
            "lvs_method" | "lb_kind" => server.method = self.forwarding(s).unwrap_or(server.method),
            "ops" => server.one_packet |= self.switch(s) == Some(true),
            "persistence_timeout" => {
                if self.count(s, 0..=1, "persistence_timeout [SECONDS]") {
                    let time = match s.args.first() {
                        Some(word) => self.parse(s, word, whole_seconds),
                        None => Some(Persistence::DEFAULT_TIMEOUT),
                    };
                    set(&mut parts.persist_timeout, time);
                }
            }
            "persistence_granularity" => {
                set(&mut parts.granularity, self.one(s, "persistence_granularity NETMASK", str::parse));
            }
            "persistence_engine" => {
                let engine = self.one(s, "persistence_engine sip", |text| match text {
                    "sip" => Ok(text.to_owned()),
                    _ => Err(format!("{text:?} is no persistence engine; there is sip")),
                });
                set(&mut parts.engine, engine);
            }
            "protocol" => set(&mut parts.protocol, self.one(s, "protocol TCP, UDP or SCTP", protocol)),
            "ip_family" => set(&mut server.family, self.one(s, "ip_family inet or inet6", parse_family)),
            "alpha" => server.alpha = self.switch(s).unwrap_or(server.alpha),
            "omega" => server.omega = self.switch(s).unwrap_or(server.omega),
            "ha_suspend" => server.ha_suspend = self.switch(s).unwrap_or(server.ha_suspend),
            "inhibit_on_failure" => {
                server.inhibit_on_failure = self.switch(s).unwrap_or(server.inhibit_on_failure);
            }
            "weight" => set(&mut server.weight, self.number(s, 0..=0x7fff_ffff)),
            "quorum" => set(&mut server.quorum, self.number(s, 1..=u64::from(u32::MAX))),
            "hysteresis" => {
                server.hysteresis = self.number(s, 0..=u64::from(u32::MAX)).unwrap_or(server.hysteresis);
            }
            "quorum_up" => set(&mut server.quorum_up, self.script(s)),
            "quorum_down" => set(&mut server.quorum_down, self.script(s)),
            "sorry_server" => {
                let address = self.endpoint(s);
                set(
                    &mut server.sorry_server,
                    address.map(|address| SorryServer { address, inhibit: false, method: None }),
                );
            }
            "sorry_server_inhibit" => parts.sorry_inhibit |= self.switch(s) == Some(true),
            "sorry_server_lvs_method" => set(&mut parts.sorry_method, self.forwarding(s)),
            "virtualhost" => set(&mut server.virtualhost, self.string(s, "virtualhost NAME")),
            "real_server" => {
                let at = server.real_servers.len();
                if let Some(real) = self.real_server(s, index, at) {
                    self.places.set(Place::RealServer(index, at), s.span());
                    server.real_servers.push(real);
                }
            }
            _ => match elsewhere::in_servers(word) {
                Some(why) => self.warn(s, &format!("{word} is not for rlvs; {why}")),
                None if word.ends_with("_CHECK") || word.ends_with("_GET") => {
                    let message = format!("{word} stands in virtual_server; write it into each real_server");
                    self.error(s, s.keyword.span, &message);
                }
                None => self.unknown(s, "virtual_server", &KNOWN),
            },
        }
    }

    fn put_together(&mut self, s: &Statement, server: &mut VirtualServer, parts: Parts) {
        match parts.persist_timeout {
            Some(timeout) => {
                let Parts { granularity, engine, .. } = parts;
                server.persistence = Some(Persistence { timeout, granularity, engine });
            }
            None if parts.granularity.is_some() || parts.engine.is_some() => {
                let word = if parts.granularity.is_some() {
                    "persistence_granularity"
                } else {
                    "persistence_engine"
                };
                self.warn(
                    s,
                    &format!("{word} has no effect without persistence; write persistence_timeout, too"),
                );
            }
            None => {}
        }
        match &mut server.sorry_server {
            Some(sorry) => {
                sorry.inhibit = parts.sorry_inhibit;
                sorry.method = parts.sorry_method;
            }
            None if parts.sorry_inhibit || parts.sorry_method.is_some() => {
                self.warn(s, "settings of a sorry server without one; write sorry_server ADDRESS [PORT]");
            }
            None => {}
        }
        if let Some(protocol) = parts.protocol {
            server.protocol = protocol;
        } else if matches!(server.service, ServiceAddress::Address(_)) {
            self.warn(
                s,
                "no protocol is given, TCP is taken; write protocol TCP or UDP, as keepalived 2.2 takes UDP here",
            );
        }
    }

    /// Is it one of the keywords of [`Timing`]? Then it is read.
    pub fn timing_word(&mut self, s: &Statement, timing: &mut Timing) -> bool {
        match s.keyword.text.as_str() {
            "delay_loop" => set(&mut timing.delay_loop, self.time(s)),
            "connect_timeout" => set(&mut timing.connect_timeout, self.time(s)),
            "retry" | "nb_get_retry" => set(&mut timing.retry, self.number(s, 0..=u64::from(u32::MAX))),
            "delay_before_retry" => set(&mut timing.delay_before_retry, self.time(s)),
            "warmup" => set(&mut timing.warmup, self.time(s)),
            _ => return false,
        }
        true
    }

    pub fn group(&mut self, s: &Statement) -> Option<Group> {
        let named = self.args_count(s, 1..=1, "virtual_server_group NAME { … }");
        let mut members = Vec::new();
        for s in self.block(s) {
            members.extend(self.member(s));
        }
        named.then(|| Group { name: s.args[0].text.clone(), members })
    }

    fn member(&mut self, s: &Statement) -> Option<Member> {
        if s.keyword.text == "fwmark" {
            if !self.count(s, 1..=2, "fwmark N [inet or inet6]") {
                return None;
            }
            let mark = self.parse(s, &s.args[0], parse_mark)?;
            let family = match s.args.get(1) {
                Some(word) => Some(self.parse(s, word, parse_family)?),
                None => None,
            };
            return Some(Member::Fwmark { mark, family });
        }
        if !self.count(s, 0..=1, "ADDRESS [PORT], a range of addresses, or fwmark N") {
            return None;
        }
        let port = match s.args.first() {
            Some(word) => self.parse(s, word, |text| number(text, 0..=65_535))?,
            None => 0,
        };
        self.parse(s, &s.keyword, |text| Member::range(text, port))
    }
}

fn scheduler(text: &str) -> Result<String, String> {
    if SCHEDULERS.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no scheduler; there are {}", SCHEDULERS.join(", ")))
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_uppercase().as_str() {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Ok(Protocol::Sctp),
        _ => Err(format!("{text:?} is no protocol; there are TCP, UDP and SCTP")),
    }
}
