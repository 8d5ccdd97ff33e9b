//! ICMP errors about connections, with the kernels of real hosts as their judges: what a router's "too big" teaches a real
//! server, and what a closed port of a real server teaches the client.

mod common;

use common::mtu::path_mtu;
use common::{Proto, attach, cluster, ipvsadm, rlvs, serve, within};
use nix::sys::socket::sockopt::Ipv4RecvErr;
use nix::sys::socket::{self, SockaddrIn};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use rlvs::lab::{Lab, Topology, VIP};
use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A datagram's server, and the client's socket.
fn ask(lab: &Lab) -> (UdpSocket, String) {
    lab.client().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((VIP, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send(b"hello").unwrap();
        let mut answer = [0; 100];
        let len = socket.recv(&mut answer).expect("an answer");
        let name = String::from_utf8_lossy(&answer[..len]).split('\n').next().unwrap().to_owned();
        (socket, name)
    })
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], *b.get(1).unwrap_or(&0)])));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// "Fragmentation needed" (RFC 1191) about the answer that went from the VIP to the client, as a router sends it.
fn too_big(client: SocketAddrV4, mtu: u16) -> Vec<u8> {
    let mut quote = vec![0x45, 0, 5, 0xdc, 0, 1, 0x40, 0, 60, 17, 0, 0];
    quote.extend(VIP.octets());
    quote.extend(client.ip().octets());
    let check = sum(&quote).to_be_bytes();
    quote[10..12].copy_from_slice(&check);
    quote.extend(53u16.to_be_bytes());
    quote.extend(client.port().to_be_bytes());
    quote.extend([5, 0xc8, 0, 0]);
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quote);
    let check = sum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&check);
    message
}

fn send_icmp(lab: &Lab, message: &[u8]) {
    lab.client().run(|| {
        let raw =
            socket::socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)
                .expect("a raw socket");
        let to = SockaddrIn::from(SocketAddrV4::new(VIP, 0));
        socket::sendto(raw.as_raw_fd(), message, &to, MsgFlags::empty()).expect("sent");
    });
}

fn the_server_learns(topology: Topology, mode: &str) {
    let lab = cluster(topology);
    serve(&lab, Proto::Udp, 53, "rr", &[1, 1, 1]);
    attach(&lab, mode);
    let (socket, name) = ask(&lab);
    let client = SocketAddrV4::new(lab.client().addr(), socket.local_addr().unwrap().port());
    let mut wrong = too_big(client, 1200);
    wrong[2] ^= 0x55;
    send_icmp(&lab, &wrong);
    send_icmp(&lab, &too_big(client, 1300));
    let learnt = || -> Vec<(String, i32)> {
        lab.servers().map(|s| (s.name().to_owned(), s.run(|| path_mtu(lab.client().addr())))).collect()
    };
    let expected: Vec<(String, i32)> =
        lab.servers().map(|s| (s.name().to_owned(), if s.name() == name { 1300 } else { 1500 })).collect();
    let mut seen = learnt();
    for _ in 0..50 {
        if seen == expected {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        seen = learnt();
    }
    assert_eq!(seen, expected, "{topology:?} by {mode}: {name} served");
    let status = rlvs(lab.director(), "status");
    assert!(status.contains("bad-checksum"), "the one with a wrong checksum is counted: {status}");
}

#[test]
fn a_real_server_learns_the_path_mtu() {
    within(90, || {
        for topology in [Topology::Nat, Topology::Dr, Topology::Tun] {
            the_server_learns(topology, "tc");
        }
        the_server_learns(Topology::Dr, "skb");
    });
}

/// NAT: the real server's kernel says "port unreachable" about its own address and port; the client's has to understand it
/// as said by the VIP about the port it asked.
#[test]
fn the_client_learns_of_a_closed_port() {
    within(60, || {
        for mode in ["tc", "skb"] {
            let lab = cluster(Topology::Nat);
            ipvsadm(&lab, &format!("-A -u {VIP}:54 -s rr"));
            ipvsadm(&lab, &format!("-a -u {VIP}:54 -r {}:5999 -m", lab.server(1).addr()));
            attach(&lab, mode);
            lab.client().run(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect((VIP, 54)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                socket.send(b"hello").unwrap();
                let error = socket.recv(&mut [0; 10]).expect_err("nobody listens");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{mode}: {error}");
            });
        }
    });
}

/// The director loses its way to the servers: the client is told, by the virtual address. An own address of the director's looks
/// the same to the programs, so a server on it is still served.
#[test]
fn the_client_learns_that_there_is_no_route() {
    within(60, || {
        for (topology, mode) in [(Topology::Nat, "tc"), (Topology::Dr, "tc"), (Topology::Dr, "skb")] {
            let lab = cluster(topology);
            serve(&lab, Proto::Udp, 53, "rr", &[1]);
            ipvsadm(&lab, &format!("-A -u {VIP}:80 -s rr"));
            ipvsadm(&lab, &format!("-a -u {VIP}:80 -r 10.0.0.1:80 -g"));
            attach(&lab, mode);
            ask(&lab);
            lab.director().set_link("eth1", false).expect("down");
            let refused = |port| {
                lab.client().run(|| {
                    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                    socket.connect((VIP, port)).unwrap();
                    // Else Linux keeps to itself what may be over soon.
                    socket::setsockopt(&socket, Ipv4RecvErr, &true).unwrap();
                    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                    socket.send(b"anybody?").unwrap();
                    socket.recv(&mut [0; 100]).expect_err("nobody").kind()
                })
            };
            assert_eq!(refused(53), ErrorKind::HostUnreachable, "{topology:?} by {mode}");
            let status = rlvs(lab.director(), "status");
            assert!(status.contains("no-route"), "{topology:?} by {mode}: {status}");
            assert_eq!(
                refused(80),
                ErrorKind::ConnectionRefused,
                "{topology:?} by {mode}: the director's stack"
            );
        }
    });
}
