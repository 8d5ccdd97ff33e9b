//! Schedulers and their flags.

use serde::{Deserialize, Serialize};

/// Every scheduler of Linux 6.1.
pub const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// What changes how a scheduler picks. The names with `sh` and `mh` are those of flags 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerFlag {
    #[serde(rename = "flag-1")]
    Flag1,
    #[serde(rename = "flag-2")]
    Flag2,
    #[serde(rename = "flag-3")]
    Flag3,
    ShFallback,
    ShPort,
    MhFallback,
    MhPort,
}

impl SchedulerFlag {
    pub const ALL: [SchedulerFlag; 7] = [
        SchedulerFlag::Flag1,
        SchedulerFlag::Flag2,
        SchedulerFlag::Flag3,
        SchedulerFlag::ShFallback,
        SchedulerFlag::ShPort,
        SchedulerFlag::MhFallback,
        SchedulerFlag::MhPort,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SchedulerFlag::Flag1 => "flag-1",
            SchedulerFlag::Flag2 => "flag-2",
            SchedulerFlag::Flag3 => "flag-3",
            SchedulerFlag::ShFallback => "sh-fallback",
            SchedulerFlag::ShPort => "sh-port",
            SchedulerFlag::MhFallback => "mh-fallback",
            SchedulerFlag::MhPort => "mh-port",
        }
    }

    /// The bit in `SchedFlags`.
    pub fn bit(self) -> u8 {
        match self {
            SchedulerFlag::Flag1 | SchedulerFlag::ShFallback | SchedulerFlag::MhFallback => 1,
            SchedulerFlag::Flag2 | SchedulerFlag::ShPort | SchedulerFlag::MhPort => 2,
            SchedulerFlag::Flag3 => 4,
        }
    }

    /// The only scheduler that has this flag, if there is only one.
    pub fn scheduler(self) -> Option<&'static str> {
        match self {
            SchedulerFlag::ShFallback | SchedulerFlag::ShPort => Some("sh"),
            SchedulerFlag::MhFallback | SchedulerFlag::MhPort => Some("mh"),
            _ => None,
        }
    }
}
