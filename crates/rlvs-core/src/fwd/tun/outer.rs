//! The outer IP header, as Linux 6.1's IPVS makes it: type of service and (decremented) time to live are the inner ones.

use super::{Encap, ipip, kind};
use crate::maps::DestConfig;
use crate::wire::{Addr, Be32, Packet, ip_proto, ipv4, ipv6};

#[inline(always)]
fn proto<A: Addr>(dest: &DestConfig) -> u8 {
    match dest.tunnel_kind {
        kind::GUE => ip_proto::UDP,
        kind::GRE => ip_proto::GRE,
        _ => ipip::inner_proto::<A>(),
    }
}

/// To a server with an IPv4 address.
#[inline(always)]
pub fn header4<A: Addr>(packet: &Packet<A>, encap: &Encap, dest: &DestConfig) -> [Be32; 5] {
    ipv4::Header {
        tos: outer_tos(packet.tos),
        total_len: packet.total_len.wrapping_add(encap.overhead as u16),
        id: encap.id,
        dont_fragment: encap.dont_fragment,
        ttl: packet.ttl.wrapping_sub(1),
        proto: proto::<A>(dest),
        src: Be32(dest.tunnel_src[0].0),
        dst: Be32(dest.addr[0].0),
    }
    .words()
}

/// To a server with an IPv6 address.
#[inline(always)]
pub fn header6<A: Addr>(packet: &Packet<A>, encap: &Encap, dest: &DestConfig) -> [Be32; 10] {
    let payload_len = packet.total_len.wrapping_add(encap.overhead as u16).wrapping_sub(ipv6::LEN as u16);
    let ttl = packet.ttl.wrapping_sub(1);
    let [first, second] = ipv6::first_words(outer_tos(packet.tos), payload_len, proto::<A>(dest), ttl);
    let (s, d) = (&dest.tunnel_src, &dest.addr);
    [first, second, s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3]]
}

/// The inner type of service; "congestion experienced" does not go outside but becomes ECT(0) (RFC 3168, 9.1.1,
/// the full-functionality option).
#[inline(always)]
pub const fn outer_tos(inner: u8) -> u8 {
    if inner & 3 == 3 { inner & !1 } else { inner }
}

#[cfg(test)]
mod tests {
    #[test]
    fn congestion_experienced_stays_inside() {
        assert_eq!(super::outer_tos(0x03), 0x02);
        assert_eq!(super::outer_tos(0x11), 0x11);
        assert_eq!(super::outer_tos(0x10), 0x10);
    }
}
