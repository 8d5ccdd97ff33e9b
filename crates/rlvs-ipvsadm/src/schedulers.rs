//! The schedulers by name, for the manual page and for completion. Whether a name is known is the balancer's to
//! say: a new one needs nothing here to be used.

/// A name as typed after `-s`, and what it does.
pub const SCHEDULERS: &[(&str, &str)] = &[
    ("rr", "Round robin: one server after the other."),
    ("wrr", "Weighted round robin: likewise, a server of weight 3 three times as often as one of weight 1."),
    (
        "lc",
        "Least connections: the server with the fewest; one active connection counts as 256 inactive ones.",
    ),
    ("wlc", "Weighted least connections: the fewest in proportion to the weight. The default."),
    (
        "lblc",
        "Locality-based least connections, for caches: one destination address goes to one server, which wlc \
         chooses, until that server is overloaded.",
    ),
    (
        "lblcr",
        "Locality-based least connections with replication: one destination address goes to a set of servers, \
         which grows when they are overloaded and shrinks when they are not.",
    ),
    ("dh", "Destination hashing: the server hangs on the destination address alone."),
    ("sh", "Source hashing: the server hangs on the client's address (and port, with -b sh-port) alone."),
    (
        "sed",
        "Shortest expected delay: the fewest active connections, the new one counted, in proportion to the weight.",
    ),
    ("nq", "Never queue: an idle server if there is one, else sed."),
    ("fo", "Weighted failover: the server of the highest weight, as long as it is there."),
    (
        "ovf",
        "Weighted overflow: likewise, until it has as many active connections as its weight; then the next one.",
    ),
    (
        "mh",
        "Maglev hashing: as sh, but few clients change servers when a server comes or goes. With -b mh-port the \
         client's port counts too.",
    ),
    (
        "twos",
        "The power of two choices: two servers at random in proportion to their weights, and of these the less \
         loaded one. Newer than ipvsadm 1.31, so -h does not name it.",
    ),
];

/// The names alone.
pub const NAMES: &[&str] = &{
    let mut names = [""; SCHEDULERS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = SCHEDULERS[i].0;
        i += 1;
    }
    names
};
