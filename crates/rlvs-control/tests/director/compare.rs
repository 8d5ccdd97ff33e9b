//! A story told twice: to the loaded programs and to the brain on the host.

use crate::lab::{in_a_namespace, set_mtu};
use crate::run::{Made, Programs, Verdict, Way};
use rlvs_control::model::*;
use rlvs_control::{Balancer, Director, MarkSpec, Source};
use rlvs_core::conn::entry::Word;
use rlvs_core::conn::tags::tag;
use rlvs_core::conn::{Entry, OVERFLOWED, SET_WORDS, WAYS};
use rlvs_core::fwd;
use rlvs_core::fwd::tun::kind;
use rlvs_core::maps::{DestConfig, Filter, global};
use rlvs_core::mem::Mem;
use rlvs_core::path::DropReason;
use rlvs_core::proto::state_name;
use rlvs_core::wire::Be32;
use rlvs_testkit::golden::{Step, Story, masked};
use rlvs_testkit::order::{Key, TunnelOrder};
use rlvs_testkit::{DestOrder, Order, Outcome, ServiceOrder, Stack, World, arrive, receive};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// All differences between the two, and between both and what was expected, over all stories.
pub fn compare(stories: &[Story], way: Way) -> Vec<String> {
    in_a_namespace(|director| {
        stories[0].orders.iter().take(1).for_each(|o| obey(director, o));
        let programs = Programs::open(director, way);
        let mut wrong = Vec::new();
        let mut sent = Sent::default();
        for story in stories {
            forget_everything(director);
            set_mtu("s0", story.server_mtu);
            let differences = tell(story, director, &programs, way, &mut sent);
            wrong.extend(differences.into_iter().map(|w| format!("{way:?}, {}: {w}", story.sentence)));
        }
        let listed = director.connections().unwrap().len();
        let shadows = shadows(director);
        assert_eq!(listed, state_of(director).0.len() - shadows, "connections listed");
        // The first packet to a server goes through the kernel's neighbour table; then the MACs are written here, and
        // XDP does it alone.
        println!("{way:?}: {sent:?}");
        assert!(sent.with_macs * 3 > sent.all * 2, "{sent:?}");
        assert!(way == Way::Tc || sent.by_xdp * 5 > sent.all * 2, "{sent:?}");
        wrong
    })
}

/// How many frames were sent, how many with MACs already, how many by XDP.
#[derive(Debug, Default)]
struct Sent {
    all: u32,
    with_macs: u32,
    by_xdp: u32,
}

fn tell(
    story: &Story,
    director: &mut Director,
    programs: &Programs,
    way: Way,
    sent: &mut Sent,
) -> Vec<String> {
    let mut world = story.world();
    story.orders.iter().for_each(|o| obey(director, o));
    let mut wrong = Vec::new();
    for step in &story.steps {
        for order in &step.orders {
            world.obey(order);
            obey(director, order);
        }
        let ours = match way {
            Way::Tc => receive::<Stack>(&world, 0, step.ifindex(), &step.frame),
            _ => arrive(&world, step.ifindex(), &step.frame),
        };
        wrong.extend(step.difference(&ours).map(|d| format!("host: {d}")));
        let made = programs.receive(&step.frame, step.from_server != 0);
        wrong.extend(difference(step, &ours, &made));
        // Fragments are TC's, and what follows its keys (ESP, AH), and what is said on control connections of FTP.
        let is_fragment = made.frame[12..14] == [8, 0] && made.frame[20] & 0x3f | made.frame[21] != 0;
        let is_said =
            step.frame[23] == 6 && [&step.frame[34..36], &step.frame[36..38]].iter().any(is_control);
        let is_tcs = is_fragment || is_said || matches!(step.frame[23], 50 | 51);
        if made.verdict == Verdict::Sent && !is_tcs {
            sent.all += 1;
            sent.with_macs += u32::from(made.frame[..12] != step.frame[..12]);
            sent.by_xdp += u32::from(made.by_xdp);
        }
    }
    wrong.extend(state_difference(director, &world));
    if !wrong.is_empty() {
        eprintln!("{}\n{world}", story.sentence);
    }
    wrong
}

/// A port of the control connections in our rows.
fn is_control(port: &&[u8]) -> bool {
    [21u16, 2121].iter().any(|known| **port == known.to_be_bytes())
}

/// Back to an instance without rules and history. Nobody but a test may write to these maps; loading the programs anew
/// for each story would take a minute.
pub fn forget_everything(director: &mut Director) {
    director.clear().unwrap();
    director.flush_marks().unwrap();
    for source in director.sources().unwrap() {
        director.remove_source(source.address).unwrap();
    }
    for setting in director.sysctls().unwrap() {
        if setting.value != setting.default {
            let words: Vec<String> = setting.default.iter().map(u32::to_string).collect();
            director.set_sysctl(setting.name, &words.join(" ")).unwrap();
        }
    }
    let instance = director.instance().unwrap().expect("an instance");
    let wipe = |row: &dyn Fn(usize, u32), words: usize| (0..words).for_each(|word| row(word, 0));
    let conns = instance.conns.mapped().unwrap();
    for (_, set) in used_sets(conns.len(), |i| conns.words(i)) {
        wipe(&|word, value| set.store(word, value), SET_WORDS);
    }
    for i in instance.dest_slots() {
        instance.dest.set(i, &DestConfig::EMPTY);
        let state = instance.dest_state.words(i);
        wipe(&|word, value| state.store(word, value), 16);
    }
    for i in 0..instance.drops.len() {
        instance.drops.set(i, &0);
    }
    instance.filter.set(0, &Filter { virtual_addrs: [0; 2048], real_addrs: [0; 2048] });
    for word in [global::CONNS, global::EXPECTED, global::DROP_COUNTER] {
        instance.global.words(0).store(word, 0);
    }
}

/// Do the programs and the host agree on a frame?
pub fn difference(step: &Step, ours: &Outcome, made: &Made) -> Option<String> {
    let (verdict, frame) = match ours {
        Outcome::Pass | Outcome::Up => (Verdict::Pass, step.frame.clone()),
        Outcome::Drop(_) | Outcome::SetAside => (Verdict::Drop, Vec::new()),
        Outcome::Sent(sent) | Outcome::Answered(_, sent) => (Verdict::Sent, sent.frame.clone()),
        // The program sends the other pieces before it ends.
        Outcome::Split(pieces) => (Verdict::Sent, pieces.last().expect("a piece").frame.clone()),
    };
    let mut got = made.frame.clone();
    // Where the kernel's neighbour table writes the MACs, it does so after the program.
    if verdict == Verdict::Sent && !made.by_xdp && got[..12] == step.frame[..12] {
        got[..12].copy_from_slice(&frame[..12]);
    }
    let same_bytes = match verdict {
        Verdict::Drop => true,
        Verdict::Pass => got == frame,
        Verdict::Sent => {
            // One of them may have invented the very IP id that came in.
            let mut came_in = step.frame.clone();
            if got.get(18..20) != frame.get(18..20) {
                let id = (0..3u16).map(u16::to_be_bytes);
                let other = |id: &[u8; 2]| [&got, &frame].iter().all(|f| f.get(18..20) != Some(&id[..]));
                came_in[18..20].copy_from_slice(&id.into_iter().find(other).expect("one of three"));
            }
            masked(&got, &came_in) == masked(&frame, &came_in)
        }
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    (made.verdict != verdict || !same_bytes).then(|| {
        format!("{}\n  host    {ours:?}\n  program {:?} {}", step.label, made.verdict, hex(&made.frame))
    })
}

/// Loads, connections and drop counters afterwards.
pub fn state_difference(director: &mut Director, world: &World) -> Option<String> {
    let (mut theirs, mut ours) = (state_of(director), state_of_world(world));
    // How many fragments can wait is the programs' own affair.
    let lost = DropReason::FragmentLost.word();
    theirs.1.remove(lost);
    ours.1.remove(lost);
    // What is the same tells nothing.
    let (same_conns, same_drops) = (ours.0.clone(), ours.1.clone());
    ours.0.retain(|k, v| theirs.0.get(k) != Some(v));
    ours.1.retain(|k, v| theirs.1.get(k) != Some(v));
    theirs.0.retain(|k, v| same_conns.get(k) != Some(v));
    theirs.1.retain(|k, v| same_drops.get(k) != Some(v));
    (theirs != ours).then(|| format!("afterwards, what differs\n  host    {ours:?}\n  program {theirs:?}"))
}

/// Connection to server and state; reason to count.
type State = (Connections, BTreeMap<String, u64>);
type Connections = BTreeMap<Shown, (SocketAddrV4, String)>;
/// Protocol, client, what it asked for (a firewall mark's service has many addresses); is it a template?
type Shown = (u8, SocketAddrV4, SocketAddrV4, bool);

fn state_of(director: &mut Director) -> State {
    let instance = director.instance().unwrap().expect("an instance");
    let mut connections = BTreeMap::new();
    let conns = instance.conns.mapped().unwrap();
    for (index, set) in used_sets(conns.len(), |i| conns.words(i)) {
        let entries = (1..=WAYS).filter(|way| tag(set, *way) != 0).map(|way| Entry::new(set, way, index));
        let is_shown = |e: &Entry<Be32, _>| e.word().is_live() && !e.word().has(Word::MAPPING);
        entries.filter(is_shown).for_each(|e| take(&mut connections, described(e)));
    }
    let drops = director.status().unwrap().drops.into_iter().map(|d| (d.reason.to_string(), d.packets));
    (connections, drops.collect())
}

/// Entries of FULLNAT's connections that are not listed.
fn shadows(director: &mut Director) -> usize {
    let instance = director.instance().unwrap().expect("an instance");
    let conns = instance.conns.mapped().unwrap();
    used_sets(conns.len(), |i| conns.words(i))
        .flat_map(|(index, set)| {
            (1..=WAYS)
                .filter(move |way| tag(set, *way) != 0)
                .map(move |way| Entry::<Be32, _>::new(set, way, index))
        })
        .filter(|e| e.word().is_live() && e.word().has(Word::SHADOW))
        .count()
}

/// The sets of the connection table that hold anything: there are many, and a test is not optimised.
pub fn used_sets<M: Mem>(sets: u32, set: impl Fn(u32) -> M) -> impl Iterator<Item = (u32, M)> {
    (0..sets)
        .map(move |i| (i, set(i)))
        .filter(|(_, set)| set.load64(0) | set.load64(2) | u64::from(set.load(OVERFLOWED)) != 0)
}

fn described<M: Mem>(c: Entry<Be32, M>) -> (Shown, (SocketAddrV4, String)) {
    let server = SocketAddrV4::new(c.dest_addr().bytes().into(), c.dest_port().get());
    let client = SocketAddrV4::new(c.client().bytes().into(), c.client_port().get());
    let virt = SocketAddrV4::new(c.virtual_addr().bytes().into(), c.virtual_port().get());
    let key = (c.proto(), client, virt, c.word().has(Word::TEMPLATE));
    (key, (server, state_name(c.proto(), c.word().state(), c.word().has(Word::TEMPLATE)).to_string()))
}

fn state_of_world(world: &World) -> State {
    let mut connections = BTreeMap::new();
    world.connections().into_iter().for_each(|e| take(&mut connections, described(e)));
    let drops =
        DropReason::ALL.iter().map(|r| (r.word().to_string(), world.drops(*r))).filter(|(_, n)| *n > 0);
    (connections, drops.collect())
}

fn take(connections: &mut Connections, (key, is): (Shown, (SocketAddrV4, String))) {
    assert!(connections.insert(key, is).is_none(), "{key:?} is there twice");
}

/// The same order for the director.
pub fn obey(director: &mut Director, order: &Order) {
    let done = match order {
        Order::AddService(s) => director.add_service(&service(s)),
        Order::EditService(s) => director.edit_service(&service(s)),
        Order::DeleteService(k) => director.delete_service(&key(*k)),
        Order::Add(k, d) => director.add_destination(&key(*k), &destination(d)),
        Order::Edit(k, d) => director.edit_destination(&key(*k), &destination(d)),
        Order::Delete(k, at) => director.delete_destination(&key(*k), (*at.ip()).into(), at.port()),
        Order::Clear => director.clear(),
        Order::Sysctl(name, value) => director.set_sysctl(name, &value.to_string()),
        Order::Mark { mark, protocol, port } => director.add_mark(&MarkSpec {
            mark: *mark,
            protocol: Protocol::from_number(*protocol),
            src: None,
            dst: None,
            ports: vec![(*port, *port)],
        }),
        Order::Source { address, ports: (first_port, last_port) } => director.add_source(&Source {
            address: (*address).into(),
            first_port: *first_port,
            last_port: *last_port,
        }),
    };
    done.unwrap_or_else(|e| panic!("{order:?}: {e}"));
}

pub fn key((protocol, at): Key) -> ServiceKey {
    match Protocol::from_number(protocol) {
        Some(protocol) => ServiceKey::Address { protocol, addr: (*at.ip()).into(), port: at.port() },
        None => ServiceKey::Fwmark { mark: u32::from(*at.ip()), family: Family::Inet },
    }
}

fn service(order: &ServiceOrder) -> Service {
    Service {
        persistence: order.persist_secs.map(|timeout_secs| Persistence { timeout_secs }),
        netmask: Some(order.netmask),
        one_packet: order.one_packet,
        flags: SchedFlags(order.sched_flags),
        ..Service::new(key(order.key), &order.scheduler)
    }
}

fn tunnel(order: &TunnelOrder) -> Tunnel {
    Tunnel {
        kind: match order.kind {
            kind::GUE => TunnelKind::Gue,
            kind::GRE => TunnelKind::Gre,
            _ => TunnelKind::Ipip,
        },
        port: order.port,
        checksum: [TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote]
            [usize::from(order.checksum)],
    }
}

fn destination(order: &DestOrder) -> Destination {
    Destination {
        addr: (*order.at.ip()).into(),
        port: order.at.port(),
        method: match order.method {
            fwd::Method::Masquerade => Method::Masquerade,
            fwd::Method::Tunnel => Method::Tunnel,
            fwd::Method::FullNat => Method::FullNat,
            _ => Method::DirectRoute,
        },
        weight: order.weight,
        upper_threshold: order.upper,
        lower_threshold: order.lower,
        tunnel: tunnel(&order.tunnel),
        proxy_protocol: order.proxy_protocol,
    }
}
