//! The connection table with several processors at work: real threads on real atomics.

use rlvs_core::path::DropReason;
use rlvs_testkit::packet::{ACK, FIN, RST, SYN, at, tcp};
use rlvs_testkit::random::{Random, with_seeds};
use rlvs_testkit::{Outcome, Sizes, Stack, World, audit, lab, receive};
use std::net::SocketAddrV4;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

fn world(sets: usize, cpus: usize, seed: u64) -> World {
    let mut world = lab::sized(Sizes { connection_sets: sets, cpus, ..Sizes::default() }, seed);
    world.order("-A -t 10.0.0.100:80 -s rr");
    for n in 1..=4 {
        world.order(&format!("-a -t 10.0.0.100:80 -r 10.1.0.{n}:80 -m"));
    }
    world
}

fn segment(client: u32, flags: u8) -> Vec<u8> {
    let client = SocketAddrV4::new((0xac10_0000 + client / 60).into(), 1000 + (client % 60) as u16);
    lab::from_client(&tcp(client, at("10.0.0.100:80"), flags).bytes())
}

fn assert_adds_up(world: &World) {
    let wrong = audit(world);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each round all threads open the same connection at the same moment.
#[test]
fn of_rivals_exactly_one_lives() {
    const THREADS: usize = 4;
    let world = world(64, THREADS, 1);
    let (barrier, lost) = (Barrier::new(THREADS), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for cpu in 0..THREADS {
            let (world, barrier, lost) = (&world, &barrier, &lost);
            scope.spawn(move || {
                for round in 0..400 {
                    barrier.wait();
                    match receive::<Stack>(world, cpu, lab::C0, &segment(round, SYN)) {
                        Outcome::Sent(_) => {}
                        Outcome::Drop(DropReason::Contended) => {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_adds_up(&world);
    assert_eq!(world.connection_count(), 400, "one for each round");
    // The client sends its SYN again; by then the winner is there.
    assert!(lost.load(Ordering::Relaxed) < 400 * (THREADS as u32 - 1));
    world.wait_secs(61);
    assert_adds_up(&world);
    assert_eq!(world.connection_count(), 0);
}

/// Every thread opens flows of its own and some of everybody's; the table has room for a part of them.
#[test]
fn a_full_table_says_so_and_stays_whole() {
    with_seeds(6, |seed| {
        const THREADS: u32 = 4;
        let world = world(4, THREADS as usize, seed);
        let full = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for cpu in 0..THREADS {
                let (world, full) = (&world, &full);
                scope.spawn(move || {
                    let mut random = Random::new(seed * 8 + u64::from(cpu));
                    for _ in 0..300 {
                        let client =
                            random.below(40) as u32 + if random.one_in(2) { 1000 * cpu } else { 5000 };
                        match receive::<Stack>(world, cpu as usize, lab::C0, &segment(client, SYN)) {
                            Outcome::Drop(DropReason::TableFull) => {
                                full.fetch_add(1, Ordering::Relaxed);
                            }
                            Outcome::Sent(_) | Outcome::Drop(DropReason::Contended) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                });
            }
        });
        assert_adds_up(&world);
        assert!(full.load(Ordering::Relaxed) > 0 && world.connection_count() <= 60);
        assert!(world.connection_count() >= 40, "only {} of 60 places are used", world.connection_count());
        assert_eq!(world.drops(DropReason::TableFull), u64::from(full.load(Ordering::Relaxed)));
        world.wait_secs(61);
        assert_adds_up(&world);
        assert_eq!(world.connection_count(), 0);
    });
}

/// Opening, closing, expiring, taking over, all at once, with the sweeping timer and a clock that runs.
#[test]
fn counts_survive_everything_at_once() {
    with_seeds(6, |seed| {
        const THREADS: u32 = 3;
        let world = world(16, THREADS as usize, seed);
        let busy = AtomicU32::new(THREADS);
        std::thread::scope(|scope| {
            for cpu in 0..THREADS {
                let (world, busy) = (&world, &busy);
                scope.spawn(move || {
                    let mut random = Random::new(seed * 8 + u64::from(cpu));
                    for _ in 0..3000 {
                        let flags = random.of(&[SYN, SYN, ACK, FIN | ACK, RST]);
                        let client = random.below(100) as u32;
                        receive::<Stack>(world, cpu as usize, lab::C0, &segment(client, flags));
                    }
                    busy.fetch_sub(1, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) > 0 {
                    world.advance(World::HZ / 2);
                    world.sweep();
                }
            });
        });
        assert_adds_up(&world);
        world.wait_secs(901);
        assert_adds_up(&world);
        assert_eq!(world.connection_count(), 0, "{world}");
    });
}

/// An entry's place follows from protocol, client address and client port alone, so that requests and replies meet it
/// with one look-up. One port of one client can have as many connections (to different services) as fit into a row of
/// sets, if nobody else is there: 128 sets of 15.
#[test]
fn one_port_of_one_client_fills_a_whole_row() {
    for (sets, fit) in [(16, 16 * 15), (256, 128 * 15)] {
        let mut world =
            lab::sized(Sizes { connection_sets: sets, destinations: 2048, ..Sizes::default() }, 1);
        let mut outcomes = Vec::new();
        for port in 1..=fit as u16 + 10 {
            world.order(&format!(
                "-C\n-A -t 10.0.0.100:{port} -s rr\n-a -t 10.0.0.100:{port} -r 10.1.0.1:{port} -g"
            ));
            let syn = tcp(at("172.16.0.9:1111"), SocketAddrV4::new(lab::VIP, port), SYN);
            outcomes.push(receive::<Stack>(&world, 0, lab::C0, &lab::from_client(&syn.bytes())));
        }
        let sent = outcomes.iter().filter(|o| matches!(o, Outcome::Sent(_))).count();
        let full = outcomes.iter().filter(|o| **o == Outcome::Drop(DropReason::TableFull)).count();
        assert_eq!((sent, full), (fit, 10), "{sets} sets");
        assert_adds_up(&world);
        world.wait_secs(61);
        assert_adds_up(&world);
        assert_eq!(world.connection_count(), 0);
    }
}
