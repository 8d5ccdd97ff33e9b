//! Where an entry belongs: a row of sets and a tag, from what it is looked up by and a secret seed.
//!
//! Connections are found by the client's side of their flow alone, so that requests and replies meet the same entry. The
//! other entries (templates, a scheduler's mappings) are only ever asked for as a whole, so their virtual address
//! counts too: one client may have templates of many services.

use crate::wire::{Addr, Be16};

/// How many sets are tried, one after another. One client address and port can have so many times fifteen connections.
pub const PROBES: u32 = 128;

/// The row of sets and the tag (see [`tags`](super::tags)). Sets are to be masked with the size of the table, ways with
/// the number of ways; the tag is never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub home: u32,
    /// From one set of the row to the next; odd, so the row meets every set once.
    pub step: u32,
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

    /// The set of the row with this number, for a table of `mask` + 1 sets.
    #[inline(always)]
    pub fn set(&self, number: u32, mask: u32) -> u32 {
        in_row(self.home, self.step, number, mask)
    }
}

/// [`Place::set`] of its parts.
#[inline(always)]
pub fn in_row(home: u32, step: u32, number: u32, mask: u32) -> u32 {
    home.wrapping_add(number.wrapping_mul(step)) & mask
}

/// Mixes a 64-bit word (the finisher of MurmurHash3, public domain).
#[inline(always)]
pub const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

#[inline(always)]
fn mixed_in<A: Addr>(mut h: u64, addr: A) -> u64 {
    let mut i = 0;
    while i < A::WORDS {
        h = mix(h ^ (addr.word(i).0 as u64) << 24);
        i += 1;
    }
    h
}

#[inline(always)]
const fn finish(h: u64) -> Place {
    let h2 = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Place { home: h as u32, step: (h2 >> 32) as u32 | 1, tag: (h >> 56) as u8 | 1, way: (h >> 48) as u8 }
}

/// Of a connection.
#[inline(always)]
pub fn place<A: Addr>(proto: u8, client: A, client_port: Be16, seed: u64) -> Place {
    finish(mixed_in(seed ^ ((proto as u64) << 16 | client_port.0 as u64), client))
}

/// Of a template or mapping. Its virtual port may change (a template that is set aside) and does not count. `call`: see
/// [`Flow`](super::Flow).
#[inline(always)]
pub fn place_kept<A: Addr>(proto: u8, client: A, virtual_addr: A, call: u64, seed: u64) -> Place {
    finish(mixed_in(mixed_in(seed ^ call ^ (proto as u64 | 0x100) << 16, client), virtual_addr))
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

    #[test]
    fn a_row_meets_every_set_once() {
        let p = place(6, Be32::from_bytes([10, 0, 0, 1]), Be16::new(7), 7);
        let mut seen = [false; 64];
        (0..64).for_each(|k| seen[p.set(k, 63) as usize] = true);
        assert_eq!(seen, [true; 64]);
    }
}
