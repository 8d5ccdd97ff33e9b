//! Rows about fragments that come in order; for other orders see `tests/fragments.rs`.

use super::{CLIENT, VIP, step, story};
use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::packet::{Builder, Check, SYN, at, fragments, tcp, udp};
use rlvs_core::path::DropReason;

/// A packet in pieces of so many bytes, as steps.
fn pieces(label: &str, from_server: u8, packet: &Builder, size: usize, expected: &[Expected]) -> Vec<Step> {
    let packet = packet.clone().with(|b| b.dont_fragment = false).bytes();
    let parts = fragments(&packet, size);
    assert_eq!(parts.len(), expected.len(), "{label}");
    let one = |(i, (part, expected)): (usize, (&Vec<u8>, &Expected))| {
        let label = format!("{label}: piece {i}");
        let frame = match from_server {
            0 => lab::from_client(part),
            n => lab::from_server(n, part),
        };
        Step { from_server, ..step(&label, frame, expected.clone()) }
    };
    parts.iter().zip(expected).enumerate().map(one).collect()
}

/// The same packets in each forwarding method. What the bytes are, the host's hands say; that they make a whole datagram again,
/// the tests.
pub fn through(method: &str) -> Story {
    let datagram = udp(at(CLIENT), at("10.0.0.100:53")).data(&[0x5a; 2000]);
    let to = |n| Expected::To(n);
    let mut steps = pieces("UDP", 0, &datagram, 1000, &[to(1), to(1), to(1)]);
    steps.extend(pieces(
        "UDP without checksum",
        0,
        &datagram.clone().with(|b| (b.id, b.check) = (2, Check::Absent)),
        1400,
        &[to(1), to(1)],
    ));
    steps.extend(pieces(
        "a SYN with data",
        0,
        &tcp(at(CLIENT), at(VIP), SYN).data(&[1; 90]),
        64,
        &[to(1), to(1)],
    ));
    steps.extend(pieces(
        "IP options",
        0,
        &datagram.clone().with(|b| (b.id, b.ip_options) = (3, vec![1; 8])),
        1200,
        &[to(1), to(1)],
    ));
    if method == "-m" {
        let answer = udp(at("10.1.0.1:5353"), at(CLIENT)).data(&[3; 2000]);
        steps.extend(pieces(
            "a server's answer",
            1,
            &answer,
            1480,
            &[Expected::ToClient, Expected::ToClient],
        ));
    }
    let syn = fragments(&tcp(at(CLIENT), at(VIP), SYN).with(|b| b.dont_fragment = false).bytes(), 8);
    let bad = || Expected::Drop(DropReason::BadFragment);
    steps.push(step("a first piece without flags", lab::from_client(&syn[0]), bad()));
    steps.push(step("a piece over the flags", lab::from_client(&syn[1]), bad()));
    let port = if method == "-m" { 8080 } else { 80 };
    let udp_port = if method == "-m" { 5353 } else { 53 };
    let rules = format!(
        "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:{port} {method}
        -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.1.0.1:{udp_port} {method}"
    );
    story(&format!("fragments in order, {method}"), &rules, steps)
}
