//! A director's life, invented from a seed: packets of all kinds from both sides, rules that change, time that goes by.
//! After every few events everything must add up, and when all is over nothing may be left.

use rlvs_core::conn::Entry;
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::tags::tag;
use rlvs_testkit::packet::{ACK, FIN, PSH, RST, SYN, at, checks, sum, tcp, udp};
use rlvs_testkit::random::{Random, with_seeds};
use rlvs_testkit::{Brain, Driver, Loads, Outcome, Sizes, Stack, World, arrive, audit, lab, receive};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};

const DESTS: u32 = 128;

const SERVICES: [Kind; 7] = [
    Kind { service: "-t 10.0.0.100:80", protocol: 6, ports: &[80], port: 80 },
    Kind { service: "-t 10.0.0.100:81", protocol: 6, ports: &[81], port: 81 },
    Kind { service: "-u 10.0.0.100:53", protocol: 17, ports: &[53], port: 53 },
    Kind { service: "-u 10.0.0.100:54", protocol: 17, ports: &[54], port: 54 },
    // All other ports; only a persistent service may have port 0.
    Kind { service: "-t 10.0.0.100:0", protocol: 6, ports: &[90, 91, 92], port: 0 },
    Kind { service: "-f 7", protocol: 6, ports: &[82, 83], port: 0 },
    Kind { service: "--sctp-service 10.0.0.100:5060", protocol: 132, ports: &[5060], port: 5060 },
];

/// A service, and what its clients send.
struct Kind {
    service: &'static str,
    protocol: u8,
    ports: &'static [u16],
    /// As `-r` says it: a server has the service's, since DR and TUN must.
    port: u16,
}

impl Kind {
    fn by_mark(&self) -> bool {
        self.service.starts_with("-f")
    }
}

const SCHEDULERS: [&str; 17] = [
    "rr",
    "wrr",
    "lc",
    "wlc",
    "sed",
    "nq",
    "dh",
    "sh",
    "sh -b sh-fallback,sh-port",
    "mh",
    "mh -b mh-fallback",
    "lblc",
    "lblcr",
    "lblcr",
    "fo",
    "ovf",
    "twos",
];

/// Settings that change in mid-life, and their values.
const SYSCTLS: [(&str, &[u32]); 11] = [
    ("expire_nodest_conn", &[0, 1]),
    ("expire_quiescent_template", &[0, 1]),
    ("drop_entry", &[0, 0, 1, 3]),
    ("drop_packet", &[0, 0, 1, 3]),
    ("secure_tcp", &[0, 1, 3]),
    ("conn_reuse_mode", &[0, 1, 2, 3]),
    ("sloppy_tcp", &[0, 1]),
    ("sloppy_sctp", &[0, 1]),
    ("lblc_expiration", &[5, 60, 86_400]),
    ("lblcr_expiration", &[5, 60, 86_400]),
    ("cache_bypass", &[0, 1]),
];

/// What a service is at the moment.
struct Now {
    scheduler: &'static str,
    /// Number and method of each server.
    servers: Vec<(u8, &'static str)>,
}

struct Life {
    world: World,
    random: Random,
    services: [Option<Now>; SERVICES.len()],
}

impl Life {
    fn new(seed: u64) -> Life {
        let sizes = Sizes { connection_sets: 16, destinations: DESTS as usize, ..Sizes::default() };
        let mut world = lab::sized(sizes, seed);
        world.order("mark 7 6 82\nmark 7 6 83\nsource 10.1.0.254 5000 5003");
        Life { world, random: Random::new(seed), services: Default::default() }
    }

    /// Scheduler, persistence and one-packet scheduling.
    fn describe(&mut self, kind: &Kind) -> (&'static str, String) {
        let scheduler = self.random.of(&SCHEDULERS);
        let mut words = format!("{} -s {scheduler}", kind.service);
        if kind.port == 0 && !kind.by_mark() || self.random.one_in(3) {
            words += &format!(" -p {}", self.random.of(&[3, 20, 100]));
            words += self.random.of(&["", " -M 255.255.255.0", " -M 255.255.255.254"]);
        }
        if kind.protocol == 17 && self.random.one_in(3) {
            words += " -o";
        }
        (scheduler, words)
    }

    fn change_rules(&mut self) {
        if self.random.one_in(6) {
            let (name, values) = self.random.of(&SYSCTLS);
            let value = self.random.of(values);
            return self.world.order(&format!("sysctl {name}={value}"));
        }
        let which = self.random.below(SERVICES.len() as u64) as usize;
        let kind = &SERVICES[which];
        let Some(mut now) = self.services[which].take() else {
            let (scheduler, words) = self.describe(kind);
            self.services[which] = Some(Now { scheduler, servers: Vec::new() });
            return self.world.order(&format!("-A {words}"));
        };
        if self.random.one_in(12) {
            return self.world.order(&format!("-D {}", kind.service));
        }
        if self.random.one_in(8) {
            let (scheduler, words) = self.describe(kind);
            now.scheduler = scheduler;
            self.world.order(&format!("-E {words}"));
        }
        self.change_servers(kind, &mut now);
        self.services[which] = Some(now);
    }

    fn change_servers(&mut self, kind: &Kind, now: &mut Now) {
        let n = 1 + self.random.below(5) as u8;
        let server = format!("{} -r 10.1.0.{n}:{}", kind.service, kind.port);
        let upper = self.random.below(12);
        let detail = format!("-w {} -x {upper} -y {}", self.random.below(4), upper / 2);
        match now.servers.iter().position(|(m, _)| *m == n) {
            None => {
                let method = self.random.of(&["-m", "-g", "-i", "--fullnat"]);
                now.servers.push((n, method));
                self.world.order(&format!("-a {server} {method} {detail}"));
            }
            Some(i) if self.random.one_in(3) => {
                now.servers.remove(i);
                self.world.order(&format!("-d {server}"));
            }
            Some(i) => {
                let method = now.servers[i].1;
                self.world.order(&format!("-e {server} {method} {detail}"));
            }
        }
    }

    fn packet(&mut self) -> (u32, Vec<u8>) {
        let kind = &SERVICES[self.random.below(SERVICES.len() as u64) as usize];
        let client = SocketAddrV4::new(
            Ipv4Addr::new(172, 16, 0, 1 + self.random.below(6) as u8),
            1000 + self.random.below(20) as u16,
        );
        let port = self.random.of(kind.ports);
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
        // INIT, INIT ACK, DATA, COOKIE ECHO, COOKIE ACK, SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE, ABORT
        let chunk = self.random.of(&[1, 1, 1, 2, 0, 10, 11, 7, 8, 14, 6]);
        let data = vec![self.random.number() as u8; self.random.below(40) as usize];
        let make = |from: SocketAddrV4, to: SocketAddrV4| match kind.protocol {
            132 => sctp(from, to, chunk),
            17 => udp(from, to).data(&data).bytes(),
            _ => tcp(from, to, flags).data(&data).bytes(),
        };
        if self.random.one_in(4) {
            let n = 1 + self.random.below(5) as u8;
            // To a client, or to what stands for one.
            let source = SocketAddrV4::new(lab::DIRECTOR_S, 5000 + self.random.below(4) as u16);
            let to = if self.random.one_in(2) { source } else { client };
            return (lab::S0, lab::from_server(n, &make(SocketAddrV4::new(lab::server(n), port), to)));
        }
        // A service by mark is for any address: those are what lblc, lblcr and dh look at.
        let virtual_addr = if kind.by_mark() && self.random.one_in(2) {
            Ipv4Addr::new(10, 9, 0, 1 + self.random.below(5) as u8)
        } else {
            lab::VIP
        };
        (lab::C0, lab::from_client(&make(client, SocketAddrV4::new(virtual_addr, port))))
    }

    /// Sends a packet and checks what can be said of it alone.
    fn traffic(&mut self) {
        let (ifindex, frame) = self.packet();
        let before: HashMap<u32, (Loads, u32)> =
            (0..DESTS).map(|id| (id, (self.world.loads(id), self.world.dest_config(id).weight))).collect();
        let known: HashSet<(u32, u32)> =
            self.world.connections().iter().map(|e| (e.id, e.word().0 >> 24)).collect();
        let outcome = match self.random.below(3) {
            0 => receive::<Stack>(&self.world, 0, ifindex, &frame),
            1 => receive::<Driver>(&self.world, 0, ifindex, &frame),
            _ => arrive(&self.world, ifindex, &frame),
        };
        if let Outcome::Sent(sent) = &outcome {
            let ip = if sent.frame[23] == 4 { 34 } else { 14 };
            // SCTP's own sum covers no address and is left as it came.
            let sums = if sent.frame[ip + 9] == 132 { (true, true) } else { checks(&sent.frame[ip..]) };
            assert_eq!(sums, (true, true), "{sent:?}");
        }
        let sets = Brain::<Stack>::new(&self.world, 0);
        for e in self.world.connections() {
            if known.contains(&(e.id, e.word().0 >> 24)) {
                continue;
            }
            assert!(self.world.dest_config(e.dest()).is_available());
            if e.word().has(Word::SHADOW) {
                continue; // its owner is what is chosen for
            }
            // What a template says counts more than weights and thresholds.
            let template = Entry::linked(&sets, e.control()).filter(|_| !e.word().is_kept());
            if template.is_some_and(|t| known.contains(&(t.id, t.word().0 >> 24))) {
                continue;
            }
            // A new connection. One that it replaced may have freed its server, so only what was free before counts.
            let (loads, weight) = &before[&e.dest()];
            assert!(*weight > 0, "a server of weight 0 got {frame:02x?}\n{}", self.world);
            let freed = loads.total >= self.world.loads(e.dest()).total;
            // lblc does not ask whether the server that has the address already is overloaded; nor does the kernel.
            let stays = loads.mappings > 0 && self.scheduler_of(e.dest()) == Some("lblc");
            assert!(
                !loads.overloaded || freed || stays,
                "an overloaded server got {frame:02x?}\n{}",
                self.world
            );
        }
    }

    fn scheduler_of(&self, dest: u32) -> Option<&'static str> {
        let key = self.world.dest_config(dest).service_key;
        let is_it = |kind: &Kind| match key.protocol {
            0 => kind.by_mark(),
            protocol => !kind.by_mark() && (kind.protocol, kind.port) == (protocol, key.port.get()),
        };
        let which = SERVICES.iter().position(is_it)?;
        self.services[which].as_ref().map(|now| now.scheduler)
    }

    fn audit(&self, when: &str) {
        let wrong = audit(&self.world);
        assert!(wrong.is_empty(), "{when}: {}\n{}", wrong.join("\n"), self.world);
    }
}

/// An SCTP packet with one chunk. Its own checksum is nobody's business here.
fn sctp(from: SocketAddrV4, to: SocketAddrV4, chunk: u8) -> Vec<u8> {
    let mut bytes = udp(from, to).data(&[0, 0, 0, 0, chunk, 0, 0, 4]).bytes();
    bytes[9] = 132;
    bytes[10..12].fill(0);
    bytes[24..28].copy_from_slice(&[0, 0, 0, 1]); // a verification tag where UDP has length and checksum
    let check = !sum(&bytes[..20], 0);
    bytes[10..12].copy_from_slice(&check.to_be_bytes());
    bytes
}

#[test]
fn everything_adds_up_and_nothing_is_left() {
    // Over all lives: kinds of entries that there were, so that a life in which nothing happens is noticed.
    let mut seen = [0u32; 5];
    let counted = std::sync::Mutex::new(&mut seen);
    with_seeds(24, |seed| {
        let mut life = Life::new(seed);
        (0..40).for_each(|_| life.change_rules());
        for event in 0..1500 {
            match life.random.below(40) {
                0 | 1 => life.change_rules(),
                2 => life.world.wait_secs(1 + seed as u32 % 30),
                // Time without the timer: entries are due and still there.
                3 => life.world.advance(World::HZ * 20),
                _ => life.traffic(),
            }
            if event % 16 == 0 {
                life.audit("during the run");
                let mut seen = counted.lock().unwrap_or_else(|broken| broken.into_inner());
                for e in life.world.entries() {
                    let word = e.word();
                    seen[0] += u32::from(!word.is_kept());
                    seen[1] += u32::from(word.has(Word::TEMPLATE));
                    seen[2] += u32::from(word.has(Word::MAPPING));
                    seen[3] += u32::from(e.proto() == 132 && !word.is_kept());
                    seen[4] += u32::from(word.has(Word::TEMPLATE) && e.children() > 0);
                }
            }
        }
        life.audit("at the end");
        life.world.wait_secs(1001);
        life.audit("after all connections expired");
        // What schedulers remember of an address they remember for a day.
        for _ in 0..24 * 60 {
            life.world.advance(60 * World::HZ);
            life.world.sweep();
        }
        life.audit("after everything expired");
        assert_eq!(life.world.connection_count(), 0, "{}", life.world);
        for set in (0..life.world.sets()).filter_map(|i| life.world.set_words(i)) {
            assert!((1..16).all(|way| tag(set, way) == 0), "a way is still taken");
        }
        assert!((0..DESTS).all(|id| {
            let loads = life.world.loads(id);
            Loads { overloaded: false, ..loads } == Loads::default()
        }));
    });
    assert!(std::env::var("RLVS_SEED").is_ok() || seen.iter().all(|n| *n > 200), "{seen:?}");
}

#[test]
fn the_same_seed_is_the_same_life() {
    let run = |seed| {
        let mut life = Life::new(seed);
        (0..40).for_each(|_| life.change_rules());
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
