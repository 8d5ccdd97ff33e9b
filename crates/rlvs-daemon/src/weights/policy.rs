//! From answers to a weight. A [`Weigher`] per destination takes what each question brought, with the time, and says which
//! weight the destination should have and why.
//!
//! * **Smoothing.** The percentage is averaged with the time constant τ: after a step it has made 63 % of the way in τ, 95 % in
//!   3 τ, however often the agent is asked. The average moves by 1 - exp(-Δt / τ) of the difference.
//! * **Bounds.** configured weight × percentage, rounded, between floor and ceiling. 0 is what only an answer says (`0%`,
//!   `drain`, `maint`, `down`), and then at once.
//! * **Hysteresis.** A change of less than the given part of the weight in force is not made.
//! * **Silence.** After so many answers missed in a row the weight is the configured one again: nobody knows better. What the
//!   operator on the server ordered (`drain`, `maint`) stays, as with HAProxy, until an answer says `ready`.
//! * **Pinned.** The weight is the operator's: it is asked and shown, and never changed.

use super::answer::{Admin, Answer, Health};
use serde::Serialize;
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
    /// Too many: the configured weight.
    Stale,
    /// It never said a percentage.
    NoPercentage,
    Pinned,
}

#[derive(Clone, Debug)]
pub struct Weigher {
    policy: Policy,
    weight: u32,
    /// And when it was averaged last.
    smoothed: Option<(f64, Duration)>,
    zero: bool,
    admin: Admin,
    health: Health,
    missed: u32,
}

impl Weigher {
    /// `weight` is the one in force.
    pub fn new(policy: Policy, weight: u32) -> Weigher {
        let (admin, health) = (Admin::Ready, Health::Up);
        Weigher { policy, weight, smoothed: None, zero: false, admin, health, missed: 0 }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A reload: what was learnt stays.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Another hand has set the weight.
    pub fn set_weight(&mut self, weight: u32) {
        self.weight = weight;
    }

    /// One question's answer, or none. `now` is any clock that runs evenly.
    pub fn hear(&mut self, now: Duration, answer: Option<&Answer>) -> Report {
        match answer {
            Some(answer) => self.learn(now, answer),
            None => self.miss(),
        }
        let (wanted, why) = self.wanted();
        let (weight, why) = if self.policy.pinned {
            (self.weight, Why::Pinned)
        } else if why == Why::Answer && !self.is_worth_it(wanted) {
            (self.weight, Why::Hysteresis)
        } else {
            (wanted, why)
        };
        let changed = weight != self.weight;
        self.weight = weight;
        Report {
            answer: answer.cloned(),
            missed: self.missed,
            smoothed_percent: self.smoothed.map(|(percent, _)| percent),
            weight,
            changed,
            why,
        }
    }

    fn learn(&mut self, now: Duration, answer: &Answer) {
        self.missed = 0;
        self.admin = answer.admin.unwrap_or(self.admin);
        self.health = answer.health.unwrap_or(self.health);
        let Some(percent) = answer.weight_percent.map(f64::from) else { return };
        if percent == 0.0 {
            self.zero = true;
            return;
        }
        // Back from nothing it starts with what it says now.
        let before = if self.zero { None } else { self.smoothed };
        self.zero = false;
        let smoothed = before.map_or(percent, |(old, at)| {
            let passed = now.saturating_sub(at).as_secs_f64();
            let constant = self.policy.time_constant.as_secs_f64();
            let part = if constant > 0.0 { 1.0 - (-passed / constant).exp() } else { 1.0 };
            old + part * (percent - old)
        });
        self.smoothed = Some((smoothed, now));
    }

    fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
        if self.missed >= self.policy.missed_limit {
            (self.smoothed, self.zero, self.health) = (None, false, Health::Up);
        }
    }

    fn wanted(&self) -> (u32, Why) {
        let p = &self.policy;
        match (self.admin, self.health) {
            (Admin::Maint, _) => return (0, Why::Maint),
            (Admin::Drain, _) => return (0, Why::Drain),
            (_, Health::Up) if self.zero => return (0, Why::Drain),
            (_, Health::Up) => {}
            _ => return (0, Why::Down),
        }
        // Configured as 0: the operator wants it to take nothing.
        if p.configured_weight == 0 {
            return (0, Why::Answer);
        }
        match self.smoothed {
            _ if self.missed >= p.missed_limit.max(1) => (p.configured_weight, Why::Stale),
            _ if self.missed > 0 => (self.weight, Why::Missed),
            Some((percent, _)) => {
                let exact = (f64::from(p.configured_weight) * percent / 100.0).round();
                let floor = p.floor_weight.max(1);
                // Weights are below 2^31.
                ((exact.min(2e9) as u32).clamp(floor, p.ceiling_weight.max(floor)), Why::Answer)
            }
            None => (p.configured_weight, Why::NoPercentage),
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> Option<Answer> {
        (!text.is_empty()).then(|| Answer::parse(text.as_bytes()).unwrap())
    }

    /// A sentence, the policy, and per question: second, answer (none if empty), weight, why.
    #[test]
    fn rows() {
        let plain = Policy { time_constant: Duration::ZERO, hysteresis_percent: 0, ..Policy::of(100) };
        type Row<'a> = (&'a str, Policy, &'a [(u64, &'a str, u32, Why)]);
        let rows: &[Row] = &[
            ("it follows", plain, &[(0, "50%", 50, Why::Answer), (2, "80%", 80, Why::Answer)]),
            ("within its bounds", plain, &[(0, "1%", 10, Why::Answer), (1, "900%", 200, Why::Answer)]),
            ("nothing said, nothing done", plain, &[(0, "up", 100, Why::NoPercentage)]),
            (
                "zero at once, and back with what is said then",
                Policy { time_constant: Duration::from_secs(10), ..plain },
                &[(0, "90%", 90, Why::Answer), (1, "0%", 0, Why::Drain), (2, "40%", 40, Why::Answer)],
            ),
            (
                "drain and maint last until ready",
                plain,
                &[
                    (0, "drain", 0, Why::Drain),
                    (1, "50%", 0, Why::Drain),
                    (2, "maint", 0, Why::Maint),
                    (3, "up 70%", 0, Why::Maint),
                    (4, "ready", 70, Why::Answer),
                ],
            ),
            (
                "down until up",
                plain,
                &[
                    (0, "50%", 50, Why::Answer),
                    (1, "down#x", 0, Why::Down),
                    (2, "60%", 0, Why::Down),
                    (3, "up", 60, Why::Answer),
                ],
            ),
            (
                "silence: as it was, then as configured, then as said",
                plain,
                &[
                    (0, "50%", 50, Why::Answer),
                    (1, "", 50, Why::Missed),
                    (2, "", 50, Why::Missed),
                    (3, "", 100, Why::Stale),
                    (9, "", 100, Why::Stale),
                    (10, "30%", 30, Why::Answer),
                ],
            ),
            (
                "one answer between starts the count anew",
                plain,
                &[
                    (0, "50%", 50, Why::Answer),
                    (1, "", 50, Why::Missed),
                    (2, "50%", 50, Why::Answer),
                    (3, "", 50, Why::Missed),
                ],
            ),
            (
                "silence while drained: the operator's word stays; while down: health is for others to judge",
                plain,
                &[
                    (0, "drain", 0, Why::Drain),
                    (1, "", 0, Why::Drain),
                    (2, "", 0, Why::Drain),
                    (3, "", 0, Why::Drain),
                ],
            ),
            (
                "down and silent",
                plain,
                &[
                    (0, "down", 0, Why::Down),
                    (1, "", 0, Why::Down),
                    (2, "", 0, Why::Down),
                    (3, "", 100, Why::Stale),
                ],
            ),
            (
                "small changes are not made",
                Policy { hysteresis_percent: 10, ..plain },
                &[
                    (0, "91%", 100, Why::Hysteresis),
                    (1, "90%", 90, Why::Answer),
                    (2, "98%", 90, Why::Hysteresis),
                    (3, "99%", 99, Why::Answer),
                ],
            ),
            (
                "pinned is pinned",
                Policy { pinned: true, ..plain },
                &[(0, "50%", 100, Why::Pinned), (1, "maint", 100, Why::Pinned), (2, "", 100, Why::Pinned)],
            ),
        ];
        for (sentence, policy, questions) in rows {
            let mut weigher = Weigher::new(*policy, 100);
            let mut before = 100;
            for (second, text, weight, why) in *questions {
                let report = weigher.hear(Duration::from_secs(*second), said(text).as_ref());
                assert_eq!(
                    (report.weight, report.why),
                    (*weight, *why),
                    "{sentence}: {text:?} at {second} s"
                );
                assert_eq!(report.changed, *weight != before, "{sentence}: {text:?} at {second} s");
                before = *weight;
            }
        }
    }

    #[test]
    fn a_step_takes_its_time_however_often_it_is_asked() {
        for interval_ms in [100, 500, 2500] {
            let policy = Policy { hysteresis_percent: 0, ..Policy::of(1000) };
            let mut weigher = Weigher::new(policy, 1000);
            weigher.hear(Duration::ZERO, said("100%").as_ref());
            let mut report = weigher.hear(Duration::ZERO, said("20%").as_ref());
            for step in 1..=10_000 / interval_ms {
                report = weigher.hear(Duration::from_millis(step * interval_ms), said("20%").as_ref());
            }
            // 20 + 80 / e
            assert_eq!(report.weight, 494, "asked every {interval_ms} ms");
        }
    }

    proptest! {
        #[test]
        fn any_answers(
            configured in 0u32..1_000_000,
            floor in 0u32..2000,
            ceiling in 0u32..4000,
            pinned: bool,
            hysteresis in 0u8..=100,
            questions in proptest::collection::vec((0u64..20, proptest::option::of((0u16..30_000, 0u8..8))), 1..80),
        ) {
            let policy = Policy { floor_weight: floor, ceiling_weight: ceiling, pinned, hysteresis_percent: hysteresis, ..Policy::of(configured) };
            let mut weigher = Weigher::new(policy, configured);
            let mut now = 0;
            for (passed, question) in questions {
                now += passed;
                let answer = question.map(|(percent, other)| Answer {
                    weight_percent: (other != 7).then_some(percent),
                    admin: [None, Some(Admin::Ready), Some(Admin::Drain), Some(Admin::Maint)][other as usize % 4],
                    health: [None, Some(Health::Up), Some(Health::Down)][other as usize % 3],
                    ..Answer::default()
                });
                let report = weigher.hear(Duration::from_secs(now), answer.as_ref());
                if pinned {
                    prop_assert_eq!(report.weight, configured);
                } else {
                    let floor = floor.max(1);
                    let is_bounded = report.weight >= floor && report.weight <= ceiling.max(floor);
                    prop_assert!(report.weight == 0 || report.weight == configured || is_bounded, "{:?}", report);
                }
            }
        }
    }
}
