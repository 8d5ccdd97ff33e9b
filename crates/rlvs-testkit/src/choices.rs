//! Recordings of choices (`tests/golden/c1-SCHED.json`), replayed on any director: the brain in plain memory, or the loaded
//! programs. Every case in its order, in one director; each has its own port.

use crate::lab;
use crate::order::{Key, Order};
use crate::packet::{ACK, FIN, RST, SYN, tcp, udp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A director that recordings are replayed on.
pub trait Subject {
    fn obey(&mut self, order: &Order);
    /// Which server a client's frame goes to; `c` if nobody.
    fn to(&mut self, frame: &[u8]) -> String;
    /// Of each server (by the last byte of its address) "active/inactive".
    fn loads(&mut self, key: Key) -> BTreeMap<u8, String>;
    /// The whole state, for a test that failed.
    fn describe(&mut self) -> String;

    fn order(&mut self, lines: &str) {
        for line in lines.lines().filter(|l| !l.trim().is_empty()) {
            self.obey(&Order::parse(line));
        }
    }
}

#[derive(Deserialize)]
struct Recording {
    name: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    #[serde(default)]
    weights: Vec<u32>,
    #[serde(default)]
    upper_lower: Vec<(u32, u32)>,
    #[serde(default)]
    chosen: Chosen,
    #[serde(default)]
    events: String,
    #[serde(default, rename = "active/inactive")]
    loads: BTreeMap<u8, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Chosen {
    Sequence(String),
    Bursts(Vec<String>),
}

impl Default for Chosen {
    fn default() -> Chosen {
        Chosen::Sequence(String::new())
    }
}

/// One director for a whole recording.
struct Bench<'s, S> {
    subject: &'s mut S,
    port: u16,
}

impl<S: Subject> Bench<'_, S> {
    fn service(&mut self, scheduler: &str, case: &Case, option: &str) {
        self.port += 1;
        let at = format!("{option} {}:{}", lab::VIP, self.port);
        self.subject.order(&format!("-C\n-A {at} -s {scheduler}"));
        for (i, weight) in case.weights.iter().enumerate() {
            let (upper, lower) = case.upper_lower.get(i).copied().unwrap_or_default();
            let server = format!("{}:{}", lab::server(i as u8 + 1), self.port);
            self.subject.order(&format!("-a {at} -r {server} -g -w {weight} -x {upper} -y {lower}"));
        }
    }

    fn vip(&self) -> SocketAddrV4 {
        SocketAddrV4::new(lab::VIP, self.port)
    }

    /// The same clients for all cases, as in the recordings.
    fn source(&self, i: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(172, 16, (i / 200) as u8, (i % 200 + 1) as u8), 2000 + i)
    }

    fn segment(&mut self, client: u16, flags: u8) -> String {
        self.subject.to(&lab::from_client(&tcp(self.source(client), self.vip(), flags).bytes()))
    }
}

/// An ICMP error that the kernel did not send looks like nobody; for the choice they are the same.
fn nobody(list: &str) -> String {
    list.split(' ').map(|w| if w == "-" { "c" } else { w }).collect::<Vec<_>>().join(" ").replace(":-", ":c")
}

fn sequence<S: Subject>(bench: &mut Bench<S>, mode: &str, count: usize) -> String {
    let mut out = Vec::new();
    for i in 0..count as u16 {
        if mode == "udp" {
            out.push(bench.subject.to(&lab::from_client(&udp(bench.source(i), bench.vip()).bytes())));
            continue;
        }
        out.push(bench.segment(i, SYN));
        if out[i as usize] != "c" && mode != "new" {
            bench.segment(i, ACK);
            if mode == "closed" {
                bench.segment(i, FIN | ACK);
            }
        }
    }
    out.join(" ")
}

/// A fixed mix of opening, establishing and closing, by the same generator that the recording used.
fn mixed<S: Subject>(bench: &mut Bench<S>) -> String {
    let (mut x, mut live, mut events, mut next) = (12345u64, Vec::new(), Vec::new(), 0);
    for _ in 0..150 {
        x = (x * 1_103_515_245 + 12345) & 0x7fff_ffff;
        let r = (x >> 16) % 10;
        if r < 6 || live.is_empty() {
            let to = bench.segment(next, SYN);
            if to != "c" {
                live.push(next);
                bench.segment(next, ACK);
            }
            events.push(format!("+{next}:{to}"));
            next += 1;
        } else {
            let client = live.remove((x >> 8) as usize % live.len());
            bench.segment(client, if r < 9 { FIN | ACK } else { RST });
            events.push(format!("-{client}"));
        }
    }
    events.join(" ")
}

/// Twelve connections after each change of the service.
fn changes<S: Subject>(bench: &mut Bench<S>, scheduler: &str, bursts: &[String]) {
    let case = Case {
        case: String::new(),
        weights: vec![1, 2, 3],
        upper_lower: Vec::new(),
        chosen: Chosen::default(),
        events: String::new(),
        loads: BTreeMap::new(),
    };
    bench.service(scheduler, &case, "-t");
    let (t, port) = (format!("-t {}:{} ", lab::VIP, bench.port), bench.port);
    for (n, burst) in bursts.iter().enumerate() {
        let (label, recorded) = burst.split_once(": ").unwrap();
        let (label, recorded) = match recorded.split_once(": ") {
            Some((more, recorded)) => (format!("{label} {more}"), recorded),
            None => (label.to_string(), recorded),
        };
        let words: Vec<&str> = label.split(' ').collect();
        let server = |i: usize| format!("-r 10.1.0.{}:{port}", words[i]);
        let last = words[words.len() - 1];
        match words[0] {
            "add" => bench.subject.order(&format!("-a {t}{} -g -w {last}", server(1))),
            "delete" => bench.subject.order(&format!("-d {t}{}", server(1))),
            "edit" if words[1] == "service" => bench.subject.order(&format!("-E {t}-s {scheduler}")),
            "edit" => bench.subject.order(&format!("-e {t}{} -g -w {last}", server(1))),
            _ => assert_eq!(n, 0, "{label}"),
        }
        let got: Vec<String> = (0..12).map(|i| bench.segment(n as u16 * 12 + i, SYN)).collect();
        assert_eq!(got.join(" "), nobody(recorded), "{scheduler}, {label}\n{}", bench.subject.describe());
    }
}

/// The scheduler's name, after its recording was replayed. Ports are those of the recording, since mh looks at them.
pub fn replay<S: Subject>(json: &str, subject: &mut S) -> String {
    let recording: Recording = serde_json::from_str(json).expect("a recording of choices");
    let scheduler = recording.name.strip_prefix("c1-").expect("a scheduler's recording");
    // All were made in one go, in this order; those before mh have 33 cases, sh and dh 11.
    let port = if scheduler == "mh" { 80 + 10 * 33 + 2 * 11 } else { 80 };
    let mut bench = Bench { subject, port };
    for case in &recording.cases {
        let Chosen::Sequence(chosen) = &case.chosen else {
            let Chosen::Bursts(bursts) = &case.chosen else { unreachable!() };
            changes(&mut bench, scheduler, bursts);
            continue;
        };
        let mode = case.case.split('/').nth(1).expect("a mode");
        bench.service(scheduler, case, if mode == "udp" { "-u" } else { "-t" });
        let (got, recorded) = if mode == "mixed" {
            (mixed(&mut bench), &case.events)
        } else {
            (sequence(&mut bench, mode, chosen.split(' ').count()), chosen)
        };
        assert_eq!(got, nobody(recorded), "{scheduler} {}\n{}", case.case, bench.subject.describe());
        let key = (if mode == "udp" { 17 } else { 6 }, bench.vip());
        assert_eq!(bench.subject.loads(key), case.loads, "{scheduler} {}: active/inactive", case.case);
    }
    assert!(recording.cases.len() >= 11);
    scheduler.to_string()
}

/// All recordings of schedulers.
pub const RECORDINGS: [&str; 13] = [
    include_str!("../tests/golden/c1-rr.json"),
    include_str!("../tests/golden/c1-wrr.json"),
    include_str!("../tests/golden/c1-lc.json"),
    include_str!("../tests/golden/c1-wlc.json"),
    include_str!("../tests/golden/c1-sed.json"),
    include_str!("../tests/golden/c1-nq.json"),
    include_str!("../tests/golden/c1-dh.json"),
    include_str!("../tests/golden/c1-sh.json"),
    include_str!("../tests/golden/c1-lblc.json"),
    include_str!("../tests/golden/c1-lblcr.json"),
    include_str!("../tests/golden/c1-mh.json"),
    include_str!("../tests/golden/c1-fo.json"),
    include_str!("../tests/golden/c1-ovf.json"),
];
