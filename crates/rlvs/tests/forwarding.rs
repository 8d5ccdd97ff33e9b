//! Real TCP and UDP through every way of forwarding, carried by every way of attaching the programs, with the network
//! cards' offloads as the kernel sets them: an ordinary HTTP client, 100 MB down and 100 MB up with their SHA-256
//! compared, datagrams with their echo.

mod common;

use common::mtu::{full_segment, path_mtu};
use common::{MB, Proto, attach, cluster, serve, tally, within};
use rlvs::lab::client::{self, Asker};
use rlvs::lab::{Lab, Topology, VIP};
use std::io::Read;
use std::time::Duration;

macro_rules! through {
    ($($name:ident: $topology:ident, $mode:literal;)*) => {
        $(#[test]
        fn $name() {
            within(60, || traffic_flows(Topology::$topology, $mode));
        })*
    };
}

through! {
    nat_by_xdp: Nat, "xdp";
    nat_by_generic_xdp: Nat, "skb";
    nat_by_tc: Nat, "tc";
    dr_by_xdp: Dr, "xdp";
    dr_by_generic_xdp: Dr, "skb";
    dr_by_tc: Dr, "tc";
    tun_by_xdp: Tun, "xdp";
    tun_by_generic_xdp: Tun, "skb";
    tun_by_tc: Tun, "tc";
    one_armed_dr_by_xdp: OneArm, "xdp";
    one_armed_dr_by_generic_xdp: OneArm, "skb";
    one_armed_dr_by_tc: OneArm, "tc";
}

fn traffic_flows(topology: Topology, mode: &str) {
    let lab = cluster(topology);
    attach(&lab, mode);
    everything_through(&lab);
}

fn everything_through(lab: &Lab) {
    serve(lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
    serve(lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
    http_requests(lab);
    datagrams(lab);
    lab.client().run(|| {
        client::download(VIP, 80, 100 * MB).expect("download");
        client::upload(VIP, 80, 100 * MB).expect("upload");
    });
    large_datagrams(lab);
}

/// With the kernel's offloads XDP leaves to TC what it cannot finish, which between namespaces is nearly everything. On
/// links like those of real cards it finishes packets itself: the same traffic, and the driver counts who sent it on.
/// (Not one-armed: a veth takes back what came from it only from a peer that runs XDP too.)
#[test]
fn xdp_finishes_packets_as_cards_deliver_them() {
    within(120, || {
        for topology in [Topology::Nat, Topology::Dr, Topology::Tun] {
            let lab = Lab::builder(topology).as_on_a_wire().program(common::RLVS).build().unwrap();
            let lab = common::ready(lab);
            for device in lab.director().devices() {
                common::rlvs(lab.director(), &format!("attach {device} --mode xdp --xdp-redirect on"));
            }
            everything_through(&lab);
            let counters = lab.director().driver_counters("eth0").unwrap();
            let count = |what: &str| -> u64 {
                counters
                    .iter()
                    .filter(|(name, _)| name.starts_with("rx") && name.ends_with(what))
                    .map(|(_, n)| n)
                    .sum()
            };
            let (sent_on, seen) = (count("xdp_redirect") + count("xdp_tx"), count("xdp_packets"));
            assert!(
                sent_on > 10_000 && sent_on * 10 > seen * 9,
                "{topology:?}: {sent_on} of {seen}: {counters:?}"
            );
            assert_eq!(count("xdp_tx_errors") + count("xdp_drops"), 0, "{topology:?}: {counters:?}");
        }
    });
}

/// An HTTP client that was not written for this: new connections, and several requests on one.
fn http_requests(lab: &Lab) {
    let seen = lab.client().run(|| {
        let config = || ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        let get = |agent: &ureq::Agent| {
            let mut answer = agent.get(format!("http://{VIP}/")).call().expect("GET /");
            answer.body_mut().read_to_string().expect("a body").trim().to_owned()
        };
        let mut seen = client::Tally::new();
        for _ in 0..12 {
            let fresh: ureq::Agent = config().max_idle_connections(0).build().into();
            *seen.entry(get(&fresh)).or_default() += 1;
        }
        let keeping: ureq::Agent = config().build().into();
        let first = get(&keeping);
        assert!((0..5).all(|_| get(&keeping) == first), "one connection, one server");
        let mut answer = keeping.get(format!("http://{VIP}/bytes/{MB}")).call().expect("GET /bytes");
        let mut body = vec![];
        answer.body_mut().as_reader().read_to_end(&mut body).expect("a body");
        assert_eq!(body.len(), MB as usize);
        seen
    });
    assert_eq!(seen, tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]));
}

/// Small and large datagrams (up to one that just fits), each flow with one server.
fn datagrams(lab: &Lab) {
    let mut seen = client::Tally::new();
    let limit = Duration::from_secs(5);
    // All at the same time: the kernel might give a port that is free again to the next one.
    let askers: Vec<Asker> =
        lab.client().run(|| (0..6).map(|_| Asker::open(VIP, 53).expect("a socket")).collect());
    for (flow, asker) in askers.iter().enumerate() {
        let name = lab.client().run(|| {
            let name = asker.ask("", limit).expect("an empty datagram");
            for size in [1, 17, 100, 1000, 1400] {
                let text: String = ('a'..='z').cycle().skip(flow).take(size).collect();
                assert_eq!(asker.ask(&text, limit).expect("an echo"), name, "one flow, one server");
            }
            name
        });
        *seen.entry(name).or_default() += 1;
    }
    assert_eq!(seen, tally([("rs1", 2), ("rs2", 2), ("rs3", 2)]));
}

/// 20 KB that come and go in fragments.
fn large_datagrams(lab: &Lab) {
    let limit = Duration::from_secs(5);
    lab.client().run(|| {
        full_segment(VIP, 80);
        let asker = Asker::open(VIP, 53).expect("a socket");
        let name = asker.ask("", limit).expect("an empty datagram");
        for size in [1_473, 3_000, 20_000] {
            let text: String = ('a'..='z').cycle().take(size).collect();
            assert_eq!(asker.ask(&text, limit).expect("an echo"), name, "one flow, one server");
        }
    });
}

/// The tunnel's header takes 20 bytes from every packet. The director says so to the client (fragmentation needed), which
/// then sends smaller segments; an upload that had to rely on anything else would hang.
#[test]
fn the_client_learns_the_tunnels_mtu() {
    within(60, || {
        let lab = cluster(Topology::Tun);
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        lab.client().run(|| {
            assert_eq!(path_mtu(VIP), 1500);
            full_segment(VIP, 80);
            client::upload(VIP, 80, 10 * MB).expect("upload");
            assert_eq!(path_mtu(VIP), 1480);
        });
    });
}
