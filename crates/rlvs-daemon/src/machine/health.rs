//! From a check's outcome to the server, and from the server to the service.

use super::*;
use crate::config::model::{RealServer, VirtualServer};
use crate::config::rules;
use verdict::{effective_weight, verdict};

impl Machine {
    /// A check was tried. Says whether that told anything new, beyond its time.
    pub fn finished(&mut self, id: CheckId, outcome: Outcome, now: Time) -> bool {
        let Some(check) = self.checks.get_mut(&id).filter(|check| check.trying) else { return false };
        if self.stopped {
            return false;
        }
        check.trying = false;
        let before = Known::of(&check.state);
        let wait = check.state.judge(&check.spec, verdict(&check.spec, outcome), now);
        // From one begin to the next: the time that a try takes must not add up. What takes longer than that gets a rest, and so
        // does what failed.
        let next = if check.state.last.as_ref().is_some_and(|last| last.passed) && check.began + wait > now {
            check.began + wait
        } else {
            now + wait
        };
        let (spec, after) = (Arc::clone(&check.spec), Known::of(&check.state));
        let news = (before.health, before.weight) != (after.health, after.weight);
        // Of ten thousand checks a second nearly all end here.
        let reason = check.state.last.as_ref().and_then(|last| last.reason.clone());
        if news || reason.is_some() {
            self.finished_with(id, &spec, reason, before, now);
        }
        if self.is_active(id) {
            self.schedule(id, next);
        }
        before != after
    }

    /// It failed, or is not what it was before.
    fn finished_with(
        &mut self,
        id: CheckId,
        spec: &CheckSpec,
        reason: Option<String>,
        before: Known,
        now: Time,
    ) {
        let Some(check) = self.checks.get(&id) else { return };
        let (health, weight, users) = (check.state.health, check.state.weight, check.users.clone());
        let (server, check) = (spec.server.to_string(), spec.label());
        if let Some(reason) = reason.clone().filter(|_| spec.log_all_failures) {
            self.event(now, What::TryFailed { server: server.clone(), check: check.clone(), reason });
        }
        if before.health != health {
            self.event(now, What::Check { server, check, health, reason });
        }
        if (before.health, before.weight) != (health, weight) {
            users.into_iter().for_each(|(i, j)| self.refresh_server(i, j, now));
        }
    }

    /// The addresses of this host, for `ha_suspend`.
    pub fn addresses(&mut self, local: HashSet<IpAddr>, now: Time) {
        if self.local != local {
            self.local = local;
            self.refresh_suspension(now, false);
        }
    }

    pub(super) fn refresh_suspension(&mut self, now: Time, silent: bool) {
        let config = Arc::clone(&self.config);
        for (i, vs) in config.virtual_servers.iter().enumerate().filter(|(_, vs)| vs.ha_suspend) {
            let mut addresses = rules::keys(&config, vs).filter_map(|key| match key {
                ServiceKey::Address { addr, .. } => Some(addr),
                ServiceKey::Fwmark { .. } => None, // is nowhere, so it is never away
            });
            let mut any = false;
            let here = addresses.any(|addr| {
                any = true;
                self.local.contains(&addr)
            });
            let suspended = any && !here;
            if self.virtuals[i].suspended != suspended {
                self.virtuals[i].suspended = suspended;
                if !silent {
                    let service = self.virtuals[i].name.clone();
                    self.event(now, What::Suspended { service, suspended });
                }
            }
        }
        let ids: Vec<CheckId> = self.checks.keys().copied().collect();
        for id in ids {
            let check = &self.checks[&id];
            match (self.is_active(id), check.due, check.trying) {
                (true, None, false) => self.schedule(id, now),
                (false, Some(due), _) => {
                    self.timers.remove(&(due, id));
                    self.checks.entry(id).and_modify(|check| check.due = None);
                }
                _ => {}
            }
        }
    }

    /// Does anybody want its answer?
    fn is_active(&self, id: CheckId) -> bool {
        self.checks
            .get(&id)
            .is_some_and(|check| check.users.iter().any(|(i, _)| !self.virtuals[*i].suspended))
    }

    pub(super) fn schedule(&mut self, id: CheckId, at: Time) {
        if let Some(check) = self.checks.get_mut(&id) {
            if let Some(due) = check.due.replace(at) {
                self.timers.remove(&(due, id));
            }
            self.timers.insert((at, id));
        }
    }

    /// Lives a server, by what its checks know, and by its agent's word? And the reason, if not.
    pub(super) fn judged(&self, server: &Server) -> (bool, Option<String>) {
        if let Some(word) = server.weighing.as_ref().and_then(|w| w.weigher.heard().is_out()) {
            return (false, Some(word));
        }
        for watch in &server.checks {
            let Some(check) = self.checks.get(&watch.check) else { continue };
            let failed = match check.state.health {
                Health::Up => false,
                Health::Down => true,
                Health::Unknown => watch.alpha,
            };
            if failed {
                return (false, check.state.last.as_ref().and_then(|last| last.reason.clone()));
            }
        }
        if let Some(watched) = server.watched.as_ref().filter(|watched| watched.is_out()) {
            return (false, watched.reason());
        }
        (true, None)
    }

    /// The one place where a server's weight is decided: the configured one and what its checks say, and the part of it
    /// that its agent says. Returns the weight without and with that part.
    pub(super) fn weighed(&self, vs: &VirtualServer, real: &RealServer, server: &mut Server) -> (u32, u32) {
        let said = server.checks.iter().filter_map(|watch| self.checks.get(&watch.check)?.state.weight);
        let base = effective_weight(real.effective_weight(vs), said);
        let weight = server.weighing.as_mut().map_or(base, |weighing| weighing.weight(base));
        (base, weight)
    }

    /// A check of this server changed, or the configuration did.
    pub(super) fn refresh_server(&mut self, i: usize, j: usize, now: Time) {
        let config = Arc::clone(&self.config);
        let vs = &config.virtual_servers[i];
        let real = &vs.real_servers[j];
        let mut server = self.virtuals[i].servers[j].clone();
        let (alive, reason) = self.judged(&server);
        let (base, weight) = self.weighed(vs, real, &mut server);
        let (was_alive, was_base, from) = (server.alive, server.base, server.weight);
        (server.alive, server.base, server.weight) = (alive, base, weight);
        let said = server.weighing.as_ref().and_then(|weighing| weighing.report.as_ref());
        let said = said.map(|report| report.answer.as_ref().map_or("no answer".to_owned(), |a| a.words()));
        self.virtuals[i].servers[j] = server;
        if (alive, base, weight) == (was_alive, was_base, from) {
            return;
        }
        let (service, server) = (self.virtuals[i].name.clone(), real.address.to_string());
        if weight != from {
            self.event(
                now,
                What::Weight {
                    service: service.clone(),
                    server: server.clone(),
                    from,
                    to: weight,
                    reason: said,
                },
            );
        }
        if alive != was_alive {
            self.event(now, What::Server { service, server, up: alive, reason });
            self.tell_server(vs, real, alive);
        }
        self.dirty.insert(i);
        self.refresh_quorum(i, now);
    }

    /// Is there enough living weight?
    pub(super) fn refresh_quorum(&mut self, i: usize, now: Time) {
        let config = Arc::clone(&self.config);
        let vs = &config.virtual_servers[i];
        let living = self.virtuals[i].living_weight();
        let up = vs.quorum_holds(living, self.virtuals[i].quorum);
        if up == self.virtuals[i].quorum {
            return;
        }
        self.virtuals[i].quorum = up;
        self.dirty.insert(i);
        let service = self.virtuals[i].name.clone();
        let sorry_server = !up && vs.sorry_server.is_some();
        let quorum = vs.effective_quorum();
        self.event(now, What::Quorum { service, up, weight: living, quorum, sorry_server });
        self.tell_service(vs, up);
    }

    /// `notify_up`, `notify_down`, and the pipe.
    pub(super) fn tell_server(&mut self, vs: &VirtualServer, real: &RealServer, up: bool) {
        let script = if up { &real.notify_up } else { &real.notify_down };
        self.out.extend(script.clone().map(Output::Run));
        self.fifo(format!(
            "RS {} {} {}",
            server_name(real.address, vs.protocol),
            service_name(vs),
            up_or_down(up)
        ));
    }

    /// `quorum_up`, `quorum_down`, and the pipe.
    pub(super) fn tell_service(&mut self, vs: &VirtualServer, up: bool) {
        let script = if up { &vs.quorum_up } else { &vs.quorum_down };
        self.out.extend(script.clone().map(Output::Run));
        self.fifo(format!("VS {} {}", service_name(vs), up_or_down(up)));
    }

    fn fifo(&mut self, line: String) {
        if self.config.global.notify_fifo.is_some() {
            self.out.push(Output::Fifo(line));
        }
    }
}

/// What a try may change in a check, but for its time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    health: Health,
    weight: Option<Said>,
    failures: u32,
    step: usize,
}

impl Known {
    fn of(state: &CheckState) -> Known {
        Known { health: state.health, weight: state.weight, failures: state.failures, step: state.step }
    }
}

impl Virtual {
    /// Half the weight does not make a server half alive: only one that takes nothing does not count.
    pub(super) fn living_weight(&self) -> u64 {
        let living = self.servers.iter().filter(|server| server.alive && server.weight > 0);
        living.map(|server| u64::from(server.base)).sum()
    }
}
