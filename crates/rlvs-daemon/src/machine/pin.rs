//! Weights that an operator set by hand (`ipvsadm -e`), while an agent has its say: they are pinned, and stay.
//!
//! The machine knows which weight each destination was given last. Another one that is found is somebody else's: it is
//! taken for the server's weight in that service, as long as the server lives. The pin ends when the operator sets the
//! configured weight, or the one that the agent's answers come to: then the daemon changes it again. Drained destinations
//! are none of this: the [ledger](crate::drain) has them, and keeps them at weight 0.
//!
//! Nothing that was not looked at is overwritten: where an agent weighs, an order says which weight it expects
//! ([`Change::Reweigh`]), and one that finds another is not carried out.

use super::memory::Given;
use super::*;
use crate::config::rules::destination;
use std::collections::hash_map::Entry;

/// How often weights are looked at, so that a pin is shown before the next order meets it.
const LOOK_FOR_PINS: Duration = Duration::from_secs(5);

/// A destination, by its service.
pub(super) type At = (ServiceKey, IpAddr, u16);

/// An order that found another weight than it expected, and did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overruled {
    pub service: ServiceKey,
    pub addr: IpAddr,
    pub port: u16,
    pub weight: u32,
}

impl Machine {
    pub(super) fn look_for_pins(&mut self, now: Time) {
        self.next_look = (!self.agents.is_empty()).then(|| now + LOOK_FOR_PINS);
    }

    /// Destinations that an agent weighs, and the servers they are of.
    fn weighed_destinations(&self) -> HashMap<At, (usize, usize)> {
        let mut all = HashMap::new();
        for (i, vs) in self.config.virtual_servers.iter().enumerate() {
            let state = &self.virtuals[i];
            if state.servers.iter().all(|server| server.weighing.is_none()) {
                continue;
            }
            for (j, real) in
                vs.real_servers.iter().enumerate().filter(|(j, _)| state.servers[*j].weighing.is_some())
            {
                for service in &state.services {
                    let d = destination(&service.key, vs, real);
                    all.entry((service.key, d.addr, d.port)).or_insert((i, j));
                }
            }
        }
        all
    }

    /// Weights as they are: whoever set one that is not the daemon's has pinned it.
    pub fn observed_weights(&mut self, found: &[Rule], now: Time) {
        let weighed = self.weighed_destinations();
        for rule in found {
            for d in &rule.destinations {
                let at = (rule.service.key, d.addr, d.port);
                if let Some((i, j)) = weighed.get(&at) {
                    self.compare(*i, *j, at, d.weight, now);
                }
            }
        }
    }

    /// Orders met weights that are not the daemon's.
    pub fn overruled(&mut self, all: &[Overruled], now: Time) {
        let weighed = self.weighed_destinations();
        for Overruled { service, addr, port, weight } in all {
            let at = (*service, *addr, *port);
            if let Some((i, j)) = weighed.get(&at) {
                // The table has what was ordered.
                self.table_weight(at, None);
                self.compare(*i, *j, at, *weight, now);
            }
        }
    }

    fn compare(&mut self, i: usize, j: usize, at: At, found: u32, now: Time) {
        let known = self.table_weight(at, Some(found));
        // Of one that is out no weight of the operator's says anything.
        if known == Some(found) || !self.virtuals[i].servers[j].alive {
            return;
        }
        self.pin(i, j, at.0, found, now);
    }

    /// Takes a weight for the operator's, or for the end of his pin.
    fn pin(&mut self, i: usize, j: usize, key: ServiceKey, found: u32, now: Time) {
        let config = Arc::clone(&self.config);
        let (vs, state) = (&config.virtual_servers[i], &mut self.virtuals[i]);
        let server = &mut state.servers[j];
        let is_ours = found == vs.real_servers[j].effective_weight(vs) || found == server.weight;
        let changed = match server.pins.entry(key) {
            Entry::Occupied(pin) if is_ours => {
                pin.remove();
                true
            }
            Entry::Vacant(_) if is_ours => false,
            Entry::Occupied(mut pin) => pin.insert(found) != found,
            Entry::Vacant(none) => {
                none.insert(found);
                true
            }
        };
        if changed {
            let (service, server) = (crate::config::rules::key_text(&key), server.address.to_string());
            self.event(now, What::Pinned { service, server, weight: found, pinned: !is_ours });
        }
        self.dirty.insert(i);
    }

    /// What the table has; and what it has from now on (`None`: what is not known).
    pub(super) fn table_weight(&mut self, (key, addr, port): At, weight: Option<u32>) -> Option<u32> {
        let rule = self.table.get_mut(&key)?;
        let entry = rule.destinations.iter_mut().find(|d| (d.addr, d.port) == (addr, port))?;
        Some(std::mem::replace(&mut entry.weight, weight.unwrap_or(u32::MAX)))
    }

    /// At the start: pins of before, and weights that were set while no daemon ran.
    pub(super) fn recall_pins(&mut self, memory: &Memory, now: Time) {
        let weighed = self.weighed_destinations();
        for given in &memory.weights {
            let at = (given.service, given.addr, given.port);
            let (Some((i, j)), Some(rule)) = (weighed.get(&at), self.table.get(&given.service)) else {
                continue;
            };
            let Some(d) = rule.destinations.iter().find(|d| (d.addr, d.port) == (given.addr, given.port))
            else {
                // It was out; a pin waits for its return.
                if let Some(weight) = given.pinned {
                    self.virtuals[*i].servers[*j].pins.insert(given.service, weight);
                }
                continue;
            };
            let found = d.weight;
            if given.pinned == Some(found) {
                self.virtuals[*i].servers[*j].pins.insert(given.service, found);
            } else if ![given.before, given.weight].contains(&found) && self.virtuals[*i].servers[*j].alive {
                self.pin(*i, *j, given.service, found, now);
            }
        }
    }

    pub(super) fn given_weights(&self) -> Vec<Given> {
        let of = |(at, (i, j)): (At, (usize, usize))| {
            let (service, addr, port) = at;
            let rule = self.table.get(&service);
            let there = rule.and_then(|r| r.destinations.iter().find(|d| (d.addr, d.port) == (addr, port)));
            let pinned = self.virtuals[i].servers[j].pins.get(&service).copied();
            let weight = there.map(|d| d.weight).or(pinned)?;
            let before = self.before.get(&at).copied().unwrap_or(weight);
            Some(Given { service, addr, port, before, weight, pinned })
        };
        let mut all: Vec<Given> = self.weighed_destinations().into_iter().filter_map(of).collect();
        all.sort_by_key(|given| (format!("{:?}", given.service), given.addr, given.port));
        all
    }

    /// Where an agent weighs a living server, a change of its weight alone is made only of the weight that is known.
    pub(super) fn careful(&mut self, i: usize, changes: Vec<Change>) -> Vec<Change> {
        let config = Arc::clone(&self.config);
        let (vs, state) = (&config.virtual_servers[i], &self.virtuals[i]);
        if state.servers.iter().all(|server| server.weighing.is_none()) {
            return changes;
        }
        let careful = |change: Change| {
            let Change::EditDestination(key, new) = change else { return change };
            let is_it = |real: &crate::config::model::RealServer| {
                let d = destination(&key, vs, real);
                (d.addr, d.port) == (new.addr, new.port)
            };
            let mut servers = vs.real_servers.iter().zip(&state.servers);
            let weighed =
                servers.any(|(real, server)| server.weighing.is_some() && server.alive && is_it(real));
            let before = self.table.get(&key).and_then(|rule| {
                rule.destinations.iter().find(|d| (d.addr, d.port) == (new.addr, new.port)).copied()
            });
            match before.filter(|_| weighed) {
                Some(before) => {
                    self.before.insert((key, new.addr, new.port), before.weight);
                    let same = rlvs_control::model::Destination { weight: new.weight, ..before } == new;
                    if same {
                        Change::Reweigh(key, new, before.weight)
                    } else {
                        Change::EditDestination(key, new)
                    }
                }
                None => Change::EditDestination(key, new),
            }
        };
        changes.into_iter().map(careful).collect()
    }
}
