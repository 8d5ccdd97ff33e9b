//! The MSS of what leaves a real server, over a real cable: a packet that the server sends, and what the peer gets of it, bit
//! for bit.

use super::net::{Net, PEER_MAC, SERVER_MAC, Tun, Wire, set_mtu, set_up, snapshot};
use super::{OTHER_VIP, VIP, assert_nothing_left, dr, tun};
use rlvs_control::realserver::{self, Clamp, Clamping, Status, Tunnel, Wanted};
use std::net::IpAddr;
use std::time::Duration;

const VIP6: &str = "fd00::100";
const CLIENT: &str = "198.51.100.7";
const CLIENT6: &str = "fd00:7::7";
const MOST: u16 = 1300;
const LIMIT: Duration = Duration::from_secs(10);

const TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

const NOP: &[u8] = &[1];
const SACK: &[u8] = &[4, 2];
const SCALE: &[u8] = &[3, 3, 7];
const STAMPS: &[u8] = &[8, 10, 1, 2, 3, 4, 0, 0, 0, 0];

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], *b.get(1).unwrap_or(&0)]))).sum()
}

fn check(sum: u32) -> [u8; 2] {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_be_bytes()
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A TCP segment in an IP packet, with all checksums. `before` stands between IP's fixed header and TCP: IPv4's options, or an
/// extension header of IPv6.
fn segment(from: &str, flags: u8, options: &[&[u8]], data: &[u8], before: &[u8]) -> Vec<u8> {
    let options = options.concat();
    assert_eq!(options.len() % 4, 0, "whole words");
    let six = from.contains(':');
    let (source, target) = (octets(from), octets(if six { CLIENT6 } else { CLIENT }));
    let mut tcp = [80u16.to_be_bytes(), 40000u16.to_be_bytes()].concat();
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 2, (5 + options.len() as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(&options);
    tcp.extend(data);
    let of = sum(&source) + sum(&target) + u32::from(TCP) + tcp.len() as u32;
    let sealed = check(of + sum(&tcp));
    tcp[16..18].copy_from_slice(&sealed);

    let len = ((before.len() + tcp.len()) as u16).to_be_bytes();
    let mut packet = if six {
        let next = if before.is_empty() { TCP } else { 0 };
        vec![0x60, 0, 0, 0, len[0], len[1], next, 64]
    } else {
        let len = ((20 + before.len() + tcp.len()) as u16).to_be_bytes();
        vec![0x45 + before.len() as u8 / 4, 0, len[0], len[1], 0x12, 0x34, 0x40, 0, 64, TCP, 0, 0]
    };
    packet.extend(source);
    packet.extend(target);
    packet.extend(before);
    if !six {
        seal(&mut packet);
    }
    packet.extend(tcp);
    packet
}

/// Makes an IPv4 header's checksum right.
fn seal(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let sealed = check(sum(&packet[..header]));
    packet[10..12].copy_from_slice(&sealed);
}

fn mss(bytes: u16) -> [u8; 4] {
    [2, 4, bytes.to_be_bytes()[0], bytes.to_be_bytes()[1]]
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut frame = [PEER_MAC, SERVER_MAC].concat();
    frame.extend(if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    frame.extend(packet);
    frame
}

/// What it is, as it is sent, and as it arrives.
type Row = (&'static str, Vec<u8>, Vec<u8>);

/// A SYN-ACK of each family whose options are changed so.
fn changed(what: &'static str, options: impl Fn(&[u8]) -> Vec<u8>, from: u16, to: u16) -> [Row; 2] {
    let of = |vip, mss: [u8; 4]| segment(vip, SYN | ACK, &[&options(&mss)], &[], &[]);
    [VIP, VIP6].map(|vip| (what, of(vip, mss(from)), of(vip, mss(to))))
}

fn same(what: &'static str, packet: Vec<u8>) -> Row {
    (what, packet.clone(), packet)
}

fn rows() -> Vec<Row> {
    let large = mss(1460);
    let large = large.as_slice();
    let join = |parts: &[&[u8]]| parts.concat();
    let typical = |mss: &[u8]| join(&[mss, SACK, STAMPS, NOP, SCALE]);
    let odd = |options: &[&[u8]]| segment(VIP, SYN | ACK, options, &[], &[]);
    let changed_rows = [
        changed("as Linux sends it", typical, 1460, MOST),
        changed("of a jumbo frame", typical, 8960, MOST),
        changed("the largest there is", typical, 65535, MOST),
        changed("one too large", typical, MOST + 1, MOST),
        changed("what fits", typical, MOST, MOST),
        changed("smaller than what fits", typical, 536, 536),
        changed("alone", |mss| mss.to_vec(), 1460, MOST),
        changed("at an odd place", |mss| join(&[NOP, mss, NOP, NOP, NOP]), 1460, MOST),
        changed("behind others", |mss| join(&[STAMPS, SCALE, mss, NOP, NOP, NOP]), 1460, MOST),
        changed("the last of 40 bytes", |mss| join(&[&[1; 36], mss]), 1460, MOST),
        changed("twice", |mss| join(&[mss, NOP, NOP, mss, NOP, NOP]), 1460, MOST),
        changed(
            "with a signature of the header and data (RFC 2385)",
            |mss| join(&[mss, &[19, 18], &[7; 16], NOP, NOP]),
            1460,
            MOST,
        ),
    ];
    let mut rows: Vec<Row> = changed_rows.into_iter().flatten().collect();
    for vip in [VIP, VIP6] {
        let of = |flags, options: &[&[u8]], data: &[u8]| segment(vip, flags, options, data, &[]);
        let lowered = mss(MOST);
        rows.push(("of a connection of its own", of(SYN, &[large], &[]), of(SYN, &[&lowered], &[])));
        rows.push(("with data", of(SYN | ACK, &[large], b"early"), of(SYN | ACK, &[&lowered], b"early")));
        rows.extend([
            same("no options", of(SYN | ACK, &[], &[])),
            same("no MSS", of(SYN | ACK, &[SACK, NOP, NOP], &[])),
            same("no SYN", of(ACK, &[large], b"data")),
            same("no SYN, but FIN", of(FIN | ACK, &[large], &[])),
        ]);
    }
    let options = [1, 1, 1, 0];
    let mut udp = segment(VIP6, SYN, &[large], &[], &[]);
    udp[6] = 17;
    rows.extend([
        same("behind the end", odd(&[&[0], large, NOP, NOP, NOP])),
        same("behind an option of no length", odd(&[&[3, 0], large, NOP, NOP])),
        same("behind an option of length 1", odd(&[&[3, 1], large, NOP, NOP])),
        same("behind an option that is too long", odd(&[&[3, 100], large, NOP, NOP])),
        same("an MSS of 3 bytes", odd(&[&[2, 3, 255], NOP])),
        same("an MSS of 6 bytes", odd(&[&[2, 6, 255, 255, 255, 255], NOP, NOP])),
        same("an MSS that is cut off", odd(&[NOP, &[2, 4, 255]])),
        same("nothing of an MSS but its kind", odd(&[NOP, NOP, NOP, &[2]])),
        same("signed with its options (RFC 5925)", odd(&[large, &[29, 16, 0, 0], &[7; 12]])),
        same("no VIP", segment("10.77.0.1", SYN | ACK, &[large], &[], &[])),
        same("no VIP, IPv6", segment("fd00::1", SYN | ACK, &[large], &[], &[])),
        same("another protocol", udp),
        same("an extension header", segment(VIP6, SYN | ACK, &[large], &[], &[TCP, 0, 1, 4, 0, 0, 0, 0])),
        same("something behind the packet", [segment(VIP, SYN, &[large], &[], &[]), vec![0xee; 3]].concat()),
        (
            "options of IPv4",
            segment(VIP, SYN | ACK, &[large], &[], &options),
            segment(VIP, SYN | ACK, &[&mss(MOST)], &[], &options),
        ),
    ]);
    let change = |what, change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = segment(VIP, SYN | ACK, &[large], &[], &[]);
        change(&mut packet);
        seal(&mut packet);
        same(what, packet)
    };
    rows.extend([
        change("a later fragment", &|p| (p[6], p[7]) = (0, 8)),
        change("a TCP header longer than the packet", &|p| p[32] = 0xf0),
        change("a TCP header shorter than can be", &|p| p[32] = 0x40),
        change("a header that ends in TCP's", &|p| p[3] = 30),
        change("another protocol", &|p| p[9] = 17),
    ]);
    rows
}

fn clamped(wanted: Wanted, clamp: Clamp) -> Wanted {
    Wanted { clamp: Some(clamp), ..wanted }
}

fn clamping() -> Clamping {
    realserver::status().unwrap().clamping.expect("clamping")
}

/// Sends packets from the server's a0, and says what comes out of the cable for each, and whether it was counted.
#[test]
fn what_becomes_of_each_packet() {
    let net = Net::new();
    let mine = net.server.run(|| {
        realserver::up(&clamped(dr(&[VIP, VIP6], &[]), Clamp::To(MOST))).unwrap();
        Wire::open("a0")
    });
    let theirs = net.peer.run(|| Wire::open("b0"));
    for (what, sent, expected) in rows() {
        let before = net.server.run(clamping).clamped;
        mine.send(&frame(&sent));
        let ours = |f: &[u8]| {
            (f[..14] == frame(&sent)[..14] && f.len() == 14 + sent.len()).then(|| f[14..].to_vec())
        };
        let got = theirs.find(LIMIT, ours).unwrap_or_else(|| panic!("{what}: lost"));
        assert_eq!(got, expected, "{what}: {sent:02x?}");
        let counted = net.server.run(clamping).clamped - before;
        assert_eq!(counted, u64::from(sent != expected), "{what}: counted");
    }
}

/// As over a tunnel device or WireGuard.
#[test]
fn without_a_link_header() {
    let net = Net::new();
    let (mine, theirs) = net.server.run(|| {
        let theirs = Tun::open("t0");
        set_up("t0", true);
        realserver::up(&clamped(dr(&[VIP, VIP6], &["t0"]), Clamp::To(MOST))).unwrap();
        (Wire::open("t0"), theirs)
    });
    for vip in [VIP, VIP6] {
        let of = |bytes| segment(vip, SYN | ACK, &[&mss(bytes), SACK, NOP, NOP], &[], &[]);
        mine.send(&of(1460));
        let got = theirs.find(LIMIT, |p| (p.len() == of(0).len() && p[0] == of(0)[0]).then(|| p.to_vec()));
        assert_eq!(got, Some(of(MOST)), "{vip}");
    }
}

/// What is limited to how much, by VIP.
fn limits() -> Vec<(String, Option<u32>)> {
    clamping().limits.iter().map(|(vip, most)| (vip.to_string(), *most)).collect()
}

fn of(limits: &[(&str, u32)]) -> Vec<(String, Option<u32>)> {
    limits.iter().map(|(vip, most)| (vip.to_string(), Some(*most))).collect()
}

#[test]
fn up_down_and_status() {
    let net = Net::new();
    net.server.run(|| {
        let before = snapshot();
        // Not asked for: not there.
        realserver::up(&tun(&[VIP], &[])).unwrap();
        assert!(realserver::status().unwrap().clamping.is_none());
        assert!(!super::clamp_pins().exists());
        // Later, in addition.
        realserver::up(&clamped(tun(&[VIP], &[]), Clamp::Auto)).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1420)]));
        assert_eq!(realserver::up(&clamped(tun(&[VIP], &[]), Clamp::Auto)).unwrap().changes, 0);
        let Clamping { asked, devices, clamped: count, .. } = clamping();
        assert_eq!((asked.as_str(), count), ("auto", 0));
        let devices: Vec<_> = devices.iter().map(|d| (d.device.as_str(), d.in_place)).collect();
        assert_eq!(devices, [("a0", true), ("a1", true)]);
        // It holds for a VIP that comes later, too, and for another tunnel.
        realserver::up(&dr(&[OTHER_VIP, VIP6], &[])).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1420), (OTHER_VIP, 1420), (VIP6, 1400)]));
        realserver::up(&Wanted { tunnel: Some(Tunnel::Gue { port: 6080 }), ..tun(&[VIP], &[]) }).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1408), (OTHER_VIP, 1408), (VIP6, 1388)]));
        // The smallest MTU counts, and that of today.
        set_mtu("a1", 1300);
        let Status { missing, complete, .. } = realserver::status().unwrap();
        assert!(!complete && missing.iter().any(|m| m.contains("1408, wanted 1208")), "{missing:?}");
        realserver::up(&dr(&[VIP], &[])).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1208), (OTHER_VIP, 1208), (VIP6, 1188)]));
        realserver::up(&clamped(dr(&[VIP], &[]), Clamp::To(1000))).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1000), (OTHER_VIP, 1000), (VIP6, 1000)]));
        let Status { missing, complete, .. } = realserver::status().unwrap();
        assert!(complete, "{missing:?}");
        set_mtu("a1", 1500);
        realserver::down().unwrap();
        assert_nothing_left(&before);
    });
}

/// Without our decapsulation, on one interface alone; taken off by somebody, and put on again.
#[test]
fn alone_and_on_one_interface() {
    let net = Net::new();
    net.server.run(|| {
        let before = snapshot();
        set_mtu("a1", 1300);
        let wanted = clamped(dr(&[VIP], &["a0"]), Clamp::Auto);
        realserver::up(&wanted).unwrap();
        assert_eq!(limits(), of(&[(VIP, 1408)]), "a1 is none of its business; the tunnel may be any");
        assert_eq!(clamping().devices.len(), 1);
        assert!(!super::pins().exists(), "nobody asked for decapsulation");
        let pin = super::clamp_pins().join(format!("link-{}", super::net::index("a0")));
        if std::fs::remove_file(pin).is_err() {
            use aya::programs::{TcAttachType, tc};
            tc::qdisc_detach_program("a0", TcAttachType::Egress, "rlvs_clamp_mss").unwrap();
        }
        let names_a0 = || realserver::status().unwrap().missing.iter().any(|m| m.contains("not on a0"));
        (0..500).take_while(|_| !names_a0()).for_each(|_| std::thread::sleep(Duration::from_millis(20)));
        assert!(names_a0());
        realserver::up(&wanted).unwrap();
        assert!(realserver::status().unwrap().complete);
        realserver::down().unwrap();
        set_mtu("a1", 1500);
        assert_nothing_left(&before);
    });
}

#[test]
fn an_mtu_that_leaves_too_little_is_refused() {
    let net = Net::new();
    net.server.run(|| {
        set_mtu("a1", 470);
        let before = snapshot();
        let error = realserver::up(&clamped(tun(&[VIP], &[]), Clamp::Auto)).unwrap_err().to_string();
        assert!(error.contains("MTU of 470") && error.contains("--clamp-mss MSS"), "{error}");
        assert_nothing_left(&before);
        // One that is up stays as it was.
        realserver::up(&dr(&[OTHER_VIP], &[])).unwrap();
        let up = std::fs::read(super::journal()).unwrap();
        realserver::up(&clamped(tun(&[VIP], &[]), Clamp::Auto)).unwrap_err();
        assert_eq!(std::fs::read(super::journal()).unwrap(), up);
        assert!(!super::clamp_pins().exists() && !super::pins().exists());
        set_mtu("a1", 1500);
    });
}

/// The pins of a namespace that is no more go when another one loads the program. (Below tcx there are no links to tell by.)
#[test]
fn pins_of_dead_namespaces_are_swept() {
    let (pins, journal) = {
        let net = Net::new();
        let left = net.server.run(|| {
            realserver::up(&clamped(tun(&[VIP], &[]), Clamp::To(MOST))).unwrap();
            ([super::pins(), super::clamp_pins()], super::journal())
        });
        net.abandon();
        left
    };
    assert!(pins.iter().all(|p| p.exists()) && journal.exists());
    let tcx =
        pins[1].read_dir().unwrap().flatten().any(|f| f.file_name().to_string_lossy().starts_with("link-"));
    let net = Net::new();
    net.server.run(|| {
        // The kernel takes a namespace apart when it likes.
        for _ in 0..500 {
            realserver::up(&clamped(dr(&[VIP], &[]), Clamp::To(MOST))).unwrap();
            realserver::down().unwrap();
            if !journal.exists() || !tcx {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let left: Vec<_> = pins.iter().filter(|p| p.exists()).collect();
    if tcx {
        assert!(left.is_empty() && !journal.exists(), "{left:?} {journal:?}");
    } else {
        pins.iter().for_each(|p| std::fs::remove_dir_all(p).unwrap());
        std::fs::remove_file(journal).unwrap();
    }
    let _ = std::fs::remove_dir(pins[0].parent().unwrap());
}
