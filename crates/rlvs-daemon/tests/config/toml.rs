//! The TOML form: the example of docs/config.md, and what is said of wrong ones.

use crate::{models, parse, parse_toml};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rlvs_daemon::config::model::{Config, REGEX_OPTIONS, SCHEDULERS, SchedulerFlag, VirtualServer};
use rlvs_daemon::config::report::Level;
use rlvs_daemon::config::{keepalived, rules::desired_rules, toml};
use rlvs_daemon::machine::CheckSpec;
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
    let mut said = config.clone();
    let lost: Vec<String> =
        keepalived::forget(&mut said).into_iter().map(|finding| finding.message).collect();
    let words = |word: &str| lost.iter().filter(|message| message.ends_with(&format!("for {word}"))).count();
    assert_eq!((words("via"), words("agent"), words("passive"), lost.len()), (1, 3, 2, 6), "{lost:?}");
    let (again, report) = parse(&keepalived::write(&config));
    assert!(again == said && !report.has_errors(), "{report}");
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

/// A check through the virtual address needs one, and a way to it.
#[test]
fn via_that_cannot_work() {
    let text = r#"
[global]
net_namespace_ipvs = "elsewhere"

[[group]]
name = "two"
members = ["192.0.2.1-2:80"]

[[virtual_server]]
service = "192.0.2.7:80"
via = "vpi"

[[virtual_server]]
service = "192.0.2.8:80"
[[virtual_server.real_server]]
address = "10.0.0.1:80"
check = [{ type = "ping", via = "vip" }]
"#;
    let (_, report) = parse_toml(text);
    let found: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.column.unwrap(), f.message)).collect();
    let expected = [
        (11, 7, "unknown variant `vpi`, expected `rip` or `vip`"),
        (17, 9, "a check of type ping has no via"),
    ];
    assert_eq!(found, expected, "{report}");

    let text = r#"
[[group]]
name = "two"
members = ["192.0.2.1-2:80"]

[[virtual_server]]
service = "192.0.2.3:80"
via = "vip"
method = "TUN"
[[virtual_server.real_server]]
address = "10.0.0.1:80"
check = [
    { type = "tcp", connect_ip = "192.0.2.4" },
    { type = "tcp", connect_ip = "192.0.2.4", via = "rip" },
    { type = "tcp", bind_port = 1024 },
    { type = "tcp", bindto = "192.0.2.3" },
    { type = "tcp", bindto = "2001:db8::9" },
    { type = "ping", bind_port = 1024 },
]
[[virtual_server.real_server]]
address = "2001:db8::1"
check = [{ type = "tcp" }, { type = "tcp", bindto = "192.0.2.9" }]

[[virtual_server]]
service = "fwmark 5"
[[virtual_server.real_server]]
address = "10.0.0.1:80"
via = "vip"
check = [{ type = "tcp" }, { type = "tcp", connect_ip = "192.0.2.5" }]

[[virtual_server]]
service = "group two"
[[virtual_server.real_server]]
address = "10.0.0.1"
method = "DR"
via = "vip"
check = [
    { type = "tcp", connect_ip = "192.0.2.3", connect_port = 80 },
    { type = "tcp", connect_ip = "192.0.2.2", connect_port = 80 },
    { type = "tcp", connect_ip = "192.0.2.2" },
]
"#;
    let (_, report) = parse_toml(text);
    let found: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.column.unwrap(), f.message)).collect();
    let expected = [
        (13, 5, "TCP_CHECK via vip goes to 192.0.2.3, and connect_ip says 192.0.2.4"),
        (15, 5, "bind_port does not go with TCP_CHECK via vip"),
        (16, 5, "TCP_CHECK cannot go from 192.0.2.3 to 192.0.2.3, which the real server has itself"),
        (17, 5, "TCP_CHECK cannot go from 2001:db8::9 to 192.0.2.3"),
        (
            22,
            10,
            "TCP_CHECK via vip from one address family to another: nothing says from which inet address of this host",
        ),
        (29, 10, "TCP_CHECK via vip: fwmark 5 does not say to which virtual address"),
        (38, 5, "TCP_CHECK via vip: 192.0.2.3 is no address of group two"),
        (40, 5, "TCP_CHECK needs a port, and neither server has one"),
    ];
    assert_eq!(found, expected, "{report}");

    let text = "[global]\nnet_namespace_ipvs = \"elsewhere\"\n[[virtual_server]]\nservice = \"192.0.2.3:80\"\nvia = \"vip\"\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.1\"\ncheck = [{ type = \"tcp\" }]\n";
    let (_, report) = parse_toml(text);
    let found: Vec<_> = report.findings().map(|f| (f.line.unwrap(), f.message)).collect();
    assert_eq!(found, [(8, "TCP_CHECK via vip would not start where the director is")], "{report}");
}

/// The nearest word holds; NAT alone changes address and port.
#[test]
fn where_checks_through_the_virtual_address_go() {
    for (of_service, of_server, of_check, method, label) in [
        ("vip", "", "", "FULLNAT", "TCP_CHECK 10.0.0.1:8080 via FULLNAT"),
        ("", "", "", "DR", "TCP_CHECK 10.0.0.1:8080"),
        ("vip", "", "", "DR", "TCP_CHECK 192.0.2.1:80 via DR"),
        ("vip", "", "", "TUN type gre", "TCP_CHECK 192.0.2.1:80 via TUN type gre"),
        ("vip", "", "", "NAT", "TCP_CHECK 10.0.0.1:8080 via NAT"),
        ("vip", "rip", "", "DR", "TCP_CHECK 10.0.0.1:8080"),
        ("rip", "rip", "vip", "DR", "TCP_CHECK 192.0.2.1:80 via DR"),
        ("", "vip", "rip", "DR", "TCP_CHECK 10.0.0.1:8080"),
    ] {
        let via = |word: &str| if word.is_empty() { String::new() } else { format!("via = \"{word}\"") };
        let (of_service, of_server) = (via(of_service), via(of_server));
        let of_check = if of_check.is_empty() { String::new() } else { format!(", {}", via(of_check)) };
        let text = format!(
            "[[virtual_server]]\nservice = \"192.0.2.1:80\"\nmethod = \"{method}\"\n{of_service}\n\
             [[virtual_server.real_server]]\naddress = \"10.0.0.1:8080\"\n{of_server}\n\
             check = [{{ type = \"tcp\"{of_check} }}, {{ type = \"ping\" }}]\n"
        );
        let (config, report) = parse_toml(&text);
        assert!(!report.has_errors(), "{report}");
        let vs = &config.virtual_servers[0];
        let real = &vs.real_servers[0];
        let labels: Vec<String> =
            real.checks.iter().map(|check| CheckSpec::of(&config, vs, real, check).label()).collect();
        assert_eq!(labels, [label, "PING_CHECK 10.0.0.1"], "{text}");
        // What goes straight, by whatever words, is one check.
        let spec = |vs: &VirtualServer| CheckSpec::of(&config, vs, real, &real.checks[0]);
        let mut plain = vs.clone();
        (plain.via, plain.real_servers[0].via) = (None, None);
        let mut check = real.checks[0].clone();
        check.connect.via = None;
        let (straight, this) = (CheckSpec::of(&config, &plain, &plain.real_servers[0], &check), spec(vs));
        assert_eq!(straight.identity == this.identity, !label.contains("via"), "{text}");
    }
}

/// Of passive checks: what cannot be met, and what cannot be watched.
#[test]
fn passive_checks_that_cannot_work() {
    let of = |global: &str, vs: &str, real: &str| {
        let text = format!(
            "[global]\npassive = {{ {global} }}\n[[virtual_server]]\nservice = \"192.0.2.1:80\"\n{vs}\n\
             [[virtual_server.real_server]]\naddress = \"10.0.0.1:80\"\n{real}\n"
        );
        let (_, report) = parse_toml(&text);
        report.findings().map(|f| (f.level, f.line.unwrap_or(0), f.message.to_owned())).collect::<Vec<_>>()
    };
    let check = "check = [{ type = \"tcp\" }]";
    for (global, vs, real, level, line, message) in [
        ("window = \"2s\"", "", "", Level::Error, 1, "a window of 2s for passive checks"),
        ("window = \"61s\"", "", "", Level::Error, 1, "a window of 61s for passive checks"),
        ("connections = 0", "", "", Level::Error, 1, "passive checks that need 0 connections"),
        ("percent = 101", "", "", Level::Error, 1, "101 percent of the connections of passive checks"),
        (
            "",
            "passive = { percent = 0, mode = \"act\" }",
            "",
            Level::Error,
            3,
            "0 percent of the connections",
        ),
        ("hold = \"500ms\"", "", "", Level::Error, 1, "a hold of passive checks below 1 s"),
        (
            "mode = \"yes\"",
            "",
            "",
            Level::Error,
            2,
            "unknown variant `yes`, expected one of `off`, `advise`, `act`",
        ),
        (
            "",
            "passive = { hold = \"9s\" }",
            "",
            Level::Warning,
            3,
            "settings of passive checks, which are off",
        ),
        (
            "",
            "passive = { mode = \"act\" }\nmethod = \"DR\"",
            "",
            Level::Error,
            3,
            "passive checks of 192.0.2.1:80, whose servers' answers do not pass here",
        ),
        (
            "",
            "passive = { mode = \"advise\" }\nprotocol = \"udp\"",
            "",
            Level::Error,
            3,
            "passive checks see SYNs, and 192.0.2.1:80 has none",
        ),
        (
            "mode = \"act\", recovery = \"check\"",
            "",
            "",
            Level::Error,
            6,
            "no check says when 10.0.0.1:80 may come back",
        ),
    ] {
        let found = of(global, vs, real);
        let fits =
            |(l, at, said): &(Level, usize, String)| (*l, *at) == (level, line) && said.starts_with(message);
        assert!(found.len() == 1 && fits(&found[0]), "{found:?}\n{global} {vs} {real}");
    }
    for (global, vs, real) in [
        ("mode = \"act\", recovery = \"check\"", "", check),
        // For all holds where it can.
        ("mode = \"act\", recovery = \"check\"", "method = \"DR\"", ""),
        ("mode = \"act\"", "protocol = \"udp\"", ""),
        ("mode = \"act\"", "passive = { mode = \"off\" }", ""),
        ("", "passive = { mode = \"act\" }\nmethod = \"DR\"", "method = \"NAT\""),
        ("hold = \"9s\"", "passive = { mode = \"act\" }", ""),
    ] {
        assert_eq!(of(global, vs, real), [], "{global} {vs} {real}");
    }
}
