//! What a try says about a real server: whether it lives, and perhaps how much it can bear.
//!
//! A checker reports what it saw ([`Outcome`]); what an exit status or a number in a file means is decided here.

use super::spec::CheckSpec;
use crate::config::model::{CheckKind, FileWeight};
use serde::{Deserialize, Serialize};

/// What a checker saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// And why, for people.
    Failed(String),
    /// MISC_CHECK: the exit status, 0..=255.
    Exit(u8),
    /// FILE_CHECK: the number in the file.
    Number(i64),
}

/// How a check changes a server's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// This is the weight.
    Weight(u32),
    /// So much more than what is configured.
    Add(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The reason, if it failed.
    pub passed: Result<(), String>,
    /// What is said about the weight; `None` leaves it as it is.
    pub weight: Option<Said>,
}

/// A result of FILE_CHECK that is so low or lower is a failure.
const LOWEST: i64 = -254;

pub fn verdict(spec: &CheckSpec, outcome: Outcome) -> Verdict {
    let plain = |passed| Verdict { passed, weight: None };
    match (outcome, &spec.kind) {
        (Outcome::Passed, _) => plain(Ok(())),
        (Outcome::Failed(reason), _) => plain(Err(reason)),
        (Outcome::Exit(0), _) => plain(Ok(())),
        (Outcome::Exit(status @ 2..), CheckKind::Misc(misc)) if misc.dynamic => {
            Verdict { passed: Ok(()), weight: Some(Said::Weight(u32::from(status) - 2)) }
        }
        (Outcome::Exit(status), _) => plain(Err(format!("exit status {status}"))),
        (Outcome::Number(number), kind) => {
            let dynamic = matches!(kind, CheckKind::File(file) if file.dynamic);
            let weight = spec.file.as_ref().map_or(FileWeight { factor: 1, reverse: false }, |file| file.1);
            file(number, weight, dynamic)
        }
    }
}

/// The number times the factor, the sign turned by `reverse`. With a factor of 0 the file is a switch: a number other
/// than 0 is a failure (`reverse`: 0 is one). Otherwise a result of [`LOWEST`] or less is, and with `dynamic` the result
/// is added to the weight.
fn file(number: i64, FileWeight { factor, reverse }: FileWeight, dynamic: bool) -> Verdict {
    let sign = if reverse { -1 } else { 1 };
    let result = number.saturating_mul(i64::from(factor)).saturating_mul(sign);
    let failed = if factor == 0 { (number != 0) != reverse } else { result <= LOWEST };
    let passed = if failed { Err(format!("the file says {number}")) } else { Ok(()) };
    let weight = (dynamic && factor != 0 && !failed).then_some(Said::Add(result));
    Verdict { passed, weight }
}

/// The weight that comes of a configured one and of what checks say.
pub fn effective_weight(configured: u32, said: impl Iterator<Item = Said>) -> u32 {
    let base = i64::from(configured);
    let sum = said.fold(base, |sum, said| match said {
        Said::Weight(weight) => sum.saturating_add(i64::from(weight) - base),
        Said::Add(more) => sum.saturating_add(more),
    });
    sum.clamp(0, i64::from(i32::MAX)) as u32 // fits: clamped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_switch_or_a_sum() {
        let weight = |factor, reverse| FileWeight { factor, reverse };
        let ok = |number, weight, dynamic| file(number, weight, dynamic).passed.is_ok();
        assert!(ok(0, weight(0, false), false) && !ok(1, weight(0, false), false));
        assert!(!ok(0, weight(0, true), false) && ok(1, weight(0, true), false));
        assert!(ok(-253, weight(1, false), true) && !ok(-254, weight(1, false), true));
        assert_eq!(file(3, weight(-2, false), true).weight, Some(Said::Add(-6)));
        assert_eq!(file(3, weight(-2, true), true).weight, Some(Said::Add(6)));
        assert_eq!(file(3, weight(-2, true), false).weight, None);
        assert!(ok(i64::MAX, weight(i32::MAX, false), true) && !ok(i64::MIN, weight(i32::MAX, false), true));
    }

    #[test]
    fn weights_add_up_and_stay_within_bounds() {
        assert_eq!(effective_weight(10, [].into_iter()), 10);
        assert_eq!(effective_weight(10, [Said::Weight(4), Said::Add(3)].into_iter()), 7);
        assert_eq!(effective_weight(10, [Said::Add(-11)].into_iter()), 0);
        assert_eq!(effective_weight(10, [Said::Add(i64::MAX)].into_iter()), i32::MAX as u32);
    }
}
