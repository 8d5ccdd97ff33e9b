//! What the machine knows, for people and programs.

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    pub services: Vec<ServiceStatus>,
    pub checks: usize,
}

use crate::weights::{Answer, Why};
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
    /// Who is asked for its weight.
    pub agent: Option<AgentStatus>,
    /// Weights that an operator set, which no agent changes.
    pub pinned: Vec<Pin>,
    /// What its clients' connections say of it, where that is looked at.
    pub passive: Option<PassiveStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PassiveStatus {
    /// Being out counts; otherwise it is advice.
    pub acts: bool,
    pub standing: Standing,
    /// Clients that wait for an answer, and connections that were opened, in so many seconds.
    pub waiting: u64,
    pub opened: u64,
    pub window_seconds: f64,
    /// Seconds since 1970; out at least until then.
    pub out_until: Option<f64>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentStatus {
    pub agent: String,
    pub interval_seconds: f64,
    /// Seconds since 1970.
    pub last_time: Option<f64>,
    pub answer: Option<Answer>,
    /// The answer as words.
    pub answer_words: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// Questions without an answer, in a row.
    pub missed: u32,
    pub smoothed_percent: Option<f64>,
    /// What it comes to.
    pub weight: u32,
    pub why: Option<Why>,
}

/// A weight that was set by hand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pin {
    /// As the rules name it.
    pub service: String,
    pub weight: u32,
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

fn passive_status(watched: &passive::Watched) -> PassiveStatus {
    PassiveStatus {
        acts: watched.acts(),
        standing: watched.trial.standing,
        waiting: watched.met.waiting,
        opened: watched.met.opened,
        window_seconds: watched.met.within.as_secs_f64(),
        out_until: watched.trial.out.map(|(_, until)| until.as_millis() as f64 / 1000.0),
        reason: watched.reason(),
    }
}

impl Machine {
    pub fn status(&self) -> Status {
        let each = self.config.virtual_servers.iter().zip(&self.virtuals);
        let services = each.map(|(vs, state)| {
            let sorry = vs.sorry_server.filter(|_| !state.quorum);
            let servers = vs.real_servers.iter().zip(&state.servers).map(|(real, server)| {
                let (_, reason) = self.judged(server);
                let in_use = server.alive && sorry.is_none();
                let mut pinned: Vec<Pin> = server
                    .pins
                    .iter()
                    .map(|(key, weight)| Pin {
                        service: crate::config::rules::key_text(key),
                        weight: *weight,
                    })
                    .collect();
                pinned.sort_by(|a, b| a.service.cmp(&b.service));
                let weight = match &pinned[..] {
                    [pin] if state.services.len() == 1 => pin.weight,
                    _ => server.weight,
                };
                ServerStatus {
                    server: real.address.to_string(),
                    up: server.alive,
                    reason,
                    configured_weight: real.effective_weight(vs),
                    effective_weight: if in_use { weight } else { 0 },
                    checks: server.checks.iter().filter_map(|watch| self.check_status(watch.check)).collect(),
                    agent: server.weighing.as_ref().and_then(|weighing| self.agent_status(weighing)),
                    pinned,
                    passive: server.watched.as_ref().map(passive_status),
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

    fn agent_status(&self, weighing: &agent::Weighing) -> Option<AgentStatus> {
        let agent = self.agents.get(weighing.agent)?;
        let last = agent.last.as_ref();
        let answer = last.and_then(|last| last.answer.as_ref().ok());
        let report = weighing.report.as_ref();
        Some(AgentStatus {
            agent: agent.spec.label(),
            interval_seconds: agent.spec.interval.as_secs_f64(),
            last_time: last.map(|last| last.at.as_millis() as f64 / 1000.0),
            answer: answer.cloned(),
            answer_words: answer.map(Answer::words),
            error: last.and_then(|last| last.answer.as_ref().err().cloned()),
            missed: report.map_or(0, |report| report.missed),
            smoothed_percent: report.and_then(|report| report.smoothed_percent),
            weight: weighing.weigher.weight(),
            why: report.map(|report| report.why),
        })
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
