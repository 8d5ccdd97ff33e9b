//! A packet in pieces (RFC 791, section 3.2; RFC 8200, section 4.5): what each piece's header says. A piece may be cut up again
//! on its way, so what is cut here may be a fragment already.

use crate::wire::checksum::{add, update};
use crate::wire::{Be16, View, ipv4, ipv6};

/// What stands before the data of a tunnel's packet that is cut up, if its outer header is one of IPv6.
const LEN6: u16 = (ipv6::LEN + ipv6::FRAGMENT_LEN) as u16;

/// A packet that is cut up: one of IPv4, or one of IPv6 that has its fragment header already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// All that each piece repeats.
    pub header_len: u16,
    /// Data of every piece but the last, in bytes; a multiple of 8.
    pub size: u16,
    pub of_ipv6: bool,
    /// Fields of its header; IPv6's length leaves out the first 40 bytes, and there is no checksum.
    len: Be16,
    frag: Be16,
    check: Be16,
}

/// One piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its data: the offset behind the header, and the length.
    pub at: u16,
    pub len: u16,
    pub is_last: bool,
    /// Fields of its header: the length, as the header counts it, and the offset ([`Cut::len_at`], [`Cut::frag_at`]) …
    pub said: Be16,
    pub frag: Be16,
    /// … and IPv4's checksum.
    pub check: Be16,
}

impl Cut {
    /// For links that take `mtu` bytes; `header` begins with the IP header. None if there is no room for data.
    #[inline(always)]
    pub fn new<V: View>(header: V, mtu: u32) -> Option<Cut> {
        let (of_ipv6, header_len) = match header.u8(0) {
            v4 if v4 >> 4 == 4 => (false, (v4 & 15) as u16 * 4),
            _ => (true, LEN6),
        };
        let size = (mtu.saturating_sub(header_len as u32) & 0xfff8) as u16;
        let mut cut = Cut { header_len, size, of_ipv6, len: Be16(0), frag: Be16(0), check: Be16(0) };
        cut.len = header.be16(cut.len_at());
        if !of_ipv6 {
            [cut.frag, cut.check] = [ipv4::FRAG_AT, ipv4::CHECK_AT].map(|at| header.be16(at));
        }
        (size != 0).then_some(cut)
    }

    /// Where the length stands in the header.
    #[inline(always)]
    pub fn len_at(&self) -> usize {
        if self.of_ipv6 { ipv6::PAYLOAD_LEN_AT } else { ipv4::TOTAL_LEN_AT }
    }

    /// Where the offset stands.
    #[inline(always)]
    pub fn frag_at(&self) -> usize {
        if self.of_ipv6 { ipv6::LEN + 2 } else { ipv4::FRAG_AT }
    }

    /// What of the header counts as length.
    #[inline(always)]
    fn counted(&self) -> u16 {
        if self.of_ipv6 { ipv6::FRAGMENT_LEN as u16 } else { self.header_len }
    }

    /// Bytes of data in all pieces together.
    #[inline(always)]
    pub fn data_len(&self) -> u16 {
        self.len.get().saturating_sub(self.counted())
    }

    /// The piece with this number, from 0; none behind the last.
    #[inline(always)]
    pub fn piece(&self, number: u32) -> Option<Piece> {
        let at = number.wrapping_mul(self.size as u32);
        let left = (self.data_len() as u32).checked_sub(at).filter(|left| *left != 0)?;
        let is_last = left <= self.size as u32;
        let len = if is_last { left as u16 } else { self.size };
        let said = Be16::new(self.counted().wrapping_add(len));
        let frag = if self.of_ipv6 {
            // In eights, above three bits of which the last says that more follow: multiples of 8 as they are.
            at as u16 | !is_last as u16
        } else {
            let more = if is_last { 0 } else { ipv4::MORE_FRAGMENTS };
            self.frag.get().wrapping_add((at >> 3) as u16) | more
        };
        let frag = Be16::new(frag);
        let change = add(
            add(!self.len.0 as u32 & 0xffff, said.0 as u32),
            add(!self.frag.0 as u32 & 0xffff, frag.0 as u32),
        );
        Some(Piece { at: at as u16, len, is_last, said, frag, check: update(self.check, change) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Be32;
    use crate::wire::checksum::{finish, sum_bytes};
    extern crate std;
    use std::vec::Vec;

    /// A header with this length and fragment field, and a right checksum.
    fn header(total_len: u16, frag: u16) -> Vec<u8> {
        let (src, dst) = (Be32::from_bytes([10, 1, 0, 254]), Be32::from_bytes([10, 1, 0, 1]));
        let (tos, id, ttl, proto) = (0, 7, 63, 4);
        let h = ipv4::Header { tos, total_len, id, dont_fragment: false, ttl, proto, src, dst };
        let mut bytes: Vec<u8> = h.words().iter().flat_map(|w| w.bytes()).collect();
        bytes[6..8].copy_from_slice(&frag.to_be_bytes());
        bytes[10..12].copy_from_slice(&[0, 0]);
        let check = finish(sum_bytes(&bytes)).bytes();
        bytes[10..12].copy_from_slice(&check);
        bytes
    }

    fn pieces(header: &[u8], mtu: u32) -> Vec<Piece> {
        let cut = Cut::new(header, mtu).unwrap();
        (0..).map_while(|i| cut.piece(i)).collect()
    }

    /// For each length and MTU: no byte twice, none missing, and a receiver can put them together.
    #[test]
    fn pieces_are_the_whole() {
        for (total_len, frag) in [(21, 0), (1281, 0), (1400, 0), (9000, 0), (1500, 0x2000 | 185), (1500, 185)]
        {
            for mtu in [68, 576, 1276, 1280, 1500] {
                let whole = header(total_len, frag);
                let pieces = pieces(&whole, mtu);
                let mut at = 0;
                for (i, p) in pieces.iter().enumerate() {
                    let last = i + 1 == pieces.len();
                    assert_eq!((p.at, p.is_last), (at, last), "{total_len} {mtu}");
                    assert!(p.said.get() as u32 <= mtu && (last || p.len % 8 == 0));
                    assert_eq!(p.frag.get() & ipv4::OFFSET_MASK, (frag & ipv4::OFFSET_MASK) + at / 8);
                    let more = frag & ipv4::MORE_FRAGMENTS != 0 || !last;
                    assert_eq!(p.frag.get() & ipv4::MORE_FRAGMENTS != 0, more);
                    let mut h = whole.clone();
                    h[2..4].copy_from_slice(&p.said.bytes());
                    h[6..8].copy_from_slice(&p.frag.bytes());
                    h[10..12].copy_from_slice(&p.check.bytes());
                    assert_eq!(finish(sum_bytes(&h)).0, 0, "the header's checksum");
                    at += p.len;
                }
                assert_eq!(at, total_len - 20);
            }
        }
    }

    /// The outer header of a tunnel, and the fragment header behind it.
    #[test]
    fn pieces_of_ipv6_are_the_whole() {
        for data in [1u16, 8, 1472, 1480, 9000] {
            for mtu in [1280, 1500, 1503] {
                let [first, second] = ipv6::first_words(0, data + 8, ipv6::FRAGMENT, 64);
                let mut whole: Vec<u8> = [first, second].iter().flat_map(|w| w.bytes()).collect();
                whole.resize(48, 0);
                let pieces = pieces(&whole, mtu);
                let mut at = 0;
                for (i, p) in pieces.iter().enumerate() {
                    let last = i + 1 == pieces.len();
                    assert_eq!((p.at, p.is_last), (at, last), "{data} {mtu}");
                    assert!(p.said.get() as u32 + 40 <= mtu && (last || p.len % 8 == 0));
                    assert_eq!(p.said.get(), 8 + p.len);
                    assert_eq!((p.frag.get() >> 3, p.frag.get() & 7), (at / 8, !last as u16));
                    at += p.len;
                }
                assert_eq!(at, data);
            }
        }
    }

    #[test]
    fn there_must_be_room_for_eight_bytes() {
        let header = header(1500, 0);
        assert!(Cut::new(header.as_slice(), 27).is_none());
        assert!(Cut::new(header.as_slice(), 28).is_some());
    }
}
