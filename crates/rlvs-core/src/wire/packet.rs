//! From a frame to a [`Packet`]: the fields that the story needs.

use super::be::{Be16, Be32};
use super::checksum::{add, fold};
use super::eth::{self, EtherType};
use super::extension::is_extension;
use super::{Addr, Frame, View, ip_proto, ipv4, ipv6};
use crate::proto::sctp;

/// Is a packet a fragment, and which?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Part {
    /// It is none.
    Whole,
    /// The first, with the transport header.
    First,
    /// Another one: it has no ports, and nothing of it but addresses is changed.
    Later,
}

/// What the story knows of a packet. Offsets count from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<A> {
    pub src: A,
    pub dst: A,
    pub sport: Be16,
    pub dport: Be16,
    pub proto: u8,
    /// 0 where the protocol is not TCP.
    pub tcp_flags: u8,
    /// SCTP: the type of the first chunk, or of the second where that decides (see `proto::sctp`). Of what
    /// [follows its keys](Packet::follow_keys) the protocol on the wire.
    pub chunk: u8,
    /// IPv6: the traffic class, and the hop limit.
    pub tos: u8,
    pub ttl: u8,
    pub dont_fragment: bool,
    /// Where the IP header starts and the transport header starts.
    pub ip_at: u16,
    pub l4_at: u16,
    /// Bytes of the whole IP packet, from its header.
    pub total_len: u16,
    /// The same, as it will be on the link: 0 for a packet that the kernel cuts into fitting pieces later (GSO).
    pub segment_len: u16,
    /// IPv6 has none: 0.
    pub ip_check: Be16,
    pub l4_check: Be16,
    /// The firewall mark, 0 for none; not of the wire.
    pub mark: u32,
    /// What the call of a SIP message is known by (see `proto::sip`), 0 for none; not of the wire, and only where a
    /// service asks for it.
    pub call: u64,
    /// Of a fragment the number of its datagram, as on the wire; else 0.
    pub id: u32,
    pub part: Part,
    /// Is XDP looking at it? Then the next layer can finish what it cannot.
    pub from_driver: bool,
}

impl<A> Packet<A> {
    /// Bytes from the transport header to the end of the packet.
    #[inline(always)]
    pub fn l4_len(&self) -> u16 {
        self.total_len.wrapping_sub(self.l4_at.wrapping_sub(self.ip_at))
    }

    /// A packet of AH or ESP has no ports: it goes with the connection in which its keys were agreed (ISAKMP, RFC 2408,
    /// section 2.5.1: UDP with port 500 on both sides), and like a later fragment gets no more than another address.
    #[inline(always)]
    pub fn follow_keys(&mut self) {
        self.chunk = self.proto;
        self.proto = ip_proto::UDP;
        (self.sport, self.dport) = (Be16::new(ISAKMP), Be16::new(ISAKMP));
        self.part = Part::Later;
    }

    /// The protocol that the IP header names.
    #[inline(always)]
    pub fn wire_proto(&self) -> u8 {
        if self.proto == ip_proto::UDP && self.chunk != 0 { self.chunk } else { self.proto }
    }
}

const ISAKMP: u16 = 500;

impl<A: Addr> Packet<A> {
    /// Nothing yet: to be read into.
    #[inline(always)]
    pub fn empty() -> Packet<A> {
        let none = A::from_words(|_| Be32(0));
        Packet {
            src: none,
            dst: none,
            sport: Be16(0),
            dport: Be16(0),
            proto: 0,
            tcp_flags: 0,
            chunk: 0,
            tos: 0,
            ttl: 0,
            dont_fragment: false,
            ip_at: 0,
            l4_at: 0,
            total_len: 0,
            segment_len: 0,
            ip_check: Be16(0),
            l4_check: Be16(0),
            mark: 0,
            call: 0,
            id: 0,
            part: Part::Whole,
            from_driver: false,
        }
    }

    /// Does the checksum field hold the bare sum of the pseudo header? Then hardware was to complete it
    /// (CHECKSUM_PARTIAL), and whoever changes the packet without knowing that breaks it. One whole checksum in
    /// 65,536 looks the same; treating it likewise costs only time.
    #[inline(always)]
    pub fn checksum_looks_partial(&self) -> bool {
        fold(super::checksum::pseudo(self.src, self.dst, self.proto, self.l4_len())) == self.l4_check.0
    }
}

/// Why a frame is none of the story's business.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skip {
    /// Not of this family, or to a group address of the link.
    OtherLink,
    /// Shorter than its headers say, or a header checksum that is wrong: the stack counts and drops it.
    Malformed,
    /// SCTP, of whose chunks nothing is in the frame; the ports are read. Linux has what it will send in several packets so, each
    /// with its chunks in a buffer of its own; they carry data.
    Covered,
    /// A fragment; the packet is read, up to the end of the IP header.
    Fragment,
    /// An ICMP message; the packet is read, up to the ICMP header.
    Icmp,
    /// An IPv6 packet with an extension header; it is read, up to there.
    Extension,
    /// AH or ESP; the packet is read, up to that header.
    Secured,
    /// None of these, TCP, UDP and SCTP.
    OtherProtocol,
}

/// Reads an Ethernet frame with an IPv4 packet.
#[inline(always)]
pub fn parse<F: Frame>(frame: F) -> Result<Packet<Be32>, Skip> {
    let mut packet = Packet::empty();
    read(frame, &mut packet)?;
    Ok(packet)
}

/// The same into a packet that is there already: for where nothing may be copied. After an error it holds nothing of use.
#[inline(always)]
pub fn read<F: Frame>(frame: F, packet: &mut Packet<Be32>) -> Result<(), Skip> {
    let head = frame.view(0, eth::HEADER_LEN + ipv4::MIN_LEN).ok_or(Skip::Malformed)?;
    if EtherType(head.be16(eth::TYPE_AT)) != EtherType::IPV4 || head.u8(eth::DST_AT) & eth::GROUP_BIT != 0 {
        return Err(Skip::OtherLink);
    }
    const IP: usize = eth::HEADER_LEN;
    let first = head.u8(IP);
    if first >> 4 != 4 {
        return Err(Skip::Malformed);
    }
    let header_len = (first & 15) as usize * 4;
    let total_len = head.be16(IP + ipv4::TOTAL_LEN_AT).get();
    if header_len < ipv4::MIN_LEN || (total_len as usize) < header_len {
        return Err(Skip::Malformed);
    }
    let frag = head.be16(IP + ipv4::FRAG_AT).get();
    if !header_sum_is_right(head, header_len) {
        return Err(Skip::Malformed);
    }
    *packet = Packet {
        src: head.be32(IP + ipv4::SRC_AT),
        dst: head.be32(IP + ipv4::DST_AT),
        sport: Be16(0),
        dport: Be16(0),
        proto: head.u8(IP + ipv4::PROTO_AT),
        tcp_flags: 0,
        chunk: 0,
        tos: head.u8(IP + ipv4::TOS_AT),
        ttl: head.u8(IP + ipv4::TTL_AT),
        dont_fragment: frag & ipv4::DONT_FRAGMENT != 0,
        ip_at: IP as u16,
        l4_at: (IP + header_len) as u16,
        total_len,
        segment_len: total_len,
        ip_check: head.be16(IP + ipv4::CHECK_AT),
        l4_check: Be16(0),
        mark: 0,
        call: 0,
        id: 0,
        part: Part::Whole,
        from_driver: false,
    };
    if frag & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK) != 0 {
        return Err(Skip::Fragment);
    }
    read_ports(frame, IP + header_len, packet)
}

/// Goes on where [`read`] found a fragment.
#[inline(always)]
pub fn read_fragment<F: Frame>(frame: F, packet: &mut Packet<Be32>) -> Result<(), Skip> {
    let head = frame.view(eth::HEADER_LEN, ipv4::MIN_LEN).ok_or(Skip::Malformed)?;
    packet.id = head.be16(ipv4::ID_AT).0 as u32;
    let frag = head.be16(ipv4::FRAG_AT).get();
    read_part(frame, frag & ipv4::OFFSET_MASK, frag & ipv4::MORE_FRAGMENTS != 0, packet)
}

/// The same for [`read6`]: the fragment header (RFC 8200, section 4.5).
#[inline(always)]
pub fn read_fragment6<F: Frame>(frame: F, packet: &mut Packet<[Be32; 4]>) -> Result<(), Skip> {
    // It may have been read up to its end already.
    let behind = if packet.proto == ipv6::FRAGMENT { 0 } else { ipv6::FRAGMENT_LEN as u16 };
    let at = packet.l4_at.wrapping_sub(behind) as usize & L4_MASK;
    let header = frame.view(at, ipv6::FRAGMENT_LEN).ok_or(Skip::Malformed)?;
    packet.proto = header.u8(0);
    packet.l4_at = (at + ipv6::FRAGMENT_LEN) as u16;
    packet.id = header.be32(4).0;
    let frag = header.be16(2).get();
    if (packet.total_len as usize) < at + ipv6::FRAGMENT_LEN - eth::HEADER_LEN {
        return Err(Skip::Malformed);
    }
    read_part(frame, frag >> 3, frag & 1 != 0, packet)
}

/// Where a transport header can start, behind extension headers, too; for the verifier to see that it is not far.
const L4_MASK: usize = 1023;

/// `offset` in units of 8 bytes.
#[inline(always)]
fn read_part<F: Frame, A: Addr>(
    frame: F,
    offset: u16,
    more: bool,
    packet: &mut Packet<A>,
) -> Result<(), Skip> {
    if offset == 0 {
        // One that is alone is whole (RFC 6946).
        packet.part = if more { Part::First } else { Part::Whole };
        return read_ports(frame, packet.l4_at as usize & L4_MASK, packet);
    }
    packet.part = Part::Later;
    // No later fragment may overwrite flags and ports (RFC 3128); none but the last has an odd length.
    let is_short = packet.l4_len() == 0 || more && packet.l4_len() & 7 != 0;
    match packet.proto {
        ip_proto::TCP if offset == 1 => Err(Skip::Malformed),
        ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP if is_short => Err(Skip::Malformed),
        ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP => Ok(()),
        _ => Err(Skip::OtherProtocol),
    }
}

/// Reads an Ethernet frame with an IPv6 packet. Nobody but its sender may cut it up (RFC 8200, section 5), so it counts
/// as not to be fragmented.
#[inline(always)]
pub fn parse6<F: Frame>(frame: F) -> Result<Packet<[Be32; 4]>, Skip> {
    let mut packet = Packet::empty();
    read6(frame, &mut packet)?;
    Ok(packet)
}

/// The same into a packet that is there already.
#[inline(always)]
pub fn read6<F: Frame>(frame: F, packet: &mut Packet<[Be32; 4]>) -> Result<(), Skip> {
    let head = frame.view(0, eth::HEADER_LEN + ipv6::LEN).ok_or(Skip::Malformed)?;
    if EtherType(head.be16(eth::TYPE_AT)) != EtherType::IPV6 || head.u8(eth::DST_AT) & eth::GROUP_BIT != 0 {
        return Err(Skip::OtherLink);
    }
    const IP: usize = eth::HEADER_LEN;
    let first = head.be32(IP);
    let payload_len = head.be16(IP + ipv6::PAYLOAD_LEN_AT).get();
    if first.get() >> 28 != 6 || payload_len > u16::MAX - ipv6::LEN as u16 {
        return Err(Skip::Malformed);
    }
    let addr = |at: usize| [0, 4, 8, 12].map(|i| head.be32(IP + at + i));
    let total_len = payload_len + ipv6::LEN as u16;
    *packet = Packet {
        src: addr(ipv6::SRC_AT),
        dst: addr(ipv6::DST_AT),
        sport: Be16(0),
        dport: Be16(0),
        proto: head.u8(IP + ipv6::NEXT_HEADER_AT),
        tcp_flags: 0,
        chunk: 0,
        tos: ipv6::traffic_class(first),
        ttl: head.u8(IP + ipv6::HOP_LIMIT_AT),
        dont_fragment: true,
        ip_at: IP as u16,
        l4_at: (IP + ipv6::LEN) as u16,
        total_len,
        segment_len: total_len,
        ip_check: Be16(0),
        l4_check: Be16(0),
        mark: 0,
        call: 0,
        id: 0,
        part: Part::Whole,
        from_driver: false,
    };
    if packet.proto == ipv6::FRAGMENT {
        return Err(Skip::Fragment);
    }
    if is_extension(packet.proto) {
        return Err(Skip::Extension);
    }
    read_ports(frame, IP + ipv6::LEN, packet)
}

/// Ports, flags and checksum of TCP (RFC 9293, section 3.1) and UDP (RFC 768); ports and chunk of SCTP.
#[inline(always)]
pub(super) fn read_ports<F: Frame, A: Addr>(frame: F, at: usize, packet: &mut Packet<A>) -> Result<(), Skip> {
    if packet.proto == ip_proto::TCP {
        let l4 = frame.view(at, 20).ok_or(Skip::Malformed)?;
        if packet.l4_len() < 20 {
            return Err(Skip::Malformed);
        }
        (packet.sport, packet.dport) = (l4.be16(0), l4.be16(2));
        packet.tcp_flags = l4.u8(13);
        packet.l4_check = l4.be16(16);
    } else if packet.proto == ip_proto::UDP {
        let l4 = frame.view(at, 8).ok_or(Skip::Malformed)?;
        if packet.l4_len() < 8 {
            return Err(Skip::Malformed);
        }
        (packet.sport, packet.dport) = (l4.be16(0), l4.be16(2));
        packet.l4_check = l4.be16(6);
    } else if packet.proto == ip_proto::SCTP {
        // RFC 9260, section 3: a common header of 12 bytes, then chunks, each with type, flags and length.
        let l4 = frame.view(at, 12).ok_or(Skip::Malformed)?;
        if packet.l4_len() < 16 {
            return Err(Skip::Malformed);
        }
        (packet.sport, packet.dport) = (l4.be16(0), l4.be16(2));
        let l4 = frame.view(at, 16).ok_or(Skip::Covered)?;
        packet.chunk = sctp::deciding_chunk(frame, at, l4);
    } else if packet.proto == if A::WORDS == 1 { ip_proto::ICMP } else { ip_proto::ICMPV6 } {
        return Err(Skip::Icmp);
    } else if packet.proto == ip_proto::ESP || packet.proto == ip_proto::AH {
        return Err(Skip::Secured);
    } else {
        return Err(Skip::OtherProtocol);
    }
    Ok(())
}

/// The header's own checksum (RFC 791): the sum over all its words is zero. With options it is not looked at: updating
/// keeps a wrong one wrong, so the receiver still finds out.
#[inline(always)]
fn header_sum_is_right<V: View>(head: V, header_len: usize) -> bool {
    const IP: usize = eth::HEADER_LEN;
    let mut sum = head.be32(IP).0;
    sum = add(sum, head.be32(IP + 4).0);
    sum = add(sum, head.be32(IP + 8).0);
    sum = add(sum, head.be32(IP + 12).0);
    sum = add(sum, head.be32(IP + 16).0);
    header_len != ipv4::MIN_LEN || fold(sum) == 0xffff
}

#[cfg(test)]
mod tests;
