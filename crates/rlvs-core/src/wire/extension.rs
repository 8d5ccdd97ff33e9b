//! Extension headers of IPv6 (RFC 8200, section 4): what may stand between its header and TCP, UDP, SCTP or ICMPv6.
//!
//! They are walked along, not looked into: hop-by-hop options, routing, destination options, authentication (AH, RFC 4302).
//! A fragment's header ends the walk for [`read_fragment6`](super::read_fragment6) to go on. A packet that needs more than
//! [`MAX_HEADERS`] of them, or more than [`MAX_LEN`] bytes, passes as one of an unknown protocol; Linux has no limit.

use super::packet::{Packet, Skip, read_ports};
use super::{Be32, Frame, View, eth, ip_proto, ipv6};

pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const DESTINATION: u8 = 60;

/// Headers that are walked along at most, and their bytes.
pub const MAX_HEADERS: usize = 8;
pub const MAX_LEN: usize = 512;

const FIRST_AT: usize = eth::HEADER_LEN + ipv6::LEN;

/// Is this next header an extension that is walked along?
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | DESTINATION | ip_proto::AH)
}

/// Goes on where [`read6`](super::read6) found an extension. It may be called again for the same packet.
#[inline(always)]
pub fn read_extensions<F: Frame>(frame: F, packet: &mut Packet<[Be32; 4]>) -> Result<(), Skip> {
    let head = frame.view(eth::HEADER_LEN, ipv6::LEN).ok_or(Skip::Malformed)?;
    let mut walk = Walk { next: head.u8(ipv6::NEXT_HEADER_AT), at: FIRST_AT };
    walk.along_four(frame)?;
    walk.along_four(frame)?;
    let Walk { next, at } = walk;
    if is_extension(next) || at > FIRST_AT + MAX_LEN {
        return Err(Skip::OtherProtocol);
    }
    if at > eth::HEADER_LEN + packet.total_len as usize {
        return Err(Skip::Malformed);
    }
    packet.proto = next;
    packet.l4_at = at as u16;
    if next == ipv6::FRAGMENT { Err(Skip::Fragment) } else { read_ports(frame, at, packet) }
}

struct Walk {
    /// The number of the header that starts at `at`.
    next: u8,
    at: usize,
}

impl Walk {
    /// Four steps, and no loop: Linux 6.1's verifier refuses some that it cannot tell from endless ones.
    #[inline(always)]
    fn along_four<F: Frame>(&mut self, frame: F) -> Result<(), Skip> {
        self.along(frame)?;
        self.along(frame)?;
        self.along(frame)?;
        self.along(frame)
    }

    #[inline(always)]
    fn along<F: Frame>(&mut self, frame: F) -> Result<(), Skip> {
        if !is_extension(self.next) {
            return Ok(());
        }
        if self.at > FIRST_AT + MAX_LEN {
            return Err(Skip::OtherProtocol);
        }
        let header = frame.view(self.at, 8).ok_or(Skip::Malformed)?;
        // In units of 8 bytes without the first 8; AH's in units of 4 without the first 8.
        let len = header.u8(1) as usize;
        self.at += if self.next == ip_proto::AH { (len + 2) * 4 } else { (len + 1) * 8 };
        self.next = header.u8(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::wire::{Be16, Part, read_fragment6, read6};
    use std::{vec, vec::Vec};

    /// A frame with these extension headers (each its number and its bytes from the second on) before `last`.
    fn frame(extensions: &[(u8, Vec<u8>)], last: u8, payload: &[u8]) -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        let len = extensions.iter().map(|e| e.1.len() + 1).sum::<usize>() + payload.len();
        let first = extensions.first().map_or(last, |e| e.0);
        f.extend([0x60, 0, 0, 0, (len >> 8) as u8, len as u8, first, 64]);
        f.extend([7; 32]);
        for (i, (_, bytes)) in extensions.iter().enumerate() {
            f.push(extensions.get(i + 1).map_or(last, |e| e.0));
            f.extend(bytes);
        }
        f.extend(payload);
        f
    }

    fn read(frame: &[u8]) -> (Result<(), Skip>, Packet<[Be32; 4]>) {
        let mut packet = Packet::empty();
        let mut found = read6(frame, &mut packet);
        if found == Err(Skip::Extension) {
            found = read_extensions(frame, &mut packet);
            let once = packet;
            assert_eq!((read_extensions(frame, &mut packet), packet), (found, once), "read again");
        }
        (found, packet)
    }

    /// A header of `units` times 8 bytes.
    fn plain(number: u8, units: u8) -> (u8, Vec<u8>) {
        (number, [vec![units - 1], vec![0; usize::from(units) * 8 - 2]].concat())
    }

    fn udp() -> Vec<u8> {
        vec![0x30, 0x39, 0, 53, 0, 8, 1, 2]
    }

    #[test]
    fn ports_behind_options_and_authentication() {
        let ah = (ip_proto::AH, [vec![4], vec![0; 22]].concat()); // 24 bytes
        let all = [plain(HOP_BY_HOP, 1), plain(ROUTING, 3), ah, plain(DESTINATION, 2)];
        let (found, packet) = read(&frame(&all, ip_proto::UDP, &udp()));
        assert_eq!(found, Ok(()));
        assert_eq!((packet.proto, packet.sport, packet.dport), (17, Be16::new(12345), Be16::new(53)));
        assert_eq!((packet.l4_at, packet.l4_len()), (54 + 8 + 24 + 24 + 16, 8));
    }

    #[test]
    fn a_fragment_behind_options() {
        let fragment = [vec![ip_proto::UDP, 0, 0, 1, 0, 0, 0, 9], udp()].concat();
        let f = frame(&[plain(DESTINATION, 2)], ipv6::FRAGMENT, &fragment);
        let (found, mut packet) = read(&f);
        assert_eq!(found, Err(Skip::Fragment));
        for turn in ["once", "again"] {
            assert_eq!(read_fragment6(&f[..], &mut packet), Ok(()), "{turn}");
            assert_eq!((packet.part, packet.dport, packet.l4_at), (Part::First, Be16::new(53), 54 + 16 + 8));
        }
    }

    #[test]
    fn what_ends_nowhere_or_is_too_much() {
        let cut = frame(&[plain(HOP_BY_HOP, 2)], ip_proto::UDP, &[]);
        assert_eq!(read(&cut[..60]).0, Err(Skip::Malformed), "the frame ends in it");
        assert_eq!(read(&cut).0, Err(Skip::Malformed), "nothing comes after it");
        let mut long = frame(&[plain(HOP_BY_HOP, 1)], ip_proto::UDP, &udp());
        long[55] = 3;
        assert_eq!(read(&long).0, Err(Skip::Malformed), "longer than the packet");
        let many: Vec<_> = (0..9).map(|_| plain(DESTINATION, 1)).collect();
        assert_eq!(read(&frame(&many[..8], ip_proto::UDP, &udp())).0, Ok(()));
        assert_eq!(read(&frame(&many, ip_proto::UDP, &udp())).0, Err(Skip::OtherProtocol));
        let large = [plain(DESTINATION, 33), plain(DESTINATION, 33)];
        assert_eq!(read(&frame(&large, ip_proto::UDP, &udp())).0, Err(Skip::OtherProtocol));
        let none = frame(&[plain(HOP_BY_HOP, 1)], 59, &[]);
        assert_eq!(read(&none).0, Err(Skip::OtherProtocol), "no next header");
    }
}
