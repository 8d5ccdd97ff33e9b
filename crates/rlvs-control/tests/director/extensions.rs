//! IPv6 packets with extension headers before TCP, UDP or ICMPv6 go the way of those without: the kernel's recordings of
//! NAT and DR, each packet with headers put in before it is received, must come out as recorded, with the same ones.

use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Programs, Way};
use crate::six::{Recording, Step, difference, obey, receive};
use rlvs_testkit::golden::bytes;

/// Numbers and bytes of the headers, each but for its next header.
const HEADERS: [(u8, &[u8]); 3] = [
    (0, &[0, 5, 2, 0, 0, 1, 0]), // hop by hop: router alert
    (51, &[4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3]), // authentication
    (60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), // destination options: padding
];
const ETH: usize = 14;
const IP: usize = 40;

/// The packet with the headers put in; `ip` is where its IP header starts.
fn extended(packet: &str, ip: usize) -> String {
    let mut p = bytes(packet);
    let last = std::mem::replace(&mut p[ip + 6], HEADERS[0].0);
    let following = HEADERS[1..].iter().map(|h| h.0).chain([last]);
    let all: Vec<u8> = HEADERS.iter().zip(following).flat_map(|(h, next)| [&[next], h.1].concat()).collect();
    let len = u16::from_be_bytes([p[ip + 4], p[ip + 5]]) + all.len() as u16;
    p[ip + 4..ip + 6].copy_from_slice(&len.to_be_bytes());
    p.splice(ip + IP..ip + IP, all);
    p.iter().map(|b| format!("{b:02x}")).collect()
}

/// Not where the director answers itself, nor packets that headers would make too long: what comes out differs.
fn with_headers(step: &Step) -> Option<Step> {
    let out = step.out_hex.first()?;
    let (came, went) = (bytes(&step.in_hex), bytes(out));
    (came[6] == went[ETH + 6] && came.len() < 1300).then(|| Step {
        step: format!("{}, behind extension headers", step.step),
        in_hex: extended(&step.in_hex, 0),
        out_hex: vec![extended(out, ETH)],
        ..step.clone()
    })
}

#[test]
fn extension_headers() {
    let mut wrong = Vec::new();
    let mut seen = [0; 256];
    for json in [include_str!("golden/c2-nat6.json"), include_str!("golden/c2-dr6.json")] {
        let recording: Recording = serde_json::from_str(json).expect("a recording of packets");
        for way in [Way::Xdp, Way::Tc] {
            in_a_namespace(|director| {
                recording.service.iter().for_each(|line| obey(director, line));
                let programs = Programs::open(director, way);
                set_mtu("s0", 1400);
                for step in recording.steps.iter().filter_map(with_headers) {
                    let made = receive(&programs, &step);
                    seen[usize::from(bytes(&step.in_hex)[IP + 8 + 24])] += 1;
                    if let Some(different) = difference(&step, &made) {
                        wrong.push(format!("{} by {way:?}, {}: {different}", recording.name, step.step));
                    }
                }
            });
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    assert!([6, 17, 58].iter().all(|last: &usize| seen[*last] > 0), "TCP, UDP, ICMPv6: {seen:?}");
}
