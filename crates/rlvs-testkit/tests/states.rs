//! The kernel's recorded connection states on the host's brain. The clock is virtual, so quarters of an hour take no
//! time.

use rlvs_core::proto;
use rlvs_testkit::states::{Player, Subject, read, replay, replay_listed, rules};
use rlvs_testkit::{Order, Outcome, World, arrive, lab};
use std::net::SocketAddrV4;

struct Host {
    world: World,
    settings: fn(&mut World),
}

impl Host {
    fn new() -> Host {
        Host { world: lab::world(1), settings: |_| () }
    }
}

impl Subject for Host {
    fn begin(&mut self, orders: &[Order]) {
        self.world = lab::world(1);
        orders.iter().for_each(|o| self.world.obey(o));
        (self.settings)(&mut self.world);
    }

    fn wait(&mut self, secs: u32) -> bool {
        self.world.wait_secs(secs);
        true
    }

    fn receive(&mut self, frame: &[u8], from_server: bool) -> bool {
        match arrive(&self.world, if from_server { lab::S0 } else { lab::C0 }, frame) {
            Outcome::Sent(_) => true,
            // What passes is the stack's: a client's packet is answered or dropped there, a server's is routed.
            Outcome::Pass => from_server,
            other => panic!("{other:?}"),
        }
    }

    fn entry(&mut self, protocol: u8, port: u16) -> Option<(String, u32)> {
        let is_it = |e: &rlvs_core::conn::Entry<_, _>| e.client_port().get() == port && e.proto() == protocol;
        let entry = self.world.connections().into_iter().find(is_it)?;
        let name = proto::state_name(protocol, entry.word().state(), false).to_string();
        Some((name, entry.expires_in(self.world.now()) / World::HZ))
    }

    fn loads(&mut self, protocol: u8) -> String {
        let service = SocketAddrV4::new(lab::VIP, if protocol == 17 { 53 } else { 80 });
        let loads = self.world.loads(self.world.dests((protocol, service))[0]);
        format!("{}/{}", loads.active, loads.inactive)
    }

    fn end(&mut self, case: &str) {
        self.world.wait_secs(1200);
        assert_eq!(self.world.connection_count(), 0, "'{case}' leaves something\n{}", self.world);
    }
}

fn all(json: &str, option_of: impl Fn(&str) -> &'static str) {
    replay(json, &mut Host::new(), |case| rules(option_of(case))).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn tcp_states_of_nat() {
    all(include_str!("golden/c3-tcp-nat.json"), |_| "-m");
}

#[test]
fn tcp_states_of_dr() {
    all(include_str!("golden/c3-tcp-dr.json"), |_| "-g");
}

#[test]
fn tcp_states_of_tun() {
    all(include_str!("golden/c3-tcp-tun.json"), |_| "-i");
}

#[test]
fn tcp_states_when_secure() {
    let mut host = Host { settings: |w| w.sysctl("secure_tcp", 3), ..Host::new() };
    let json = include_str!("golden/c3-tcp-nat-secure.json");
    replay(json, &mut host, |_| rules("-m")).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn udp_states() {
    all(include_str!("golden/c3-udp.json"), |case| if case.starts_with("-m") { "-m" } else { "-g" });
}

#[test]
fn a_connection_in_every_state_as_it_is_listed() {
    let wrong = replay_listed(include_str!("golden/c3-lnc.json"), &mut Host::new());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `ipvsadm --set 100 20 30`, and what it means to a connection that was there before.
#[test]
fn timeouts_that_were_set() {
    let recording = read(include_str!("golden/c3-set.json"));
    let set = |world: &mut World, tcp, fin, udp| {
        for (index, secs) in [(proto::tcp::ESTABLISHED, tcp), (proto::tcp::FIN_WAIT, fin)] {
            if secs != 0 {
                world.settings.timeouts[index as usize] = secs * World::HZ;
            }
        }
        if udp != 0 {
            world.settings.timeouts[proto::timeout_index(17, proto::udp::NORMAL)] = udp * World::HZ;
        }
    };
    let mut host = Host::new();
    host.begin(&rules("-m"));
    set(&mut host.world, 100, 20, 30);
    let mut compared = 0;
    for (n, case) in recording.cases.iter().enumerate() {
        let mut player = Player::new(1001 + n as u16);
        for line in &case.moves {
            let (what, seen) = line.split_once(": ").unwrap();
            if what.starts_with("ipvsadm") {
                set(&mut host.world, 50, 0, 0);
                continue;
            }
            let ours = player.play(&mut host, what).expect("the clock is virtual");
            // All cases share one director, so counts are compared elsewhere.
            let (state, secs) = match seen.split(" act/inact").next().unwrap().split_once(' ') {
                Some((state, secs)) => (state, secs.parse::<u32>().unwrap()),
                None => ("none", 0),
            };
            match &ours.entry {
                Some((name, left)) => assert!(name == state && left.abs_diff(secs) <= 1, "{line}: {ours:?}"),
                None => assert!(state == "none" || what.starts_with("w:") && secs <= 1, "{line}: {ours:?}"),
            }
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
}
