//! A configuration takes effect: at the start, and at a reload, which keeps what did not change.

use super::passive::Watched;
use super::*;
use crate::config::model::{Check, FullnatSource, RealServer, VirtualServer};
use crate::config::rules;
use crate::weights::Heard;
use rlvs_control::Source;
use rlvs_control::model::Timeouts;
use serde::Serialize;

/// What a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In words, in this order.
    pub orders: Vec<String>,
    pub checks_added: Vec<String>,
    pub checks_removed: Vec<String>,
    pub checks_kept: usize,
}

/// A server as it was before.
struct Before {
    alive: bool,
    watches: HashMap<CheckId, bool>,
    heard: Option<Heard>,
    pins: HashMap<ServiceKey, u32>,
    watched: Option<Watched>,
}

impl Machine {
    /// Another configuration; `found` are all rules there are. The orders come with the next `take`.
    pub fn reload(&mut self, config: Config, found: &[Rule], now: Time) -> Difference {
        let label = |check: &Running| format!("{} for {}", check.spec.label(), check.spec.server);
        let before: BTreeMap<CheckId, String> =
            self.checks.iter().map(|(id, check)| (*id, label(check))).collect();
        self.observed_weights(found, now);
        self.observed(found);
        let ours: Vec<ServiceKey> = self.table.keys().copied().collect();
        let sources = pool(&self.config);
        self.install(Arc::new(config), &Memory::default(), now, false);
        self.observe(found, &ours);
        // Orders are counted on a copy: the real ones are still to be taken.
        let mut orders: Vec<String> = self.clone().orders().iter().map(Change::to_string).collect();
        orders.extend(pool_changes(&sources, &pool(&self.config)));
        let added = self.checks.iter().filter(|(id, _)| !before.contains_key(id));
        let difference = Difference {
            orders,
            checks_added: added.map(|(_, check)| label(check)).collect(),
            checks_removed: before
                .iter()
                .filter(|(id, _)| !self.checks.contains_key(id))
                .map(|(_, label)| label.clone())
                .collect(),
            checks_kept: before.keys().filter(|id| self.checks.contains_key(id)).count(),
        };
        self.event(
            now,
            What::Reloaded {
                orders: difference.orders.len(),
                checks_added: difference.checks_added.len(),
                checks_removed: difference.checks_removed.len(),
            },
        );
        difference
    }

    /// What a reload would change, without doing it.
    pub fn dry_run(&self, config: Config, found: &[Rule], now: Time) -> Difference {
        self.clone().reload(config, found, now)
    }

    pub(super) fn install(&mut self, config: Arc<Config>, memory: &Memory, now: Time, first: bool) {
        let servers = self.servers_before();
        let quorums: HashMap<String, bool> =
            self.virtuals.iter().map(|vs| (vs.name.clone(), vs.quorum)).collect();
        let mut known: HashMap<String, CheckId> =
            self.checks.iter().map(|(id, check)| (check.spec.identity.clone(), *id)).collect();
        self.checks.values_mut().for_each(|check| check.users.clear());
        self.agent_ids = self.agents.begin();
        let before = std::mem::replace(&mut self.config, Arc::clone(&config));
        self.virtuals.clear();
        let mut fresh = Vec::new();
        for (i, vs) in config.virtual_servers.iter().enumerate() {
            let name = name(vs);
            let mut state = Virtual {
                services: rules::services(&config, vs).collect(),
                quorum: *quorums.get(&name).or(memory.quorums.get(&name)).unwrap_or(&false),
                suspended: false,
                servers: Vec::new(),
                name,
            };
            for (j, real) in vs.real_servers.iter().enumerate() {
                let before = servers.get(&(state.name.clone(), real.address));
                let mut checks: Vec<Watch> = Vec::new();
                for check in &real.checks {
                    let id = self.check_for(&mut known, memory, vs, real, check, &mut fresh);
                    self.checks.entry(id).and_modify(|check| check.users.push((i, j)));
                    // A server that was there stays what it was until the new check knows more.
                    let alpha = match before {
                        Some(before) => before.watches.get(&id).copied().unwrap_or(!before.alive),
                        None => check.alpha.or(real.alpha).unwrap_or(vs.alpha),
                    };
                    checks.push(Watch { check: id, alpha });
                }
                let remembered = memory.heard.get(&heard_name(&state.name, real.address));
                let heard = before.map_or(remembered, |before| before.heard.as_ref());
                let weighing = self.weighing((i, j), vs, real, heard, now);
                let settings = vs.effective_passive(&config.global).filter(|_| real.answers_through_us(vs));
                let watched = settings.map(|settings| {
                    let trial = memory.trials.get(&heard_name(&state.name, real.address));
                    Watched::new(settings, before.and_then(|before| before.watched.as_ref()), trial)
                });
                let pins = before.filter(|_| weighing.is_some()).map(|before| before.pins.clone());
                let mut server = Server {
                    address: real.address,
                    alive: true,
                    base: 0,
                    weight: 0,
                    checks,
                    weighing,
                    pins: pins.unwrap_or_default(),
                    watched,
                };
                server.alive = before.map_or_else(|| self.judged(&server).0, |before| before.alive);
                (server.base, server.weight) = self.weighed(vs, real, &mut server);
                state.servers.push(server);
            }
            self.virtuals.push(state);
        }
        self.forget_unused();
        self.agents.end();
        self.agent_ids.clear();
        self.look_for_pins(now);
        self.look_at_clients_next(now);
        self.refresh_all(&servers, first, now);
        self.refresh_suspension(now, true);
        for id in fresh {
            if self.checks.get(&id).is_some_and(|check| check.due.is_some()) {
                let warmup = self.checks[&id].spec.timing.warmup;
                let wait = self.rng.up_to(warmup);
                self.schedule(id, now + wait);
            }
        }
        self.set_timeouts();
        let (before, wanted) = (pool(&before), pool(&config));
        // A pool that no configuration has named belongs to whoever made it. One that is the same may still lack an address.
        if !before.is_empty() || !wanted.is_empty() {
            self.first.push(Output::SetSources(wanted));
        }
    }

    fn servers_before(&self) -> HashMap<(String, Endpoint), Before> {
        let each = self.virtuals.iter().flat_map(|vs| vs.servers.iter().map(move |server| (vs, server)));
        let before = |server: &Server| Before {
            alive: server.alive,
            watches: server.checks.iter().map(|watch| (watch.check, watch.alpha)).collect(),
            heard: server.weighing.as_ref().map(|weighing| weighing.weigher.heard().clone()),
            pins: server.pins.clone(),
            watched: server.watched.clone(),
        };
        each.map(|(vs, server)| ((vs.name.clone(), server.address), before(server))).collect()
    }

    /// The check that is there, or a new one with what is remembered of it.
    fn check_for(
        &mut self,
        known: &mut HashMap<String, CheckId>,
        memory: &Memory,
        vs: &VirtualServer,
        real: &RealServer,
        check: &Check,
        fresh: &mut Vec<CheckId>,
    ) -> CheckId {
        let spec = CheckSpec::of(&self.config, vs, real, check);
        if let Some(id) = known.get(&spec.identity) {
            return *id;
        }
        let id = CheckId(self.next_id);
        self.next_id += 1;
        let mut state = memory.checks.get(&spec.identity).cloned().unwrap_or_default();
        state.step = if state.step < spec.steps() { state.step } else { 0 };
        known.insert(spec.identity.clone(), id);
        fresh.push(id);
        let running = Running {
            spec: Arc::new(spec),
            state,
            users: Vec::new(),
            due: None,
            began: Time::default(),
            trying: false,
        };
        self.checks.insert(id, running);
        id
    }

    fn forget_unused(&mut self) {
        let timers = &mut self.timers;
        self.checks.retain(|id, check| {
            if check.users.is_empty()
                && let Some(due) = check.due
            {
                timers.remove(&(due, *id));
            }
            !check.users.is_empty()
        });
    }

    /// Servers that were there may have changed by losing a check; of new ones nobody is told, unless he asked.
    fn refresh_all(&mut self, before: &HashMap<(String, Endpoint), Before>, first: bool, now: Time) {
        let config = Arc::clone(&self.config);
        for (i, vs) in config.virtual_servers.iter().enumerate() {
            for (j, real) in vs.real_servers.iter().enumerate() {
                if before.contains_key(&(self.virtuals[i].name.clone(), real.address)) {
                    self.refresh_server(i, j, now);
                } else if first && config.global.notify_at_start {
                    self.tell_server(vs, real, self.virtuals[i].servers[j].alive);
                }
            }
            self.refresh_quorum(i, now);
        }
    }

    fn set_timeouts(&mut self) {
        let wanted = &self.config.global.timeouts;
        let secs =
            |time: Option<Duration>| time.map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        let timeouts = Timeouts {
            tcp_secs: secs(wanted.tcp),
            tcp_fin_secs: secs(wanted.tcp_fin),
            udp_secs: secs(wanted.udp),
        };
        if timeouts != (Timeouts { tcp_secs: 0, tcp_fin_secs: 0, udp_secs: 0 }) {
            self.first.push(Output::SetTimeouts(timeouts));
        }
    }
}

impl Machine {
    /// What agents said, for the next daemon.
    pub(super) fn heard(&self) -> BTreeMap<String, Heard> {
        let servers = self.virtuals.iter().flat_map(|vs| vs.servers.iter().map(move |server| (vs, server)));
        let heard = servers.filter_map(|(vs, server)| {
            let heard = server.weighing.as_ref()?.weigher.heard().clone();
            Some((heard_name(&vs.name, server.address), heard))
        });
        heard.collect()
    }
}

/// The pool of FULLNAT.
fn pool(config: &Config) -> Vec<Source> {
    config.global.fullnat_sources.iter().map(|source| source.0).collect()
}

/// In words, from one pool to the next.
fn pool_changes(from: &[Source], to: &[Source]) -> Vec<String> {
    let added = to
        .iter()
        .filter(|source| !from.contains(source))
        .map(|source| format!("use source {}", FullnatSource(*source)));
    let gone = from.iter().filter(|old| to.iter().all(|new| new.address != old.address));
    added.chain(gone.map(|source| format!("take out source {}", source.address))).collect()
}

pub(super) fn heard_name(service: &str, server: Endpoint) -> String {
    format!("{service} {server}")
}

/// `TCP 192.0.2.1:80`
fn name(vs: &VirtualServer) -> String {
    format!("{} {}", format!("{:?}", vs.protocol).to_uppercase(), vs.service)
}
