//! What a daemon that starts again must know of the one before it, beyond the rules themselves.
//!
//! It is written before the rules change, so that it never knows less than they show. Without it (the first start, or a
//! machine that was started anew) nothing is known, and the configuration's defaults hold.

use super::check::CheckState;
use super::passive::Trial;
use crate::weights::Heard;
use rlvs_control::model::ServiceKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Grows when the form changes; another form is not read.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub version: u32,
    /// Services that this daemon made, so that those which left the configuration can be removed.
    pub services: Vec<ServiceKey>,
    /// By [`CheckSpec::identity`](super::CheckSpec::identity); only those that were tried.
    pub checks: BTreeMap<String, CheckState>,
    /// Whether each virtual server had its quorum, by its name.
    pub quorums: BTreeMap<String, bool>,
    /// What agents said, by virtual server and real server (`TCP 192.0.2.1:80 10.0.0.1:80`).
    #[serde(default)]
    pub heard: BTreeMap<String, Heard>,
    /// Of destinations that an agent weighs.
    #[serde(default)]
    pub weights: Vec<Given>,
    /// Servers that their passive checks took out, or have on trial; named as in `heard`.
    #[serde(default)]
    pub trials: BTreeMap<String, Trial>,
}

/// Which weight a destination was given, so that another one is known for an operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub service: ServiceKey,
    pub addr: IpAddr,
    pub port: u16,
    /// Who dies between writing this and the orders leaves the weight of before.
    pub before: u32,
    pub weight: u32,
    /// The operator's.
    pub pinned: Option<u32>,
}
