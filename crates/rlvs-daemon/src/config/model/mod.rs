//! The configuration as plain data: what is written, not what follows from it.
//!
//! A setting that was not written is `None`, so that a configuration can be written back as it was; what holds then is
//! said by the methods (`effective_…`), which know the defaults and that a checker inherits from its real server and that
//! one from its virtual server. Times are [`Duration`]s. The words are keepalived's, as operators know them.

mod agent;
mod check;
mod forwarding;
mod fullnat;
mod global;
mod passive;
mod server;
mod service;
mod text;
mod timing;
mod via;

pub use agent::{Agent, Asked, EffectiveAgent, Language};
pub use check::{
    Check, CheckKind, Connect, DnsCheck, DnsType, FileCheck, FileWeight, HttpCheck, HttpVersion, MiscCheck,
    REGEX_OPTIONS, SmtpCheck, StatusCodes, TlsOptions, UdpCheck, Url,
};
pub use forwarding::Forwarding;
pub use fullnat::FullnatSource;
pub use global::{FlushAtStop, Global, InitFile, SyncDaemon, TimeoutsToSet, Tls, TrackFile};
pub use passive::{EffectivePassive, Passive, PassiveMode, Recovery};
pub use server::{RealServer, RunAs, Script, SorryServer};
pub use service::{
    AddressFamily, Granularity, Group, MAX_RANGE, Member, Persistence, Protocol, SCHEDULERS, SchedulerFlag,
    ServiceAddress, VirtualServer,
};
pub(crate) use service::{family_word, parse_family, parse_mark};
pub(crate) use text::parse_seconds;
pub use text::{Endpoint, HexPattern, hex_bytes, seconds};
pub use timing::{EffectiveTiming, MAX_TIME, Timing};
pub use via::Via;

use serde::{Deserialize, Serialize};
#[allow(unused_imports)] // for the links above
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    #[serde(skip_serializing_if = "is_default")]
    pub global: Global,
    /// The client's side of TLS for SSL_GET (keepalived's block `SSL`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Files whose content is a number, for FILE_CHECK.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "track_file")]
    pub track_files: Vec<TrackFile>,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "group")]
    pub groups: Vec<Group>,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "virtual_server")]
    pub virtual_servers: Vec<VirtualServer>,
}

impl Config {
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
