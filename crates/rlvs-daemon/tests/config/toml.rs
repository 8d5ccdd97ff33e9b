//! The TOML form: the example of docs/config.md, and what is said of wrong ones.

use crate::{models, parse, parse_toml};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rlvs_daemon::config::model::{Config, REGEX_OPTIONS, SCHEDULERS, SchedulerFlag};
use rlvs_daemon::config::{keepalived, rules::desired_rules, toml};
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../docs/config.md");

fn example() -> &'static str {
    let start = DOCUMENT.find("```toml\n").unwrap() + 8;
    &DOCUMENT[start..start + DOCUMENT[start..].find("```").unwrap()]
}

#[test]
fn the_documented_example_is_good_and_whole() {
    let (config, report) = parse_toml(example());
    let said: Vec<&str> = report.diagnostics().iter().map(|d| d.message.as_str()).collect();
    assert!(said.len() == 3 && said.iter().all(|message| message.ends_with("does nothing")), "{report}");
    assert_eq!(desired_rules(&config).len(), 8);
    let (again, report) = parse(&keepalived::write(&config));
    assert!(again == models::without_ours(config) && !report.has_errors(), "{report}");
    let shown = keys(example());
    let mut runner = TestRunner::deterministic();
    for _ in 0..100 {
        let any = models::config().new_tree(&mut runner).unwrap().current();
        for key in keys(&toml::write(&any)) {
            assert!(shown.contains(&key), "docs/config.md does not show {key}");
        }
    }
}

/// Every key of a file, as a path without indices.
fn keys(text: &str) -> BTreeSet<String> {
    fn walk(value: &::toml::Value, path: &str, keys: &mut BTreeSet<String>) {
        match value {
            ::toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                keys.insert(format!("{path}.{key}"));
                walk(value, &format!("{path}.{key}"), keys);
            }),
            ::toml::Value::Array(items) => items.iter().for_each(|item| walk(item, path, keys)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&::toml::Value::Table(text.parse().unwrap()), "", &mut found);
    // Of a script and of a timing one place is enough.
    found.iter().map(|path| path.rsplit('.').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_document_names_all_words() {
    let names = SCHEDULERS.iter().chain(&REGEX_OPTIONS).copied();
    for name in names.chain(SchedulerFlag::ALL.iter().map(|flag| flag.name())) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "docs/config.md does not name {name}");
    }
}

#[test]
fn an_empty_file_is_an_empty_configuration() {
    assert_eq!(parse_toml("").0, Config::default());
    assert_eq!(toml::write(&Config::default()), "");
}

#[test]
fn every_fault_has_its_place() {
    let text = r#"
[global]
timeouts = { tcp = "ninety" }

[[virtual_server]]
service = "192.0.2.1:80"
schedular = "rr"

[[virtual_server]]
service = "192.0.2.2:80"
method = "TUN type gue"

[[virtual_server]]
service = "192.0.2.3:80"
[[virtual_server.real_server]]
address = "10.0.0.1:80"
[[virtual_server.real_server.check]]
type = "tcp"
helo_name = "x"

[[virtual_servers]]
"#;
    let (_, report) = parse_toml(text);
    let found: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.message.to_owned())).collect();
    let expected = [
        (3, "\"ninety\" is no time"),
        (7, "unknown field `schedular`"),
        (11, "gue needs a port: TUN type gue port 6080"),
        (17, "a check of type tcp has no helo_name"),
        (21, "unknown key virtual_servers"),
    ];
    let mut found: Vec<_> = found.iter().map(|(line, message)| (*line, message.as_str())).collect();
    found.sort();
    for ((line, message), (expected_line, start)) in found.iter().zip(expected) {
        assert!(*line == expected_line && message.starts_with(start), "{report}");
    }
    assert_eq!(found.len(), expected.len(), "{report}");
}

#[test]
fn findings_of_the_model_have_their_place_too() {
    let text = r#"
[[virtual_server]]
service = "192.0.2.1:80"
[[virtual_server.real_server]]
address = "10.0.0.1:80"
[[virtual_server.real_server]]
address = "2001:db8::1"
[[virtual_server.real_server.check]]
type = "file"
track_file = "nowhere"
"#;
    let (_, report) = parse_toml(text);
    let found: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.message.to_owned())).collect();
    assert_eq!(
        found,
        [
            (6, "the real server 2001:db8::1 is not of the service's family inet".to_owned()),
            (8, "there is no track_file nowhere".to_owned()),
        ]
    );
}

#[test]
fn broken_toml() {
    let (_, report) = parse_toml("[[virtual_server]]\nservice = 192.0.2.1\nx = \n");
    assert!(report.has_errors());
    assert!(report.findings().any(|f| f.line == Some(2)), "{report}");
}
