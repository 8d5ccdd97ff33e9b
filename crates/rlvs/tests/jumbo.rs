//! Links of 9,000 bytes, in every way of forwarding and attaching: transfers, datagrams in one piece and in many, and a ping of
//! the virtual address, which the director answers by itself as if there were no service.

mod common;

use common::{MB, Proto, attach, method, real, tally, within};
use rlvs::lab::client::{self, Asker};
use rlvs::lab::{Lab, Topology, VIP};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::SocketAddrV4;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

/// Pings the virtual address with so many bytes.
fn ping(size: usize) {
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("a raw socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    socket.connect(&SocketAddrV4::new(VIP, 0).into()).expect("connected");
    let mut request = vec![8, 0, 0, 0, 0x72, 0x76, 0, 1];
    request.extend((0..size).map(|n| n as u8));
    let check = checksum(&request).to_be_bytes();
    request[2..4].copy_from_slice(&check);
    socket.send(&request).expect("sent");
    let mut answer = vec![0; 65_536];
    loop {
        let len = socket.read(&mut answer).expect("an answer to the ping");
        let message = &answer[20..len];
        if message[0] == 0 && message[4..6] == [0x72, 0x76] {
            assert_eq!(message[8..], request[8..], "{size} bytes came back otherwise");
            return;
        }
    }
}

/// The checksum of a message whose field is 0.
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 =
        message.chunks(2).map(|b| u32::from(b[0]) << 8 | u32::from(*b.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn jumbo(topology: Topology, option: Option<&str>) {
    for mode in ["tc", "skb", "xdp"] {
        let lab = Lab::builder(topology).mtu(9000).program(common::RLVS).build().expect("a lab");
        let lab = common::ready(lab);
        attach(&lab, mode);
        let how = option.unwrap_or(method(&lab));
        for (proto, port) in [(Proto::Tcp, 80), (Proto::Udp, 53)] {
            common::ipvsadm(&lab, &format!("-A {} -s rr", proto.key(port)));
            for n in 1..=3 {
                let server = real(&lab, n, port);
                common::ipvsadm(&lab, &format!("-a {} -r {server} {how}", proto.key(port)));
            }
        }
        lab.client().run(|| {
            let each = tally([("rs1", 4), ("rs2", 4), ("rs3", 4)]);
            assert_eq!(client::tally_tcp(VIP, 80, 12).expect("requests"), each, "{mode}");
            client::download(VIP, 80, 30 * MB).unwrap_or_else(|e| panic!("{mode}: download: {e}"));
            client::upload(VIP, 80, 30 * MB).unwrap_or_else(|e| panic!("{mode}: upload: {e}"));
            [0, 56, 1_473, 8_900, 20_000].into_iter().for_each(ping);
            let asker = Asker::open(VIP, 53).expect("a socket");
            let name = asker.ask("", LIMIT).expect("an empty datagram");
            if topology == Topology::Tun {
                // The client learns that the tunnel takes 20 bytes: fragments of an outer packet would be lost here, where the
                // real servers open the tunnel without the kernel's module.
                let text = "x".repeat(8_970);
                assert!((0..5).any(|_| asker.ask(&text, LIMIT / 5).is_ok()), "{mode}: the tunnel's MTU");
            }
            for size in [1_473, 8_000, 20_000] {
                let text: String = ('a'..='z').cycle().take(size).collect();
                let answer = asker.ask(&text, LIMIT).unwrap_or_else(|e| panic!("{mode}, {size} bytes: {e}"));
                assert_eq!(answer, name, "{mode}: {size} bytes");
            }
        });
    }
}

#[test]
fn by_nat() {
    within(90, || jumbo(Topology::Nat, None));
}

#[test]
fn by_fullnat() {
    within(90, || jumbo(Topology::Nat, Some("--fullnat")));
}

#[test]
fn by_dr() {
    within(90, || jumbo(Topology::Dr, None));
}

#[test]
fn by_tun() {
    within(90, || jumbo(Topology::Tun, None));
}
