//! Chaos from a seed: servers fail and recover, configurations change, orders fail, the daemon dies. Whatever happened,
//! once it is quiet the rules are what the servers' health says.

use super::world::{START, TCP, World, one_service};
use rlvs_daemon::machine::Memory;
use std::collections::BTreeMap;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const SERVERS: u8 = 5;

/// A configuration with some of the servers, from a few bits.
fn text(bits: u64) -> String {
    let vs = [
        "retry 0",
        "retry 2\ndelay_before_retry 1\ninhibit_on_failure",
        "alpha\nquorum 2\nhysteresis 1\nsorry_server 10.0.0.200 80",
        "quorum 3\nsorry_server 10.0.0.200 80\nsorry_server_inhibit\nomega",
    ][(bits % 4) as usize];
    let lines = format!("weight {}\n{TCP}", 1 + bits / 4 % 3);
    one_service(vs, &[lines.as_str(); SERVERS as usize])
}

#[test]
fn after_any_chaos_the_rules_are_right() {
    for seed in 0..200 {
        let mut dice = Dice(seed * 7919 + 1);
        let mut bits = dice.roll(12);
        let mut up = [true; SERVERS as usize];
        let mut w = World::new(&text(bits));
        // Written before orders are carried out, as the shell does it; a death may come right after.
        for _ in 0..60 {
            match dice.roll(8) {
                0..=3 => {
                    let n = dice.roll(SERVERS.into()) as usize;
                    up[n] = !up[n];
                    w.server(n as u8 + 1, up[n]);
                }
                4 => {
                    bits = dice.roll(12);
                    w.broken = false;
                    w.reload(&text(bits));
                }
                5 => w.broken = !w.broken,
                6 => {
                    let memory = if dice.roll(4) == 0 { Memory::default() } else { w.machine.memory() };
                    let (answers, rules) = (w.answers.clone(), w.rules.clone());
                    w = World::started(w.now, &text(bits), &memory, rules, seed);
                    w.answers = answers;
                }
                _ => {}
            }
            w.run(dice.roll(25) as f64 / 2.0);
        }
        w.broken = false;
        w.run(60.0);
        let orders = w.orders;
        assert_right(&w, bits, &up, seed);
        w.run(600.0);
        assert_eq!(w.orders, orders, "seed {seed}: it is quiet, so nothing moves");
        assert!(w.now > START);
    }
}

fn assert_right(w: &World, bits: u64, up: &[bool], seed: u64) {
    let weight = 1 + bits / 4 % 3;
    let living: u64 = up.iter().filter(|up| **up).count() as u64 * weight;
    let status = &w.machine.status().services[0];
    let quorum = status.quorum_up;
    let (least, gained) = match bits % 4 {
        0 | 1 => (1, 1),
        2 => (1, 3),
        _ => (3, 3),
    };
    // Between the two, history decides.
    assert!(living >= least || !quorum, "seed {seed}: {living}");
    assert!(living < gained || quorum, "seed {seed}: {living}");
    let sorry = bits % 4 >= 2 && !quorum;
    let mut expected: BTreeMap<usize, u64> = BTreeMap::new();
    for (n, up) in (1..).zip(up) {
        if *up && !sorry {
            expected.insert(n, weight);
        } else if bits % 4 == 1 {
            expected.insert(n, 0);
        }
    }
    if sorry {
        expected.insert(200, 1);
    } else if bits % 4 == 3 {
        expected.insert(200, 0);
    }
    let expected: Vec<String> = expected.iter().map(|(n, weight)| format!("{n}={weight}")).collect();
    assert_eq!(w.servers(), expected.join(" "), "seed {seed}, configuration {bits}, up {up:?}");
}
