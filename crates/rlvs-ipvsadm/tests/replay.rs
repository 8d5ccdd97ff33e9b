//! Replays what the real ipvsadm 1.31 was recorded to say, command by command: both outputs and the exit status.
//!
//! The recordings in `tests/golden` were made on Linux 6.1 with the real IPVS behind it; here a [`Fake`] is.
//! What packets did in between, it is told in [`directions`].

mod common;

use common::Fake;
use common::recording::{blocks, shell, transcript};
use rlvs_control::model::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

#[test]
fn help() {
    replay("help", include_str!("golden/c4-help.txt"), 13, 0);
}

#[test]
fn basic() {
    replay("basic", include_str!("golden/c4-basic.txt"), 85, 7);
}

#[test]
fn errors() {
    replay("errors", include_str!("golden/c4-errors.txt"), 173, 0);
}

#[test]
fn ipv6() {
    replay("ipv6", include_str!("golden/c4-ipv6.txt"), 29, 2);
}

#[test]
fn save_restore() {
    replay("save-restore", include_str!("golden/c4-save-restore.txt"), 30, 0);
}

#[test]
fn daemon() {
    replay("daemon", include_str!("golden/c4-daemon.txt"), 15, 0);
}

#[test]
fn traffic() {
    replay("traffic", include_str!("golden/c4-traffic.txt"), 32, 7);
}

#[test]
fn forms() {
    replay("forms", include_str!("golden/c4-forms.txt"), 206, 0);
}

#[test]
fn orders() {
    replay("orders", include_str!("golden/c4-orders.txt"), 102, 0);
}

#[test]
fn lines() {
    replay("lines", include_str!("golden/c4-lines.txt"), 45, 0);
}

#[test]
fn unprivileged() {
    replay("unprivileged", include_str!("golden/c4-unprivileged.txt"), 17, 7);
}

#[test]
fn random() {
    replay("random", include_str!("golden/c4-random.txt"), 2684, 0);
}

/// Why a recorded command is not replayed.
fn left_out(command: &str) -> Option<&'static str> {
    if command.starts_with("cat /proc/") || command.starts_with("sort /proc/") {
        return Some("reads the kernel's own tables; no ipvsadm is in it");
    }
    // The rest is in docs/compat.md.
    match command.strip_prefix("as-nobody ")? {
        "ipvsadm -h" | "ipvsadm -v" | "ipvsadm-restore -h" => Some("help needs no permission"),
        "ipvsadm -A" | "ipvsadm --bogus" => Some("a wrong command line needs none to be told so"),
        "ipvsadm -R < /dev/null" => Some("nothing was asked"),
        "ipvsadm-restore" => Some("one program instead of two says it once"),
        _ => None,
    }
}

fn replay(name: &str, recording: &str, commands: usize, not_replayed: usize) {
    let mut balancer = Fake { order: hash_order(name), ..Fake::default() };
    let mut files = HashMap::from([("/dev/null".to_owned(), String::new())]);
    let (mut differences, mut skipped) = (String::new(), 0);
    let blocks = blocks(recording);
    for (i, block) in blocks.iter().enumerate() {
        if left_out(block.command).is_some() {
            skipped += 1;
            continue;
        }
        directions(name, i, &mut balancer);
        let mut answer = shell(block, &mut files, &mut balancer);
        if answer.out.starts_with("-A ") {
            answer.out = as_the_original_saves(&answer.out);
            if block.command == "ipvsadm -S" {
                answer.out = answer.out.replace("[fd00:c::7]", "[six.example.org]");
            }
        }
        let ours = transcript(&answer);
        if ours != block.answer && !(name == "random" && same_rows(&ours, &block.answer)) {
            let _ =
                write!(differences, "$ {}\n--- recorded\n{}--- ours\n{ours}", block.command, block.answer);
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert_eq!((blocks.len(), skipped), (commands, not_replayed), "commands in {name}");
}

/// The recording of random orders has no `--nosort` from which the kernel's order could be told, and sorting goes in
/// circles.
fn same_rows(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    sorted(a) == sorted(b)
}

/// What the original would have saved: no thresholds, no third flag of `sh` and `mh`, no mask of what is not
/// persistent, and marks and names of IPv6 hosts that it cannot read (docs/compat.md, and tests in
/// `ours.rs`).
fn as_the_original_saves(saved: &str) -> String {
    let mut text = String::new();
    for line in saved.lines() {
        let line: Vec<&str> = line.split(' ').collect();
        let has = |word| line.contains(&word);
        let mut words = line.iter().map(|w| (*w).to_owned());
        let mut kept: Vec<String> = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-x" | "-y" => drop(words.next()),
                "-M" if !has("-p") => drop(words.next()),
                "-f" => {
                    let mark: u32 = words.next().and_then(|w| w.parse().ok()).expect("a mark");
                    kept.extend([word, (mark as i32).to_string()]);
                }
                "-b" if has("sh") || has("mh") => {
                    let flags = words.next().expect("flags");
                    let known = flags.split(',').filter(|f| *f != "flag-3");
                    kept.extend([word, known.collect::<Vec<_>>().join(",")]);
                }
                _ => kept.push(word),
            }
        }
        let _ = writeln!(text, "{}", kept.join(" "));
    }
    text
}

/// The order of the kernel's hash table, where a recording depends on it.
fn hash_order(name: &str) -> Vec<ServiceKey> {
    let mark = |mark| ServiceKey::Fwmark { mark, family: Family::Inet };
    match name {
        // As `--nosort` shows it.
        "basic" => vec![
            udp("10.0.0.9", 5060),
            tcp("10.0.0.100", 443),
            tcp("10.0.0.100", 80),
            tcp("10.0.0.9", 23),
            tcp("10.0.0.9", 22),
            tcp("10.0.0.9", 21),
            tcp("10.0.0.101", 0),
            udp("10.0.0.100", 53),
            mark(7),
        ],
        // One of those from which merging by wrapped differences makes both recorded listings: 0.0.0.0 stands
        // after 224.0.0.1 in the first one and before 10.0.0.0 in the second.
        "errors" => vec![
            tcp("10.0.0.100", 93),
            tcp("10.0.0.100", 100),
            tcp("fd00:c::100", 95),
            tcp("10.0.0.100", 85),
            tcp("10.0.0.100", 91),
            tcp("10.0.0.100", 0),
            tcp("10.0.0.0", 86),
            tcp("fd00:c::100", 90),
            tcp("10.0.0.100", 92),
            tcp("10.0.0.100", 80),
            udp("10.0.0.100", 98),
            tcp("10.0.0.100", 83),
            tcp("0.0.0.0", 87),
            tcp("10.0.0.100", 94),
            tcp("224.0.0.1", 80),
            tcp("127.0.0.1", 88),
            mark(u32::MAX),
        ],
        _ => Vec::new(),
    }
}

fn tcp(addr: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, addr: ip(addr), port }
}

fn udp(addr: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Udp, addr: ip(addr), port }
}

fn ip(addr: &str) -> IpAddr {
    addr.parse().expect("an address")
}

/// What packets and time did before the command with this index.
fn directions(name: &str, index: usize, balancer: &mut Fake) {
    match (name, index) {
        ("ipv6", 25) => ipv6_packets(balancer),
        ("traffic", 7) => packets(balancer),
        ("traffic", 13) => estimator_tick(balancer),
        ("traffic", 14) => rates(balancer, FIRST_RATES),
        ("traffic", 15) => rates(balancer, SECOND_RATES),
        _ => {}
    }
}

/// Three SYNs to the TCP service, one to each of three servers.
fn ipv6_packets(balancer: &mut Fake) {
    let service = tcp("fd00:c::100", 80);
    for (client_port, server, port) in
        [(1002, "fd00:5::2", 80), (1000, "fd00:5::3", 80), (1001, "fd00:5::2", 8080)]
    {
        let client = (ip("fd00:9::1"), client_port);
        balancer.connections.push(connection(service, client, (ip(server), port), "SYN_RECV", 56));
        let server = balancer.server(&service, ip(server), port);
        server.active_connections = 1;
        server.counters = counters([1, 1, 0, 60, 0]);
    }
    balancer.find(&service).expect("is there").counters = counters([3, 3, 0, 180, 0]);
}

/// Five SYNs to port 80, three of them answered and acknowledged; two datagrams to port 53 and a SYN to port
/// 443, both persistent. Listings of connections are in the order of the kernel's hash table.
fn packets(balancer: &mut Fake) {
    let (http, https, dns) = (tcp("10.0.0.100", 80), tcp("10.0.0.100", 443), udp("10.0.0.100", 53));
    #[rustfmt::skip]
    let rows = [
        (https, "172.16.0.77", 4000, ("10.1.0.3", 443), "SYN_RECV", 59),
        (http, "172.16.0.1", 1003, ("10.1.0.1", 8080), "SYN_RECV", 59),
        (dns, "172.16.0.1", 3001, ("10.1.0.1", 53), "UDP", 299),
        (http, "172.16.0.1", 1002, ("10.1.0.2", 8080), "ESTABLISHED", 899),
        (dns, "172.16.0.1", 3000, ("10.1.0.1", 53), "UDP", 299),
        (dns, "172.16.0.1", 0, ("10.1.0.1", 53), "NONE", 119),
        (https, "172.16.0.0", 0, ("10.1.0.3", 443), "NONE", 359),
        (http, "172.16.0.1", 1000, ("10.1.0.2", 8080), "ESTABLISHED", 899),
        (http, "172.16.0.1", 1004, ("10.1.0.2", 8080), "SYN_RECV", 59),
        (http, "172.16.0.1", 1001, ("10.1.0.1", 8080), "ESTABLISHED", 899),
    ];
    for (service, client, client_port, (server, port), state, expires_secs) in rows {
        let client = (ip(client), client_port);
        let row = connection(service, client, (ip(server), port), state, expires_secs);
        let server = balancer.server(&service, ip(server), port);
        match state {
            "NONE" => server.persistent_connections += 1,
            "UDP" => server.inactive_connections += 1,
            _ => server.active_connections += 1,
        }
        balancer.connections.push(row);
    }
}

fn connection(
    service: ServiceKey,
    (client, client_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
    state: &'static str,
    expires_secs: u32,
) -> ConnectionView {
    let ServiceKey::Address { protocol, addr, port } = service else { unreachable!() };
    ConnectionView {
        protocol: protocol.number(),
        client,
        client_port,
        virtual_addr: addr,
        virtual_port: port,
        destination,
        destination_port,
        state,
        expires_secs,
        is_template: state == "NONE",
        from_sync: false,
        engine: None,
        source: None,
    }
}

/// Counters are shown as of the last tick, every two seconds.
fn estimator_tick(balancer: &mut Fake) {
    for (service, total, servers) in [
        (
            tcp("10.0.0.100", 80),
            [5, 9, 4, 1320, 220],
            vec![("10.1.0.1", 8080, [2, 3, 1, 120, 40]), ("10.1.0.2", 8080, [3, 6, 3, 1200, 180])],
        ),
        (tcp("10.0.0.100", 443), [1, 1, 0, 40, 0], vec![("10.1.0.3", 443, [1, 1, 0, 40, 0])]),
        (udp("10.0.0.100", 53), [2, 2, 0, 200, 0], vec![("10.1.0.1", 53, [2, 2, 0, 200, 0])]),
    ] {
        balancer.find(&service).expect("is there").counters = counters(total);
        for (addr, port, numbers) in servers {
            balancer.server(&service, ip(addr), port).counters = counters(numbers);
        }
    }
}

/// Of the service and its servers by address, in the order 80, 443, 53.
type RecordedRates = [&'static [[u64; 5]]; 3];

const FIRST_RATES: RecordedRates = [
    &[[1, 1, 0, 165, 27], [0, 0, 0, 15, 5], [0, 1, 0, 150, 22]],
    &[[0, 0, 0, 5, 0], [0, 0, 0, 5, 0]],
    &[[0, 0, 0, 25, 0], [0, 0, 0, 25, 0]],
];

const SECOND_RATES: RecordedRates = [
    &[[0, 1, 0, 124, 21], [0, 0, 0, 11, 4], [0, 1, 0, 112, 17]],
    &[[0, 0, 0, 4, 0], [0, 0, 0, 4, 0]],
    &[[0, 0, 0, 19, 0], [0, 0, 0, 19, 0]],
];

fn rates(balancer: &mut Fake, recorded: RecordedRates) {
    let keys = [tcp("10.0.0.100", 80), tcp("10.0.0.100", 443), udp("10.0.0.100", 53)];
    for (key, numbers) in keys.iter().zip(recorded) {
        let service = balancer.find(key).expect("is there");
        service.rates = rates_of(numbers[0]);
        service.destinations.sort_by_key(|d| d.destination.addr);
        for (server, numbers) in service.destinations.iter_mut().zip(&numbers[1..]) {
            server.rates = rates_of(*numbers);
        }
    }
}

fn counters([conns, in_packets, out_packets, in_bytes, out_bytes]: [u64; 5]) -> Counters {
    Counters { conns, in_packets, out_packets, in_bytes, out_bytes }
}

fn rates_of(numbers: [u64; 5]) -> Rates {
    let [conns_per_sec, in_packets_per_sec, out_packets_per_sec, rest @ ..] = numbers;
    let [in_bytes_per_sec, out_bytes_per_sec] = rest;
    Rates { conns_per_sec, in_packets_per_sec, out_packets_per_sec, in_bytes_per_sec, out_bytes_per_sec }
}
