//! The daemon is killed, and another one begins.

use super::lab::{Farm, SOON, name, service};
use crate::common::{wait_until, within};
use rlvs::lab::VIP;
use rlvs::lab::client::Connection;
use std::time::Duration;

/// At any moment: rules stay, connections live, counters go on, and the next daemon is right. The moments come from a
/// seed, which is printed if it fails.
#[test]
fn killed_at_any_moment_it_leaves_the_rules_right() {
    within(240, || {
        let seed = std::process::id() as u64;
        println!("seed {seed}");
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut farm = Farm::new();
        farm.write(&service(&farm, "alpha", "TCP_CHECK {\n}"));
        farm.start(&[]);
        wait_until("all up", SOON, || farm.serving(&name()).len() == 3);
        // rs1 lives through all of it, with one connection.
        let mut open = loop {
            let mut connection = farm.lab.client().run(|| Connection::open(VIP, 8000)).unwrap();
            if farm.lab.client().run(|| connection.who()).unwrap() == "rs1" {
                break connection;
            }
        };
        let server = format!("8000 {}:8000", farm.lab.server(1).addr());
        let mut packets = farm.counters()[&server][1];
        let mut up = [true, true, true];
        for _ in 0..20 {
            let n = 1 + roll(2) as usize;
            up[n] = !up[n];
            if up[n] {
                farm.start_server(n + 1)
            } else {
                farm.kill_server(n + 1)
            }
            std::thread::sleep(Duration::from_millis(roll(600)));
            farm.kill();
            assert!(farm.serving(&name()).contains(&"rs1".to_owned()));
            assert_eq!(farm.lab.client().run(|| open.who()).unwrap(), "rs1");
            let now = farm.counters()[&server][1];
            assert!(now > packets, "counters go on: {now} after {packets}");
            packets = now;
            // Sometimes it is killed again before it is ready.
            if roll(3) == 0 {
                farm.start_only(&[]);
                std::thread::sleep(Duration::from_millis(roll(100)));
                farm.kill();
            }
            farm.start(&[]);
            let expected: Vec<String> = (0..3).filter(|n| up[*n]).map(|n| format!("rs{}", n + 1)).collect();
            wait_until("the rules", SOON, || farm.serving(&name()) == expected);
            assert_eq!(farm.lab.client().run(|| open.who()).unwrap(), "rs1");
        }
    });
}

/// What a dead server was, the next daemon knows, also before it has asked.
#[test]
fn a_server_that_was_out_stays_out_over_a_restart() {
    within(60, || {
        let mut farm = Farm::new();
        let text = service(&farm, "", "TCP_CHECK {\n}");
        farm.write(&text);
        farm.start(&[]);
        farm.kill_server(2);
        wait_until("rs2 out", SOON, || farm.serving(&name()) == ["rs1", "rs3"]);
        let before = farm.counters();
        farm.kill();
        farm.start(&[]);
        assert_eq!(farm.serving(&name()), ["rs1", "rs3"]);
        assert_eq!(farm.counters(), before, "equal rules are not touched");
        farm.start_server(2);
        wait_until("rs2 back", SOON, || farm.serving(&name()).len() == 3);
        // With -I the rules also outlive a daemon that is told to stop.
        farm.kill();
        farm.start(&["-I"]);
        farm.signal(libc::SIGTERM);
        assert!(farm.ended().success());
        assert_eq!(farm.serving(&name()).len(), 3);
    });
}
