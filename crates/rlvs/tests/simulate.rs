//! The simulator: what is known of a scheduler must come out, the same seed must give the same result, and every table
//! in docs/schedulers.md must be what its command prints. No root.

use rlvs::simulate::{Outcome, Scenario, ServiceTime, run, words};
use rlvs_core::sched::Scheduler;
use std::path::PathBuf;
use std::process::{Command, Output};

fn with(change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut scenario = Scenario::example();
    change(&mut scenario);
    scenario.rate = scenario.rate_for(0.7);
    scenario
}

fn outcome(scenario: &Scenario, scheduler: &str) -> Outcome {
    run(scenario, Scheduler::from_word(scheduler).expect("a scheduler")).expect("a run")
}

fn connections(o: &Outcome) -> Vec<u64> {
    o.servers.iter().map(|s| s.connections).collect()
}

fn servers(scenario: &mut Scenario, list: &str) {
    scenario.servers = words::servers(list).expect("servers");
}

#[test]
fn round_robin_gives_equal_shares_and_wrr_those_of_the_weights() {
    let scenario = with(|s| servers(s, "1:3,1:2,0.5:1"));
    let rr = connections(&outcome(&scenario, "rr"));
    assert!(rr.iter().max().unwrap() - rr.iter().min().unwrap() <= 1, "{rr:?}");
    let wrr = connections(&outcome(&scenario, "wrr"));
    let part = wrr[2] as i64;
    assert!((wrr[0] as i64 - 3 * part).abs() <= 6 && (wrr[1] as i64 - 2 * part).abs() <= 6, "{wrr:?}");
}

#[test]
fn least_connections_beat_turns_where_servers_differ() {
    for service_time in [ServiceTime::Exponential, ServiceTime::Pareto, ServiceTime::Fixed] {
        let scenario = with(|s| {
            servers(s, "1,1,0.5");
            s.service_time = service_time;
        });
        let (rr, wlc) = (outcome(&scenario, "rr"), outcome(&scenario, "wlc"));
        assert!(wlc.response.p99 * 2.0 < rr.response.p99, "{service_time:?}: {rr:?} {wlc:?}");
        assert!(wlc.servers[2].share < 0.3, "{wlc:?}");
    }
}

#[test]
fn maglev_moves_few_clients_and_source_hashing_many() {
    let scenario = with(|s| {
        servers(s, "1,1,1,1,1");
        s.events = vec![words::event("30s:delete rs3").unwrap()];
    });
    let moved = |scheduler| {
        let o = outcome(&scenario, scheduler);
        let e = &o.events[0];
        assert!(e.clients > 900 && e.had_to > 100, "{e:?}");
        e.moved as f64 / e.clients as f64
    };
    assert!(moved("mh") <= 1.0 / 5.0 + 0.02, "mh moved {}", moved("mh"));
    assert!(moved("sh") > 0.5, "sh moved {}", moved("sh"));
}

#[test]
fn udp_is_never_active_so_sed_and_nq_use_one_server() {
    let scenario = with(|s| {
        servers(s, "1:2,1:1,1:1");
        s.udp = true;
    });
    let all = outcome(&scenario, "rr").connections;
    assert_eq!(connections(&outcome(&scenario, "sed")), [all, 0, 0], "the heaviest");
    assert_eq!(connections(&outcome(&scenario, "nq")), [0, 0, all], "the newest");
    let wlc = outcome(&scenario, "wlc");
    assert!((wlc.servers[0].share - 0.5).abs() < 0.01, "wlc counts entries: {wlc:?}");
}

#[test]
fn failover_uses_one_server_and_overflow_fills_one_after_the_other() {
    let scenario = with(|s| servers(s, "1:1,1:3,1:2"));
    let fo = connections(&outcome(&scenario, "fo"));
    assert!(fo[1] > 0 && fo[0] == 0 && fo[2] == 0, "{fo:?}");
    let ovf = outcome(&scenario, "ovf");
    let most: Vec<u64> = ovf.servers.iter().map(|s| s.active_max).collect();
    assert_eq!(most, [2, 4, 3], "one more than its weight");
    let c = connections(&ovf);
    assert!(c[1] > c[2] && c[2] > c[0] && ovf.refused > 0, "{ovf:?}");
}

#[test]
fn thresholds_hold() {
    let scenario = with(|s| servers(s, "1:1:100,1:1:0"));
    let o = outcome(&scenario, "rr");
    // Closed connections count for two minutes, longer than it runs.
    assert_eq!(connections(&o)[0], 100, "{o:?}");
    assert_eq!(o.refused, 0);
}

#[test]
fn a_quiesced_server_of_a_hash_refuses_its_clients_without_fallback() {
    let scenario = |flags: &[&str]| {
        with(|s| {
            s.flags = flags.iter().map(|f| f.to_string()).collect();
            s.events = vec![words::event("30s:weight rs3 0").unwrap()];
        })
    };
    for scheduler in ["sh", "mh"] {
        let o = outcome(&scenario(&[]), scheduler);
        assert!(o.refused * 10 > o.connections, "{o:?}");
        let o = outcome(&scenario(&["sh-fallback", "mh-fallback"]), scheduler);
        assert_eq!(o.refused, 0);
        assert_eq!(o.events[0].moved, o.events[0].had_to, "nobody moves who need not: {o:?}");
    }
}

#[test]
fn clients_and_addresses_keep_their_servers_where_they_should() {
    let many = |scheduler: &str, change: fn(&mut Scenario)| outcome(&with(change), scheduler).servers_met;
    assert_eq!(many("sh", |_| ()), 1.0);
    assert_eq!(many("mh", |_| ()), 1.0);
    assert!(many("sh", |s| s.flags = vec!["sh-port".into()]) > 2.0);
    assert_eq!(many("wlc", |s| s.persist_secs = 300), 1.0);
    assert!(many("wlc", |_| ()) > 2.0);
    assert_eq!(many("dh", |s| s.addresses = 200), 1.0);
    // Their weights are numbers of connections; with these nobody has too many.
    let lblc =
        many("lblc", |s| (s.addresses, s.servers) = (200, words::servers("1:500,1:500,1:500").unwrap()));
    assert_eq!(lblc, 1.0);
    assert!(many("wlc", |s| s.addresses = 200) > 2.0);
}

#[test]
fn a_deleted_server_cuts_off_what_it_had() {
    let mut scenario = with(|s| {
        s.mean_work_nanos = 200_000_000;
        s.events = vec![words::event("30s:delete rs1").unwrap(), words::event("40s:add rs4 1 2").unwrap()];
    });
    scenario.rate = scenario.rate_for(0.95);
    let o = outcome(&scenario, "wlc");
    assert!(o.cut > 0 && o.cut <= o.servers[0].active_max, "{o:?}");
    assert!(o.servers[3].share > 0.1, "{o:?}");
}

#[test]
fn what_the_director_sees_of_a_connection_is_enough_either_way() {
    let nat = outcome(&with(|_| ()), "wlc");
    let dr = outcome(&with(|s| s.method = rlvs::simulate::Method::Dr), "wlc");
    assert_eq!(nat, dr, "FIN_WAIT and TIME_WAIT live equally long");
}

#[test]
fn a_seed_is_a_result() {
    let print = |seed: &str| {
        text(&rlvs(&["simulate", "-s", "wlc,twos", "--duration", "5s", "--seed", seed, "--json"]))
    };
    assert_eq!(print("1"), print("1"));
    assert_ne!(print("1"), print("2"));
    let json: serde_json::Value = serde_json::from_str(&print("1")).expect("JSON");
    let sum: u64 = json["schedulers"][1]["servers"]
        .as_array()
        .expect("servers")
        .iter()
        .map(|s| s["connections"].as_u64().expect("a number"))
        .sum();
    assert_eq!(json["schedulers"][1]["scheduler"], "twos");
    assert_eq!(Some(sum), json["schedulers"][1]["connections"].as_u64());
}

#[test]
fn mistakes_are_named() {
    for (line, said) in [
        ("-s wlx", "unknown scheduler \"wlx\"; there are: rr, wrr"),
        ("--servers 1,fast", "speed \"fast\" is no number from 0.001 to 1000"),
        ("--service-time gauss 1s", "unknown kind of service time \"gauss\"; there are: exp, fixed, pareto"),
        ("--flags sh-prot -s sh", "unknown flag \"sh-prot\"; there are: sh-port"),
        ("--flags sh-port -s rr", "flag \"sh-port\" is of no scheduler that is simulated here"),
        ("--event 3s:delete_rs9", "event \"3s:delete_rs9\" is none of"),
        ("--rate 1e6", "give a lower --rate or a shorter --duration"),
        ("--rate 3e4 --duration 1h", "108000000 connections are more than 50000000"),
        ("--rate 0", "\"0\" is no rate from 0.001 to 1e9"),
        ("--duration 5d", "\"5d\" is no time from 1us to a day"),
    ] {
        let mut words = vec!["simulate"];
        words.extend(line.split(' '));
        let output = rlvs(&words);
        assert!(!output.status.success() && output.stdout.is_empty(), "{line}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{line}: {error}");
    }
    for (event, said) in [
        ("3s:delete rs9", "there is no rs9 at that time"),
        ("3s:add rs3 1", "rs3 is there already"),
        ("3s:add rs7 1", "the next new server is rs4"),
        ("90s:delete rs1", "comes after the end"),
    ] {
        let output = rlvs(&["simulate", "--event", event]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{event}: {error}");
    }
}

/// Set RLVS_BLESS=1 to write what the commands print into the document instead.
#[test]
fn every_table_in_the_document_is_what_its_command_prints() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schedulers.md");
    let document = std::fs::read_to_string(&path).expect("docs/schedulers.md");
    let mut real = String::new();
    let mut blocks = 0;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        real.push_str(line);
        real.push('\n');
        if line != "```console" {
            continue;
        }
        let command = lines.next().expect("a command");
        let arguments = command.strip_prefix("$ rlvs ").unwrap_or_else(|| panic!("not ours: {command}"));
        let output = rlvs(&shell_words(arguments));
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        real.push_str(&format!("{command}\n{}```\n", text(&output)));
        assert!(lines.by_ref().any(|l| l == "```"), "{command}: the block does not end");
        blocks += 1;
    }
    assert!(blocks > 14, "{blocks} tables");
    if std::env::var_os("RLVS_BLESS").is_some() {
        return std::fs::write(&path, real).expect("written");
    }
    for (n, (said, is)) in document.lines().zip(real.lines()).enumerate() {
        assert_eq!(said, is, "docs/schedulers.md, line {} (RLVS_BLESS=1 rewrites the tables)", n + 1);
    }
    assert_eq!(document, real);
}

#[test]
fn every_scheduler_has_its_section() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schedulers.md");
    let document = std::fs::read_to_string(path).expect("docs/schedulers.md");
    for s in Scheduler::ALL.iter().filter(|s| **s != Scheduler::None) {
        assert!(document.contains(&format!("\n### {}: ", s.word())), "no section on {}", s.word());
    }
}

fn rlvs(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rlvs")).args(arguments).output().expect("rlvs runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Words of a command line; only double quotes are special.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (i, part) in line.split('"').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
