//! Stories that the kernel lived through: persistence, quiescent and deleted servers, reuse of ports, one-packet scheduling,
//! marks, settings. Each is a list of steps, what was done and what was seen; here they are done again and must look the same.
//!
//! A line is an order (`ipvsadm …`, `sysctl …`), a pause (`after 59 s`), a packet and where it went, a listing (`  |` for
//! connections, `  #` for services), or a remark. Forgiven are two seconds of a timer, and an entry that is due and is listed
//! or not (then the loads beside it, too).

use rlvs_core::conn::entry::Word;
use rlvs_core::maps::MarkRule;
use rlvs_core::maps::sysctl;
use rlvs_core::proto;
use rlvs_testkit::packet::{ACK, FIN, RST, SYN, tcp, udp};
use rlvs_testkit::{Outcome, Sizes, World, arrive, audit, lab, mark};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddrV4};

#[derive(Deserialize)]
struct Recording {
    name: String,
    story: Vec<String>,
}

/// Seconds by which a timer may differ.
const NEAR: u32 = 2;

struct Player {
    world: World,
    /// The client of the last packet.
    last: Option<SocketAddrV4>,
}

impl Player {
    fn play(&mut self, lines: &[String]) {
        let mut i = 0;
        while i < lines.len() {
            let is_listing = |l: &String| l.starts_with("  | ") || l.starts_with("  # ");
            let end = i + lines[i..].iter().take_while(|l| is_listing(l)).count();
            if end > i {
                self.compare(&lines[i..end]);
                i = end;
                continue;
            }
            self.step(&lines[i]);
            i += 1;
        }
    }

    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ipvsadm", ..] => self.world.order(line.strip_prefix("ipvsadm ").unwrap()),
            ["sysctl", setting] => {
                let (name, value) = setting.split_once('=').unwrap();
                self.world.sysctl(name, value.parse().unwrap());
            }
            ["after", secs, "s"] => self.world.wait_secs(secs.parse().unwrap()),
            ["FA", "from", "the", "server"] => self.server_closes(),
            [what, from, "->", to, ..] if to.ends_with(':') => self.packet(line, what, from, to),
            _ => {} // a remark
        }
    }

    fn packet(&mut self, line: &str, what: &str, from: &str, to: &str) {
        let client: SocketAddrV4 = from.parse().unwrap();
        let port: u16 = to.trim_matches(':').parse().unwrap();
        // The one packet for another address: the line does not say so.
        let vip = if client.port() == 1003 && port == 443 && !self.world.marks.is_empty() {
            Ipv4Addr::new(10, 0, 0, 77)
        } else {
            lab::VIP
        };
        let at = SocketAddrV4::new(vip, port);
        let frame = lab::from_client(&if what == "UDP" {
            udp(client, at).bytes()
        } else {
            let flag = |c| match c {
                'S' => SYN,
                'A' => ACK,
                'F' => FIN,
                'R' => RST,
                other => panic!("flag {other}"),
            };
            tcp(client, at, what.chars().fold(0, |f, c| f | flag(c))).bytes()
        });
        let outcome = arrive(&self.world, lab::C0, &frame);
        let recorded = line.split_once(": ").unwrap().1;
        let fine = match &outcome {
            Outcome::Sent(sent) => match lab::server_of(&sent.frame) {
                Some(n) if sent.frame[..6] == lab::server_mac(n) => {
                    let known = (1..=lab::SERVERS).contains(&n);
                    // A server without a neighbour entry gets nothing.
                    recorded == format!("server {n}") || !known && recorded == "nobody"
                }
                // Through a neighbour that nobody knows, or back by the default route.
                _ => {
                    recorded == "nobody"
                        || recorded.starts_with("answer to client: TCP") && recorded.contains(" S ")
                }
            },
            Outcome::Answered(_, sent) => {
                let [kind, code] = [sent.frame[34], sent.frame[35]];
                recorded.starts_with(&format!("answer to client: ICMP {kind}/{code} "))
            }
            Outcome::Drop(_) => recorded == "nobody",
            // The stack answers what is nobody's with a reset; an RST it only drops.
            Outcome::Pass => recorded.contains(" R ") || recorded == "nobody",
            Outcome::Up => false,
        };
        assert!(fine, "{line}\n  got {outcome:?}\n{}", self.world);
        self.last = Some(client);
    }

    /// The server that has the last client's connection closes it.
    fn server_closes(&self) {
        let client = self.last.expect("a client before");
        let conns = self.world.connections();
        let conn = conns.iter().find(|e| e.client_port().get() == client.port()).expect("its connection");
        let server = SocketAddrV4::new(conn.dest_addr().bytes().into(), conn.dest_port().get());
        let n = server.ip().octets()[3];
        let frame = lab::from_server(n, &tcp(server, client, FIN | ACK).bytes());
        assert!(matches!(arrive(&self.world, lab::S0, &frame), Outcome::Sent(_)));
    }

    /// What `ipvsadm -Lnc` and `-Ln` say.
    fn compare(&self, lines: &[String]) {
        let mut ours = self.connections();
        let mut due = ours.iter().any(|(secs, _)| *secs <= NEAR);
        for line in lines.iter().filter_map(|l| l.strip_prefix("  | ")) {
            let (secs, text) = timer(line);
            match ours.iter().position(|(s, t)| *t == text && s.abs_diff(secs) <= NEAR) {
                Some(at) => drop(ours.remove(at)),
                None if secs <= NEAR => due = true,
                None => panic!("missing: {line}\nours: {ours:#?}\n{}", self.world),
            }
        }
        ours.retain(|(secs, _)| *secs > NEAR);
        assert!(ours.is_empty(), "not in the recording: {ours:#?}\n{lines:#?}");
        let mut key = None;
        for line in lines.iter().filter_map(|l| l.strip_prefix("  # ")) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["->", server, .., active, inactive] if !due => {
                    let id = self.world.find(key.expect("a service before"), server.parse().unwrap());
                    let id = id.unwrap_or_else(|| panic!("no {line}"));
                    let l = self.world.loads(id as u32);
                    let weight = self.world.dest_config(id as u32).weight;
                    let method = words[2];
                    let ours = if method.parse::<u32>().is_ok() {
                        format!("-> {server} {weight} {} {} {}", l.persistent, l.active, l.inactive)
                    } else {
                        format!("-> {server} {method} {weight} {} {}", l.active, l.inactive)
                    };
                    assert_eq!(ours, line, "{active}/{inactive}\n{}", self.world);
                }
                ["->", ..] => {}
                ["TCP", at, ..] => key = Some((6, at.parse().unwrap())),
                ["UDP", at, ..] => key = Some((17, at.parse().unwrap())),
                ["FWM", number, ..] => key = Some(mark(number.parse().unwrap())),
                _ => panic!("{line}"),
            }
        }
    }

    /// Seconds left, and the line without them.
    fn connections(&self) -> Vec<(u32, String)> {
        let place = |addr: rlvs_core::wire::Be32, port: rlvs_core::wire::Be16| {
            SocketAddrV4::new(addr.bytes().into(), port.get())
        };
        let line = |e: &rlvs_core::conn::Entry<rlvs_core::wire::Be32, rlvs_testkit::Row<'_>>| {
            let protocol = match e.proto() {
                6 => "TCP",
                17 => "UDP",
                _ => "IP",
            };
            let state = proto::state_name(e.proto(), e.word().state(), e.word().has(Word::TEMPLATE));
            let (client, vip, server) = (
                place(e.client(), e.client_port()),
                place(e.virtual_addr(), e.virtual_port()),
                place(e.dest_addr(), e.dest_port()),
            );
            (
                e.expires_in(self.world.now()) / World::HZ,
                format!("{protocol} {state} {client} {vip} {server}"),
            )
        };
        self.world.connections().iter().map(line).collect()
    }
}

/// Seconds left, and the line without them: `TCP 01:39 NONE …`.
fn timer(line: &str) -> (u32, String) {
    let mut words: Vec<&str> = line.split(' ').collect();
    let (mins, secs) = words.remove(1).split_once(':').expect("minutes and seconds");
    (mins.parse::<u32>().unwrap() * 60 + secs.parse::<u32>().unwrap(), words.join(" "))
}

fn replay(json: &str) {
    let recording: Recording = serde_json::from_str(json).expect("a recorded story");
    let sizes = Sizes { destinations: 64, ..Sizes::default() };
    let mut player = Player { world: lab::sized(sizes, 1), last: None };
    if recording.name.starts_with("c5-fwmark") {
        let rule = |protocol, port| MarkRule {
            mark: 7,
            protocol,
            first_port: port,
            last_port: port,
            ..MarkRule::EMPTY
        };
        for (protocol, port) in [(6, 80), (6, 443), (17, 53)] {
            player.world.mark(rule(protocol, port));
        }
    }
    player.play(&recording.story);
    player.world.wait_secs(1500);
    let wrong = audit(&player.world);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(player.world.connection_count(), 0, "{} leaves something\n{}", recording.name, player.world);
}

/// Defaults of all settings; one of them depends on the machine's memory.
#[test]
fn settings_begin_as_the_kernels() {
    let recording: Recording =
        serde_json::from_str(include_str!("golden/c5-sysctl-defaults.json")).expect("a recorded story");
    let ours = sysctl::ALL.iter().map(|d| match d.setting {
        sysctl::Setting::SyncThreshold => {
            format!("{} = {} {}", d.name, d.default, sysctl::SYNC_PERIOD.default)
        }
        _ => format!("{} = {}", d.name, d.default),
    });
    let depends = |l: &String| l.starts_with("sync_qlen_max = ");
    let recorded: Vec<String> = recording.story.into_iter().filter(|l| !depends(l)).collect();
    assert_eq!(ours.filter(|l| !depends(l)).collect::<Vec<_>>(), recorded);
}

macro_rules! stories {
    ($($name:ident $file:literal,)+) => { $(
        #[test]
        fn $name() {
            replay(include_str!(concat!("golden/c5-", $file, ".json")));
        }
    )+ };
}

stories! {
    persistence "basic",
    a_template_lives_with_its_connections "template-timer",
    persistence_of_a_network "netmask",
    port_zero "port-zero",
    a_mark_joins_ports_and_addresses "fwmark",
    a_mark_behind_nat "fwmark-nat",
    a_quiescent_server "quiescent-0",
    a_quiescent_server_loses_its_templates "quiescent-1",
    a_deleted_server_is_silent "nodest-0",
    a_deleted_server_ends_its_connections "nodest-1",
    a_reused_port_0_nat "reuse-0-m",
    a_reused_port_0_dr "reuse-0-g",
    a_reused_port_1_nat "reuse-1-m",
    a_reused_port_1_dr "reuse-1-g",
    a_reused_port_2_nat "reuse-2-m",
    a_reused_port_2_dr "reuse-2-g",
    one_packet_scheduling "ops",
    udp_stays "udp-sticky",
    sloppy_tcp "sloppy",
    drop_packet "drop-entry",
    without_a_server "nosched-answers",
}

/// A template that ran out while it had connections lives on for 60 s, and each new connection then renews those, not the
/// service's own timeout: seen on Linux 6.1.0-56 with `-p 10`.
#[test]
fn a_held_template_keeps_its_minute() {
    let mut world = lab::world(1);
    world.order("-A -t 10.0.0.100:80 -s rr -p 10");
    world.order("-a -t 10.0.0.100:80 -r 10.1.0.1:80 -g");
    let open = |world: &World, port, flags| {
        let client = SocketAddrV4::new(lab::CLIENT, port);
        let frame = lab::from_client(&tcp(client, SocketAddrV4::new(lab::VIP, 80), flags).bytes());
        assert!(matches!(arrive(world, lab::C0, &frame), Outcome::Sent(_)));
    };
    let left = |world: &World| {
        let template = world.connections().into_iter().find(|e| e.word().has(Word::TEMPLATE));
        template.expect("a template").expires_in(world.now()) / World::HZ
    };
    open(&world, 1111, SYN);
    open(&world, 1111, ACK);
    assert_eq!(left(&world), 10);
    world.wait_secs(5);
    assert_eq!(left(&world), 5);
    world.wait_secs(8);
    assert!(left(&world).abs_diff(57) <= NEAR, "{}", left(&world));
    open(&world, 1112, SYN);
    assert_eq!(left(&world), 60);
    world.wait_secs(3);
    open(&world, 1113, SYN);
    assert_eq!(left(&world), 60);
}
