//! What we tell under our own names. The label `service` is as `rlvs drain` reads it (`tcp:10.0.0.100:80`, `mark:7`),
//! `destination` is the real server's address and port.

use super::{Kind, Snapshot, Text};
use crate::drain::name_of;
use rlvs_control::drop_reasons;
use rlvs_control::model::{Counters, DestinationView, Method, ServiceView};
use std::net::SocketAddr;

/// What is counted of everything, of services and of destinations: last part of the name, help, value.
type Counted = (&'static [&'static str; 3], &'static str, fn(&Counters) -> u64);

const COUNTED: [Counted; 5] = [
    (
        &["rlvs_connections_total", "rlvs_service_connections_total", "rlvs_destination_connections_total"],
        "Connections and UDP flows that were opened",
        |c| c.conns,
    ),
    (
        &[
            "rlvs_request_packets_total",
            "rlvs_service_request_packets_total",
            "rlvs_destination_request_packets_total",
        ],
        "Packets towards real servers",
        |c| c.in_packets,
    ),
    (
        &[
            "rlvs_reply_packets_total",
            "rlvs_service_reply_packets_total",
            "rlvs_destination_reply_packets_total",
        ],
        "Packets of real servers towards clients, where they pass here (NAT)",
        |c| c.out_packets,
    ),
    (
        &[
            "rlvs_request_bytes_total",
            "rlvs_service_request_bytes_total",
            "rlvs_destination_request_bytes_total",
        ],
        "Bytes towards real servers, with their IP headers",
        |c| c.in_bytes,
    ),
    (
        &["rlvs_reply_bytes_total", "rlvs_service_reply_bytes_total", "rlvs_destination_reply_bytes_total"],
        "Bytes of real servers towards clients, with their IP headers, where they pass here (NAT)",
        |c| c.out_bytes,
    ),
];

/// Name, help and value of what a destination has at this moment.
type Gauge = (&'static str, &'static str, fn(&DestinationView) -> u32);

pub fn tell(snapshot: &Snapshot, text: &mut Text) {
    text.family("rlvs_build_info", Kind::Gauge, "The version of rlvs, and of the kernel it runs on")
        .sample(&[("version", &env!("CARGO_PKG_VERSION")), ("kernel", &snapshot.status.kernel)], 1);
    let loaded = u8::from(snapshot.status.loaded);
    text.family("rlvs_loaded", Kind::Gauge, "1: the programs are loaded in this network namespace")
        .sample(&[], loaded);
    counters(snapshot, text);
    services(snapshot, text);
    destinations(snapshot, text);
    machinery(snapshot, text);
}

fn counters(snapshot: &Snapshot, text: &mut Text) {
    for ([all, service, destination], help, value) in COUNTED {
        text.family(all, Kind::Counter, help).sample(&[], value(&snapshot.totals.counters));
        let mut family = text.family(service, Kind::Counter, help);
        for s in &snapshot.services {
            family.sample(&[("service", &name(s))], value(&s.counters));
        }
        let mut family = text.family(destination, Kind::Counter, help);
        each(snapshot, |s, d, view| {
            family.sample(&[("service", &s), ("destination", &d)], value(&view.counters));
        });
    }
}

fn services(snapshot: &Snapshot, text: &mut Text) {
    let mut family = text.family("rlvs_service_info", Kind::Gauge, "The scheduler of a service");
    for s in &snapshot.services {
        family.sample(&[("service", &name(s)), ("scheduler", &s.service.scheduler)], 1);
    }
    let mut family = text.family(
        "rlvs_service_persistence_seconds",
        Kind::Gauge,
        "How long a client without connections is remembered; 0: the service is not persistent",
    );
    for s in &snapshot.services {
        family.sample(&[("service", &name(s))], s.service.persistence.map_or(0, |p| p.timeout_secs));
    }
    let mut family = text.family("rlvs_service_destinations", Kind::Gauge, "Destinations of a service");
    for s in &snapshot.services {
        family.sample(&[("service", &name(s))], s.destinations.len());
    }
    let help = "Destinations of a service whose weight is not 0";
    let mut family = text.family("rlvs_service_weighted_destinations", Kind::Gauge, help);
    for s in &snapshot.services {
        let weighted = s.destinations.iter().filter(|d| d.destination.weight > 0).count();
        family.sample(&[("service", &name(s))], weighted);
    }
}

fn destinations(snapshot: &Snapshot, text: &mut Text) {
    let mut family = text.family("rlvs_destination_info", Kind::Gauge, "How packets reach a destination");
    each(snapshot, |s, d, view| {
        let method = match view.destination.method {
            Method::Masquerade => "masq",
            Method::Tunnel => "tunnel",
            Method::DirectRoute => "gatewaying",
            Method::FullNat => "fullnat",
        };
        family.sample(&[("service", &s), ("destination", &d), ("method", &method)], 1);
    });
    let gauges: [Gauge; 5] = [
        ("rlvs_destination_weight", "Weight; 0 takes no new connections", |d| d.destination.weight),
        ("rlvs_destination_active_connections", "Connections in an established state", |d| {
            d.active_connections
        }),
        ("rlvs_destination_inactive_connections", "Connections in any other state", |d| {
            d.inactive_connections
        }),
        ("rlvs_destination_templates", "Clients that persistence remembers", |d| d.persistent_connections),
        (
            "rlvs_destination_upper_threshold_connections",
            "Connections at which a destination takes no more; 0: never",
            |d| d.destination.upper_threshold,
        ),
    ];
    for (name, help, value) in gauges {
        let mut family = text.family(name, Kind::Gauge, help);
        each(snapshot, |s, d, view| {
            family.sample(&[("service", &s), ("destination", &d)], value(view));
        });
    }
    let mut family = text.family("rlvs_destination_draining", Kind::Gauge, "1: drained by `rlvs drain`");
    for service in &snapshot.services {
        for view in &service.destinations {
            let (addr, port) = (view.destination.addr, view.destination.port);
            let draining = snapshot.drains.iter().any(|d| d.is(&service.service.key, addr, port));
            let labels: [(&str, &dyn std::fmt::Display); 2] =
                [("service", &name(service)), ("destination", &SocketAddr::new(addr, port))];
            family.sample(&labels, u8::from(draining));
        }
    }
}

fn machinery(snapshot: &Snapshot, text: &mut Text) {
    let status = &snapshot.status;
    let mut family =
        text.family("rlvs_dropped_packets_total", Kind::Counter, "Packets that were dropped, by reason");
    for reason in drop_reasons() {
        let packets = status.drops.iter().find(|d| d.reason == reason).map_or(0, |d| d.packets);
        family.sample(&[("reason", &reason)], packets);
    }
    let mut family = text.family("rlvs_table_used_entries", Kind::Gauge, "Entries of a table in use");
    for map in &status.maps {
        family.sample(&[("table", &map.name)], map.used);
    }
    let mut family =
        text.family("rlvs_table_capacity_entries", Kind::Gauge, "Entries that a table has room for");
    for map in &status.maps {
        family.sample(&[("table", &map.name)], map.capacity);
    }
    let help = "1: the programs are on the interface, in this mode";
    let mut family = text.family("rlvs_interface_attached", Kind::Gauge, help);
    for interface in &status.interfaces {
        let mode = interface.mode.map_or("none", |m| m.word());
        family.sample(&[("interface", &interface.name), ("mode", &mode)], u8::from(interface.mode.is_some()));
    }
    let help = "Ticks of the timer that expires connections, 16 each second; starts anew at 2^32";
    text.family("rlvs_sweeper_ticks_total", Kind::Counter, help).sample(&[], status.sweeper_ticks);
}

fn each(snapshot: &Snapshot, mut tell: impl FnMut(String, SocketAddr, &DestinationView)) {
    for service in &snapshot.services {
        for view in &service.destinations {
            tell(name(service), SocketAddr::new(view.destination.addr, view.destination.port), view);
        }
    }
}

fn name(service: &ServiceView) -> String {
    name_of(&service.service.key)
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::super::{Names, render};
    use std::collections::BTreeSet;

    /// Each family once, its samples right behind its type, counters named `_total` and they alone.
    #[test]
    fn the_page_is_by_the_book() {
        let page = render(&snapshot(), Names::Both);
        let (mut seen, mut family) = (BTreeSet::new(), String::new());
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').unwrap();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(seen.insert(name.to_string()), "{name} twice");
                family = name.to_string();
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next().unwrap(), family);
                let value = line.rsplit_once(' ').unwrap().1;
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_rules() {
        let page = render(&snapshot(), Names::Rlvs);
        let first = "{service=\"tcp:10.0.0.100:80\",destination=\"10.1.0.1:80\"}";
        for line in [
            &format!("rlvs_destination_active_connections{first} 3"),
            &format!("rlvs_destination_weight{first} 0"),
            &format!("rlvs_destination_draining{first} 1"),
            "rlvs_destination_draining{service=\"tcp:10.0.0.100:80\",destination=\"10.1.0.2:80\"} 0",
            "rlvs_destination_reply_bytes_total{service=\"tcp:10.0.0.100:80\",destination=\"10.1.0.2:80\"} 36000",
            "rlvs_service_weighted_destinations{service=\"tcp:10.0.0.100:80\"} 1",
            "rlvs_service_request_packets_total{service=\"mark:256 (IPv6)\"} 60",
            "rlvs_dropped_packets_total{reason=\"no-server\"} 12",
            "rlvs_table_capacity_entries{table=\"services\"} 4096",
            "rlvs_interface_attached{interface=\"eth\\\"0\",mode=\"tc\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
        assert!(
            page.matches("rlvs_dropped_packets_total{").count() > 5,
            "reasons without drops are there, too"
        );
    }
}
