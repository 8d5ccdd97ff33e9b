//! Persistence: a client keeps its real server.

use crate::config::model::text::as_string;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// A client keeps its real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Whole seconds.
    #[serde(with = "crate::config::model::text::needed_time")]
    pub timeout: Duration,
    /// Clients of one network are taken for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// `sip`, the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

impl Persistence {
    /// What `persistence_timeout` without a value means.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(360);
}

/// A mask for IPv4 (`255.255.255.0`), a prefix length for IPv6 (`64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    Mask(Ipv4Addr),
    Prefix(u8),
}

as_string!(Granularity);

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Granularity::Mask(mask) => mask.fmt(f),
            Granularity::Prefix(length) => length.fmt(f),
        }
    }
}

impl FromStr for Granularity {
    type Err = String;

    fn from_str(text: &str) -> Result<Granularity, String> {
        if let Ok(mask) = text.parse() {
            return Ok(Granularity::Mask(mask));
        }
        match text.parse() {
            Ok(length @ 1..=128) => Ok(Granularity::Prefix(length)),
            _ => Err(format!(
                "{text:?} is no granularity; write a mask for IPv4 (255.255.255.0) or a prefix length for IPv6 (64)"
            )),
        }
    }
}
