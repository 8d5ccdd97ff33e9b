//! Averages, bounds, silence and words of agents, answer by answer.

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
            "silence after a word: slowly back, from when it is noticed",
            Policy { time_constant: Duration::from_secs(10), ..plain },
            &[
                (0, "20%", 20, Why::Answer),
                (1, "", 20, Why::Missed),
                (2, "", 20, Why::Missed),
                (3, "", 20, Why::Stale),
                // 100 - 80 / e
                (13, "", 71, Why::Stale),
                (23, "", 89, Why::Stale),
                (63, "", 100, Why::Stale),
            ],
        ),
        (
            "zero and silent: from the floor",
            Policy { time_constant: Duration::from_secs(10), ..plain },
            &[
                (0, "0%", 0, Why::Drain),
                (1, "", 0, Why::Drain),
                (2, "", 0, Why::Drain),
                (3, "", 10, Why::Stale),
                (13, "", 63, Why::Stale),
            ],
        ),
        (
            "silence: hysteresis does not keep it from the end of its way",
            Policy { time_constant: Duration::from_secs(10), hysteresis_percent: 50, ..plain },
            &[
                (0, "50%", 50, Why::Answer),
                (1, "", 50, Why::Missed),
                (2, "", 50, Why::Missed),
                (3, "", 50, Why::Stale),
                (8, "", 50, Why::Stale),
                (90, "", 100, Why::Stale),
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
            assert_eq!((report.weight, report.why), (*weight, *why), "{sentence}: {text:?} at {second} s");
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
