//! The daemon dies and another one begins: rules that are right are not touched, and what was known is known.

use super::world::{TCP, World, config, one_service};
use rlvs_daemon::machine::{Memory, Output};

/// As it is written to a file and read again.
fn through_a_file(memory: &Memory) -> Memory {
    serde_json::from_str(&serde_json::to_string(memory).unwrap()).unwrap()
}

#[test]
fn a_new_daemon_adopts_the_rules_and_the_health() {
    let text = one_service("retry 0\nquorum_up \"up\"", &[TCP, TCP]);
    let mut w = World::new(&text);
    w.server(1, false);
    w.until(10.0);
    let memory = through_a_file(&w.machine.memory());
    let mut next = World::started(w.now, &text, &memory, w.rules.clone(), 2);
    assert_eq!(next.orders, 0, "nothing is touched");
    assert_eq!(next.servers(), "2=1");
    assert!(next.noted("run").is_empty(), "the quorum was there before");
    next.server(1, false);
    next.until(40.0);
    assert_eq!(next.orders, 0);
    next.server(1, true);
    next.until(50.0);
    assert_eq!(next.servers(), "1=1 2=1");
}

#[test]
fn a_service_that_left_the_configuration_meanwhile_is_removed() {
    let one = one_service("", &[TCP]);
    let two = format!("{one}{}", one.replace("192.0.2.1", "192.0.2.2"));
    let w = World::new(&two);
    let memory = through_a_file(&w.machine.memory());
    let next = World::started(w.now, &one, &memory, w.rules.clone(), 2);
    assert_eq!(next.rules.keys().collect::<Vec<_>>(), ["TCP 192.0.2.1:80"]);
    let forgetful = World::started(w.now, &one, &Memory::default(), w.rules.clone(), 2);
    assert_eq!(forgetful.rules.len(), 2, "what nobody knows of is somebody else's");
}

/// What is written before the orders still has the services that they delete: only a few of them may come to it.
#[test]
fn killed_while_it_deletes_services_it_has_them_deleted_by_the_next() {
    let one = one_service("", &[TCP]);
    let two = format!("{one}{}", one.replace("192.0.2.1", "192.0.2.2"));
    let mut w = World::new(&two);
    let found: Vec<_> = w.rules.values().cloned().collect();
    w.machine.reload(config(&one), &found, w.now);
    let orders = w.machine.take();
    let memory = through_a_file(&w.machine.memory());
    assert!(matches!(&orders[0], Output::Orders(orders) if orders.len() == 1));
    let next = World::started(w.now, &one, &memory, w.rules.clone(), 2);
    assert_eq!(next.rules.keys().collect::<Vec<_>>(), ["TCP 192.0.2.1:80"]);
    // When it is done, they are nobody's.
    w.carry_out();
    assert_eq!(w.machine.memory().services.len(), 1);
}

/// Rules made by hand or by keepalived are taken over without being made anew.
#[test]
fn rules_that_are_there_already_are_adopted() {
    let text = one_service("", &["weight 5", "weight 6"]);
    let rules = World::new(&text).rules;
    let next = World::with(&text, &Memory::default(), rules, 2);
    assert_eq!((next.orders, next.servers()), (0, "1=5 2=6".into()));
}

/// A dynamic weight outlives the daemon, too.
#[test]
fn a_dynamic_weight_is_remembered() {
    let misc = "MISC_CHECK {\nmisc_path \"load\"\nmisc_dynamic\n}";
    let text = one_service("", &[misc]);
    let mut w = World::new(&text);
    w.answers.insert("MISC_CHECK load".into(), rlvs_daemon::machine::Outcome::Exit(42));
    w.until(10.0);
    let memory = through_a_file(&w.machine.memory());
    let next = World::started(w.now, &text, &memory, w.rules.clone(), 2);
    assert_eq!((next.orders, next.servers()), (0, "1=40".into()));
}
