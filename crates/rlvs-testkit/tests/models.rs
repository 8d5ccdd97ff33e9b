//! rr, wrr, lc and wlc against the naive models: random weights, thresholds, rule changes, connections that open,
//! close and expire. Every single choice must be the model's.

use rlvs_testkit::packet::{ACK, FIN, SYN, at, tcp};
use rlvs_testkit::random::{Random, with_seeds};
use rlvs_testkit::reference::{Model, Server};
use rlvs_testkit::{Outcome, Sizes, World, arrive, lab};
use std::net::SocketAddrV4;

const SERVICE: &str = "-t 10.0.0.100:80";

struct Conn {
    client: SocketAddrV4,
    server: u8,
    active: bool,
    /// In seconds of the run.
    expires: u32,
}

struct Run {
    world: World,
    model: Model,
    /// Servers that were deleted while they had connections.
    aside: Vec<Server>,
    conns: Vec<Conn>,
    secs: u32,
    next: u16,
    random: Random,
    history: Vec<String>,
}

impl Run {
    fn new(scheduler: &str, seed: u64) -> Run {
        let mut world = lab::sized(Sizes { connection_sets: 256, ..Sizes::default() }, seed);
        world.order(&format!("-A {SERVICE} -s {scheduler}"));
        Run {
            world,
            model: Model::new(scheduler),
            aside: Vec::new(),
            conns: Vec::new(),
            secs: 0,
            next: 1024,
            random: Random::new(seed),
            history: Vec::new(),
        }
    }

    fn order(&mut self, line: String) {
        self.world.order(&line);
        self.history.push(line);
    }

    fn weight(&mut self) -> u32 {
        let weight = self.random.below(7) as u32;
        if self.random.one_in(4) { weight * 10 } else { weight }
    }

    fn thresholds(&mut self) -> (u32, u32) {
        if !self.random.one_in(3) {
            return (0, 0);
        }
        let upper = 1 + self.random.below(8) as u32;
        let lower = self.random.below(u64::from(upper) + 1) as u32;
        (upper, lower)
    }

    fn change_rules(&mut self) {
        let name = 1 + self.random.below(6) as u8;
        let (weight, (upper, lower)) = (self.weight(), self.thresholds());
        let server = format!("{SERVICE} -r 10.1.0.{name}:80");
        let detail = format!("-g -w {weight} -x {upper} -y {lower}");
        if !self.model.servers.iter().any(|s| s.name == name) {
            let mut server_now = match self.aside.iter().position(|s| s.name == name) {
                Some(at) => self.aside.remove(at),
                None => Server::new(name, weight),
            };
            (server_now.weight, server_now.upper, server_now.lower) = (weight, upper, lower);
            server_now.count_again();
            self.model.add(server_now);
            self.order(format!("-a {server} {detail}"));
        } else if self.random.one_in(3) {
            self.aside.push(self.model.server(name).clone());
            self.model.remove(name);
            self.order(format!("-d {server}"));
        } else {
            self.model.edit(name, weight, upper, lower);
            self.order(format!("-e {server} {detail}"));
        }
    }

    fn send(&self, client: SocketAddrV4, flags: u8) -> Option<u8> {
        let frame = lab::from_client(&tcp(client, at("10.0.0.100:80"), flags).bytes());
        match arrive(&self.world, lab::C0, &frame) {
            Outcome::Sent(sent) => lab::server_of(&sent.frame),
            _ => None,
        }
    }

    fn open(&mut self) {
        let client = SocketAddrV4::new(lab::CLIENT, self.next);
        self.next += 1;
        let (chosen, expected) = (self.send(client, SYN), self.model.pick());
        self.history.push(format!("{client} -> {chosen:?}"));
        assert_eq!(chosen, expected, "\n{}\n{:#?}\n{}", self.history.join("\n"), self.model, self.world);
        let Some(server) = chosen else { return };
        self.send(client, ACK);
        let s = self.model.server(server);
        assert!(s.weight > 0 && !s.overloaded);
        s.active += 1;
        s.count_again();
        self.conns.push(Conn { client, server, active: true, expires: self.secs + 900 });
    }

    fn server(&mut self, name: u8) -> &mut Server {
        match self.aside.iter_mut().find(|s| s.name == name) {
            Some(server) => server,
            None => self.model.server(name),
        }
    }

    fn close(&mut self) {
        let at = self.random.below(self.conns.len() as u64) as usize;
        let (name, client) = (self.conns[at].server, self.conns[at].client);
        // To a server that is gone a packet changes nothing.
        if !self.conns[at].active || self.aside.iter().any(|s| s.name == name) {
            return;
        }
        self.send(client, FIN | ACK);
        self.conns[at].active = false;
        self.conns[at].expires = self.secs + 120;
        let server = self.server(name);
        (server.active, server.inactive) = (server.active - 1, server.inactive + 1);
        server.count_again();
    }

    fn wait(&mut self) {
        let secs = 1 + self.random.below(60) as u32;
        self.world.wait_secs(secs);
        self.secs += secs;
        self.history.push(format!("wait {secs}"));
        let (gone, kept) =
            std::mem::take(&mut self.conns).into_iter().partition(|c: &Conn| c.expires <= self.secs);
        self.conns = kept;
        for conn in gone {
            let server = self.server(conn.server);
            *(if conn.active { &mut server.active } else { &mut server.inactive }) -= 1;
            server.count_again();
        }
    }
}

fn against_the_model(scheduler: &str) {
    with_seeds(30, |seed| {
        let mut run = Run::new(scheduler, seed);
        for _ in 0..400 {
            match run.random.below(20) {
                0 | 1 => (0..1 + run.random.below(4)).for_each(|_| run.change_rules()),
                2 => run.wait(),
                3..=6 if !run.conns.is_empty() => run.close(),
                _ => run.open(),
            }
        }
        assert_eq!(run.world.connection_count() as usize, run.conns.len());
    });
}

#[test]
fn rr_is_its_model() {
    against_the_model("rr");
}

#[test]
fn wrr_is_its_model() {
    against_the_model("wrr");
}

#[test]
fn lc_is_its_model() {
    against_the_model("lc");
}

#[test]
fn wlc_is_its_model() {
    against_the_model("wlc");
}

/// With fixed weights a whole round gives every server exactly its weight.
#[test]
fn wrr_is_exactly_proportional() {
    with_seeds(20, |seed| {
        let mut run = Run::new("wrr", seed);
        let weights: Vec<u32> = (0..5).map(|_| run.random.below(9) as u32).collect();
        for (i, weight) in weights.iter().enumerate() {
            run.order(format!("-a {SERVICE} -r 10.1.0.{}:80 -g -w {weight}", i + 1));
        }
        let divisor = (1..=8).rev().find(|d| weights.iter().all(|w| w % d == 0)).unwrap_or(1);
        let round: u32 = weights.iter().sum::<u32>() / divisor;
        // The first walk may begin at the lowest level; from then on any `round` turns in a row are a round.
        let turns: Vec<Option<u8>> =
            (0..4 * round).map(|i| run.send(SocketAddrV4::new(lab::CLIENT, 2000 + i as u16), SYN)).collect();
        for (i, weight) in weights.iter().enumerate() {
            for part in turns.chunks_exact(round.max(1) as usize) {
                let got = part.iter().filter(|t| **t == Some(i as u8 + 1)).count() as u32;
                assert_eq!(got, weight / divisor, "{weights:?}: {turns:?}");
            }
        }
    });
}
