//! The kernel's recorded connection states through the loaded programs. Their clock is the kernel's, so a case is replayed up
//! to its first pause; what comes after pauses is replayed on the host.

use crate::compare::{forget_everything, obey};
use crate::lab::in_a_namespace;
use crate::run::{Loaded, Programs, Verdict, Way};
use rlvs_control::Balancer;
use rlvs_control::model::{Protocol, ServiceKey};
use rlvs_testkit::states::{Subject, replay, replay_listed, rules};
use rlvs_testkit::{Order, lab};

impl Subject for Loaded<'_> {
    fn begin(&mut self, orders: &[Order]) {
        forget_everything(self.director);
        orders.iter().for_each(|o| obey(self.director, o));
    }

    fn wait(&mut self, _secs: u32) -> bool {
        false
    }

    fn receive(&mut self, frame: &[u8], from_server: bool) -> bool {
        match self.programs.receive(frame, from_server).verdict {
            Verdict::Sent => true,
            Verdict::Pass => from_server,
            Verdict::Drop => panic!("dropped: {:?}", self.director.status().unwrap().drops),
        }
    }

    fn entry(&mut self, protocol: u8, port: u16) -> Option<(String, u32)> {
        let mut all = self.director.connections().unwrap().into_iter();
        let found = all.find(|c| c.protocol == protocol && c.client_port == port)?;
        Some((found.state.to_string(), found.expires_secs))
    }

    fn loads(&mut self, protocol: u8) -> String {
        let port = if protocol == 17 { 53 } else { 80 };
        let protocol = Protocol::from_number(protocol).expect("TCP or UDP");
        let key = ServiceKey::Address { protocol, addr: lab::VIP.into(), port };
        let server = &self.director.service(&key).unwrap().destinations[0];
        format!("{}/{}", server.active_connections, server.inactive_connections)
    }

    fn end(&mut self, _case: &str) {}

    const NEAR: u32 = 4;
}

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../../../rlvs-testkit/tests/golden/", $name, ".json"))
    };
}

pub fn every_state(way: Way) {
    in_a_namespace(|director| {
        obey(director, &Order::parse("-A -t 10.0.0.100:80 -s rr"));
        let programs = Programs::open(director, way);
        let mut loaded = Loaded { director, programs };
        let secure = |_: &str| [rules("-m"), vec![Order::parse("sysctl secure_tcp=3")]].concat();
        let of_udp = |case: &str| rules(if case.starts_with("-m") { "-m" } else { "-g" });
        let results = [
            replay(recording!("c3-tcp-nat"), &mut loaded, |_| rules("-m")),
            replay(recording!("c3-tcp-dr"), &mut loaded, |_| rules("-g")),
            replay(recording!("c3-tcp-tun"), &mut loaded, |_| rules("-i")),
            replay(recording!("c3-tcp-nat-secure"), &mut loaded, secure),
            replay(recording!("c3-udp"), &mut loaded, of_udp),
        ];
        let wrong: Vec<String> = results.iter().filter_map(|r| r.clone().err()).collect();
        assert!(wrong.is_empty(), "{way:?}\n{}", wrong.join("\n"));
        let compared: usize = results.into_iter().flatten().sum();
        assert!(compared >= 336, "only {compared} moves");
        let wrong = replay_listed(recording!("c3-lnc"), &mut loaded);
        assert!(wrong.is_empty(), "{way:?}\n{}", wrong.join("\n"));
    });
}
