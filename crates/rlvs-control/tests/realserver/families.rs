//! Requests out of their tunnel in both families: IPv4 and IPv6 inside, IPv4 and IPv6 outside, by each kind of tunnel.
//!
//! A packet socket that asks for one ethertype gets packets behind TC, as the stack gets them: whole, and by the family that
//! they have now.

use super::net::{Net, Wire, add_address};
use super::packets::{frame, ip, udp};
use super::{VIP, tun};
use rlvs_control::realserver::{self, Tunnel, Wanted};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const VIP6: &str = "2001:db8:99::100";
const PATIENCE: Duration = Duration::from_millis(500);
pub const WORDS: &[u8] = b"a request of a client";
pub const GUE_PORT: u16 = 6080;

/// Director and real server, by family.
pub const OUTSIDE: [(&str, &str); 2] = [("10.77.0.2", "10.77.0.1"), ("fd00:77::2", "fd00:77::1")];
/// Client and VIP.
pub const INSIDE: [(&str, &str); 2] = [("198.51.100.7", VIP), ("2001:db8:7::7", VIP6)];
const FRAGMENT: u8 = 44;

/// A network with IPv6, whose server takes packets of `tunnel` for both VIPs.
pub fn net(tunnel: Tunnel) -> Net {
    let net = Net::new();
    net.server.run(|| {
        for device in ["a0", "a1"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{device}/accept_dad"), "0").unwrap();
        }
        add_address("a0", "fd00:77::1", 64);
        add_address("a1", "fd00:78::1", 64);
        realserver::up(&Wanted { tunnel: Some(tunnel), ..tun(&[VIP, VIP6], &[]) }).unwrap();
        let status = realserver::status().unwrap();
        assert!(status.complete, "{status:#?}");
    });
    net
}

fn request((client, vip): (&str, &str), tos: u8) -> Vec<u8> {
    ip(client, vip, 17, tos, &udp(4444, 7777, WORDS))
}

/// What a tunnel's outer IP header says of what follows, and what stands before the inner one.
fn headers(tunnel: Tunnel, inner: &[u8], checksum: bool) -> (u8, Vec<u8>) {
    let is_ipv6 = inner[0] >> 4 == 6;
    let protocol = if is_ipv6 { 41 } else { 4 };
    let ethertype = if is_ipv6 { [0x86, 0xdd] } else { [8, 0] };
    match (tunnel, checksum) {
        (Tunnel::Ipip, _) => (protocol, vec![]),
        (Tunnel::Gre, false) => (47, [&[0, 0], &ethertype[..]].concat()),
        (Tunnel::Gre, true) => (47, [&[0x80, 0], &ethertype[..], &[0x12, 0x34, 0, 0]].concat()),
        (Tunnel::Gue { port }, _) => {
            let header = udp(4321, port, &[&[0, protocol, 0, 0], inner].concat());
            (17, header[..12].to_vec())
        }
    }
}

pub fn tunnelled(tunnel: Tunnel, (from, to): (&str, &str), tos: u8, inner: &[u8], checksum: bool) -> Vec<u8> {
    let (protocol, headers) = headers(tunnel, inner, checksum);
    ip(from, to, protocol, tos, &[&headers[..], inner].concat())
}

/// The server's cable behind TC, by ethertype.
pub struct Stack([Wire; 2]);

impl Stack {
    pub fn open(net: &Net) -> Stack {
        net.server.run(|| Stack([0x0800, 0x86dd].map(|ethertype| Wire::of("a0", ethertype))))
    }

    /// The next packet of this family with a client's words in it.
    pub fn got(&self, is_ipv6: bool) -> Option<Vec<u8>> {
        let ours =
            |frame: &[u8]| frame.windows(WORDS.len()).any(|w| w == WORDS).then(|| frame[14..].to_vec());
        self.0[usize::from(is_ipv6)].find(PATIENCE, ours)
    }
}

pub fn counters(net: &Net) -> BTreeMap<&'static str, u64> {
    net.server.run(|| realserver::status().unwrap().decapsulation.unwrap().counters)
}

/// The counters that moved.
pub fn moved(before: &BTreeMap<&'static str, u64>, after: &BTreeMap<&'static str, u64>) -> Vec<&'static str> {
    after.iter().filter(|(name, n)| before[*name] != **n).map(|(name, _)| *name).collect()
}

#[test]
fn each_family_in_each_by_each_tunnel() {
    for tunnel in [Tunnel::Ipip, Tunnel::Gre, Tunnel::Gue { port: GUE_PORT }] {
        let net = net(tunnel);
        let (stack, wire) = (Stack::open(&net), net.peer.run(|| Wire::open("b0")));
        for outside in OUTSIDE {
            for inside in INSIDE {
                for checksum in [false, true] {
                    let inner = request(inside, 0);
                    let sent = tunnelled(tunnel, outside, 0, &inner, checksum);
                    let before = counters(&net);
                    wire.send(&frame(&sent));
                    let what = format!("{tunnel}, {inside:?} in {outside:?}");
                    assert_eq!(stack.got(inside == INSIDE[1]), Some(inner.clone()), "{what}");
                    let after = counters(&net);
                    assert_eq!(moved(&before, &after), ["decapsulated", "decapsulated_bytes"], "{what}");
                    let bytes = after["decapsulated_bytes"] - before["decapsulated_bytes"];
                    assert_eq!(bytes, inner.len() as u64, "{what}");
                }
            }
        }
    }
}

/// Congestion that a router on the tunnel's way told of (RFC 6040, section 4.2), across the families.
#[test]
fn congestion_marks_cross_the_families() {
    let net = net(Tunnel::Ipip);
    let (stack, wire) = (Stack::open(&net), net.peer.run(|| Wire::open("b0")));
    for outside in OUTSIDE {
        for inside in INSIDE {
            for (outer, inner, left) in
                [(3, 0xb9, Some(0xbb)), (2, 0xb9, Some(0xb9)), (0xb8, 0, Some(0)), (3, 0xb8, None)]
            {
                let sent = tunnelled(Tunnel::Ipip, outside, outer, &request(inside, inner), false);
                let before = counters(&net);
                wire.send(&frame(&sent));
                let what = format!("{inside:?} in {outside:?}, {outer:#x} outside, {inner:#x} inside");
                assert_eq!(stack.got(inside == INSIDE[1]), left.map(|tos| request(inside, tos)), "{what}");
                let dropped = moved(&before, &counters(&net)) == ["dropped_congestion"];
                assert_eq!(dropped, left.is_none(), "{what}");
            }
        }
    }
}

/// What is not opened: it goes on as it came (or nothing does), and one counter says why.
#[test]
fn what_is_left_alone() {
    let net = net(Tunnel::Ipip);
    // A router: packets for others are forwarded.
    net.server.run(|| fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap());
    let (stack, wire) = (Stack::open(&net), net.peer.run(|| Wire::open("b0")));
    let outside = OUTSIDE[1];
    let plain = request(INSIDE[1], 0);
    let six = tunnelled(Tunnel::Ipip, outside, 0, &plain, false);
    let changed = |at: usize, to: u8| {
        let mut packet = six.clone();
        packet[at] = to;
        packet
    };
    let fragment = |place: u8| {
        let header = [41, 0, 0, place, 0, 0, 0, 7];
        ip(outside.0, outside.1, FRAGMENT, 0, &[&header, &plain[..]].concat())
    };
    let hop_by_hop = [41, 0, 1, 4, 0, 0, 0, 0];
    let to_another = tunnelled(Tunnel::Ipip, (outside.0, "fd00:78::2"), 0, &plain, false);
    let to_no_vip = request((INSIDE[1].0, "2001:db8:99::101"), 0);
    let rows = [
        ("a fragment that is the whole", fragment(0), true, Some("decapsulated")),
        ("a first fragment", fragment(1), false, Some("left_fragment")),
        ("a later fragment", fragment(8), false, None),
        (
            "an extension header outside",
            ip(outside.0, outside.1, 0, 0, &[&hop_by_hop, &plain[..]].concat()),
            false,
            None,
        ),
        ("for another host", to_another, false, Some("left_other_host")),
        ("no VIP inside", tunnelled(Tunnel::Ipip, outside, 0, &to_no_vip, false), false, None),
        ("longer than it is", changed(5, six[5] + 40), false, Some("left_malformed")),
        ("outer length ends in the inner header", changed(5, 39), false, Some("left_malformed")),
        (
            "the inner one longer than the outer one",
            changed(40 + 5, plain[5] + 1),
            false,
            Some("dropped_malformed"),
        ),
        ("IPv4's number, IPv6 inside", changed(6, 4), false, None),
        ("inner version 4", changed(40, 0x45), false, None),
        ("GRE to a VIP of ipip", tunnelled(Tunnel::Gre, outside, 0, &plain, false), false, None),
    ];
    for (what, packet, is_opened, counted) in rows {
        let before = counters(&net);
        wire.send(&frame(&packet));
        let found = stack.got(true);
        let dropped = counted.is_some_and(|c| c.starts_with("dropped"));
        let expected = if is_opened { plain.clone() } else { packet.clone() };
        assert_eq!(found, (!dropped).then_some(expected), "{what}");
        let mut moved = moved(&before, &counters(&net));
        moved.retain(|name| *name != "decapsulated_bytes");
        assert_eq!(moved, counted.into_iter().collect::<Vec<_>>(), "{what}");
    }
}
