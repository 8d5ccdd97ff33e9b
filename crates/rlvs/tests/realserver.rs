//! The real server's side: `rlvs realserver up` gives a host the VIP without letting it speak for it, and `down` leaves
//! the host as it was.

mod common;

use common::{Proto, lab, method, real, rlvs, serve, within};
use rlvs::lab::client;
use rlvs::lab::{Host, Lab, Topology, VIP};

const SETTINGS: [&str; 9] = [
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/arp_announce",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/eth0/arp_ignore",
    "net/ipv4/conf/eth0/arp_announce",
    "net/ipv4/conf/eth0/rp_filter",
    "net/ipv4/conf/eth1/arp_ignore",
    "net/ipv4/conf/eth1/arp_announce",
    "net/ipv4/conf/eth1/rp_filter",
];

#[test]
fn down_restores_what_up_found() {
    within(30, || {
        for (topology, tunnel) in [(Topology::Dr, ""), (Topology::Tun, " --tunnel ipip")] {
            let lab = lab(topology);
            let server = lab.server(1);
            server.set_sysctl("net/ipv4/conf/eth1/arp_ignore", "2").unwrap();
            server.set_sysctl("net/ipv4/conf/eth0/rp_filter", "1").unwrap();
            let before = state(server);
            for _ in 0..2 {
                rlvs(server, &format!("realserver up --vip {VIP}{tunnel}"));
            }
            assert!(holds_vip(server));
            assert_ne!(state(server), before);
            rlvs(server, "realserver status");
            for _ in 0..2 {
                rlvs(server, "realserver down");
            }
            assert!(!holds_vip(server));
            assert_eq!(state(server), before);
        }
    });
}

/// Strict reverse path filtering everywhere is what some distributions set; the tunnel's packets come in over another
/// interface than their senders are reached by.
#[test]
fn it_serves_under_strict_reverse_path_filters() {
    within(30, || {
        for (topology, tunnel) in [(Topology::Dr, ""), (Topology::Tun, " --tunnel ipip")] {
            let lab = lab(topology);
            for server in lab.servers() {
                for dev in ["all", "default", "eth0", "eth1"] {
                    server.set_sysctl(&format!("net/ipv4/conf/{dev}/rp_filter"), "1").unwrap();
                }
                rlvs(server, &format!("realserver up --vip {VIP}{tunnel}"));
                lab.at_end(server.name(), &["realserver", "down"]).unwrap();
            }
            lab.at_end("director", &["down"]).unwrap();
            lab.serve_all(&[80], &[]).unwrap();
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            let seen = lab.client().run(|| client::tally_tcp(VIP, 80, 3));
            assert_eq!(seen.unwrap_or_else(|e| panic!("{topology:?}: {e:#}")).len(), 3);
        }
    });
}

/// All servers hold the VIP on a network where the client asks who has it: only the director may answer.
#[test]
fn only_the_director_answers_for_the_vip() {
    within(30, || {
        let lab = lab(Topology::OneArm);
        lab.serve_all(&[80], &[]).unwrap();
        lab.serve("director", &[8080], &[]).unwrap();
        for server in lab.servers() {
            rlvs(server, &format!("realserver up --vip {VIP}"));
        }
        for _ in 0..20 {
            lab.client().flush_neighbour(VIP).unwrap();
            assert_eq!(lab.client().run(|| client::who(VIP, 8080)).unwrap(), "director");
        }
        // Nor does a server make itself known as the VIP's holder by what it sends from it.
        director_of(&lab);
        for _ in 0..6 {
            lab.client().run(|| client::who(VIP, 80)).unwrap();
        }
        assert_eq!(lab.client().run(|| client::who(VIP, 8080)).unwrap(), "director");
    });
}

fn director_of(lab: &Lab) {
    common::ipvsadm(lab, &format!("-A {} -s rr", Proto::Tcp.key(80)));
    for n in 1..=3 {
        common::ipvsadm(lab, &format!("-a {} -r {} {}", Proto::Tcp.key(80), real(lab, n, 80), method(lab)));
    }
    lab.at_end("director", &["down"]).unwrap();
}

fn state(server: &Host) -> Vec<String> {
    SETTINGS.iter().map(|name| server.sysctl(name).unwrap()).collect()
}

/// Whether a socket can be bound to the VIP, as only a holder can.
fn holds_vip(server: &Host) -> bool {
    server.run(|| std::net::UdpSocket::bind((VIP, 0))).is_ok()
}
