//! What is wrong with a real server in the eyes of clients only: each fault is found through the virtual address, and an
//! ordinary check of the same server passes.

use super::world::{Case, SHORT};
use crate::common::{cluster, ipvsadm, lab, rlvs, within};
use rlvs::lab::{Host, Lab, Topology, VIP, VIP6, plan};

/// Another address than that of the service.
const OTHER: &str = "10.0.0.101";

/// Leaves nothing of what was there, and makes it a server like this.
fn make(server: &Host, how: &str) {
    rlvs(server, "realserver down");
    if !how.is_empty() {
        rlvs(server, &format!("realserver up {how}"));
    }
}

/// A server with this fault, and what is said about it.
fn faulty(lab: &Lab, method: &str, how: &str, words: &str) {
    let server = lab.server(2);
    make(server, how);
    let ordinary = Case { via: "rip", ..Case::new(method, server.addr()) };
    ordinary.passes(lab, how);
    Case { timeout: SHORT, ..Case::new(method, server.addr()) }.fails(lab, words, how);
}

#[test]
fn direct_routing() {
    within(120, || {
        let lab = cluster(Topology::Dr);
        let good = lab.server(1).addr();
        Case::new("DR", good).passes(&lab, "a good server");
        faulty(&lab, "DR", "", "does 10.1.0.12 have 10.0.0.100 on lo?");
        faulty(&lab, "DR", &format!("--vip {OTHER}"), "nothing within 1.5s");
        Case { port: 8099, ..Case::new("DR", good) }.fails(&lab, "refused", "a closed port");
        // Now it is well again.
        make(lab.server(2), &format!("--vip {VIP}"));
        Case::new("DR", lab.server(2).addr()).passes(&lab, "a server that was repaired");
    });
}

/// It would send the packet on to who has the VIP, which is the director: that must not take it for a client's.
#[test]
fn a_server_that_forwards_does_not_send_the_probe_back_to_us() {
    within(120, || {
        let lab = cluster(Topology::Dr);
        ipvsadm(&lab, &format!("-A -t {VIP}:80 -s rr"));
        ipvsadm(&lab, &format!("-a -t {VIP}:80 -r {} -g", lab.server(1).addr()));
        let server = lab.server(2);
        make(server, "");
        server.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
        let before = ipvsadm(&lab, "-Ln --stats --exact");
        let words = "10.1.0.12 hands it on instead of taking it: it does not have 10.0.0.100 on lo";
        Case::new("DR", server.addr()).fails(&lab, words, "a server that forwards");
        assert_eq!(ipvsadm(&lab, "-Ln --stats --exact"), before);
    });
}

#[test]
fn tunnels() {
    within(240, || {
        let lab = cluster(Topology::Tun);
        for (method, tunnel) in [
            ("TUN", "ipip"),
            ("TUN type gre", "gre"),
            ("TUN type gre csum", "gre"),
            ("TUN type gue port 6080", "gue:6080"),
            ("TUN type gue port 6080 remcsum", "gue:6080"),
        ] {
            let good = lab.server(1);
            make(good, &format!("--vip {VIP} --tunnel {tunnel}"));
            Case::new(method, good.addr()).passes(&lab, "a good server");
            Case { port: 8099, ..Case::new(method, good.addr()) }.fails(&lab, "refused", "a closed port");
            faulty(&lab, method, "", "");
            // Nobody there takes it out of the tunnel: the kernel says so.
            let words = format!("10.2.0.12 does not take {method} packets to {VIP} out of their tunnel");
            faulty(&lab, method, &format!("--vip {VIP}"), &words);
            let another = if tunnel == "gre" { "gue:6080" } else { "gre" };
            faulty(&lab, method, &format!("--vip {VIP} --tunnel {another}"), &words);
            // Our program leaves packets to other addresses alone, so that the kernel says the same; its own device takes them,
            // and nobody says anything. Both reasons name the address.
            faulty(&lab, method, &format!("--vip {OTHER} --tunnel {tunnel}"), "10.0.0.100 o");
        }
    });
}

/// The servers' default route is the director; without it, no client gets an answer.
#[test]
fn masquerading() {
    within(120, || {
        let lab = cluster(Topology::Nat);
        let (good, other) = (lab.server(1), lab.server(2));
        Case::new("NAT", good.addr()).passes(&lab, "a good server");
        Case { port: 8099, ..Case::new("NAT", good.addr()) }.fails(&lab, "refused", "a closed port");
        Case::new("FULLNAT", good.addr()).passes(&lab, "a good server");
        Case { port: 8099, ..Case::new("FULLNAT", good.addr()) }.fails(&lab, "refused", "a closed port");
        other.set_link("eth0", false).unwrap();
        other.set_link("eth0", true).unwrap();
        let case = Case { timeout: SHORT, ..Case::new("NAT", other.addr()) };
        Case { via: "rip", timeout: super::world::PATIENT, ..Case::new("NAT", other.addr()) }
            .passes(&lab, "no default route");
        case.fails(&lab, "do its answers to 10.0.0.100 come back by this director?", "no default route");
        other.add_default_route(std::net::Ipv4Addr::new(10, 1, 0, 1)).unwrap();
        Case::new("NAT", other.addr()).passes(&lab, "a server that was repaired");
    });
}

#[test]
fn ipv6() {
    within(120, || {
        let lab = lab(Topology::Dr);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        lab.serve_all(&[80], &[53]).unwrap();
        rlvs(lab.server(1), &format!("realserver up --vip {VIP6}"));
        lab.at_end("rs1", &["realserver", "down"]).unwrap();
        let case = |n: usize| Case { vip: VIP6.into(), ..Case::new("DR", plan::six(lab.server(n).addr())) };
        case(1).passes(&lab, "a good server");
        Case { port: 8099, ..case(1) }.fails(&lab, "refused", "a closed port");
        let udp = "type = \"udp\"\nrequire_reply = \"\"";
        Case { port: 53, lines: udp, ..case(1) }.passes(&lab, "datagrams");
        Case { timeout: SHORT, ..case(2) }.fails(&lab, "does fd00:1::c have fd00::64 on lo?", "no VIP");
        Case { via: "rip", ..case(2) }.passes(&lab, "no VIP");
    });
}

#[test]
fn datagrams() {
    within(120, || {
        let lab = cluster(Topology::Dr);
        let udp = "type = \"udp\"\nrequire_reply = \"\"\nmax_reply_length = 2000";
        let good = Case { port: 53, lines: udp, ..Case::new("DR", lab.server(1).addr()) };
        good.passes(&lab, "a good server");
        Case { port: 8099, ..good }.fails(&lab, "port unreachable", "a closed port");
        let silent = Case { port: 8099, lines: "type = \"udp\"", ..Case::new("DR", lab.server(1).addr()) };
        silent.fails(&lab, "port unreachable", "a closed port, no reply required");
        make(lab.server(2), "");
        let bad = Case { port: 53, lines: udp, timeout: SHORT, ..Case::new("DR", lab.server(2).addr()) };
        bad.fails(&lab, "the reply: nothing within", "no VIP");
    });
}
