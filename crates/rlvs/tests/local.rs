//! Clients on the director itself: by NAT and FULLNAT, TCP and UDP, IPv4 and IPv6; and loopback traffic that is nobody's.

mod common;

use common::{MB, cluster, ipvsadm, real, rlvs, tally, within};
use rlvs::lab::client;
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn serve(lab: &Lab, method: &str) {
    ipvsadm(lab, "-C");
    for (key, port) in [("-t", 80), ("-u", 53)] {
        ipvsadm(lab, &format!("-A {key} {VIP}:{port} -s rr"));
        for n in 1..=3 {
            ipvsadm(lab, &format!("-a {key} {VIP}:{port} -r {} {method}", real(lab, n, port)));
        }
    }
}

#[test]
fn reach_the_service_like_others() {
    within(60, || {
        for method in ["-m", "--fullnat"] {
            // Each in a lab of its own: a datagram from a port that was used before would go where that connection goes.
            let lab = cluster(Topology::Nat);
            serve(&lab, method);
            for host in [lab.director(), lab.client()] {
                host.run(|| {
                    let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
                    assert_eq!(client::tally_tcp(VIP, 80, 12).expect("requests"), each, "{method}");
                    assert_eq!(client::tally_udp(VIP, 53, 12).expect("datagrams"), each, "{method}");
                    client::download(VIP, 80, 20 * MB).expect("download");
                    client::upload(VIP, 80, 20 * MB).expect("upload");
                });
            }
            assert!(rlvs(lab.director(), "status").contains("loopback: for clients on this machine"));
        }
    });
}

#[test]
fn by_ipv6_too() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        for method in ["-m", "--fullnat"] {
            ipvsadm(&lab, "-C");
            ipvsadm(&lab, &format!("-A -t [{VIP6}]:80 -s rr"));
            for server in lab.servers() {
                ipvsadm(&lab, &format!("-a -t [{VIP6}]:80 -r [{}]:80 {method}", plan::six(server.addr())));
            }
            lab.director().run(|| {
                let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
                assert_eq!(client::tally_tcp(VIP6, 80, 12).expect("requests"), each, "{method}");
                client::upload(VIP6, 80, 10 * MB).expect("upload");
            });
        }
    });
}

/// A real server that is a client of its own service: with FULLNAT it may be given to itself.
#[test]
fn on_a_real_server() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, "--fullnat");
        let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
        let seen = lab.server(2).run(|| client::tally_tcp(VIP, 80, 12).expect("requests"));
        assert_eq!(seen, each);
    });
}

/// What goes through the loopback device and is no service's is left alone, also on the virtual address.
#[test]
fn other_loopback_traffic_passes() {
    within(60, || {
        let lab = cluster(Topology::Nat);
        serve(&lab, "-m");
        lab.director().run(|| {
            for addr in ["127.0.0.1".to_owned(), VIP.to_string()] {
                let listener = TcpListener::bind((addr.as_str(), 0)).expect("a port");
                let at = listener.local_addr().expect("an address");
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut stream = listener.accept().expect("a connection").0;
                        stream.write_all(&vec![7; 3_000_000]).expect("sent");
                    });
                    let mut read = Vec::new();
                    TcpStream::connect(at).expect("a connection").read_to_end(&mut read).expect("read");
                    assert_eq!(read, vec![7; 3_000_000], "{addr}");
                });
            }
        });
    });
}
