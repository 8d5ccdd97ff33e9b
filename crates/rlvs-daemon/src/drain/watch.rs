//! Waiting for the last connection, as decisions: for each look at the drained destinations what happened, and when to
//! look next. Time is handed in, and nothing is done here.

use super::ledger::Drain;
use super::{Left, Then};
use serde::Serialize;
use std::time::Duration;

/// How long to wait between two looks.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// A destination, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// In the rules, with this weight.
    There { weight: u32, left: Left },
    /// The ledger has it no more: somebody undrained it.
    Undrained,
    /// It is not in the rules any more.
    Gone,
}

/// How the drain of a destination came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Nothing is awaited any more.
    Empty,
    /// The deadline passed, and so many were left.
    Deadline { left: u32 },
    /// Somebody undrained it.
    Undrained,
    /// Somebody set another weight, which stays.
    Overruled { weight: u32 },
    /// Somebody deleted it.
    Gone,
}

/// Something to tell, and to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which of the drains.
    pub index: usize,
    pub outcome: Outcome,
    /// Delete the destination now.
    pub remove: bool,
    /// It is nobody's to restore any more: out of the ledger.
    pub forget: bool,
}

/// All that one command drains.
pub struct Watch {
    drains: Vec<Drain>,
    outcomes: Vec<Option<Outcome>>,
}

impl Watch {
    pub fn new(drains: Vec<Drain>) -> Watch {
        Watch { outcomes: vec![None; drains.len()], drains }
    }

    pub fn drains(&self) -> &[Drain] {
        &self.drains
    }

    /// Of those that are not over, their index.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.outcomes.iter().enumerate().filter(|(_, o)| o.is_none()).map(|(i, _)| i)
    }

    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        self.outcomes[index]
    }

    /// What came of a look at some of the open ones.
    pub fn look(&mut self, now: Duration, seen: &[(usize, Seen)]) -> Vec<Event> {
        let mut events = vec![];
        for &(index, seen) in seen {
            let drain = &self.drains[index];
            if self.outcomes[index].is_some() {
                continue;
            }
            let Some(outcome) = judge(drain, now, seen) else { continue };
            let is_over = matches!(outcome, Outcome::Empty | Outcome::Deadline { .. });
            let remove = is_over && drain.then == Then::Remove;
            let forget = remove || matches!(outcome, Outcome::Gone | Outcome::Overruled { .. });
            self.outcomes[index] = Some(outcome);
            events.push(Event { index, outcome, remove, forget });
        }
        events
    }

    /// How long until the next look; None when all is over.
    pub fn pause(&self, now: Duration) -> Option<Duration> {
        let deadlines = self.open().map(|i| self.drains[i].deadline_ms.map(Duration::from_millis));
        deadlines.map(|d| d.map_or(INTERVAL, |d| d.saturating_sub(now).min(INTERVAL))).min()
    }

    /// Whether something was left when its time was up.
    pub fn is_incomplete(&self) -> bool {
        self.outcomes.iter().any(|o| matches!(o, Some(Outcome::Deadline { .. })))
    }
}

fn judge(drain: &Drain, now: Duration, seen: Seen) -> Option<Outcome> {
    let (weight, left) = match seen {
        Seen::There { weight, left } => (weight, left.awaited(drain)),
        Seen::Undrained => return Some(Outcome::Undrained),
        Seen::Gone => return Some(Outcome::Gone),
    };
    if weight != 0 {
        return Some(Outcome::Overruled { weight });
    }
    if left == 0 {
        return Some(Outcome::Empty);
    }
    let is_late = drain.deadline_ms.is_some_and(|deadline| now >= Duration::from_millis(deadline));
    is_late.then_some(Outcome::Deadline { left })
}

/// What undraining does with a destination that is noted as drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Restore {
    /// It gets this weight back.
    Weight { weight: u32 },
    /// The operator gave it another meanwhile, which stays.
    TheirWeight { weight: u32 },
    /// It is not in the rules any more.
    Gone,
}

/// `weight` is the one it has now; None if it is not there.
pub fn restore(drain: &Drain, weight: Option<u32>) -> Restore {
    match weight {
        Some(0) => Restore::Weight { weight: drain.former_weight },
        Some(weight) => Restore::TheirWeight { weight },
        None => Restore::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fate;
    use super::super::ledger::tests::drain;
    use super::*;
    use proptest::prelude::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn there(weight: u32, active: u32, templates: u32) -> Seen {
        let left = Left { active_connections: active, templates, ..Left::default() };
        Seen::There { weight, left }
    }

    /// A sentence, the drain, what was seen at which second, and when and how it was over.
    #[test]
    fn rows() {
        let plain = drain("10.1.0.1:80");
        let until_30 = Drain { deadline_ms: Some(30_000), ..plain };
        let removing = Drain { then: Then::Remove, ..until_30 };
        let moving = Drain { persistent: Fate::Expire, ..plain };
        type Row<'a> = (&'a str, Drain, &'a [(u64, Seen)], (u64, Outcome, bool, bool));
        let rows: &[Row] = &[
            (
                "an idle server is drained at once",
                plain,
                &[(0, there(0, 0, 0))],
                (0, Outcome::Empty, false, false),
            ),
            (
                "the last connection is waited for, however long",
                plain,
                &[(0, there(0, 2, 0)), (9, there(0, 1, 0)), (90_000, there(0, 0, 0))],
                (90_000, Outcome::Empty, false, false),
            ),
            (
                "the deadline ends it",
                until_30,
                &[(0, there(0, 2, 0)), (29, there(0, 2, 0)), (30, there(0, 2, 0))],
                (30, Outcome::Deadline { left: 2 }, false, false),
            ),
            (
                "empty at the deadline is empty",
                until_30,
                &[(0, there(0, 2, 0)), (30, there(0, 0, 0))],
                (30, Outcome::Empty, false, false),
            ),
            (
                "then remove: when it is empty",
                removing,
                &[(0, there(0, 2, 0)), (5, there(0, 0, 0))],
                (5, Outcome::Empty, true, true),
            ),
            (
                "then remove: at the deadline, whoever is left",
                removing,
                &[(31, there(0, 1, 0))],
                (31, Outcome::Deadline { left: 1 }, true, true),
            ),
            (
                "clients that persistence brings back are waited for",
                plain,
                &[(0, there(0, 0, 1)), (4, there(0, 0, 0))],
                (4, Outcome::Empty, false, false),
            ),
            (
                "unless they are sent elsewhere",
                moving,
                &[(0, there(0, 1, 5)), (1, there(0, 0, 5))],
                (1, Outcome::Empty, false, false),
            ),
            (
                "another weight ends it, and is nobody's to restore",
                removing,
                &[(0, there(0, 1, 0)), (1, there(4, 0, 0))],
                (1, Outcome::Overruled { weight: 4 }, false, true),
            ),
            (
                "undrained by somebody",
                removing,
                &[(2, Seen::Undrained)],
                (2, Outcome::Undrained, false, false),
            ),
            ("deleted by somebody", plain, &[(2, Seen::Gone)], (2, Outcome::Gone, false, true)),
        ];
        for (sentence, drain, seen, (at, outcome, remove, forget)) in rows {
            let mut watch = Watch::new(vec![*drain]);
            for (second, seen) in *seen {
                assert!(watch.pause(secs(*second)).is_some(), "{sentence}: over before second {second}");
                let events = watch.look(secs(*second), &[(0, *seen)]);
                if second == at {
                    let wanted = Event { index: 0, outcome: *outcome, remove: *remove, forget: *forget };
                    assert_eq!(events, [wanted], "{sentence}");
                } else {
                    assert_eq!(events, [], "{sentence}");
                }
            }
            assert_eq!(watch.pause(secs(*at)), None, "{sentence}");
            assert_eq!(watch.outcome(0), Some(*outcome), "{sentence}");
            assert_eq!(watch.is_incomplete(), matches!(outcome, Outcome::Deadline { .. }), "{sentence}");
        }
    }

    #[test]
    fn each_destination_ends_by_itself() {
        let one = drain("10.1.0.1:80");
        let two = Drain { port: 81, deadline_ms: Some(10_100), then: Then::Remove, ..one };
        let mut watch = Watch::new(vec![one, two]);
        let seen = [(0, there(0, 0, 0)), (1, there(0, 1, 0))];
        let events = watch.look(secs(1), &seen);
        assert_eq!(events.iter().map(|e| e.index).collect::<Vec<_>>(), [0]);
        assert_eq!(watch.open().collect::<Vec<_>>(), [1]);
        assert_eq!(watch.pause(secs(1)), Some(INTERVAL));
        assert_eq!(watch.pause(secs(10)), Some(Duration::from_millis(100)), "the deadline is met exactly");
        // A look at one that is over changes nothing.
        assert_eq!(watch.look(secs(2), &[(0, Seen::Gone)]), []);
        assert!(watch.look(secs(11), &[(1, there(0, 1, 0))])[0].remove);
        assert!(watch.is_incomplete());
    }

    #[test]
    fn undraining() {
        let drain = drain("10.1.0.1:80");
        assert_eq!(restore(&drain, Some(0)), Restore::Weight { weight: 3 });
        assert_eq!(restore(&drain, Some(8)), Restore::TheirWeight { weight: 8 });
        assert_eq!(restore(&drain, None), Restore::Gone);
    }

    proptest! {
        /// Whatever is seen: nothing is removed that was overruled, undrained or kept, each ends once, and the deadline
        /// holds.
        #[test]
        fn any_history(
            deadline in proptest::option::of(0u64..50),
            removing: bool,
            looks in proptest::collection::vec((0u64..3, 0u8..8, 0u32..3), 1..60),
        ) {
            let then = if removing { Then::Remove } else { Then::Keep };
            let deadline_ms = deadline.map(|d| d * 1000);
            let mut watch = Watch::new(vec![Drain { deadline_ms, then, ..drain("10.1.0.1:80") }]);
            let (mut now, mut ends) = (0, 0);
            for (step, kind, left) in looks {
                now += step;
                let seen = match kind {
                    0 => Seen::Gone,
                    1 => Seen::Undrained,
                    2 => there(1, left, 0),
                    _ => there(0, left, 0),
                };
                let was_over = watch.pause(secs(now)).is_none();
                for event in watch.look(secs(now), &[(0, seen)]) {
                    ends += 1;
                    prop_assert!(!was_over);
                    prop_assert!(!event.remove || (removing && kind > 2));
                }
                if deadline.is_some_and(|d| now >= d) {
                    prop_assert_eq!(watch.pause(secs(now)), None);
                }
            }
            prop_assert!(ends <= 1);
        }
    }
}
