//! `--json`, ours: any listing for programs, one object on one line, described in `docs/json.md`.
//!
//! The form is written down here and not derived from the model, so that it stays when the model moves. Every
//! object has all its keys: what does not apply is `null`. Units are in the names (`…_secs`, `…_per_sec`), words
//! are those that options use, addresses and ports are never names.

use super::connections::protocol_name;
use super::daemon;
use rlvs_control::model::*;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};

pub fn services(views: &[ServiceView]) -> String {
    #[derive(Serialize)]
    struct Services<'a> {
        services: Vec<ServiceRow<'a>>,
    }
    line(&Services { services: views.iter().map(ServiceRow::of).collect() })
}

pub fn connections(views: &[ConnectionView]) -> String {
    #[derive(Serialize)]
    struct Connections<'a> {
        connections: Vec<ConnectionRow<'a>>,
    }
    line(&Connections { connections: views.iter().map(ConnectionRow::of).collect() })
}

pub fn timeouts(timeouts: &Timeouts) -> String {
    #[derive(Serialize)]
    struct Seconds {
        tcp_secs: u32,
        tcp_fin_secs: u32,
        udp_secs: u32,
    }
    #[derive(Serialize)]
    struct All {
        timeouts: Seconds,
    }
    let Timeouts { tcp_secs, tcp_fin_secs, udp_secs } = *timeouts;
    line(&All { timeouts: Seconds { tcp_secs, tcp_fin_secs, udp_secs } })
}

pub fn daemons(daemons: &[SyncDaemon]) -> String {
    #[derive(Serialize)]
    struct Daemons<'a> {
        sync_daemons: Vec<DaemonRow<'a>>,
    }
    line(&Daemons { sync_daemons: daemon::in_order(daemons).map(DaemonRow::of).collect() })
}

#[derive(Serialize)]
struct ServiceRow<'a> {
    family: &'static str,
    protocol: Option<&'static str>,
    address: Option<IpAddr>,
    port: Option<u16>,
    fwmark: Option<u32>,
    scheduler: &'a str,
    scheduler_flags: Vec<&'static str>,
    persistence_timeout_secs: Option<u32>,
    netmask: Option<Ipv4Addr>,
    prefix_length_bits: Option<u8>,
    persistence_engine: Option<&'a str>,
    one_packet: bool,
    counters: CounterRow,
    rates: RateRow,
    destinations: Vec<DestinationRow>,
}

impl ServiceRow<'_> {
    fn of(view: &ServiceView) -> ServiceRow<'_> {
        let service = &view.service;
        let family = service.key.family();
        let (protocol, address, port, fwmark) = match service.key {
            ServiceKey::Address { protocol, addr, port } => (Some(protocol), Some(addr), Some(port), None),
            ServiceKey::Fwmark { mark, .. } => (None, None, None, Some(mark)),
        };
        ServiceRow {
            family: if family == Family::Inet { "inet" } else { "inet6" },
            protocol: protocol.map(|p| match p {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            }),
            address,
            port,
            fwmark,
            scheduler: &service.scheduler,
            scheduler_flags: crate::sched_flags::names(service.flags, &service.scheduler).collect(),
            persistence_timeout_secs: service.persistence.map(|p| p.timeout_secs),
            netmask: service.netmask.filter(|_| family == Family::Inet),
            prefix_length_bits: (family == Family::Inet6).then_some(service.prefix_len),
            persistence_engine: service.engine.as_deref(),
            one_packet: service.one_packet,
            counters: CounterRow::of(&view.counters),
            rates: RateRow::of(&view.rates),
            destinations: view.destinations.iter().map(DestinationRow::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct DestinationRow {
    address: IpAddr,
    port: u16,
    method: &'static str,
    tunnel: Option<TunnelRow>,
    weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_protocol: Option<bool>,
    upper_threshold_connections: u32,
    lower_threshold_connections: u32,
    active_connections: u32,
    inactive_connections: u32,
    persistent_connections: u32,
    counters: CounterRow,
    rates: RateRow,
}

impl DestinationRow {
    fn of(view: &DestinationView) -> DestinationRow {
        let server = &view.destination;
        DestinationRow {
            address: server.addr,
            port: server.port,
            method: match server.method {
                Method::Masquerade => "masq",
                Method::Tunnel => "tunnel",
                Method::DirectRoute => "gatewaying",
                Method::FullNat => "fullnat",
            },
            tunnel: (server.method == Method::Tunnel).then(|| TunnelRow::of(server.tunnel)),
            weight: server.weight,
            proxy_protocol: (server.method == Method::FullNat).then_some(server.proxy_protocol),
            upper_threshold_connections: server.upper_threshold,
            lower_threshold_connections: server.lower_threshold,
            active_connections: view.active_connections,
            inactive_connections: view.inactive_connections,
            persistent_connections: view.persistent_connections,
            counters: CounterRow::of(&view.counters),
            rates: RateRow::of(&view.rates),
        }
    }
}

#[derive(Serialize)]
struct TunnelRow {
    r#type: &'static str,
    port: Option<u16>,
    checksum: Option<&'static str>,
}

impl TunnelRow {
    fn of(Tunnel { kind, port, checksum }: Tunnel) -> TunnelRow {
        TunnelRow {
            r#type: match kind {
                TunnelKind::Ipip => "ipip",
                TunnelKind::Gue => "gue",
                TunnelKind::Gre => "gre",
            },
            port: (kind == TunnelKind::Gue).then_some(port),
            checksum: (kind != TunnelKind::Ipip).then_some(match checksum {
                TunnelChecksum::None => "nocsum",
                TunnelChecksum::Full => "csum",
                TunnelChecksum::Remote => "remcsum",
            }),
        }
    }
}

#[derive(Serialize)]
struct CounterRow {
    connections: u64,
    in_packets: u64,
    out_packets: u64,
    in_bytes: u64,
    out_bytes: u64,
}

impl CounterRow {
    fn of(c: &Counters) -> CounterRow {
        let Counters { conns: connections, in_packets, out_packets, in_bytes, out_bytes } = *c;
        CounterRow { connections, in_packets, out_packets, in_bytes, out_bytes }
    }
}

#[derive(Serialize)]
struct RateRow {
    connections_per_sec: u64,
    in_packets_per_sec: u64,
    out_packets_per_sec: u64,
    in_bytes_per_sec: u64,
    out_bytes_per_sec: u64,
}

impl RateRow {
    fn of(r: &Rates) -> RateRow {
        RateRow {
            connections_per_sec: r.conns_per_sec,
            in_packets_per_sec: r.in_packets_per_sec,
            out_packets_per_sec: r.out_packets_per_sec,
            in_bytes_per_sec: r.in_bytes_per_sec,
            out_bytes_per_sec: r.out_bytes_per_sec,
        }
    }
}

/// What the server of a FULLNAT connection sees.
#[derive(Serialize)]
struct SourceRow {
    address: IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct ConnectionRow<'a> {
    protocol: String,
    client_address: IpAddr,
    client_port: u16,
    virtual_address: IpAddr,
    virtual_port: u16,
    destination_address: IpAddr,
    destination_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceRow>,
    state: &'a str,
    expires_secs: u32,
    template: bool,
    from_sync: bool,
    persistence_engine: Option<&'a str>,
    persistence_data: Option<&'a str>,
}

impl ConnectionRow<'_> {
    fn of(c: &ConnectionView) -> ConnectionRow<'_> {
        ConnectionRow {
            protocol: protocol_name(c.protocol).to_lowercase(),
            client_address: c.client,
            client_port: c.client_port,
            virtual_address: c.virtual_addr,
            virtual_port: c.virtual_port,
            destination_address: c.destination,
            destination_port: c.destination_port,
            source: c.source.map(|s| SourceRow { address: s.ip(), port: s.port() }),
            state: c.state,
            expires_secs: c.expires_secs,
            template: c.is_template,
            from_sync: c.from_sync,
            persistence_engine: c.engine.as_ref().map(|e| e.0.as_str()),
            persistence_data: c.engine.as_ref().map(|e| e.1.as_str()),
        }
    }
}

#[derive(Serialize)]
struct DaemonRow<'a> {
    role: &'static str,
    interface: &'a str,
    sync_id: u8,
    max_message_bytes: u16,
    group: IpAddr,
    port: u16,
    ttl: u8,
}

impl DaemonRow<'_> {
    fn of(d: &SyncDaemon) -> DaemonRow<'_> {
        DaemonRow {
            role: daemon::role(d.role),
            interface: &d.interface,
            sync_id: d.sync_id,
            max_message_bytes: daemon::max_len(d),
            group: daemon::group(d),
            port: daemon::port(d),
            ttl: daemon::ttl(d),
        }
    }
}

fn line(value: &impl Serialize) -> String {
    // Cannot fail: plain structures, and keys that are words.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
