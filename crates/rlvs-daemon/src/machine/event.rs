//! What the machine has to say: orders for the rules, checks to make, scripts to run, lines for the pipe, and events.

use super::check::Health;
use super::passive::Standing;
use super::spec::CheckSpec;
use super::{CheckId, Time};
use crate::config::diff::Change;
use crate::config::model::{Endpoint, Protocol, Script, ServiceAddress, VirtualServer};
use crate::drain;
use rlvs_control::Source;
use rlvs_control::model::Timeouts;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Something for the shell to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// In this order; what fails is reported back with `orders_failed`.
    Orders(Vec<Change>),
    /// Remove every rule there is, also those of others.
    Clear,
    SetTimeouts(Timeouts),
    /// The pool of FULLNAT, whole.
    SetSources(Vec<Source>),
    /// Read the rules that are there, and report them with `observed`.
    Look,
    /// Likewise, for `observed_weights`.
    LookAtWeights,
    /// Go on through the connections, and report a whole round with `waiting`.
    LookAtClients,
    Run(Script),
    /// A line for `notify_fifo`, without its end.
    Fifo(String),
    Event(Event),
}

/// A check to try; what is seen is reported with `finished`.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub id: CheckId,
    pub spec: Arc<CheckSpec>,
    /// Which of its URLs.
    pub step: usize,
}

/// A line of the event stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Seconds since 1970.
    pub time: f64,
    #[serde(flatten)]
    pub what: What,
}

impl Event {
    pub fn new(now: Time, what: What) -> Event {
        Event { time: now.as_millis() as f64 / 1000.0, what }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    Started {
        services: usize,
        checks: usize,
    },
    Stopping,
    /// A try failed (`log_all_failures`), which need not mean that the check is down.
    TryFailed {
        server: String,
        check: String,
        reason: String,
    },
    Check {
        server: String,
        check: String,
        health: Health,
        reason: Option<String>,
    },
    Server {
        service: String,
        server: String,
        up: bool,
        reason: Option<String>,
    },
    Quorum {
        service: String,
        up: bool,
        weight: u64,
        quorum: u32,
        sorry_server: bool,
    },
    Weight {
        service: String,
        server: String,
        from: u32,
        to: u32,
        /// What the agent said, where one has its say.
        reason: Option<String>,
    },
    /// An agent says something else than before (percentages apart), or nothing any more, or something again.
    Agent {
        agent: String,
        answer: Option<String>,
        error: Option<String>,
    },
    /// An operator set a weight that an agent would have its say in, or gave it back.
    Pinned {
        service: String,
        server: String,
        weight: u32,
        pinned: bool,
    },
    /// A passive check thinks otherwise of a server than before.
    Passive {
        service: String,
        server: String,
        standing: Standing,
        /// Clients that wait for an answer, and connections that were opened, in the window.
        waiting: u64,
        opened: u64,
        window_seconds: f64,
        /// How long it stays out at least.
        out_seconds: Option<f64>,
        reason: Option<String>,
    },
    /// `ha_suspend`
    Suspended {
        service: String,
        suspended: bool,
    },
    /// A drain that the daemon was asked for came to its end.
    Drained {
        service: String,
        server: String,
        #[serde(flatten)]
        outcome: drain::Outcome,
        removed: bool,
    },
    Reloaded {
        orders: usize,
        checks_added: usize,
        checks_removed: usize,
    },
    ReloadFailed {
        reason: String,
    },
    OrderFailed {
        order: String,
        error: String,
    },
    ScriptFailed {
        command: String,
        error: String,
    },
}

/// How keepalived names a virtual server in its pipe: `[192.0.2.1]:tcp:80`, `FWM 5`, `[group]:0`.
pub fn service_name(vs: &VirtualServer) -> String {
    match &vs.service {
        ServiceAddress::Address(endpoint) => server_name(*endpoint, vs.protocol),
        ServiceAddress::Fwmark(mark) => format!("FWM {mark}"),
        ServiceAddress::Group(name) => format!("[{name}]:0"),
    }
}

/// And a real server: `[10.0.0.1]:tcp:8080`.
pub fn server_name(Endpoint { addr, port }: Endpoint, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("[{addr}]:{protocol}:{port}")
}

pub fn up_or_down(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

fn over(outcome: &drain::Outcome) -> String {
    match outcome {
        drain::Outcome::Empty => "nothing is left".into(),
        drain::Outcome::Deadline { left } => format!("its time is up, and {left} are left"),
        drain::Outcome::Undrained => "it was undrained".into(),
        drain::Outcome::Overruled { weight } => format!("somebody set weight {weight}"),
        drain::Outcome::Gone => "somebody deleted it".into(),
    }
}

/// For the log.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |reason: &Option<String>| reason.as_ref().map_or(String::new(), |r| format!(": {r}"));
        match self {
            What::Started { services, checks } => write!(f, "started: {services} services, {checks} checks"),
            What::Stopping => f.write_str("stopping"),
            What::TryFailed { server, check, reason } => {
                write!(f, "{check} of server {server} failed: {reason}")
            }
            What::Check { server, check, health, reason } => {
                let word = if *health == Health::Up { "up" } else { "down" };
                write!(f, "{check} of server {server} is {word}{}", because(reason))
            }
            What::Server { service, server, up, reason } => {
                write!(f, "server {server} of {service} is {}{}", up_or_down(*up), because(reason))
            }
            What::Quorum { service, up: true, weight, quorum, .. } => {
                write!(f, "{service} is UP: weight {weight} of quorum {quorum}")
            }
            What::Quorum { service, weight, quorum, sorry_server, .. } => {
                let sorry = if *sorry_server { "; the sorry server takes over" } else { "" };
                write!(f, "{service} is DOWN: weight {weight} of quorum {quorum}{sorry}")
            }
            What::Weight { service, server, from, to, reason } => {
                write!(f, "server {server} of {service}: weight {from} to {to}{}", because(reason))
            }
            What::Agent { agent, answer: Some(answer), .. } => write!(f, "{agent} says {answer}"),
            What::Agent { agent, error, .. } => write!(f, "{agent} does not answer{}", because(error)),
            What::Pinned { service, server, weight, pinned: true } => {
                write!(f, "server {server} of {service}: weight {weight} was set by hand, and is kept")
            }
            What::Pinned { service, server, weight, .. } => {
                write!(
                    f,
                    "server {server} of {service}: weight {weight} was set by hand, and its agent has its say again"
                )
            }
            What::Passive { service, server, standing, out_seconds, reason, .. } => {
                let is = match (standing, out_seconds) {
                    (Standing::Clear, _) => "answers its clients again".to_owned(),
                    (Standing::Suspect, _) => "is suspect".to_owned(),
                    (Standing::Out, seconds) => format!("is out for {} s", seconds.unwrap_or_default()),
                };
                write!(f, "server {server} of {service} {is}{}", because(reason))
            }
            What::Drained { service, server, outcome, removed } => {
                let removed = if *removed { ", and it was removed" } else { "" };
                write!(f, "the drain of {server} in {service} is over: {}{removed}", over(outcome))
            }
            What::Suspended { service, suspended: true } => {
                write!(f, "{service}: its address is not here, checks are suspended")
            }
            What::Suspended { service, .. } => write!(f, "{service}: its address is here, checks go on"),
            What::Reloaded { orders, checks_added, checks_removed } => {
                write!(f, "reloaded: {orders} orders, {checks_added} checks added, {checks_removed} removed")
            }
            What::ReloadFailed { reason } => write!(f, "reload refused, nothing was changed\n{reason}"),
            What::OrderFailed { order, error } => write!(f, "cannot {order}: {error}"),
            What::ScriptFailed { command, error } => write!(f, "script {command:?}: {error}"),
        }
    }
}
