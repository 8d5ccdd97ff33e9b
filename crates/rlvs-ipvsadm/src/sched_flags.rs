//! `-b`: the scheduler flags, three bits that `sh` and `mh` have names of their own for.

use crate::errors::{Refusal, wrong_use};
use rlvs_control::model::SchedFlags;

struct Name {
    name: &'static str,
    /// The only scheduler that it belongs to.
    scheduler: Option<&'static str>,
    bit: u8,
}

/// A scheduler's own names stand before the general ones, so that listings prefer them.
const NAMES: &[Name] = &[
    Name { name: "sh-fallback", scheduler: Some("sh"), bit: 1 },
    Name { name: "sh-port", scheduler: Some("sh"), bit: 2 },
    Name { name: "mh-fallback", scheduler: Some("mh"), bit: 1 },
    Name { name: "mh-port", scheduler: Some("mh"), bit: 2 },
    Name { name: "flag-1", scheduler: None, bit: 1 },
    Name { name: "flag-2", scheduler: None, bit: 2 },
    Name { name: "flag-3", scheduler: None, bit: 4 },
];

/// Reads a comma-separated list for a scheduler.
pub fn parse(list: &str, scheduler: &str) -> Result<SchedFlags, Refusal> {
    let mut flags = SchedFlags(0);
    for word in list.split(',').filter(|w| !w.is_empty()) {
        let known = NAMES.iter().find(|n| n.name == word);
        let known = known.ok_or_else(|| wrong_use(format!("invalid scheduler flag `{word}'")))?;
        if known.scheduler.is_some_and(|wanted| wanted != scheduler) {
            return Err(wrong_use(format!("incompatible scheduler flag `{word}'")));
        }
        flags.0 |= known.bit;
    }
    Ok(flags)
}

/// As listings write them: `sh-fallback,sh-port`. A third flag of `sh` and `mh`, which mean nothing by it, is not
/// shown.
pub fn listed(flags: SchedFlags, scheduler: &str) -> String {
    let has_own = NAMES.iter().any(|n| n.scheduler == Some(scheduler));
    every(if has_own { SchedFlags(flags.0 & 3) } else { flags }, scheduler)
}

/// As `-S` writes them: all of them. Empty if there are none.
pub fn every(flags: SchedFlags, scheduler: &str) -> String {
    names(flags, scheduler).collect::<Vec<_>>().join(",")
}

pub fn names(flags: SchedFlags, scheduler: &str) -> impl Iterator<Item = &'static str> {
    let name_of =
        move |bit| NAMES.iter().find(|n| n.bit == bit && n.scheduler.is_none_or(|s| s == scheduler));
    let set = [1, 2, 4].into_iter().filter(move |bit| flags.0 & bit != 0);
    set.filter_map(name_of).map(|n| n.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for (scheduler, bits, text) in [
            ("sh", 3, "sh-fallback,sh-port"),
            ("mh", 7, "mh-fallback,mh-port,flag-3"),
            ("wlc", 5, "flag-1,flag-3"),
            ("rr", 0, ""),
        ] {
            assert_eq!(every(SchedFlags(bits), scheduler), text);
            assert_eq!(parse(text, scheduler), Ok(SchedFlags(bits)));
        }
        assert_eq!(listed(SchedFlags(7), "mh"), "mh-fallback,mh-port");
        assert_eq!(listed(SchedFlags(4), "sh"), "");
        assert_eq!(listed(SchedFlags(4), "rr"), "flag-3");
        assert_eq!(parse("sh-port", "mh").unwrap_err().text, "incompatible scheduler flag `sh-port'");
        assert_eq!(parse("flag-4", "rr").unwrap_err().text, "invalid scheduler flag `flag-4'");
    }
}
