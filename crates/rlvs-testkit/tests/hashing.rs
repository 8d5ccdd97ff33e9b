//! Choices by address, as the kernel made them: sh and mh for hundreds of sources, dh, lblc and lblcr for hundreds of
//! destinations (a service by firewall mark). IPv6 cases wait for IPv6 on the host.

use rlvs_core::maps::MarkRule;
use rlvs_testkit::packet::{ACK, SYN, tcp};
use rlvs_testkit::{Outcome, Sizes, World, arrive, lab, mark};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

#[derive(Deserialize)]
struct BySource {
    sources: Vec<Ipv4Addr>,
    cases: Vec<SourceCase>,
    changes: Vec<String>,
}

#[derive(Deserialize)]
struct SourceCase {
    case: String,
    weights: Vec<u32>,
    flags: String,
    service_port: u16,
    ports: Vec<u16>,
    chosen: String,
    #[serde(default)]
    upper: Vec<u32>,
}

fn world() -> World {
    lab::sized(Sizes { destinations: 256, connection_sets: 2048, ..Sizes::default() }, 1)
}

/// Which server gets the packet; `c` if nobody.
fn to(world: &World, packet: &[u8]) -> String {
    match arrive(world, lab::C0, &lab::from_client(packet)) {
        Outcome::Sent(sent) => lab::server_of(&sent.frame).expect("a server's MAC").to_string(),
        Outcome::Answered(..) | Outcome::Drop(_) => "c".into(),
        other => panic!("{other:?}"),
    }
}

fn nobody(list: &str) -> String {
    list.split(' ').map(|w| if w == "-" { "c" } else { w }).collect::<Vec<_>>().join(" ")
}

fn by_source(scheduler: &str, json: &str) {
    let recording: BySource = serde_json::from_str(json).expect("a recording of choices by source");
    let mut world = world();
    let service = |world: &mut World, port: u16, weights: &[u32], flags: &str, upper: &[u32]| {
        let t = format!("-t {}:{port}", lab::VIP);
        let flags = if flags.is_empty() { String::new() } else { format!("-b {flags}") };
        world.order(&format!("-C\n-A {t} -s {scheduler} {flags}"));
        for (i, weight) in weights.iter().enumerate() {
            let upper = upper.get(i).copied().unwrap_or(0);
            world.order(&format!("-a {t} -r 10.1.0.{}:{port} -g -w {weight} -x {upper}", i + 1));
        }
    };
    let mut done = 0;
    for case in recording.cases.iter().filter(|c| !c.case.starts_with("ipv6")) {
        let port = case.service_port;
        service(&mut world, port, &case.weights, &case.flags, &case.upper);
        let flows =
            recording.sources.iter().flat_map(|s| case.ports.iter().map(|p| SocketAddrV4::new(*s, *p)));
        let vip = SocketAddrV4::new(lab::VIP, port);
        let got: Vec<String> = flows.map(|client| to(&world, &tcp(client, vip, SYN).bytes())).collect();
        assert_eq!(got.join(" "), nobody(&case.chosen), "{scheduler} {}", case.case);
        done += 1;
    }
    assert_eq!(done, 14);
    // What a change of the destinations moves.
    let port = recording.cases.iter().map(|c| c.service_port).max().unwrap() + 1;
    service(&mut world, port, &[1, 1, 1], "", &[]);
    let t = format!("-t {}:{port} -r 10.1.0.", lab::VIP);
    for (n, line) in recording.changes.iter().enumerate() {
        let (label, chosen) = line.rsplit_once(": ").unwrap();
        match label {
            "add 4" => world.order(&format!("-a {t}4:{port} -g -w 1")),
            "delete 2" => world.order(&format!("-d {t}2:{port}")),
            "edit 1 to weight 0" => world.order(&format!("-e {t}1:{port} -g -w 0")),
            "edit 1 to weight 3" => world.order(&format!("-e {t}1:{port} -g -w 3")),
            first => assert_eq!((n, first), (0, "servers 1 2 3, weight 1")),
        }
        let vip = SocketAddrV4::new(lab::VIP, port);
        let client = |s: &Ipv4Addr| SocketAddrV4::new(*s, 4000 + n as u16);
        let got: Vec<String> =
            recording.sources[..100].iter().map(|s| to(&world, &tcp(client(s), vip, SYN).bytes())).collect();
        assert_eq!(got.join(" "), nobody(chosen), "{scheduler} {label}");
    }
}

#[test]
fn sh_chooses_for_sources_as_the_kernel_did() {
    by_source("sh", include_str!("golden/c1-sh-sources.json"));
}

#[test]
fn mh_chooses_for_sources_as_the_kernel_did() {
    by_source("mh", include_str!("golden/c1-mh-sources.json"));
}

#[derive(Deserialize)]
struct ByDestination {
    dests: Vec<Ipv4Addr>,
    cases: Vec<DestinationCase>,
}

#[derive(Deserialize)]
struct DestinationCase {
    case: String,
    weights: Vec<u32>,
    chosen: String,
    #[serde(rename = "active/inactive")]
    loads: BTreeMap<u8, String>,
}

fn by_destination(scheduler: &str, json: &str) {
    let recording: ByDestination = serde_json::from_str(json).expect("a recording of choices by destination");
    let mut world = world();
    for (n, case) in recording.cases.iter().enumerate() {
        let number = 0x100 + n as u32;
        world.unmark();
        let rule = MarkRule { protocol: 6, first_port: 80, last_port: 80, mark: number, ..MarkRule::EMPTY };
        world.mark(rule);
        world.order(&format!("-C\n-A -f {number} -s {scheduler}"));
        for (i, weight) in case.weights.iter().enumerate() {
            world.order(&format!("-a -f {number} -r 10.1.0.{} -g -w {weight}", i + 1));
        }
        let often = |i: usize| match case.case.split(',').next().unwrap() {
            "each address once" => i,
            "destinations i*i mod 7" => (i * i) % 7,
            _ if i.is_multiple_of(3) => 1 + i % 5,
            _ => 0,
        };
        let once = case.case.starts_with("each");
        let mut got = Vec::new();
        for k in 0..case.chosen.split(' ').count() {
            let client = SocketAddrV4::new(
                Ipv4Addr::new(10, 8, (k / 200) as u8, (k % 200 + 1) as u8),
                3000 + n as u16,
            );
            let to_addr = SocketAddrV4::new(recording.dests[often(k)], 80);
            got.push(to(&world, &tcp(client, to_addr, SYN).bytes()));
            if !once && got[k] != "c" {
                to(&world, &tcp(client, to_addr, ACK).bytes());
            }
        }
        assert_eq!(got.join(" "), nobody(&case.chosen), "{scheduler} {}", case.case);
        let loads: BTreeMap<u8, String> = world
            .dests(mark(number))
            .into_iter()
            .map(|id| {
                let l = world.loads(id);
                (world.dest_config(id).addr[0].bytes()[3], format!("{}/{}", l.active, l.inactive))
            })
            .collect();
        assert_eq!(loads, case.loads, "{scheduler} {}", case.case);
    }
    assert_eq!(recording.cases.len(), 8);
    let wrong = rlvs_testkit::audit(&world);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dh_chooses_for_destinations_as_the_kernel_did() {
    by_destination("dh", include_str!("golden/c1-dh-destinations.json"));
}

#[test]
fn lblc_chooses_for_destinations_as_the_kernel_did() {
    by_destination("lblc", include_str!("golden/c1-lblc-destinations.json"));
}

#[test]
fn lblcr_chooses_for_destinations_as_the_kernel_did() {
    by_destination("lblcr", include_str!("golden/c1-lblcr-destinations.json"));
}
