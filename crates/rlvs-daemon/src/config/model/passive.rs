//! Passive checks: what clients' own connections say of a real server, where its answers pass this director (NAT). Can stand
//! in `global` and in a virtual server; the nearest one holds, for each setting.

use super::{Global, Protocol, RealServer, ServiceAddress, VirtualServer};
use rlvs_control::model::Method;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is written in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passive {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PassiveMode>,
    /// How far back connections count.
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// So many clients at least must wait for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// And they must be such a part of the connections that were opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// How long a server that was taken out stays out, at least; doubles each time that it was in vain.
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassiveMode {
    #[default]
    Off,
    /// An event, a line in the status, a metric.
    Advise,
    /// The server counts as down besides.
    Act,
}

/// When a server that was taken out is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// After `hold`.
    #[default]
    Hold,
    /// After that, when each of its checks has passed since it was taken out.
    Check,
}

/// What holds for the servers of one virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectivePassive {
    pub acts: bool,
    pub window: Duration,
    pub connections: u32,
    pub percent: u32,
    pub hold: Duration,
    pub recovery: Recovery,
}

impl VirtualServer {
    /// `None`: its servers are not watched.
    pub fn effective_passive(&self, global: &Global) -> Option<EffectivePassive> {
        let written = [&self.passive, &global.passive];
        let mode = written.iter().find_map(|p| p.mode).unwrap_or_default();
        (mode != PassiveMode::Off && self.has_syns()).then(|| EffectivePassive {
            acts: mode == PassiveMode::Act,
            window: written.iter().find_map(|p| p.window).unwrap_or(Duration::from_secs(10)),
            connections: written.iter().find_map(|p| p.connections).unwrap_or(5),
            percent: written.iter().find_map(|p| p.percent).unwrap_or(50),
            hold: written.iter().find_map(|p| p.hold).unwrap_or(Duration::from_secs(30)),
            recovery: written.iter().find_map(|p| p.recovery).unwrap_or_default(),
        })
    }

    /// Can its connections begin with a SYN? A firewall mark stands for any protocol.
    pub fn has_syns(&self) -> bool {
        self.protocol == Protocol::Tcp || matches!(self.service, ServiceAddress::Fwmark(_))
    }
}

impl RealServer {
    /// Do its answers pass this director?
    pub fn answers_through_us(&self, vs: &VirtualServer) -> bool {
        self.effective_method(vs).method == Method::Masquerade
    }
}
