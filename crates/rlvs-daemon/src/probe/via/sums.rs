//! Checksums (RFC 1071): of tunnels, where one is asked for, and of what comes in.
//!
//! A packet socket gets packets as the kernel has them, and that may be before their checksum is finished: from a machine
//! beside this one, or several put together. Then the field holds the sum of the pseudo header. Of all others the checksum must
//! be right, or the packet is nobody's, as for the kernel's own sockets.

use super::filter::{TCP, UDP};

/// The folded sum of 16-bit words.
pub fn sum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    fold(pairs.sum()) // 65,575 bytes cannot overflow it
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16 // no carry is left
}

/// Is the checksum of this packet of TCP or UDP right, or not finished?
pub fn is_right(packet: &[u8]) -> bool {
    let parts = match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(9).zip(packet.get(12..20)).zip(length4(packet)),
        Some(6) => packet.get(6).zip(packet.get(8..40)).zip(length6(packet)),
        _ => None,
    };
    let Some(((&protocol, addresses), (start, end))) = parts else { return false };
    let Some(segment) = packet.get(start..end) else { return false };
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    let Some(&[high, low]) = segment.get(at..at + 2) else { return false };
    let field = u16::from_be_bytes([high, low]);
    let pseudo = fold(u32::from(sum(addresses)) + u32::from(protocol) + segment.len() as u32);
    let whole = fold(u32::from(pseudo) + u32::from(sum(segment)));
    // RFC 768: a datagram may have none.
    whole == 0xffff || field == pseudo || (protocol == UDP && field == 0)
}

/// From where to where the payload goes, by the header.
fn length4(packet: &[u8]) -> Option<(usize, usize)> {
    let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
    Some((usize::from(packet[0] & 15) * 4, usize::from(total)))
}

fn length6(packet: &[u8]) -> Option<(usize, usize)> {
    let payload = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
    Some((40, 40 + usize::from(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, TcpPacket};

    fn segment(from: &str, to: &str) -> (Vec<u8>, usize) {
        let addr = |text: &str| IpAddress::from(text.parse::<std::net::IpAddr>().unwrap());
        let header = IpRepr::new(addr(from), addr(to), IpProtocol::Tcp, 23, 64);
        let mut packet = vec![0; header.header_len() + 23];
        header.emit(&mut packet, &ChecksumCapabilities::default());
        let start = header.header_len();
        packet[start..].copy_from_slice(b"\x00\x50\x9c\x40seq.ack.\x50\x12\x10\x00\0\0\0\0odd");
        TcpPacket::new_unchecked(&mut packet[start..]).fill_checksum(&addr(from), &addr(to));
        (packet, start)
    }

    #[test]
    fn right_wrong_and_unfinished() {
        for (from, to) in [("10.0.0.100", "10.1.0.1"), ("fd00::64", "fd00:1::1")] {
            let (packet, start) = segment(from, to);
            assert!(is_right(&packet));
            let mut wrong = packet.clone();
            wrong[start + 22] ^= 1;
            assert!(!is_right(&wrong), "a bit was turned");
            let addresses = if start == 20 { &packet[12..20] } else { &packet[8..40] };
            let pseudo = fold(u32::from(sum(addresses)) + 6 + 23);
            wrong[start + 16..start + 18].copy_from_slice(&pseudo.to_be_bytes());
            assert!(is_right(&wrong), "the kernel would still finish it");
            // A short frame has something behind the packet.
            assert!(is_right(&[packet.as_slice(), &[1, 2, 3]].concat()));
            for length in 0..packet.len() {
                assert!(!is_right(&packet[..length]), "cut off at {length}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_packet(packet: Vec<u8>) {
            is_right(&packet);
        }
    }
}
