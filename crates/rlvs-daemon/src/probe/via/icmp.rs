//! ICMP errors about a probe (RFC 792, RFC 4443): who says them, and what that means for the server.

use super::encap::Encap;
use super::filter::{Flow, ICMP, ICMPV6};
use crate::machine::Way;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a router or the server says of our packet; nothing if it is of another packet, or no reason to give up.
pub fn said(packet: &[u8], flow: &Flow, encap: Option<&Encap>, way: &Way) -> Option<String> {
    let v4 = flow.from.is_ipv4();
    let (sender, icmp) = if v4 { split4(packet, ICMP)? } else { split6(packet, ICMPV6)? };
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    let quoted = icmp.get(8..)?;
    let about = Quoted::read(quoted)?;
    let inside = (about.src, about.dst) == (flow.from.ip(), flow.to.ip())
        && about.protocol == flow.protocol
        && about.ports() == Some((flow.from.port(), flow.to.port()));
    let outside = flow.outer == Some((about.src, about.dst))
        && encap.is_some_and(|encap| encap.protocol(v4) == about.protocol);
    if !inside && !outside {
        return None;
    }
    let words = match (v4, kind, code) {
        (true, 3, 4) => return None, // too big: another size will do
        (true, 11, 0) | (false, 3, 0) if inside => {
            return Some(format!(
                "{sender} hands it on instead of taking it: it does not have {} on lo",
                way.vip
            ));
        }
        (true, 11, _) | (false, 3, _) => "time exceeded".to_owned(),
        // No such protocol, or of GUE no such port.
        (true, 3, 2 | 3) | (false, 1, 4) | (false, 4, 1) if outside => {
            let Way { vip, forwarding, .. } = way;
            return Some(format!("{sender} does not take {forwarding} packets to {vip} out of their tunnel"));
        }
        (true, 3, 3) | (false, 1, 4) => "port unreachable".to_owned(),
        (true, 3, 0) | (false, 1, 0) => "network unreachable".to_owned(),
        (true, 3, 1) | (false, 1, 3) => "host unreachable".to_owned(),
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => "forbidden there".to_owned(),
        (true, 3, code) | (false, 1, code) => format!("unreachable (code {code})"),
        _ => return None,
    };
    Some(format!("{sender} says: {words}"))
}

/// Sender and payload of an IPv4 packet of this protocol.
fn split4(packet: &[u8], protocol: u8) -> Option<(IpAddr, &[u8])> {
    let header = packet.get(..20)?;
    let start = usize::from(header[0] & 15) * 4;
    let sender = Ipv4Addr::from(*header[12..].first_chunk::<4>()?);
    (header[0] >> 4 == 4 && header[9] == protocol).then_some(())?;
    Some((sender.into(), packet.get(start..)?))
}

fn split6(packet: &[u8], protocol: u8) -> Option<(IpAddr, &[u8])> {
    let header = packet.get(..40)?;
    let sender = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
    (header[0] >> 4 == 6 && header[6] == protocol).then_some(())?;
    Some((sender.into(), &packet[40..]))
}

/// The beginning of the packet that the error is about.
struct Quoted<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    rest: &'a [u8],
}

impl Quoted<'_> {
    fn read(bytes: &[u8]) -> Option<Quoted<'_>> {
        match bytes.first()? >> 4 {
            4 => {
                let (src, rest) = split4(bytes, *bytes.get(9)?)?;
                let dst = Ipv4Addr::from(*bytes[16..].first_chunk::<4>()?);
                Some(Quoted { src, dst: dst.into(), protocol: bytes[9], rest })
            }
            6 => {
                let (src, rest) = split6(bytes, *bytes.get(6)?)?;
                let dst = Ipv6Addr::from(*bytes[24..].first_chunk::<16>()?);
                Some(Quoted { src, dst: dst.into(), protocol: bytes[6], rest })
            }
            _ => None,
        }
    }

    fn ports(&self) -> Option<(u16, u16)> {
        let [a, b, c, d] = *self.rest.first_chunk::<4>()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::via::filter::{TCP, UDP};
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpAddress, IpProtocol, IpRepr};

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (IpAddress::from(addr(from)), IpAddress::from(addr(to)));
        let header = IpRepr::new(from, to, IpProtocol::from(protocol), payload.len(), 64);
        let mut bytes = vec![0; header.header_len()];
        header.emit(bytes.as_mut_slice(), &ChecksumCapabilities::default());
        bytes.extend(payload);
        bytes
    }

    fn world(method: &str, [from, vip, dip, rip]: [&str; 4]) -> (Flow, Option<Encap>, Way) {
        let forwarding: crate::config::model::Forwarding = method.parse().unwrap();
        let outer = (addr(dip), addr(rip));
        let encap = forwarding.is_tunnel().then(|| Encap::new(forwarding.tunnel, outer, 40_000));
        let flow = Flow {
            protocol: TCP,
            from: (addr(from), 40_000).into(),
            to: (addr(vip), 80).into(),
            outer: encap.as_ref().map(|_| outer),
        };
        (flow, encap, Way { vip: addr(vip), rip: addr(rip), forwarding })
    }

    const FOUR: [&str; 4] = ["10.1.0.1", "10.0.0.100", "10.1.0.1", "10.2.0.11"];
    const SIX: [&str; 4] = ["fd00:1::1", "fd00::64", "fd00:1::1", "fd00:2::b"];
    const PORTS: [u8; 8] = [0x9c, 0x40, 0, 80, 0, 0, 0, 0];

    /// What `rip` says about the packet inside, or about the one outside.
    fn says(method: &str, addrs: [&str; 4], (kind, code): (u8, u8), outside: bool) -> Option<String> {
        let (flow, encap, way) = world(method, addrs);
        let [from, vip, dip, rip] = addrs;
        let mut quoted = packet(from, vip, TCP, &PORTS);
        if outside {
            quoted = encap.as_ref().unwrap().wrap(&quoted);
        }
        let icmp = [&[kind, code, 0, 0, 0, 0, 0, 0], quoted.as_slice()].concat();
        let protocol = if from.contains(':') { ICMPV6 } else { ICMP };
        said(&packet(rip, dip, protocol, &icmp), &flow, encap.as_ref(), &way)
    }

    #[test]
    fn what_it_means() {
        let hands_on =
            |rip, vip| format!("{rip} hands it on instead of taking it: it does not have {vip} on lo");
        for (method, addrs, said, outside, meant) in [
            ("DR", FOUR, (11, 0), false, Some(hands_on("10.2.0.11", "10.0.0.100"))),
            ("DR", SIX, (3, 0), false, Some(hands_on("fd00:2::b", "fd00::64"))),
            ("DR", FOUR, (3, 3), false, Some("10.2.0.11 says: port unreachable".into())),
            ("DR", FOUR, (3, 13), false, Some("10.2.0.11 says: forbidden there".into())),
            ("DR", FOUR, (3, 4), false, None),
            ("DR", FOUR, (5, 1), false, None),
            ("DR", SIX, (2, 0), false, None),
            ("TUN", FOUR, (11, 0), true, Some("10.2.0.11 says: time exceeded".into())),
            ("TUN", FOUR, (3, 1), true, Some("10.2.0.11 says: host unreachable".into())),
        ] {
            assert_eq!(says(method, addrs, said, outside), meant, "{method} {addrs:?} {said:?}");
        }
        for (method, code) in [("TUN", 2), ("TUN type gre csum", 2), ("TUN type gue port 6080", 3)] {
            let meant = format!("10.2.0.11 does not take {method} packets to 10.0.0.100 out of their tunnel");
            assert_eq!(says(method, FOUR, (3, code), true), Some(meant));
        }
        assert!(says("TUN", SIX, (4, 1), true).unwrap().ends_with("out of their tunnel"));
    }

    #[test]
    fn about_something_else() {
        let (flow, encap, way) = world("TUN", FOUR);
        for quoted in [
            packet("10.1.0.1", "10.0.0.100", UDP, &PORTS),
            packet("10.1.0.1", "10.0.0.100", TCP, &[0x9c, 0x41, 0, 80, 0, 0, 0, 0]),
            packet("10.1.0.1", "10.0.0.101", TCP, &PORTS),
            packet("10.1.0.1", "10.2.0.11", 47, &PORTS),
            packet("10.1.0.1", "10.2.0.12", 4, &PORTS),
            vec![],
        ] {
            let icmp = [&[3, 3, 0, 0, 0, 0, 0, 0], quoted.as_slice()].concat();
            let error = packet("10.2.0.11", "10.1.0.1", ICMP, &icmp);
            assert_eq!(said(&error, &flow, encap.as_ref(), &way), None, "{quoted:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_packet(mut packet: Vec<u8>, inside: Vec<u8>, six: bool) {
            let (flow, encap, way) = world("TUN", if six { SIX } else { FOUR });
            if let Some(first) = packet.first_mut() {
                *first = if six { 0x60 } else { 0x45 };
            }
            let at = if six { 6 } else { 9 };
            if let Some(protocol) = packet.get_mut(at) {
                *protocol = if six { ICMPV6 } else { ICMP };
            }
            packet.extend(inside);
            said(&packet, &flow, encap.as_ref(), &way);
        }
    }
}
