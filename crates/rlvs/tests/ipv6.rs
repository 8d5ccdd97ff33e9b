//! IPv6 end to end: real TCP and UDP through NAT (with other ports) and DR, by TC with the kernel's offloads and by XDP on
//! links like those of real cards; marks and persistence; what the director answers by itself.

mod common;

use common::mtu::path_mtu;
use common::{Cluster, MB, attach, cluster, ipvsadm, rlvs, tally, within};
use rlvs::lab::client::{self, Asker, Connection, Tally};
use rlvs::lab::{Lab, Topology, VIP6, plan};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

/// A cluster that has IPv6 too.
fn six(lab: Cluster) -> Cluster {
    lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
    if lab.topology() == Topology::Dr {
        lab.servers().for_each(|server| {
            rlvs(server, &format!("realserver up --vip {VIP6}"));
        });
    }
    lab
}

/// A service with all three servers; NAT maps its port to another one.
fn serve(lab: &Lab, key: &str, port: u16, scheduler: &str) {
    ipvsadm(lab, &format!("-A {key} {scheduler}"));
    for server in lab.servers() {
        let method = common::method(lab);
        ipvsadm(lab, &format!("-a {key} -r [{}]:{port} {method}", plan::six(server.addr())));
    }
}

fn everything_through(lab: &Lab) {
    // The servers listen on ports 80 and 81.
    let port = if lab.topology() == Topology::Nat { 81 } else { 80 };
    serve(lab, &format!("-t [{VIP6}]:80"), port, "-s rr");
    serve(lab, &format!("-u [{VIP6}]:53"), 53, "-s rr");
    lab.client().run(|| {
        let each = |n| tally([("rs1", n), ("rs2", n), ("rs3", n)]);
        assert_eq!(client::tally_tcp(VIP6, 80, 12).expect("requests"), each(4));
        assert_eq!(client::tally_udp(VIP6, 53, 12).expect("datagrams"), each(4));
        let asker = Asker::open(VIP6, 53).expect("a socket");
        let name = asker.ask("", LIMIT).expect("an empty datagram");
        for size in [1, 17, 100, 1000, 1400] {
            let text = "x".repeat(size);
            assert_eq!(asker.ask(&text, LIMIT).expect("an echo"), name, "one flow, one server");
        }
        client::download(VIP6, 80, 20 * MB).expect("download");
        client::upload(VIP6, 80, 20 * MB).expect("upload");
        for size in [1_453, 3_000, 20_000] {
            let text: String = ('a'..='z').cycle().take(size).collect();
            assert_eq!(asker.ask(&text, LIMIT).expect("an echo"), name, "fragments too go to one server");
        }
    });
    let listed = ipvsadm(lab, "-Lnc");
    let ours = |line: &&str| line.contains(&format!("[{VIP6}]:80"));
    assert_eq!(listed.lines().filter(ours).count(), 14, "{listed}");
}

#[test]
fn by_tc_with_offloads() {
    within(60, || {
        for topology in [Topology::Nat, Topology::Dr] {
            let lab = six(cluster(topology));
            attach(&lab, "tc");
            everything_through(&lab);
        }
    });
}

#[test]
fn by_generic_xdp() {
    within(60, || {
        for topology in [Topology::Nat, Topology::Dr] {
            let lab = six(cluster(topology));
            attach(&lab, "skb");
            everything_through(&lab);
        }
    });
}

/// The driver counts what XDP sent on by itself: nearly everything.
#[test]
fn by_xdp_as_cards_deliver_packets() {
    within(60, || {
        for topology in [Topology::Nat, Topology::Dr] {
            let lab = Lab::builder(topology).as_on_a_wire().program(common::RLVS).build().expect("a lab");
            let lab = six(common::ready(lab));
            for device in lab.director().devices() {
                rlvs(lab.director(), &format!("attach {device} --mode xdp --xdp-redirect on"));
            }
            everything_through(&lab);
            let counters = lab.director().driver_counters("eth0").expect("counters");
            let count = |what: &str| -> u64 {
                let ours = counters.iter().filter(|(name, _)| name.starts_with("rx") && name.ends_with(what));
                ours.map(|(_, n)| n).sum()
            };
            let (sent_on, seen) = (count("xdp_redirect") + count("xdp_tx"), count("xdp_packets"));
            assert!(
                sent_on > 2_000 && sent_on * 10 > seen * 9,
                "{topology:?}: {sent_on} of {seen}: {counters:?}"
            );
            assert_eq!(count("xdp_tx_errors") + count("xdp_drops"), 0, "{topology:?}: {counters:?}");
        }
    });
}

/// Every segment of the client has hop-by-hop and destination options in front of its TCP header.
#[test]
fn extension_headers() {
    within(60, || {
        for (topology, mode) in
            [(Topology::Nat, "tc"), (Topology::Nat, "skb"), (Topology::Dr, "tc"), (Topology::Dr, "xdp")]
        {
            let lab = six(cluster(topology));
            attach(&lab, mode);
            serve(&lab, &format!("-t [{VIP6}]:80"), 80, "-s rr");
            lab.client().run(|| {
                let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
                // RFC 3542, sections 8 and 9: a whole header, whose only option is padding.
                const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
                for option in [libc::IPV6_HOPOPTS, libc::IPV6_DSTOPTS] {
                    // SAFETY: a socket that is ours, and eight bytes.
                    let rc = unsafe {
                        libc::setsockopt(
                            socket.as_raw_fd(),
                            libc::IPPROTO_IPV6,
                            option,
                            PADDING.as_ptr().cast(),
                            PADDING.len() as libc::socklen_t,
                        )
                    };
                    assert_eq!(rc, 0, "setsockopt: {}", std::io::Error::last_os_error());
                }
                let to = std::net::SocketAddr::from((VIP6, 80));
                socket.connect_timeout(&to.into(), LIMIT).expect("a connection");
                let mut connection = Connection::over(socket.into()).expect("a connection");
                let failed = |what, e| panic!("{topology:?} by {mode}: {what}: {e:#}");
                connection.download(5 * MB, |_| ()).unwrap_or_else(|e| failed("download", e));
                connection.upload(5 * MB, |_| ()).unwrap_or_else(|e| failed("upload", e));
            });
            let listed = ipvsadm(&lab, "-Lnc");
            assert!(listed.contains(&format!("[{VIP6}]:80")), "{topology:?} by {mode}: not by us: {listed}");
        }
    });
}

#[test]
fn marks_and_persistence() {
    within(60, || {
        let lab = six(cluster(Topology::Nat));
        rlvs(lab.director(), &format!("mark add --mark 7 --proto tcp --dst {VIP6}/64 --dport 80"));
        serve(&lab, "-f 7 -6", 80, "-s rr");
        let asked = || lab.client().run(|| client::tally_tcp(VIP6, 80, 6)).expect("requests");
        assert_eq!(asked(), tally([("rs1", 2), ("rs2", 2), ("rs3", 2)]));
        ipvsadm(&lab, "-E -f 7 -6 -s rr -p 60 -M 64");
        let seen: Tally = asked();
        assert_eq!(seen.len(), 1, "one client, one server: {seen:?}");
        let net = Ipv6Addr::from(u128::from(plan::six(lab.client().addr())) >> 64 << 64);
        let listed = ipvsadm(&lab, "-Lnc");
        assert!(listed.contains(&format!("[{net}]:0")), "the template of a network: {listed}");
    });
}

/// Port unreachable, packet too big, and nothing of it for other families.
#[test]
fn the_director_answers_by_itself() {
    within(60, || {
        let lab = six(cluster(Topology::Nat));
        ipvsadm(&lab, &format!("-A -u [{VIP6}]:53 -s rr"));
        let refused = lab.client().run(|| Asker::open(VIP6, 53)?.ask("anybody?", LIMIT)).unwrap_err();
        assert!(format!("{refused:#}").contains("refused"), "{refused:#}");
        let server = plan::six(lab.server(1).addr());
        ipvsadm(&lab, &format!("-a -u [{VIP6}]:53 -r [{server}]:53 -m"));
        // The way to the server takes less than the way to the director.
        lab.director().set_sysctl("net/ipv6/conf/eth1/mtu", "1300").expect("an MTU");
        lab.client().run(|| {
            let asker = Asker::open(VIP6, 53).expect("a socket");
            assert_eq!(asker.ask("fits", LIMIT).expect("an echo"), "rs1");
            assert!(asker.ask(&"x".repeat(1400), Duration::from_millis(500)).is_err(), "too big");
            assert_eq!(path_mtu(VIP6), 1300, "what the director said");
        });
    });
}

/// A rule that cannot be carried out is refused, and says why.
#[test]
fn what_is_refused() {
    within(30, || {
        let lab = six(cluster(Topology::Nat));
        ipvsadm(&lab, &format!("-A -t [{VIP6}]:80 -s rr"));
        for (real, method, why) in [
            (format!("{}:80", lab.server(1).addr()), "-m", "only for tunneling"),
            ("[fe80::1]:80".into(), "-m", "Invalid operation"),
            ("[ff02::1]:80".into(), "-g", "Invalid operation"),
        ] {
            let args = format!("-a -t [{VIP6}]:80 -r {real} {method}");
            let said = common::try_as(lab.director(), "ipvsadm", &args, "");
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.status.success() && text.contains(why), "{args}: {said:?}");
        }
        let listed = ipvsadm(&lab, "-Ln");
        assert!(!listed.contains("->  ") && listed.lines().count() == 4, "nothing was added: {listed}");
    });
}
