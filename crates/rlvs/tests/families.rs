//! Tunnels of both families end to end: services and real servers of IPv4 and IPv6 in every mix, by each kind of tunnel, with our
//! own program taking the headers off at the real servers.

mod common;

use common::mtu::full_segment;
use common::{Cluster, MB, attach, cluster, ipvsadm, rlvs, tally, within};
use rlvs::lab::client::{self, Asker};
use rlvs::lab::{Host, Lab, Topology, VIP, VIP6, plan};
use std::net::IpAddr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

/// The service's address, and whether the real servers have one of IPv6.
const MIXES: [(IpAddr, bool); 4] =
    [(IpAddr::V4(VIP), false), (IpAddr::V4(VIP), true), (IpAddr::V6(VIP6), false), (IpAddr::V6(VIP6), true)];

/// A cluster that has IPv6 too, attached in one mode.
fn lab(mode: &str) -> Cluster {
    let lab = cluster(Topology::Tun);
    lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
    attach(&lab, mode);
    // The connections of one mix are gone with its servers: a port of the client's may be used again in the next.
    rlvs(lab.director(), "sysctl expire_nodest_conn=1");
    lab
}

/// Makes all servers take `tunnel`, for both VIPs; the client forgets what fitted into the one before.
fn take(lab: &Lab, tunnel: &str) {
    lab.client().set_sysctl("net/ipv4/route/flush", "1").expect("forgotten");
    for server in lab.servers() {
        rlvs(server, "realserver down");
        rlvs(server, &format!("realserver up --vip {VIP} --vip {VIP6} --tunnel {tunnel} --decap ebpf"));
    }
}

/// Services of TCP and UDP on `vip`, and nothing else.
fn serve(lab: &Lab, vip: IpAddr, of_ipv6: bool, options: &str) {
    ipvsadm(lab, "-C");
    let with_port = |addr: IpAddr, port| std::net::SocketAddr::new(addr, port).to_string();
    let real = |server: &Host| if of_ipv6 { plan::six(server.addr()).into() } else { server.addr().into() };
    for (key, port) in [("-t", 80), ("-u", 53)] {
        let service = with_port(vip, port);
        ipvsadm(lab, &format!("-A {key} {service} -s rr"));
        for server in lab.servers() {
            ipvsadm(lab, &format!("-a {key} {service} -r {} -i {options}", with_port(real(server), port)));
        }
    }
}

/// Large datagrams of IPv4 come first, as they may be cut up: the client does not know yet what fits into the tunnel, and the
/// director makes pieces of outer packets, which our program puts together.
fn traffic(lab: &Lab, vip: IpAddr, what: &str) {
    lab.client().run(|| {
        let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
        assert_eq!(client::tally_udp(vip, 53, 12).expect(what), each, "{what}");
        if vip.is_ipv4() {
            datagrams(vip, &[1000, 3_000, 20_000], what);
        }
        assert_eq!(client::tally_tcp(vip, 80, 12).expect(what), each, "{what}");
        client::download(vip, 80, 5 * MB).expect(what);
        full_segment(vip, 80);
        client::upload(vip, 80, 5 * MB).expect(what);
        datagrams(vip, &[1000, 1_420, 1_440, 1_452, 3_000, 20_000], what);
    });
}

fn datagrams(vip: IpAddr, sizes: &[usize], what: &str) {
    let asker = Asker::open(vip, 53).expect("a socket");
    let name = asker.ask("", LIMIT).expect(what);
    for size in sizes {
        let text: String = ('a'..='z').cycle().take(*size).collect();
        let answer = asker.ask(&text, LIMIT).unwrap_or_else(|e| panic!("{what}, {size} bytes: {e:#}"));
        assert_eq!(answer, name, "{what}: one flow, one server");
    }
}

fn every_mix(mode: &str) {
    let lab = lab(mode);
    for (tunnel, options) in [
        ("ipip", ""),
        ("gre", "--tun-type gre --tun-csum"),
        ("gue:6080", "--tun-type gue --tun-port 6080 --tun-csum"),
    ] {
        take(&lab, tunnel);
        for (vip, of_ipv6) in MIXES {
            serve(&lab, vip, of_ipv6, options);
            let what = format!("{vip} by {tunnel} in {} by {mode}", if of_ipv6 { 6 } else { 4 });
            traffic(&lab, vip, &what);
        }
        let together = lab.servers().map(reassembled).sum::<u64>();
        assert!(together > 0, "{tunnel} by {mode}: no packet was put together");
    }
}

fn reassembled(server: &Host) -> u64 {
    let status = rlvs(server, "realserver status --json");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["decapsulation"]["counters"]["reassembled"].as_u64().expect("a number")
}

#[test]
fn by_tc() {
    within(120, || every_mix("tc"));
}

#[test]
fn by_generic_xdp() {
    within(120, || every_mix("skb"));
}
