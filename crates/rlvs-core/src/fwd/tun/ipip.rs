//! IP-in-IP (RFC 2003): 20 bytes of outer IPv4 header, protocol 4.

use crate::wire::{Addr, Be32, Packet, ip_proto, ipv4};

/// The outer header, as Linux 6.1 IPVS makes it: type of service and (decremented) time to live are the inner ones.
#[inline(always)]
pub fn outer<A: Addr>(
    packet: &Packet<A>,
    src: Be32,
    dst: Be32,
    dont_fragment: bool,
    id: u16,
) -> ipv4::Header {
    ipv4::Header {
        tos: outer_tos(packet.tos),
        total_len: packet.total_len.wrapping_add(ipv4::MIN_LEN as u16),
        id,
        dont_fragment,
        ttl: packet.ttl.wrapping_sub(1),
        proto: ip_proto::IPIP,
        src,
        dst,
    }
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
