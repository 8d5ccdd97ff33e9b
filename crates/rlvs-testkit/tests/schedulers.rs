//! What the kernel's schedulers chose, chosen again: every case of the recordings, in their order, in one director.

use rlvs_testkit::packet::{ACK, FIN, RST, SYN, tcp, udp};
use rlvs_testkit::{Outcome, Sizes, World, arrive, lab};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

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

/// One director for a whole recording; each case has its own port.
struct Bench {
    world: World,
    port: u16,
}

impl Bench {
    fn service(&mut self, scheduler: &str, case: &Case, option: &str) {
        self.port += 1;
        let at = format!("{option} {}:{}", lab::VIP, self.port);
        self.world.order(&format!("-C\n-A {at} -s {scheduler}"));
        for (i, weight) in case.weights.iter().enumerate() {
            let (upper, lower) = case.upper_lower.get(i).copied().unwrap_or_default();
            let server = format!("{}:{}", lab::server(i as u8 + 1), self.port);
            self.world.order(&format!("-a {at} -r {server} -g -w {weight} -x {upper} -y {lower}"));
        }
    }

    fn vip(&self) -> SocketAddrV4 {
        SocketAddrV4::new(lab::VIP, self.port)
    }

    /// The same clients for all cases, as in the recordings.
    fn source(&self, i: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(172, 16, (i / 200) as u8, (i % 200 + 1) as u8), 2000 + i)
    }

    /// Which server gets the packet; `c` if nobody.
    fn to(&self, packet: &[u8]) -> String {
        match arrive(&self.world, lab::C0, &lab::from_client(packet)) {
            Outcome::Sent(sent) => lab::server_of(&sent.frame).expect("a server's MAC").to_string(),
            Outcome::Answered(..) => "c".into(),
            other => panic!("{other:?}"),
        }
    }

    fn segment(&self, client: u16, flags: u8) -> String {
        self.to(&tcp(self.source(client), self.vip(), flags).bytes())
    }

    fn loads(&self, protocol: u8) -> BTreeMap<u8, String> {
        let dests = self.world.dests((protocol, self.vip()));
        dests
            .into_iter()
            .map(|id| {
                let l = self.world.loads(id);
                assert_eq!(l.total, l.active + l.inactive);
                (self.world.dest_config(id).addr[0].bytes()[3], format!("{}/{}", l.active, l.inactive))
            })
            .collect()
    }
}

/// An ICMP error that the kernel did not send looks like nobody; for the choice they are the same.
fn nobody(list: &str) -> String {
    list.split(' ').map(|w| if w == "-" { "c" } else { w }).collect::<Vec<_>>().join(" ").replace(":-", ":c")
}

fn sequence(bench: &Bench, mode: &str, count: usize) -> String {
    let mut out = Vec::new();
    for i in 0..count as u16 {
        if mode == "udp" {
            out.push(bench.to(&udp(bench.source(i), bench.vip()).bytes()));
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
fn mixed(bench: &Bench) -> String {
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
fn changes(bench: &mut Bench, scheduler: &str, bursts: &[String]) {
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
            "add" => bench.world.order(&format!("-a {t}{} -g -w {last}", server(1))),
            "delete" => bench.world.order(&format!("-d {t}{}", server(1))),
            "edit" if words[1] == "service" => bench.world.order(&format!("-E {t}-s {scheduler}")),
            "edit" => bench.world.order(&format!("-e {t}{} -g -w {last}", server(1))),
            _ => assert_eq!(n, 0, "{label}"),
        }
        let got: Vec<String> = (0..12).map(|i| bench.segment(n as u16 * 12 + i, SYN)).collect();
        assert_eq!(got.join(" "), nobody(recorded), "{scheduler}, {label}\n{}", bench.world);
    }
}

fn replay(json: &str) {
    replay_from(json, 80);
}

/// `port`: the one before the first case's in the recording.
fn replay_from(json: &str, port: u16) {
    let recording: Recording = serde_json::from_str(json).expect("a recording of choices");
    let scheduler = recording.name.strip_prefix("c1-").unwrap();
    let sizes = Sizes { destinations: 512, connection_sets: 1024, ..Sizes::default() };
    let mut bench = Bench { world: lab::sized(sizes, 1), port };
    for case in &recording.cases {
        let Chosen::Sequence(chosen) = &case.chosen else {
            let Chosen::Bursts(bursts) = &case.chosen else { unreachable!() };
            changes(&mut bench, scheduler, bursts);
            continue;
        };
        let mode = case.case.split('/').nth(1).unwrap();
        bench.service(scheduler, case, if mode == "udp" { "-u" } else { "-t" });
        let (got, recorded) = if mode == "mixed" {
            (mixed(&bench), &case.events)
        } else {
            (sequence(&bench, mode, chosen.split(' ').count()), chosen)
        };
        assert_eq!(got, nobody(recorded), "{scheduler} {}\n{}", case.case, bench.world);
        let loads = bench.loads(if mode == "udp" { 17 } else { 6 });
        assert_eq!(loads, case.loads, "{scheduler} {}: active/inactive", case.case);
    }
    assert!(recording.cases.len() >= 10);
}

#[test]
fn rr_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-rr.json"));
}

#[test]
fn wrr_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-wrr.json"));
}

#[test]
fn lc_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-lc.json"));
}

#[test]
fn wlc_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-wlc.json"));
}

#[test]
fn sed_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-sed.json"));
}

#[test]
fn nq_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-nq.json"));
}

#[test]
fn dh_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-dh.json"));
}

#[test]
fn sh_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-sh.json"));
}

#[test]
fn lblc_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-lblc.json"));
}

#[test]
fn lblcr_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-lblcr.json"));
}

#[test]
fn mh_chooses_as_the_kernel_did() {
    // Its choice depends on the servers' ports; these cases came behind those of the other twelve schedulers.
    replay_from(include_str!("golden/c1-mh.json"), 80 + 10 * 33 + 2 * 11);
}

#[test]
fn fo_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-fo.json"));
}

#[test]
fn ovf_chooses_as_the_kernel_did() {
    replay(include_str!("golden/c1-ovf.json"));
}
