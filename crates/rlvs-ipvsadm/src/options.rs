//! Every word ipvsadm understands, each defined once: its spelling, its argument, its help text, and through its
//! slot the commands that take it. The scanner, the legality check and `-h` are all read from here.
//!
//! A *slot* is what an option fills in a command and what error messages name: `-t`, `-u` and `-f` all fill
//! `service-address`, `-g`, `-i` and `-m` all fill `forwarding-method`. A slot can be filled once.

/// What to do: the first option of every command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    AddService,
    EditService,
    DeleteService,
    Clear,
    Restore,
    Save,
    AddServer,
    EditServer,
    DeleteServer,
    List,
    Zero,
    Set,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
}

impl Verb {
    /// The verb's name in error messages; only `-C` has one that cannot be typed.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Clear => "flush",
            _ => OPTIONS.iter().find(|d| d.opt == Opt::Verb(self)).map_or("", |d| d.long),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Verb(Verb),
    TcpService,
    UdpService,
    SctpService,
    FwmarkService,
    Ipv6,
    Scheduler,
    Engine,
    Persistent,
    Netmask,
    RealServer,
    Gatewaying,
    Ipip,
    Masquerading,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
    Weight,
    UpperThreshold,
    LowerThreshold,
    /// The name of its slot says it all.
    Switch,
    /// Accepted everywhere, means nothing.
    Sort,
    SchedFlags,
    SyncId,
    SyncMaxlen,
    McastInterface,
    McastGroup,
    McastPort,
    McastTtl,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    None,
    /// Named so in the help text.
    Required(&'static str),
    Optional(&'static str),
    /// Loose words after all options.
    Loose(&'static str),
}

/// Where `-h` shows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Commands,
    VirtualService,
    Options,
    DaemonOptions,
    /// Not at all: the original's help is kept to the letter.
    Unlisted,
}

#[derive(Debug)]
pub struct Definition {
    pub opt: Opt,
    pub slot: Option<Slot>,
    pub long: &'static str,
    /// One letter, none, or two that mean the same.
    pub shorts: &'static str,
    pub argument: Argument,
    pub section: Section,
    /// One item per line of help.
    pub help: &'static [&'static str],
}

type Text = &'static str;

const fn command(verb: Verb, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    let (opt, argument, section) = (Opt::Verb(verb), Argument::None, Section::Commands);
    Definition { opt, slot: None, long, shorts, argument, section, help }
}

const fn service(opt: Opt, long: Text, shorts: Text, argument: Text, help: &'static [Text]) -> Definition {
    let (argument, section) = (Argument::Required(argument), Section::VirtualService);
    Definition { opt, slot: Some(Slot::Service), long, shorts, argument, section, help }
}

const fn value(
    opt: Opt,
    slot: Slot,
    long: Text,
    shorts: Text,
    argument: Text,
    help: &'static [Text],
) -> Definition {
    let (argument, section) = (Argument::Required(argument), Section::Options);
    Definition { opt, slot: Some(slot), long, shorts, argument, section, help }
}

const fn switch(slot: Slot, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    flag(Opt::Switch, Some(slot), long, shorts, help)
}

const fn flag(opt: Opt, slot: Option<Slot>, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    Definition { opt, slot, long, shorts, argument: Argument::None, section: Section::Options, help }
}

const fn daemon(opt: Opt, slot: Slot, long: Text, argument: Text, help: &'static [Text]) -> Definition {
    let (argument, section) = (Argument::Required(argument), Section::DaemonOptions);
    Definition { opt, slot: Some(slot), long, shorts: "", argument, section, help }
}

#[rustfmt::skip]
pub const OPTIONS: &[Definition] = &[
    command(Verb::AddService, "add-service", "A", &["add virtual service with options"]),
    command(Verb::EditService, "edit-service", "E", &["edit virtual service with options"]),
    command(Verb::DeleteService, "delete-service", "D", &["delete virtual service"]),
    command(Verb::Clear, "clear", "C", &["clear the whole table"]),
    command(Verb::Restore, "restore", "R", &["restore rules from stdin"]),
    command(Verb::Save, "save", "S", &["save rules to stdout"]),
    command(Verb::AddServer, "add-server", "a", &["add real server with options"]),
    command(Verb::EditServer, "edit-server", "e", &["edit real server with options"]),
    command(Verb::DeleteServer, "delete-server", "d", &["delete real server"]),
    command(Verb::List, "list", "Ll", &["list the table"]),
    command(Verb::Zero, "zero", "Z", &["zero counters in a service or all services"]),
    Definition {
        argument: Argument::Loose("tcp tcpfin udp"),
        ..command(Verb::Set, "set", "", &["set connection timeout values"])
    },
    Definition {
        argument: Argument::Required(""),
        ..command(Verb::StartDaemon, "start-daemon", "", &["start connection sync daemon"])
    },
    Definition {
        argument: Argument::Required(""),
        ..command(Verb::StopDaemon, "stop-daemon", "", &["stop connection sync daemon"])
    },
    command(Verb::Help, "help", "h", &["display this help message"]),
    Definition { section: Section::Unlisted, ..command(Verb::Version, "version", "v", &[]) },

    service(Opt::TcpService, "tcp-service", "t", "service-address", &["service-address is host[:port]"]),
    service(Opt::UdpService, "udp-service", "u", "service-address", &["service-address is host[:port]"]),
    service(Opt::SctpService, "sctp-service", "", "service-address", &["service-address is host[:port]"]),
    service(Opt::FwmarkService, "fwmark-service", "f", "fwmark", &["fwmark is an integer greater than zero"]),

    flag(Opt::Ipv6, None, "ipv6", "6", &["fwmark entry uses IPv6"]),
    value(Opt::Scheduler, Slot::Scheduler, "scheduler", "s", "scheduler", &[
        "one of rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh,",
        "the default scheduler is wlc.",
    ]),
    value(Opt::Engine, Slot::Engine, "pe", "", "engine", &[
        "alternate persistence engine may be sip,",
        "not set by default.",
    ]),
    Definition {
        argument: Argument::Optional("[timeout]"),
        ..value(Opt::Persistent, Slot::Persistent, "persistent", "p", "", &["persistent service"])
    },
    value(Opt::Netmask, Slot::Netmask, "netmask", "M", "netmask", &["persistent granularity mask"]),
    value(Opt::RealServer, Slot::Server, "real-server", "r", "server-address", &["server-address is host (and port)"]),
    flag(Opt::Gatewaying, Some(Slot::Forward), "gatewaying", "g", &["gatewaying (direct routing) (default)"]),
    flag(Opt::Ipip, Some(Slot::Forward), "ipip", "i", &["ipip encapsulation (tunneling)"]),
    flag(Opt::Masquerading, Some(Slot::Forward), "masquerading", "m", &["masquerading (NAT)"]),
    value(Opt::TunType, Slot::TunType, "tun-type", "", "type", &[
        "one of ipip|gue|gre,",
        "the default tunnel type is ipip.",
    ]),
    value(Opt::TunPort, Slot::TunPort, "tun-port", "", "port", &["tunnel destination port"]),
    flag(Opt::TunNocsum, Some(Slot::TunNocsum), "tun-nocsum", "", &["tunnel encapsulation without checksum"]),
    flag(Opt::TunCsum, Some(Slot::TunCsum), "tun-csum", "", &["tunnel encapsulation with checksum"]),
    flag(Opt::TunRemcsum, Some(Slot::TunRemcsum), "tun-remcsum", "", &["tunnel encapsulation with remote checksum"]),
    value(Opt::Weight, Slot::Weight, "weight", "w", "weight", &["capacity of real server"]),
    value(Opt::UpperThreshold, Slot::UpperThreshold, "u-threshold", "x", "uthreshold", &["upper threshold of connections"]),
    value(Opt::LowerThreshold, Slot::LowerThreshold, "l-threshold", "y", "lthreshold", &["lower threshold of connections"]),
    switch(Slot::Connection, "connection", "c", &["output of current IPVS connections"]),
    switch(Slot::Timeout, "timeout", "", &["output of timeout (tcp tcpfin udp)"]),
    switch(Slot::Daemon, "daemon", "", &["output of daemon information"]),
    switch(Slot::Stats, "stats", "", &["output of statistics information"]),
    switch(Slot::Rate, "rate", "", &["output of rate information"]),
    switch(Slot::Exact, "exact", "", &["expand numbers (display exact values)"]),
    switch(Slot::Thresholds, "thresholds", "", &["output of thresholds information"]),
    switch(Slot::PersistentConn, "persistent-conn", "", &["output of persistent connection info"]),
    switch(Slot::TunInfo, "tun-info", "", &["output of tunnel information"]),
    switch(Slot::NoSort, "nosort", "", &["disable sorting output of service/server entries"]),
    flag(Opt::Sort, None, "sort", "", &["does nothing, for backwards compatibility"]),
    switch(Slot::Ops, "ops", "o", &["one-packet scheduling"]),
    switch(Slot::Numeric, "numeric", "n", &["numeric output of addresses and ports"]),
    value(Opt::SchedFlags, Slot::SchedFlags, "sched-flags", "b", "flags", &["scheduler flags (comma-separated)"]),

    daemon(Opt::SyncId, Slot::SyncId, "syncid", "sid", &["syncid for connection sync (default=255)"]),
    daemon(Opt::SyncMaxlen, Slot::SyncMaxlen, "sync-maxlen", "length", &["Max sync message length (default=1472)"]),
    daemon(Opt::McastInterface, Slot::McastInterface, "mcast-interface", "interface", &["multicast interface for connection sync"]),
    daemon(Opt::McastGroup, Slot::McastGroup, "mcast-group", "address", &["IPv4/IPv6 group (default=224.0.0.81)"]),
    daemon(Opt::McastPort, Slot::McastPort, "mcast-port", "port", &["UDP port (default=8848)"]),
    daemon(Opt::McastTtl, Slot::McastTtl, "mcast-ttl", "ttl", &["Multicast TTL (default=1)"]),

    // A second spelling of --exact that the original's help does not mention, and our own --json.
    Definition { section: Section::Unlisted, ..switch(Slot::Exact, "exact", "X", &[]) },
    Definition { section: Section::Unlisted, ..switch(Slot::Json, "json", "", &[]) },
];

pub fn by_long(name: &str) -> Option<&'static Definition> {
    OPTIONS.iter().find(|d| d.long == name)
}

pub fn by_short(letter: char) -> Option<&'static Definition> {
    OPTIONS.iter().find(|d| d.shorts.contains(letter))
}
