//! The listing of services with their servers, in all its columns but the counters (those are in [`super::stats`]).

use super::{Columns, mask_of, protocol_of, stats};
use crate::address::Printer;
use crate::sched_flags;
use rlvs_control::model::*;
use std::fmt::Write;
use std::net::IpAddr;

/// The version is that of the IPVS whose behaviour we keep, the size that of its connection hash table.
const TITLE: &str = "IP Virtual Server version 1.2.1 (size=4096)\n";

pub struct Listing<'a> {
    pub columns: Columns,
    pub exact: bool,
    pub printer: Printer<'a>,
}

impl Listing<'_> {
    /// The title stands only above a listing of everything.
    pub fn text(&self, views: &[ServiceView], titled: bool) -> String {
        let mut text = String::from(if titled { TITLE } else { "" });
        text.push_str(&self.header());
        for view in views {
            let service = &view.service;
            let name = self.service_name(&service.key);
            let _ = match self.columns {
                Columns::Stats => writeln!(text, "{name:<33}{}", stats::counters(&view.counters, self.exact)),
                Columns::Rate => {
                    writeln!(text, "{name:<33}{}", stats::service_rates(&view.rates, self.exact))
                }
                _ => writeln!(text, "{name} {}{}", service.scheduler, attributes(service)),
            };
            for server in &view.destinations {
                let name = self.server_name(&server.destination, &service.key);
                let _ = writeln!(text, "  -> {name:<28}{}", self.server_columns(server));
            }
        }
        text
    }

    fn header(&self) -> String {
        const SERVICE: &str = "Prot LocalAddress:Port";
        const SERVER: &str = "  -> RemoteAddress:Port";
        match self.columns {
            Columns::Plain => {
                format!("{SERVICE} Scheduler Flags\n{SERVER:<33} Forward Weight ActiveConn InActConn\n")
            }
            Columns::TunnelInfo => format!(
                "{SERVICE} Scheduler Flags\n\
                 {SERVER:<33} Forward TunnelInfo    Weight ActiveConn InActConn\n"
            ),
            Columns::Stats => format!("{SERVICE:<33}{}\n{SERVER}\n", stats::COUNTER_TITLES),
            Columns::Rate => format!("{SERVICE:<33}{}\n{SERVER}\n", stats::RATE_TITLES),
            Columns::Thresholds => {
                format!("{SERVICE:<33} Uthreshold Lthreshold ActiveConn InActConn \n{SERVER}\n")
            }
            Columns::Persistent => {
                format!("{SERVICE:<33} Weight    PersistConn ActiveConn InActConn \n{SERVER}\n")
            }
        }
    }

    fn service_name(&self, key: &ServiceKey) -> String {
        match *key {
            ServiceKey::Address { protocol, addr, port } => {
                let protocol_name = match protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                    Protocol::Sctp => "SCTP",
                };
                format!("{protocol_name:<4} {}", self.name(addr, port, Some(protocol)))
            }
            // The original prints marks from 2^31 on as negative numbers.
            ServiceKey::Fwmark { mark, family: Family::Inet } => format!("FWM  {}", mark as i32),
            ServiceKey::Fwmark { mark, family: Family::Inet6 } => {
                format!("FWM  {} IPv6", mark as i32)
            }
        }
    }

    fn server_name(&self, server: &Destination, key: &ServiceKey) -> String {
        self.name(server.addr, server.port, protocol_of(key))
    }

    /// Long names of IPv4 hosts are cut off so that the columns stay in line, with their ports.
    fn name(&self, addr: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        let name = self.printer.host_port(addr, port, protocol);
        if addr.is_ipv4() { name.chars().take(28).collect() } else { name }
    }

    fn server_columns(&self, server: &DestinationView) -> String {
        let DestinationView {
            destination: Destination { weight, upper_threshold, lower_threshold, method, tunnel, .. },
            active_connections: active,
            inactive_connections: inactive,
            persistent_connections: persistent,
            ..
        } = server;
        let forward = method.listed();
        match self.columns {
            Columns::Plain => format!(" {forward:<7} {weight:<6} {active:<10} {inactive:<10}"),
            Columns::TunnelInfo => {
                let tunnel = tunnel_info(*method, *tunnel);
                format!(" {forward:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}")
            }
            Columns::Stats => stats::counters(&server.counters, self.exact),
            Columns::Rate => stats::server_rates(&server.rates, self.exact),
            Columns::Thresholds => {
                format!(" {upper_threshold:<10} {lower_threshold:<10} {active:<10} {inactive:<10}")
            }
            Columns::Persistent => {
                format!(" {weight:<9} {persistent:<11} {active:<10} {inactive:<10}")
            }
        }
    }
}

/// What follows the scheduler's name. Mask and engine mean something only to a persistent service.
fn attributes(service: &Service) -> String {
    let mut text = String::new();
    if service.flags != SchedFlags::default() {
        let _ = write!(text, " ({})", sched_flags::listed(service.flags, &service.scheduler));
    }
    if let Some(Persistence { timeout_secs }) = service.persistence {
        let _ = write!(text, " persistent {timeout_secs}");
        if let Some(mask) = mask_of(service) {
            let _ = write!(text, " mask {mask}");
        }
        if let Some(engine) = &service.engine {
            let _ = write!(text, " pe {engine}");
        }
    }
    if service.one_packet {
        text.push_str(" ops");
    }
    text
}

fn tunnel_info(method: Method, tunnel: Tunnel) -> String {
    let checksum = match tunnel.checksum {
        TunnelChecksum::None => "-c",
        TunnelChecksum::Full => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match (method, tunnel.kind) {
        (Method::Masquerade | Method::DirectRoute | Method::FullNat, _) => "n/a".to_owned(),
        (Method::Tunnel, TunnelKind::Ipip) => "ipip".to_owned(),
        (Method::Tunnel, TunnelKind::Gue) => format!("gue:{}:{checksum}", tunnel.port),
        (Method::Tunnel, TunnelKind::Gre) => format!("gre:{checksum}"),
    }
}
