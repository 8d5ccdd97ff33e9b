//! Where there is no way, the reason says what is in it.

use super::world::{Case, SHORT};
use crate::common::{Proto, cluster, ipvsadm, serve, within};
use rlvs::lab::{Topology, VIP};
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn no_way() {
    within(120, || {
        let lab = cluster(Topology::Tun);
        let case = |method, rip: [u8; 4]| Case::new(method, IpAddr::from(rip));
        let router = "10.2.0.11 is not on the same link: 10.1.0.254 is between";
        case("DR", [10, 2, 0, 11]).fails(&lab, router, "a router between");
        case("DR", [198, 51, 100, 9]).fails(
            &lab,
            "no route to 198.51.100.9: Network is unreachable",
            "no route",
        );
        case("TUN", [198, 51, 100, 9]).fails(
            &lab,
            "no route to 198.51.100.9: Network is unreachable",
            "no route",
        );
        let absent = "nobody answers for 10.1.0.77 on eth1: it is down, or elsewhere";
        case("DR", [10, 1, 0, 77]).fails(&lab, absent, "nobody there");
        // The director itself: nobody forwards, and nobody balances it for a client.
        serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
        let before = ipvsadm(&lab, "-Ln --stats --exact");
        case("DR", [10, 1, 0, 1]).fails(&lab, "refused", "a local server");
        assert_eq!(ipvsadm(&lab, "-Ln --stats --exact"), before);
        let from_vip = format!("type = \"tcp\"\nbindto = \"{}\"", Ipv4Addr::new(10, 9, 9, 9));
        let bound = Case { lines: &from_vip, timeout: SHORT, ..case("TUN", [10, 2, 0, 11]) };
        bound.fails(&lab, "10.9.9.9", "an address of somebody else");
    });
}

/// In a network with one segment the director may have the VIP alone.
#[test]
fn from_a_virtual_address_to_itself() {
    within(60, || {
        let lab = cluster(Topology::OneArm);
        let case = Case::new("DR", lab.server(1).addr());
        case.passes(&lab, "from its other address");
        let lines = "type = \"tcp\"\nfwmark = 7";
        Case { lines, ..case }.passes(&lab, "with a firewall mark");
        let interface =
            Case { lines: "type = \"tcp\"\nbind_if = \"eth0\"", ..Case::new("DR", lab.server(1).addr()) };
        interface.passes(&lab, "by the interface");
        let wrong =
            Case { lines: "type = \"tcp\"\nbind_if = \"eth7\"", ..Case::new("DR", lab.server(1).addr()) };
        wrong.fails(&lab, "bind_if eth7", "an interface that is not there");
        assert_eq!(VIP, Ipv4Addr::new(10, 0, 0, 100));
    });
}
