//! From a configuration to rules, and from one table of rules to another.

use crate::{good, models, parse};
use proptest::prelude::*;
use rlvs_control::model::{Destination, Method, Service, ServiceKey};
use rlvs_daemon::config::diff::{Change, diff};
use rlvs_daemon::config::rules::{Rule, desired_rules, key_text};
use std::collections::BTreeMap;
use std::net::IpAddr;

fn shown(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for Rule { service, destinations } in desired_rules(&parse(text).0) {
        let persistent =
            service.persistence.map_or(String::new(), |p| format!(" persistent {}", p.timeout_secs));
        lines.push(format!(
            "{} {} {}{persistent}",
            key_text(&service.key),
            service.scheduler,
            service.flags.0
        ));
        for d in destinations {
            lines.push(format!("-> {}:{} {:?} {}", d.addr, d.port, d.method, d.weight));
        }
    }
    lines
}

#[test]
fn a_group_gives_addresses_first_and_then_marks() {
    let text = "virtual_server_group g {
        fwmark 3
        192.0.2.2-3 80
        fwmark 4
        192.0.2.1 81
    }
    virtual_server group g {
        protocol TCP
        lvs_sched sh
        sh-port
        real_server 10.0.0.2 8080 {
            weight 0
        }
        real_server 10.0.0.1 {
        }
    }";
    good(text);
    let real =
        |port: u16| ["-> 10.0.0.2:8080 Masquerade 0".to_owned(), format!("-> 10.0.0.1:{port} Masquerade 1")];
    let mut expected = Vec::new();
    for (service, port) in [
        ("TCP 192.0.2.2:80", 80),
        ("TCP 192.0.2.3:80", 80),
        ("TCP 192.0.2.1:81", 81),
        ("FWM 3", 0),
        ("FWM 4", 0),
    ] {
        expected.push(format!("{service} sh 2"));
        expected.extend(real(port));
    }
    assert_eq!(shown(text), expected);
}

#[test]
fn only_nat_changes_the_port_and_all_ports_persist() {
    let text = "virtual_server 192.0.2.1 80 {
        protocol TCP
        lvs_method DR
        mh-port
        real_server 10.0.0.1 8080 {
        }
    }
    virtual_server 192.0.2.2 {
        protocol UDP
        real_server 10.0.0.1 {
            weight 7
        }
    }";
    assert_eq!(
        shown(text),
        [
            "TCP 192.0.2.1:80 wlc 0",
            "-> 10.0.0.1:80 DirectRoute 1",
            "UDP 192.0.2.2 wlc 0 persistent 360",
            "-> 10.0.0.1:0 Masquerade 7"
        ]
    );
    let warned: Vec<_> = parse(text).1.diagnostics().iter().map(|d| d.message.clone()).collect();
    assert_eq!(
        warned,
        [
            "mh-port is a flag of mh, not of wlc; it is ignored",
            "the real server 10.0.0.1:8080 gets packets at port 80: DR changes no port",
            "a service of all ports must be persistent; it gets a timeout of 360 s",
        ]
    );
}

#[test]
fn without_a_quorum_there_is_the_sorry_server() {
    let text = "virtual_server 192.0.2.1 80 {
        protocol TCP
        quorum 3
        sorry_server 10.0.0.9
        sorry_server_lvs_method DR
        real_server 10.0.0.1 80 {
            weight 2
        }
    }";
    assert_eq!(shown(text), ["TCP 192.0.2.1:80 wlc 0", "-> 10.0.0.9:80 DirectRoute 1"]);
    assert_eq!(shown(&text.replace("quorum 3", "quorum 2"))[1], "-> 10.0.0.1:80 Masquerade 2");
    assert_eq!(
        shown(&text.replace("sorry_server", "# "))[1],
        "-> 10.0.0.1:80 Masquerade 2",
        "there is nothing else"
    );
    let inhibit = text.replace("quorum 3", "sorry_server_inhibit");
    assert_eq!(shown(&inhibit)[1..], ["-> 10.0.0.1:80 Masquerade 2", "-> 10.0.0.9:80 DirectRoute 0"]);
}

#[test]
fn a_mark_has_the_family_of_its_servers() {
    let text = |inside: &str| format!("virtual_server fwmark 1 {{\nlvs_method TUN\n{inside}\n}}");
    let v4 = "real_server 192.0.2.1 {\n}\n";
    let v6 = "real_server 2001:db8::1 {\n}\n";
    assert_eq!(shown(&text(v6))[0], "FWM 1 IPv6 wlc 0");
    assert_eq!(shown(&text(&format!("{v6}{v4}")))[0], "FWM 1 wlc 0");
    assert_eq!(shown(&text(&format!("ip_family inet6\n{v4}")))[0], "FWM 1 IPv6 wlc 0");
}

/// A table as a balancer holds it, where orders can be carried out; a wrong order panics.
#[derive(Clone, Debug, PartialEq)]
struct Table(BTreeMap<String, (Service, Inside)>);

type Inside = BTreeMap<(IpAddr, u16), Destination>;

impl Table {
    fn of(rules: &[Rule]) -> Table {
        let inside = |rule: &Rule| rule.destinations.iter().map(|d| ((d.addr, d.port), *d)).collect();
        Table(rules.iter().map(|r| (key_text(&r.service.key), (r.service.clone(), inside(r)))).collect())
    }

    fn destinations(&mut self, key: &ServiceKey) -> &mut Inside {
        &mut self.0.get_mut(&key_text(key)).expect("no such service").1
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::AddService(service) => {
                let before = self.0.insert(key_text(&service.key), (service.clone(), BTreeMap::new()));
                assert!(before.is_none(), "service exists");
            }
            Change::EditService(service) => {
                let before = &mut self.0.get_mut(&key_text(&service.key)).expect("no such service").0;
                assert_ne!(before, service, "an edit that changes nothing");
                *before = service.clone();
            }
            Change::DeleteService(key) => {
                self.0.remove(&key_text(key)).expect("no such service");
            }
            Change::AddDestination(key, d) => {
                assert!(self.destinations(key).insert((d.addr, d.port), *d).is_none(), "destination exists");
            }
            Change::EditDestination(key, d) | Change::Reweigh(key, d, _) => {
                let before =
                    self.destinations(key).insert((d.addr, d.port), *d).expect("no such destination");
                assert_ne!(before, *d, "an edit that changes nothing");
            }
            Change::DeleteDestination(key, addr, port) => {
                self.destinations(key).remove(&(*addr, *port)).expect("no such destination");
            }
        }
    }
}

fn key_of(change: &Change) -> ServiceKey {
    match change {
        Change::DeleteService(key)
        | Change::AddDestination(key, _)
        | Change::EditDestination(key, _)
        | Change::Reweigh(key, ..)
        | Change::DeleteDestination(key, ..) => *key,
        Change::AddService(service) | Change::EditService(service) => service.key,
    }
}

/// Small tables of few names, so that two of them have much in common.
fn table() -> impl Strategy<Value = Vec<Rule>> {
    let destination =
        (0u8..4, 0u16..2, 0u32..3, any::<bool>()).prop_map(|(host, port, weight, nat)| Destination {
            addr: IpAddr::from([10, 0, 0, host]),
            port: 80 + port,
            method: if nat { Method::Masquerade } else { Method::DirectRoute },
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
            proxy_protocol: false,
            tunnel: Default::default(),
        });
    let destinations = proptest::collection::vec(destination, 0..5).prop_map(|all| {
        let unique: BTreeMap<_, _> = all.into_iter().map(|d: Destination| ((d.addr, d.port), d)).collect();
        unique.into_values().collect::<Vec<_>>()
    });
    let rule = (1u32..5, prop_oneof![Just("rr"), Just("wlc")], destinations).prop_map(
        |(mark, scheduler, destinations)| {
            let key = ServiceKey::Fwmark { mark, family: rlvs_control::model::Family::Inet };
            Rule { service: Service::new(key, scheduler), destinations }
        },
    );
    proptest::collection::vec(rule, 0..5).prop_map(|rules| {
        let unique: BTreeMap<_, _> = rules.into_iter().map(|r: Rule| (key_text(&r.service.key), r)).collect();
        unique.into_values().collect()
    })
}

proptest! {
    #[test]
    fn a_diff_leads_from_one_table_to_the_other(from in table(), to in table()) {
        let changes = diff(&from, &to);
        let mut table = Table::of(&from);
        changes.iter().for_each(|change| table.apply(change));
        prop_assert_eq!(table, Table::of(&to));
    }

    #[test]
    fn what_is_alike_is_not_named(from in table(), to in table()) {
        let (old, new) = (Table::of(&from), Table::of(&to));
        let changes = diff(&from, &to);
        for change in &changes {
            let name = key_text(&key_of(change));
            prop_assert_ne!(old.0.get(&name), new.0.get(&name), "{:?}", change);
            if let Change::DeleteDestination(_, addr, port) = change {
                prop_assert!(!new.0[&name].1.contains_key(&(*addr, *port)));
            }
        }
        // Minimal: as many orders as there are differences.
        let mut differences = 0;
        for name in old.0.keys().chain(new.0.keys().filter(|name| !old.0.contains_key(*name))) {
            differences += match (old.0.get(name), new.0.get(name)) {
                (Some(_), None) => 1,
                (None, Some((_, inside))) => 1 + inside.len(),
                (Some((a, x)), Some((b, y))) => {
                    let gone = x.keys().filter(|key| !y.contains_key(*key)).count();
                    usize::from(a != b) + gone + y.iter().filter(|(key, d)| x.get(*key) != Some(*d)).count()
                }
                (None, None) => 0,
            };
        }
        prop_assert_eq!(changes.len(), differences);
    }

    #[test]
    fn equal_tables_need_nothing(table in table(), seed in any::<prop::sample::Index>()) {
        let mut turned = table.clone();
        if !turned.is_empty() {
            let by = seed.index(turned.len());
            turned.rotate_left(by);
            turned.iter_mut().for_each(|rule| rule.destinations.reverse());
        }
        prop_assert_eq!(diff(&table, &turned), []);
    }

    #[test]
    fn rules_have_no_service_and_no_destination_twice(config in models::config()) {
        let small = config.groups.iter().flat_map(|g| &g.members).map(|m| m.endpoints().count()).sum::<usize>() < 20_000;
        prop_assume!(small);
        let rules = desired_rules(&config);
        let mut keys: Vec<_> = rules.iter().map(|rule| key_text(&rule.service.key)).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), rules.len());
        for rule in &rules {
            let mut ends: Vec<_> = rule.destinations.iter().map(|d| (d.addr, d.port)).collect();
            ends.sort();
            ends.dedup();
            prop_assert_eq!(ends.len(), rule.destinations.len());
        }
    }
}
