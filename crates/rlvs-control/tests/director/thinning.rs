//! The defence `drop_entry` through the loaded programs: half-open connections go, of both families; others stay.

use crate::lab::in_a_namespace;
use crate::run::{Programs, Verdict, Way};
use rlvs_control::model::{Destination, Method, Protocol, Service, ServiceKey, Tunnel};
use rlvs_control::{Balancer, Director};
use rlvs_core::maps::command::op;
use rlvs_testkit::lab::from_client;
use rlvs_testkit::packet::{ACK, SYN, tcp};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV4};

const PORTS: std::ops::Range<u16> = 1000..1030;

fn serve(director: &mut Director, vip: IpAddr, rip: IpAddr) {
    let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: vip, port: 80 };
    director.add_service(&Service::new(key, "rr")).unwrap();
    let server = Destination {
        addr: rip,
        port: 80,
        method: Method::Masquerade,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: Tunnel::default(),
        proxy_protocol: false,
    };
    director.add_destination(&key, &server).unwrap();
}

fn frame4(port: u16, flags: u8) -> Vec<u8> {
    let client = SocketAddrV4::new(rlvs_testkit::lab::CLIENT, port);
    from_client(&tcp(client, SocketAddrV4::new(rlvs_testkit::lab::VIP, 80), flags).bytes())
}

/// The same segment in IPv6. Its checksum is of no concern to a director.
fn frame6(port: u16, flags: u8) -> Vec<u8> {
    let segment = frame4(port, flags)[34..].to_vec();
    let mut packet = vec![0x60, 0, 0, 0, 0, segment.len() as u8, 6, 64];
    packet.extend(client6().octets());
    packet.extend(vip6().octets());
    packet.extend(segment);
    let mut frame = from_client(&packet);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame
}

fn vip6() -> Ipv6Addr {
    "fd00:c::100".parse().unwrap()
}

fn client6() -> Ipv6Addr {
    "fd00:9::9".parse().unwrap()
}

#[test]
fn half_open_connections_go_first() {
    in_a_namespace(|director| {
        serve(director, rlvs_testkit::lab::VIP.into(), rlvs_testkit::lab::server(1).into());
        serve(director, vip6().into(), "fd00:5::1".parse().unwrap());
        let programs = Programs::open(director, Way::Tc);
        let send = |frame: &[u8]| assert_eq!(programs.receive(frame, false).verdict, Verdict::Sent);
        for port in PORTS {
            send(&frame4(port, SYN));
            send(&frame6(port, SYN));
        }
        for (vip, client) in [
            (rlvs_testkit::lab::VIP.into(), rlvs_testkit::lab::CLIENT.into()),
            (IpAddr::from(vip6()), IpAddr::from(client6())),
        ] {
            assert_eq!(count(director, vip, client), PORTS.len());
        }
        // One of each family gets established.
        send(&frame4(PORTS.start, ACK));
        send(&frame6(PORTS.start, ACK));
        director.set_sysctl("drop_entry", "3").unwrap();
        // Each round looks at some 32nd part of the sets, as the timer does once a second: that one of 58 is never met is
        // as likely as one in three million.
        for _ in 0..600 {
            let instance = director.instance().unwrap().expect("an instance");
            instance.command(op::DEFENCE, 0, 0, 0).unwrap();
        }
        let left = director.connections().unwrap();
        let states: Vec<&str> = left.iter().map(|c| c.state).collect();
        assert_eq!(states, ["ESTABLISHED", "ESTABLISHED"], "{left:#?}");
    });
}

fn count(director: &mut Director, vip: IpAddr, client: IpAddr) -> usize {
    let list = director.connections().unwrap();
    list.iter().filter(|c| c.virtual_addr == vip && c.client == client).count()
}
