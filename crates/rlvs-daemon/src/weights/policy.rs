//! From answers to a weight. A [`Weigher`] per destination takes what each question brought, with the time, and says which
//! weight the destination should have and why.
//!
//! * **Smoothing.** The percentage is averaged with the time constant τ: after a step it has made 63 % of the way in τ, 95 % in
//!   3 τ, however often the agent is asked. The average moves by 1 - exp(-Δt / τ) of the difference.
//! * **Bounds.** configured weight × percentage, rounded, between floor and ceiling. 0 is what only an answer says (`0%`,
//!   `drain`, `maint`, `down`), and then at once.
//! * **Hysteresis.** A change of less than the given part of the weight in force is not made.
//! * **Silence.** After so many answers missed in a row the average goes back to 100 % with the same τ, and the weight to the
//!   configured one: nobody knows better, and who was too busy to answer is not buried at once. What the operator on the
//!   server ordered (`drain`, `maint`) stays, as with HAProxy, until an answer says `ready`.
//! * **Pinned.** The weight is the operator's: it is asked and shown, and never changed.

use super::answer::{Admin, Answer, Health};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Policy {
    pub configured_weight: u32,
    /// The least while the server takes connections; at least 1.
    pub floor_weight: u32,
    pub ceiling_weight: u32,
    #[serde(rename = "time_constant_secs", serialize_with = "as_secs")]
    pub time_constant: Duration,
    pub hysteresis_percent: u8,
    pub missed_limit: u32,
    pub pinned: bool,
}

impl Policy {
    /// What suits most: at least a tenth, at most twice the configured weight; 10 s; 10 %; three answers missed.
    pub fn of(configured_weight: u32) -> Policy {
        Policy {
            configured_weight,
            floor_weight: (configured_weight / 10).max(1),
            ceiling_weight: configured_weight.saturating_mul(2),
            time_constant: Duration::from_secs(10),
            hysteresis_percent: 10,
            missed_limit: 3,
            pinned: false,
        }
    }

    /// With bounds as parts of the configured weight.
    pub fn within(configured_weight: u32, floor_percent: u32, ceiling_percent: u32) -> Policy {
        let part = |percent: u32| {
            let weight = u64::from(configured_weight) * u64::from(percent) / 100;
            u32::try_from(weight).unwrap_or(u32::MAX).min(i32::MAX as u32)
        };
        Policy {
            floor_weight: part(floor_percent).max(1),
            ceiling_weight: part(ceiling_percent),
            ..Policy::of(configured_weight)
        }
    }
}

/// What the last question came to; for display too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// None: no answer.
    pub answer: Option<Answer>,
    pub missed: u32,
    pub smoothed_percent: Option<f64>,
    /// What the destination should have.
    pub weight: u32,
    /// It is another than before.
    pub changed: bool,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// As the percentage says.
    Answer,
    /// The difference is too small.
    Hysteresis,
    /// `drain`, or 0 %.
    Drain,
    Maint,
    /// `down`, `failed` or `stopped`.
    Down,
    /// Not enough answers missed yet: as it was.
    Missed,
    /// Too many: on its way to the configured weight, or there.
    Stale,
    /// It never said a percentage.
    NoPercentage,
    Pinned,
}

/// What was learnt of a server's answers; what of it outlives the daemon is all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// The average, and when it was made.
    smoothed: Option<(f64, Duration)>,
    zero: bool,
    admin: Admin,
    health: Health,
    /// What came with the word about health.
    reason: Option<String>,
    missed: u32,
}

impl Heard {
    /// Out of service by its own word, which is more than weight 0: `maint`, or `down` and its like.
    pub fn is_out(&self) -> Option<String> {
        let word = match (self.admin, self.health) {
            (Admin::Maint, _) => "maint",
            (_, Health::Up) => return None,
            (_, Health::Down) => "down",
            (_, Health::Failed) => "failed",
            (_, Health::Stopped) => "stopped",
        };
        let why = self.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        Some(format!("its agent says {word}{why}"))
    }
}

#[derive(Clone, Debug)]
pub struct Weigher {
    policy: Policy,
    weight: u32,
    heard: Heard,
}

/// So near to 100 % the way back is over.
const BACK_PERCENT: f64 = 1.0;

impl Weigher {
    /// `weight` is the one in force.
    pub fn new(policy: Policy, weight: u32) -> Weigher {
        Weigher { policy, weight, heard: Heard::default() }
    }

    /// After a restart, with what was learnt before.
    pub fn resume(policy: Policy, heard: Heard) -> Weigher {
        let mut weigher = Weigher { policy, weight: policy.configured_weight, heard };
        weigher.weight = weigher.settled();
        weigher
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// A reload, or another weight to take parts of: what was learnt stays, and the weight follows at once.
    pub fn set_policy(&mut self, policy: Policy) {
        if self.policy != policy {
            self.policy = policy;
            self.weight = if policy.pinned { self.weight } else { self.settled() };
        }
    }

    /// Another hand has set the weight.
    pub fn set_weight(&mut self, weight: u32) {
        self.weight = weight;
    }

    /// One question's answer, or none. `now` is any clock that runs evenly.
    pub fn hear(&mut self, now: Duration, answer: Option<&Answer>) -> Report {
        match answer {
            Some(answer) => self.learn(now, answer),
            None => self.miss(now),
        }
        let (wanted, why) = self.wanted();
        let is_back = why == Why::Stale && wanted == self.policy.configured_weight;
        let (weight, why) = match why {
            _ if self.policy.pinned => (self.weight, Why::Pinned),
            Why::Answer if !self.is_worth_it(wanted) => (self.weight, Why::Hysteresis),
            Why::Stale if !is_back && !self.is_worth_it(wanted) => (self.weight, Why::Stale),
            why => (wanted, why),
        };
        let changed = weight != self.weight;
        self.weight = weight;
        Report {
            answer: answer.cloned(),
            missed: self.heard.missed,
            smoothed_percent: self.heard.smoothed.map(|(percent, _)| percent),
            weight,
            changed,
            why,
        }
    }

    fn learn(&mut self, now: Duration, answer: &Answer) {
        let heard = &mut self.heard;
        heard.missed = 0;
        heard.admin = answer.admin.unwrap_or(heard.admin);
        if let Some(health) = answer.health {
            (heard.health, heard.reason) = (health, answer.reason.clone());
        }
        let Some(percent) = answer.weight_percent.map(f64::from) else { return };
        if percent == 0.0 {
            heard.zero = true;
            return;
        }
        // Back from nothing it starts with what it says now.
        if std::mem::take(&mut heard.zero) {
            heard.smoothed = None;
        }
        self.average(now, percent);
    }

    fn average(&mut self, now: Duration, percent: f64) {
        let constant = self.policy.time_constant.as_secs_f64();
        let smoothed = self.heard.smoothed.map_or(percent, |(old, at)| {
            let passed = now.saturating_sub(at).as_secs_f64();
            let part = if constant > 0.0 { 1.0 - (-passed / constant).exp() } else { 1.0 };
            old + part * (percent - old)
        });
        self.heard.smoothed = Some((smoothed, now));
    }

    fn miss(&mut self, now: Duration) {
        let heard = &mut self.heard;
        heard.missed = heard.missed.saturating_add(1);
        if heard.missed < self.policy.missed_limit.max(1) {
            return;
        }
        heard.health = Health::Up;
        if std::mem::take(&mut heard.zero) {
            heard.smoothed = Some((0.0, now));
        }
        // The way back begins now, not when it answered last.
        if let (true, Some((_, at))) = (heard.missed == self.policy.missed_limit.max(1), &mut heard.smoothed)
        {
            *at = if self.policy.time_constant.is_zero() { *at } else { now };
        }
        if self.heard.smoothed.is_some() {
            self.average(now, 100.0);
        }
        self.heard.smoothed =
            self.heard.smoothed.filter(|(percent, _)| (percent - 100.0).abs() >= BACK_PERCENT);
    }

    fn wanted(&self) -> (u32, Why) {
        let p = &self.policy;
        match (self.heard.admin, self.heard.health) {
            (Admin::Maint, _) => return (0, Why::Maint),
            (Admin::Drain, _) => return (0, Why::Drain),
            (_, Health::Up) if self.heard.zero => return (0, Why::Drain),
            (_, Health::Up) => {}
            _ => return (0, Why::Down),
        }
        // Configured as 0: the operator wants it to take nothing.
        if p.configured_weight == 0 {
            return (0, Why::Answer);
        }
        let why = match self.heard.missed {
            0 if self.heard.smoothed.is_none() => Why::NoPercentage,
            0 => Why::Answer,
            n if n >= p.missed_limit.max(1) => Why::Stale,
            _ => return (self.weight, Why::Missed),
        };
        (self.by_average(), why)
    }

    fn by_average(&self) -> u32 {
        let p = &self.policy;
        let Some((percent, _)) = self.heard.smoothed else { return p.configured_weight };
        let exact = (f64::from(p.configured_weight) * percent / 100.0).round();
        let floor = p.floor_weight.max(1);
        // Weights are below 2^31.
        (exact.min(2e9) as u32).clamp(floor, p.ceiling_weight.max(floor))
    }

    /// The weight without regard for the one in force.
    fn settled(&self) -> u32 {
        match self.wanted() {
            (_, Why::Missed) => self.by_average(),
            (weight, _) => weight,
        }
    }

    fn is_worth_it(&self, wanted: u32) -> bool {
        let difference = u64::from(wanted.abs_diff(self.weight));
        self.weight == 0
            || difference * 100 >= u64::from(self.weight) * u64::from(self.policy.hysteresis_percent)
    }
}

fn as_secs<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
