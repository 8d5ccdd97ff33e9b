//! What makes a server live or fail: alpha, inhibit_on_failure, several checks, shared checks, ha_suspend.

use super::world::{TCP, World, one_service};
use rlvs_daemon::machine::{Health, Outcome};

#[test]
fn a_server_that_fails_is_removed_and_comes_back() {
    let mut w = World::new(&one_service("retry 0", &[TCP, TCP]));
    assert_eq!(w.servers(), "1=1 2=1");
    w.until(5.0);
    w.server(1, false);
    w.until(9.9);
    assert_eq!(w.servers(), "1=1 2=1", "nobody has asked yet");
    w.until(10.0);
    assert_eq!(w.servers(), "2=1");
    let orders = w.orders;
    w.until(39.0);
    w.server(1, true);
    w.until(40.0);
    assert_eq!((w.servers(), w.orders), ("1=1 2=1".into(), orders + 1));
}

#[test]
fn inhibit_on_failure() {
    let own = format!("inhibit_on_failure\n{TCP}");
    for text in
        [one_service("retry 0\ninhibit_on_failure", &[TCP, TCP]), one_service("retry 0", &[&own, TCP])]
    {
        let mut w = World::new(&text);
        w.server(1, false);
        w.run(10.0);
        assert_eq!(w.servers(), "1=0 2=1");
        w.server(1, true);
        w.run(10.0);
        assert_eq!(w.servers(), "1=1 2=1");
    }
}

#[test]
fn alpha() {
    let late = TCP.replace('}', "warmup 100\n}");
    let own = late.replace('}', "alpha\n}");
    let of_server = format!("alpha\n{late}");
    for text in [
        one_service("alpha", &[&late, &late]),
        one_service("", &[&own, &own]),
        one_service("", &[&of_server, &of_server]),
    ] {
        let mut w = World::new(&text);
        assert_eq!(w.servers(), "", "nobody has passed yet");
        w.server(2, false);
        w.until(100.0);
        assert_eq!(w.servers(), "1=1");
    }
    let w = World::new(&one_service("", &[&late, &late]));
    assert_eq!(w.servers(), "1=1 2=1", "without alpha a server is up until it fails");
}

#[test]
fn all_checks_must_pass() {
    let two = format!("{TCP}\nPING_CHECK {{\n}}");
    let mut w = World::new(&one_service("retry 0", &[&two]));
    w.answers.insert("PING_CHECK 10.0.0.1".into(), Outcome::Failed("no answer".into()));
    w.run(10.0);
    assert_eq!(w.servers(), "");
    let status = w.machine.status();
    let server = &status.services[0].servers[0];
    assert_eq!((server.up, server.reason.as_deref()), (false, Some("no answer")));
    let health: Vec<Health> = server.checks.iter().map(|check| check.health).collect();
    assert_eq!(health, [Health::Up, Health::Down]);
    w.answers.clear();
    w.run(10.0);
    assert_eq!(w.servers(), "1=1");
}

#[test]
fn a_server_without_checks_is_up() {
    let mut w = World::new(&one_service("alpha", &[""]));
    w.run(100.0);
    assert_eq!(w.servers(), "1=1");
}

/// A hundred services with the same server ask it once, and all of them lose it.
#[test]
fn one_check_for_all_services_of_a_server() {
    let mut text = String::new();
    for n in 1..=100 {
        text +=
            &format!("virtual_server 192.0.2.{n} 80 {{\nprotocol TCP\nretry 0\ndelay_loop 10\nwarmup 0\n");
        text += &format!("real_server 10.0.0.1 80 {{\n{TCP}\n}}\n}}\n");
    }
    let mut w = World::new(&text);
    w.until(9.0);
    assert_eq!(w.noted("try").len(), 1);
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.noted("try").len(), 2);
    assert_eq!(w.rules.len(), 100);
    assert!(w.rules.values().all(|rule| rule.destinations.is_empty()));
}

#[test]
fn ha_suspend() {
    let mut w = World::new(&one_service("ha_suspend\nretry 0", &[TCP]));
    w.server(1, false);
    w.until(100.0);
    assert_eq!((w.noted("try").len(), w.servers()), (0, "1=1".into()), "the address is not here");
    assert!(w.machine.status().services[0].suspended);
    w.addresses(&["192.0.2.1", "127.0.0.1"]);
    w.run(0.0);
    assert_eq!((w.noted("try").len(), w.servers()), (1, String::new()));
    w.addresses(&["127.0.0.1"]);
    w.server(1, true);
    w.run(100.0);
    assert_eq!((w.noted("try").len(), w.servers()), (1, String::new()), "as it was when the address left");
}
