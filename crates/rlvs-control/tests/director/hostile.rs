//! Hostile packets: real frames, changed at random, through the loaded programs and the brain on the host, which must agree on
//! every byte, drop reason and connection. A frame that is passed is bit for bit what came in. With IPv6, which the host
//! does not tell, what comes out is held against what must be true of it.
//!
//! `RLVS_HOSTILE=10000000` makes it so many frames in each test (nightly); `RLVS_SEED=N` repeats one seed.

use crate::compare::{difference, forget_everything, obey, state_difference};
use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Made, Programs, Verdict, Way};
use rlvs_control::Director;
use rlvs_core::wire::{Be32, Packet, Skip, read, read_extensions, read_too_big, read6};
use rlvs_testkit::golden::{self, Expected, Step, Story, bytes};
use rlvs_testkit::lab::{C0, S0, from_client, from_server};
use rlvs_testkit::packet::sum;
use rlvs_testkit::random::Random;
use rlvs_testkit::{Outcome, Stack, arrive, receive, rows};

const ETH: usize = 14;
/// Frames in each test, and between two cleanings.
const FRAMES: u64 = 250_000;
const CHUNK: u64 = 5_000;

fn frames() -> u64 {
    std::env::var("RLVS_HOSTILE").ok().map_or(FRAMES, |n| n.parse().expect("RLVS_HOSTILE is a number"))
}

fn seeds(chunks: u64) -> Vec<u64> {
    match std::env::var("RLVS_SEED").ok() {
        Some(seed) => vec![seed.parse().expect("RLVS_SEED is a number")],
        // Half of them the same for ever, half of this day.
        None => {
            let day = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs() / 86_400);
            (0..chunks).map(|n| if n % 2 == 0 { n } else { day * 1_000_003 + n }).collect()
        }
    }
}

/// Both brains on IPv4.
pub fn agree(way: Way) {
    let stories = [golden::stories(), rows::stories()].concat();
    // What is dropped at random differs, of course.
    let stories: Vec<Story> = stories.into_iter().filter(|s| !s.sentence.contains("defence")).collect();
    in_a_namespace(|director| {
        obey(director, &stories[0].orders[0]);
        let programs = Programs::open(director, way);
        let mut seen = Seen::default();
        for seed in seeds(frames().div_ceil(CHUNK)) {
            if let Some(wrong) = chunk(director, &programs, way, &stories, seed, &mut seen) {
                panic!("{way:?}, failed with RLVS_SEED={seed}: {wrong}");
            }
        }
        println!("{way:?}: {seen:?}");
        seen.must_be_of_all_kinds(way);
    });
}

/// What came of the frames.
#[derive(Debug, Default)]
struct Seen {
    passed: u64,
    dropped: u64,
    sent: u64,
    answered: u64,
    split: u64,
    set_aside: u64,
    chunks: u64,
}

impl Seen {
    fn count(&mut self, outcome: &Outcome) {
        let place = match outcome {
            Outcome::Pass | Outcome::Up => &mut self.passed,
            Outcome::Drop(_) => &mut self.dropped,
            Outcome::Sent(_) => &mut self.sent,
            Outcome::Answered(..) => &mut self.answered,
            Outcome::Split(_) => &mut self.split,
            Outcome::SetAside => unreachable!("not given to the programs"),
        };
        *place += 1;
    }

    /// A mutator that only makes rubbish tests nothing.
    fn must_be_of_all_kinds(&self, way: Way) {
        let all = [self.passed, self.dropped, self.sent, self.answered, self.set_aside];
        if std::env::var_os("RLVS_SEED").is_none() {
            assert!(all.iter().all(|n| *n >= 20) && self.split > 0, "{way:?}: {self:?}");
        }
    }
}

fn chunk(
    director: &mut Director,
    programs: &Programs,
    way: Way,
    stories: &[Story],
    seed: u64,
    seen: &mut Seen,
) -> Option<String> {
    let mut random = Random::new(seed);
    let story = &stories[random.below(stories.len() as u64) as usize];
    forget_everything(director);
    set_mtu("s0", story.server_mtu);
    let world = story.world();
    story.orders.iter().for_each(|o| obey(director, o));
    seen.chunks += 1;
    for number in 0..CHUNK {
        let from =
            if random.one_in(10) { &stories[random.below(stories.len() as u64) as usize] } else { story };
        let base = &from.steps[random.below(from.steps.len() as u64) as usize];
        let step = Step {
            label: format!("frame {number}, from {:?} of {:?}", base.label, story.sentence),
            orders: Vec::new(),
            from_server: base.from_server,
            frame: mutated(&base.frame, seen.chunks, &mut random),
            expected: Expected::Pass,
        };
        let ifindex = if step.from_server == 0 { C0 } else { S0 };
        let ours = match way {
            Way::Tc => receive::<Stack>(&world, 0, ifindex, &step.frame),
            _ => arrive(&world, ifindex, &step.frame),
        };
        // What waits for its first fragment comes in again by way of the kernel's queues, at a moment of its own: that is
        // `fragments`' to test. Here the programs never see it.
        if ours == Outcome::SetAside {
            world.forget_waiting();
            seen.set_aside += 1;
            continue;
        }
        if ours == Outcome::Pass && teaches(&step.frame) {
            continue;
        }
        seen.count(&ours);
        let made = programs.receive(&step.frame, step.from_server != 0);
        if let Some(different) = difference(&step, &ours, &made) {
            let hex: String = step.frame.iter().map(|b| format!("{b:02x}")).collect();
            return Some(format!("{different}\n  frame   {hex}"));
        }
    }
    state_difference(director, &world)
}

/// A router's word about a tunnel: for ten minutes by the kernel's clock less fits into it. That is `tunnels`' to test; the host's
/// clock stands still here.
fn teaches(frame: &[u8]) -> bool {
    let mut packet = Packet::<Be32>::empty();
    read(frame, &mut packet) == Err(Skip::Icmp) && read_too_big(frame, &packet).is_some()
}

/// A frame with some of its bytes changed; its addresses on the link stay, for a frame for others is not looked at.
fn mutated(frame: &[u8], chunk: u64, random: &mut Random) -> Vec<u8> {
    let mut f = frame.to_vec();
    for _ in 0..random.below(4) {
        mutate(&mut f, random);
    }
    // What is known of datagrams outlives the rules: each chunk has numbers of its own.
    let is_fragment = f.get(ETH + 6..ETH + 8).is_some_and(|b| b[0] & 0x3f | b[1] != 0);
    if is_fragment {
        let id = (chunk << 3 | random.below(8)) as u16;
        f[ETH + 4..ETH + 6].copy_from_slice(&id.to_be_bytes());
    }
    // Mostly with a right header checksum, or nothing gets far.
    if !random.one_in(8) {
        resum(&mut f);
    }
    f
}

fn mutate(f: &mut Vec<u8>, random: &mut Random) {
    let len = f.len();
    let at = |random: &mut Random, from: usize, to: usize| {
        let to = to.min(len);
        if to > from { Some(from + random.below((to - from) as u64) as usize) } else { None }
    };
    let set16 = |f: &mut Vec<u8>, at: usize, value: u16| {
        if let Some(place) = f.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    };
    match random.below(12) {
        0..=2 => {
            // A bit, mostly of the headers.
            let limit = if random.one_in(4) { len } else { 96 };
            if let Some(at) = at(random, ETH, limit) {
                f[at] ^= 1 << random.below(8);
            }
        }
        3 | 4 => {
            if let Some(at) = at(random, ETH, 96) {
                f[at] = random.of(&[0, 1, 5, 6, 7, 8, 20, 0x2c, 0x3a, 0x45, 0x7f, 0x80, 0xfe, 0xff]);
            }
        }
        // (A test run wants a whole IP header.)
        5 => f.truncate(ETH + if f[12] == 8 { 20 } else { 40 } + random.below(60) as usize),
        6 => f.extend((0..random.below(64)).map(|_| random.number() as u8).collect::<Vec<_>>()),
        7 => {
            let near = (len - ETH) as u64 + random.below(9);
            let (small, any) = (random.below(80), random.below(65_536));
            let value = random.of(&[near.saturating_sub(4), small, any]);
            set16(f, ETH + 2, value as u16);
        }
        8 | 9 => {
            let any = random.below(0x2000) as u16;
            let offset = random.of(&[0, 0, 1, 2, 80, 185, 0x1fff, any]);
            set16(f, ETH + 6, random.of(&[0, 0x2000, 0x2000, 0x4000, 0x6000, 0x8000]) | offset);
        }
        10 => f[ETH] = 0x40 | random.of(&[4, 5, 5, 6, 7, 10, 15]),
        _ => {
            let place =
                random.of(&[(8, &[0u8, 1, 2, 255][..]), (9, &[1, 4, 6, 17, 41, 47, 50, 58, 132, 255])]);
            f[ETH + place.0] = random.of(place.1);
        }
    }
}

/// Makes the IPv4 header's checksum right, if there is such a header.
fn resum(f: &mut [u8]) {
    let header_len = f.get(ETH).map_or(0, |b| usize::from(b & 15) * 4);
    if let Some(header) = f.get_mut(ETH..ETH + header_len).filter(|h| h.len() >= 20) {
        header[10..12].fill(0);
        let check = !sum(header, 0);
        header[10..12].copy_from_slice(&check.to_be_bytes());
    }
}

/// IPv6: a frame is passed bit for bit, dropped with a reason, or what comes out is whole.
pub fn invariants(way: Way, recordings: &[Vec<Step>], set_up: impl Fn(&mut Director, usize) + Send + Sync) {
    in_a_namespace(|director| {
        set_up(director, 0);
        let programs = Programs::open(director, way);
        let (mut passed, mut dropped, mut sent) = (0, 0, 0);
        for seed in seeds(frames().div_ceil(CHUNK)) {
            let mut random = Random::new(seed);
            let story = random.below(recordings.len() as u64) as usize;
            forget_everything(director);
            set_up(director, story);
            let mut drops = total_drops(director);
            let steps = &recordings[story];
            for number in 0..CHUNK {
                let base = &steps[random.below(steps.len() as u64) as usize];
                let mut frame = base.frame.clone();
                for _ in 0..random.below(4) {
                    mutate6(&mut frame, &mut random);
                }
                let made = programs.receive(&frame, base.from_server != 0);
                match made.verdict {
                    Verdict::Pass => passed += 1,
                    Verdict::Drop => dropped += 1,
                    Verdict::Sent => sent += 1,
                }
                let wrong = wrong6(&frame, &made, || {
                    let before = std::mem::replace(&mut drops, total_drops(director));
                    drops > before || is_fragment6(&frame)
                });
                if let Some(wrong) = wrong {
                    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
                    panic!(
                        "{way:?}, failed with RLVS_SEED={seed}, frame {number}: {wrong}\n  frame {}\n  made  {}",
                        hex(&frame),
                        hex(&made.frame)
                    );
                }
            }
        }
        println!("{way:?}: {passed} passed, {dropped} dropped, {sent} sent");
        assert!(std::env::var_os("RLVS_SEED").is_some() || [passed, dropped, sent].iter().all(|n| *n > 20));
    });
}

fn total_drops(director: &mut Director) -> u64 {
    director.status().unwrap().drops.iter().map(|d| d.packets).sum()
}

/// One that may have to wait for its first fragment is "dropped" by the program, too.
fn is_fragment6(f: &[u8]) -> bool {
    let mut packet = Packet::empty();
    let read = match read6(f, &mut packet) {
        Err(Skip::Extension) => read_extensions(f, &mut packet),
        read => read,
    };
    read == Err(Skip::Fragment)
}

fn wrong6(frame: &[u8], made: &Made, was_counted: impl FnOnce() -> bool) -> Option<&'static str> {
    match made.verdict {
        Verdict::Pass if made.frame != frame => Some("passed, but not as it came"),
        Verdict::Drop if !was_counted() => Some("dropped without a reason"),
        Verdict::Sent => wrong_lengths(&made.frame),
        _ => None,
    }
}

/// Do the lengths in the headers of what was sent fit the frame, and is an outer IPv4 header's checksum right?
fn wrong_lengths(f: &[u8]) -> Option<&'static str> {
    let word = |at: usize| f.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    match word(12) {
        Some(0x86dd) if word(ETH + 4).is_none_or(|n| ETH + 40 + n > f.len()) => {
            Some("the payload is longer than the frame")
        }
        Some(0x800) if word(ETH + 2).is_none_or(|n| ETH + n > f.len()) => {
            Some("the packet is longer than the frame")
        }
        Some(0x800) if f.get(ETH..ETH + 20).is_none_or(|h| sum(h, 0) != 0xffff) => {
            Some("a wrong header checksum")
        }
        Some(0x86dd | 0x800) => None,
        _ => Some("neither IPv4 nor IPv6"),
    }
}

fn mutate6(f: &mut Vec<u8>, random: &mut Random) {
    let len = f.len();
    match random.below(10) {
        0..=3 => {
            let at = ETH + random.below((len - ETH).min(110) as u64) as usize;
            f[at] ^= 1 << random.below(8);
        }
        4 => f.truncate((ETH + 40 + random.below(60) as usize).min(len)),
        5 => f.extend((0..random.below(64)).map(|_| random.number() as u8).collect::<Vec<_>>()),
        6 => f[ETH + 4..ETH + 6].copy_from_slice(&(random.below(2000) as u16).to_be_bytes()),
        7 => f[ETH + 7] = random.of(&[0, 1, 2, 255]),
        8 => f[ETH + 6] = random.of(&[0, 6, 17, 43, 44, 50, 51, 58, 60, 132]),
        _ => {
            // A fragment's header in front of what there is.
            let any = random.below(0x2000) as u16;
            let offset = random.of(&[0u16, 0, 1, 180, any]);
            let more = random.below(2) as u16;
            let header = [f[ETH + 6], 0, (offset >> 5) as u8, (offset << 3 | more) as u8];
            let id = [0, 0, 0, random.below(8) as u8];
            let at = ETH + 40;
            f.splice(at..at, header.into_iter().chain(id));
            f[ETH + 6] = 44;
            let payload = (f.len() - at) as u16;
            f[ETH + 4..ETH + 6].copy_from_slice(&payload.to_be_bytes());
        }
    }
}

/// A frame of a recording.
pub fn step6(from: &str, hex: &str) -> Step {
    let n: u8 = from.strip_prefix("server ").map_or(0, |n| n.parse().expect("a server's number"));
    let packet = bytes(hex);
    let mut frame = if n == 0 { from_client(&packet) } else { from_server(n, &packet) };
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    Step { label: String::new(), orders: Vec::new(), from_server: n, frame, expected: Expected::Pass }
}
