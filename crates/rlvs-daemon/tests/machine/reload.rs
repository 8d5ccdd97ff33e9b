//! Another configuration: what did not change is not touched.

use super::world::{TCP, World, config, one_service};

#[test]
fn the_same_again_changes_nothing() {
    let text = one_service("retry 0", &[TCP, TCP]);
    let mut w = World::new(&text);
    w.server(1, false);
    w.until(13.0);
    let orders = w.orders;
    let difference = w.reload(&text);
    assert_eq!((difference.orders.len(), difference.checks_kept), (0, 2));
    w.until(29.0);
    assert_eq!((w.orders, w.servers()), (orders, "2=1".into()));
    let times = w.noted("try TCP_CHECK 10.0.0.1:80").len();
    assert_eq!(times, 3, "0, 10, 20: the reload did not disturb it");
}

#[test]
fn one_server_more_and_one_less() {
    let mut w = World::new(&one_service("retry 0", &[TCP, TCP]));
    w.server(1, false);
    w.until(10.0);
    let text = one_service("retry 0", &[TCP, TCP, TCP]).replace("10.0.0.2", "10.0.0.9");
    let dry = w.machine.dry_run(config(&text), &w.rules.values().cloned().collect::<Vec<_>>(), w.now);
    assert_eq!(w.servers(), "2=1", "a dry run does nothing");
    let difference = w.reload(&text);
    assert_eq!(difference, dry);
    assert_eq!(
        difference.orders,
        [
            "add server 10.0.0.9:80 to TCP 192.0.2.1:80, weight 1",
            "add server 10.0.0.3:80 to TCP 192.0.2.1:80, weight 1",
            "delete server 10.0.0.2:80 of TCP 192.0.2.1:80"
        ]
    );
    assert_eq!(difference.checks_removed, ["TCP_CHECK 10.0.0.2:80 for 10.0.0.2:80"]);
    assert_eq!((difference.checks_added.len(), difference.checks_kept), (2, 1));
    assert_eq!(w.servers(), "3=1 9=1", "1 stays out");
    w.server(1, true);
    w.until(20.0);
    assert_eq!(w.servers(), "1=1 3=1 9=1");
}

/// A check with other settings is another check. It must not bring back who was out, nor throw out who was in.
#[test]
fn a_changed_check_begins_with_what_was_known() {
    let mut w = World::new(&one_service("retry 0\nalpha", &[TCP, TCP]));
    w.server(1, false);
    w.until(10.0);
    assert_eq!(w.servers(), "2=1");
    let slower = TCP.replace('}', "warmup 50\nconnect_timeout 9\n}");
    w.reload(&one_service("retry 0\nalpha", &[&slower, &slower]));
    assert_eq!(w.servers(), "2=1");
    w.server(1, true);
    w.server(2, false);
    w.until(60.0);
    assert_eq!(w.servers(), "1=1");
}

#[test]
fn a_service_that_leaves_is_removed_and_foreign_ones_stay() {
    let other = World::new("virtual_server 198.51.100.1 80 {\nprotocol TCP\n}").rules;
    let two =
        format!("{}{}", one_service("", &[TCP]), one_service("", &[TCP]).replace("192.0.2.1", "192.0.2.2"));
    let mut w = World::with(&two, &Default::default(), other, 1);
    assert_eq!(w.rules.len(), 3);
    let difference = w.reload(&one_service("", &[TCP]));
    assert_eq!(difference.orders, ["delete service TCP 192.0.2.2:80"]);
    assert_eq!(w.rules.keys().collect::<Vec<_>>(), ["TCP 192.0.2.1:80", "TCP 198.51.100.1:80"]);
}

/// What others did to our rules is put right by a reload.
#[test]
fn a_reload_looks_at_the_rules_that_are_there() {
    let text = one_service("", &["weight 5", "weight 6"]);
    let mut w = World::new(&text);
    let rule = w.rules.get_mut("TCP 192.0.2.1:80").unwrap();
    rule.destinations[0].weight = 77;
    rule.destinations.pop();
    assert_eq!(w.reload(&text).orders.len(), 2);
    assert_eq!(w.servers(), "1=5 2=6");
}

#[test]
fn orders_that_fail_are_tried_again() {
    let mut w = World::new(&one_service("retry 0", &[TCP, TCP]));
    w.broken = true;
    w.server(1, false);
    w.until(13.0);
    assert_eq!(w.servers(), "1=1 2=1");
    w.broken = false;
    w.until(15.0);
    assert_eq!(w.servers(), "2=1");
}

#[test]
fn a_deletion_that_fails_is_tried_again() {
    let one = one_service("", &[TCP]);
    let mut w = World::new(&format!("{one}{}", one.replace("192.0.2.1", "192.0.2.2")));
    // The director cannot even be asked which rules there are.
    let found: Vec<_> = w.rules.values().cloned().collect();
    w.machine.reload(config(&one), &found, w.now);
    w.machine.take();
    w.machine.orders_failed(&[], None, w.now);
    w.broken = true;
    w.run(8.0);
    assert_eq!(w.rules.len(), 2);
    w.broken = false;
    w.run(10.0);
    assert_eq!(w.rules.keys().collect::<Vec<_>>(), ["TCP 192.0.2.1:80"]);
}

#[test]
fn a_thousand_services_and_ten_changes() {
    let text = |changed: usize| {
        let mut text = String::new();
        for n in 0..1000 {
            let weight = if n < changed { 2 } else { 1 };
            let vip = format!("198.18.{}.{}", n / 250, n % 250 + 1);
            text += &format!("virtual_server {vip} 80 {{\nprotocol TCP\n");
            for server in 1..=4 {
                text += &format!("real_server 10.0.0.{server} 80 {{\nweight {weight}\n{TCP}\n}}\n");
            }
            text += "}\n";
        }
        text
    };
    let mut w = World::new(&text(0));
    w.run(60.0);
    let before = w.orders;
    let difference = w.reload(&text(10));
    assert_eq!((difference.orders.len(), w.orders - before), (40, 40));
    assert_eq!((difference.checks_kept, difference.checks_added.len()), (4, 0));
}
