//! What a daemon that starts again must know of the one before it, beyond the rules themselves.
//!
//! It is written before the rules change, so that it never knows less than they show. Without it (the first start, or a
//! machine that was started anew) nothing is known, and the configuration's defaults hold.

use super::check::CheckState;
use rlvs_control::model::ServiceKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Grows when the form changes; another form is not read.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub version: u32,
    /// Services that this daemon made, so that those which left the configuration can be removed.
    pub services: Vec<ServiceKey>,
    /// By [`CheckSpec::identity`](super::CheckSpec::identity); only those that were tried.
    pub checks: BTreeMap<String, CheckState>,
    /// Whether each virtual server had its quorum, by its name.
    pub quorums: BTreeMap<String, bool>,
}
