//! Builds IPv4 packets with TCP, UDP or SCTP, right ones and wrong ones. Its sums are computed the slow way, from scratch.

use std::net::{Ipv4Addr, SocketAddrV4};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// What stands in the transport checksum's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Right,
    /// Off by a constant.
    Wrong,
    /// Zero: UDP's "no checksum".
    Absent,
    /// The sum of the pseudo header alone, for hardware to complete.
    Partial,
}

/// A packet under construction; [`bytes`](Builder::bytes) makes it.
#[derive(Clone, Debug)]
pub struct Builder {
    proto: u8,
    src: SocketAddrV4,
    dst: SocketAddrV4,
    pub ttl: u8,
    pub tos: u8,
    pub id: u16,
    pub dont_fragment: bool,
    /// In words of four bytes.
    pub ip_options: Vec<u8>,
    pub seq: u32,
    pub ack: u32,
    pub tcp_options: Vec<u8>,
    pub data: Vec<u8>,
    pub check: Check,
    flags: u8,
}

/// A segment from `src` to `dst` with these flags.
pub fn tcp(src: SocketAddrV4, dst: SocketAddrV4, flags: u8) -> Builder {
    builder(6, src, dst, flags)
}

/// A datagram with a few bytes.
pub fn udp(src: SocketAddrV4, dst: SocketAddrV4) -> Builder {
    Builder { data: b"hello".to_vec(), ..builder(17, src, dst, 0) }
}

/// A packet of SCTP with one chunk, of this type and with so little in it.
pub fn sctp(src: SocketAddrV4, dst: SocketAddrV4, chunk: u8) -> Builder {
    Builder { data: vec![chunk, 0, 0, 4], ..builder(132, src, dst, 0) }
}

/// `at("10.0.0.100:80")`
pub fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn builder(proto: u8, src: SocketAddrV4, dst: SocketAddrV4, flags: u8) -> Builder {
    Builder {
        proto,
        src,
        dst,
        ttl: 64,
        tos: 0,
        id: 0x1234,
        dont_fragment: false,
        ip_options: Vec::new(),
        seq: 1000,
        ack: 0,
        tcp_options: Vec::new(),
        data: Vec::new(),
        check: Check::Right,
        flags,
    }
}

impl Builder {
    pub fn with(mut self, change: impl FnOnce(&mut Builder)) -> Builder {
        change(&mut self);
        self
    }

    pub fn data(self, data: &[u8]) -> Builder {
        self.with(|b| b.data = data.to_vec())
    }

    /// The IP packet.
    pub fn bytes(&self) -> Vec<u8> {
        let l4 = self.transport();
        let header_len = 20 + self.ip_options.len();
        let total = (header_len + l4.len()) as u16;
        let mut ip = vec![0x40 | (header_len / 4) as u8, self.tos];
        ip.extend(total.to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend((u16::from(self.dont_fragment) << 14).to_be_bytes());
        ip.extend([self.ttl, self.proto, 0, 0]);
        ip.extend(self.src.ip().octets());
        ip.extend(self.dst.ip().octets());
        ip.extend(&self.ip_options);
        let check = !sum(&ip, 0);
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        ip.extend(l4);
        ip
    }

    fn transport(&self) -> Vec<u8> {
        let mut s = [self.src.port().to_be_bytes(), self.dst.port().to_be_bytes()].concat();
        if self.proto == 132 {
            s.extend([0, 0, 0, 1, 0, 0, 0, 0]); // verification tag, checksum
            s.extend(&self.data);
            let crc = match self.check {
                Check::Right => crc32c(&s),
                Check::Wrong => crc32c(&s) ^ 0x5555_5555,
                Check::Absent | Check::Partial => 0,
            };
            s[8..12].copy_from_slice(&crc.to_le_bytes());
            return s;
        }
        let check_at;
        if self.proto == 6 {
            check_at = 16;
            s.extend(self.seq.to_be_bytes());
            s.extend(self.ack.to_be_bytes());
            s.extend([(5 + self.tcp_options.len() as u8 / 4) << 4, self.flags, 0x40, 0, 0, 0, 0, 0]);
            s.extend(&self.tcp_options);
        } else {
            check_at = 6;
            s.extend(((8 + self.data.len()) as u16).to_be_bytes());
            s.extend([0, 0]);
        }
        s.extend(&self.data);
        let pseudo = pseudo_sum(*self.src.ip(), *self.dst.ip(), self.proto, s.len());
        let whole = match !sum(&s, u32::from(pseudo)) {
            0 if self.proto == 17 => 0xffff,
            check => check,
        };
        let check = match self.check {
            Check::Right => whole,
            Check::Wrong => whole ^ 0x5555,
            Check::Absent => 0,
            Check::Partial => pseudo,
        };
        s[check_at..check_at + 2].copy_from_slice(&check.to_be_bytes());
        s
    }
}

/// The ones' complement sum, word by word (RFC 1071), folded.
pub fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// SCTP's checksum (RFC 9260, appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

pub fn pseudo_sum(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: usize) -> u16 {
    let mut p = [src.octets(), dst.octets()].concat();
    p.extend([0, proto]);
    p.extend((len as u16).to_be_bytes());
    sum(&p, 0)
}

/// Are the checksums of the IPv4 packet right, its header's and its transport's? (A UDP packet may have none.)
pub fn checks(packet: &[u8]) -> (bool, bool) {
    let header_len = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let (head, l4) = (&packet[..header_len], &packet[header_len..total]);
    let addr = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let start = pseudo_sum(addr(12), addr(16), packet[9], l4.len());
    let absent = packet[9] == 17 && l4[6..8] == [0, 0];
    (sum(head, 0) == 0xffff, absent || sum(l4, u32::from(start)) == 0xffff)
}

/// The packet in fragments with so many bytes of data each (a multiple of 8), the last with what is left.
pub fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let header_len = usize::from(packet[0] & 15) * 4;
    let (header, data) = packet.split_at(header_len);
    let count = data.len().div_ceil(size);
    let fragment = |(i, data): (usize, &[u8])| {
        let mut out = [header, data].concat();
        let more = if i + 1 < count { 0x2000 } else { 0 };
        let (len, frag) = (out.len() as u16, more | (i * size / 8) as u16);
        out[2..4].copy_from_slice(&len.to_be_bytes());
        out[6..8].copy_from_slice(&frag.to_be_bytes());
        out[10..12].fill(0);
        let check = !sum(&out[..header_len], 0);
        out[10..12].copy_from_slice(&check.to_be_bytes());
        out
    };
    data.chunks(size).enumerate().map(fragment).collect()
}

/// Puts fragments (whole IP packets) together, in any order; panics where bytes are missing or twice.
pub fn reassembled(mut fragments: Vec<Vec<u8>>) -> Vec<u8> {
    let word = |f: &[u8]| u16::from_be_bytes([f[6], f[7]]);
    fragments.sort_by_key(|f| word(f) & 0x1fff);
    let header_len = usize::from(fragments[0][0] & 15) * 4;
    let mut out = fragments[0][..header_len].to_vec();
    for (i, f) in fragments.iter().enumerate() {
        assert_eq!(sum(&f[..header_len], 0), 0xffff, "the header's checksum");
        assert_eq!(usize::from(word(f) & 0x1fff) * 8, out.len() - header_len, "no hole, nothing twice");
        assert_eq!(word(f) & 0x2000 != 0, i + 1 < fragments.len(), "more fragments");
        let len = usize::from(u16::from_be_bytes([f[2], f[3]]));
        out.extend(&f[header_len..len]);
    }
    let len = out.len() as u16;
    out[2..4].copy_from_slice(&len.to_be_bytes());
    out[6..8].fill(0);
    out[10..12].fill(0);
    let check = !sum(&out[..header_len], 0);
    out[10..12].copy_from_slice(&check.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_the_recordings() {
        let p = tcp(at("172.16.0.9:1111"), at("10.0.0.100:80"), SYN).with(|b| {
            (b.id, b.tos, b.ttl) = (0x4242, 0x10, 60);
            b.tcp_options = vec![2, 4, 5, 0xb4, 1, 1, 4, 2];
        });
        let hex: String = p.bytes().iter().map(|b| format!("{b:02x}")).collect();
        let recorded = "45100030424200003c0685f9ac1000090a00006404570050000003e80000000070024000";
        assert_eq!(hex, [recorded, "84130000020405b401010402"].concat());
    }

    #[test]
    fn wrong_sums_are_seen() {
        let p = udp(at("1.2.3.4:5"), at("6.7.8.9:10"));
        assert_eq!(checks(&p.bytes()), (true, true));
        for (check, fine) in [(Check::Wrong, false), (Check::Partial, false), (Check::Absent, true)] {
            assert_eq!(checks(&p.clone().with(|b| b.check = check).bytes()), (true, fine), "{check:?}");
        }
    }
}
