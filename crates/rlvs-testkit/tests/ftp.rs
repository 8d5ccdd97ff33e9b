//! FTP's data connections over time: how long one is expected, what counts it, and that it keeps its control connection.

use rlvs_core::conn::entry::Word;
use rlvs_core::path::DropReason;
use rlvs_core::proto::tcp::{ESTABLISHED, LISTEN};
use rlvs_testkit::packet::{ACK, FIN, PSH, RST, SYN, at, tcp};
use rlvs_testkit::{Outcome, World, arrive, audit, lab};

const VIP: &str = "10.0.0.100:21";
const SERVER: &str = "10.1.0.1:21";
const CLIENT: &str = "172.16.0.9:1111";

fn world() -> World {
    let mut world = lab::world(1);
    world.order("-A -t 10.0.0.100:21 -s rr");
    world.order("-a -t 10.0.0.100:21 -r 10.1.0.1:21 -m");
    from_client(&world, CLIENT, VIP, SYN, "");
    from_server(&world, SERVER, CLIENT, SYN | ACK, "");
    from_client(&world, CLIENT, VIP, ACK, "");
    world
}

fn from_client(world: &World, from: &str, to: &str, flags: u8, data: &str) -> Outcome {
    let packet = tcp(at(from), at(to), flags).data(data.as_bytes());
    arrive(world, lab::C0, &lab::from_client(&packet.bytes()))
}

fn from_server(world: &World, from: &str, to: &str, flags: u8, data: &str) -> Outcome {
    let packet = tcp(at(from), at(to), flags).data(data.as_bytes());
    arrive(world, lab::S0, &lab::from_server(1, &packet.bytes()))
}

fn says_227(world: &World) {
    let said = "227 Entering Passive Mode (10,1,0,1,200,13).\r\n";
    assert!(matches!(from_server(world, SERVER, CLIENT, PSH | ACK, said), Outcome::Sent(_)));
}

/// Data connection from 172.16.0.9:3000.
const DATA: (&str, &str, &str) = ("172.16.0.9:3000", "10.0.0.100:51213", "10.1.0.1:51213");

fn opens_data(world: &World) {
    assert!(matches!(from_client(world, DATA.0, DATA.1, SYN, ""), Outcome::Sent(_)));
    assert!(matches!(from_server(world, DATA.2, DATA.0, SYN | ACK, ""), Outcome::Sent(_)));
    assert!(matches!(from_client(world, DATA.0, DATA.1, ACK, ""), Outcome::Sent(_)));
}

fn sound(world: &World) {
    let wrong = audit(world);
    assert!(wrong.is_empty(), "{}\n{world}", wrong.join("\n"));
}

/// Ports of clients, states and seconds left, of all that is there.
fn listed(world: &World) -> Vec<(u16, u8, u32)> {
    let conns = world.connections();
    let row = |e: &rlvs_core::conn::Entry<_, _>| {
        (e.client_port().get(), e.word().state(), e.expires_in(world.now()) / World::HZ)
    };
    let mut rows: Vec<_> = conns.iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn what_is_expected_waits_two_minutes() {
    let world = world();
    says_227(&world);
    from_client(&world, CLIENT, VIP, PSH | ACK, "PORT 172,16,0,9,15,160\r\n");
    assert_eq!(listed(&world), [(0, LISTEN, 120), (1111, ESTABLISHED, 900), (4000, LISTEN, 120)]);
    assert_eq!((world.loads(0).active, world.loads(0).inactive), (1, 2));
    assert_eq!(world.expected_count(), 2);
    sound(&world);
    world.wait_secs(110);
    says_227(&world); // sent again, and expected anew
    sound(&world);
    world.wait_secs(15);
    assert_eq!(listed(&world), [(0, LISTEN, 105), (1111, ESTABLISHED, 885)]);
    world.wait_secs(110);
    assert_eq!(world.expected_count(), 0);
    assert_eq!(from_client(&world, DATA.0, DATA.1, SYN, ""), Outcome::Pass, "too late");
    sound(&world);
    world.wait_secs(1000);
    assert_eq!(listed(&world), []);
    sound(&world);
}

#[test]
fn a_data_connection_takes_the_place_of_what_was_expected() {
    let world = world();
    says_227(&world);
    opens_data(&world);
    assert_eq!(listed(&world), [(1111, ESTABLISHED, 900), (3000, ESTABLISHED, 900)]);
    assert_eq!((world.loads(0).active, world.loads(0).inactive), (2, 0));
    assert_eq!(world.expected_count(), 0);
    sound(&world);
}

/// Nobody speaks on the control connection while a long file is sent.
#[test]
fn data_keeps_the_control_connection() {
    let world = world();
    says_227(&world);
    opens_data(&world);
    for _ in 0..40 {
        world.wait_secs(60);
        assert!(matches!(from_server(&world, DATA.2, DATA.0, ACK, "data"), Outcome::Sent(_)));
    }
    let control = |world: &World| listed(world).into_iter().find(|(port, ..)| *port == 1111);
    assert!(control(&world).is_some_and(|(_, state, left)| state == ESTABLISHED && left <= 60), "{world}");
    assert!(matches!(from_client(&world, CLIENT, VIP, PSH | ACK, "NOOP\r\n"), Outcome::Sent(_)));
    assert_eq!(control(&world), Some((1111, ESTABLISHED, 900)));
    sound(&world);
    // Without data it goes as any other.
    from_client(&world, DATA.0, DATA.1, RST, "");
    world.wait_secs(901);
    assert_eq!(listed(&world), []);
    sound(&world);
}

/// A client that was quick to use its port again, and a server that uses any: the old connection gives way.
#[test]
fn the_same_port_of_a_client_again() {
    let world = world();
    for server_port in ["10.1.0.1:20", "10.1.0.1:40000"] {
        from_client(&world, CLIENT, VIP, PSH | ACK, "PORT 172,16,0,9,15,160\r\n");
        let opened = from_server(&world, server_port, "172.16.0.9:4000", SYN, "");
        assert!(matches!(opened, Outcome::Sent(_)), "{opened:?}");
        let answered = from_client(&world, "172.16.0.9:4000", "10.0.0.100:20", SYN | ACK, "");
        let Outcome::Sent(sent) = answered else { panic!("{answered:?}") };
        assert_eq!(sent.frame[36..38], at(server_port).port().to_be_bytes());
        from_server(&world, server_port, "172.16.0.9:4000", FIN | ACK, "");
        sound(&world);
    }
    assert_eq!(listed(&world).len(), 2);
}

#[test]
fn of_a_server_that_is_gone_nothing_is_expected() {
    let mut world = world();
    says_227(&world);
    world.order("-d -t 10.0.0.100:21 -r 10.1.0.1:21");
    let gone = from_client(&world, DATA.0, DATA.1, SYN, "");
    assert_eq!(gone, Outcome::Drop(DropReason::ServerGone));
    sound(&world);
    world.wait_secs(1000);
    assert_eq!(listed(&world), []);
    sound(&world);
}

/// A template of a client for a service with a port is of the same flow as what is expected there.
#[test]
fn a_template_is_not_taken_for_a_data_connection() {
    let mut world = world();
    world.order("-A -t 10.0.0.100:51213 -s rr -p 300");
    world.order("-a -t 10.0.0.100:51213 -r 10.1.0.2:51213 -m");
    assert!(matches!(from_client(&world, DATA.0, DATA.1, SYN, ""), Outcome::Sent(_)));
    says_227(&world);
    sound(&world);
    let templates = |world: &World| {
        world.connections().iter().filter(|e| e.word().has(Word::TEMPLATE) && e.children() == 1).count()
    };
    assert_eq!((templates(&world), world.expected_count()), (1, 1));
    let Outcome::Sent(sent) = from_client(&world, "172.16.0.9:3001", DATA.1, SYN, "") else { panic!("sent") };
    assert_eq!(lab::server_of(&sent.frame), Some(1), "what is expected comes first");
    let Outcome::Sent(sent) = from_client(&world, "172.16.0.9:3002", DATA.1, SYN, "") else { panic!("sent") };
    assert_eq!(lab::server_of(&sent.frame), Some(2), "then the service");
    sound(&world);
    world.wait_secs(2000);
    assert_eq!(listed(&world), []);
}
