//! `--json`: what docs/json.md shows is what is written, whatever columns are asked for.

mod common;

use common::{Fake, ipvsadm, run};
use rlvs_control::model::*;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../docs/json.md");

/// The rules of the document, and the traffic that it tells of.
fn table() -> Fake {
    let mut balancer = Fake::default();
    let rules = block("sh");
    for line in rules.lines() {
        let answer = ipvsadm(line.strip_prefix("ipvsadm ").expect("ipvsadm"), &mut balancer);
        assert_eq!((answer.err.as_str(), answer.status), ("", 0), "{line}");
    }
    let service = balancer.services.iter_mut().find(|s| matches!(s.service.key, ServiceKey::Address { .. }));
    let service = service.expect("the service of the document");
    let counters = Counters {
        conns: 250_000_000,
        in_packets: 1_750_000_000,
        out_packets: 1_500_000_000,
        in_bytes: 140_000_000_000,
        out_bytes: 2_250_000_000_000,
    };
    let rates = Rates {
        conns_per_sec: 1_200,
        in_packets_per_sec: 8_400,
        out_packets_per_sec: 7_200,
        in_bytes_per_sec: 672_000,
        out_bytes_per_sec: 10_800_000,
    };
    (service.counters, service.rates) = (counters, rates);
    let server = &mut service.destinations[0];
    (server.counters, server.rates) = (counters, rates);
    (server.active_connections, server.inactive_connections, server.persistent_connections) = (310, 95, 42);
    balancer.connections = vec![
        connection(6, 50_000, 443, "ESTABLISHED", 871, None),
        connection(6, 0, 443, "ASSURED", 349, Some(("sip", "call-7"))),
    ];
    balancer
}

fn connection(
    protocol: u8,
    client_port: u16,
    virtual_port: u16,
    state: &'static str,
    expires_secs: u32,
    engine: Option<(&str, &str)>,
) -> ConnectionView {
    ConnectionView {
        protocol,
        client: "192.0.2.7".parse().expect("an address"),
        client_port,
        virtual_addr: "10.0.0.100".parse().expect("an address"),
        virtual_port,
        destination: "10.1.0.1".parse().expect("an address"),
        destination_port: 8443,
        state,
        expires_secs,
        is_template: client_port == 0,
        from_sync: false,
        engine: engine.map(|(name, data)| (name.to_owned(), data.to_owned())),
        source: None,
    }
}

/// The first fenced block of a language.
fn block(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0
}

/// Commands of `ipvsadm` in the document, with the JSON below each.
fn samples() -> Vec<(&'static str, String)> {
    let mut samples = Vec::new();
    let mut rest = DOCUMENT;
    while let Some((before, after)) = rest.split_once("```json\n") {
        let (sample, after) = after.split_once("```").expect("its end");
        rest = after;
        // The last command before a sample is whose it is; other programs' samples are tested with them.
        let named = |l: &'static str| {
            l.split('`').find(|code| code.starts_with("ipvsadm ") || code.starts_with("rlvs "))
        };
        let command = before.lines().rev().find_map(named).expect("a command");
        if let Some(command) = command.strip_prefix("ipvsadm ") {
            // No string in the document has blanks in it.
            samples.push((command, sample.split_whitespace().collect()));
        }
    }
    samples
}

fn listing(command: &str, balancer: &mut Fake) -> String {
    let answer = ipvsadm(command, balancer);
    assert_eq!((answer.err.as_str(), answer.status), ("", 0), "{command}");
    assert_eq!(answer.out.lines().count(), 1, "{command}");
    answer.out
}

#[test]
fn the_document_tells_the_truth() {
    let samples = samples();
    assert_eq!(samples.len(), 4);
    for (command, sample) in samples {
        assert_eq!(listing(command, &mut table()).trim_end(), sample, "ipvsadm {command}");
    }
}

#[test]
fn every_column_is_there_whichever_is_asked_for() {
    let mut balancer = table();
    let all = listing("-L --json", &mut balancer);
    for more in ["-n", "--stats", "--rate", "--exact", "--thresholds", "--persistent-conn", "--tun-info"] {
        assert_eq!(listing(&format!("-L --json {more}"), &mut balancer), all, "{more}");
    }
    assert_eq!(listing("-Ln --stats --rate --json", &mut balancer), all);
    let connections = listing("-L --json -c", &mut balancer);
    for more in ["-n", "--persistent-conn", "--exact"] {
        assert_eq!(listing(&format!("-Lc --json {more}"), &mut balancer), connections, "{more}");
    }
}

/// One service is the same object as in the list of all; and what cannot be listed is no JSON at all.
#[test]
fn one_service_is_one_of_the_list() {
    let mut balancer = table();
    let parse = |text: String| -> Value { serde_json::from_str(&text).expect("JSON") };
    let all = parse(listing("-L --json", &mut balancer));
    for (i, selector) in ["-t 10.0.0.100:443", "-f 4294967295 -6"].iter().enumerate() {
        let one = parse(listing(&format!("-L --json {selector}"), &mut balancer));
        let found = all["services"].as_array().expect("a list").iter().find(|s| **s == one["services"][0]);
        assert!(found.is_some(), "{i}: {one}");
        assert_eq!(one["services"].as_array().expect("a list").len(), 1);
    }
    let answer = ipvsadm("-L --json -t 10.0.0.9:9", &mut balancer);
    assert_eq!((answer.out.as_str(), answer.err.as_str(), answer.status), ("", "No such service\n", 1));
    let answer = ipvsadm("-S --json", &mut balancer);
    assert_eq!(answer.err, "Illegal 'json' option with the 'save' command\n");
}

/// The table that is listed as text and as JSON is one table.
#[test]
fn json_and_text_agree() {
    let mut balancer = table();
    let json: Value = serde_json::from_str(&listing("-L --json", &mut balancer)).expect("JSON");
    let text = ipvsadm("-Ln --stats --exact", &mut balancer).out;
    let mut rows = text.lines().skip(3).map(|l| l.split_whitespace().rev().take(5).collect::<Vec<_>>());
    let mut check = |counters: &Value| {
        let row = rows.next().expect("a row");
        for (column, key) in
            row.iter().zip(["out_bytes", "in_bytes", "out_packets", "in_packets", "connections"])
        {
            assert_eq!(*column, counters[key].to_string(), "{key}");
        }
    };
    for service in json["services"].as_array().expect("a list") {
        check(&service["counters"]);
        service["destinations"].as_array().expect("a list").iter().for_each(|d| check(&d["counters"]));
    }
    assert!(rows.next().is_none());
}

#[test]
fn empty_listings_are_json_too() {
    let mut balancer = Fake::default();
    assert_eq!(listing("-L --json", &mut balancer), "{\"services\":[]}\n");
    assert_eq!(listing("-Lc --json", &mut balancer), "{\"connections\":[]}\n");
    assert_eq!(listing("-L --daemon --json", &mut balancer), "{\"sync_daemons\":[]}\n");
    let restored = run("ipvsadm", &["-R".to_owned()], "-L --json\n", &mut balancer);
    assert_eq!(restored.out, "{\"services\":[]}\n");
}
