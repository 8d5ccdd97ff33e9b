//! Who says how much a real server can take, and what becomes of it: dynamic weights (docs/weights.md).

use super::{Endpoint, Script};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is written in one place: in a virtual server for all of its real servers, in a real server for itself. The nearest
/// one holds, for each setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// `false` takes a real server out of what its virtual server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The port that an agent answers on, at the real server's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Or address and port, if they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Endpoint>,
    /// Or a program; it gets the real server's address and port as last arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The time constant of the average; 0 does not average.
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<Duration>,
    /// Of the configured weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_percent: Option<u32>,
    /// Of the weight in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hysteresis_percent: Option<u8>,
    /// After so many answers missed in a row the weight goes back to the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u32>,
}

/// How an agent is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// HAProxy's agent-check: it says a line of words to whoever connects.
    #[default]
    Words,
    /// `GET /` over HTTP.
    Json,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Agent { at: Endpoint, language: Language },
    Script(Script),
}

/// What holds for one real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveAgent {
    pub asked: Asked,
    pub interval: Duration,
    pub timeout: Duration,
    pub smoothing: Duration,
    pub floor_percent: u32,
    pub ceiling_percent: u32,
    pub hysteresis_percent: u8,
    pub missed: u32,
}

impl Agent {
    /// Does it say who is asked?
    pub fn names_somebody(&self) -> bool {
        self.port.is_some() || self.address.is_some() || self.script.is_some()
    }
}

impl EffectiveAgent {
    /// `server` is where the real server is, its port that of the service if it has none; `written` goes from the real
    /// server outwards. `None`: nobody is asked.
    pub fn of(server: Endpoint, written: [&Agent; 2]) -> Option<EffectiveAgent> {
        if written.iter().find_map(|agent| agent.enabled) == Some(false) {
            return None;
        }
        let named = written.iter().find(|agent| agent.names_somebody())?;
        let language = written.iter().find_map(|agent| agent.language).unwrap_or_default();
        let asked = match (&named.script, named.address, named.port) {
            (Some(script), _, _) => {
                let command = format!("{} {} {}", script.command, server.addr, server.port);
                Asked::Script(Script { command, run_as: script.run_as.clone() })
            }
            (_, Some(at), _) => Asked::Agent { at, language },
            (_, _, port) => {
                Asked::Agent { at: Endpoint { addr: server.addr, port: port.unwrap_or_default() }, language }
            }
        };
        let interval = written.iter().find_map(|a| a.interval).unwrap_or(Duration::from_secs(2));
        Some(EffectiveAgent {
            asked,
            interval,
            timeout: written.iter().find_map(|a| a.timeout).unwrap_or(Duration::from_secs(1)),
            smoothing: written.iter().find_map(|a| a.smoothing).unwrap_or(Duration::from_secs(10)),
            floor_percent: written.iter().find_map(|a| a.floor_percent).unwrap_or(10),
            ceiling_percent: written.iter().find_map(|a| a.ceiling_percent).unwrap_or(200),
            hysteresis_percent: written.iter().find_map(|a| a.hysteresis_percent).unwrap_or(10),
            missed: written.iter().find_map(|a| a.missed).unwrap_or(3),
        })
    }
}
