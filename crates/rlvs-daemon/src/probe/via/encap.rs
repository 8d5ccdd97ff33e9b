//! The outer headers of a tunnel (TUN), as the director writes them for clients' packets: IP-in-IP (RFC 2003, RFC 2473),
//! GRE (RFC 2784), or GUE over UDP (draft-ietf-intarea-gue, variant 0).

use super::filter::UDP;
use super::sums;
use rlvs_control::model::{Tunnel, TunnelChecksum, TunnelKind};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, UdpPacket};
use std::net::IpAddr;

const IPIP: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const HOP_LIMIT: u8 = 64;
const UDP_HEADER: usize = 8;
const GUE_HEADER: usize = 4;

#[derive(Clone, Copy, Debug)]
pub struct Encap {
    tunnel: Tunnel,
    from: IpAddr,
    to: IpAddr,
    /// Of GUE.
    port: u16,
}

impl Encap {
    pub fn new(tunnel: Tunnel, (from, to): (IpAddr, IpAddr), port: u16) -> Encap {
        Encap { tunnel, from, to, port }
    }

    /// The protocol of the outer header, around packets of IPv4 or IPv6.
    pub fn protocol(&self, v4_inside: bool) -> u8 {
        match self.tunnel.kind {
            TunnelKind::Ipip => inner(v4_inside),
            TunnelKind::Gre => GRE,
            TunnelKind::Gue => UDP,
        }
    }

    /// Bytes of all headers together.
    pub fn overhead(&self, v4_inside: bool) -> u32 {
        self.wrap(&[if v4_inside { 0x45 } else { 0x60 }]).len() as u32 - 1
    }

    pub fn wrap(&self, packet: &[u8]) -> Vec<u8> {
        let v4_inside = packet.first().is_some_and(|byte| byte >> 4 == 4);
        let payload = match self.tunnel.kind {
            TunnelKind::Ipip => packet.to_vec(),
            TunnelKind::Gre => gre(packet, v4_inside, self.is_summed()),
            TunnelKind::Gue => self.gue(packet, v4_inside),
        };
        let protocol = IpProtocol::from(self.protocol(v4_inside));
        let (from, to) = (IpAddress::from(self.from), IpAddress::from(self.to));
        let header = IpRepr::new(from, to, protocol, payload.len(), HOP_LIMIT);
        let mut whole = vec![0; header.header_len()];
        header.emit(whole.as_mut_slice(), &ChecksumCapabilities::default());
        whole.extend(payload);
        whole
    }

    fn is_summed(&self) -> bool {
        self.tunnel.checksum != TunnelChecksum::None
    }

    fn gue(&self, packet: &[u8], v4_inside: bool) -> Vec<u8> {
        let mut bytes = vec![0; UDP_HEADER];
        bytes.extend([0, inner(v4_inside), 0, 0]);
        bytes.extend(packet);
        let length = bytes.len() as u16; // no link takes packets of 64 KiB
        let mut udp = UdpPacket::new_unchecked(&mut bytes);
        udp.set_src_port(self.port);
        udp.set_dst_port(self.tunnel.port);
        udp.set_len(length);
        // Over IPv6, UDP has always one (RFC 8200, 8.1), unless the tunnel is told to have none.
        if self.is_summed() {
            udp.fill_checksum(&self.from.into(), &self.to.into());
        }
        debug_assert_eq!(UDP_HEADER + GUE_HEADER + packet.len(), bytes.len());
        bytes
    }
}

fn inner(v4: bool) -> u8 {
    if v4 { IPIP } else { IPV6 }
}

fn gre(packet: &[u8], v4_inside: bool, summed: bool) -> Vec<u8> {
    let ethertype: u16 = if v4_inside { 0x0800 } else { 0x86dd };
    let mut bytes = vec![if summed { 0x80 } else { 0 }, 0];
    bytes.extend(ethertype.to_be_bytes());
    if !summed {
        bytes.extend(packet);
        return bytes;
    }
    bytes.extend([0; 4]);
    bytes.extend(packet);
    let check = !sums::sum(&bytes);
    bytes[4..6].copy_from_slice(&check.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::Ipv4Packet;

    const FROM: [u8; 4] = [10, 1, 0, 1];
    const TO: [u8; 4] = [10, 2, 0, 11];

    fn encap(kind: TunnelKind, checksum: TunnelChecksum) -> Encap {
        let port = if kind == TunnelKind::Gue { 6080 } else { 0 };
        Encap::new(Tunnel { kind, port, checksum }, (FROM.into(), TO.into()), 40_000)
    }

    #[test]
    fn every_kind_is_around_the_packet() {
        let packet: Vec<u8> = [0x45].into_iter().chain(1..40).collect();
        for (kind, checksum, protocol, overhead) in [
            (TunnelKind::Ipip, TunnelChecksum::None, 4, 20),
            (TunnelKind::Gre, TunnelChecksum::None, 47, 24),
            (TunnelKind::Gre, TunnelChecksum::Full, 47, 28),
            (TunnelKind::Gue, TunnelChecksum::None, 17, 32),
            (TunnelKind::Gue, TunnelChecksum::Full, 17, 32),
        ] {
            let encap = encap(kind, checksum);
            let whole = encap.wrap(&packet);
            let outer = Ipv4Packet::new_checked(&whole).unwrap();
            assert!(outer.verify_checksum() && outer.dont_frag());
            assert_eq!((outer.src_addr().octets(), outer.dst_addr().octets()), (FROM, TO));
            assert_eq!((u8::from(outer.next_header()), outer.hop_limit()), (protocol, 64));
            assert_eq!((encap.overhead(true), whole.len()), (overhead, packet.len() + overhead as usize));
            assert_eq!(&whole[overhead as usize..], packet);
            match (kind, checksum) {
                // With its own checksum in it, GRE and what is inside sum up to nothing.
                (TunnelKind::Gre, TunnelChecksum::Full) => assert_eq!(sums::sum(&whole[20..]), 0xffff),
                (TunnelKind::Gre, _) => assert_eq!(&whole[20..24], [0, 0, 8, 0]),
                (TunnelKind::Gue, sum) => {
                    let udp = UdpPacket::new_checked(&whole[20..]).unwrap();
                    assert_eq!((udp.src_port(), udp.dst_port()), (40_000, 6080));
                    assert_eq!(udp.checksum() != 0, sum == TunnelChecksum::Full);
                    assert!(udp.verify_checksum(&IpAddr::from(FROM).into(), &IpAddr::from(TO).into()));
                    assert_eq!(&whole[28..32], [0, 4, 0, 0]);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn from_one_family_to_the_other() {
        let packet = [0x60, 0, 0, 0];
        let whole = encap(TunnelKind::Ipip, TunnelChecksum::None).wrap(&packet);
        assert_eq!((whole.len(), whole[9]), (24, 41));
        let to: IpAddr = "2001:db8::1".parse().unwrap();
        let six = Encap::new(Tunnel::default(), ("2001:db8::2".parse().unwrap(), to), 1);
        let whole = six.wrap(&[0x45, 0]);
        assert_eq!((whole.len(), whole[6], whole[7]), (42, 4, 64));
    }
}
