//! The program, run by an interpreter of the few instructions it has.

use super::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr};

/// How much of a packet is taken (the kernel's rule: a load behind the end takes nothing).
fn run(code: &[Instruction], packet: &[u8]) -> u32 {
    let load = |at: usize, length: usize| -> Option<u32> {
        Some(packet.get(at..at + length)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut next) = (0, 0, 0);
    loop {
        let (op, jt, jf, k) = code[next];
        next += 1;
        let at = k as usize;
        let loaded = match op {
            op::LD_BYTE => load(at, 1),
            op::LD_HALF => load(at, 2),
            op::LD_WORD => load(at, 4),
            op::LD_HALF_X => load(at + x, 2),
            op::LD_WORD_X => load(at + x, 4),
            op::LDX_HEADER => {
                let Some(byte) = load(at, 1) else { return 0 };
                x = 4 * (byte as usize & 15);
                continue;
            }
            op::JUMP_IF_EQUAL => {
                next += usize::from(if a == k { jt } else { jf });
                continue;
            }
            op::JUMP_IF_BITS => {
                next += usize::from(if a & k != 0 { jt } else { jf });
                continue;
            }
            op::RETURN => return k,
            other => panic!("{other:#x}"),
        };
        let Some(value) = loaded else { return 0 };
        a = value;
    }
}

fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let addr = |text: &str| IpAddress::from(text.parse::<IpAddr>().unwrap());
    let header = IpRepr::new(addr(from), addr(to), IpProtocol::from(protocol), payload.len(), 64);
    let mut bytes = vec![0; header.header_len()];
    header.emit(bytes.as_mut_slice(), &ChecksumCapabilities::default());
    bytes.extend(payload);
    bytes
}

fn ports(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes(), [0; 2], [0; 2]].concat()
}

/// An error about a packet.
fn about(packet: &[u8]) -> Vec<u8> {
    [&[3, 3, 0, 0, 0, 0, 0, 0], packet].concat()
}

fn flow(protocol: u8, from: &str, to: &str, outer: Option<(&str, &str)>) -> Flow {
    let outer = outer.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
    Flow { protocol, from: from.parse().unwrap(), to: to.parse().unwrap(), outer }
}

#[test]
fn ipv4() {
    let code = code(&flow(TCP, "10.1.0.1:40000", "10.0.0.100:80", Some(("10.1.0.1", "10.2.0.11"))));
    let takes = |packet: &[u8]| run(&code, packet) != 0;
    let (vip, dip, rip) = ("10.0.0.100", "10.1.0.1", "10.2.0.11");
    let answer = packet(vip, dip, TCP, &ports(80, 40000));
    assert!(takes(&answer));
    let with_options = [&[0x46], &answer[1..20], &[1, 1, 1, 0], &answer[20..]].concat();
    assert!(takes(&with_options), "the ports stand behind the options");
    let mut fragment = answer.clone();
    fragment[7] = 9;
    for (packet, what) in [
        (fragment, "a later fragment"),
        (packet(vip, dip, TCP, &ports(80, 40001)), "another port of ours"),
        (packet(vip, dip, TCP, &ports(81, 40000)), "another port of theirs"),
        (packet(vip, dip, UDP, &ports(80, 40000)), "another protocol"),
        (packet("10.0.0.101", dip, TCP, &ports(80, 40000)), "from another"),
        (packet(vip, "10.1.0.2", TCP, &ports(80, 40000)), "to another"),
        (packet(dip, vip, TCP, &ports(40000, 80)), "our own"),
        (packet(rip, dip, ICMP, &[0; 40]), "an answer to a ping"),
        (packet(rip, dip, ICMP, &about(&packet(vip, dip, TCP, &ports(80, 40000)))), "an error about theirs"),
        (answer[..21].to_vec(), "cut off"),
        (vec![], "nothing"),
    ] {
        assert!(!takes(&packet), "{what}");
    }
    let inner = packet(dip, vip, TCP, &ports(40000, 80));
    assert!(takes(&packet(rip, dip, ICMP, &about(&inner))));
    assert!(takes(&packet("10.9.9.9", dip, ICMP, &about(&packet(dip, rip, 4, &inner)))));
    assert!(!takes(&packet(rip, "10.1.0.2", ICMP, &about(&inner))), "to another");
}

#[test]
fn ipv6() {
    let (dip, vip) = ("fd00:1::1", "fd00::64");
    let code = code(&flow(UDP, "[fd00:1::1]:40000", "[fd00::64]:53", None));
    let takes = |packet: &[u8]| run(&code, packet) != 0;
    assert!(takes(&packet(vip, dip, UDP, &ports(53, 40000))));
    assert!(!takes(&packet(vip, "fd00:1::2", UDP, &ports(53, 40000))));
    assert!(!takes(&packet("fd00:9::64", dip, UDP, &ports(53, 40000))));
    assert!(!takes(&packet(vip, dip, TCP, &ports(53, 40000))));
    assert!(!takes(&packet(vip, dip, UDP, &ports(53, 40001))));
    let inner = packet(dip, vip, UDP, &ports(40000, 53));
    assert!(takes(&packet("fd00::9", dip, ICMPV6, &about(&inner))));
    assert!(!takes(&packet("fd00::9", dip, ICMPV6, &about(&packet(dip, "fd00::65", UDP, &[])))));
}

/// The kernel takes the program, too.
#[test]
fn it_can_be_attached() {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    for flow in [
        flow(TCP, "10.1.0.1:40000", "10.0.0.100:80", Some(("10.1.0.1", "10.2.0.11"))),
        flow(UDP, "[fd00:1::1]:40000", "[fd00::64]:53", Some(("fd00:1::1", "fd00::2"))),
    ] {
        socket.attach_filter(&program(&flow)).unwrap();
    }
}
