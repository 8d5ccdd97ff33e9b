//! What `node_exporter`'s collector `ipvs` tells of kernel IPVS, under its names and with its labels.
//!
//! It reads /proc/net/ip_vs, which has no IPv6 scope and writes a firewall mark as eight hexadecimal digits; a service by
//! mark has the protocol FWM, no address and port 0. Destinations that come out with the same labels (one mark in both
//! families) are summed, as there.

use super::{Kind, Snapshot, Text};
use rlvs_control::model::{DestinationView, Protocol, ServiceKey, ServiceView};
use std::collections::BTreeMap;
use std::fmt::Display;

pub fn tell(snapshot: &Snapshot, text: &mut Text) {
    let c = &snapshot.totals.counters;
    for (name, help, value) in [
        ("node_ipvs_connections_total", "The total number of connections made.", c.conns),
        ("node_ipvs_incoming_packets_total", "The total number of incoming packets.", c.in_packets),
        ("node_ipvs_outgoing_packets_total", "The total number of outgoing packets.", c.out_packets),
        ("node_ipvs_incoming_bytes_total", "The total amount of incoming data.", c.in_bytes),
        ("node_ipvs_outgoing_bytes_total", "The total amount of outgoing data.", c.out_bytes),
    ] {
        text.family(name, Kind::Counter, help).sample(&[], value);
    }
    let mut backends: BTreeMap<Labels, [u64; 3]> = BTreeMap::new();
    for service in &snapshot.services {
        for destination in &service.destinations {
            let sums = backends.entry(labels(service, destination)).or_default();
            let d = destination;
            for (sum, value) in
                sums.iter_mut().zip([d.active_connections, d.inactive_connections, d.destination.weight])
            {
                *sum += u64::from(value);
            }
        }
    }
    for (i, (name, help)) in [
        (
            "node_ipvs_backend_connections_active",
            "The current active connections by local and remote address.",
        ),
        (
            "node_ipvs_backend_connections_inactive",
            "The current inactive connections by local and remote address.",
        ),
        ("node_ipvs_backend_weight", "The current backend weight by local and remote address."),
    ]
    .into_iter()
    .enumerate()
    {
        let mut family = text.family(name, Kind::Gauge, help);
        for (labels, sums) in &backends {
            let labels: Vec<(&str, &dyn Display)> =
                NAMES.into_iter().zip(labels.iter().map(|l| l as &dyn Display)).collect();
            family.sample(&labels, sums[i]);
        }
    }
}

const NAMES: [&str; 6] =
    ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];

type Labels = [String; 6];

fn labels(service: &ServiceView, destination: &DestinationView) -> Labels {
    let (addr, mark, port, proto) = match service.service.key {
        ServiceKey::Address { protocol, addr, port } => {
            let proto = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            (addr.to_string(), String::new(), port, proto)
        }
        ServiceKey::Fwmark { mark, .. } => (String::new(), format!("{mark:08X}"), 0, "FWM"),
    };
    let d = &destination.destination;
    [addr, mark, port.to_string(), proto.to_string(), d.addr.to_string(), d.port.to_string()]
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::super::{Names, render};

    /// Names, types and labels of node_exporter's collector/ipvs_linux.go.
    const NODE_EXPORTER: [(&str, &str, bool); 8] = [
        ("node_ipvs_connections_total", "counter", false),
        ("node_ipvs_incoming_packets_total", "counter", false),
        ("node_ipvs_outgoing_packets_total", "counter", false),
        ("node_ipvs_incoming_bytes_total", "counter", false),
        ("node_ipvs_outgoing_bytes_total", "counter", false),
        ("node_ipvs_backend_connections_active", "gauge", true),
        ("node_ipvs_backend_connections_inactive", "gauge", true),
        ("node_ipvs_backend_weight", "gauge", true),
    ];

    #[test]
    fn names_and_labels_are_those_of_node_exporter() {
        let page = render(&snapshot(), Names::Node);
        let families: Vec<String> =
            page.lines().filter_map(|l| l.strip_prefix("# TYPE ")).map(str::to_owned).collect();
        assert_eq!(families, NODE_EXPORTER.map(|(name, kind, _)| format!("{name} {kind}")));
        let wanted = [
            "local_address=\"10.0.0.100\",local_mark=\"\",local_port=\"80\",proto=\"TCP\",remote_address=\"10.1.0.1\",remote_port=\"80\"",
            "local_address=\"\",local_mark=\"00000100\",local_port=\"0\",proto=\"FWM\",remote_address=\"fd00::1\",remote_port=\"80\"",
        ];
        for (name, _, is_backend) in NODE_EXPORTER {
            if is_backend {
                wanted.iter().for_each(|w| {
                    assert!(page.contains(&format!("\n{name}{{{w}}} ")), "{name}{{{w}}}\n{page}")
                });
            } else {
                assert!(page.contains(&format!("\n{name} ")), "{name}\n{page}");
            }
        }
        assert!(page.contains("node_ipvs_connections_total 4294967295\n"), "{page}");
        assert!(page.contains("remote_address=\"10.1.0.1\",remote_port=\"80\"} 3\n"), "{page}");
    }

    #[test]
    fn what_has_the_same_labels_is_one_sample() {
        let mut snapshot = snapshot();
        snapshot.services.push(snapshot.services[0].clone());
        let page = render(&snapshot, Names::Node);
        let all: Vec<&str> =
            page.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap().0).collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(all.len(), once.len(), "{page}");
        assert!(page.contains("remote_address=\"10.1.0.1\",remote_port=\"80\"} 6\n"), "summed: {page}");
    }
}
