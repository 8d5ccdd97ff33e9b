//! ICMP errors about a packet: what of it they quote (RFC 792; RFC 4443, section 3).

use super::be::{Be16, Be32};
use super::{Addr, Frame, Packet, Skip, View, ip_proto, ipv4, ipv6};

/// Bytes of an ICMP header; the quote comes after it.
const ICMP_LEN: usize = 8;
/// Types of ICMP that tell of an error: destination unreachable, source quench, time exceeded.
const ERRORS: [u8; 3] = [3, 4, 11];
/// ICMPv6's types below this are errors.
const INFORMATIONAL: u8 = 128;

/// The packet that an error is about, as it is quoted. Offsets count from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote<A> {
    pub src: A,
    pub dst: A,
    pub sport: Be16,
    pub dport: Be16,
    pub proto: u8,
    /// Where the quoted IP header starts and the quoted transport header starts.
    pub ip_at: u16,
    pub l4_at: u16,
    /// The quoted IPv4 header's checksum; IPv6 has none.
    pub ip_check: Be16,
    /// The ICMP header's.
    pub icmp_check: Be16,
}

impl<A: Addr> Quote<A> {
    /// Nothing yet: to be read into.
    #[inline(always)]
    pub fn empty() -> Quote<A> {
        let none = A::from_words(|_| Be32(0));
        Quote {
            src: none,
            dst: none,
            sport: Be16(0),
            dport: Be16(0),
            proto: 0,
            ip_at: 0,
            l4_at: 0,
            ip_check: Be16(0),
            icmp_check: Be16(0),
        }
    }

    /// Where in the frame the quoted source address is, and the quoted destination address.
    #[inline(always)]
    pub fn addresses_at(&self) -> (u16, u16) {
        let (src, dst) =
            if A::WORDS == 1 { (ipv4::SRC_AT, ipv4::DST_AT) } else { (ipv6::SRC_AT, ipv6::DST_AT) };
        (self.ip_at.wrapping_add(src as u16), self.ip_at.wrapping_add(dst as u16))
    }
}

/// Reads the quote of an ICMP packet (one that [`read`](super::read) skipped as such).
#[inline(always)]
pub fn read_quote<F: Frame>(frame: F, packet: &Packet<Be32>, quote: &mut Quote<Be32>) -> Result<(), Skip> {
    let icmp_at = packet.l4_at as usize & 127;
    let ip_at = icmp_at + ICMP_LEN;
    let head = frame.view(icmp_at, ICMP_LEN + ipv4::MIN_LEN).ok_or(Skip::Malformed)?;
    let kind = head.u8(0);
    if kind != ERRORS[0] && kind != ERRORS[1] && kind != ERRORS[2] {
        return Err(Skip::OtherProtocol);
    }
    let first = head.u8(ICMP_LEN);
    let header_len = (first & 15) as usize * 4;
    if first >> 4 != 4 || header_len < ipv4::MIN_LEN {
        return Err(Skip::OtherProtocol);
    }
    if head.be16(ICMP_LEN + ipv4::FRAG_AT).get() & ipv4::OFFSET_MASK != 0 {
        return Err(Skip::Fragment); // no ports
    }
    *quote = Quote {
        src: head.be32(ICMP_LEN + ipv4::SRC_AT),
        dst: head.be32(ICMP_LEN + ipv4::DST_AT),
        sport: Be16(0),
        dport: Be16(0),
        proto: head.u8(ICMP_LEN + ipv4::PROTO_AT),
        ip_at: ip_at as u16,
        l4_at: (ip_at + header_len) as u16,
        ip_check: head.be16(ICMP_LEN + ipv4::CHECK_AT),
        icmp_check: head.be16(2),
    };
    read_ports(frame, packet, quote)
}

/// The same of IPv6.
#[inline(always)]
pub fn read_quote6<F: Frame>(
    frame: F,
    packet: &Packet<[Be32; 4]>,
    quote: &mut Quote<[Be32; 4]>,
) -> Result<(), Skip> {
    let icmp_at = packet.l4_at as usize & 1023; // it may come after extension headers
    let ip_at = icmp_at + ICMP_LEN;
    let head = frame.view(icmp_at, ICMP_LEN + ipv6::LEN).ok_or(Skip::Malformed)?;
    if head.u8(0) >= INFORMATIONAL || head.u8(ICMP_LEN) >> 4 != 6 {
        return Err(Skip::OtherProtocol);
    }
    let addr = |at: usize| [0, 4, 8, 12].map(|i| head.be32(ICMP_LEN + at + i));
    *quote = Quote {
        src: addr(ipv6::SRC_AT),
        dst: addr(ipv6::DST_AT),
        sport: Be16(0),
        dport: Be16(0),
        proto: head.u8(ICMP_LEN + ipv6::NEXT_HEADER_AT),
        ip_at: ip_at as u16,
        l4_at: (ip_at + ipv6::LEN) as u16,
        ip_check: Be16(0),
        icmp_check: head.be16(2),
    };
    read_ports(frame, packet, quote)
}

#[inline(always)]
fn read_ports<F: Frame, A: Addr>(frame: F, packet: &Packet<A>, quote: &mut Quote<A>) -> Result<(), Skip> {
    if quote.proto != ip_proto::TCP && quote.proto != ip_proto::UDP && quote.proto != ip_proto::SCTP {
        return Err(Skip::OtherProtocol);
    }
    // Eight bytes are always quoted (RFC 792), and belong to the packet, not to a link's padding.
    let end = quote.l4_at.wrapping_add(8).wrapping_sub(packet.ip_at);
    if end > packet.total_len {
        return Err(Skip::Malformed);
    }
    let ports = frame.view(quote.l4_at as usize & 1023, 8).ok_or(Skip::Malformed)?;
    (quote.sport, quote.dport) = (ports.be16(0), ports.be16(2));
    Ok(())
}
