//! `-L --daemon` and `-L --timeout`.

use rlvs_control::model::{SyncDaemon, SyncRole, Timeouts};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What a sync daemon does where it was not told otherwise.
const DEFAULT_MAX_LEN: u16 = 1472;
const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const DEFAULT_PORT: u16 = 8848;
const DEFAULT_TTL: u8 = 1;

/// The master stands first.
pub fn daemons(daemons: &[SyncDaemon]) -> String {
    let mut text = String::new();
    for (role, name) in [(SyncRole::Master, "master"), (SyncRole::Backup, "backup")] {
        for daemon in daemons.iter().filter(|d| d.role == role) {
            let _ = writeln!(
                text,
                "{name} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
                daemon.interface,
                daemon.sync_id,
                daemon.max_len.unwrap_or(DEFAULT_MAX_LEN),
                daemon.group.unwrap_or(DEFAULT_GROUP),
                daemon.port.unwrap_or(DEFAULT_PORT),
                daemon.ttl.unwrap_or(DEFAULT_TTL),
            );
        }
    }
    text
}

pub fn timeouts(timeouts: &Timeouts) -> String {
    let Timeouts { tcp_secs, tcp_fin_secs, udp_secs } = timeouts;
    format!("Timeout (tcp tcpfin udp): {tcp_secs} {tcp_fin_secs} {udp_secs}\n")
}
