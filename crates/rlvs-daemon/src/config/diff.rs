//! From one table of rules to another with as few orders as possible: what does not change is not named.
//!
//! The order matters to traffic. Services that go are deleted first (their destinations go with them), then each service
//! of the new table is made right: the service itself, new destinations before old ones go, so that it is never without.

use super::model::Endpoint;
use super::rules::{Rule, key_text};
use rlvs_control::model::{Destination, Service, ServiceKey};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

/// An order to a `Balancer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// With all its destinations.
    DeleteService(ServiceKey),
    AddService(Service),
    EditService(Service),
    AddDestination(ServiceKey, Destination),
    EditDestination(ServiceKey, Destination),
    DeleteDestination(ServiceKey, IpAddr, u16),
    /// Only the weight, and only if it is this one now.
    Reweigh(ServiceKey, Destination, u32),
}

/// What leads from `from` to `to`. The order of services and destinations in a table means nothing; each must be there
/// once.
pub fn diff(from: &[Rule], to: &[Rule]) -> Vec<Change> {
    let old: HashMap<ServiceKey, &Rule> = from.iter().map(|rule| (rule.service.key, rule)).collect();
    let new: HashSet<ServiceKey> = to.iter().map(|rule| rule.service.key).collect();
    let gone = from.iter().map(|rule| rule.service.key).filter(|key| !new.contains(key));
    let mut changes: Vec<Change> = gone.map(Change::DeleteService).collect();
    for rule in to {
        let before = old.get(&rule.service.key);
        match before {
            None => changes.push(Change::AddService(rule.service.clone())),
            Some(before) if before.service != rule.service => {
                changes.push(Change::EditService(rule.service.clone()));
            }
            Some(_) => {}
        }
        let before = before.map_or(&[][..], |rule| &rule.destinations);
        destinations(rule.service.key, before, &rule.destinations, &mut changes);
    }
    changes
}

fn destinations(key: ServiceKey, from: &[Destination], to: &[Destination], changes: &mut Vec<Change>) {
    let old: HashMap<(IpAddr, u16), &Destination> = from.iter().map(|d| ((d.addr, d.port), d)).collect();
    let new: HashSet<(IpAddr, u16)> = to.iter().map(|d| (d.addr, d.port)).collect();
    for destination in to {
        match old.get(&(destination.addr, destination.port)) {
            None => changes.push(Change::AddDestination(key, *destination)),
            Some(before) if *before != destination => {
                changes.push(Change::EditDestination(key, *destination))
            }
            Some(_) => {}
        }
    }
    let gone = from.iter().filter(|d| !new.contains(&(d.addr, d.port)));
    changes.extend(gone.map(|d| Change::DeleteDestination(key, d.addr, d.port)));
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |key: &ServiceKey| key_text(key);
        let server = |addr: IpAddr, port: u16| Endpoint { addr, port };
        match self {
            Change::DeleteService(key) => write!(f, "delete service {}", of(key)),
            Change::AddService(s) => write!(f, "add service {}, scheduler {}", of(&s.key), s.scheduler),
            Change::EditService(s) => write!(f, "edit service {}, scheduler {}", of(&s.key), s.scheduler),
            Change::AddDestination(key, d) => {
                write!(f, "add server {} to {}, weight {}", server(d.addr, d.port), of(key), d.weight)
            }
            Change::EditDestination(key, d) | Change::Reweigh(key, d, _) => {
                write!(f, "edit server {} of {}, weight {}", server(d.addr, d.port), of(key), d.weight)
            }
            Change::DeleteDestination(key, addr, port) => {
                write!(f, "delete server {} of {}", server(*addr, *port), of(key))
            }
        }
    }
}
