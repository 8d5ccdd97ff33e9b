//! The daemon is killed, and another one begins.

use super::lab::{Farm, SOON, name, service};
use super::load::Load;
use crate::common::{Serving, listing, wait_until, within};
use rlvs::lab::VIP;
use rlvs::lab::client::Connection;
use std::time::Duration;

/// How many times it is killed, unless [`KILLS`] says otherwise.
const TRIES: u64 = 20;
const KILLS: &str = "RLVS_TEST_KILLS";

/// At any moment, also amid a reload: no request fails, connections live, rules stay, counters go on, and the next daemon
/// is right. The moments come from a seed, which is printed if it fails.
#[test]
fn killed_at_any_moment_it_leaves_the_rules_right() {
    let tries = std::env::var(KILLS).map_or(TRIES, |n| n.parse().expect(KILLS));
    within(120 + 12 * tries, move || {
        let mut killing = Killing::new(std::process::id().into());
        let load = Load::of_requests(killing.farm.lab.client(), VIP, 80);
        (0..tries).for_each(|_| killing.again());
        let served = load.end();
        println!("{tries} kills, {served} requests meanwhile; {} amid a reload", killing.amid_reloads);
        assert!(served as u64 > 10 * tries, "only {served} requests in all that time");
    });
}

/// Services that a reload adds, or removes.
const MORE: usize = 40;

struct Killing {
    farm: Farm,
    dice: u64,
    /// Servers 1 to 3 on port 8000. The first lives through all of it, with one connection.
    up: [bool; 3],
    open: Connection,
    packets: u64,
    /// Whether the configuration has [`MORE`] services.
    more: bool,
    amid_reloads: usize,
}

impl Killing {
    fn new(seed: u64) -> Killing {
        println!("seed {seed}");
        let mut farm = Farm::new();
        farm.write(&text(&farm, false));
        farm.start(&[]);
        wait_until("all up", SOON, || farm.serving(&name()).len() == 3);
        let open = loop {
            let mut connection = farm.lab.client().run(|| Connection::open(VIP, 8000)).unwrap();
            if farm.lab.client().run(|| connection.who()).unwrap() == "rs1" {
                break connection;
            }
        };
        Killing { farm, dice: seed, up: [true; 3], open, packets: 0, more: false, amid_reloads: 0 }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn pause(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.roll(most_ms)));
    }

    fn again(&mut self) {
        match self.roll(3) {
            0 => self.amid_a_reload(),
            1 => {
                let n = 1 + self.roll(2) as usize;
                self.up[n] = !self.up[n];
                if self.up[n] {
                    self.farm.start_server(n + 1)
                } else {
                    self.farm.kill_server(n + 1)
                }
                self.pause(600);
            }
            _ => self.pause(600),
        }
        if self.farm.runs() {
            self.farm.kill();
        }
        self.nothing_is_harmed();
        // Sometimes it is killed again before it is ready.
        if self.roll(3) == 0 {
            self.farm.start_only(&[]);
            self.pause(100);
            self.farm.kill();
        }
        self.farm.start(&[]);
        self.it_is_right();
    }

    /// The next daemon may find the new file, or again the old one.
    fn amid_a_reload(&mut self) {
        self.amid_reloads += 1;
        self.farm.write(&text(&self.farm, !self.more));
        let reload = Serving::start(self.farm.lab.director(), "reload");
        self.pause(150);
        self.farm.kill();
        drop(reload);
        if self.roll(2) == 0 {
            self.more = !self.more;
        } else {
            self.farm.write(&text(&self.farm, self.more));
        }
    }

    /// There is no daemon.
    fn nothing_is_harmed(&mut self) {
        assert!(self.farm.serving(&name()).contains(&"rs1".to_owned()));
        assert_eq!(self.farm.serving(&format!("TCP {VIP}:80")).len(), 3);
        assert_eq!(self.farm.lab.client().run(|| self.open.who()).unwrap(), "rs1");
        let now = self.farm.counters()[&format!("8000 {}:8000", self.farm.lab.server(1).addr())][1];
        assert!(now > self.packets, "counters go on: {now} after {}", self.packets);
        self.packets = now;
    }

    /// There is one again, and it is ready.
    fn it_is_right(&mut self) {
        let more = listing(&self.farm.lab).iter().filter(|line| line.service.contains("198.18.")).count();
        assert_eq!(more, if self.more { MORE } else { 0 }, "as the file says, at once");
        assert_eq!(self.farm.serving(&format!("TCP {VIP}:80")).len(), 3);
        let expected: Vec<String> = (0..3).filter(|n| self.up[*n]).map(|n| format!("rs{}", n + 1)).collect();
        wait_until("the rules", SOON, || self.farm.serving(&name()) == expected);
        let up = self.up;
        wait_until("what it knows", SOON, || {
            let health = self.farm.try_health().unwrap_or_default();
            (0..3).all(|n| health["services"][0]["servers"][n]["up"] == up[n])
        });
        assert_eq!(self.farm.lab.client().run(|| self.open.who()).unwrap(), "rs1");
    }
}

/// The service whose servers come and go, one whose servers stay, and perhaps more.
fn text(farm: &Farm, more: bool) -> String {
    let changing = service(farm, "", "TCP_CHECK {\n}");
    let steady = changing.replace(" 8000 {", " 80 {");
    let first = farm.lab.server(1).addr();
    let others = (1..=if more { MORE } else { 0 }).map(|n| {
        format!("virtual_server 198.18.0.{n} 80 {{\nprotocol TCP\nreal_server {first} 80 {{\nTCP_CHECK {{\n}}\n}}\n}}\n")
    });
    changing + &steady + &others.collect::<String>()
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
