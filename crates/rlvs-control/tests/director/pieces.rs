//! IPv4 packets that may be cut up and are too long for a tunnel to an IPv6 server, sent for real: the outer packets leave in
//! the pieces that Linux makes of them (`golden/c2-tun-4in6-large.json`).

use crate::fragments::Wire;
use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Programs, Way};
use crate::six;
use rlvs_testkit::golden::{bytes, masked};
use rlvs_testkit::lab::from_client;
use serde::Deserialize;

#[derive(Deserialize)]
struct Recording {
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
struct Tunnel {
    service: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    in_hex: String,
    out_hex: Vec<String>,
}

pub fn to_ipv6(way: Way) {
    let recording: Recording =
        serde_json::from_str(include_str!("golden/c2-tun-4in6-large.json")).expect("a recording of packets");
    let mut wrong = Vec::new();
    for tunnel in &recording.tunnels {
        wrong.extend(in_a_namespace(|director| {
            tunnel.service.iter().for_each(|line| six::obey(director, line));
            let _programs = Programs::open(director, way);
            set_mtu("s0", 1400);
            let (from, to) = (Wire::on("c1"), Wire::on("s1"));
            let mut wrong = Vec::new();
            for step in &tunnel.steps {
                from.send(&from_client(&bytes(&step.in_hex)));
                let got = to.receive(step.out_hex.len(), |f| f[12..14] == [0x86, 0xdd] && is_tunnel(f));
                let numbers: Vec<&[u8]> = got.iter().filter_map(|f| number(f)).collect();
                let wanted: Vec<_> = step.out_hex.iter().map(|hex| comparable(bytes(hex))).collect();
                let alike = got.iter().cloned().map(comparable).eq(wanted);
                if !alike || numbers.iter().any(|n| *n != numbers[0]) {
                    let hex = |f: &Vec<u8>| {
                        f[..80.min(f.len())].iter().map(|b| format!("{b:02x}")).collect::<String>()
                    };
                    let drops = director.status().expect("a state").drops;
                    let line = &tunnel.service[1];
                    let got = got.iter().map(hex).collect::<Vec<_>>().join("\n  ");
                    wrong.push(format!("{way:?} {line} {}: {drops:?}\n  {got}", step.step));
                }
            }
            wrong
        }));
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

const NEXT_HEADER_AT: usize = 14 + 6;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;

/// Nothing that the interfaces say by themselves.
fn is_tunnel(frame: &[u8]) -> bool {
    ![0, ICMPV6].contains(&frame[NEXT_HEADER_AT])
}

/// Which packet it is a piece of.
fn number(frame: &[u8]) -> Option<&[u8]> {
    (frame[NEXT_HEADER_AT] == FRAGMENT).then(|| &frame[58..62])
}

/// Without MACs and what the director invents: the number in the fragment header, and the source port of GUE.
fn comparable(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..12].fill(0);
    if number(&frame).is_none() {
        return masked(&frame, &frame);
    }
    frame[58..62].fill(0);
    let is_first = frame[56..58] == [0, 1];
    let fragment_header: Vec<u8> = frame.drain(54..62).collect();
    if is_first {
        frame[NEXT_HEADER_AT] = fragment_header[0];
        frame = masked(&frame, &frame);
    }
    frame.extend(fragment_header);
    frame
}
