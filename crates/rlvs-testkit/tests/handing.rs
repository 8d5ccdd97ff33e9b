//! PROXY protocol over a bad link: a client and a server with just enough of TCP, the host's brain between them, and segments that
//! are lost, doubled and overtaken. Whatever happens, the server reads the header and then what the client wrote, and the
//! client hears of its own bytes alone.

use rlvs_core::path::handing::header_len;
use rlvs_core::wire::Be32;
use rlvs_testkit::packet::{ACK, PSH, SYN, at, checks, tcp};
use rlvs_testkit::random::Random;
use rlvs_testkit::{Outcome, Stack, World, lab, receive};
use std::collections::BTreeMap;

const CLIENT: &str = "172.16.0.9:1111";
const VIP: &str = "10.0.0.100:80";
const REAL: &str = "10.1.0.1:8080";
const SOURCE: &str = "10.1.0.254:5000";
const HEADER: [u8; 28] = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xac\x10\0\x09\x0a\0\0\x64\x04\x57\0\x50";

#[derive(Clone)]
struct Segment {
    seq: u32,
    ack: u32,
    flags: u8,
    data: Vec<u8>,
}

fn parsed(frame: &[u8]) -> Segment {
    assert_eq!(checks(&frame[14..]), (true, true), "{frame:02x?}");
    let word = |i: usize| u32::from_be_bytes(frame[i..i + 4].try_into().unwrap());
    let (start, end) =
        (34 + (frame[46] >> 4) as usize * 4, 14 + usize::from(frame[16]) * 256 + usize::from(frame[17]));
    Segment { seq: word(38), ack: word(42), flags: frame[47], data: frame[start..end].to_vec() }
}

/// The director, with a link on each side that is not to be relied on.
struct Path {
    world: World,
    random: Random,
    to_server: Vec<Segment>,
    to_client: Vec<Segment>,
}

impl Path {
    fn through(&mut self, from_server: bool, s: &Segment) {
        let (from, to) = if from_server { (REAL, SOURCE) } else { (CLIENT, VIP) };
        let packet =
            tcp(at(from), at(to), s.flags).with(|b| (b.seq, b.ack) = (s.seq, s.ack)).data(&s.data).bytes();
        let (ifindex, frame) = if from_server {
            (lab::S0, lab::from_server(1, &packet))
        } else {
            (lab::C0, lab::from_client(&packet))
        };
        let frames = match receive::<Stack>(&self.world, 0, ifindex, &frame) {
            Outcome::Sent(sent) => vec![sent.frame],
            Outcome::Split(sent) => sent.into_iter().map(|s| s.frame).collect(),
            other => panic!("{other:?}"),
        };
        for frame in frames {
            // One of four is lost, one of eight comes twice.
            let copies = if self.random.one_in(4) { 0 } else { 1 + usize::from(self.random.one_in(8)) };
            let queue = if from_server { &mut self.to_client } else { &mut self.to_server };
            for _ in 0..copies {
                let place = self.random.below(queue.len() as u64 + 1) as usize;
                queue.insert(place, parsed(&frame));
            }
        }
    }
}

/// What was read in order, and what waits for what is missing.
struct Receiver {
    first: u32,
    read: Vec<u8>,
    waiting: BTreeMap<u32, Vec<u8>>,
}

impl Receiver {
    fn take(&mut self, s: &Segment) {
        if s.data.is_empty() {
            return;
        }
        let at = s.seq.wrapping_sub(self.first);
        assert!(at < 10_000, "number {} before the first, {}", s.seq, self.first);
        let longest = self.waiting.entry(at).or_default();
        if longest.len() < s.data.len() {
            longest.clone_from(&s.data);
        }
        while let Some((at, data)) = self.waiting.iter().find(|(at, _)| **at as usize <= self.read.len()) {
            let (at, data) = (*at, data.clone());
            let known = self.read.len() - at as usize;
            if known < data.len() {
                assert_eq!(self.read[at as usize..], data[..known], "what was read comes otherwise");
                self.read.extend_from_slice(&data[known..]);
            }
            self.waiting.remove(&at);
        }
    }

    fn next(&self) -> u32 {
        self.first.wrapping_add(self.read.len() as u32)
    }
}

/// One connection; the client's number is near the end of its circle sometimes.
fn live(seed: u64, says: &[u8], server_first: bool) -> u32 {
    let mut world = lab::world(seed);
    world.order("source 10.1.0.254 5000 5000\n-A -t 10.0.0.100:80 -s rr");
    world.order("-a -t 10.0.0.100:80 -r 10.1.0.1:8080 --fullnat --proxy-protocol");
    let mut random = Random::new(seed);
    let isn = if random.one_in(2) { u32::MAX - random.below(60) as u32 } else { random.number() as u32 };
    let (first, server_isn) = (isn.wrapping_add(1), 7000);
    let mut path = Path { world, random, to_server: Vec::new(), to_client: Vec::new() };
    let mut server: Option<Receiver> = None;
    let (mut open, mut acked, mut heard, mut established) = (false, 0usize, false, false);
    for round in 0..2000 {
        // The client sends (again) what is not acknowledged, in one segment or several.
        if !open {
            path.through(false, &Segment { seq: isn, ack: 0, flags: SYN, data: vec![] });
        } else if acked < says.len() && (!server_first || heard) {
            let size = 1 + path.random.below(40) as usize;
            for (n, data) in says[acked..].chunks(size).enumerate() {
                let seq = first.wrapping_add((acked + n * size) as u32);
                let segment = Segment { seq, ack: server_isn + 1, flags: PSH | ACK, data: data.to_vec() };
                path.through(false, &segment);
            }
        }
        for s in std::mem::take(&mut path.to_server) {
            if s.flags & SYN != 0 {
                server.get_or_insert(Receiver {
                    first: s.seq.wrapping_add(1),
                    read: vec![],
                    waiting: BTreeMap::new(),
                });
            } else if let Some(server) = &mut server {
                established = true; // by any segment, also one that something is missing before
                server.take(&s);
            }
        }
        if let Some(server) = &server {
            // Until the client has answered it repeats its SYN, then it acknowledges.
            let (flags, seq) = if established { (ACK, server_isn + 1) } else { (SYN | ACK, server_isn) };
            // It speaks first as soon as it knows who is there.
            let data = if server_first && server.read.len() >= 28 { b"welcome".to_vec() } else { vec![] };
            let (ack, flags) = (server.next(), if data.is_empty() { flags } else { flags | PSH });
            path.through(true, &Segment { seq, ack, flags, data });
        }
        for s in std::mem::take(&mut path.to_client) {
            let of_mine = s.ack.wrapping_sub(first) as usize;
            assert!(of_mine <= says.len(), "{of_mine} of {} bytes acknowledged", says.len());
            acked = acked.max(of_mine);
            heard |= s.data == b"welcome";
            if s.flags & SYN != 0 {
                open = true;
                path.through(false, &Segment { seq: first, ack: server_isn + 1, flags: ACK, data: vec![] });
            }
        }
        let all = server.as_ref().is_some_and(|s| s.read.len() == 28 + says.len());
        if all && acked == says.len() && (heard || !server_first) {
            let read = &server.expect("a server").read;
            assert_eq!((&read[..28], &read[28..]), (&HEADER[..], says));
            return round;
        }
    }
    panic!("seed {seed}: no end; {acked} of {} bytes acknowledged", says.len());
}

#[test]
fn the_header_and_every_byte_arrive() {
    assert_eq!(header_len::<Be32>() as usize, HEADER.len());
    let says: Vec<u8> = (0..200).collect();
    for seed in 0..2000 {
        live(seed, &says[..1 + seed as usize % 200], false);
    }
}

#[test]
fn a_server_that_speaks_first_knows_the_client_before() {
    for seed in 0..1000 {
        live(seed, b"then the client", true);
        live(seed, b"", true);
    }
}
