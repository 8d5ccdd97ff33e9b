//! Who is served by whom: the schedulers seen from the client's side. The orders are those of kernel IPVS, which starts
//! with the server that was added last.

mod common;

use common::{Proto, cluster, ipvsadm, listing, real, serve, tally, within};
use rlvs::lab::client::{self, Connection, Tally};
use rlvs::lab::{Lab, Topology, VIP};
use std::time::Duration;

#[test]
fn rr_takes_turns_from_the_newest() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 5, 2]);
        serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
        assert_eq!(order(&lab, Proto::Tcp, 9), "321321321");
        assert_eq!(order(&lab, Proto::Udp, 9), "321321321");
    });
}

#[test]
fn wrr_serves_exactly_by_weight() {
    within(30, || {
        let lab = cluster(Topology::Dr);
        serve(&lab, Proto::Tcp, 80, "wrr", &[3, 2, 1]);
        serve(&lab, Proto::Udp, 53, "wrr", &[3, 2, 1]);
        // The first pass runs at the lowest weight; then one period is 1 2 1 3 2 1.
        assert_eq!(order(&lab, Proto::Tcp, 15), "321121321121321");
        assert_eq!(order(&lab, Proto::Udp, 15), "321121321121321");
        let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 36)).unwrap();
        assert_eq!(seen, tally([("rs1", 18), ("rs2", 12), ("rs3", 6)]));
    });
}

#[test]
fn lc_prefers_the_server_with_fewer_open_connections() {
    within(30, || {
        for topology in [Topology::Nat, Topology::Dr] {
            let lab = cluster(topology);
            serve(&lab, Proto::Tcp, 80, "lc", &[1, 1, 1]);
            let mut open = hold(&lab, 9);
            assert_eq!(count(&open), tally([("rs1", 3), ("rs2", 3), ("rs3", 3)]));
            // rs2 is relieved of its connections, so the next three are its.
            open.retain(|(name, _)| name != "rs2");
            settle(&lab, 6);
            let more = hold(&lab, 3);
            assert_eq!(count(&more), tally([("rs2", 3)]), "{topology:?}");
        }
    });
}

#[test]
fn wlc_fills_by_weight() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "wlc", &[3, 2, 1]);
        let open = hold(&lab, 12);
        assert_eq!(count(&open), tally([("rs1", 6), ("rs2", 4), ("rs3", 2)]));
        let active: Vec<_> = listing(&lab).iter().map(|line| (line.active, line.inactive)).collect();
        assert_eq!(active, [(6, 0), (4, 0), (2, 0)]);
    });
}

#[test]
fn weight_zero_gets_nothing_new_and_keeps_the_old() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        let mut old = hold(&lab, 3);
        ipvsadm(&lab, &format!("-e -t {VIP}:80 -r {} -m -w 0", real(&lab, 2, 80)));
        let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 8)).unwrap();
        assert_eq!(seen, tally([("rs1", 4), ("rs3", 4)]));
        for (name, connection) in &mut old {
            let again = lab.client().run(|| connection.who()).unwrap();
            assert_eq!(&again, name);
        }
    });
}

#[test]
fn without_a_server_the_client_is_told_at_once() {
    within(30, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, Proto::Tcp, 80, "rr", &[0]);
        serve(&lab, Proto::Udp, 53, "rr", &[]);
        lab.client().run(|| {
            let refusal = client::who(VIP, 80).expect_err("nobody serves");
            assert!(format!("{refusal:#}").contains("refused"), "{refusal:#}");
            let refusal = client::ask(VIP, 53, Duration::from_secs(2)).expect_err("nobody serves");
            assert!(format!("{refusal:#}").contains("refused"), "{refusal:#}");
        });
    });
}

/// The servers' numbers in the order in which they serve new connections.
fn order(lab: &Lab, proto: Proto, requests: usize) -> String {
    let names = lab.client().run(|| match proto {
        Proto::Tcp => client::order_tcp(VIP, 80, requests),
        Proto::Udp => client::order_udp(VIP, 53, requests),
    });
    names.expect("an answer").iter().map(|name| name.trim_start_matches("rs")).collect()
}

/// Opens connections one after the other, and leaves them open.
fn hold(lab: &Lab, connections: usize) -> Vec<(String, Connection)> {
    let one = || {
        let mut connection = Connection::open(VIP, 80)?;
        anyhow::Ok((connection.who()?, connection))
    };
    lab.client().run(|| (0..connections).map(|_| one()).collect::<Result<_, _>>()).expect("a connection")
}

fn count(open: &[(String, Connection)]) -> Tally {
    let mut tally = Tally::new();
    open.iter().for_each(|(name, _)| *tally.entry(name.clone()).or_default() += 1);
    tally
}

/// Waits until the director has seen the connections end.
fn settle(lab: &Lab, active: u32) {
    common::wait_until("the closed connections are inactive", Duration::from_secs(3), || {
        common::connections(lab).0 == active
    });
}
