//! The settings of `/proc/sys/net/ipv4/vs`: names, defaults and ranges of Linux 6.1, and where each stands in
//! [`Settings::sysctl`](super::Settings::sysctl).

/// A setting's index. The list only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Setting {
    AmDroprate = 0,
    Amemthresh = 1,
    BackupOnly = 2,
    CacheBypass = 3,
    ConnReuseMode = 4,
    Conntrack = 5,
    DropEntry = 6,
    DropPacket = 7,
    ExpireNodestConn = 8,
    ExpireQuiescentTemplate = 9,
    IgnoreTunneled = 10,
    LblcExpiration = 11,
    LblcrExpiration = 12,
    NatIcmpSend = 13,
    PmtuDisc = 14,
    RunEstimation = 15,
    ScheduleIcmp = 16,
    SecureTcp = 17,
    SloppySctp = 18,
    SloppyTcp = 19,
    SnatReroute = 20,
    SyncPersistMode = 21,
    SyncPorts = 22,
    SyncQlenMax = 23,
    SyncRefreshPeriod = 24,
    SyncRetries = 25,
    SyncSockSize = 26,
    /// `sync_threshold` is two numbers; this is the first.
    SyncThreshold = 27,
    SyncPeriod = 28,
    SyncVersion = 29,
}

/// What is known of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub setting: Setting,
    pub name: &'static str,
    pub default: u32,
    /// Both included.
    pub min: u32,
    pub max: u32,
    /// One line for people: what it means, in which unit.
    pub meaning: &'static str,
}

const MAX: u32 = i32::MAX as u32;

const fn define(
    setting: Setting,
    name: &'static str,
    default: u32,
    (min, max): (u32, u32),
    meaning: &'static str,
) -> Definition {
    Definition { setting, name, default, min, max, meaning }
}

/// All of them, sorted by name. `sync_threshold` stands for two numbers, [`SYNC_PERIOD`] describes the second.
#[rustfmt::skip]
pub const ALL: &[Definition] = &[
    define(Setting::AmDroprate, "am_droprate", 10, (1, MAX), "drop_packet 3 drops one of so many new connections"),
    define(Setting::Amemthresh, "amemthresh", 1024, (0, MAX), "automatic defences act below so many free pages (4 KiB) of the connection table"),
    define(Setting::BackupOnly, "backup_only", 0, (0, 1), "1: while a backup sync daemon runs, requests are not balanced"),
    define(Setting::CacheBypass, "cache_bypass", 0, (0, 1), "1: without a server, packets of a mark service go on to their own destination"),
    define(Setting::ConnReuseMode, "conn_reuse_mode", 1, (0, 3), "a SYN on an old connection: 0 stays; bit 0: schedules anew in TIME_WAIT and CLOSE; bit 1: in FIN_WAIT too"),
    define(Setting::Conntrack, "conntrack", 0, (0, 1), "kept for scripts; rlvs needs no netfilter connections"),
    define(Setting::DropEntry, "drop_entry", 0, (0, 3), "drop old half-open and idle entries: 0 never, 1 automatic (2 while it acts), 3 always"),
    define(Setting::DropPacket, "drop_packet", 0, (0, 3), "drop some new connections: 0 never, 1 automatic (2 while it acts), 3 always"),
    define(Setting::ExpireNodestConn, "expire_nodest_conn", 0, (0, 1), "1: connections of a deleted server end at once"),
    define(Setting::ExpireQuiescentTemplate, "expire_quiescent_template", 0, (0, 1), "1: persistence does not lead to a server of weight 0"),
    define(Setting::IgnoreTunneled, "ignore_tunneled", 0, (0, 1), "1: packets that came out of a tunnel are not balanced"),
    define(Setting::LblcExpiration, "lblc_expiration", 86_400, (0, MAX / 1000), "seconds until lblc forgets an address"),
    define(Setting::LblcrExpiration, "lblcr_expiration", 86_400, (0, MAX / 1000), "seconds until lblcr forgets an address, or shrinks its set of servers"),
    define(Setting::NatIcmpSend, "nat_icmp_send", 0, (0, 1), "1: a real server's packet without connection is answered with ICMP port unreachable"),
    define(Setting::PmtuDisc, "pmtu_disc", 1, (0, 1), "0: tunnelled packets may be fragmented, whatever the inner one says"),
    define(Setting::RunEstimation, "run_estimation", 1, (0, 1), "0: rates are not estimated"),
    define(Setting::ScheduleIcmp, "schedule_icmp", 0, (0, 1), "1: an ICMP error without connection is sent to a server"),
    define(Setting::SecureTcp, "secure_tcp", 0, (0, 3), "stricter TCP states: 0 never, 1 automatic (2 while it acts), 3 always"),
    define(Setting::SloppySctp, "sloppy_sctp", 0, (0, 1), "1: any SCTP packet may open a connection"),
    define(Setting::SloppyTcp, "sloppy_tcp", 0, (0, 1), "1: any TCP segment may open a connection"),
    define(Setting::SnatReroute, "snat_reroute", 1, (0, 1), "kept for scripts; replies are always routed by their new source"),
    define(Setting::SyncPersistMode, "sync_persist_mode", 0, (0, 1), "1: of persistent services only templates are synchronised"),
    define(Setting::SyncPorts, "sync_ports", 1, (1, 64), "UDP ports that connection sync uses; a power of two"),
    define(Setting::SyncQlenMax, "sync_qlen_max", 0, (1, MAX), "sync messages that may wait"),
    define(Setting::SyncRefreshPeriod, "sync_refresh_period", 0, (0, MAX / 1000), "seconds between two messages of one connection"),
    define(Setting::SyncRetries, "sync_retries", 0, (0, 3), "repetitions of a sync message"),
    define(Setting::SyncSockSize, "sync_sock_size", 0, (0, MAX), "bytes of the sync socket's buffer; 0: the system's"),
    define(Setting::SyncThreshold, "sync_threshold", 3, (0, MAX), "two numbers: synchronised when a connection's packets modulo the second are the first"),
    define(Setting::SyncVersion, "sync_version", 1, (0, 1), "version of the sync protocol"),
];

/// The second number of `sync_threshold`.
pub const SYNC_PERIOD: Definition =
    define(Setting::SyncPeriod, "sync_threshold", 50, (0, MAX), "the second number of sync_threshold");

/// Values of a new instance. (`sync_qlen_max` depends on the machine and is filled in by user space.)
pub const DEFAULTS: [u32; 64] = {
    let mut values = [0; 64];
    let mut i = 0;
    while i < ALL.len() {
        values[ALL[i].setting as usize] = ALL[i].default;
        i += 1;
    }
    values[SYNC_PERIOD.setting as usize] = SYNC_PERIOD.default;
    values
};

/// The setting of this name.
pub fn by_name(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|d| d.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_each_once() {
        assert!(ALL.windows(2).all(|w| w[0].name < w[1].name));
        let mut seen = [false; 64];
        for d in ALL {
            assert!(!core::mem::replace(&mut seen[d.setting as usize], true), "{} twice", d.name);
            assert!(d.default <= d.max, "{}", d.name);
        }
    }
}
