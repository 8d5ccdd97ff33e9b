//! Recordings of the kernel as rows: a sentence, the rules, and steps of one frame in and what came out.
//!
//! `tests/golden/c2-*.json` were recorded from Linux 6.1's IPVS, one packet at a time, in the network of
//! [`lab`](crate::lab). What a step is judged by:
//!
//! * a frame that IPVS sent: our frame, byte for byte;
//! * an ICMP error from the VIP: ours, byte for byte;
//! * an answer of the local TCP stack, a frame that was only routed, or an error of the stack to a real server: for us
//!   the packet passes, and the stack does the same;
//! * nothing: the packet passes too where IPVS had handed it to the stack, which dropped it.
//!
//! Not compared: IP ids that the director invents (and the header sum over them), and GUE's source ports.

use crate::hands::Outcome;
use crate::lab;
use crate::order::Order;
use crate::packet::{checks, sum};
use crate::world::World;
use rlvs_core::path::DropReason;
use rlvs_core::wire::Be16;
use rlvs_core::wire::checksum::update;
use serde::Deserialize;

/// A row: what it shows, the rules, the packets in their order.
#[derive(Clone, Debug)]
pub struct Story {
    pub sentence: String,
    pub orders: Vec<Order>,
    /// MTU of the servers' side.
    pub server_mtu: u32,
    pub steps: Vec<Step>,
    /// Steps of the recording that are left out, and why.
    pub left_out: Vec<(String, &'static str)>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub label: String,
    /// Changes of the rules before the packet comes.
    pub orders: Vec<Order>,
    /// 0 for the client side, else a server.
    pub from_server: u8,
    pub frame: Vec<u8>,
    pub expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Pass,
    /// A frame to a server or to the client side.
    Frame(Vec<u8>),
    /// The same in pieces.
    Frames(Vec<Vec<u8>>),
    /// So many pieces, whose headers are right.
    Pieces(usize),
    /// Dropped by us.
    Drop(DropReason),
    /// An ICMP error to the client, of this type and code.
    Error(u8, u8),
    /// Forwarded; both checksums of what comes out are right.
    Forwarded,
    /// Forwarded to this server, as its MAC says.
    To(u8),
    /// Forwarded to the client.
    ToClient,
    /// Forwarded, with a transport checksum that is as wrong as it came.
    ForwardedWrong,
}

impl Story {
    /// The lab with the story's rules.
    pub fn world(&self) -> World {
        let mut world = lab::world(1);
        if let Some(link) = world.network.link_mut(lab::S0) {
            link.mtu = self.server_mtu;
        }
        self.orders.iter().for_each(|o| world.obey(o));
        world
    }
}

impl Step {
    pub fn ifindex(&self) -> u32 {
        if self.from_server == 0 { lab::C0 } else { lab::S0 }
    }

    /// What differs from what was expected, if anything does.
    pub fn difference(&self, outcome: &Outcome) -> Option<String> {
        let fine = match (&self.expected, outcome) {
            (Expected::Pass, Outcome::Pass) => true,
            (Expected::Drop(wanted), Outcome::Drop(got)) => wanted == got,
            (Expected::Forwarded, Outcome::Sent(got)) => inner_checks(&got.frame) == (true, true),
            (Expected::To(n), Outcome::Sent(got)) => lab::server_of(&got.frame) == Some(*n),
            (Expected::ToClient, Outcome::Sent(got)) => got.frame[..6] == lab::ROUTER_MAC,
            (Expected::ForwardedWrong, Outcome::Sent(got)) => inner_checks(&got.frame) == (true, false),
            (Expected::Error(kind, code), Outcome::Answered(_, got)) => {
                got.frame[23] == 1
                    && got.frame[34..36] == [*kind, *code]
                    && sum(&got.frame[34..], 0) == 0xffff
            }
            (Expected::Frame(wanted), Outcome::Sent(got) | Outcome::Answered(_, got)) => {
                masked(wanted, &self.frame) == masked(&got.frame, &self.frame)
            }
            (Expected::Frames(wanted), Outcome::Split(got)) => {
                let masks = |frame: &Vec<u8>| masked(frame, &self.frame);
                wanted.iter().map(masks).eq(got.iter().map(|piece| masks(&piece.frame)))
            }
            (Expected::Pieces(wanted), Outcome::Split(got)) => {
                got.len() == *wanted && got.iter().all(|piece| sum(&piece.frame[14..34], 0) == 0xffff)
            }
            _ => false,
        };
        (!fine).then(|| format!("{}\n  wanted {}\n  got    {outcome:?}", self.label, show(&self.expected)))
    }
}

fn show(expected: &Expected) -> String {
    match expected {
        Expected::Frame(frame) => hex(frame),
        Expected::Frames(frames) => frames.iter().map(|f| hex(f)).collect::<Vec<_>>().join("\n         "),
        other => format!("{other:?}"),
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|b| format!("{b:02x}")).collect()
}

/// Are the checksums of the packet right, under all its outer headers? (Those must be right.)
fn inner_checks(frame: &[u8]) -> (bool, bool) {
    let mut packet = &frame[14..];
    while packet[9] == 4 {
        if sum(&packet[..20], 0) != 0xffff {
            return (false, false);
        }
        packet = &packet[20..];
    }
    checks(packet)
}

/// A frame without what the director invents: an IP id that is not the one that came in, and the sum over it; the source
/// port of GUE, and what that does to the sum of UDP.
pub fn masked(frame: &[u8], came_in: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.len() >= 34 && frame[12..14] == [8, 0] && frame[18..20] != came_in[18..20] {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    let udp_at = match frame.get(12..14) {
        Some([8, 0]) => (frame.get(23) == Some(&17)).then_some(34),
        Some([0x86, 0xdd]) => (frame.get(20) == Some(&17)).then_some(54),
        _ => None,
    };
    if let Some(at) = udp_at
        && frame.get(at + 2..at + 4) == Some(&GUE_PORT.to_be_bytes()[..])
    {
        let word = |frame: &[u8], at: usize| Be16::from_bytes([frame[at], frame[at + 1]]);
        let (port, check) = (word(&frame, at), word(&frame, at + 6));
        if check != Be16(0) {
            let check = update(check, !port.0 as u32 & 0xffff);
            frame[at + 6..at + 8].copy_from_slice(&check.bytes());
        }
        frame[at..at + 2].fill(0);
    }
    frame
}

/// The port of the recorded GUE tunnels.
const GUE_PORT: u16 = 6080;

#[derive(Deserialize)]
struct Recording {
    name: String,
    proves: String,
    service: Vec<String>,
    /// Shell commands that set a sysctl.
    #[serde(default)]
    settings: Vec<String>,
    mtu: std::collections::HashMap<String, u32>,
    steps: Vec<RecordedStep>,
}

#[derive(Deserialize)]
struct RecordedStep {
    step: String,
    from: String,
    #[serde(rename = "in")]
    came: String,
    in_hex: String,
    out: Vec<String>,
    out_hex: Vec<String>,
}

/// All recordings of packets for what there is by now.
pub fn stories() -> Vec<Story> {
    [
        include_str!("../tests/golden/c2-nat.json"),
        include_str!("../tests/golden/c2-dr.json"),
        include_str!("../tests/golden/c2-tun-ipip.json"),
        include_str!("../tests/golden/c2-mtu-nat.json"),
        include_str!("../tests/golden/c2-mtu-dr.json"),
        include_str!("../tests/golden/c2-mtu-tun.json"),
        include_str!("../tests/golden/c2-mtu-tun-pmtu-off.json"),
        include_str!("../tests/golden/c2-tun-gre.json"),
        include_str!("../tests/golden/c2-tun-gre-csum.json"),
        include_str!("../tests/golden/c2-tun-gue.json"),
        include_str!("../tests/golden/c2-tun-gue-csum.json"),
        include_str!("../tests/golden/c2-tun-gue-remcsum.json"),
        include_str!("../tests/golden/c2-tun-4in4-gre.json"),
        include_str!("../tests/golden/c2-tun-4in4-gre-csum.json"),
        include_str!("../tests/golden/c2-tun-4in4-gue.json"),
        include_str!("../tests/golden/c2-tun-4in4-gue-csum.json"),
    ]
    .map(packets)
    .to_vec()
}

/// Reads one of `tests/golden/c2-*.json`.
pub fn packets(json: &str) -> Story {
    let recording: Recording = serde_json::from_str(json).expect("a recording of packets");
    let mut left_out = Vec::new();
    let mut steps = Vec::new();
    for step in &recording.steps {
        match not_yet(step) {
            Some(why) => left_out.push((step.step.clone(), why)),
            None => steps.push(read(step)),
        }
    }
    let orders = recording.service.iter().map(|line| Order::parse(line));
    Story {
        sentence: format!("{}: {}", recording.name, recording.proves),
        orders: recording.settings.iter().map(|s| setting(s)).chain(orders).collect(),
        server_mtu: recording.mtu["server side"],
        steps,
        left_out,
    }
}

/// `echo 0 > /proc/sys/net/ipv4/vs/pmtu_disc`
fn setting(command: &str) -> Order {
    let words: Vec<&str> = command.split_whitespace().collect();
    let ["echo", value, ">", path] = words[..] else { panic!("{command}") };
    let name = path.rsplit('/').next().unwrap_or_default();
    Order::Sysctl(name.to_string(), value.parse().expect("a number"))
}

/// Why a step is left out, if it is.
fn not_yet(step: &RecordedStep) -> Option<&'static str> {
    if step.came.contains(" MF") || step.came.contains(" off=") {
        Some("the kernel reassembles, and so sends whole datagrams: see docs/compat.md")
    } else {
        None
    }
}

fn read(step: &RecordedStep) -> Step {
    let packet = bytes(&step.in_hex);
    let from_server = step.from.strip_prefix("server ").map_or(0, |n| n.parse().expect("a server's number"));
    let frame =
        if from_server == 0 { lab::from_client(&packet) } else { lab::from_server(from_server, &packet) };
    let expected = match (step.out.first(), step.out_hex.first()) {
        (Some(words), Some(hex)) if was_forwarded(words, from_server) => match &step.out_hex[..] {
            [_] => Expected::Frame(bytes(hex)),
            pieces => Expected::Frames(pieces.iter().map(|hex| bytes(hex)).collect()),
        },
        _ => Expected::Pass,
    };
    Step { label: step.step.clone(), orders: Vec::new(), from_server, frame, expected }
}

/// Did IPVS make this frame? Otherwise it is the stack's: a reset of its own, an error to a real server, or a packet
/// of a real server that was only routed.
fn was_forwarded(words: &str, from_server: u8) -> bool {
    let to_client = words.starts_with("client: ");
    match from_server {
        // An echo is the stack's, too.
        0 => !to_client || (words.contains("| ICMP ") && !words.contains("| ICMP 0/0")),
        _ => to_client && words.starts_with("client: IP 10.0.0.100>"),
    }
}

pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
}
