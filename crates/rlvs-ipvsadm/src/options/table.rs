//! The table of options, in the order of `-h`: the spelling, the line of help (the original's words), what the
//! manual page says (ours), and the words a value can be.

use super::{Argument, Definition, Opt, Section, Slot, Verb};
use crate::schedulers;

type Text = &'static str;

const fn command(verb: Verb, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    let (opt, argument, section) = (Opt::Verb(verb), Argument::None, Section::Commands);
    Definition { opt, slot: None, long, shorts, argument, section, help, manual: "", values: &[] }
}

const fn service(opt: Opt, long: Text, shorts: Text, argument: Text, help: &'static [Text]) -> Definition {
    let section = Section::VirtualService;
    Definition { section, ..value(opt, Slot::Service, long, shorts, argument, help) }
}

const fn value(
    opt: Opt,
    slot: Slot,
    long: Text,
    shorts: Text,
    argument: Text,
    help: &'static [Text],
) -> Definition {
    Definition { argument: Argument::Required(argument), ..flag(opt, Some(slot), long, shorts, help) }
}

const fn switch(slot: Slot, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    flag(Opt::Switch, Some(slot), long, shorts, help)
}

const fn flag(opt: Opt, slot: Option<Slot>, long: Text, shorts: Text, help: &'static [Text]) -> Definition {
    let (argument, section) = (Argument::None, Section::Options);
    Definition { opt, slot, long, shorts, argument, section, help, manual: "", values: &[] }
}

const fn daemon(opt: Opt, slot: Slot, long: Text, argument: Text, help: &'static [Text]) -> Definition {
    Definition { section: Section::DaemonOptions, ..value(opt, slot, long, "", argument, help) }
}

impl Definition {
    const fn manual(self, manual: Text) -> Definition {
        Definition { manual, ..self }
    }

    const fn values(self, values: &'static [Text]) -> Definition {
        Definition { values, ..self }
    }

    const fn unlisted(self) -> Definition {
        Definition { section: Section::Unlisted, ..self }
    }
}

const ROLES: &[Text] = &["master", "backup"];

#[rustfmt::skip]
pub const OPTIONS: &[Definition] = &[
    command(Verb::AddService, "add-service", "A", &["add virtual service with options"])
        .manual("Add a virtual service. The first one in a network namespace loads the packet programs and attaches \
            them to its interfaces."),
    command(Verb::EditService, "edit-service", "E", &["edit virtual service with options"])
        .manual("Change a virtual service. What is not given goes back to its default."),
    command(Verb::DeleteService, "delete-service", "D", &["delete virtual service"])
        .manual("Delete a virtual service with its real servers."),
    command(Verb::Clear, "clear", "C", &["clear the whole table"])
        .manual("Delete all virtual services."),
    command(Verb::Restore, "restore", "R", &["restore rules from stdin"])
        .manual("Read command lines from standard input, one a line and with or without the word ipvsadm, and carry \
            them out. Whoever wants comments, an empty table to begin with, and nothing done when the file has a \
            mistake, uses ipvsadm-restore(8). What is refused by the table is complained of, and the next line is \
            read; a line that says something wrong ends it. The exit status is that of the last line read."),
    command(Verb::Save, "save", "S", &["save rules to stdout"])
        .manual("Write the table as command lines that -R and ipvsadm-restore(8) read. Everything that a rule can \
            hold is written."),
    command(Verb::AddServer, "add-server", "a", &["add real server with options"])
        .manual("Add a real server to a virtual service."),
    command(Verb::EditServer, "edit-server", "e", &["edit real server with options"])
        .manual("Change a real server. What is not given goes back to its default: the weight to 1, the forwarding \
            method to direct routing, thresholds to none."),
    command(Verb::DeleteServer, "delete-server", "d", &["delete real server"])
        .manual("Take a real server out of a virtual service."),
    command(Verb::List, "list", "Ll", &["list the table"])
        .manual("List all virtual services, or the one given, with their real servers; or, with -c, the connections; \
            with --timeout, the timeouts; with --daemon, the sync daemons. This is what ipvsadm without any argument \
            does. Numbers from 100000000 on are abbreviated (K, M, G and T, in thousands) unless --exact is given. \
            Services and servers are sorted, and host names cut off where they would break the columns."),
    command(Verb::Zero, "zero", "Z", &["zero counters in a service or all services"])
        .manual("Set the counters of one service and its servers, or of all, to zero."),
    Definition {
        argument: Argument::Loose("tcp tcpfin udp"),
        ..command(Verb::Set, "set", "", &["set connection timeout values"])
    }
        .manual("Set three timeouts in seconds: of established TCP connections, of those in which a FIN was seen, and \
            of UDP. 0 leaves a timeout as it is. Defaults are 900, 120 and 300."),
    Definition {
        argument: Argument::Required(""),
        ..command(Verb::StartDaemon, "start-daemon", "", &["start connection sync daemon"])
    }
        .values(ROLES)
        .manual("Start a connection sync daemon: a master tells its connections to other directors by multicast, a \
            backup learns them. A director can be both."),
    Definition {
        argument: Argument::Required(""),
        ..command(Verb::StopDaemon, "stop-daemon", "", &["stop connection sync daemon"])
    }
        .values(ROLES)
        .manual("Stop a connection sync daemon."),
    command(Verb::Help, "help", "h", &["display this help message"])
        .manual("Show a summary of all options."),
    command(Verb::Version, "version", "v", &[])
        .unlisted()
        .manual("Show the version of ipvsadm that this one takes after."),

    service(Opt::TcpService, "tcp-service", "t", "service-address", &["service-address is host[:port]"])
        .manual("A TCP service: host:port, an IPv6 address in brackets. Host and port can be names; a name stands for \
            an IPv4 address. Port 0, or none, means every port that no other service has, and needs -p."),
    service(Opt::UdpService, "udp-service", "u", "service-address", &["service-address is host[:port]"])
        .manual("A UDP service, written likewise."),
    service(Opt::SctpService, "sctp-service", "", "service-address", &["service-address is host[:port]"])
        .manual("An SCTP service, written likewise."),
    service(Opt::FwmarkService, "fwmark-service", "f", "fwmark", &["fwmark is an integer greater than zero"])
        .manual("All packets with this firewall mark, 1 to 4294967295. Listings show marks from 2147483648 on as \
            negative numbers, as ipvsadm always did."),

    flag(Opt::Ipv6, None, "ipv6", "6", &["fwmark entry uses IPv6"])
        .manual("After -f: the service is for IPv6 packets."),
    value(Opt::Scheduler, Slot::Scheduler, "scheduler", "s", "scheduler", &[
        "one of rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh,",
        "the default scheduler is wlc.",
    ])
        .values(schedulers::NAMES)
        .manual("How a server is chosen for a new connection; see SCHEDULERS. The default is wlc."),
    value(Opt::Engine, Slot::Engine, "pe", "", "engine", &[
        "alternate persistence engine may be sip,",
        "not set by default.",
    ])
        .values(&["sip"])
        .manual("A persistence engine; sip recognises a client by the Call-ID of its SIP messages instead of by its \
            address."),
    Definition {
        argument: Argument::Optional("[timeout]"),
        ..value(Opt::Persistent, Slot::Persistent, "persistent", "p", "", &["persistent service"])
    }
        .manual("Connections of one client go to the same server until so many seconds have passed without any, \
            1 to 2678400; 360 if no number is given."),
    value(Opt::Netmask, Slot::Netmask, "netmask", "M", "netmask", &["persistent granularity mask"])
        .manual("Clients that are equal under this mask count as one client for -p: an address such as 255.255.255.0 \
            for IPv4, a prefix length (1 to 128) for IPv6. Give it after the service: before it, it is taken for an \
            IPv4 mask."),
    value(Opt::RealServer, Slot::Server, "real-server", "r", "server-address", &["server-address is host (and port)"])
        .manual("The real server: host[:port], an IPv6 address with a port in brackets, without one bare. Without a \
            port it is the service's, which only -m can change. Give it after the service."),
    flag(Opt::Gatewaying, Some(Slot::Forward), "gatewaying", "g", &["gatewaying (direct routing) (default)"])
        .manual("Direct routing: the packet goes to the real server unchanged but for the MAC addresses, and answers \
            go straight to the client. This is the default."),
    flag(Opt::Ipip, Some(Slot::Forward), "ipip", "i", &["ipip encapsulation (tunneling)"])
        .manual("Tunneling: the packet goes to the real server inside another one, and answers go straight to the \
            client. The server may be of the other address family."),
    flag(Opt::Masquerading, Some(Slot::Forward), "masquerading", "m", &["masquerading (NAT)"])
        .manual("Network address translation: addresses and ports are rewritten both ways, so answers must come back \
            through the director."),
    flag(Opt::FullNat, Some(Slot::Forward), "fullnat", "", &[])
        .unlisted()
        .manual("Of rlvs alone, for TCP and UDP: like -m, and the real server sees an address and port of the director as \
            its client, so answers find back by themselves, wherever the server is. `rlvs source` says which addresses."),
    flag(Opt::ProxyProtocol, None, "proxy-protocol", "", &[])
        .unlisted()
        .manual("Of rlvs alone, after --fullnat, for TCP: a connection to the real server begins with a header that says who \
            the client is (PROXY protocol, version 2). The server must expect it."),
    value(Opt::TunType, Slot::TunType, "tun-type", "", "type", &[
        "one of ipip|gue|gre,",
        "the default tunnel type is ipip.",
    ])
        .values(&["ipip", "gue", "gre"])
        .manual("What the outer packet is: IP in IP (ipip, the default), Generic UDP Encapsulation (gue) or Generic \
            Routing Encapsulation (gre)."),
    value(Opt::TunPort, Slot::TunPort, "tun-port", "", "port", &["tunnel destination port"])
        .manual("The UDP port of gue, which needs one."),
    flag(Opt::TunNocsum, Some(Slot::TunNocsum), "tun-nocsum", "", &["tunnel encapsulation without checksum"])
        .manual("The outer header of gue or gre has no checksum: the default."),
    flag(Opt::TunCsum, Some(Slot::TunCsum), "tun-csum", "", &["tunnel encapsulation with checksum"])
        .manual("The outer header of gue or gre has a checksum."),
    flag(Opt::TunRemcsum, Some(Slot::TunRemcsum), "tun-remcsum", "", &["tunnel encapsulation with remote checksum"])
        .manual("gue with remote checksum offload: the inner checksum is left to the receiver."),
    value(Opt::Weight, Slot::Weight, "weight", "w", "weight", &["capacity of real server"])
        .manual("The share of the real server, 0 to 2147483647; 1 if not given. A server of weight 0 keeps its \
            connections and gets no new ones."),
    value(Opt::UpperThreshold, Slot::UpperThreshold, "u-threshold", "x", "uthreshold", &["upper threshold of connections"])
        .manual("A server with so many connections gets no new ones; 0, the default, is no limit."),
    value(Opt::LowerThreshold, Slot::LowerThreshold, "l-threshold", "y", "lthreshold", &["lower threshold of connections"])
        .manual("A server that was at its upper threshold gets connections again below this number; without it, below \
            three quarters of the upper threshold."),
    switch(Slot::Connection, "connection", "c", &["output of current IPVS connections"])
        .manual("List connections, with their states and the time (minutes and seconds) after which they go."),
    switch(Slot::Timeout, "timeout", "", &["output of timeout (tcp tcpfin udp)"])
        .manual("List the timeouts that --set sets."),
    switch(Slot::Daemon, "daemon", "", &["output of daemon information"])
        .manual("List the sync daemons."),
    switch(Slot::Stats, "stats", "", &["output of statistics information"])
        .manual("Show connections, packets and bytes since the service or server was added, or since -Z."),
    switch(Slot::Rate, "rate", "", &["output of rate information"])
        .manual("Show connections, packets and bytes per second."),
    switch(Slot::Exact, "exact", "", &["expand numbers (display exact values)"])
        .manual("Do not abbreviate large numbers."),
    switch(Slot::Thresholds, "thresholds", "", &["output of thresholds information"])
        .manual("Show the thresholds of -x and -y."),
    switch(Slot::PersistentConn, "persistent-conn", "", &["output of persistent connection info"])
        .manual("Show how many clients are bound to each server by persistence; with -c, the persistence engine's data."),
    switch(Slot::TunInfo, "tun-info", "", &["output of tunnel information"])
        .manual("Show the tunnel of each server: its type, port and checksum (-c none, +c one, r+c remote)."),
    switch(Slot::NoSort, "nosort", "", &["disable sorting output of service/server entries"])
        .manual("List services and servers in the director's own order."),
    flag(Opt::Sort, None, "sort", "", &["does nothing, for backwards compatibility"])
        .manual("Does nothing: lists are sorted."),
    switch(Slot::Ops, "ops", "o", &["one-packet scheduling"])
        .manual("One-packet scheduling: every packet of a UDP or firewall mark service is scheduled by itself."),
    switch(Slot::Numeric, "numeric", "n", &["numeric output of addresses and ports"])
        .manual("Show addresses and ports as numbers, and ask no name server."),
    value(Opt::SchedFlags, Slot::SchedFlags, "sched-flags", "b", "flags", &["scheduler flags (comma-separated)"])
        .values(&["flag-1", "flag-2", "flag-3", "sh-fallback", "sh-port", "mh-fallback", "mh-port"])
        .manual("Flags of the scheduler, separated by commas: sh-fallback and mh-fallback choose another server when \
            the one chosen cannot take the connection, sh-port and mh-port hash the client's port too. flag-1, flag-2 \
            and flag-3 are the same bits by number."),

    daemon(Opt::SyncId, Slot::SyncId, "syncid", "sid", &["syncid for connection sync (default=255)"])
        .manual("0 to 255; masters and backups hear only those with the same number, and a backup with 0 hears all. \
            The default is 0 (-h says 255, as ipvsadm always did)."),
    daemon(Opt::SyncMaxlen, Slot::SyncMaxlen, "sync-maxlen", "length", &["Max sync message length (default=1472)"])
        .manual("The longest sync message in bytes, 1 to 65507; what fits into the interface's MTU if not given."),
    daemon(Opt::McastInterface, Slot::McastInterface, "mcast-interface", "interface", &["multicast interface for connection sync"])
        .manual("The interface on which sync messages go; eth0 if not given."),
    daemon(Opt::McastGroup, Slot::McastGroup, "mcast-group", "address", &["IPv4/IPv6 group (default=224.0.0.81)"])
        .manual("The multicast group, 224.0.0.81 if not given."),
    daemon(Opt::McastPort, Slot::McastPort, "mcast-port", "port", &["UDP port (default=8848)"])
        .manual("The UDP port, 8848 if not given."),
    daemon(Opt::McastTtl, Slot::McastTtl, "mcast-ttl", "ttl", &["Multicast TTL (default=1)"])
        .manual("How many routers a sync message may pass, 1 to 255; 1 if not given."),

    // A second spelling of --exact that the original's help does not mention, and our own --json.
    switch(Slot::Exact, "exact", "X", &[]).unlisted(),
    switch(Slot::Json, "json", "", &[])
        .unlisted()
        .manual("Write the listing as one line of JSON, for programs: all there is of each service, server or \
            connection, whatever columns are asked for; numbers plain, units in the names. Not in the original."),
];
