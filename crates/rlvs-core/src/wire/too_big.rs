//! "Too big" about a packet of a tunnel (RFC 1191; RFC 8201): a router on the way to a real server tells the director, which
//! made the outer header.

use super::{Addr, Be32, Frame, Packet, View, ip_proto, ipv4, ipv6};

const ICMP_LEN: usize = 8;
/// No path's MTU is believed to be smaller than these (Linux's `min_pmtu`; RFC 8200, section 5).
const LEAST: u32 = 552;
const LEAST6: u32 = 1280;

/// Whom the outer packet was for, and how many bytes the way there takes. `packet` is the ICMP packet.
#[inline(always)]
pub fn read_too_big<F: Frame, A: Addr>(frame: F, packet: &Packet<A>) -> Option<([Be32; 4], u32)> {
    let four = A::WORDS == 1;
    let (len, src_at, dst_at, proto_at, least) = if four {
        (ipv4::MIN_LEN, ipv4::SRC_AT, ipv4::DST_AT, ipv4::PROTO_AT, LEAST)
    } else {
        (ipv6::LEN, ipv6::SRC_AT, ipv6::DST_AT, ipv6::NEXT_HEADER_AT, LEAST6)
    };
    let message = frame.view(packet.l4_at as usize & 1023, ICMP_LEN + len)?;
    let (kind, code) = (message.u8(0), message.u8(1));
    if kind != if four { 3 } else { 2 } || four && code != 4 {
        return None;
    }
    let mtu = if four { message.be16(6).get() as u32 } else { message.be32(4).get() };
    let proto = message.u8(ICMP_LEN + proto_at);
    if !matches!(proto, ip_proto::IPIP | ip_proto::IPV6 | ip_proto::GRE | ip_proto::UDP) {
        return None;
    }
    let mut dst = [Be32(0); 4];
    let mut i = 0;
    while i < A::WORDS {
        // Only of what came from the address that is told.
        if message.be32(ICMP_LEN + src_at + i * 4) != packet.dst.word(i) {
            return None;
        }
        dst[i] = message.be32(ICMP_LEN + dst_at + i * 4);
        i += 1;
    }
    Some((dst, if mtu > least { mtu } else { least }))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::wire::read;
    use std::vec::Vec;

    /// An ICMP error of a router about a packet from 10.1.0.254 to 10.9.0.1.
    fn error(kind: u8, code: u8, mtu: u16, to: [u8; 4], proto: u8) -> Vec<u8> {
        let header = |proto: u8, src: [u8; 4], dst: [u8; 4], len: u8| {
            [&[0x45, 0, 0, len, 0, 0, 0, 0, 64, proto, 0, 0], &src[..], &dst[..]].concat()
        };
        let m = mtu.to_be_bytes();
        let mut f = std::vec![2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 8, 0];
        // (With options the header's checksum is not looked at.)
        let mut outer = header(1, [10, 5, 0, 1], to, 60);
        outer[0] = 0x46;
        f.extend(outer);
        f.extend([1, 1, 1, 1, kind, code, 0, 0, 0, 0, m[0], m[1]]);
        f.extend(header(proto, [10, 1, 0, 254], [10, 9, 0, 1], 200));
        f.extend([0; 8]);
        f
    }

    fn told(frame: &[u8]) -> Option<([u8; 4], u32)> {
        let mut packet = Packet::<Be32>::empty();
        let _ = read(frame, &mut packet);
        read_too_big(frame, &packet).map(|(dst, mtu)| (dst[0].bytes(), mtu))
    }

    #[test]
    fn of_a_tunnel_of_ours() {
        let ours = [10, 1, 0, 254];
        for proto in [4, 41, 47, 17] {
            assert_eq!(told(&error(3, 4, 1400, ours, proto)), Some(([10, 9, 0, 1], 1400)), "{proto}");
        }
        assert_eq!(told(&error(3, 4, 68, ours, 4)), Some(([10, 9, 0, 1], 552)), "not believed");
        assert_eq!(told(&error(3, 4, 1400, ours, 6)), None, "no tunnel");
        assert_eq!(told(&error(3, 4, 1400, [10, 1, 0, 253], 4)), None, "told to another than the sender");
        assert_eq!(told(&error(3, 3, 1400, ours, 4)), None, "another error");
        assert_eq!(told(&error(11, 4, 1400, ours, 4)), None, "another error");
        let whole = error(3, 4, 1400, ours, 4);
        assert_eq!(told(&whole[..14 + 24 + 8 + 19]), None, "cut off");
    }
}
