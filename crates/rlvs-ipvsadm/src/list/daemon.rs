//! `-L --daemon` and `-L --timeout`.

use rlvs_control::model::{SyncDaemon, SyncRole, Timeouts};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What a sync daemon does where it was not told otherwise.
const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const DEFAULT_PORT: u16 = 8848;
const DEFAULT_TTL: u8 = 1;

pub fn daemons(daemons: &[SyncDaemon]) -> String {
    let mut text = String::new();
    for daemon in in_order(daemons) {
        let _ = writeln!(
            text,
            "{} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
            role(daemon.role),
            daemon.interface,
            daemon.sync_id,
            max_len(daemon),
            group(daemon),
            port(daemon),
            ttl(daemon),
        );
    }
    text
}

/// The master stands first.
pub fn in_order(daemons: &[SyncDaemon]) -> impl Iterator<Item = &SyncDaemon> {
    let with = |role| daemons.iter().filter(move |d| d.role == role);
    with(SyncRole::Master).chain(with(SyncRole::Backup))
}

pub fn role(role: SyncRole) -> &'static str {
    match role {
        SyncRole::Master => "master",
        SyncRole::Backup => "backup",
    }
}

/// The longest message: what is left of an Ethernet frame after IP and UDP headers.
pub fn max_len(daemon: &SyncDaemon) -> u16 {
    daemon.max_len.unwrap_or(if group(daemon).is_ipv4() { 1472 } else { 1452 })
}

pub fn group(daemon: &SyncDaemon) -> IpAddr {
    daemon.group.unwrap_or(DEFAULT_GROUP)
}

pub fn port(daemon: &SyncDaemon) -> u16 {
    daemon.port.unwrap_or(DEFAULT_PORT)
}

pub fn ttl(daemon: &SyncDaemon) -> u8 {
    daemon.ttl.unwrap_or(DEFAULT_TTL)
}

pub fn timeouts(timeouts: &Timeouts) -> String {
    let Timeouts { tcp_secs, tcp_fin_secs, udp_secs } = timeouts;
    format!("Timeout (tcp tcpfin udp): {tcp_secs} {tcp_fin_secs} {udp_secs}\n")
}
