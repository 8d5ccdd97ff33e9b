//! Real servers, the sorry server, and the scripts that are told of changes.

use super::agent::{Agent, EffectiveAgent};
use super::check::Check;
use super::timing::Timing;
use super::{Endpoint, Forwarding, ServiceAddress, Via, VirtualServer, is_default};
use serde::{Deserialize, Serialize};

/// `real_server ADDR [PORT] { … }`; also written as the defaults below a virtual server where it says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealServer {
    /// Port 0: that of the service.
    pub address: Endpoint,
    /// 0..=2^31-1; see [`RealServer::effective_weight`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Forwarding>,
    /// A failed server stays a destination with weight 0 instead of being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibit_on_failure: Option<bool>,
    /// Down until the first check has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<bool>,
    /// Connections; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub upper_threshold: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub lower_threshold: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_up: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_down: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    /// Of checks that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub timing: Timing,
    /// Not in keepalived.conf.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: Agent,
    /// All must pass; a server without any is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "check")]
    pub checks: Vec<Check>,
}

impl RealServer {
    pub fn new(address: Endpoint) -> RealServer {
        RealServer {
            address,
            weight: None,
            method: None,
            inhibit_on_failure: None,
            alpha: None,
            upper_threshold: 0,
            lower_threshold: 0,
            notify_up: None,
            notify_down: None,
            virtualhost: None,
            via: None,
            timing: Timing::default(),
            agent: Agent::default(),
            checks: Vec::new(),
        }
    }

    /// Its own, that of the virtual server, or 1.
    pub fn effective_weight(&self, of: &VirtualServer) -> u32 {
        self.weight.or(of.weight).unwrap_or(1)
    }

    /// Who is asked for its weight, if anybody is.
    pub fn effective_agent(&self, of: &VirtualServer) -> Option<EffectiveAgent> {
        let service_port = match of.service {
            ServiceAddress::Address(Endpoint { port, .. }) => port,
            _ => 0,
        };
        let port = if self.address.port == 0 { service_port } else { self.address.port };
        EffectiveAgent::of(Endpoint { port, ..self.address }, [&self.agent, &of.agent])
    }

    pub fn effective_method(&self, of: &VirtualServer) -> Forwarding {
        self.method.unwrap_or(of.method)
    }

    pub fn effective_inhibit(&self, of: &VirtualServer) -> bool {
        self.inhibit_on_failure.unwrap_or(of.inhibit_on_failure)
    }
}

/// `sorry_server ADDR [PORT]` with `sorry_server_inhibit` and `sorry_server_lvs_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SorryServer {
    pub address: Endpoint,
    #[serde(default, skip_serializing_if = "is_default")]
    pub inhibit: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Forwarding>,
}

/// A program to run (or a pipe to write to), and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The program and its arguments in one line; an argument with spaces is in single quotes.
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "as")]
    pub run_as: Option<RunAs>,
}

impl Script {
    /// Program and arguments; no shell is involved.
    pub fn argv(&self) -> Vec<String> {
        let mut argv = Vec::new();
        let mut word: Option<String> = None;
        let mut quoted = false;
        for c in self.command.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                c if c.is_ascii_whitespace() && !quoted => argv.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        argv.extend(word);
        argv
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunAs {
    pub user: String,
    /// The user's own, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_spaces() {
        let script = |command: &str| Script { command: command.to_owned(), run_as: None };
        assert_eq!(script(" /bin/say 'a b'c  d ").argv(), ["/bin/say", "a bc", "d"]);
        assert_eq!(script("x '' y").argv(), ["x", "", "y"]);
        assert!(script("").argv().is_empty());
    }
}
