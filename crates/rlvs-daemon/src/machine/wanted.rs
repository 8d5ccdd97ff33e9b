//! The rules that a virtual server should have, its servers being as they are.

use super::Virtual;
use crate::config::model::VirtualServer;
use crate::config::rules::{Rule, destination, sorry_destination};
use rlvs_control::model::{Destination, ServiceKey};
use std::collections::HashSet;

/// One for each of its services.
pub fn rules(vs: &VirtualServer, state: &Virtual) -> Vec<Rule> {
    let of = |service: &rlvs_control::model::Service| Rule {
        service: service.clone(),
        destinations: destinations(&service.key, vs, state),
    };
    state.services.iter().map(of).collect()
}

/// Living servers with their weights. What failed is not there, or there with weight 0 (`inhibit_on_failure`); where the
/// quorum is lost and there is a sorry server, all have failed, and it takes over.
fn destinations(key: &ServiceKey, vs: &VirtualServer, state: &Virtual) -> Vec<Destination> {
    let sorry = sorry_destination(key, vs);
    let inhibited = vs.sorry_server.is_some_and(|sorry| sorry.inhibit);
    let sorry_now = sorry.filter(|_| !state.quorum);
    let sorry_later = sorry.filter(|_| state.quorum && inhibited).map(|d| Destination { weight: 0, ..d });
    let servers = vs.real_servers.iter().zip(&state.servers).filter_map(|(real, server)| {
        let wanted = destination(key, vs, real);
        if server.alive && sorry_now.is_none() {
            let weight = server.pins.get(key).copied().unwrap_or(server.weight);
            Some(Destination { weight, ..wanted })
        } else {
            real.effective_inhibit(vs).then_some(Destination { weight: 0, ..wanted })
        }
    });
    let mut seen = HashSet::new();
    let all = sorry_now.into_iter().chain(servers).chain(sorry_later);
    all.filter(|d| seen.insert((d.addr, d.port))).collect()
}
