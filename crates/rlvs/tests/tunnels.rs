//! Rules of tunnels: every kind, and real servers of another family than the service, set, listed, saved and restored; real
//! traffic through GRE and GUE. (What tunnels make of packets is held against the kernel's recordings in `rlvs-control/tests/director`.)

mod common;

use common::{MB, RLVS, attach, cluster, ipvsadm, ipvsadm_with, lab, real, rlvs, tally, try_as, within};
use rlvs::lab::client::{self, Asker};
use rlvs::lab::{Lab, Topology, VIP};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::time::Duration;

const RULES: [&str; 8] = [
    "-A -t 10.0.0.1:80 -s rr",
    "-a -t 10.0.0.1:80 -r 10.1.0.11:80 -i -w 1 --tun-type gre --tun-nocsum",
    "-a -t 10.0.0.1:80 -r 10.1.0.12:80 -i -w 2 --tun-type gue --tun-port 6080 --tun-remcsum",
    "-a -t 10.0.0.1:80 -r [2001:db8::1]:80 -i -w 1 --tun-type ipip",
    "-A -t [2001:db8::80]:80 -s rr",
    "-a -t [2001:db8::80]:80 -r 10.1.0.11:80 -i -w 1 --tun-type gre --tun-csum",
    "-a -t [2001:db8::80]:80 -r [2001:db8::1]:80 -i -w 1 --tun-type ipip",
    "-a -t [2001:db8::80]:80 -r [2001:db8::2]:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum",
];

const LISTED: [&str; 8] = [
    "TCP  10.0.0.1:80 rr",
    "  -> 10.1.0.11:80                 Tunnel  gre:-c        1      0          0         ",
    "  -> 10.1.0.12:80                 Tunnel  gue:6080:r+c  2      0          0         ",
    "  -> [2001:db8::1]:80             Tunnel  ipip          1      0          0         ",
    "TCP  [2001:db8::80]:80 rr",
    "  -> 10.1.0.11:80                 Tunnel  gre:+c        1      0          0         ",
    "  -> [2001:db8::1]:80             Tunnel  ipip          1      0          0         ",
    "  -> [2001:db8::2]:80             Tunnel  gue:6081:+c   1      0          0         ",
];

#[test]
fn every_kind_is_listed_saved_and_restored() {
    within(60, || {
        let lab = lab(Topology::Dr);
        for rule in RULES {
            ipvsadm(&lab, rule);
        }
        let listed = ipvsadm(&lab, "-Ln --tun-info");
        assert_eq!(listed.lines().skip(3).collect::<Vec<_>>(), LISTED);
        let saved = ipvsadm(&lab, "-S -n");
        assert_eq!(saved.lines().collect::<Vec<_>>(), RULES);
        ipvsadm(&lab, "-C");
        ipvsadm_with(&lab, "-R", &saved);
        assert_eq!(ipvsadm(&lab, "-S -n"), saved);
    });
}

#[test]
fn a_server_is_found_by_its_family_too() {
    within(60, || {
        let lab = lab(Topology::Dr);
        // The first word of the IPv6 address is the IPv4 address.
        ipvsadm(&lab, "-A -t 10.0.0.1:80 -s rr");
        ipvsadm(&lab, "-a -t 10.0.0.1:80 -r 32.1.13.184:80 -i");
        ipvsadm(&lab, "-a -t 10.0.0.1:80 -r [2001:db8::]:80 -i -w 7");
        ipvsadm(&lab, "-d -t 10.0.0.1:80 -r 32.1.13.184:80");
        let left = "-a -t 10.0.0.1:80 -r [2001:db8::]:80 -i -w 7 --tun-type ipip";
        assert_eq!(ipvsadm(&lab, "-S -n").lines().nth(1), Some(left));
        let refused = try_as(lab.director(), "ipvsadm", "-a -t 10.0.0.1:80 -r [2001:db8::2]:80 -m", "");
        assert!(!refused.status.success());
    });
}

/// The real servers take the headers off; uploads learn the tunnel's MTU.
#[test]
fn traffic_through_gre_and_gue() {
    const KINDS: [(&str, &str); 4] = [
        ("gre", "--tun-type gre --tun-nocsum"),
        ("gre", "--tun-type gre --tun-csum"),
        ("gue:6080", "--tun-type gue --tun-port 6080 --tun-nocsum"),
        ("gue:6080", "--tun-type gue --tun-port 6080 --tun-csum"),
    ];
    within(120, || {
        for mode in ["tc", "skb"] {
            let lab = cluster(Topology::Tun);
            attach(&lab, mode);
            for (tunnel, options) in KINDS {
                for server in lab.servers() {
                    rlvs(server, "realserver down");
                    rlvs(server, &format!("realserver up --vip {VIP} --tunnel {tunnel} --decap ebpf"));
                }
                ipvsadm(&lab, "-C");
                for (key, port) in [("-t", 80), ("-u", 53)] {
                    ipvsadm(&lab, &format!("-A {key} {VIP}:{port} -s rr"));
                    for n in 1..=3 {
                        let server = real(&lab, n, port);
                        ipvsadm(&lab, &format!("-a {key} {VIP}:{port} -r {server} -i {options}"));
                    }
                }
                lab.client().run(|| {
                    let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
                    assert_eq!(client::tally_tcp(VIP, 80, 12).expect("requests"), each, "{mode} {options}");
                    client::download(VIP, 80, 10 * MB).expect("download");
                    client::upload(VIP, 80, 10 * MB).unwrap_or_else(|e| panic!("{mode} {options}: {e}"));
                    let asker = Asker::open(VIP, 53).expect("a socket");
                    let text = "x".repeat(1000);
                    asker.ask(&text, Duration::from_secs(5)).expect("an echo");
                });
                let taken = rlvs(lab.servers().next().expect("a server"), "realserver status");
                assert!(taken.contains(&format!("{tunnel} by our program")), "{taken}");
            }
        }
    });
}

/// The way to the servers takes less than the director's own link: the router there tells the director, and that the client.
#[test]
fn a_smaller_mtu_on_the_way_to_the_servers() {
    within(60, || {
        for mode in ["tc", "skb"] {
            let lab = cluster(Topology::Tun);
            attach(&lab, mode);
            lab.host("router").set_mtu("eth1", 1400).expect("an MTU");
            ipvsadm(&lab, &format!("-A -t {VIP}:80 -s rr"));
            ipvsadm(&lab, &format!("-a -t {VIP}:80 -r {} -i", real(&lab, 1, 80)));
            lab.client().run(|| {
                client::upload(VIP, 80, 20 * MB).expect("upload");
                client::download(VIP, 80, 20 * MB).expect("download");
            });
        }
    });
}

/// Packets that are a little too long for the tunnel, with pmtu_disc=0: the last piece has a few bytes. The server's kernel
/// puts the outer packets together before a raw socket sees them.
#[test]
fn pieces_of_any_length() {
    within(60, || {
        // (A checksum that is left to hardware forbids to cut a packet up.)
        let lab = Lab::builder(Topology::Tun).as_on_a_wire().program(RLVS).build().expect("a lab");
        ipvsadm(&lab, &format!("-A -u {VIP}:53 -s rr"));
        ipvsadm(&lab, &format!("-a -u {VIP}:53 -r {} -i", real(&lab, 1, 53)));
        rlvs(lab.director(), "sysctl pmtu_disc=0");
        let server = lab.server(1).run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(4))));
        let server = server.expect("a raw socket");
        server.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        lab.client().run(|| {
            let client = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
            let mut outer = [0; 2048];
            for inner in [1400].into_iter().chain(1470..=1500) {
                client.send_to(&vec![b'x'; inner - 28], (VIP, 53)).expect("sent");
                let len =
                    (&server).read(&mut outer).unwrap_or_else(|e| panic!("{inner} bytes in a tunnel: {e}"));
                assert_eq!(len, inner + 20, "{inner} bytes in a tunnel");
                let header = usize::from(outer[20] & 15) * 4;
                assert!(outer[20 + header + 8..len].iter().all(|b| *b == b'x'), "{inner} bytes in a tunnel");
            }
        });
    });
}
