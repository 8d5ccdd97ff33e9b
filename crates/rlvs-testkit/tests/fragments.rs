//! Fragments on the host's brain: all of a datagram go to one server, in any order, in every forwarding method.

use rlvs_core::path::DropReason;
use rlvs_testkit::packet::{ACK, Builder, SYN, checks, fragments, reassembled, tcp, udp};
use rlvs_testkit::{Outcome, Stack, World, arrive, lab, receive};
use std::net::SocketAddrV4;

const ETH: usize = 14;

fn client(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(lab::CLIENT, port)
}

fn vip(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(lab::VIP, port)
}

fn world(orders: &[&str]) -> World {
    let mut world = lab::world(1);
    orders.iter().for_each(|o| world.order(o));
    world
}

/// A UDP service with three servers.
fn three(method: &str, more: &str) -> World {
    let server = |n: u8, port: u16| format!("-a -u 10.0.0.100:53 -r 10.1.0.{n}:{port} {method}");
    let port = if method == "-m" { 5353 } else { 53 };
    let add: Vec<String> = (1..=3).map(|n| server(n, port)).collect();
    let service = format!("-A -u 10.0.0.100:53 -s rr {more}");
    world(&[&[service.as_str()][..], &add.iter().map(String::as_str).collect::<Vec<_>>()].concat())
}

/// 2,500 bytes that are all different in each eight.
fn datagram(port: u16) -> Builder {
    let data: Vec<u8> = (0..2500u32).map(|i| (i / 8 + i * 31) as u8).collect();
    udp(client(port), vip(53)).data(&data).with(|b| b.dont_fragment = false)
}

/// What comes of frames, of those that come in again too; the last as if XDP had seen them first.
fn all_outcomes(world: &World, frames: &[Vec<u8>], ifindex: u32) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for frame in frames {
        outcomes.push(arrive(world, ifindex, frame));
        for (ifindex, frame) in world.come_again() {
            outcomes.push(receive::<Stack>(world, 0, ifindex, &frame));
        }
    }
    outcomes
}

fn sent(outcomes: Vec<Outcome>) -> Vec<Vec<u8>> {
    let frame = |o| match o {
        Outcome::Sent(sent) => Some(sent.frame),
        Outcome::SetAside => None,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().filter_map(frame).collect()
}

fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    let [first, rest @ ..] = of else { return vec![vec![]] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, first.clone());
            all.push(order);
        }
    }
    all
}

/// The packet that a server puts together; in a tunnel each fragment has an outer header of its own.
fn at_the_server(frames: &[Vec<u8>]) -> Vec<u8> {
    let inner = |f: &Vec<u8>| match f[ETH + 9] {
        4 => f[ETH + 20..].to_vec(),
        _ => f[ETH..].to_vec(),
    };
    reassembled(frames.iter().map(inner).collect())
}

#[test]
fn any_order_to_one_server() {
    for (method, more) in [("-m", ""), ("-g", ""), ("-i", ""), ("-m", "-o"), ("-g", "-o"), ("-m", "-p 60")] {
        let world = three(method, more);
        let mut seen = std::collections::BTreeSet::new();
        let whole: Vec<Vec<u8>> = fragments(&datagram(0).bytes(), 640);
        for (port, order) in (1024..).zip(orders(&(0..whole.len()).collect::<Vec<_>>())) {
            let packet = datagram(port).with(|b| b.id = port);
            let parts = fragments(&packet.bytes(), 640);
            let frames: Vec<Vec<u8>> = order.iter().map(|i| lab::from_client(&parts[*i])).collect();
            let sent = sent(all_outcomes(&world, &frames, lab::C0));
            assert_eq!(sent.len(), parts.len(), "{method} {order:?}");
            let servers: Vec<_> = sent.iter().map(|f| lab::server_of(f)).collect();
            assert!(servers[0].is_some() && servers.iter().all(|s| *s == servers[0]), "{method} {servers:?}");
            seen.insert(servers[0]);
            let got = at_the_server(&sent);
            assert_eq!(checks(&got), (true, true), "{method} {more} {order:?}");
            assert_eq!(got[28..], packet.bytes()[28..], "the data");
            let (to, port) = if method == "-m" { ([10, 1, 0], 5353u16) } else { ([10, 0, 0], 53) };
            assert_eq!((&got[16..19], &got[22..24]), (&to[..], &port.to_be_bytes()[..]));
        }
        assert_eq!(
            seen.len(),
            if more == "-p 60" { 1 } else { 3 },
            "{method} {more}: all servers have a share"
        );
    }
}

#[test]
fn a_servers_answer_in_any_order() {
    let world = three("-m", "");
    let request = lab::from_client(&udp(client(1111), vip(53)).bytes());
    let [request] = &sent(vec![arrive(&world, lab::C0, &request)])[..] else { panic!("one frame") };
    let n = lab::server_of(request).expect("a server");
    let answer = udp(SocketAddrV4::new(lab::server(n), 5353), client(1111)).data(&[7; 3000]);
    for (id, order) in (1..).zip(orders(&[0, 1, 2])) {
        let parts = fragments(&answer.clone().with(|b| (b.id, b.dont_fragment) = (id, false)).bytes(), 1400);
        let frames: Vec<Vec<u8>> = order.iter().map(|i| lab::from_server(n, &parts[*i])).collect();
        let got = at_the_server(&sent(all_outcomes(&world, &frames, lab::S0)));
        assert_eq!(checks(&got), (true, true), "{order:?}");
        assert_eq!((&got[12..16], &got[20..22]), (&[10, 0, 0, 100][..], &53u16.to_be_bytes()[..]));
    }
}

/// A datagram without checksum keeps having none: to make one would take all fragments.
#[test]
fn no_checksum_stays_none() {
    let world = three("-m", "");
    let packet = datagram(7).with(|b| b.check = rlvs_testkit::packet::Check::Absent);
    let frames: Vec<Vec<u8>> = fragments(&packet.bytes(), 640).iter().map(|f| lab::from_client(f)).collect();
    let got = at_the_server(&sent(all_outcomes(&world, &frames, lab::C0)));
    assert_eq!(got[26..28], [0, 0]);
}

#[test]
fn of_no_service_they_pass() {
    let world = three("-g", "");
    for (to, waits) in [(vip(54), true), (SocketAddrV4::new([10, 0, 0, 101].into(), 53), false)] {
        let packet = udp(client(1111), to).data(&[1; 2000]).with(|b| (b.id, b.dont_fragment) = (9, false));
        let parts = fragments(&packet.bytes(), 1000);
        let frames: Vec<Vec<u8>> = parts.iter().rev().map(|f| lab::from_client(f)).collect();
        let outcomes = all_outcomes(&world, &frames, lab::C0);
        let last = if waits { Outcome::SetAside } else { Outcome::Pass };
        let all = [vec![last; 2], vec![Outcome::Pass; if waits { 3 } else { 1 }]].concat();
        assert_eq!(outcomes, all, "{to}");
    }
    let mut echo = fragments(&datagram(1).bytes(), 640).remove(1);
    echo[9] = 1;
    echo[10..12].fill(0);
    let check = !rlvs_testkit::packet::sum(&echo[..20], 0);
    echo[10..12].copy_from_slice(&check.to_be_bytes());
    assert_eq!(arrive(&world, lab::C0, &lab::from_client(&echo)), Outcome::Pass, "a ping");
}

#[test]
fn what_is_too_small_is_dropped() {
    let world = world(&["-A -t 10.0.0.100:80 -s rr", "-a -t 10.0.0.100:80 -r 10.1.0.1:80 -g"]);
    let packet = tcp(client(1111), vip(80), SYN).data(&[0; 64]).with(|b| b.dont_fragment = false).bytes();
    let parts = fragments(&packet, 8);
    let bad = Outcome::Drop(DropReason::BadFragment);
    assert_eq!(arrive(&world, lab::C0, &lab::from_client(&parts[0])), bad, "no flags");
    assert_eq!(arrive(&world, lab::C0, &lab::from_client(&parts[1])), bad, "over the flags");
    let mut odd = parts[3].clone();
    odd[3] -= 1;
    odd[10..12].fill(0);
    let check = !rlvs_testkit::packet::sum(&odd[..20], 0);
    odd[10..12].copy_from_slice(&check.to_be_bytes());
    assert_eq!(arrive(&world, lab::C0, &lab::from_client(&odd)), bad, "seven bytes, and more follow");
}

/// A later fragment of TCP shows no flags: it changes no state.
#[test]
fn a_later_fragment_moves_no_state() {
    let world = world(&["-A -t 10.0.0.100:80 -s rr", "-a -t 10.0.0.100:80 -r 10.1.0.1:80 -g"]);
    let send = |b: Builder| all_outcomes(&world, &[lab::from_client(&b.bytes())], lab::C0);
    sent(send(tcp(client(1111), vip(80), SYN)));
    sent(send(tcp(client(1111), vip(80), ACK)));
    let state = |w: &World| w.connections()[0].word().state();
    let established = state(&world);
    let data = tcp(client(1111), vip(80), ACK).data(&[5; 1200]).with(|b| b.dont_fragment = false).bytes();
    let frames: Vec<Vec<u8>> = fragments(&data, 400).iter().map(|f| lab::from_client(f)).collect();
    assert_eq!(sent(all_outcomes(&world, &frames, lab::C0)).len(), 4);
    assert_eq!(state(&world), established);
}

#[test]
fn a_datagram_has_half_a_minute() {
    let world = three("-g", "");
    let parts = fragments(&datagram(1111).bytes(), 640);
    sent(vec![arrive(&world, lab::C0, &lab::from_client(&parts[0]))]);
    world.wait_secs(30);
    sent(vec![arrive(&world, lab::C0, &lab::from_client(&parts[1]))]);
    world.wait_secs(1);
    assert_eq!(arrive(&world, lab::C0, &lab::from_client(&parts[2])), Outcome::SetAside);
}

#[test]
fn without_a_server_one_answer_is_enough() {
    let world = world(&["-A -u 10.0.0.100:53 -s rr"]);
    let frames: Vec<Vec<u8>> =
        fragments(&datagram(1).bytes(), 1000).iter().map(|f| lab::from_client(f)).collect();
    let outcomes = all_outcomes(&world, &frames, lab::C0);
    assert!(matches!(outcomes[0], Outcome::Answered(DropReason::NoServer, _)), "{:?}", outcomes[0]);
    assert_eq!(outcomes[1..], vec![Outcome::Drop(DropReason::NoServer); 2]);
}
