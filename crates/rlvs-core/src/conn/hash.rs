//! Where a connection belongs: two sets and a tag, from the client's side of its flow and a secret seed.

use crate::wire::{Addr, Be16};

/// Home set, second set and tag (see [`tags`](super::tags)). Sets are to be masked with the size of the table, ways with
/// the number of ways; the tag is never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub home: u32,
    pub second: u32,
    pub tag: u8,
    /// The way that is taken first, if it is free.
    pub way: u8,
}

impl Place {
    /// The favourite among `ways` (a power of two less one); never 0.
    #[inline(always)]
    pub fn favourite(&self, ways: usize) -> usize {
        (self.way as usize & ways).max(1)
    }
}

/// Mixes a 64-bit word (the finisher of MurmurHash3, public domain).
#[inline(always)]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

#[inline(always)]
pub fn place<A: Addr>(proto: u8, client: A, client_port: Be16, seed: u64) -> Place {
    let mut h = seed ^ ((proto as u64) << 16 | client_port.0 as u64);
    let mut i = 0;
    while i < A::WORDS {
        h = mix(h ^ (client.word(i).0 as u64) << 24);
        i += 1;
    }
    let h2 = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Place { home: h as u32, second: (h2 >> 32) as u32, tag: (h >> 56) as u8 | 1, way: (h >> 48) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Be32;

    #[test]
    fn neighbouring_clients_spread_over_the_sets() {
        let mut seen = [0u32; 64];
        for port in 0..6400u16 {
            let p = place(6, Be32::from_bytes([10, 0, 0, 1]), Be16::new(port), 7);
            seen[(p.home & 63) as usize] += 1;
        }
        let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(*least > 60 && *most < 150, "100 expected in each set, {least}..{most} seen");
    }
}
