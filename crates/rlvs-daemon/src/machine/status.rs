//! What the machine knows, for people and programs.

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    pub services: Vec<ServiceStatus>,
    pub checks: usize,
}

use serde::Serialize;

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStatus {
    pub service: String,
    /// As the rules name them: one, or as many as its group has members.
    pub rules: Vec<String>,
    pub quorum_up: bool,
    pub quorum: u32,
    pub hysteresis: u32,
    pub living_weight: u64,
    /// It takes the connections now.
    pub sorry_server: Option<String>,
    pub suspended: bool,
    pub servers: Vec<ServerStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerStatus {
    pub server: String,
    pub up: bool,
    pub reason: Option<String>,
    pub configured_weight: u32,
    /// What new connections are given by; 0 where it is out.
    pub effective_weight: u32,
    pub checks: Vec<CheckStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckStatus {
    pub check: String,
    pub health: Health,
    /// Failed tries in a row, of which not enough to be down.
    pub failures: u32,
    pub retry: u32,
    /// Seconds since 1970.
    pub last_time: Option<f64>,
    pub last_passed: Option<bool>,
    pub last_reason: Option<String>,
}

impl Machine {
    pub fn status(&self) -> Status {
        let each = self.config.virtual_servers.iter().zip(&self.virtuals);
        let services = each.map(|(vs, state)| {
            let sorry = vs.sorry_server.filter(|_| !state.quorum);
            let servers = vs.real_servers.iter().zip(&state.servers).map(|(real, server)| {
                let (_, reason) = self.judged(server);
                let in_use = server.alive && sorry.is_none();
                ServerStatus {
                    server: real.address.to_string(),
                    up: server.alive,
                    reason,
                    configured_weight: real.effective_weight(vs),
                    effective_weight: if in_use { server.weight } else { 0 },
                    checks: server.checks.iter().filter_map(|watch| self.check_status(watch.check)).collect(),
                }
            });
            ServiceStatus {
                service: state.name.clone(),
                rules: state.services.iter().map(|s| crate::config::rules::key_text(&s.key)).collect(),
                quorum_up: state.quorum,
                quorum: vs.effective_quorum(),
                hysteresis: vs.hysteresis,
                living_weight: state.living_weight(),
                sorry_server: sorry.map(|sorry| sorry.address.to_string()),
                suspended: state.suspended,
                servers: servers.collect(),
            }
        });
        Status { services: services.collect(), checks: self.checks.len() }
    }

    fn check_status(&self, id: CheckId) -> Option<CheckStatus> {
        let check = self.checks.get(&id)?;
        let last = check.state.last.as_ref();
        Some(CheckStatus {
            check: check.spec.label(),
            health: check.state.health,
            failures: check.state.failures,
            retry: check.spec.timing.retry,
            last_time: last.map(|last| last.at.as_millis() as f64 / 1000.0),
            last_passed: last.map(|last| last.passed),
            last_reason: last.and_then(|last| last.reason.clone()),
        })
    }
}
