//! Rows about AH and ESP: they go where the ISAKMP of their client goes.

use super::{after, client, step, story};
use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::packet::{at, sum, udp};

const VIP: &str = "10.0.0.100:500";
const CLIENT: &str = "172.16.0.9:500";
const OTHER: &str = "172.16.0.8:500";
const AH: u8 = 51;
const ESP: u8 = 50;

/// An IP packet of this protocol, with bytes that look like ports of another service.
fn secured(proto: u8, from: &str, to: &str, ttl: u8) -> Vec<u8> {
    let mut ip = udp(at(from), at(to)).with(|b| b.ttl = ttl).data(b"not to be read").bytes();
    ip[9] = proto;
    ip[10..12].fill(0);
    let check = !sum(&ip[..20], 0);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    ip[20..28].copy_from_slice(&[0x9c, 0x40, 0, 80, 0, 0, 0x11, 0x11]);
    ip
}

fn from_client(label: &str, proto: u8, client: &str, expected: Expected) -> Step {
    step(label, lab::from_client(&secured(proto, client, VIP, 64)), expected)
}

/// A frame for server `n`.
fn to_server(n: u8, packet: &[u8]) -> Expected {
    Expected::Frame([&lab::server_mac(n)[..], &lab::S0_MAC[..], &[8, 0], packet].concat())
}

pub fn through(method: &str) -> Story {
    // (Server 2 is first, being the newest.)
    let there = |proto| match method {
        "-m" => to_server(2, &secured(proto, CLIENT, "10.1.0.2:500", 63)),
        "-g" => to_server(2, &secured(proto, CLIENT, VIP, 63)),
        _ => Expected::To(2),
    };
    let mut steps = vec![
        from_client("no keys are agreed", ESP, CLIENT, Expected::Pass),
        client("now they are", &udp(at(CLIENT), at(VIP)), Expected::To(2)),
        from_client("ESP follows", ESP, CLIENT, there(ESP)),
        from_client("AH follows", AH, CLIENT, there(AH)),
        from_client("another client's does not", ESP, OTHER, Expected::Pass),
        client("until it has agreed on keys", &udp(at(OTHER), at(VIP)), Expected::To(1)),
        from_client("then it goes to the other server", ESP, OTHER, Expected::To(1)),
    ];
    if method == "-m" {
        let back = lab::from_server(2, &secured(ESP, "10.1.0.2:500", CLIENT, 64));
        let seen = [&lab::ROUTER_MAC[..], &lab::C0_MAC[..], &[8, 0], &secured(ESP, VIP, CLIENT, 63)].concat();
        steps.push(Step { from_server: 2, ..step("the way back", back, Expected::Frame(seen)) });
        let stray = lab::from_server(1, &secured(ESP, "10.1.0.1:500", CLIENT, 64));
        steps.push(Step { from_server: 1, ..step("not from another server", stray, Expected::Pass) });
    }
    let gone = from_client(
        "the service is gone",
        ESP,
        CLIENT,
        Expected::Drop(rlvs_core::path::DropReason::ServerGone),
    );
    steps.push(after("-D -u 10.0.0.100:500", gone));
    let rules = format!(
        "-A -u {VIP} -s rr\n-a -u {VIP} -r 10.1.0.1 {method}\n-a -u {VIP} -r 10.1.0.2 {method}\n\
         -A -u 10.0.0.100:53 -s rr"
    );
    story(&format!("AH and ESP follow their keys, {method}"), &rules, steps)
}
