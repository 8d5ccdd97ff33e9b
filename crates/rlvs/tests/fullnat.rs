//! FULLNAT end to end: real servers behind a router that knows nothing of the director, holding no virtual address. Real TCP
//! and UDP by every way of attaching the programs, IPv6, the pool of source addresses, a smaller MTU on the way, ipvsadm.

mod common;

use common::{
    Cluster, MB, Proto, attach, cluster, ipvsadm, ipvsadm_with, lab, real, rlvs, tally, try_as, within,
};
use rlvs::lab::client::{self, Asker, Connection};
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);

/// Servers somewhere, without the virtual address; nothing is told them of the director.
fn anywhere() -> Cluster {
    let lab = cluster(Topology::Tun);
    lab.servers().for_each(|server| {
        rlvs(server, "realserver down");
    });
    lab
}

/// A service with all three servers.
fn serve(lab: &Lab, proto: Proto, port: u16) {
    ipvsadm(lab, &format!("-A {} -s rr", proto.key(port)));
    for n in 1..=3 {
        ipvsadm(lab, &format!("-a {} -r {} --fullnat", proto.key(port), real(lab, n, port)));
    }
}

fn everything_through(mode: &str) {
    let lab = anywhere();
    attach(&lab, mode);
    serve(&lab, Proto::Tcp, 80);
    serve(&lab, Proto::Udp, 53);
    lab.client().run(|| {
        let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
        assert_eq!(client::tally_tcp(VIP, 80, 12).expect("requests"), each);
        assert_eq!(client::tally_udp(VIP, 53, 12).expect("datagrams"), each);
        client::download(VIP, 80, 100 * MB).expect("download");
        client::upload(VIP, 80, 100 * MB).expect("upload");
        let asker = Asker::open(VIP, 53).expect("a socket");
        let name = asker.ask("", LIMIT).expect("an empty datagram");
        for size in [1, 1000, 1_473, 3_000, 20_000] {
            let text: String = ('a'..='z').cycle().take(size).collect();
            assert_eq!(asker.ask(&text, LIMIT).expect("an echo"), name, "one flow, one server");
        }
    });
}

#[test]
fn by_xdp() {
    within(60, || everything_through("xdp"));
}

#[test]
fn by_generic_xdp() {
    within(60, || everything_through("skb"));
}

#[test]
fn by_tc() {
    within(60, || everything_through("tc"));
}

/// On links like those of cards XDP finishes all but the first packet of a connection.
#[test]
fn xdp_finishes_packets_as_cards_deliver_them() {
    within(60, || {
        let lab = Lab::builder(Topology::Tun).program(common::RLVS).as_on_a_wire().build().expect("a lab");
        let lab = common::ready(lab);
        for device in lab.director().devices() {
            rlvs(lab.director(), &format!("attach {device} --mode xdp --xdp-redirect on"));
        }
        serve(&lab, Proto::Tcp, 80);
        lab.client().run(|| {
            client::download(VIP, 80, 20 * MB).expect("download");
            client::upload(VIP, 80, 20 * MB).expect("upload");
        });
        for device in lab.director().devices() {
            let counters = lab.director().driver_counters(&device).expect("counters");
            let count = |what: &str| -> u64 {
                let found =
                    counters.iter().filter(|(name, _)| name.starts_with("rx") && name.ends_with(what));
                found.map(|(_, n)| n).sum()
            };
            let (sent_on, seen) = (count("xdp_redirect") + count("xdp_tx"), count("xdp_packets"));
            assert!(
                sent_on > 10_000 && sent_on * 10 > seen * 9,
                "{device}: {sent_on} of {seen}: {counters:?}"
            );
        }
    });
}

/// Who a server thinks its clients are.
fn seen_by_server(
    lab: &Lab,
    n: usize,
    port: u16,
    connect: impl Fn(usize) -> Option<TcpStream> + Sync,
    count: usize,
) -> Vec<SocketAddr> {
    let server = lab.server(n);
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| {
            server.run(|| {
                let listener =
                    TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
                let listener = listener.expect("a port");
                listener.set_nonblocking(true).expect("a listener");
                let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(20));
                while seen.len() < count && Instant::now() < deadline {
                    match listener.accept() {
                        Ok((stream, peer)) => seen.push((stream, peer)),
                        Err(_) => std::thread::sleep(Duration::from_millis(10)),
                    }
                }
                seen.into_iter().map(|(_, peer)| peer).collect::<Vec<_>>()
            })
        });
        std::thread::sleep(Duration::from_millis(200));
        let connections: Vec<TcpStream> = lab.client().run(|| (0..count).filter_map(&connect).collect());
        let seen = accepting.join().expect("a server");
        drop(connections);
        seen
    })
}

fn connect(addr: impl Into<IpAddr>, port: u16) -> Option<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(addr.into(), port), LIMIT).ok()
}

#[test]
fn the_server_sees_the_director() {
    within(60, || {
        let lab = anywhere();
        ipvsadm(&lab, &format!("-A -t {VIP}:82 -s rr"));
        ipvsadm(&lab, &format!("-a -t {VIP}:82 -r {} --fullnat", real(&lab, 1, 82)));
        let seen = seen_by_server(&lab, 1, 82, |_| connect(VIP, 82), 3);
        assert_eq!(seen.len(), 3);
        let [clients, servers] = [lab.client().addr(), lab.server(1).addr()].map(|a| a.octets());
        for peer in &seen {
            let IpAddr::V4(addr) = peer.ip().to_canonical() else { panic!("{peer}") };
            // The address that the route to the servers gives: it is on their side of the director, not on the client's.
            assert_ne!(addr.octets()[..2], clients[..2], "the servers are in {servers:?}");
            assert!(
                (1024..32768).contains(&peer.port()),
                "{peer}: not a port of the machine's own connections"
            );
        }
        // Listed as the server sees it.
        let listed = ipvsadm(&lab, "-Lnc --json");
        for peer in seen {
            assert!(
                listed.contains(&format!(
                    "\"source\":{{\"address\":\"{}\",\"port\":{}}}",
                    peer.ip().to_canonical(),
                    peer.port()
                )),
                "{listed}"
            );
        }
    });
}

#[test]
fn sources_come_from_the_pool() {
    within(90, || {
        let lab = anywhere();
        let director = lab.director();
        let pool = [10, 11].map(|host| {
            let [a, b, c, _] = director.addr().octets();
            IpAddr::from([a, b, c, host + 200])
        });
        let refused = try_as(director, "rlvs", &format!("source add {}", pool[0]), "");
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("is no address of this machine"), "{why}");
        let device = director.devices().pop().expect("an interface");
        for addr in pool {
            director.add_address(&device, addr, 32).expect("an address");
            rlvs(director, &format!("source add {addr} --ports 5000-5001"));
        }
        assert_eq!(
            rlvs(director, "source list"),
            format!("{} --ports 5000-5001\n{} --ports 5000-5001\n", pool[0], pool[1])
        );
        ipvsadm(&lab, &format!("-A -t {VIP}:82 -s rr"));
        ipvsadm(&lab, &format!("-a -t {VIP}:82 -r {} --fullnat", real(&lab, 1, 82)));
        // Two addresses with two ports each: four connections, and not one more (they are random, so a few tries more).
        let seen = seen_by_server(&lab, 1, 82, |_| connect(VIP, 82).or_else(|| connect(VIP, 82)), 4);
        let mut sources: Vec<SocketAddr> =
            seen.iter().map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port())).collect();
        sources.sort();
        sources.dedup();
        let expected: Vec<_> =
            pool.iter().flat_map(|a| [5000, 5001].map(|port| SocketAddr::new(*a, port))).collect();
        assert_eq!(sources, expected);
        // They are in TIME_WAIT now, which keeps their ports.
        lab.client().run(|| {
            let fifth =
                TcpStream::connect_timeout(&SocketAddr::new(VIP.into(), 82), Duration::from_millis(1500));
            assert!(fifth.is_err(), "a fifth connection to this server");
        });
        assert!(rlvs(director, "status").contains("no-source"));
        // Another server has its own; and what is taken out of the pool serves the connections that have it.
        lab.client().run(|| {
            ipvsadm(&lab, &format!("-A -t {VIP}:80 -s rr"));
            ipvsadm(&lab, &format!("-a -t {VIP}:80 -r {} --fullnat", real(&lab, 2, 80)));
            let mut open = Connection::open(VIP, 80).expect("a connection");
            assert_eq!(open.who().expect("an answer"), "rs2");
            for addr in pool {
                rlvs(director, &format!("source del {addr}"));
            }
            assert_eq!(open.who().expect("an answer"), "rs2");
            assert_eq!(client::who(VIP, 80).expect("a new connection"), "rs2");
        });
        assert_eq!(rlvs(director, "source list"), "");
        let unknown = try_as(director, "rlvs", &format!("source del {}", pool[0]), "");
        assert!(!unknown.status.success());
    });
}

/// A router on the way to the servers tells the source, which is the director, of its smaller MTU; the client learns it.
#[test]
fn a_smaller_mtu_on_the_way() {
    within(60, || {
        for mode in ["tc", "skb"] {
            let lab = anywhere();
            attach(&lab, mode);
            lab.host("router").set_mtu("eth1", 1400).expect("an MTU");
            serve(&lab, Proto::Tcp, 80);
            lab.client().run(|| {
                client::upload(VIP, 80, 20 * MB).unwrap_or_else(|e| panic!("{mode}: {e}"));
                client::download(VIP, 80, 20 * MB).unwrap_or_else(|e| panic!("{mode}: {e}"));
            });
        }
    });
}

#[test]
fn through_ipv6() {
    within(90, || {
        for mode in ["tc", "xdp"] {
            let lab = cluster(Topology::Nat);
            lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
            attach(&lab, mode);
            for (key, port) in [("-t", 80), ("-u", 53)] {
                ipvsadm(&lab, &format!("-A {key} [{VIP6}]:{port} -s rr"));
                for server in lab.servers() {
                    ipvsadm(
                        &lab,
                        &format!(
                            "-a {key} [{VIP6}]:{port} -r [{}]:{port} --fullnat",
                            plan::six(server.addr())
                        ),
                    );
                }
            }
            lab.client().run(|| {
                let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
                assert_eq!(client::tally_tcp(VIP6, 80, 12).expect("requests"), each, "{mode}");
                assert_eq!(client::tally_udp(VIP6, 53, 12).expect("datagrams"), each, "{mode}");
                client::download(VIP6, 80, 20 * MB).expect("download");
                client::upload(VIP6, 80, 20 * MB).expect("upload");
            });
            ipvsadm(&lab, &format!("-A -t [{VIP6}]:82 -s rr"));
            ipvsadm(
                &lab,
                &format!("-a -t [{VIP6}]:82 -r [{}]:82 --fullnat", plan::six(lab.server(1).addr())),
            );
            let seen = seen_by_server(&lab, 1, 82, |_| connect(VIP6, 82), 2);
            let client = IpAddr::from(plan::six(lab.client().addr()));
            assert!(seen.len() == 2 && seen.iter().all(|peer| peer.ip() != client), "{mode}: {seen:?}");
        }
    });
}

const RULES: [&str; 3] = [
    "-A -t 10.0.0.1:80 -s rr",
    "-a -t 10.0.0.1:80 -r 10.1.0.12:8080 --fullnat -w 2 --proxy-protocol",
    "-a -t 10.0.0.1:80 -r 10.1.0.11:8080 -m -w 1",
];

#[test]
fn is_listed_saved_restored_and_refused() {
    within(60, || {
        let lab = lab(Topology::Dr);
        for rule in RULES {
            ipvsadm(&lab, rule);
        }
        let listed = ipvsadm(&lab, "-Ln");
        assert!(
            listed.contains("  -> 10.1.0.12:8080               FullNAT 2      0          0         \n"),
            "{listed}"
        );
        let saved = ipvsadm(&lab, "-S -n");
        assert_eq!(saved.lines().collect::<Vec<_>>(), [RULES[0], RULES[2], RULES[1]]);
        ipvsadm(&lab, "-C");
        ipvsadm_with(&lab, "-R", &saved);
        assert_eq!(ipvsadm(&lab, "-S -n"), saved);
        ipvsadm(&lab, "-A -u 10.0.0.1:53 -o");
        ipvsadm(&lab, "-A --sctp-service 10.0.0.1:99");
        ipvsadm(&lab, "-A -u 10.0.0.1:54");
        ipvsadm(&lab, "-a -u 10.0.0.1:54 -r 10.1.0.11:54 --fullnat");
        for refused in [
            "-a -u 10.0.0.1:53 -r 10.1.0.11:53 --fullnat",
            "-a --sctp-service 10.0.0.1:99 -r 10.1.0.11:99 --fullnat --proxy-protocol",
            "-a -t 10.0.0.1:80 -r [2001:db8::1]:80 --fullnat",
            "-a -t 10.0.0.1:80 -r 10.1.0.13:80 --fullnat -m",
            "-E -u 10.0.0.1:54 -o",
            "-a -u 10.0.0.1:54 -r 10.1.0.12:54 --fullnat --proxy-protocol",
            "-a -t 10.0.0.1:80 -r 10.1.0.13:80 -m --proxy-protocol",
        ] {
            let answer = try_as(lab.director(), "ipvsadm", refused, "");
            assert!(!answer.status.success() && !answer.stderr.is_empty(), "{refused}: {answer:?}");
        }
    });
}

/// Linux likes a /128 for a source; but a server may hold the virtual address itself.
#[test]
fn the_source_is_no_virtual_address() {
    within(60, || {
        let lab = lab(Topology::OneArm);
        lab.at_end("director", &["down"]).expect("noted");
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        ipvsadm(&lab, &format!("-A -t [{VIP6}]:82 -s rr"));
        let server = plan::six(lab.server(1).addr());
        let usual = lab.director().run(|| {
            let socket = std::net::UdpSocket::bind("[::]:0").expect("a socket");
            socket.connect((server, 9)).expect("a way");
            socket.local_addr().expect("an address").ip()
        });
        assert_eq!(usual, IpAddr::from(VIP6), "else this test tests nothing");
        ipvsadm(&lab, &format!("-a -t [{VIP6}]:82 -r [{server}]:82 --fullnat"));
        let seen = seen_by_server(&lab, 1, 82, |_| connect(VIP6, 82), 1);
        assert_eq!(seen[0].ip(), IpAddr::from(plan::six(lab.director().addr())));
    });
}
