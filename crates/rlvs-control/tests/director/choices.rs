//! The kernel's recorded choices through the loaded programs: every scheduler, every case.

use crate::compare::{forget_everything, key, obey};
use crate::lab::in_a_namespace;
use crate::run::{Loaded, Programs, Verdict, Way};
use rlvs_control::Balancer;
use rlvs_testkit::choices::{RECORDINGS, Subject, replay};
use rlvs_testkit::order::Key;
use rlvs_testkit::{Order, lab};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};

impl Subject for Loaded<'_> {
    fn obey(&mut self, order: &Order) {
        obey(self.director, order);
    }

    /// A test run ends with a redirection; only the addresses tell where to. Once a second a packet goes through the
    /// kernel's neighbour table, which writes them after the program: then the server tells, whose load grew.
    fn to(&mut self, frame: &[u8]) -> String {
        let at = (frame[23], SocketAddrV4::new(lab::VIP, u16::from_be_bytes([frame[36], frame[37]])));
        let before = self.totals(at);
        let made = self.programs.receive(frame, false);
        let is_error = made.frame.get(23) == Some(&1);
        if made.verdict != Verdict::Sent || is_error {
            return "c".into();
        }
        match lab::server_of(&made.frame) {
            Some(n) if made.frame[..12] != frame[..12] => n.to_string(),
            // A packet of an old connection changes no load; nobody asks where those go.
            _ => self
                .totals(at)
                .into_iter()
                .find(|load| !before.contains(load))
                .map_or(0, |(n, _)| n)
                .to_string(),
        }
    }

    fn loads(&mut self, at: Key) -> BTreeMap<u8, String> {
        let view = self.director.service(&key(at)).expect("the service");
        let load = |d: &rlvs_control::model::DestinationView| {
            let IpAddr::V4(addr) = d.destination.addr else { panic!("IPv4 here") };
            (addr.octets()[3], format!("{}/{}", d.active_connections, d.inactive_connections))
        };
        view.destinations.iter().map(load).collect()
    }

    fn describe(&mut self) -> String {
        format!("{:#?}", self.director.services())
    }
}

impl Loaded<'_> {
    /// Connections of each server.
    fn totals(&mut self, at: Key) -> Vec<(u8, u32)> {
        let sum = |load: &str| load.split('/').map(|n| n.parse::<u32>().unwrap()).sum();
        self.loads(at).into_iter().map(|(n, load)| (n, sum(&load))).collect()
    }
}

/// By the programs of one way.
pub fn every_scheduler(way: Way) {
    in_a_namespace(|director| {
        obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
        let programs = Programs::open(director, way);
        let mut loaded = Loaded { director, programs };
        let mut replayed = 0;
        for json in RECORDINGS {
            forget_everything(loaded.director);
            replay(json, &mut loaded);
            replayed += 1;
        }
        assert_eq!(replayed, 13);
    });
}
