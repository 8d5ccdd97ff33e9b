//! The kernel's recorded choices through the loaded programs: every scheduler, every case.

use crate::compare::{forget_everything, key, obey};
use crate::lab::in_a_namespace;
use crate::run::{Programs, Verdict, Way};
use rlvs_control::{Balancer, Director};
use rlvs_testkit::choices::{RECORDINGS, Subject, replay};
use rlvs_testkit::order::Key;
use rlvs_testkit::{Order, lab};
use std::collections::BTreeMap;
use std::net::IpAddr;

struct Loaded<'d> {
    director: &'d mut Director,
    programs: Programs,
}

impl Subject for Loaded<'_> {
    fn obey(&mut self, order: &Order) {
        obey(self.director, order);
    }

    /// A test run ends with a redirection; only the addresses tell where to. Once a second a packet goes through the
    /// kernel's neighbour table, which writes them after the program: then the connection tells.
    fn to(&mut self, frame: &[u8]) -> String {
        let made = self.programs.receive(frame, false);
        if made.verdict != Verdict::Sent {
            return "c".into();
        }
        if made.frame[23] == 1 {
            return "c".into(); // an ICMP error to the client
        }
        match lab::server_of(&made.frame) {
            Some(n) if made.frame[..12] != frame[..12] => n.to_string(),
            _ => self.server_of_connection(frame),
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
    fn server_of_connection(&mut self, frame: &[u8]) -> String {
        let be16 = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let client = IpAddr::from([frame[26], frame[27], frame[28], frame[29]]);
        let (client_port, virtual_port) = (be16(34), be16(36));
        let found = self.director.connections().expect("the connections").into_iter().find(|c| {
            (c.client, c.client_port, c.virtual_port, c.protocol)
                == (client, client_port, virtual_port, frame[23])
        });
        let IpAddr::V4(addr) = found.expect("the packet's connection").destination else {
            panic!("IPv4 here")
        };
        addr.octets()[3].to_string()
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
