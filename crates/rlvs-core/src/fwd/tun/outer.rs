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
        id: encap.id as u16,
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

/// Makes the header one of a packet that is cut up, and returns the fragment header that goes behind it (RFC 8200, section
/// 4.5); offset and whether more follow is each piece's own.
#[inline(always)]
pub fn cut6(header: &mut [Be32; 10], id: u32) -> [Be32; 2] {
    let word = header[1].get();
    let len = (word >> 16) as u16;
    let longer = len.wrapping_add(ipv6::FRAGMENT_LEN as u16) as u32;
    header[1] = Be32::new(longer << 16 | (ipv6::FRAGMENT as u32) << 8 | word & 0xff);
    [Be32::new((word >> 8 & 0xff) << 24), Be32(id)]
}

/// The inner type of service; "congestion experienced" does not go outside but becomes ECT(0) (RFC 3168, 9.1.1,
/// the full-functionality option).
#[inline(always)]
pub const fn outer_tos(inner: u8) -> u8 {
    if inner & 3 == 3 { inner & !1 } else { inner }
}

#[cfg(test)]
mod tests {
    use super::{Be32, cut6, ip_proto, ipv6};

    #[test]
    fn the_fragment_header_comes_between() {
        let [first, second] = ipv6::first_words(0, 1460, ip_proto::GRE, 63);
        let mut header = [Be32(0); 10];
        header[..2].copy_from_slice(&[first, second]);
        let behind = cut6(&mut header, 7);
        assert_eq!(header[..2], ipv6::first_words(0, 1468, ipv6::FRAGMENT, 63));
        assert_eq!(behind, [Be32::new((ip_proto::GRE as u32) << 24), Be32(7)]);
    }

    #[test]
    fn congestion_experienced_stays_inside() {
        assert_eq!(super::outer_tos(0x03), 0x02);
        assert_eq!(super::outer_tos(0x11), 0x11);
        assert_eq!(super::outer_tos(0x10), 0x10);
    }
}
