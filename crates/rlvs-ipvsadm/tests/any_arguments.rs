//! Whatever the table holds, it can be saved and restored; whatever a file says, it can be given to restore. For
//! command lines see `a_million_command_lines.rs`.

mod common;

use common::{Answer, Fake, run, same_rules};
use proptest::prelude::*;
use proptest::sample::select;
use rlvs_control::Balancer;
use rlvs_control::model::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn service() -> impl Strategy<Value = Service> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let address = (protocol, any::<u8>(), any::<bool>(), any::<u16>())
        .prop_map(|(protocol, a, v6, port)| ServiceKey::Address { protocol, addr: host(a, v6), port });
    let family = select(vec![Family::Inet, Family::Inet6]);
    let mark = (1..=u32::MAX, family).prop_map(|(mark, family)| ServiceKey::Fwmark { mark, family });
    let scheduler = select(vec!["rr", "wlc", "sh", "mh", "none"]);
    (
        prop_oneof![address, mark],
        scheduler,
        0..8u8,
        prop::option::of(1..=2_678_400u32),
        (any::<u32>(), 1..=128u8),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(key, scheduler, flags, timeout, (mask, prefix), sip, one_packet)| {
            let zero_port = matches!(key, ServiceKey::Address { port: 0, .. });
            let stream = matches!(key, ServiceKey::Address { protocol: Protocol::Tcp | Protocol::Sctp, .. });
            let timeout = timeout.or(zero_port.then_some(360));
            let v4 = key.family() == Family::Inet;
            Service {
                flags: SchedFlags(flags),
                persistence: timeout.map(|timeout_secs| Persistence { timeout_secs }),
                netmask: v4.then(|| Ipv4Addr::from(mask)),
                prefix_len: if v4 { 32 } else { prefix },
                engine: sip.then(|| "sip".to_owned()),
                one_packet: one_packet && !stream,
                ..Service::new(key, scheduler)
            }
        })
}

fn host(last: u8, v6: bool) -> IpAddr {
    match v6 {
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
        false => Ipv4Addr::new(10, 0, last, 1).into(),
    }
}

/// A server for a service with this family and port (`None`: a firewall mark's).
fn server() -> impl Strategy<Value = (Destination, bool)> {
    let method = select(vec![Method::Masquerade, Method::Tunnel, Method::DirectRoute, Method::FullNat]);
    let tunnel = prop_oneof![
        Just(Tunnel::default()),
        (1..=u16::MAX, checksum(3)).prop_map(|(port, checksum)| Tunnel {
            kind: TunnelKind::Gue,
            port,
            checksum
        }),
        checksum(2).prop_map(|checksum| Tunnel { kind: TunnelKind::Gre, port: 0, checksum }),
    ];
    let limit = i32::MAX as u32;
    (any::<u8>(), any::<u16>(), method, 0..=limit, 0..=limit, any::<u32>(), tunnel, any::<bool>()).prop_map(
        |(last, port, method, weight, upper, lower, tunnel, other_family)| {
            let tunnel = if method == Method::Tunnel { tunnel } else { Tunnel::default() };
            let server = Destination {
                addr: host(last, false),
                port,
                method,
                weight,
                upper_threshold: upper,
                lower_threshold: lower % (upper + 1),
                tunnel,
                proxy_protocol: method == Method::FullNat && weight % 2 == 0,
            };
            (server, other_family)
        },
    )
}

fn checksum(kinds: usize) -> impl Strategy<Value = TunnelChecksum> {
    let all = [TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote];
    select(all[..kinds].to_vec())
}

/// A table as commands could have made it: without doubles, servers of a family and port that fit.
fn table(services: Vec<(Service, Vec<(Destination, bool)>)>) -> Fake {
    let mut balancer = Fake::default();
    for (service, servers) in services {
        if balancer.add_service(&service).is_err() {
            continue;
        }
        for (mut server, other_family) in servers {
            let v6 = service.key.family() == Family::Inet6;
            let IpAddr::V4(v4) = server.addr else { continue };
            let other_family = other_family && server.method == Method::Tunnel;
            server.addr = host(v4.octets()[2], v6 != other_family);
            if let (ServiceKey::Address { port, .. }, Method::Tunnel | Method::DirectRoute) =
                (service.key, server.method)
            {
                server.port = port;
            }
            if let ServiceKey::Address { protocol: Protocol::Udp | Protocol::Sctp, .. } = service.key {
                server.proxy_protocol = false;
            }
            let _ = balancer.add_destination(&service.key, &server);
        }
    }
    balancer
}

proptest! {
    #[test]
    fn any_file_can_be_given_to_restore(file in "(-[AaEDL] |-t 10.0.0.[1-3]:80 |\n|.){0,20}") {
        run("ipvsadm", &["-R".to_owned()], &file, &mut Fake::default());
        run("ipvsadm-restore", &[], &file, &mut Fake::default());
    }

    /// Whatever a rule can hold, not only what can be typed at once.
    #[test]
    fn what_is_saved_can_be_restored(
        services in prop::collection::vec((service(), prop::collection::vec(server(), 0..5)), 0..6),
        numeric in any::<bool>(),
    ) {
        let mut before = table(services);
        let args: Vec<String> = if numeric { vec!["-n".to_owned()] } else { Vec::new() };
        let saved = run("ipvsadm-save", &args, "", &mut before);
        prop_assert_eq!((saved.err.as_str(), saved.status), ("", 0));
        let mut after = Fake::default();
        let restored = run("ipvsadm-restore", &[], &saved.out, &mut after);
        prop_assert_eq!(restored, Answer { out: String::new(), err: String::new(), status: 0 });
        prop_assert!(same_rules(&after, &before), "{:?}\n{:?}", after.services, before.services);
    }
}
