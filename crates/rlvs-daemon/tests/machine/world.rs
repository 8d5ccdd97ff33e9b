//! A director in memory, servers whose health a test decides, and a clock that the test moves.

use super::passive::Clients;
use rlvs_daemon::config::diff::Change;
use rlvs_daemon::config::model::Config;
use rlvs_daemon::config::rules::{Rule, key_text};
use rlvs_daemon::config::source;
use rlvs_daemon::config::{Format, load};
use rlvs_daemon::machine::{
    CheckSpec, Difference, Machine, Memory, Outcome, Output, Overruled, Probe, Question, Time,
};
use rlvs_daemon::weights::Answer;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// When tests begin.
pub const START: Time = Duration::from_secs(1_000_000);

/// A keepalived.conf, or our TOML form if it begins with `[`.
pub fn config(text: &str) -> Config {
    let (name, format) = match text.starts_with('[') {
        true => ("/etc/rlvs.toml", Format::Toml),
        false => ("/etc/keepalived.conf", Format::Keepalived),
    };
    load_good(name, format, text)
}

fn load_good(name: &str, format: Format, text: &str) -> Config {
    let files = source::Memory::one(name, text);
    let (config, report) = load(Path::new(name), format, "here", &files);
    assert!(!report.has_errors(), "{report}");
    config
}

/// One virtual server 192.0.2.1:80 with lines of its own, and real servers 10.0.0.1, 10.0.0.2, … with theirs.
pub fn one_service(vs: &str, servers: &[&str]) -> String {
    let mut text = format!("virtual_server 192.0.2.1 80 {{\nprotocol TCP\ndelay_loop 10\nwarmup 0\n{vs}\n");
    for (n, lines) in (1..).zip(servers) {
        text += &format!("real_server 10.0.0.{n} 80 {{\n{lines}\n}}\n");
    }
    text + "}\n"
}

pub const TCP: &str = "TCP_CHECK {\n}";

pub struct World {
    pub machine: Machine,
    pub now: Time,
    /// What a check of this label is answered with; `Passed` if it is not here.
    pub answers: BTreeMap<String, Outcome>,
    /// What an agent of this label says; no answer if it is not here, or empty.
    pub agents: BTreeMap<String, String>,
    /// Of servers, for passive checks.
    pub clients: BTreeMap<IpAddr, Clients>,
    /// The director's rules.
    pub rules: BTreeMap<String, Rule>,
    /// Scripts, lines of the pipe and tries, with the seconds since the start.
    pub log: Vec<(f64, String)>,
    pub events: Vec<String>,
    pub orders: usize,
    /// Orders that are refused, as long as this is set.
    pub broken: bool,
    /// How long a try takes, in worlds of one check.
    pub takes: Duration,
}

impl World {
    pub fn new(text: &str) -> World {
        World::with(text, &Memory::default(), BTreeMap::new(), 1)
    }

    pub fn with(text: &str, memory: &Memory, rules: BTreeMap<String, Rule>, seed: u64) -> World {
        World::started(START, text, memory, rules, seed)
    }

    pub fn started(
        now: Time,
        text: &str,
        memory: &Memory,
        rules: BTreeMap<String, Rule>,
        seed: u64,
    ) -> World {
        let found: Vec<Rule> = rules.values().cloned().collect();
        let machine = Machine::start(config(text), memory, &found, HashSet::new(), now, seed);
        let answers = BTreeMap::new();
        let agents = BTreeMap::new();
        let mut world = World {
            machine,
            now,
            answers,
            agents,
            clients: BTreeMap::new(),
            rules,
            log: Vec::new(),
            events: Vec::new(),
            orders: 0,
            broken: false,
            takes: Duration::ZERO,
        };
        world.carry_out();
        world
    }

    /// Lets time pass, to the next second `secs` after the start.
    pub fn until(&mut self, secs: f64) {
        let end = START + Duration::from_secs_f64(secs);
        while let Some(due) = self.machine.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for Probe { id, spec, step } in self.machine.due(self.now) {
                self.note(format!("try {}{}", spec.label(), step_text(&spec, step)));
                let outcome = self.answer(&spec, step);
                self.now += self.takes;
                self.machine.finished(id, outcome, self.now);
            }
            for Question { id, spec } in self.machine.questions(self.now) {
                self.note(format!("ask {}", spec.label()));
                let said = self.agents.get(&spec.label()).filter(|said| !said.is_empty());
                let answer = said.map(|said| Answer::parse(said.as_bytes()).expect("an answer"));
                self.machine.answered(id, answer.ok_or_else(|| "silence".to_owned()), self.now);
            }
            self.carry_out();
        }
        self.now = self.now.max(end);
    }

    pub fn run(&mut self, secs: f64) {
        let at = self.seconds();
        self.until(at + secs);
    }

    pub fn seconds(&self) -> f64 {
        (self.now - START).as_secs_f64()
    }

    /// Server `n`'s TCP check fails from now on (or passes again).
    pub fn server(&mut self, n: u8, up: bool) {
        let outcome = if up { Outcome::Passed } else { Outcome::Failed("refused".into()) };
        self.answers.insert(format!("TCP_CHECK 10.0.0.{n}:80"), outcome);
    }

    pub fn reload(&mut self, text: &str) -> Difference {
        let found: Vec<Rule> = self.rules.values().cloned().collect();
        let difference = self.machine.reload(config(text), &found, self.now);
        self.carry_out();
        difference
    }

    pub fn addresses(&mut self, addresses: &[&str]) {
        let local: HashSet<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.machine.addresses(local, self.now);
        self.carry_out();
    }

    pub fn stop(&mut self, leave: bool) {
        self.machine.stop(leave, self.now);
        self.carry_out();
    }

    pub fn carry_out(&mut self) {
        loop {
            let outputs = self.machine.take();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                match output {
                    Output::Orders(orders) if self.broken => {
                        let failed: Vec<_> = orders.into_iter().map(|o| (o, "broken".to_owned())).collect();
                        let found: Vec<Rule> = self.rules.values().cloned().collect();
                        self.machine.orders_failed(&failed, Some(&found), self.now);
                    }
                    Output::Orders(orders) => {
                        self.orders += orders.len();
                        let overruled: Vec<Overruled> =
                            orders.iter().filter_map(|order| apply(&mut self.rules, order)).collect();
                        self.machine.overruled(&overruled, self.now);
                    }
                    Output::Clear => self.rules.clear(),
                    Output::SetTimeouts(t) => {
                        self.note(format!("timeouts {} {} {}", t.tcp_secs, t.tcp_fin_secs, t.udp_secs));
                    }
                    Output::SetSources(sources) => {
                        let addresses: Vec<String> = sources.iter().map(|s| s.address.to_string()).collect();
                        self.note(format!("sources {}", addresses.join(" ")));
                    }
                    Output::Look => {
                        let found: Vec<Rule> = self.rules.values().cloned().collect();
                        self.machine.observed_weights(&found, self.now);
                        self.machine.observed(&found);
                    }
                    Output::LookAtWeights => {
                        let found: Vec<Rule> = self.rules.values().cloned().collect();
                        self.machine.observed_weights(&found, self.now);
                    }
                    Output::LookAtClients => self.look_at_clients(),
                    Output::Run(script) => self.note(format!("run {}", script.command)),
                    Output::Fifo(line) => self.note(line),
                    Output::Event(event) => self.events.push(event.what.to_string()),
                }
            }
        }
    }

    fn answer(&self, spec: &CheckSpec, step: usize) -> Outcome {
        let by_step = self.answers.get(&format!("{}{}", spec.label(), step_text(spec, step)));
        by_step.or(self.answers.get(&spec.label())).cloned().unwrap_or(Outcome::Passed)
    }

    fn note(&mut self, what: String) {
        self.log.push((self.seconds(), what));
    }

    /// What was noted that begins with this.
    pub fn noted(&self, start: &str) -> Vec<String> {
        let lines = self.log.iter().filter(|(_, what)| what.starts_with(start));
        lines.map(|(at, what)| format!("{at} {what}")).collect()
    }

    /// Events that begin with this.
    pub fn told(&self, start: &str) -> Vec<&String> {
        self.events.iter().filter(|event| event.starts_with(start)).collect()
    }

    /// Servers and weights of a service, in order of address: `1=10 2=0` for 10.0.0.1 and 10.0.0.2.
    pub fn servers_of(&self, service: &str) -> String {
        let rule = self.rules.get(service).unwrap_or_else(|| panic!("no service {service}"));
        let mut servers: Vec<(IpAddr, u32)> = rule.destinations.iter().map(|d| (d.addr, d.weight)).collect();
        servers.sort();
        let word = |(addr, weight): &(IpAddr, u32)| {
            let last = addr.to_string();
            format!("{}={weight}", last.rsplit(['.', ':']).next().unwrap())
        };
        servers.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// Those of the service of [`one_service`].
    pub fn servers(&self) -> String {
        self.servers_of("TCP 192.0.2.1:80")
    }
}

fn step_text(spec: &CheckSpec, step: usize) -> String {
    if spec.steps() > 1 { format!(" url {step}") } else { String::new() }
}

/// As strict as the director: what is there cannot be added, what is not there cannot be edited. A weight that is another
/// than expected is not changed.
pub fn apply(rules: &mut BTreeMap<String, Rule>, order: &Change) -> Option<Overruled> {
    let of = |key| key_text(key);
    match order {
        Change::DeleteService(key) => assert!(rules.remove(&of(key)).is_some(), "{order}"),
        Change::AddService(service) => {
            let rule = Rule { service: service.clone(), destinations: Vec::new() };
            assert!(rules.insert(of(&service.key), rule).is_none(), "{order}");
        }
        Change::EditService(service) => {
            rules.get_mut(&of(&service.key)).expect("a service to edit").service = service.clone();
        }
        Change::AddDestination(key, new) => {
            let rule = rules.get_mut(&of(key)).expect("a service to add to");
            assert!(!rule.destinations.iter().any(|d| (d.addr, d.port) == (new.addr, new.port)), "{order}");
            rule.destinations.push(*new);
        }
        Change::Reweigh(key, new, expected) => {
            let rule = rules.get_mut(&of(key)).expect("a service to edit in");
            let found = rule.destinations.iter_mut().find(|d| (d.addr, d.port) == (new.addr, new.port));
            let found = found.expect("a server to edit");
            if found.weight != *expected {
                let weight = found.weight;
                return Some(Overruled { service: *key, addr: new.addr, port: new.port, weight });
            }
            *found = *new;
        }
        Change::EditDestination(key, new) => {
            let rule = rules.get_mut(&of(key)).expect("a service to edit in");
            let found = rule.destinations.iter_mut().find(|d| (d.addr, d.port) == (new.addr, new.port));
            *found.expect("a server to edit") = *new;
        }
        Change::DeleteDestination(key, addr, port) => {
            let rule = rules.get_mut(&of(key)).expect("a service to delete from");
            let before = rule.destinations.len();
            rule.destinations.retain(|d| (d.addr, d.port) != (*addr, *port));
            assert_eq!(rule.destinations.len() + 1, before, "{order}");
        }
    }
    None
}
