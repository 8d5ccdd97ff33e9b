//! A million command lines, from nearly right to nonsense: none panics; one that is refused never reaches the balancer;
//! one that is accepted gives the balancer exactly one order or none; an order that the balancer refuses leaves the
//! table as it was; and whatever the table is then, `-S` prints it so that `-R` makes an equal one.
//!
//! The same million each time, unless `COMMAND_LINES_SEED` says otherwise; a failure is shrunk and names its seed.

mod common;

use common::{Answer, Fake, RecordedNames, ipvsadm, run, same_rules};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use rlvs_ipvsadm::{Command, parse};
use std::collections::HashMap;
use std::thread;

const COMMAND_LINES: u32 = 1_000_000;
const THREADS: u32 = 4;

#[rustfmt::skip]
const SELECTORS: &[&str] = &[
    "-t 10.0.0.1:80", "-t10.0.0.1:80", "--tcp-service=10.0.0.1:80", "-t 10.0.0.1", "-t 0.0.0.0:80",
    "-t localhost:http", "-t 10.1:65535", "-u 10.0.0.1:53", "--udp-service 10.0.0.2:domain",
    "--sctp-service 10.0.0.1:2905", "-t [fd00::1]:80", "-u [::]:53", "-t fd00::1", "-f 7", "-f 4294967295",
    "-f 7 -6", "--fwmark-service=2147483648 --ipv6",
];

#[rustfmt::skip]
const SERVICE_OPTIONS: &[&str] = &[
    "-s rr", "-s wlc", "-swrr", "-s sh", "--scheduler=mh", "-s none", "-s nosuch", "-p", "-p 60",
    "-p2678400", "--persistent=1", "-M 255.255.255.0", "-M 64", "-M 0", "-M 24", "--pe sip", "--pe nosuch",
    "-o", "--ops", "-b sh-port", "-b mh-fallback,flag-3", "-b flag-1,flag-2,flag-3", "-b flag-3",
    "-b nosuch",
];

#[rustfmt::skip]
const SERVERS: &[&str] = &[
    "-r 10.1.0.1", "-r 10.1.0.1:80", "-r10.1.0.2:8080", "--real-server=localhost:http", "-r [fd00::2]:80",
    "-r fd00::2", "-r 10.1.0.3:0", "-r 224.0.0.1:80", "-r nosuch", "-r 0.0.0.0",
];

#[rustfmt::skip]
const SERVER_OPTIONS: &[&str] = &[
    "-g", "-m", "-i", "-m", "-i", "--masquerading", "-w 0", "-w3", "-w=2147483647", "--weight=100", "-w -1",
    "-x 10", "-x 100 -y 50", "-y 5", "--u-threshold=2147483647", "--tun-type gue --tun-port 6080",
    "--tun-type gre", "--tun-type ipip", "--tun-csum", "--tun-nocsum", "--tun-remcsum", "--tun-port 1",
];

#[rustfmt::skip]
const LIST_OPTIONS: &[&str] = &[
    "-n", "-c", "-X", "--exact", "--stats", "--rate", "--thresholds", "--persistent-conn", "--tun-info",
    "--nosort", "--sort", "--json", "--timeout", "--daemon", "--syncid 3", "-t 10.0.0.1:80", "-f 7",
    "--numeric=yes",
];

#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "-C", "--clear", "-S", "-Sn", "-S -n", "-R", "-Z", "-h", "-v", "--set 1 2 3", "--set 0 0 2678400",
    "--set 1 2", "--start-daemon master", "--start-daemon=backup", "--stop-daemon master",
    "--start-daemon nobody", "--start-daemon backup --mcast-interface c0 --syncid 7",
    "--stop-daemon backup --syncid 7",
    "--start-daemon master --mcast-interface=s0 --mcast-group 224.0.0.9 --mcast-port 1 --mcast-ttl 3 --sync-maxlen 9",
    "",
];

/// Thrown in anywhere.
#[rustfmt::skip]
const STRAYS: &[&str] = &[
    "-", "--", "-=", "--=", "-t", "-w", "-6", "-n", "-A", "-L", "7", "x", "--bogus", "-q", "--weight", "-p",
    "=", "-Lnc", "ipvsadm", "\u{fffd}", "--tun-type=", "-M", " ", "-s ", "10.0.0.1:80",
];

/// An order of some kind, its words in one text.
fn order() -> impl Strategy<Value = String> {
    let service = (
        select(&["-A", "-A", "--add-service", "-E", "-E", "-D", "-Z", "--zero"][..]),
        select(SELECTORS),
        prop::collection::vec(select(SERVICE_OPTIONS), 0..4),
    );
    let server = (
        select(&["-a", "-a", "--add-server", "-e", "-e", "-d"][..]),
        select(SELECTORS),
        select(SERVERS),
        prop::collection::vec(select(SERVER_OPTIONS), 0..4),
    );
    let list =
        (select(&["-L", "-l", "-Ln", "--list"][..]), prop::collection::vec(select(LIST_OPTIONS), 0..4));
    prop_oneof![
        8 => service.prop_map(|(verb, service, options)| format!("{verb} {service} {}", options.join(" "))),
        8 => server.prop_map(|(verb, service, server, options)| {
            format!("{verb} {service} {server} {}", options.join(" "))
        }),
        3 => list.prop_map(|(verb, options)| format!("{verb} {}", options.join(" "))),
        1 => select(OTHERS).prop_map(str::to_owned),
    ]
}

/// Words in any order, most of them known.
fn soup() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        20 => select([SERVICE_OPTIONS, SERVER_OPTIONS, LIST_OPTIONS, STRAYS, SELECTORS].concat()).prop_map(str::to_owned),
        1 => prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter),
        1 => prop::collection::vec(select(b"-=AaELtuwpnx0/".to_vec()), 0..6)
            .prop_map(|b| String::from_utf8(b).expect("ASCII")),
    ];
    prop::collection::vec(word, 0..8)
}

fn command_line() -> impl Strategy<Value = Vec<String>> {
    let stray = (any::<Index>(), select(STRAYS));
    let order =
        (order(), prop::option::weighted(0.15, stray), prop::option::weighted(0.1, any::<[Index; 2]>()));
    let order = order.prop_map(|(text, stray, swap)| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if let Some((place, word)) = stray {
            words.insert(place.index(words.len() + 1), word.to_owned());
        }
        if let Some([a, b]) = swap.filter(|_| !words.is_empty()) {
            let (a, b) = (a.index(words.len()), b.index(words.len()));
            words.swap(a, b);
        }
        words
    });
    prop_oneof![9 => order, 1 => soup()]
}

/// Some rules for orders to meet.
fn table() -> Fake {
    let mut balancer = Fake::default();
    for line in [
        "-A -t 10.0.0.1:80 -s rr",
        "-a -t 10.0.0.1:80 -r 10.1.0.1 -m -x 9",
        "-A -u 10.0.0.1:53 -o",
        "-A -t [fd00::1]:80 -p 60 -M 64",
        "-a -t [fd00::1]:80 -r [fd00::2]:80 -g",
        "-A -f 7 -p",
        "-a -f 7 -r 10.1.0.1 -i --tun-type gre",
    ] {
        assert_eq!(ipvsadm(line, &mut balancer).status, 0, "{line}");
    }
    (balancer.calls, balancer.orders_given) = (0, 0);
    balancer
}

/// How often each kind of command was accepted; `refused` where none was.
type Seen = HashMap<&'static str, u32>;

fn check(args: &[String], before: &Fake, seen: &mut Seen) -> TestCaseResult {
    let mut balancer = before.clone();
    let Answer { out, err, status } = run("ipvsadm", args, "", &mut balancer);
    let parsed = parse(args, &RecordedNames);
    *seen.entry(kind(parsed.as_ref().ok())).or_default() += 1;
    let changed = balancer.services != before.services
        || balancer.daemons != before.daemons
        || balancer.timeouts != before.timeouts;
    let command = match parsed {
        Err(refusal) => {
            prop_assert_eq!(balancer.calls, 0, "a refused command line reached the balancer");
            prop_assert_eq!((out, err, status), (String::new(), refusal.text + "\n", refusal.status));
            return Ok(());
        }
        Ok(command) => command,
    };
    prop_assert!(status == 0 || !err.is_empty(), "failed silently");
    prop_assert!(status == 0 || !changed, "an order that failed has changed something");
    if command.is_harmless() || command == Command::Restore {
        prop_assert_eq!(balancer.orders_given, 0);
        prop_assert!(!changed);
        return Ok(());
    }
    prop_assert_eq!(balancer.orders_given, 1);
    prop_assert!(out.is_empty());
    if changed { prints_back(balancer) } else { Ok(()) }
}

fn prints_back(mut balancer: Fake) -> TestCaseResult {
    let saved = run("ipvsadm", &["-S".to_owned()], "", &mut balancer);
    let mut again = Fake::default();
    let restored = run("ipvsadm", &["-R".to_owned()], &saved.out, &mut again);
    prop_assert_eq!((restored.err.as_str(), restored.status), ("", 0), "of {}", saved.out);
    prop_assert!(same_rules(&again, &balancer), "{} made {:?}", saved.out, again.services);
    Ok(())
}

fn kind(command: Option<&Command>) -> &'static str {
    match command {
        None => "refused",
        Some(Command::Help | Command::Version) => "help",
        Some(Command::AddService(_)) => "add-service",
        Some(Command::EditService(_)) => "edit-service",
        Some(Command::DeleteService(_)) => "delete-service",
        Some(Command::Clear) => "clear",
        Some(Command::AddServer { .. }) => "add-server",
        Some(Command::EditServer { .. }) => "edit-server",
        Some(Command::DeleteServer { .. }) => "delete-server",
        Some(Command::List(_)) => "list",
        Some(Command::Zero(_)) => "zero",
        Some(Command::SetTimeouts(_)) => "set",
        Some(Command::StartDaemon(_)) => "start-daemon",
        Some(Command::StopDaemon(_)) => "stop-daemon",
        Some(Command::Save { .. }) => "save",
        Some(Command::Restore) => "restore",
    }
}

/// A share of the million, with a seed of its own.
fn run_share(seed: u64) -> Seen {
    let mut bytes = [0x5a; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: COMMAND_LINES / THREADS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &bytes));
    let table = table();
    let seen = std::cell::RefCell::new(Seen::new());
    let result = runner.run(&command_line(), |args| check(&args, &table, &mut seen.borrow_mut()));
    if let Err(failure) = result {
        panic!("seed {seed}: {failure}");
    }
    seen.into_inner()
}

#[test]
fn a_million_command_lines() {
    let seed =
        std::env::var("COMMAND_LINES_SEED").map_or(1, |s| s.parse().expect("COMMAND_LINES_SEED is a number"));
    let mut seen = Seen::new();
    thread::scope(|scope| {
        let shares: Vec<_> =
            (0..THREADS).map(|n| scope.spawn(move || run_share(seed + u64::from(n)))).collect();
        for share in shares {
            // Its own message has been printed.
            for (kind, count) in share.join().expect("a share of the million") {
                *seen.entry(kind).or_default() += count;
            }
        }
    });
    assert_eq!(seen.values().sum::<u32>(), COMMAND_LINES);
    // Otherwise it would prove little.
    assert_eq!(seen.len(), 16, "{seen:?}");
    assert!(seen.values().all(|n| *n > 1_000), "{seen:?}");
    assert!(seen["refused"] < COMMAND_LINES * 3 / 4, "{seen:?}");
    println!("{seen:?}");
}
