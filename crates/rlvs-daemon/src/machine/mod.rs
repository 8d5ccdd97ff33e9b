//! What keeps the rules in step with the servers' health, as plain data: no socket, no clock, no thread.
//!
//! The machine is told what happened (a configuration, a check's outcome, an address that came or went, the rules that
//! are there) and when; it answers with [`Output`]s, which the shell carries out. So a whole day of failing and
//! recovering servers is a test of a millisecond, and a seed replays it.
//!
//! ```text
//! start, reload   install     which checks there are, and who depends on them ([`spec`], [`install`])
//! due             probes      a check's time has come
//! finished        judge       what the outcome means ([`verdict`]) and what it changes in the check ([`check`])
//!                 server      all checks of a real server pass: it is alive
//!                 quorum      living weight decides whether the service works, or the sorry server does
//! questions       agents' times have come; answered: what an agent says goes to the servers it weighs ([`agent`])
//! observed        weights that an operator set are his ([`pin`])
//! waiting         clients' own connections tell which servers do not answer ([`passive`])
//! take            orders      what [`wanted`] differs in from the rules that are there becomes orders
//! ```

mod agent;
mod check;
mod event;
mod health;
mod install;
mod memory;
mod passive;
mod pin;
mod rng;
mod spec;
mod status;
mod verdict;
mod wanted;

pub use agent::{AgentId, AgentSpec, Question};
pub use check::{CheckState, Health, Last};
pub use event::{Event, Output, Probe, What, server_name, service_name};
pub use install::Difference;
pub use memory::{Given, Memory, VERSION};
pub use passive::{Standing, Trial};
pub use pin::Overruled;
pub use spec::{CheckSpec, Way};
pub use status::{AgentStatus, CheckStatus, PassiveStatus, Pin, ServerStatus, ServiceStatus, Status};
pub use verdict::{Outcome, Said};

use crate::config::diff::{Change, diff};
use crate::config::model::{Config, Endpoint, FlushAtStop};
use crate::config::rules::Rule;
use agent::{Agents, Weighing};
use event::up_or_down;
use rlvs_control::model::{Service, ServiceKey};
use rng::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Time since 1970, by a clock that never goes back.
pub type Time = Duration;

/// Never given twice, so that a late outcome of a check that is gone is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(u64);

/// After orders failed, the rules are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Machine {
    config: Arc<Config>,
    checks: BTreeMap<CheckId, Running>,
    timers: BTreeSet<(Time, CheckId)>,
    agents: Agents,
    /// Those of them that are known, while a configuration is installed.
    agent_ids: HashMap<String, AgentId>,
    /// When weights are looked at for pins.
    next_look: Option<Time>,
    /// When the clients' connections are looked at.
    next_clients: Option<Time>,
    /// Weights before the orders that were given last, where an agent weighs.
    before: HashMap<pin::At, u32>,
    /// As the virtual servers of the configuration.
    virtuals: Vec<Virtual>,
    /// The rules as they are, of services that are ours.
    table: HashMap<ServiceKey, Rule>,
    /// Those of them that the configuration has no more.
    gone: Vec<ServiceKey>,
    /// Those whose deletion is among the orders that were taken last: ours until that is done.
    leaving: Vec<ServiceKey>,
    /// Orders failed, and it is not known which rules there are.
    unsure: bool,
    /// Virtual servers whose rules must be looked through.
    dirty: BTreeSet<usize>,
    look_again: Option<Time>,
    /// Addresses of this host, for `ha_suspend`.
    local: HashSet<IpAddr>,
    /// What comes before orders, and what comes after them.
    first: Vec<Output>,
    out: Vec<Output>,
    stopped: bool,
    rng: Rng,
    next_id: u64,
}

/// A check that is there.
#[derive(Clone)]
struct Running {
    spec: Arc<CheckSpec>,
    state: CheckState,
    /// Virtual servers and their real servers that depend on it.
    users: Vec<(usize, usize)>,
    due: Option<Time>,
    /// When the last try was due.
    began: Time,
    trying: bool,
}

#[derive(Clone)]
struct Virtual {
    /// As it is written, with the protocol: what is called so after a reload is the same.
    name: String,
    services: Vec<Service>,
    quorum: bool,
    suspended: bool,
    /// As the real servers of the configuration.
    servers: Vec<Server>,
}

#[derive(Clone)]
struct Server {
    address: Endpoint,
    alive: bool,
    /// Without its agent's say: what the quorum counts.
    base: u32,
    weight: u32,
    checks: Vec<Watch>,
    weighing: Option<Weighing>,
    /// Weights that an operator set.
    pins: HashMap<ServiceKey, u32>,
    watched: Option<passive::Watched>,
}

/// A server's look at a check.
#[derive(Clone, Copy)]
struct Watch {
    check: CheckId,
    /// As long as the check has not said anything, it has failed.
    alpha: bool,
}

impl Machine {
    /// `found` are all rules of the director, whoever made them.
    pub fn start(
        config: Config,
        memory: &Memory,
        found: &[Rule],
        local: HashSet<IpAddr>,
        now: Time,
        seed: u64,
    ) -> Machine {
        let mut machine = Machine {
            config: Arc::default(),
            checks: BTreeMap::new(),
            timers: BTreeSet::new(),
            agents: Agents::default(),
            agent_ids: HashMap::new(),
            next_look: None,
            next_clients: None,
            before: HashMap::new(),
            virtuals: Vec::new(),
            table: HashMap::new(),
            gone: Vec::new(),
            leaving: Vec::new(),
            unsure: false,
            dirty: BTreeSet::new(),
            look_again: None,
            local,
            first: Vec::new(),
            out: Vec::new(),
            stopped: false,
            rng: Rng(seed),
            next_id: 0,
        };
        let flush = config.global.flush_at_start;
        if flush {
            machine.first.push(Output::Clear);
        }
        machine.install(Arc::new(config), memory, now, true);
        machine.observe(if flush { &[] } else { found }, &memory.services);
        machine.recall_pins(memory, now);
        let started = What::Started { services: machine.services().count(), checks: machine.checks.len() };
        machine.out.insert(0, Output::Event(Event::new(now, started)));
        machine
    }

    /// When `due` wants to be called next.
    pub fn next_due(&self) -> Option<Time> {
        let check = self.timers.first().map(|(time, _)| *time);
        let all = [check, self.look_again, self.agents.next_due(), self.next_look, self.next_clients];
        all.into_iter().flatten().min()
    }

    /// Checks whose time has come, to be tried now.
    pub fn due(&mut self, now: Time) -> Vec<Probe> {
        let mut probes = Vec::new();
        while let Some((time, id)) = self.timers.first().copied().filter(|(time, _)| *time <= now) {
            self.timers.remove(&(time, id));
            if let Some(check) = self.checks.get_mut(&id) {
                (check.due, check.began, check.trying) = (None, time, true);
                let (spec, step) = (Arc::clone(&check.spec), check.state.step);
                probes.push(Probe { id, spec, step });
            }
        }
        if self.look_again.is_some_and(|time| time <= now) {
            self.look_again = None;
            self.out.push(Output::Look);
        }
        if self.next_look.is_some_and(|time| time <= now) {
            self.look_for_pins(now);
            self.out.push(Output::LookAtWeights);
        }
        if self.next_clients.is_some_and(|time| time <= now) {
            self.look_at_clients(now);
        }
        probes
    }

    /// Some orders could not be carried out, or the rules could not be read. These are the rules now, if that is known.
    /// After a while they are looked at again, and what is missing is tried again.
    pub fn orders_failed(&mut self, failed: &[(Change, String)], found: Option<&[Rule]>, now: Time) {
        for (order, error) in failed {
            if let Change::Reweigh(key, d, expected) = order {
                self.table_weight((*key, d.addr, d.port), Some(*expected));
            }
            self.event(now, What::OrderFailed { order: order.to_string(), error: error.clone() });
        }
        if let Some(found) = found {
            let (dirty, gone) = (std::mem::take(&mut self.dirty), std::mem::take(&mut self.gone));
            self.observed(found);
            (self.dirty, self.gone) = (dirty, gone);
            self.gone.retain(|key| self.table.contains_key(key));
        }
        self.unsure = found.is_none();
        self.look_again = Some(now + LOOK_AGAIN);
    }

    /// The rules that are there, of all services.
    pub fn observed(&mut self, found: &[Rule]) {
        let ours: Vec<ServiceKey> = self.table.keys().chain(&self.leaving).copied().collect();
        self.observe(found, &ours);
        self.unsure = false;
    }

    fn observe(&mut self, found: &[Rule], ours: &[ServiceKey]) {
        let wanted: HashSet<ServiceKey> = self.services().map(|service| service.key).collect();
        let ours: HashSet<&ServiceKey> = ours.iter().collect();
        let found = found
            .iter()
            .filter(|rule| wanted.contains(&rule.service.key) || ours.contains(&rule.service.key));
        self.table = found.map(|rule| (rule.service.key, rule.clone())).collect();
        self.gone = self.table.keys().filter(|key| !wanted.contains(key)).copied().collect();
        self.dirty = (0..self.virtuals.len()).collect();
    }

    /// The end. Unless they are to be left, the rules of this configuration go; with `omega`, those who asked are told.
    pub fn stop(&mut self, leave_rules: bool, now: Time) {
        self.event(now, What::Stopping);
        let config = Arc::clone(&self.config);
        for (i, vs) in config.virtual_servers.iter().enumerate().filter(|(_, vs)| vs.omega && !leave_rules) {
            for (j, real) in vs.real_servers.iter().enumerate() {
                if self.virtuals[i].servers[j].alive {
                    self.tell_server(vs, real, false);
                }
            }
            if self.virtuals[i].quorum {
                self.tell_service(vs, false);
            }
        }
        self.timers.clear();
        self.agents.clear();
        (self.next_look, self.next_clients) = (None, None);
        self.stopped = true;
        self.dirty.clear();
        self.gone = if leave_rules { Vec::new() } else { self.table.keys().copied().collect() };
        if !leave_rules && config.global.flush_at_stop == Some(FlushAtStop::All) {
            self.first.push(Output::Clear);
            self.gone.clear();
            self.table.clear();
        }
    }

    /// What is to be done now: first the orders, then what others are told. To be called only when what was taken before
    /// has been carried out.
    pub fn take(&mut self) -> Vec<Output> {
        let mut all = std::mem::take(&mut self.first);
        let orders = self.orders();
        if !orders.is_empty() {
            all.push(Output::Orders(orders));
        }
        all.append(&mut self.out);
        all
    }

    /// From the rules as they are to the rules as they should be; afterwards the one is taken for the other.
    fn orders(&mut self) -> Vec<Change> {
        let mut orders = Vec::new();
        if !self.dirty.is_empty() {
            self.before.clear();
        }
        if !self.unsure {
            self.leaving.clear();
        }
        for key in std::mem::take(&mut self.gone) {
            self.table.remove(&key);
            self.leaving.push(key);
            orders.push(Change::DeleteService(key));
        }
        for i in std::mem::take(&mut self.dirty) {
            for rule in wanted::rules(&self.config.virtual_servers[i], &self.virtuals[i]) {
                let before = self.table.get(&rule.service.key).map_or(&[][..], std::slice::from_ref);
                let changes = diff(before, std::slice::from_ref(&rule));
                let changes = self.careful(i, changes);
                if !changes.is_empty() {
                    orders.extend(changes);
                    self.table.insert(rule.service.key, rule);
                }
            }
        }
        orders
    }

    /// What the next daemon must know.
    pub fn memory(&self) -> Memory {
        let tried = self.checks.values().filter(|check| check.state.last.is_some());
        let mut services: Vec<ServiceKey> = self.table.keys().chain(&self.leaving).copied().collect();
        services.extend(self.services().map(|s| s.key).filter(|key| !self.table.contains_key(key)));
        Memory {
            version: VERSION,
            services,
            checks: tried.map(|check| (check.spec.identity.clone(), check.state.clone())).collect(),
            quorums: self.virtuals.iter().map(|vs| (vs.name.clone(), vs.quorum)).collect(),
            heard: self.heard(),
            weights: self.given_weights(),
            trials: self.trials(),
        }
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Does anything depend on the addresses of this host?
    pub fn wants_addresses(&self) -> bool {
        self.config.virtual_servers.iter().any(|vs| vs.ha_suspend)
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        self.virtuals.iter().flat_map(|vs| &vs.services)
    }

    /// For those outside: an event that is not the machine's own.
    pub fn event(&mut self, now: Time, what: What) {
        self.out.push(Output::Event(Event::new(now, what)));
    }
}
