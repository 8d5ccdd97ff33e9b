//! IPv6 through the loaded programs, and tunnels between the families, held against recordings of the kernel:
//! `golden/c2-*.json`, recorded from Linux 6.1's IPVS like those of IPv4 (see `rlvs_testkit::golden`).
//!
//! Not compared: the flow label that the kernel invents for an ICMPv6 error (ours is 0), IP ids, GUE's source ports.

use crate::hostile::{invariants, step6};
use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Made, Programs, Verdict, Way};
use rlvs_control::model::{
    Destination, Method, Protocol, SchedFlags, Service, ServiceKey, Tunnel, TunnelChecksum, TunnelKind,
};
use rlvs_control::{Balancer, Director};
use rlvs_testkit::golden::{bytes, masked};
use rlvs_testkit::lab::{from_client, from_server};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

#[derive(Deserialize)]
pub struct Recording {
    pub name: String,
    pub service: Vec<String>,
    pub steps: Vec<Step>,
    connections: Vec<String>,
}

#[derive(Clone, Deserialize)]
pub struct Step {
    pub step: String,
    pub from: String,
    pub in_hex: String,
    pub out: Vec<String>,
    pub out_hex: Vec<String>,
}

#[test]
fn nat() {
    replay(&[include_str!("golden/c2-nat6.json")]);
}

#[test]
fn dr() {
    replay(&[include_str!("golden/c2-dr6.json")]);
}

#[test]
fn tunnels_of_ipv6() {
    replay(&[
        include_str!("golden/c2-tun6.json"),
        include_str!("golden/c2-tun-gue6.json"),
        include_str!("golden/c2-tun-6in6-gre.json"),
        include_str!("golden/c2-tun-6in6-gre-csum.json"),
        include_str!("golden/c2-tun-6in6-gue-csum.json"),
    ]);
}

#[test]
fn ipv4_services_with_ipv6_servers() {
    replay(&[
        include_str!("golden/c2-tun-4in6-ipip.json"),
        include_str!("golden/c2-tun-4in6-gre.json"),
        include_str!("golden/c2-tun-4in6-gre-csum.json"),
        include_str!("golden/c2-tun-4in6-gue.json"),
        include_str!("golden/c2-tun-4in6-gue-csum.json"),
    ]);
}

#[test]
fn ipv6_services_with_ipv4_servers() {
    replay(&[
        include_str!("golden/c2-tun-6in4-ipip.json"),
        include_str!("golden/c2-tun-6in4-gre.json"),
        include_str!("golden/c2-tun-6in4-gre-csum.json"),
        include_str!("golden/c2-tun-6in4-gue.json"),
        include_str!("golden/c2-tun-6in4-gue-csum.json"),
    ]);
}

/// Hostile packets of IPv6, see [`hostile`](crate::hostile).
pub fn hostile(way: Way) {
    let recordings = [
        include_str!("golden/c2-nat6.json"),
        include_str!("golden/c2-dr6.json"),
        include_str!("golden/c2-tun6.json"),
        include_str!("golden/c2-tun-6in6-gre-csum.json"),
        include_str!("golden/c2-tun-6in4-gue-csum.json"),
        include_str!("golden/c2-tun-4in6-gre-csum.json"),
    ]
    .map(|json| serde_json::from_str::<Recording>(json).expect("a recording of packets"));
    let steps = |r: &Recording| r.steps.iter().map(|s| step6(&s.from, &s.in_hex)).collect();
    let steps: Vec<Vec<_>> = recordings.iter().map(steps).collect();
    invariants(way, &steps, |director, story| {
        recordings[story].service.iter().for_each(|line| obey(director, line));
    });
}

fn replay(recordings: &[&str]) {
    let mut wrong = Vec::new();
    for json in recordings {
        let recording: Recording = serde_json::from_str(json).expect("a recording of packets");
        for way in [Way::Xdp, Way::XdpSkb, Way::Tc] {
            wrong.extend(in_a_namespace(|director| tell(&recording, way, director)));
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

/// All differences from the recording.
fn tell(recording: &Recording, way: Way, director: &mut Director) -> Vec<String> {
    recording.service.iter().for_each(|line| obey(director, line));
    let programs = Programs::open(director, way);
    set_mtu("s0", 1400);
    let mut wrong = Vec::new();
    let mut by_xdp = 0;
    // Twice: the first packet to a server goes through the kernel's neighbour table, later ones take the MACs from us.
    for step in &recording.steps {
        for turn in ["first", "again"] {
            let made = receive(&programs, step);
            by_xdp += u32::from(made.by_xdp);
            if let Some(difference) = difference(step, &made) {
                wrong.push(format!("{} by {way:?}, {}, {turn}: {difference}", recording.name, step.step));
            }
        }
    }
    // A checksum over everything inside is TC's.
    if way != Way::Tc && by_xdp < 5 && !recording.name.ends_with("csum") {
        wrong.push(format!("{} by {way:?}: XDP finished {by_xdp} packets", recording.name));
    }
    let mut ours: Vec<String> = director.connections().unwrap().iter().map(listed).collect();
    ours.sort();
    let theirs: Vec<String> =
        recording.connections.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    if ours != theirs {
        wrong.push(format!(
            "{} by {way:?}: connections\n  wanted {theirs:?}\n  got    {ours:?}",
            recording.name
        ));
    }
    wrong
}

/// As `/proc/net/ip_vs_conn` has it, without the time.
fn listed(c: &rlvs_control::model::ConnectionView) -> String {
    let end = |addr: IpAddr, port: u16| match addr {
        IpAddr::V4(addr) => format!("{:08X} {port:04X}", u32::from(addr)),
        IpAddr::V6(addr) => {
            let groups: Vec<String> = addr.segments().iter().map(|s| format!("{s:04x}")).collect();
            format!("{} {port:04X}", groups.join(":"))
        }
    };
    let protocol = if c.protocol == 6 { "TCP" } else { "UDP" };
    format!(
        "{protocol} {} {} {} {}",
        end(c.client, c.client_port),
        end(c.virtual_addr, c.virtual_port),
        end(c.destination, c.destination_port),
        c.state
    )
}

pub fn receive(programs: &Programs, step: &Step) -> Made {
    let packet = bytes(&step.in_hex);
    let server = step.from.strip_prefix("server ").map(|n| n.parse().expect("a server's number"));
    let mut frame = server.map_or_else(|| from_client(&packet), |n| from_server(n, &packet));
    if packet[0] >> 4 == 6 {
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    }
    programs.receive(&frame, server.is_some())
}

pub fn difference(step: &Step, made: &Made) -> Option<String> {
    // A reset is an answer of the local stack; for us the packet passes.
    let ours = step.out.first().filter(|words| !words.contains(" R seq="));
    let (verdict, wanted) = match ours {
        Some(_) => (Verdict::Sent, bytes(&step.out_hex[0])),
        None => (Verdict::Pass, made.frame.clone()),
    };
    let came_in = &step.in_hex;
    let got = masked(&comparable(&made.frame, &wanted), &bytes(came_in));
    let wanted = masked(&comparable(&wanted, &wanted), &bytes(came_in));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    (made.verdict != verdict || got != wanted)
        .then(|| format!("{:?}\n  wanted {}\n  got    {}", made.verdict, hex(&wanted), hex(&got)))
}

/// Without what the director invents, and without MACs where the kernel's neighbour table writes them afterwards.
fn comparable(frame: &[u8], wanted: &[u8]) -> Vec<u8> {
    const ICMPV6: u8 = 58;
    let mut frame = frame.to_vec();
    if frame.len() > 54 && frame[..12] != wanted[..12] {
        frame[..12].copy_from_slice(&wanted[..12]);
    }
    if frame.len() > 54 && frame[20] == ICMPV6 {
        frame[15] &= 0xf0;
        frame[16..18].fill(0);
    }
    frame
}

/// `-A -t [addr]:port -s rr`, or `-a -t [addr]:port -r [addr]:port -m -w 1`, perhaps with options of a tunnel.
pub fn obey(director: &mut Director, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address with a port");
    let after = |option: &str| words.iter().position(|w| *w == option).map(|i| words[i + 1]);
    let protocol = if words[1] == "-t" { Protocol::Tcp } else { Protocol::Udp };
    let key = ServiceKey::Address { protocol, addr: end(words[2]).ip(), port: end(words[2]).port() };
    if words[0] == "-A" {
        let mut service = Service::new(key, words[4]);
        service.flags = SchedFlags(0);
        return director.add_service(&service).expect(line);
    }
    let server = end(words[4]);
    let destination = Destination {
        addr: server.ip(),
        port: server.port(),
        method: match words[5] {
            "-m" => Method::Masquerade,
            "-i" => Method::Tunnel,
            _ => Method::DirectRoute,
        },
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        proxy_protocol: false,
        tunnel: Tunnel {
            kind: match after("--tun-type") {
                Some("gue") => TunnelKind::Gue,
                Some("gre") => TunnelKind::Gre,
                _ => TunnelKind::Ipip,
            },
            port: after("--tun-port").map_or(0, |w| w.parse().expect("a port")),
            checksum: if words.contains(&"--tun-csum") { TunnelChecksum::Full } else { TunnelChecksum::None },
        },
    };
    director.add_destination(&key, &destination).expect(line);
}
