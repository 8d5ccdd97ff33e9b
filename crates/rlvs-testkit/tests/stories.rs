//! The kernel's recorded stories on the host's brain, where pauses take no time; and what is audited afterwards.

use rlvs_core::conn::Entry;
use rlvs_core::conn::entry::Word;
use rlvs_core::maps::sysctl;
use rlvs_core::proto;
use rlvs_core::wire::Be32;
use rlvs_testkit::order::Key;
use rlvs_testkit::packet::{ACK, SYN, tcp, udp};
use rlvs_testkit::stories::{self, NEAR, RECORDINGS, Recording, Server, Subject, Went};
use rlvs_testkit::{Order, Outcome, Row, Sizes, World, arrive, audit, lab};
use std::net::SocketAddrV4;

struct Host(World);

impl Subject for Host {
    fn obey(&mut self, order: &Order) {
        self.0.obey(order);
    }

    fn wait(&mut self, secs: u32) -> bool {
        self.0.wait_secs(secs);
        true
    }

    fn arrive(&mut self, frame: &[u8], from_server: bool) -> Went {
        match arrive(&self.0, if from_server { lab::S0 } else { lab::C0 }, frame) {
            Outcome::Sent(sent) => match lab::server_of(&sent.frame) {
                Some(n) if (1..=lab::SERVERS).contains(&n) && sent.frame[..6] == lab::server_mac(n) => {
                    Went::To(n)
                }
                _ => Went::Elsewhere,
            },
            Outcome::Answered(_, sent) => Went::Icmp(sent.frame[34], sent.frame[35]),
            Outcome::Drop(_) => Went::Dropped,
            Outcome::Pass => Went::Passed,
            Outcome::Split(_) | Outcome::SetAside => Went::Elsewhere,
            Outcome::Up => panic!("up from the stack"),
        }
    }

    fn connections(&mut self) -> Vec<(u32, String)> {
        self.0.connections().iter().map(|e| (e.expires_in(self.0.now()) / World::HZ, line(e))).collect()
    }

    fn server(&mut self, service: Key, at: SocketAddrV4) -> Option<Server> {
        let id = self.0.find(service, at)? as u32;
        let loads = self.0.loads(id);
        Some(Server {
            weight: self.0.dest_config(id).weight,
            persistent: loads.persistent,
            active: loads.active,
            inactive: loads.inactive,
        })
    }

    fn describe(&mut self) -> String {
        self.0.to_string()
    }
}

fn line(e: &Entry<Be32, Row<'_>>) -> String {
    let place = |addr: Be32, port: rlvs_core::wire::Be16| SocketAddrV4::new(addr.bytes().into(), port.get());
    let protocol = match e.proto() {
        6 => "TCP",
        17 => "UDP",
        _ => "IP",
    };
    let state = proto::state_name(e.proto(), e.word().state(), e.word().has(Word::TEMPLATE));
    let (client, vip, server) = (
        place(e.client(), e.client_port()),
        place(e.virtual_addr(), e.virtual_port()),
        place(e.dest_addr(), e.dest_port()),
    );
    format!("{protocol} {state} {client} {vip} {server}")
}

fn replay(name: &str) {
    let (_, json) = RECORDINGS.iter().find(|(n, _)| *n == name).expect("a recording");
    let sizes = Sizes { destinations: 64, ..Sizes::default() };
    let mut host = Host(lab::sized(sizes, 1));
    let (_, ended) = stories::replay(&stories::read(json), &mut host);
    assert!(ended);
    host.0.wait_secs(1500);
    let wrong = audit(&host.0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(host.0.connection_count(), 0, "{name} leaves something\n{}", host.0);
}

/// Defaults of all settings; one of them depends on the machine's memory.
#[test]
fn settings_begin_as_the_kernels() {
    let recording: Recording = stories::read(include_str!("golden/c5-sysctl-defaults.json"));
    let ours = sysctl::ALL.iter().map(|d| match d.setting {
        sysctl::Setting::SyncThreshold => {
            format!("{} = {} {}", d.name, d.default, sysctl::SYNC_PERIOD.default)
        }
        _ => format!("{} = {}", d.name, d.default),
    });
    let depends = |l: &String| l.starts_with("sync_qlen_max = ");
    let recorded: Vec<String> = recording.story.into_iter().filter(|l| !depends(l)).collect();
    assert_eq!(ours.filter(|l| !depends(l)).collect::<Vec<_>>(), recorded);
}

macro_rules! stories {
    ($($test:ident $name:literal,)+) => {
        $(
            #[test]
            fn $test() {
                replay($name);
            }
        )+
        #[test]
        fn all_are_told() {
            assert_eq!(RECORDINGS.map(|(name, _)| name), [$($name),+]);
        }
    };
}

stories! {
    persistence "basic",
    a_template_lives_with_its_connections "template-timer",
    persistence_of_a_network "netmask",
    port_zero "port-zero",
    a_mark_joins_ports_and_addresses "fwmark",
    a_mark_behind_nat "fwmark-nat",
    a_quiescent_server "quiescent-0",
    a_quiescent_server_loses_its_templates "quiescent-1",
    a_deleted_server_is_silent "nodest-0",
    a_deleted_server_ends_its_connections "nodest-1",
    a_reused_port_0_nat "reuse-0-m",
    a_reused_port_0_dr "reuse-0-g",
    a_reused_port_1_nat "reuse-1-m",
    a_reused_port_1_dr "reuse-1-g",
    a_reused_port_2_nat "reuse-2-m",
    a_reused_port_2_dr "reuse-2-g",
    one_packet_scheduling "ops",
    udp_stays "udp-sticky",
    sloppy_tcp "sloppy",
    drop_packet "drop-entry",
    without_a_server "nosched-answers",
}

/// A template that ran out while it had connections lives on for 60 s, and each new connection then renews those, not the
/// service's own timeout: seen on Linux 6.1.0-56 with `-p 10`.
#[test]
fn a_held_template_keeps_its_minute() {
    let mut world = lab::world(1);
    world.order("-A -t 10.0.0.100:80 -s rr -p 10");
    world.order("-a -t 10.0.0.100:80 -r 10.1.0.1:80 -g");
    let open = |world: &World, port, flags| {
        let client = SocketAddrV4::new(lab::CLIENT, port);
        let frame = lab::from_client(&tcp(client, SocketAddrV4::new(lab::VIP, 80), flags).bytes());
        assert!(matches!(arrive(world, lab::C0, &frame), Outcome::Sent(_)));
    };
    let left = |world: &World| {
        let template = world.connections().into_iter().find(|e| e.word().has(Word::TEMPLATE));
        template.expect("a template").expires_in(world.now()) / World::HZ
    };
    open(&world, 1111, SYN);
    open(&world, 1111, ACK);
    assert_eq!(left(&world), 10);
    world.wait_secs(5);
    assert_eq!(left(&world), 5);
    world.wait_secs(8);
    assert!(left(&world).abs_diff(57) <= NEAR, "{}", left(&world));
    open(&world, 1112, SYN);
    assert_eq!(left(&world), 60);
    world.wait_secs(3);
    open(&world, 1113, SYN);
    assert_eq!(left(&world), 60);
}

/// A template and its last connection that are due at the same moment go together, whichever the sweep meets first: the
/// template is not held by a connection that is as old.
#[test]
fn a_template_goes_with_its_last_connection() {
    const CLIENTS: u8 = 40;
    let mut world = lab::world(1);
    world.order("-A -u 10.0.0.100:53 -s rr -p 300"); // as long as a flow of UDP
    world.order("-a -u 10.0.0.100:53 -r 10.1.0.1:53 -g");
    for n in 1..=CLIENTS {
        let client = SocketAddrV4::new([172, 16, 1, n].into(), 1111);
        let frame = lab::from_client(&udp(client, SocketAddrV4::new(lab::VIP, 53)).bytes());
        assert!(matches!(arrive(&world, lab::C0, &frame), Outcome::Sent(_)));
    }
    let all = 2 * CLIENTS as usize;
    assert_eq!(world.connections().len(), all);
    world.wait_secs(299);
    assert_eq!(world.connections().len(), all);
    world.wait_secs(4);
    assert_eq!(world.connections().len(), 0);
}
