//! The wild configuration files run: their rules are made, and without any answer all but what has no check fails.

use super::world::{START, apply};
use rlvs_daemon::config::rules::desired_rules;
use rlvs_daemon::config::source::Disk;
use rlvs_daemon::config::{Format, load};
use rlvs_daemon::machine::{Machine, Memory, Outcome, Output};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

#[test]
fn wild_files_run() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keepalived");
    let mut files = 0;
    for entry in std::fs::read_dir(data).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        files += 1;
        let (config, report) = load(&path, Format::Keepalived, "west", &Disk);
        assert!(!report.has_errors(), "{report}");
        let wanted = desired_rules(&config);
        let local: HashSet<_> = wanted
            .iter()
            .filter_map(|rule| match rule.service.key {
                rlvs_control::model::ServiceKey::Address { addr, .. } => Some(addr),
                _ => None,
            })
            .collect();
        let mut machine = Machine::start(config.clone(), &Memory::default(), &[], local, START, 7);
        let mut rules = BTreeMap::new();
        let mut now = START;
        // First everything passes, then nothing does.
        for passing in [true, false] {
            let end = now + Duration::from_secs(3600);
            loop {
                for output in machine.take() {
                    match output {
                        Output::Orders(orders) => orders.iter().for_each(|order| {
                            apply(&mut rules, order);
                        }),
                        Output::Clear => rules.clear(),
                        _ => {}
                    }
                }
                match machine.next_due().filter(|due| *due <= end) {
                    Some(due) => now = now.max(due),
                    None => break,
                }
                for probe in machine.due(now) {
                    let failed = || Outcome::Failed("no".into());
                    machine.finished(probe.id, if passing { Outcome::Passed } else { failed() }, now);
                }
            }
            now = end;
            if passing {
                assert_eq!(rules.len(), wanted.len(), "{}", path.display());
                for rule in &wanted {
                    let made = &rules[&rlvs_daemon::config::rules::key_text(&rule.service.key)];
                    assert_eq!(made.service, rule.service);
                    let sorted = |list: &[rlvs_control::model::Destination]| {
                        let mut list = list.to_vec();
                        list.sort_by_key(|d| (d.addr, d.port));
                        list
                    };
                    assert_eq!(sorted(&made.destinations), sorted(&rule.destinations), "{}", path.display());
                }
            }
        }
        for server in machine.status().services.iter().flat_map(|service| &service.servers) {
            assert_eq!(server.up, server.checks.is_empty(), "{}: {server:?}", path.display());
        }
    }
    assert_eq!(files, 12);
}
