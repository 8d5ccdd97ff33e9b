//! What an option fills in a command, and which commands take it. Error messages name slots, not options: `-t`, `-u`
//! and `-f` all fill `service-address`, `-g`, `-i` and `-m` all fill `forwarding-method`. A slot can be filled once.

use super::Verb;

/// In the order in which the original complains about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    Server,
    Forward,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    Ops,
    Engine,
    SyncMaxlen,
    McastGroup,
    McastPort,
    McastTtl,
    SchedFlags,
    TunInfo,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
    Json,
}

/// The slots that a command line has filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled(u64);

impl Filled {
    pub fn has(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u32) != 0
    }

    pub fn has_any(self, slots: &[Slot]) -> bool {
        slots.iter().any(|s| self.has(*s))
    }

    /// False if it was filled before.
    pub fn fill(&mut self, slot: Slot) -> bool {
        let first = !self.has(slot);
        self.0 |= 1 << slot as u32;
        first
    }
}

/// Who takes a slot. A command that is in none of the lists refuses it.
pub struct SlotRules {
    pub slot: Slot,
    pub name: &'static str,
    pub required_by: &'static [Verb],
    pub optional_for: &'static [Verb],
    /// Of all slots that name the same command here at most one may be filled.
    pub one_of_for: &'static [Verb],
}

const fn rules(slot: Slot, name: &'static str, optional_for: &'static [Verb]) -> SlotRules {
    SlotRules { slot, name, required_by: &[], optional_for, one_of_for: &[] }
}

const fn one_of(slot: Slot, name: &'static str, one_of_for: &'static [Verb]) -> SlotRules {
    SlotRules { slot, name, required_by: &[], optional_for: &[], one_of_for }
}

const SERVICE: &[Verb] = &[Verb::AddService, Verb::EditService];
const SERVER: &[Verb] = &[Verb::AddServer, Verb::EditServer];
const LIST: &[Verb] = &[Verb::List];
const START: &[Verb] = &[Verb::StartDaemon];

#[rustfmt::skip]
pub const SLOTS: &[SlotRules] = &[
    rules(Slot::Numeric, "numeric", &[Verb::List, Verb::Save]),
    one_of(Slot::Connection, "connection", LIST),
    SlotRules {
        slot: Slot::Service,
        name: "service-address",
        required_by: &[
            Verb::AddService, Verb::EditService, Verb::DeleteService,
            Verb::AddServer, Verb::EditServer, Verb::DeleteServer,
        ],
        optional_for: &[Verb::Zero],
        one_of_for: LIST,
    },
    rules(Slot::Scheduler, "scheduler", SERVICE),
    rules(Slot::Persistent, "persistent", SERVICE),
    rules(Slot::Netmask, "netmask", SERVICE),
    SlotRules {
        slot: Slot::Server,
        name: "real-server",
        required_by: &[Verb::AddServer, Verb::EditServer, Verb::DeleteServer],
        optional_for: &[],
        one_of_for: &[],
    },
    rules(Slot::Forward, "forwarding-method", SERVER),
    rules(Slot::Weight, "weight", SERVER),
    rules(Slot::UpperThreshold, "u-threshold", SERVER),
    rules(Slot::LowerThreshold, "l-threshold", SERVER),
    rules(Slot::McastInterface, "mcast-interface", START),
    one_of(Slot::Timeout, "timeout", LIST),
    one_of(Slot::Daemon, "daemon", LIST),
    rules(Slot::Stats, "stats", LIST),
    rules(Slot::Rate, "rate", LIST),
    rules(Slot::Thresholds, "thresholds", LIST),
    rules(Slot::PersistentConn, "persistent-conn", LIST),
    rules(Slot::NoSort, "nosort", LIST),
    rules(Slot::SyncId, "syncid", &[Verb::List, Verb::StartDaemon, Verb::StopDaemon]),
    rules(Slot::Exact, "exact", LIST),
    rules(Slot::Ops, "ops", SERVICE),
    rules(Slot::Engine, "pe", SERVICE),
    rules(Slot::SyncMaxlen, "sync-maxlen", START),
    rules(Slot::McastGroup, "mcast-group", START),
    rules(Slot::McastPort, "mcast-port", START),
    rules(Slot::McastTtl, "mcast-ttl", START),
    rules(Slot::SchedFlags, "sched-flags", SERVICE),
    rules(Slot::TunInfo, "tun-info", LIST),
    rules(Slot::TunType, "tun-type", SERVER),
    rules(Slot::TunPort, "tun-port", SERVER),
    rules(Slot::TunNocsum, "tun-nocsum", SERVER),
    rules(Slot::TunCsum, "tun-csum", SERVER),
    rules(Slot::TunRemcsum, "tun-remcsum", SERVER),
    rules(Slot::Json, "json", LIST),
];
