//! A thousand probes, and the director's tables are what they were.

use super::world::Case;
use crate::common::{Proto, attach, cluster, ipvsadm, rlvs, serve, wait_until, within};
use rlvs::lab::client::{self, Connection};
use rlvs::lab::{Lab, Topology, VIP};
use rlvs_daemon::machine::Outcome;
use std::time::{Duration, Instant};

/// Everything that a probe could disturb: counters, connections (but for the time they have left), reasons of drops.
fn tables(lab: &Lab) -> [String; 4] {
    let connections = ipvsadm(lab, "-Lnc");
    let timeless = |line: &str| {
        line.split_whitespace()
            .enumerate()
            .filter(|(n, _)| *n != 1)
            .map(|(_, word)| word)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut connections: Vec<String> = connections.lines().map(timeless).collect();
    connections.sort();
    let status: serde_json::Value =
        serde_json::from_str(&rlvs(lab.director(), "status --json")).expect("JSON");
    [
        ipvsadm(lab, "-Ln --stats --exact"),
        ipvsadm(lab, "-Ln"),
        connections.join("\n"),
        status["drops"].to_string(),
    ]
}

#[test]
fn a_thousand_probes_change_nothing() {
    within(300, || {
        for (topology, method, mode) in [
            (Topology::Dr, "DR", "tc"),
            (Topology::Dr, "DR", "skb"),
            (Topology::Tun, "TUN", "tc"),
            (Topology::Nat, "NAT", "tc"),
        ] {
            let lab = cluster(topology);
            attach(&lab, mode);
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
            // Something is there: six connections, one of which stays.
            let mut open = lab.client().run(|| {
                client::tally_tcp(VIP, 80, 5).expect("requests");
                Connection::open(VIP, 80).expect("a connection")
            });
            lab.client().run(|| open.who()).expect("who");
            // Their last packets may still be under way.
            let mut before = tables(&lab);
            wait_until("quiet", Duration::from_secs(20), || {
                std::thread::sleep(Duration::from_millis(300));
                let now = tables(&lab);
                std::mem::replace(&mut before, now.clone()) == now
            });
            let began = Instant::now();
            let tcp = Case::new(method, lab.server(1).addr());
            let outcomes = tcp.run_often(&lab, 900, 30);
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Passed), "{method}: {outcomes:?}");
            let lines = "type = \"udp\"\nrequire_reply = \"\"\nmax_reply_length = 2000";
            let udp = Case { port: 53, lines, ..Case::new(method, lab.server(2).addr()) };
            let outcomes = udp.run_often(&lab, 100, 10);
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Passed), "{method}: {outcomes:?}");
            println!("{method} by {mode}: a thousand probes in {:?}", began.elapsed());
            assert_eq!(tables(&lab), before, "{method} {mode}");
            // The one that stayed never noticed, and the next server is the one it was to be.
            let who = lab.client().run(|| open.who()).expect("who");
            assert!(who.starts_with("rs"), "{who}");
        }
    });
}
