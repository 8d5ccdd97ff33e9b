//! What holds for the whole director.

use super::server::{RunAs, Script};
use super::{FullnatSource, Passive, is_default, text};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Global {
    /// The network namespace to work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_namespace: Option<String>,
    /// The one that has the rules, when checks go out from another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_namespace_ipvs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_daemon: Option<SyncDaemon>,
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: TimeoutsToSet,
    /// The pool of FULLNAT; if it names any, no others are in it. Not in keepalived.
    #[serde(skip_serializing_if = "is_default")]
    pub fullnat_sources: Vec<FullnatSource>,
    /// At the start, remove rules that are there already (`lvs_flush`).
    #[serde(skip_serializing_if = "is_default")]
    pub flush_at_start: bool,
    /// At the end, remove rules in one step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_at_stop: Option<FlushAtStop>,
    /// A pipe to which changes of services and servers are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo: Option<Script>,
    /// A program that is run with that pipe's name as its last argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo_script: Option<Script>,
    /// Who runs scripts that do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_user: Option<RunAs>,
    /// Scripts that someone else could replace are not run as root.
    #[serde(skip_serializing_if = "is_default")]
    pub script_security: bool,
    /// Log each failed check, also before the server is taken for dead.
    #[serde(skip_serializing_if = "is_default")]
    pub log_all_failures: bool,
    /// Run `notify_up` and `notify_down` also for the state found first.
    #[serde(skip_serializing_if = "is_default")]
    pub notify_at_start: bool,
    /// For virtual servers that do not say it. Not in keepalived.conf.
    #[serde(skip_serializing_if = "is_default")]
    pub passive: Passive,
}

/// `lvs_sync_daemon`: connections are told to another director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncDaemon {
    pub interface: String,
    /// The VRRP instance that decides between master and backup; without one, both run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrrp_instance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u8>,
    /// Bytes of a message, 1..=65507.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_len: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<IpAddr>,
}

/// `lvs_timeouts`; what is not written stays as it is. Whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsToSet {
    #[serde(with = "text::time", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Duration>,
    #[serde(with = "text::time", skip_serializing_if = "Option::is_none")]
    pub tcp_fin: Option<Duration>,
    #[serde(with = "text::time", skip_serializing_if = "Option::is_none")]
    pub udp: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlushAtStop {
    /// Everything there is.
    All,
    /// Only the services of this configuration.
    Services,
}

/// The client's side of TLS (block `SSL`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Of the key file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `track_file NAME { … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackFile {
    pub name: String,
    pub file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<super::FileWeight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitFile>,
}

/// Write `value` to the file at the start, if it is not there or in any case (`overwrite`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InitFile {
    pub value: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub overwrite: bool,
}
