//! `rlvs proc NAME`: the text of the files that kernel IPVS has below `/proc/net`, for scripts that read those.
//!
//! Addresses, ports and counters are hexadecimal, weights and connections decimal, as there; columns too.

use anyhow::Result;
use clap::ValueEnum;
use rlvs_control::model::*;
use rlvs_control::{Balancer, Director, Totals, jiffies_per_second};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

#[derive(clap::Args)]
pub struct Args {
    /// The file below /proc/net
    #[arg(value_enum)]
    name: File,
}

#[derive(Clone, Copy, ValueEnum)]
enum File {
    #[value(name = "ip_vs")]
    Rules,
    #[value(name = "ip_vs_conn")]
    Conn,
    #[value(name = "ip_vs_conn_sync")]
    ConnSync,
    #[value(name = "ip_vs_stats")]
    Stats,
    #[value(name = "ip_vs_stats_percpu")]
    StatsPercpu,
    #[value(name = "ip_vs_app")]
    App,
}

pub fn run(args: Args) -> Result<()> {
    let mut director = Director::here()?;
    let text = match args.name {
        File::Rules => services(&director.services()?, jiffies_per_second()),
        File::Conn => connections(&director.connections()?),
        File::ConnSync => connections_sync(&director.connections()?),
        File::Stats => stats(&director.totals()?),
        File::StatsPercpu => stats_percpu(&director.totals()?),
        File::App => "prot port    usecnt name\n".to_string(),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn services(views: &[ServiceView], hz: u32) -> String {
    let mut text = String::from(
        "IP Virtual Server version 1.2.1 (size=4096)\n\
         Prot LocalAddress:Port Scheduler Flags\n  \
         -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n",
    );
    for view in views {
        let s = &view.service;
        let ops = if s.one_packet { "ops " } else { "" };
        let _ = match s.key {
            ServiceKey::Address { protocol, addr: IpAddr::V4(a), port } => {
                write!(
                    text,
                    "{}  {:08X}:{port:04X} {} {ops} ",
                    protocol_word(protocol.number()),
                    u32::from(a),
                    s.scheduler
                )
            }
            ServiceKey::Address { protocol, addr, port } => {
                let word = protocol_word(protocol.number());
                write!(text, "{word}  [{}]:{port:04X} {} {ops}", address(addr), s.scheduler)
            }
            ServiceKey::Fwmark { mark, .. } => write!(text, "FWM  {mark:08X} {} {ops}", s.scheduler),
        };
        if let Some(p) = s.persistence {
            // The kernel prints jiffies, and an IPv6 prefix length with its bytes turned round.
            let mask = s.netmask.map_or((s.prefix_len as u32).swap_bytes(), u32::from);
            let _ = write!(text, "persistent {} {mask:08X}", p.timeout_secs.saturating_mul(hz));
        }
        text.push('\n');
        for d in &view.destinations {
            let place = match d.destination.addr {
                IpAddr::V4(a) => format!("{:08X}:{:04X}", u32::from(a), d.destination.port),
                v6 => format!("[{}]:{:04X}", address(v6), d.destination.port),
            };
            let method = d.destination.method.listed();
            let (weight, active, inactive) =
                (d.destination.weight, d.active_connections, d.inactive_connections);
            let _ = writeln!(text, "  -> {place}      {method:<7} {weight:<6} {active:<10} {inactive:<10}");
        }
    }
    text
}

fn connections(list: &[ConnectionView]) -> String {
    let mut text =
        String::from("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n");
    for c in list {
        let engine = c.engine.as_ref().map_or(String::new(), |(name, data)| format!(" {name} {data}"));
        let _ = writeln!(text, "{} {:<11} {:>7}{engine}", flow(c), c.state, c.expires_secs);
    }
    text
}

fn connections_sync(list: &[ConnectionView]) -> String {
    let mut text = String::from("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n");
    for c in list {
        let origin = if c.from_sync { "SYNC" } else { "LOCAL" };
        let _ = writeln!(text, "{} {:<11} {origin:<6} {:>7}", flow(c), c.state, c.expires_secs);
    }
    text
}

fn flow(c: &ConnectionView) -> String {
    format!(
        "{:<3} {} {:04X} {} {:04X} {} {:04X}",
        protocol_word(c.protocol),
        hex(c.client),
        c.client_port,
        hex(c.virtual_addr),
        c.virtual_port,
        hex(c.destination),
        c.destination_port
    )
}

fn hex(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(a) => format!("{:08X}", u32::from(a)),
        v6 => address(v6),
    }
}

/// An IPv6 address with all its zeros.
fn address(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => a.segments().map(|s| format!("{s:04x}")).join(":"),
    }
}

fn protocol_word(number: u8) -> &'static str {
    match number {
        6 => "TCP",
        17 => "UDP",
        132 => "SCTP",
        _ => "IP",
    }
}

fn stats(totals: &Totals) -> String {
    format!(
        "   Total Incoming Outgoing         Incoming         Outgoing\n   \
         Conns  Packets  Packets            Bytes            Bytes\n{}\n\n \
         Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n{}\n",
        counted(&totals.counters),
        rated(&totals.rates)
    )
}

fn stats_percpu(totals: &Totals) -> String {
    let mut text = String::from(
        "       Total Incoming Outgoing         Incoming         Outgoing\n\
         CPU    Conns  Packets  Packets            Bytes            Bytes\n",
    );
    for (cpu, counters) in totals.processors.iter().enumerate() {
        let _ = writeln!(text, "{cpu:>3X} {}", counted(counters));
    }
    let _ = write!(
        text,
        "  ~ {}\n\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n    {}\n",
        counted(&totals.counters),
        rated(&totals.rates)
    );
    text
}

fn counted(c: &Counters) -> String {
    format!(
        "{:>8X} {:>8X} {:>8X} {:>16X} {:>16X}",
        c.conns, c.in_packets, c.out_packets, c.in_bytes, c.out_bytes
    )
}

fn rated(r: &Rates) -> String {
    format!(
        "{:>8X} {:>8X} {:>8X} {:>16X} {:>16X}",
        r.conns_per_sec, r.in_packets_per_sec, r.out_packets_per_sec, r.in_bytes_per_sec, r.out_bytes_per_sec
    )
}
