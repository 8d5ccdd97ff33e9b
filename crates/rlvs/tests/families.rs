//! Tunnels of both families end to end: services and real servers of IPv4 and IPv6 in every mix, by each kind of tunnel, with our
//! own program taking the headers off at the real servers.

mod common;

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
    lab
}

/// Makes all servers take `tunnel`, for both VIPs.
fn take(lab: &Lab, tunnel: &str) {
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

fn traffic(lab: &Lab, vip: IpAddr, what: &str) {
    lab.client().run(|| {
        let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
        assert_eq!(client::tally_tcp(vip, 80, 12).expect(what), each, "{what}");
        client::download(vip, 80, 5 * MB).expect(what);
        client::upload(vip, 80, 5 * MB).expect(what);
        let asker = Asker::open(vip, 53).expect("a socket");
        for size in [1, 1000] {
            asker.ask(&"x".repeat(size), LIMIT).expect(what);
        }
    });
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
            traffic(&lab, vip, &format!("{vip} by {tunnel} in {} by {mode}", if of_ipv6 { 6 } else { 4 }));
        }
    }
}

#[test]
fn by_tc() {
    within(120, || every_mix("tc"));
}

#[test]
fn by_generic_xdp() {
    within(120, || every_mix("skb"));
}
