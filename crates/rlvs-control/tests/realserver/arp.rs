//! The ARP problem: who asks for the VIP must not hear from a real server, and must not hear of it either.

use super::net::{Net, PEER_MAC, Wire, add_address};
use super::{VIP, dr};
use rlvs_control::realserver;
use std::net::Ipv4Addr;
use std::time::Duration;

const RIP: &str = "10.77.0.1";

/// Whether the peer gets an answer to "who has `address`?".
fn is_answered(net: &Net, address: &str) -> bool {
    let address: Ipv4Addr = address.parse().unwrap();
    net.peer.run(|| {
        let wire = Wire::open("b0");
        wire.send(&request(address));
        let answer = |frame: &[u8]| (is_arp(frame, 2) && frame[28..32] == address.octets()).then_some(());
        wire.find(Duration::from_millis(300), answer).is_some()
    })
}

fn request(target: Ipv4Addr) -> Vec<u8> {
    let sender: Ipv4Addr = "10.77.0.2".parse().unwrap();
    let mut frame = [[0xff; 6], PEER_MAC].concat();
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(PEER_MAC);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

fn is_arp(frame: &[u8], operation: u8) -> bool {
    frame.len() >= 42 && frame[12..14] == [0x08, 0x06] && frame[21] == operation
}

#[test]
fn the_vip_is_not_answered_and_the_rip_is() {
    let net = Net::new();
    // Without us: a host answers for all its addresses. Else the rest would prove nothing.
    net.server.run(|| add_address("lo", VIP, 32));
    assert!(is_answered(&net, VIP));
    assert!(is_answered(&net, RIP));
    for wanted in [dr(&[VIP], &[]), dr(&[VIP], &["a0"])] {
        net.server.run(|| realserver::up(&wanted).unwrap());
        assert!(!is_answered(&net, VIP));
        assert!(is_answered(&net, RIP));
        net.server.run(|| realserver::down().unwrap());
        assert!(is_answered(&net, VIP));
    }
}

#[test]
fn a_reply_from_the_vip_does_not_announce_it() {
    let net = Net::new();
    net.server.run(|| realserver::up(&dr(&[VIP], &[])).unwrap());
    let wire = net.peer.run(|| Wire::open("b0"));
    // The first packet from the VIP to a neighbour that is not known yet.
    net.server.run(|| {
        let socket = std::net::UdpSocket::bind((VIP, 0)).unwrap();
        socket.send_to(b"hello", "10.77.0.2:9").unwrap();
    });
    let asked_from = wire.find(Duration::from_secs(2), |f| {
        (is_arp(f, 1) && f[38..42] == [10, 77, 0, 2]).then(|| Ipv4Addr::new(f[28], f[29], f[30], f[31]))
    });
    assert_eq!(asked_from, Some(RIP.parse().unwrap()));
}
