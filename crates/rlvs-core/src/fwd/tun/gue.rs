//! Generic UDP encapsulation (draft-ietf-intarea-gue, variant 0): UDP to the tunnel's port, and four bytes that say what
//! is inside. Routers and network cards spread flows by the source port.
//!
//! ```text
//! source port, tunnel port
//! length, checksum                UDP's; 0 where none is asked for
//! 0, protocol inside, 0, 0        GUE's
//! ```
//!
//! With *remote checksum* the kernel adds eight bytes where it has still to complete the checksum inside; what it has not it
//! sums like `--tun-csum`. Ours is always the latter: a receiver understands both.

use super::ipip::inner_proto;
use crate::conn::hash::mix;
use crate::wire::checksum::{add, finish};
use crate::wire::{Addr, Be16, Be32, Packet};

pub const WORDS: usize = 3;
/// The range that Linux takes source ports from by default (`ip_local_port_range`).
const FIRST_PORT: u32 = 32768;
const PORTS: u32 = 60999 - FIRST_PORT + 1;

/// Both headers. `pseudo` is the sum of the outer pseudo header but for the length, `sum` that of the packet inside, where
/// a checksum is asked for.
#[inline(always)]
pub fn header<A: Addr>(packet: &Packet<A>, port: Be16, summed: bool, pseudo: u32, sum: u32) -> [Be32; 3] {
    let len = packet.total_len.wrapping_add(4 * WORDS as u16);
    let mut words = [
        Be32::new((source_port(packet) as u32) << 16 | port.get() as u32),
        Be32::new((len as u32) << 16),
        Be32::new((inner_proto::<A>() as u32) << 16),
    ];
    if summed {
        // The length counts twice: in the pseudo header, too.
        let lengths = add(words[1].0, words[1].0);
        let sum = add(add(add(pseudo, sum), add(words[0].0, words[2].0)), lengths);
        let check = finish(sum).get();
        let check = if check == 0 { 0xffff } else { check }; // RFC 768: zero would say "none"
        words[1] = Be32::new((len as u32) << 16 | check as u32);
    }
    words
}

/// Always the same for a flow.
#[inline(always)]
fn source_port<A: Addr>(packet: &Packet<A>) -> u16 {
    let addresses = packet.src.fold() as u64 | (packet.dst.fold() as u64) << 32;
    let ports = packet.sport.0 as u64 | (packet.dport.0 as u64) << 16 | (packet.proto as u64) << 32;
    let h = mix(mix(addresses) ^ ports) as u32;
    (FIRST_PORT + ((h as u64 * PORTS as u64) >> 32) as u32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    #[test]
    fn flows_have_different_source_ports() {
        let mut packet = Packet::<Be32>::empty();
        let mut seen = std::collections::HashSet::new();
        for port in 0..1000 {
            packet.sport = Be16::new(1024 + port);
            let source = source_port(&packet);
            assert!((32768..=60999).contains(&source), "{source}");
            seen.insert(source);
        }
        assert!(seen.len() > 950, "{} of 1000", seen.len());
    }
}
