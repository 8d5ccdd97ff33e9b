//! Do counts drift when processors work at the same time? Two threads, each on its own processor, give packets to the
//! loaded programs while a third changes weights and takes servers out and in; the kernel's timer sweeps meanwhile. Then
//! the counts must be exact: those of entries that are there, and zero when none is.

use crate::compare::{forget_everything, key, obey, used_sets};
use crate::lab::in_a_namespace;
use crate::run::{Programs, Way};
use rlvs_control::model::Timeouts;
use rlvs_control::{Balancer, Director};
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::tags::tag;
use rlvs_core::conn::{Entry, WAYS};
use rlvs_core::maps::{dest_state, global};
use rlvs_core::mem::Mem;
use rlvs_core::wire::Be32;
use rlvs_testkit::order::Order;
use rlvs_testkit::packet::{ACK, FIN, RST, SYN, tcp, udp};
use rlvs_testkit::random::Random;
use rlvs_testkit::{lab, mark};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const THREADS: u32 = 2;
const SERVERS: u8 = 4;
/// Option, scheduler, port of a service. One is by mark, for lblcr wants many addresses.
const SERVICES: [(&str, &str, u16); 6] = [
    ("-t 10.0.0.100:80", "wlc", 80),
    ("-t 10.0.0.100:81", "lblc", 81),
    ("-u 10.0.0.100:53", "sed", 53),
    ("-t 10.0.0.100:82", "rr -p 1 -M 255.255.255.0", 82),
    ("-u 10.0.0.100:54", "mh -b mh-fallback -p 1", 54),
    ("-f 1", "lblcr", 83),
];

fn order(director: &mut Director, line: &str) {
    obey(director, &Order::parse(line));
}

fn set_up(director: &mut Director, secs: u32) {
    forget_everything(director);
    // Persistence is three seconds longer: a template that is due while it has connections is held for another minute.
    order(director, "mark 1 6 83");
    for (service, scheduler, port) in SERVICES {
        order(
            director,
            &format!("-A {service} -s {}", scheduler.replace("-p 1", &format!("-p {}", secs + 3))),
        );
        let port = if service.starts_with("-f") { 0 } else { port };
        (1..=SERVERS).for_each(|n| order(director, &format!("-a {service} -r 10.1.0.{n}:{port} -m -w 3")));
    }
    for name in ["lblc_expiration", "lblcr_expiration"] {
        order(director, &format!("sysctl {name}={secs}"));
    }
    director.set_timeouts(Timeouts { tcp_secs: secs, tcp_fin_secs: secs, udp_secs: secs }).unwrap();
    // SYN_RECV and the like have no option of ipvsadm.
    let instance = director.instance().unwrap().expect("an instance");
    let hz = instance.hz;
    instance.settings.edit(0, |s| s.timeouts.fill(secs * hz));
}

/// A packet of connection `number`, whose service and client follow from it.
fn frame(number: u32, random: &mut Random) -> Vec<u8> {
    let (service, _, port) = SERVICES[number as usize % SERVICES.len()];
    // Sixteen ports of each client, so that persistent services have templates with several connections.
    let client = SocketAddrV4::new((0x1400_0000 + number / 96).into(), 2000 + (number % 96) as u16);
    let to = match service {
        "-f 1" => Ipv4Addr::new(10, 9, 0, (number / 96 % 50) as u8),
        _ => lab::VIP,
    };
    let to = SocketAddrV4::new(to, port);
    let packet = match &service[..2] {
        "-u" => udp(client, to).bytes(),
        _ => tcp(client, to, random.of(&[SYN, ACK, ACK, FIN | ACK, RST])).bytes(),
    };
    lab::from_client(&packet)
}

fn opening(number: u32) -> Vec<u8> {
    let mut frame = frame(number, &mut Random::new(0));
    let protocol = frame[23];
    if protocol == 6 {
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let addr = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
        let syn = tcp(SocketAddrV4::new(addr(26), port(34)), SocketAddrV4::new(addr(30), port(36)), SYN);
        frame = lab::from_client(&syn.bytes());
    }
    frame
}

/// This thread runs on one processor from now on.
fn pin_to(cpu: u32) {
    // SAFETY: a set of processors that lives over the call.
    let rc = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize % processors(), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(rc, 0, "sched_setaffinity: {}", std::io::Error::last_os_error());
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Opens `connections` different connections with everything else going on; how many rule changes there were meanwhile.
fn storm(director: &mut Director, programs: &Programs, connections: u32, seed: u64) -> u32 {
    let each = connections / THREADS;
    let busy = AtomicU32::new(THREADS);
    let at: Vec<AtomicU32> = (0..THREADS).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for cpu in 0..THREADS {
            let (busy, at) = (&busy, &at);
            // A new thread is in its parent's network namespace.
            scope.spawn(move || {
                let _done = Done(busy);
                pin_to(cpu);
                let mut random = Random::new(seed + u64::from(cpu));
                for n in 0..each {
                    at[cpu as usize].store(n, Ordering::Relaxed);
                    programs.receive(&opening(cpu * each + n), false);
                    // More of what this thread or the other one opened lately: some is being opened right now.
                    for _ in 0..random.below(3) {
                        let whose = random.below(THREADS.into()) as u32;
                        let last = at[whose as usize].load(Ordering::Relaxed);
                        let number = whose * each + last.saturating_sub(random.below(24) as u32);
                        programs.receive(&frame(number, &mut random), false);
                    }
                }
            });
        }
        let (mut random, mut changes) = (Random::new(seed ^ 0x5eed), 0);
        while busy.load(Ordering::Relaxed) > 0 {
            change_rules(director, &mut random);
            changes += 1;
            std::thread::sleep(Duration::from_micros(500));
        }
        changes
    })
}

/// One thread less is busy, however it ended.
struct Done<'a>(&'a AtomicU32);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn change_rules(director: &mut Director, random: &mut Random) {
    let (service, _, port) = random.of(&SERVICES);
    let port = if service.starts_with("-f") { 0 } else { port };
    let server = format!("{service} -r 10.1.0.{}:{port}", 1 + random.below(SERVERS.into()));
    if random.one_in(4) {
        order(director, &format!("-d {server}"));
        order(director, &format!("-a {server} -m -w {}", 1 + random.below(4)));
    } else {
        let upper = if random.one_in(4) { 100 + random.below(1000) } else { 0 };
        order(director, &format!("-e {server} -m -w {} -x {upper}", random.below(4)));
    }
}

/// Active, inactive, persistent, mappings.
type Counts = [u32; 4];

/// Of each destination that has any, by counting entries; and how many entries there are.
fn recounted(director: &mut Director) -> (BTreeMap<u32, Counts>, u32) {
    let instance = director.instance().unwrap().expect("an instance");
    let (mut counts, mut all) = (BTreeMap::<u32, Counts>::new(), 0);
    let conns = instance.conns.mapped().unwrap();
    for (index, set) in used_sets(conns.len(), |i| conns.words(i)) {
        for way in (1..=WAYS).filter(|way| tag(set, *way) != 0) {
            let entry: Entry<Be32, _> = Entry::new(set, way, index);
            let word = entry.word();
            assert!(word.is_live(), "an entry with a tag that nobody lives in");
            let which = match () {
                () if word.has(Word::MAPPING) => 3,
                () if word.has(Word::TEMPLATE) => 2,
                () if word.has(Word::INACTIVE) => 1,
                () => 0,
            };
            counts.entry(entry.dest()).or_default()[which] += 1;
            all += 1;
        }
    }
    (counts, all)
}

/// The same, as the programs counted.
fn counted(director: &mut Director) -> (BTreeMap<u32, Counts>, u32) {
    let instance = director.instance().unwrap().expect("an instance");
    let mut counts = BTreeMap::new();
    for id in 0..instance.dest.len() {
        let state = instance.dest_state.words(id);
        let words = [dest_state::ACTIVE, dest_state::INACTIVE, dest_state::PERSISTENT, dest_state::MAPPINGS];
        let load = words.map(|word| state.load(word));
        let total = state.load(dest_state::TOTAL) & !dest_state::OVERLOADED;
        assert_eq!(total, load[0].wrapping_add(load[1]), "destination {id}: total of {load:?}");
        if load != [0; 4] {
            counts.insert(id, load);
        }
    }
    (counts, instance.global.words(0).load(global::CONNS))
}

/// So many connections under all kinds of events, and nothing is counted wrong.
pub fn nothing_drifts(way: Way, connections: u32) {
    in_a_namespace(|director| {
        assert!(processors() >= 2, "needs two processors");
        order(director, "-A -t 10.0.0.100:80 -s rr");
        let programs = Programs::open(director, way);

        // Nothing expires: what is counted is what is there.
        set_up(director, 600);
        let changes = storm(director, &programs, connections / 10, 1);
        let found = recounted(director);
        assert!(found.1 > connections / 20, "only {} entries", found.1);
        let kinds = found.0.values().fold([0; 4], |sum, c| std::array::from_fn(|i| sum[i] + c[i]));
        assert!(kinds.iter().all(|n| *n > 0), "active, inactive, persistent, mappings: {kinds:?}");
        assert_eq!(counted(director), found);
        println!("{kinds:?} active, inactive, persistent, mappings after {changes} changes of rules");

        // All but templates expires within a second, during the storm too.
        set_up(director, 1);
        let start = Instant::now();
        let changes = storm(director, &programs, connections, 2);
        let opened: u64 = SERVICES.iter().map(|s| opened(director, s)).sum();
        println!("{opened} opened in {:?}, {changes} changes of rules", start.elapsed());
        assert!(opened > u64::from(connections) * 9 / 10, "only {opened} connections were opened");
        let patience = Instant::now();
        while counted_entries(director) != 0 && patience.elapsed() < Duration::from_secs(80) {
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("all expired after {:?}", patience.elapsed());
        assert_eq!(counted(director), (BTreeMap::new(), 0), "active, inactive, persistent, mappings");
        let instance = director.instance().unwrap().expect("an instance");
        let conns = instance.conns.mapped().unwrap();
        let used = used_sets(conns.len(), |i| conns.words(i)).count();
        assert_eq!(used, 0, "sets with a tag or with a count of entries that passed by");
    });
}

fn counted_entries(director: &mut Director) -> u32 {
    director.instance().unwrap().expect("an instance").global.words(0).load(global::CONNS)
}

fn opened(director: &mut Director, (service, _, _): &(&str, &str, u16)) -> u64 {
    let at = match *service {
        "-f 1" => mark(1),
        other => match Order::parse(&format!("-D {other}")) {
            Order::DeleteService(key) => key,
            _ => unreachable!(),
        },
    };
    director.service(&key(at)).unwrap().counters.conns
}
