//! When checks run. Each of these can stand in a virtual server, a real server and a checker; the nearest one holds.

use super::check::CheckKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time that is taken anywhere: 31 days, IPVS's longest timeout.
pub const MAX_TIME: Duration = Duration::from_secs(31 * 86_400);

/// What is written in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// From one check to the next.
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub delay_loop: Option<Duration>,
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// How many more times a failed check is tried before the server is taken for dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub delay_before_retry: Option<Duration>,
    /// The first check comes after a random time up to this; 0 checks at once.
    #[serde(with = "super::text::time", skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Duration>,
}

/// What holds for one checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveTiming {
    pub delay_loop: Duration,
    pub connect_timeout: Duration,
    pub retry: u32,
    pub delay_before_retry: Duration,
    pub warmup: Duration,
}

impl EffectiveTiming {
    /// `written` from the checker outwards: checker, real server, virtual server.
    pub fn of(kind: &CheckKind, written: [&Timing; 3]) -> EffectiveTiming {
        let delay_loop = written.iter().find_map(|t| t.delay_loop).unwrap_or(Duration::from_secs(60));
        EffectiveTiming {
            delay_loop,
            connect_timeout: written.iter().find_map(|t| t.connect_timeout).unwrap_or(Duration::from_secs(5)),
            retry: written.iter().find_map(|t| t.retry).unwrap_or(match kind {
                CheckKind::Dns(_) => 3,
                CheckKind::Misc(_) => 0,
                _ => 1,
            }),
            delay_before_retry: written.iter().find_map(|t| t.delay_before_retry).unwrap_or(match kind {
                CheckKind::Dns(_) => delay_loop,
                CheckKind::Http(_) => Duration::from_secs(3),
                _ => Duration::from_secs(1),
            }),
            warmup: written.iter().find_map(|t| t.warmup).unwrap_or(delay_loop),
        }
    }
}
