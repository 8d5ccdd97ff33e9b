//! Stories that the kernel lived through (`tests/golden/c5-*.json`), replayed on any director: persistence, quiescent and
//! deleted servers, reuse of ports, one-packet scheduling, marks, settings. Each is a list of steps, what was done and what
//! was seen; here they are done again and must look the same.
//!
//! A line is an order (`ipvsadm …`, `sysctl …`), a pause (`after 59 s`), a packet and where it went, a listing (`  |` for
//! connections, `  #` for services), or a remark. Forgiven are two seconds of a timer, and an entry that is due and is listed
//! or not (then the loads beside it, too).

use crate::lab;
use crate::order::{Key, Order, mark};
use crate::packet::{ACK, FIN, RST, SYN, tcp, udp};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A director that stories are replayed on.
pub trait Subject {
    fn obey(&mut self, order: &Order);
    /// Lets time go by; false if it cannot wait so long, and the story ends here.
    fn wait(&mut self, secs: u32) -> bool;
    fn arrive(&mut self, frame: &[u8], from_server: bool) -> Went;
    /// Seconds left, and the rest of a line of `ipvsadm -Lnc`: `TCP NONE client virtual server`.
    fn connections(&mut self) -> Vec<(u32, String)>;
    /// A server of a service.
    fn server(&mut self, service: Key, at: SocketAddrV4) -> Option<Server>;
    /// The whole state, for a test that failed.
    fn describe(&mut self) -> String;
}

/// Where a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// To this server, which is there.
    To(u8),
    /// Forwarded to where nobody is, or back by the default route.
    Elsewhere,
    /// An ICMP error of this type and code went back.
    Icmp(u8, u8),
    Dropped,
    /// To the local stack.
    Passed,
}

/// What a listing says of a server.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub weight: u32,
    pub persistent: u32,
    pub active: u32,
    pub inactive: u32,
}

#[derive(Deserialize)]
pub struct Recording {
    pub name: String,
    pub story: Vec<String>,
}

/// Seconds by which a timer may differ.
pub const NEAR: u32 = 2;

/// All recorded stories, by name.
pub const RECORDINGS: [(&str, &str); 21] = [
    ("basic", include_str!("../tests/golden/c5-basic.json")),
    ("template-timer", include_str!("../tests/golden/c5-template-timer.json")),
    ("netmask", include_str!("../tests/golden/c5-netmask.json")),
    ("port-zero", include_str!("../tests/golden/c5-port-zero.json")),
    ("fwmark", include_str!("../tests/golden/c5-fwmark.json")),
    ("fwmark-nat", include_str!("../tests/golden/c5-fwmark-nat.json")),
    ("quiescent-0", include_str!("../tests/golden/c5-quiescent-0.json")),
    ("quiescent-1", include_str!("../tests/golden/c5-quiescent-1.json")),
    ("nodest-0", include_str!("../tests/golden/c5-nodest-0.json")),
    ("nodest-1", include_str!("../tests/golden/c5-nodest-1.json")),
    ("reuse-0-m", include_str!("../tests/golden/c5-reuse-0-m.json")),
    ("reuse-0-g", include_str!("../tests/golden/c5-reuse-0-g.json")),
    ("reuse-1-m", include_str!("../tests/golden/c5-reuse-1-m.json")),
    ("reuse-1-g", include_str!("../tests/golden/c5-reuse-1-g.json")),
    ("reuse-2-m", include_str!("../tests/golden/c5-reuse-2-m.json")),
    ("reuse-2-g", include_str!("../tests/golden/c5-reuse-2-g.json")),
    ("ops", include_str!("../tests/golden/c5-ops.json")),
    ("udp-sticky", include_str!("../tests/golden/c5-udp-sticky.json")),
    ("sloppy", include_str!("../tests/golden/c5-sloppy.json")),
    ("drop-entry", include_str!("../tests/golden/c5-drop-entry.json")),
    ("nosched-answers", include_str!("../tests/golden/c5-nosched-answers.json")),
];

pub fn read(json: &str) -> Recording {
    serde_json::from_str(json).expect("a recorded story")
}

/// Replays a story; how many of its lines, and false if it ended at a pause.
pub fn replay(recording: &Recording, subject: &mut impl Subject) -> (usize, bool) {
    let marked = recording.name.starts_with("c5-fwmark");
    if marked {
        for rule in ["mark 7 6 80", "mark 7 6 443", "mark 7 17 53"] {
            subject.obey(&Order::parse(rule));
        }
    }
    let mut player = Player { subject, marked, last: None };
    let lines = &recording.story;
    let mut i = 0;
    while i < lines.len() {
        let is_listing = |l: &String| l.starts_with("  | ") || l.starts_with("  # ");
        let end = i + lines[i..].iter().take_while(|l| is_listing(l)).count();
        if end > i {
            player.compare(&lines[i..end]);
            i = end;
            continue;
        }
        if !player.step(&lines[i]) {
            return (i, false);
        }
        i += 1;
    }
    (i, true)
}

struct Player<'s, S> {
    subject: &'s mut S,
    marked: bool,
    /// The client of the last packet.
    last: Option<SocketAddrV4>,
}

impl<S: Subject> Player<'_, S> {
    /// False if the story cannot go on.
    fn step(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ipvsadm", ref words @ ..] => self.subject.obey(&Order::parse(&words.join(" "))),
            ["sysctl", _] => self.subject.obey(&Order::parse(line)),
            ["after", secs, "s"] => return self.subject.wait(secs.parse().expect("seconds")),
            ["FA", "from", "the", "server"] => self.server_closes(),
            [what, from, "->", to, ..] if to.ends_with(':') => self.packet(line, what, from, to),
            _ => {} // a remark
        }
        true
    }

    fn packet(&mut self, line: &str, what: &str, from: &str, to: &str) {
        let client: SocketAddrV4 = from.parse().expect("a client");
        let port: u16 = to.trim_matches(':').parse().expect("a port");
        // The one packet for another address: the line does not say so.
        let vip = if client.port() == 1003 && port == 443 && self.marked {
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
        let went = self.subject.arrive(&frame, false);
        let recorded = line.split_once(": ").expect("what: where").1;
        let fine = match went {
            Went::To(n) => recorded == format!("server {n}"),
            Went::Elsewhere => {
                recorded == "nobody"
                    || recorded.starts_with("answer to client: TCP") && recorded.contains(" S ")
            }
            Went::Icmp(kind, code) => recorded.starts_with(&format!("answer to client: ICMP {kind}/{code} ")),
            Went::Dropped => recorded == "nobody",
            // The stack answers what is nobody's with a reset; an RST it only drops.
            Went::Passed => recorded.contains(" R ") || recorded == "nobody",
        };
        assert!(fine, "{line}\n  got {went:?}\n{}", self.subject.describe());
        self.last = Some(client);
    }

    /// The server that has the last client's connection closes it.
    fn server_closes(&mut self) {
        let client = self.last.expect("a client before").to_string();
        let lines = self.subject.connections();
        let line = lines.iter().find(|(_, l)| l.split(' ').nth(2) == Some(&client)).expect("its connection");
        let server: SocketAddrV4 = line.1.rsplit(' ').next().expect("a server").parse().expect("an address");
        let n = server.ip().octets()[3];
        let frame = lab::from_server(n, &tcp(server, client.parse().expect("a client"), FIN | ACK).bytes());
        let went = self.subject.arrive(&frame, true);
        assert_eq!(went, Went::Elsewhere, "a reply\n{}", self.subject.describe());
    }

    /// What `ipvsadm -Lnc` and `-Ln` say.
    fn compare(&mut self, lines: &[String]) {
        let mut ours = self.subject.connections();
        let mut due = ours.iter().any(|(secs, _)| *secs <= NEAR);
        for line in lines.iter().filter_map(|l| l.strip_prefix("  | ")) {
            let (secs, text) = timer(line);
            match ours.iter().position(|(s, t)| *t == text && s.abs_diff(secs) <= NEAR) {
                Some(at) => drop(ours.remove(at)),
                None if secs <= NEAR => due = true,
                None => panic!("missing: {line}\nours: {ours:#?}\n{}", self.subject.describe()),
            }
        }
        ours.retain(|(secs, _)| *secs > NEAR);
        assert!(ours.is_empty(), "not in the recording: {ours:#?}\n{lines:#?}");
        let mut key = None;
        for line in lines.iter().filter_map(|l| l.strip_prefix("  # ")) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["->", at, .., active, inactive] if !due => {
                    let service = key.expect("a service before");
                    let s = self.subject.server(service, at.parse().expect("a server"));
                    let s = s.unwrap_or_else(|| panic!("no {line}"));
                    let method = words[2];
                    let ours = if method.parse::<u32>().is_ok() {
                        format!("-> {at} {} {} {} {}", s.weight, s.persistent, s.active, s.inactive)
                    } else {
                        format!("-> {at} {method} {} {} {}", s.weight, s.active, s.inactive)
                    };
                    assert_eq!(ours, line, "{active}/{inactive}\n{}", self.subject.describe());
                }
                ["->", ..] => {}
                ["TCP", at, ..] => key = Some((6, at.parse().expect("a service"))),
                ["UDP", at, ..] => key = Some((17, at.parse().expect("a service"))),
                ["FWM", number, ..] => key = Some(mark(number.parse().expect("a mark"))),
                _ => panic!("{line}"),
            }
        }
    }
}

/// Seconds left, and the line without them: `TCP 01:39 NONE …`.
fn timer(line: &str) -> (u32, String) {
    let mut words: Vec<&str> = line.split(' ').collect();
    let (mins, secs) = words.remove(1).split_once(':').expect("minutes and seconds");
    (mins.parse::<u32>().expect("minutes") * 60 + secs.parse::<u32>().expect("seconds"), words.join(" "))
}
