//! Requests out of their tunnel, over a real cable: a frame from the peer, and what the server's stack gets of it.
//!
//! Two raw sockets listen on the server: one hears UDP packets (the inner ones, once they are out), one hears IP in IP (what
//! our program left alone). Both get whole packets, so "untouched" can be said of every bit.

use super::net::{Net, Wire, set_sysctl};
use super::packets::{frame, ipv4, seal};
use super::{OTHER_VIP, VIP, tun};
use rlvs_control::realserver::{self, Tunnel, Wanted};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

const DIRECTOR: &str = "10.77.0.2";
const RIP: &str = "10.77.0.1";
/// In the network of the *other* cable: a strict rp_filter would not have it.
const CLIENT: &str = "198.51.100.7";
const PORT: u16 = 7777;
const PATIENCE: Duration = Duration::from_millis(200);

const UDP: u8 = 17;
const IPIP: u8 = 4;

/// A raw socket of the server's: all packets of a protocol that are delivered to it, with their headers.
struct Delivered(OwnedFd);

impl Delivered {
    fn open(protocol: u8) -> Delivered {
        // SAFETY: plain numbers; a new descriptor comes back, which nobody else knows.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol));
            assert!(fd >= 0, "raw socket: {}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        Delivered(socket)
    }

    fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which lives over the call.
        if unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) } != 1 {
            return None;
        }
        let mut packet = vec![0u8; 4096];
        // SAFETY: the kernel writes at most the buffer's length.
        let len = unsafe { libc::recv(self.0.as_raw_fd(), packet.as_mut_ptr().cast(), packet.len(), 0) };
        packet.truncate(usize::try_from(len).unwrap());
        Some(packet)
    }
}

fn request(to: &str, tos: u8) -> Vec<u8> {
    let words = b"a request of a client";
    let mut udp = [4444u16.to_be_bytes(), PORT.to_be_bytes()].concat();
    udp.extend(((8 + words.len()) as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(words);
    ipv4(CLIENT, to, UDP, tos, &udp)
}

fn tunnelled(inner: &[u8], tos: u8) -> Vec<u8> {
    ipv4(DIRECTOR, RIP, IPIP, tos, inner)
}

/// The outer packet with some bytes changed, and a checksum that is right for them.
fn outer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = tunnelled(&request(VIP, 0), 0);
    change(&mut packet);
    seal(&mut packet);
    packet
}

/// The outer packet with some bytes of the inner one changed.
fn inner(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = request(VIP, 0);
    change(&mut packet);
    seal(&mut packet);
    tunnelled(&packet, 0)
}

fn counters() -> BTreeMap<&'static str, u64> {
    realserver::status().unwrap().decapsulation.unwrap().counters
}

/// What the server's stack got of a packet.
#[derive(Debug, PartialEq)]
enum Got {
    /// This, out of its tunnel.
    Inner(Vec<u8>),
    /// The tunnel packet, as it was sent.
    Outer,
    Nothing,
}

struct Row {
    what: &'static str,
    packet: Vec<u8>,
    got: Got,
    /// The one fate that counts it.
    counted: Option<&'static str>,
}

fn rows() -> Vec<Row> {
    let row = |what, packet, got, counted| Row { what, packet, got, counted };
    let plain = request(VIP, 0);
    let out = |tos| Got::Inner(request(VIP, tos));
    let taken = Some("decapsulated");
    let mut with_options = tunnelled(&plain, 0);
    with_options.splice(20..20, [1, 1, 1, 0]);
    with_options[0] = 0x46;
    let total = with_options.len() as u16;
    with_options[2..4].copy_from_slice(&total.to_be_bytes());
    seal(&mut with_options);
    let bad_sum = {
        let mut packet = tunnelled(&plain, 0);
        packet[10] ^= 0x55;
        packet
    };
    vec![
        row("a request", tunnelled(&plain, 0), out(0), taken),
        row("options in the outer header", with_options, out(0), taken),
        row("padding behind the packet", [tunnelled(&plain, 0), vec![0xee; 9]].concat(), out(0), taken),
        row("ECT outside, ECT inside", tunnelled(&request(VIP, 2), 2), out(2), taken),
        row("ECT outside, not-ECT inside", tunnelled(&plain, 1), out(0), taken),
        row("CE outside, ECT(0) inside", tunnelled(&request(VIP, 2), 3), out(3), taken),
        row("CE outside, ECT(1) and a DSCP inside", tunnelled(&request(VIP, 0xb9), 3), out(0xbb), taken),
        row("CE outside, CE inside", tunnelled(&request(VIP, 3), 3), out(3), taken),
        row("CE outside, not-ECT inside", tunnelled(&plain, 3), Got::Nothing, Some("dropped_congestion")),
        row("no VIP inside", tunnelled(&request("10.77.0.1", 0), 0), Got::Outer, None),
        row("no VIP inside, CE outside", tunnelled(&request("10.77.0.1", 0), 3), Got::Outer, None),
        row("the outer header fails its checksum", bad_sum, Got::Nothing, Some("left_malformed")),
        row("longer than it is", outer(|p| p[3] += 40), Got::Nothing, Some("left_malformed")),
        row(
            "outer length ends in the inner header",
            outer(|p| p[3] = 39),
            Got::Outer,
            Some("left_malformed"),
        ),
        row("first fragment", outer(|p| p[6] = 0x20), Got::Nothing, Some("left_fragment")),
        row("later fragment", outer(|p| p[7] = 3), Got::Nothing, None),
        row("inner longer than outer", inner(|p| p[3] += 1), Got::Nothing, Some("dropped_malformed")),
        row("inner shorter than its header", inner(|p| p[3] = 19), Got::Nothing, Some("dropped_malformed")),
        row(
            "inner header of 24 bytes in 20",
            inner(|p| (p[0], p[3]) = (0x46, 22)),
            Got::Nothing,
            Some("dropped_malformed"),
        ),
        row("inner header length 16", inner(|p| p[0] = 0x44), Got::Outer, None),
        row("inner version 6", inner(|p| p[0] = 0x65), Got::Outer, None),
        row("inner cut off", tunnelled(&plain[..19], 0), Got::Outer, None),
        row("nothing inside", tunnelled(&[], 0), Got::Outer, None),
    ]
}

#[test]
fn what_becomes_of_each_packet() {
    let net = Net::new();
    let (udp, ipip) = net.server.run(|| {
        realserver::up(&tun(&[VIP], &[])).unwrap();
        (Delivered::open(UDP), Delivered::open(IPIP))
    });
    let wire = net.peer.run(|| Wire::open("b0"));
    for Row { what, packet, got, counted } in rows() {
        let before = net.server.run(counters);
        wire.send(&frame(&packet));
        let found = match (&got, udp.next(PATIENCE)) {
            (_, Some(inner)) => Got::Inner(inner),
            (Got::Inner(_), None) => Got::Nothing,
            (_, None) => match ipip.next(PATIENCE) {
                // As it was sent, to the end of its length.
                Some(outer) if packet.starts_with(&outer) => Got::Outer,
                Some(other) => panic!("{what}: changed to {other:02x?}"),
                None => Got::Nothing,
            },
        };
        let after = net.server.run(counters);
        // No raw socket hears a packet whose header is not good; whether it hears one cut short is the kernel's affair.
        assert_eq!(found, got, "{what}");
        let moved: Vec<_> =
            after.iter().filter(|(name, n)| before[*name] != **n).map(|(name, _)| *name).collect();
        let expected: Vec<_> = match counted {
            Some("decapsulated") => vec!["decapsulated", "decapsulated_bytes"],
            other => other.into_iter().collect(),
        };
        assert_eq!(moved, expected, "{what}");
        if let Got::Inner(inner) = got {
            assert_eq!(
                after["decapsulated_bytes"] - before["decapsulated_bytes"],
                inner.len() as u64,
                "{what}"
            );
        }
        while udp.next(Duration::ZERO).is_some() || ipip.next(Duration::ZERO).is_some() {}
    }
}

/// GRE and GUE as directors make them, and what is left alone: other kinds, keys, ports, control messages, and a tunnel
/// that the VIP was not opened for.
#[test]
fn gre_and_gue() {
    let gre = |header: &[u8]| ipv4(DIRECTOR, RIP, 47, 0, &[header, &request(VIP, 0)].concat());
    let gue = |port: u16, header: &[u8]| {
        let data = [header, &request(VIP, 0)].concat();
        let len = (8 + data.len()) as u16;
        let udp = [4321u16.to_be_bytes(), port.to_be_bytes(), len.to_be_bytes(), [0, 0]].concat();
        ipv4(DIRECTOR, RIP, UDP, 0, &[udp, data].concat())
    };
    let to_gre = [
        (true, "plain", gre(&[0, 0, 8, 0])),
        (true, "with a checksum", gre(&[0x80, 0, 8, 0, 0x12, 0x34, 0, 0])),
        (false, "with a key", gre(&[0x20, 0, 8, 0, 0, 0, 0, 1])),
        (false, "version 1", gre(&[0, 1, 8, 0])),
        (false, "IPv6 inside", gre(&[0, 0, 0x86, 0xdd])),
        (false, "cut off", ipv4(DIRECTOR, RIP, 47, 0, &[0, 0, 8])),
        (false, "ipip to a VIP of gre", tunnelled(&request(VIP, 0), 0)),
        (false, "gue to a VIP of gre", gue(6080, &[0, 4, 0, 0])),
    ];
    let to_gue = [
        (true, "plain", gue(6080, &[0, 4, 0, 0])),
        (true, "two words of options", gue(6080, &[2, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])),
        (false, "another port", gue(6081, &[0, 4, 0, 0])),
        (false, "a control message", gue(6080, &[0x20, 4, 0, 0])),
        (false, "variant 1", gue(6080, &[0x40, 4, 0, 0])),
        (false, "IPv6 inside", gue(6080, &[0, 41, 0, 0])),
        (false, "cut off", ipv4(DIRECTOR, RIP, UDP, 0, &gue(6080, &[])[20..30])),
        (false, "gre to a VIP of gue", gre(&[0, 0, 8, 0])),
    ];
    for (tunnel, packets) in [(Tunnel::Gre, to_gre), (Tunnel::Gue { port: 6080 }, to_gue)] {
        let net = Net::new();
        let udp = net.server.run(|| {
            realserver::up(&Wanted { tunnel: Some(tunnel), ..tun(&[VIP], &[]) }).unwrap();
            assert!(realserver::status().unwrap().complete);
            Delivered::open(UDP)
        });
        let wire = net.peer.run(|| Wire::open("b0"));
        for (is_opened, what, packet) in packets {
            let before = net.server.run(counters)["decapsulated"];
            wire.send(&frame(&packet));
            let inner = |p: &Vec<u8>| p[16..20] == VIP.parse::<Ipv4Addr>().unwrap().octets();
            let got = std::iter::from_fn(|| udp.next(PATIENCE)).find(inner);
            assert_eq!(got, is_opened.then(|| request(VIP, 0)), "{tunnel}: {what}");
            let opened = net.server.run(counters)["decapsulated"] - before;
            assert_eq!(opened, u64::from(is_opened), "{tunnel}: {what}");
        }
    }
}

/// A VIP that was opened for one tunnel is taken from another one after a second `up`.
#[test]
fn the_tunnel_of_a_vip_can_be_changed() {
    let net = Net::new();
    let udp = net.server.run(|| {
        realserver::up(&tun(&[VIP], &[])).unwrap();
        realserver::up(&Wanted { tunnel: Some(Tunnel::Gre), ..tun(&[VIP], &[]) }).unwrap();
        Delivered::open(UDP)
    });
    let wire = net.peer.run(|| Wire::open("b0"));
    wire.send(&frame(&tunnelled(&request(VIP, 0), 0)));
    assert_eq!(udp.next(PATIENCE), None);
    wire.send(&frame(&ipv4(DIRECTOR, RIP, 47, 0, &[&[0, 0, 8, 0][..], &request(VIP, 0)].concat())));
    assert_eq!(udp.next(PATIENCE), Some(request(VIP, 0)));
}

#[test]
fn a_socket_on_the_vip_is_served_in_spite_of_a_strict_filter() {
    let net = Net::new();
    let socket = net.server.run(|| {
        set_sysctl("all/rp_filter", "1");
        realserver::up(&tun(&[VIP, OTHER_VIP], &[])).unwrap();
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    });
    let wire = net.peer.run(|| Wire::open("b0"));
    for vip in [VIP, OTHER_VIP] {
        wire.send(&frame(&tunnelled(&request(vip, 0), 0)));
        let mut words = [0u8; 64];
        let (len, from) = socket.recv_from(&mut words).unwrap_or_else(|e| panic!("{vip}: {e}"));
        assert_eq!(&words[..len], b"a request of a client");
        assert_eq!(from.ip(), CLIENT.parse::<Ipv4Addr>().unwrap());
    }
}

#[test]
fn a_tunnel_packet_for_another_host_is_not_opened() {
    let net = Net::new();
    let (udp, passing) = net.server.run(|| {
        realserver::up(&tun(&[VIP], &[])).unwrap();
        // A router: the packet is addressed to its MAC, but to somebody behind it.
        set_sysctl("a0/forwarding", "1");
        (Delivered::open(UDP), net.peer.run(|| Wire::open("b1")))
    });
    let wire = net.peer.run(|| Wire::open("b0"));
    let sent = ipv4(DIRECTOR, "198.51.100.2", IPIP, 0, &request(VIP, 0));
    wire.send(&frame(&sent));
    let forwarded =
        passing.find(Duration::from_secs(2), |f| (f.get(14 + 20..) == Some(&sent[20..])).then_some(()));
    assert!(forwarded.is_some(), "not forwarded");
    // And one to a MAC that is not ours (a hub, a mirror port).
    let mut other_mac = frame(&tunnelled(&request(VIP, 0), 0));
    other_mac[5] = 9;
    wire.send(&other_mac);
    assert_eq!(udp.next(PATIENCE), None);
    assert_eq!(net.server.run(counters)["left_other_host"], 2);
}

#[test]
fn after_down_nobody_opens_tunnels() {
    let net = Net::new();
    let (udp, ipip) = net.server.run(|| {
        realserver::up(&tun(&[VIP], &[])).unwrap();
        realserver::down().unwrap();
        (Delivered::open(UDP), Delivered::open(IPIP))
    });
    let sent = tunnelled(&request(VIP, 0), 0);
    net.peer.run(|| Wire::open("b0")).send(&frame(&sent));
    assert_eq!(ipip.next(Duration::from_secs(2)), Some(sent));
    assert_eq!(udp.next(PATIENCE), None);
}
