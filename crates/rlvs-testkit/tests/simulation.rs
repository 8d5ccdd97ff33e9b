//! A director's life, invented from a seed: packets of all kinds from both sides, rules that change, time that goes by.
//! After every few events everything must add up, and when all is over nothing may be left.

use rlvs_core::conn::tags::tag;
use rlvs_core::fwd::Method;
use rlvs_testkit::packet::{ACK, Builder, FIN, PSH, RST, SYN, at, checks, tcp, udp};
use rlvs_testkit::random::{Random, with_seeds};
use rlvs_testkit::{Driver, Loads, Outcome, Sizes, Stack, World, arrive, audit, lab, receive};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

const SERVICES: [&str; 3] = ["-t 10.0.0.100:80", "-t 10.0.0.100:81", "-u 10.0.0.100:53"];

struct Life {
    world: World,
    random: Random,
    /// Servers of each service, as the orders made them: number and method.
    servers: [Vec<(u8, &'static str)>; 3],
    exists: [bool; 3],
}

impl Life {
    fn new(seed: u64) -> Life {
        let sizes = Sizes { connection_sets: 8, ..Sizes::default() };
        Life {
            world: lab::sized(sizes, seed),
            random: Random::new(seed),
            servers: Default::default(),
            exists: [false; 3],
        }
    }

    fn change_rules(&mut self) {
        let which = self.random.below(3) as usize;
        let service = SERVICES[which];
        if !self.exists[which] {
            let scheduler = self.random.of(&["rr", "wrr", "lc", "wlc"]);
            self.exists[which] = true;
            return self.world.order(&format!("-A {service} -s {scheduler}"));
        }
        if self.random.one_in(12) {
            self.exists[which] = false;
            self.servers[which].clear();
            return self.world.order(&format!("-D {service}"));
        }
        let n = 1 + self.random.below(5) as u8;
        let port = service.rsplit(':').next().unwrap();
        let server = format!("{service} -r 10.1.0.{n}:{port}");
        let upper = self.random.below(12);
        let detail = format!("-w {} -x {upper} -y {}", self.random.below(4), upper / 2);
        match self.servers[which].iter().position(|(m, _)| *m == n) {
            None => {
                let method = self.random.of(&["-m", "-g", "-i"]);
                self.servers[which].push((n, method));
                self.world.order(&format!("-a {server} {method} {detail}"));
            }
            Some(i) if self.random.one_in(3) => {
                self.servers[which].remove(i);
                self.world.order(&format!("-d {server}"));
            }
            Some(i) => {
                let method = self.servers[which][i].1;
                self.world.order(&format!("-e {server} {method} {detail}"));
            }
        }
    }

    fn packet(&mut self) -> (u32, Vec<u8>) {
        let client = SocketAddrV4::new(
            Ipv4Addr::new(172, 16, 0, 1 + self.random.below(6) as u8),
            1000 + self.random.below(20) as u16,
        );
        let port = self.random.of(&[80, 80, 80, 81, 53]);
        let flags = self.random.of(&[
            SYN,
            SYN,
            SYN,
            ACK,
            ACK | PSH,
            FIN | ACK,
            FIN,
            RST,
            SYN | ACK,
            PSH,
            SYN | FIN,
            SYN | RST,
        ]);
        let data = vec![self.random.number() as u8; self.random.below(40) as usize];
        let make = |from: SocketAddrV4, to: SocketAddrV4| -> Builder {
            if port == 53 { udp(from, to).data(&data) } else { tcp(from, to, flags).data(&data) }
        };
        if self.random.one_in(4) {
            let n = 1 + self.random.below(5) as u8;
            let packet = make(SocketAddrV4::new(lab::server(n), port), client);
            return (lab::S0, lab::from_server(n, &packet.bytes()));
        }
        (lab::C0, lab::from_client(&make(client, SocketAddrV4::new(lab::VIP, port)).bytes()))
    }

    /// Sends a packet and checks what can be said of it alone.
    fn traffic(&mut self) {
        let (ifindex, frame) = self.packet();
        let before: HashMap<u32, (Loads, u32)> =
            (0..64).map(|id| (id, (self.world.loads(id), self.world.dest_config(id).weight))).collect();
        let known: Vec<(u32, u32)> =
            self.world.connections().iter().map(|e| (e.id, e.word().0 >> 24)).collect();
        let outcome = match self.random.below(3) {
            0 => receive::<Stack>(&self.world, 0, ifindex, &frame),
            1 => receive::<Driver>(&self.world, 0, ifindex, &frame),
            _ => arrive(&self.world, ifindex, &frame),
        };
        if let Outcome::Sent(sent) = &outcome {
            let ipip = sent.frame[23] == 4;
            assert_eq!(checks(&sent.frame[if ipip { 34 } else { 14 }..]), (true, true), "{sent:?}");
        }
        for e in self.world.connections() {
            if known.contains(&(e.id, e.word().0 >> 24)) {
                continue;
            }
            // A new connection. One that it replaced may have freed its server, so only what was free before counts.
            let (loads, weight) = &before[&e.dest()];
            assert!(*weight > 0, "a server of weight 0 got {frame:02x?}\n{}", self.world);
            let freed = loads.total >= self.world.loads(e.dest()).total;
            assert!(!loads.overloaded || freed, "an overloaded server got {frame:02x?}\n{}", self.world);
            assert!(self.world.dest_config(e.dest()).is_available());
            assert!(e.word().method() <= Method::DirectRoute as u8);
        }
    }

    fn audit(&self, when: &str) {
        let wrong = audit(&self.world);
        assert!(wrong.is_empty(), "{when}: {}\n{}", wrong.join("\n"), self.world);
    }
}

#[test]
fn everything_adds_up_and_nothing_is_left() {
    with_seeds(24, |seed| {
        let mut life = Life::new(seed);
        (0..12).for_each(|_| life.change_rules());
        for event in 0..1200 {
            match life.random.below(40) {
                0 => life.change_rules(),
                1 => life.world.wait_secs(1 + seed as u32 % 30),
                // Time without the timer: entries are due and still there.
                2 => life.world.advance(World::HZ * 20),
                _ => life.traffic(),
            }
            if event % 16 == 0 {
                life.audit("during the run");
            }
        }
        life.audit("at the end");
        life.world.wait_secs(901);
        life.audit("after everything expired");
        assert_eq!(life.world.connection_count(), 0, "{}", life.world);
        for set in (0..life.world.sets()).filter_map(|i| life.world.set_words(i)) {
            assert!((1..16).all(|way| tag(set, way) == 0), "a way is still taken");
        }
        assert!((0..64).all(|id| life.world.loads(id).total == 0));
    });
}

#[test]
fn the_same_seed_is_the_same_life() {
    let run = |seed| {
        let mut life = Life::new(seed);
        (0..12).for_each(|_| life.change_rules());
        (0..200).for_each(|_| life.traffic());
        life.world.to_string()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A connection whose first packet XDP passed up and nobody delivered, and one to a server on the director itself,
/// were once kept for ever.
#[test]
fn nothing_lives_on_that_was_not_delivered() {
    let mut world = lab::world(1);
    world.order("-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.99:80 -m");
    world.order("-A -t 10.0.0.100:81 -s lc\n-a -t 10.0.0.100:81 -r 10.0.0.100:81 -g");
    let syn = |to| lab::from_client(&tcp(at("172.16.0.9:1111"), at(to), SYN).bytes());
    assert_eq!(receive::<Driver>(&world, 0, lab::C0, &syn("10.0.0.100:80")), Outcome::Up);
    assert_eq!(arrive(&world, lab::C0, &syn("10.0.0.100:81")), Outcome::Pass);
    let local = world.dests((6, at("10.0.0.100:81")))[0];
    assert_eq!(world.loads(local).active, 1, "the local server has a connection like any other");
    world.wait_secs(3);
    assert_eq!(world.connection_count(), 1, "what was not delivered is gone");
    world.wait_secs(58);
    assert_eq!(world.connection_count(), 0, "{world}");
}

/// A jiffies counter of 32 bits wraps; nobody may notice.
#[test]
fn the_clock_wraps() {
    let mut world = lab::world(1);
    world.order("-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 -m");
    let segment = |flags| lab::from_client(&tcp(at("172.16.0.9:1111"), at("10.0.0.100:80"), flags).bytes());
    let before = world.now();
    for flags in [SYN, ACK] {
        arrive(&world, lab::C0, &segment(flags));
    }
    world.wait_secs(899);
    assert!(world.now() < before, "the clock wrapped meanwhile");
    assert_eq!(world.connection_count(), 1);
    world.wait_secs(1);
    assert_eq!(world.connection_count(), 0);
}
