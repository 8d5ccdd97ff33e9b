//! The kernel's recorded connection states, one packet or pause at a time: state, seconds left, active and inactive
//! counts. The clock is virtual, so quarters of an hour take no time.
//!
//! Forgiven: one second; an entry that is due and is listed or not (the kernel's timers are late by up to an eighth);
//! the old entry that the kernel still lists for a moment after a SYN took its place.

use rlvs_core::proto;
use rlvs_testkit::packet::{ACK, FIN, PSH, RST, SYN, tcp, udp};
use rlvs_testkit::{Outcome, World, arrive, lab};
use serde::Deserialize;
use std::net::SocketAddrV4;

#[derive(Deserialize)]
struct Recording {
    name: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    moves: Vec<String>,
}

/// What a line says after its move.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// State and seconds left.
    entry: Option<(String, u32)>,
    /// "active/inactive"
    loads: String,
    /// The packet went where a forwarded packet goes.
    forwarded: bool,
}

impl Seen {
    fn read(line: &str) -> Seen {
        let (state, rest) = line.split_once(" act/inact ").expect("a line of a recording");
        let entry = state.split_once(' ').map(|(name, secs)| (name.to_string(), secs.parse().unwrap()));
        let loads = rest.split(' ').next().unwrap().to_string();
        Seen { entry, loads, forwarded: !rest.contains('(') }
    }

    fn is_due(&self) -> bool {
        self.entry.as_ref().is_none_or(|(_, secs)| *secs <= 1)
    }

    fn agrees(&self, ours: &Seen, what: &str) -> bool {
        if what.starts_with("w:") && self.is_due() && ours.is_due() {
            return true;
        }
        let still_listed = matches!(&self.entry, Some((_, 0))) && what == "c:S";
        if still_listed && ours.entry.as_ref().is_some_and(|(state, secs)| state == "SYN_RECV" && *secs == 60)
        {
            return true;
        }
        let near = match (&self.entry, &ours.entry) {
            (Some((a, x)), Some((b, y))) => a == b && x.abs_diff(*y) <= 1,
            (a, b) => a.is_none() && b.is_none(),
        };
        // A SYN that took over: the kernel counts the old one a moment longer.
        let counted_twice = what == "c:S" && self.loads == "1/1" && ours.loads == "1/0";
        near && (self.loads == ours.loads || counted_twice) && self.forwarded == ours.forwarded
    }
}

/// Makes one move and looks.
fn play(world: &World, port: u16, what: &str) -> Seen {
    let client = SocketAddrV4::new(lab::CLIENT, port);
    let at = |addr, port| SocketAddrV4::new(addr, port);
    let (who, detail) = what.split_once(':').unwrap();
    let flags = detail.chars().fold(0, |f, c| f | flag(c));
    let packet = match who {
        "w" => {
            world.wait_secs(detail.parse().unwrap());
            None
        }
        "u" => Some(lab::from_client(&udp(client, at(lab::VIP, 53)).bytes())),
        "v" => Some(lab::from_server(1, &udp(at(lab::server(1), 53), client).bytes())),
        "c" => Some(lab::from_client(&tcp(client, at(lab::VIP, 80), flags).bytes())),
        "s" => Some(lab::from_server(1, &tcp(at(lab::server(1), 80), client, flags).bytes())),
        other => panic!("a move of {other}"),
    };
    // What passes is the stack's: a client's packet is answered or dropped there, a server's is routed.
    let ifindex = if matches!(who, "v" | "s") { lab::S0 } else { lab::C0 };
    let forwarded = match packet.map(|p| arrive(world, ifindex, &p)) {
        None | Some(Outcome::Sent(_)) => true,
        Some(Outcome::Pass) => ifindex == lab::S0,
        Some(other) => panic!("{what}: {other:?}"),
    };
    let protocol = if matches!(who, "u" | "v") { 17 } else { 6 };
    let entry = world.connections().into_iter().find(|e| e.client_port().get() == port).map(|e| {
        let name = proto::state_name(e.proto(), e.word().state(), false).to_string();
        (name, e.expires_in(world.now()) / World::HZ)
    });
    let service = at(lab::VIP, if protocol == 17 || is_udp(world, port) { 53 } else { 80 });
    let protocol = if service.port() == 53 { 17 } else { 6 };
    let loads = world.loads(world.dests((protocol, service))[0]);
    Seen { entry, loads: format!("{}/{}", loads.active, loads.inactive), forwarded }
}

fn is_udp(world: &World, port: u16) -> bool {
    world.connections().iter().any(|e| e.client_port().get() == port && e.proto() == 17)
}

fn flag(letter: char) -> u8 {
    match letter {
        'S' => SYN,
        'A' => ACK,
        'F' => FIN,
        'R' => RST,
        'P' => PSH,
        _ => 0,
    }
}

fn rules(option: &str) -> World {
    let mut world = lab::world(1);
    world.order(&format!(
        "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 {option}
         -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.1.0.1:53 {option}"
    ));
    world
}

fn replay(json: &str, method_of: impl Fn(&str) -> &'static str) {
    replay_with(json, method_of, |_| ());
}

fn replay_with(json: &str, method_of: impl Fn(&str) -> &'static str, settings: impl Fn(&mut World)) {
    let recording: Recording = serde_json::from_str(json).expect("a recording of states");
    let mut wrong = Vec::new();
    for (n, case) in recording.cases.iter().enumerate() {
        let mut world = rules(method_of(&case.case));
        settings(&mut world);
        for line in &case.moves {
            let (what, seen) = line.split_once(": ").unwrap();
            let (recorded, ours) = (Seen::read(seen), play(&world, 1001 + n as u16, what));
            if !recorded.agrees(&ours, what) {
                wrong.push(format!("{} '{}': {line}\n  ours {ours:?}", recording.name, case.case));
                break;
            }
        }
        world.wait_secs(1200);
        assert_eq!(world.connection_count(), 0, "'{}' leaves something\n{world}", case.case);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tcp_states_of_nat() {
    replay(include_str!("golden/c3-tcp-nat.json"), |_| "-m");
}

#[test]
fn tcp_states_of_dr() {
    replay(include_str!("golden/c3-tcp-dr.json"), |_| "-g");
}

#[test]
fn tcp_states_of_tun() {
    replay(include_str!("golden/c3-tcp-tun.json"), |_| "-i");
}

#[test]
fn tcp_states_when_secure() {
    replay_with(include_str!("golden/c3-tcp-nat-secure.json"), |_| "-m", |w| w.sysctl("secure_tcp", 3));
}

/// `ipvsadm --set 100 20 30`, and what it means to a connection that was there before.
#[test]
fn timeouts_that_were_set() {
    let recording: serde_json::Value = serde_json::from_str(include_str!("golden/c3-set.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_value(recording["cases"].clone()).unwrap();
    let set = |world: &mut World, tcp, fin, udp| {
        for (index, secs) in [(proto::tcp::ESTABLISHED, tcp), (proto::tcp::FIN_WAIT, fin)] {
            if secs != 0 {
                world.settings.timeouts[index as usize] = secs * World::HZ;
            }
        }
        if udp != 0 {
            world.settings.timeouts[proto::timeout_index(17, proto::udp::NORMAL)] = udp * World::HZ;
        }
    };
    let mut world = rules("-m");
    set(&mut world, 100, 20, 30);
    let mut compared = 0;
    for (n, case) in cases.iter().enumerate() {
        for line in &case.moves {
            let (what, seen) = line.split_once(": ").unwrap();
            if what.starts_with("ipvsadm") {
                set(&mut world, 50, 0, 0);
                continue;
            }
            let ours = play(&world, 1001 + n as u16, what);
            // All cases share one director, so counts are compared elsewhere.
            let (state, secs) = match seen.split(" act/inact").next().unwrap().split_once(' ') {
                Some((state, secs)) => (state, secs.parse::<u32>().unwrap()),
                None => ("none", 0),
            };
            match &ours.entry {
                Some((name, left)) => assert!(name == state && left.abs_diff(secs) <= 1, "{line}: {ours:?}"),
                None => assert!(state == "none" || what.starts_with("w:") && secs <= 1, "{line}: {ours:?}"),
            }
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn udp_states() {
    replay(include_str!("golden/c3-udp.json"), |case| if case.starts_with("-m") { "-m" } else { "-g" });
}
