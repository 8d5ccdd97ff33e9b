//! The connection table with several processors at work: real threads on real atomics.

use rlvs_core::conn::entry::Word;
use rlvs_core::path::DropReason;
use rlvs_testkit::packet::{ACK, FIN, RST, SYN, at, tcp};
use rlvs_testkit::random::{Random, with_seeds};
use rlvs_testkit::{Outcome, Sizes, Stack, World, audit, lab, receive};
use std::collections::HashMap;
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

/// The same with persistence: connections of one client share a template, which several processors want to make, to use and
/// to end at once; and with a mapping for each of a few addresses, which lblcr's many threads want to add.
#[test]
fn templates_and_mappings_survive_everything_at_once() {
    with_seeds(6, |seed| {
        const THREADS: u32 = 3;
        let mut world = world(32, THREADS as usize, seed);
        world.order(
            "-E -t 10.0.0.100:80 -s wlc -p 2\nmark 1 6 81\n-A -f 1 -s lblcr\nsysctl lblcr_expiration=3",
        );
        (1..=4).for_each(|n| world.order(&format!("-a -f 1 -r 10.1.0.{n} -g -w 1")));
        let (busy, templates, mappings) = (AtomicU32::new(THREADS), AtomicU32::new(0), AtomicU32::new(0));
        let note = |world: &World| {
            let has = |bit| world.entries().filter(|e| e.word().has(bit)).count() as u32;
            templates.fetch_max(has(Word::TEMPLATE), Ordering::Relaxed);
            mappings.fetch_max(has(Word::MAPPING), Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            for cpu in 0..THREADS {
                let (world, busy) = (&world, &busy);
                scope.spawn(move || {
                    let mut random = Random::new(seed * 8 + u64::from(cpu));
                    for _ in 0..3000 {
                        let flags = random.of(&[SYN, SYN, ACK, FIN | ACK, RST]);
                        // Two clients, 120 ports.
                        let client = random.below(120) as u32;
                        let frame = if random.one_in(2) {
                            segment(client, flags)
                        } else {
                            let to = SocketAddrV4::new((0x0a09_0000 + client % 5).into(), 81);
                            let from = SocketAddrV4::new(lab::CLIENT, 1000 + client as u16);
                            lab::from_client(&tcp(from, to, flags).bytes())
                        };
                        receive::<Stack>(world, cpu as usize, lab::C0, &frame);
                    }
                    busy.fetch_sub(1, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) > 0 {
                    world.advance(World::HZ / 2);
                    world.sweep();
                    note(&world);
                }
            });
        });
        // On a busy machine the clock may not have moved before all was sent.
        note(&world);
        assert!(templates.load(Ordering::Relaxed) > 0 && mappings.load(Ordering::Relaxed) > 0);
        assert_adds_up(&world);
        world.wait_secs(1001);
        assert_adds_up(&world);
        assert_eq!(world.connection_count(), 0, "{world}");
    });
}

/// All threads open connections of one client at the same moment: one template, and one server for all.
#[test]
fn a_client_has_one_template() {
    const THREADS: usize = 4;
    let mut world = world(64, THREADS, 1);
    world.order("-E -t 10.0.0.100:80 -s rr -p 600");
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for cpu in 0..THREADS {
            let (world, barrier) = (&world, &barrier);
            scope.spawn(move || {
                for round in 0..100 {
                    barrier.wait();
                    // Client `round`, one port for each thread.
                    receive::<Stack>(world, cpu, lab::C0, &segment(round * 60 + cpu as u32, SYN));
                }
            });
        }
    });
    assert_adds_up(&world);
    let all = world.connections();
    let templates: HashMap<_, _> = all
        .iter()
        .filter(|e| e.word().has(Word::TEMPLATE))
        .map(|e| (e.client().bytes(), (e.dest(), e.children())))
        .collect();
    assert_eq!(templates.len(), 100);
    for e in all.iter().filter(|e| !e.word().has(Word::TEMPLATE)) {
        assert_eq!(e.dest(), templates[&e.client().bytes()].0, "persistence has one server\n{world}");
    }
    let connections = all.len() - 100;
    assert_eq!(templates.values().map(|(_, children)| *children as usize).sum::<usize>(), connections);
    assert!(connections > 300, "{connections}");
    world.wait_secs(661);
    assert_adds_up(&world);
    assert_eq!(world.connection_count(), 0, "{world}");
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
