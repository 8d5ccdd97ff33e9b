//! The kernel's recorded stories through the loaded programs: persistence, quiescent and deleted servers, reuse of ports,
//! marks. Their clock is the kernel's, so a story is told up to its first long pause; the rest is told on the host.

use crate::compare::{forget_everything, key, obey};
use crate::lab::in_a_namespace;
use crate::run::{Loaded, Programs, Verdict, Way};
use rlvs_control::Balancer;
use rlvs_control::model::{ConnectionView, ServiceKey};
use rlvs_testkit::order::Key;
use rlvs_testkit::stories::{RECORDINGS, Server, Subject, Went, read, replay};
use rlvs_testkit::{Order, lab};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// Seconds that a test may sleep at once.
const PATIENCE: u32 = 5;

impl Loaded<'_> {
    /// Packets that each server got.
    fn received(&mut self) -> Vec<((ServiceKey, IpAddr, u16), u64)> {
        let services = self.director.services().unwrap();
        let each = services.into_iter().flat_map(|s| {
            let key = s.service.key;
            s.destinations
                .into_iter()
                .map(move |d| ((key, d.destination.addr, d.destination.port), d.counters.in_packets))
        });
        each.collect()
    }
}

impl Subject for Loaded<'_> {
    fn obey(&mut self, order: &Order) {
        obey(self.director, order);
    }

    fn wait(&mut self, secs: u32) -> bool {
        if secs > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_secs(secs.into()));
        true
    }

    /// A test run ends with a redirection, and where it goes through the kernel's neighbour table no MAC tells where to:
    /// then the server tells, whose count grew.
    fn arrive(&mut self, frame: &[u8], from_server: bool) -> Went {
        let before = self.received();
        let made = self.programs.receive(frame, from_server);
        match made.verdict {
            Verdict::Pass => return Went::Passed,
            Verdict::Drop => return Went::Dropped,
            Verdict::Sent if from_server => return Went::Elsewhere,
            Verdict::Sent => {}
        }
        const ICMP: u8 = 1;
        if made.frame[23] == ICMP {
            return Went::Icmp(made.frame[34], made.frame[35]);
        }
        let after = self.received();
        let (_, addr, _) = after.iter().find(|row| !before.contains(row)).expect("a count that grew").0;
        match addr {
            IpAddr::V4(addr) if (1..=lab::SERVERS).any(|n| lab::server(n) == addr) => {
                Went::To(addr.octets()[3])
            }
            _ => Went::Elsewhere,
        }
    }

    fn connections(&mut self) -> Vec<(u32, String)> {
        let line = |c: &ConnectionView| {
            let protocol = match c.protocol {
                6 => "TCP",
                17 => "UDP",
                _ => "IP",
            };
            let (client, vip, server) = (
                SocketAddr::new(c.client, c.client_port),
                SocketAddr::new(c.virtual_addr, c.virtual_port),
                SocketAddr::new(c.destination, c.destination_port),
            );
            (c.expires_secs, format!("{protocol} {} {client} {vip} {server}", c.state))
        };
        self.director.connections().unwrap().iter().map(line).collect()
    }

    fn server(&mut self, service: Key, at: SocketAddrV4) -> Option<Server> {
        let view = self.director.service(&key(service)).ok()?;
        let is_it = |addr: IpAddr, port: u16| SocketAddr::new(addr, port) == SocketAddr::from(at);
        let d = view.destinations.into_iter().find(|d| is_it(d.destination.addr, d.destination.port))?;
        Some(Server {
            weight: d.destination.weight,
            persistent: d.persistent_connections,
            active: d.active_connections,
            inactive: d.inactive_connections,
        })
    }

    fn describe(&mut self) -> String {
        format!("{:#?}\n{:#?}", self.director.services(), self.director.connections())
    }
}

pub fn every_story(way: Way) {
    in_a_namespace(|director| {
        obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
        let programs = Programs::open(director, way);
        let mut loaded = Loaded { director, programs };
        let mut whole = Vec::new();
        for (name, json) in RECORDINGS {
            println!("{way:?}: {name}");
            forget_everything(loaded.director);
            let (lines, ended) = replay(&read(json), &mut loaded);
            assert!(lines > 5, "{name}: only {lines} lines");
            whole.extend(ended.then_some(name));
        }
        let cut: Vec<&str> =
            RECORDINGS.iter().map(|(name, _)| *name).filter(|name| !whole.contains(name)).collect();
        assert_eq!(cut, ["basic", "template-timer", "udp-sticky"], "stories that were not told to their end");
    });
}
