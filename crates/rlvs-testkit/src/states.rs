//! Recordings of connection states (`tests/golden/c3-*.json`), replayed on any director: one packet or pause at a time, then
//! state, seconds left, active and inactive counts.
//!
//! Forgiven: one second; an entry that is due and is listed or not (the kernel's timers are late by up to an eighth);
//! the old entry that the kernel still lists for a moment after a SYN took its place.

use crate::lab;
use crate::order::Order;
use crate::packet::{ACK, FIN, PSH, RST, SYN, tcp, udp};
use rlvs_core::wire::ip_proto;
use serde::Deserialize;
use std::net::SocketAddrV4;

/// A director that recordings are replayed on.
pub trait Subject {
    /// Rules of a case; what earlier cases left is forgotten.
    fn begin(&mut self, orders: &[Order]);
    /// Lets time go by; false if it cannot wait so long, and the case ends here.
    fn wait(&mut self, secs: u32) -> bool;
    /// Whether a frame was forwarded (a server's frame: or passed on unchanged).
    fn receive(&mut self, frame: &[u8], from_server: bool) -> bool;
    /// State and seconds left of the connection with this protocol and client port.
    fn entry(&mut self, protocol: u8, port: u16) -> Option<(String, u32)>;
    /// "active/inactive" of the server of the service with this protocol.
    fn loads(&mut self, protocol: u8) -> String;
    /// All time has gone by: what is left of a case.
    fn end(&mut self, case: &str);
    /// Seconds that a timer may be off. Where the clock is the kernel's, a busy machine takes its time.
    const NEAR: u32 = 1;
}

#[derive(Deserialize)]
pub struct Recording {
    pub name: String,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub case: String,
    /// "who:what: what was seen"
    pub moves: Vec<String>,
}

/// What a line says after its move.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// State and seconds left.
    pub entry: Option<(String, u32)>,
    /// "active/inactive"
    pub loads: String,
    /// The packet went where a forwarded packet goes.
    pub forwarded: bool,
}

impl Seen {
    pub fn read(line: &str) -> Seen {
        let (state, rest) = line.split_once(" act/inact ").expect("a line of a recording");
        let entry = state.split_once(' ').map(|(name, secs)| (name.to_string(), secs.parse().unwrap()));
        let loads = rest.split(' ').next().unwrap().to_string();
        Seen { entry, loads, forwarded: !rest.contains('(') }
    }

    fn is_due(&self) -> bool {
        self.entry.as_ref().is_none_or(|(_, secs)| *secs <= 1)
    }

    pub fn agrees(&self, ours: &Seen, what: &str, near: u32) -> bool {
        if what.starts_with("w:") && self.is_due() && ours.is_due() {
            return true;
        }
        let still_listed = matches!(&self.entry, Some((_, 0))) && what == "c:S";
        if still_listed
            && ours
                .entry
                .as_ref()
                .is_some_and(|(state, secs)| state == "SYN_RECV" && secs.abs_diff(60) < near)
        {
            return true;
        }
        let near = match (&self.entry, &ours.entry) {
            (Some((a, x)), Some((b, y))) => a == b && x.abs_diff(*y) <= near,
            (a, b) => a.is_none() && b.is_none(),
        };
        // A SYN that took over: the kernel counts the old one a moment longer.
        let counted_twice = what == "c:S" && self.loads == "1/1" && ours.loads == "1/0";
        near && (self.loads == ours.loads || counted_twice) && self.forwarded == ours.forwarded
    }
}

/// A case as it goes on: its client port, and the protocol once a move has said it.
pub struct Player {
    port: u16,
    protocol: u8,
}

impl Player {
    pub fn new(port: u16) -> Player {
        Player { port, protocol: ip_proto::TCP }
    }

    /// Makes one move and looks; `None` if the subject cannot wait so long.
    pub fn play(&mut self, subject: &mut impl Subject, what: &str) -> Option<Seen> {
        let (who, detail) = what.split_once(':').expect("who:what");
        let client = SocketAddrV4::new(lab::CLIENT, self.port);
        let at = SocketAddrV4::new;
        if matches!(who, "u" | "v") {
            self.protocol = ip_proto::UDP;
        }
        let flags = detail.chars().fold(0, |f, c| f | flag(c));
        let forwarded = match who {
            "w" => {
                if !subject.wait(detail.parse().expect("seconds")) {
                    return None;
                }
                true
            }
            "u" => subject.receive(&lab::from_client(&udp(client, at(lab::VIP, 53)).bytes()), false),
            "v" => subject.receive(&lab::from_server(1, &udp(at(lab::server(1), 53), client).bytes()), true),
            "c" => subject.receive(&lab::from_client(&tcp(client, at(lab::VIP, 80), flags).bytes()), false),
            "s" => {
                let reply = tcp(at(lab::server(1), 80), client, flags);
                subject.receive(&lab::from_server(1, &reply.bytes()), true)
            }
            other => panic!("a move of {other}"),
        };
        let entry = subject.entry(self.protocol, self.port);
        Some(Seen { entry, loads: subject.loads(self.protocol), forwarded })
    }
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

/// A service of TCP and one of UDP with one server, forwarded to by `option` (`-m`, `-g`, `-i`).
pub fn rules(option: &str) -> Vec<Order> {
    let lines = format!(
        "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 {option}
         -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.1.0.1:53 {option}"
    );
    lines.lines().map(Order::parse).collect()
}

pub fn read(json: &str) -> Recording {
    serde_json::from_str(json).expect("a recording of states")
}

/// Replays all cases, with rules by the sentence of the case; how many moves were compared. What differs is in the error.
pub fn replay<S: Subject>(
    json: &str,
    subject: &mut S,
    rules_of: impl Fn(&str) -> Vec<Order>,
) -> Result<usize, String> {
    let recording = read(json);
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (n, case) in recording.cases.iter().enumerate() {
        subject.begin(&rules_of(&case.case));
        let mut player = Player::new(1001 + n as u16);
        for line in &case.moves {
            let (what, seen) = line.split_once(": ").expect("move: seen");
            let recorded = Seen::read(seen);
            let Some(ours) = player.play(subject, what) else {
                break;
            };
            compared += 1;
            if !recorded.agrees(&ours, what, S::NEAR) {
                wrong.push(format!("{} '{}': {line}\n  ours {ours:?}", recording.name, case.case));
                break;
            }
        }
        subject.end(&case.case);
    }
    if wrong.is_empty() { Ok(compared) } else { Err(wrong.join("\n")) }
}

/// `c3-lnc.json`: how each connection was listed, after these moves of one client, each from its own port.
pub const LISTED: [&str; 8] = [
    "c:S",
    "c:S s:SA c:A",
    "c:S s:SA c:A c:FA",
    "c:S s:SA c:A s:FA",
    "c:S s:SA c:A c:FA s:FA",
    "c:S s:SA c:A c:FA s:FA c:A",
    "c:S c:R",
    "u:1",
];

/// State and seconds left of the connections of [`LISTED`], as recorded.
pub fn listed(json: &str) -> Vec<(String, u32)> {
    let recording: serde_json::Value = serde_json::from_str(json).expect("a recording of listings");
    let lines = recording["ipvsadm -Lnc"].as_array().expect("lines");
    let row = |line: &serde_json::Value| {
        let words: Vec<&str> = line.as_str()?.split_whitespace().collect();
        let (minutes, secs) = words.get(1)?.split_once(':')?;
        let secs = minutes.parse::<u32>().ok()? * 60 + secs.parse::<u32>().ok()?;
        let port: u16 = words[3].rsplit_once(':')?.1.parse().ok()?;
        Some((port, words[2].to_string(), secs))
    };
    let mut rows: Vec<_> = lines.iter().filter_map(row).collect();
    rows.sort();
    rows.into_iter().map(|(_, state, secs)| (state, secs)).collect()
}

/// Makes the moves of [`LISTED`] in one director and says what is different from the recording.
pub fn replay_listed<S: Subject>(json: &str, subject: &mut S) -> Vec<String> {
    subject.begin(&rules("-m"));
    let recorded = listed(json);
    assert_eq!(recorded.len(), LISTED.len(), "each move is in the recording");
    let mut wrong = Vec::new();
    for (n, (moves, (state, secs))) in LISTED.iter().zip(recorded).enumerate() {
        let mut player = Player::new(1115 + n as u16);
        let ours = moves.split(' ').filter_map(|what| player.play(subject, what)).last();
        let entry = ours.and_then(|seen| seen.entry);
        if !entry.as_ref().is_some_and(|(s, left)| *s == state && left.abs_diff(secs) <= S::NEAR) {
            wrong.push(format!("{moves}: recorded {state} {secs}, ours {entry:?}"));
        }
    }
    wrong
}
