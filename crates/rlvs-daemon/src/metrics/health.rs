//! What a daemon knows of the servers' health, for its own page. `virtual_server` is named as in `rlvs status`, `server` is
//! the real server as it is configured.

use super::{Kind, Text};
use crate::machine::{CheckStatus, Health, ServerStatus, ServiceStatus, Standing, Status};
use std::collections::BTreeMap;
use std::fmt::Display;

type OfService = (&'static str, &'static str, fn(&ServiceStatus) -> u64);

const SERVICES: [OfService; 5] = [
    ("rlvs_virtual_server_quorum_up", "1: there is enough living weight", |s| u64::from(s.quorum_up)),
    ("rlvs_virtual_server_quorum_weight", "The living weight that is enough", |s| u64::from(s.quorum)),
    ("rlvs_virtual_server_living_weight", "Weight of the real servers that are up", |s| s.living_weight),
    ("rlvs_virtual_server_sorry", "1: the sorry server takes the connections", |s| {
        u64::from(s.sorry_server.is_some())
    }),
    ("rlvs_virtual_server_suspended", "1: its address is not here, checks rest (ha_suspend)", |s| {
        u64::from(s.suspended)
    }),
];

type OfServer = (&'static str, &'static str, fn(&ServerStatus) -> Option<f64>);

const SERVERS: [OfServer; 10] = [
    ("rlvs_server_up", "1: all checks of a real server pass", |s| Some(f64::from(u8::from(s.up)))),
    ("rlvs_server_configured_weight", "The configured weight", |s| Some(f64::from(s.configured_weight))),
    ("rlvs_server_effective_weight", "The weight in force; 0: it is out", |s| {
        Some(f64::from(s.effective_weight))
    }),
    ("rlvs_server_pinned", "1: an operator set the weight by hand, and it is kept", |s| {
        s.agent.as_ref().map(|_| f64::from(u8::from(!s.pinned.is_empty())))
    }),
    ("rlvs_server_agent_ratio", "The average of what its agent says of the configured weight", |s| {
        Some(s.agent.as_ref()?.smoothed_percent? / 100.0)
    }),
    ("rlvs_server_agent_missed_answers", "Questions to its agent without an answer, in a row", |s| {
        Some(f64::from(s.agent.as_ref()?.missed))
    }),
    ("rlvs_server_agent_last_asked_timestamp_seconds", "When its agent was asked last", |s| {
        s.agent.as_ref()?.last_time
    }),
    (
        "rlvs_server_waiting_clients",
        "Clients that the server has not answered, in the window of its passive check",
        |s| Some(s.passive.as_ref()?.waiting as f64),
    ),
    ("rlvs_server_suspect", "1: too many clients wait for an answer, or did before it was taken out", |s| {
        Some(f64::from(u8::from(s.passive.as_ref()?.standing != Standing::Clear)))
    }),
    ("rlvs_server_out_by_passive_check", "1: taken out for that", |s| {
        Some(f64::from(u8::from(s.passive.as_ref()?.standing == Standing::Out)))
    }),
];

type OfCheck = (&'static str, &'static str, fn(&CheckStatus) -> Option<f64>);

const CHECKS: [OfCheck; 3] = [
    ("rlvs_check_up", "1: a check passes, 0: it fails; not there before it is known", |c| match c.health {
        Health::Unknown => None,
        health => Some(f64::from(u8::from(health == Health::Up))),
    }),
    ("rlvs_check_failures", "Failed tries in a row, of which not enough to be down", |c| {
        Some(f64::from(c.failures))
    }),
    ("rlvs_check_last_try_timestamp_seconds", "When a check was tried last", |c| c.last_time),
];

pub fn tell(status: &Status, text: &mut Text) {
    text.family("rlvs_daemon_checks", Kind::Gauge, "Checks that the daemon makes").sample(&[], status.checks);
    for (name, help, value) in SERVICES {
        let mut family = text.family(name, Kind::Gauge, help);
        for service in &status.services {
            family.sample(&[("virtual_server", &service.service)], value(service));
        }
    }
    for (name, help, value) in SERVERS {
        let mut family = text.family(name, Kind::Gauge, help);
        for service in &status.services {
            for server in &service.servers {
                if let Some(value) = value(server) {
                    let labels: [(&str, &dyn Display); 2] =
                        [("virtual_server", &service.service), ("server", &server.server)];
                    family.sample(&labels, value);
                }
            }
        }
    }
    checks(status, text);
}

/// A check that several services share is there once. Checks that differ only in what no label says are one sample: the
/// least of them.
fn checks(status: &Status, text: &mut Text) {
    let servers = status.services.iter().flat_map(|service| &service.servers);
    let all: Vec<(&str, &CheckStatus)> = servers
        .flat_map(|server| server.checks.iter().map(|check| (server.server.as_str(), check)))
        .collect();
    for (name, help, value) in CHECKS {
        let mut least: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for (server, check) in &all {
            if let Some(value) = value(check) {
                let entry = least.entry((server, check.check.as_str())).or_insert(value);
                *entry = entry.min(value);
            }
        }
        let mut family = text.family(name, Kind::Gauge, help);
        for ((server, check), value) in least {
            family.sample(&[("server", &server), ("check", &check)], value);
        }
    }
}
