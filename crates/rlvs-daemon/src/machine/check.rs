//! One check's life: tried, retried, failed, recovered. Times come in as arguments.
//!
//! ```text
//!                 passed (all URLs)                    failed, retry + 1 times in a row
//!   unknown ────────────────────────► up ────────────────────────────────────────────► down
//!      └──────────── failed, retry + 1 times in a row ──────────────────────────────────▲ │
//!                                     ▲ ───────────── passed (all URLs) ────────────────┼─┘
//! ```
//!
//! After a pass the next try comes `delay_loop` after this one began (or after its end, if it took longer), and while it is down
//! `delay_loop` after its end; between the retries of what is not yet taken for dead, after `delay_before_retry`. Several URLs are tried one after the other, `delay_loop` apart, unless
//! `fast_recovery` takes that away on the way up.

use super::Time;
use super::spec::CheckSpec;
use super::verdict::{Said, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not tried yet, or not often enough.
    #[default]
    Unknown,
    Up,
    Down,
}

/// The last try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub at: Time,
    pub passed: bool,
    /// Why it failed.
    pub reason: Option<String>,
}

/// What is known of a check; what of it outlives the daemon is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    pub health: Health,
    /// Failed tries in a row, while it is not down.
    pub failures: u32,
    /// Which URL comes next.
    pub step: usize,
    /// What it said last about the weight.
    pub weight: Option<Said>,
    pub last: Option<Last>,
}

impl CheckState {
    /// Takes in a try; returns how long to wait for the next.
    pub fn judge(&mut self, spec: &CheckSpec, verdict: Verdict, now: Time) -> Duration {
        let timing = &spec.timing;
        self.weight = verdict.weight.or(self.weight);
        let (passed, reason) = match verdict.passed {
            Ok(()) => (true, None),
            Err(reason) => (false, Some(reason)),
        };
        self.last = Some(Last { at: now, passed, reason });
        if passed {
            self.failures = 0;
            self.step += 1;
            if self.step < spec.steps() {
                let hurry = self.health != Health::Up && spec.fast_recovery();
                return if hurry { Duration::ZERO } else { timing.delay_loop };
            }
            self.step = 0;
            self.health = Health::Up;
            return timing.delay_loop;
        }
        if self.health == Health::Down || self.failures >= timing.retry {
            self.health = Health::Down;
            self.failures = 0;
            self.step = 0;
            return timing.delay_loop;
        }
        self.failures += 1;
        timing.delay_before_retry
    }
}
