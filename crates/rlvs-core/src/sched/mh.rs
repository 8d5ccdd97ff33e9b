//! mh: Maglev hashing. The client's address (with `mh-port` its port, too) decides, in proportion to the weights, and
//! when a server comes or goes few other clients move.
//!
//! 4,093 slots. Each server goes through all slots in an order of its own, made from its address and port; in turn, and
//! as often in a round as its weight says, each takes the next one on its way that is still free. (Eisenbud et al.,
//! "Maglev", NSDI 2016, section 3.4; weights, hash and seeds as in Linux 6.1 on 64-bit machines.)
//!
//! Setting a weight to 0 leaves the table as it is, so clients come back to their server afterwards; meanwhile nobody
//! takes their connections, unless `mh-fallback` says to hash again.

use super::buckets::{Share, Unusable, usable};
use super::{FALLBACK, PORT};
use crate::conn::Step;
use crate::maps::{NONE, ServiceConfig};
use crate::path::Tables;
use crate::wire::{Addr, Packet};

/// Slots: a prime.
pub const BUCKETS: usize = 4093;
const M: u32 = BUCKETS as u32;

const KEY_1: u64 = 2_654_435_761;
const KEY_2: u64 = 2_654_446_892;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
) -> Option<u32> {
    let port = if service.sched_flags & PORT != 0 { packet.sport.get() as u32 } else { 0 };
    let client = packet.src.fold().wrapping_add(port);
    let home = hash(KEY_1, client) % M;
    match usable(tables, service_id, service, home) {
        Ok(id) => return Some(id),
        Err(Unusable::Now) if service.sched_flags & FALLBACK != 0 => {}
        Err(_) => return None,
    }
    let mut search = Search {
        tables,
        service_id,
        service,
        client,
        home,
        number: tables.unknown(0),
        found: tables.unknown(NONE),
        _family: core::marker::PhantomData,
    };
    tables.repeat(M, &mut search);
    (search.found != NONE).then_some(search.found)
}

/// Hashes again and again, with a number that counts up from home.
struct Search<'t, A, T> {
    tables: &'t T,
    service_id: u32,
    service: &'t ServiceConfig,
    client: u32,
    home: u32,
    number: u32,
    found: u32,
    _family: core::marker::PhantomData<A>,
}

impl<A: Addr, T: Tables<A>> Step for Search<'_, A, T> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let offset = self.number.wrapping_add(self.home) % M;
        self.number = self.number.wrapping_add(1);
        let bucket = hash(KEY_1, self.client.wrapping_add(offset)) % M;
        match usable(self.tables, self.service_id, self.service, bucket) {
            Ok(id) => {
                self.found = id;
                true
            }
            Err(Unusable::Empty) => true,
            Err(Unusable::Now) => false,
        }
    }
}

/// SipHash-1-3 of one 32-bit number, its lower half (Aumasson and Bernstein, "SipHash"; both key words the same).
#[inline(always)]
pub const fn hash(key: u64, number: u32) -> u32 {
    let block = 4 << 56 | number as u64;
    let mut v = [
        0x736f_6d65_7073_6575 ^ key,
        0x646f_7261_6e64_6f6d ^ key,
        0x6c79_6765_6e65_7261 ^ key,
        0x7465_6462_7974_6573 ^ key,
    ];
    v[3] ^= block;
    v = round(v);
    v[0] ^= block;
    v[2] ^= 0xff;
    v = round(round(round(v)));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

#[inline(always)]
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// A server's way through the slots, and how many it takes in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    at: u32,
    skip: u32,
    turns: u32,
}

/// Fills the slots; `turns` is room for one [`Turn`] for each server. Without servers of weight above 0 nothing is filled.
pub fn fill(slots: &mut [u32; BUCKETS], shares: &[Share], turns: &mut [Turn]) {
    slots.fill(NONE);
    let gcd = shares.iter().filter(|s| s.last_weight > 0).fold(0, |a, s| gcd(a, s.last_weight));
    let Some(most) = shares.iter().map(|s| s.last_weight).max().and_then(|w| w.checked_div(gcd)) else {
        return;
    };
    // So that a round gives each server less than 64 turns.
    let shift = (32 - most.leading_zeros()).saturating_sub(6);
    for (turn, share) in turns.iter_mut().zip(shares) {
        let own = share.addr.wrapping_add(share.port as u32);
        let weight = share.last_weight.checked_div(gcd).unwrap_or(0);
        *turn = Turn {
            at: hash(KEY_1, own) % M,
            skip: hash(KEY_2, own) % (M - 1) + 1,
            turns: if share.last_weight == 0 { 0 } else { (weight >> shift).max(1) },
        };
    }
    let mut left = BUCKETS;
    loop {
        for (turn, share) in turns.iter_mut().zip(shares) {
            for _ in 0..turn.turns {
                while slots[turn.at as usize] != NONE {
                    turn.at = (turn.at + turn.skip) % M;
                }
                slots[turn.at as usize] = share.id;
                left -= 1;
                if left == 0 {
                    return;
                }
            }
        }
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    fn shares(weights: &[u32]) -> std::vec::Vec<Share> {
        // Added in the order .1, .2, .3: the list has the newest first.
        let one = |(i, w): (usize, &u32)| Share {
            id: i as u32 + 1,
            weight: *w,
            last_weight: *w,
            addr: 0x0a01_0001 + i as u32,
            port: 80,
        };
        weights.iter().enumerate().map(one).rev().collect()
    }

    fn filled(weights: &[u32]) -> [u32; BUCKETS] {
        let shares = shares(weights);
        let mut slots = [0; BUCKETS];
        fill(&mut slots, &shares, &mut std::vec![Turn::default(); shares.len()]);
        slots
    }

    #[test]
    fn computed_vectors() {
        let clients = [[10, 0, 0, 2], [192, 168, 1, 1], [1, 2, 3, 4]].map(u32::from_be_bytes);
        assert_eq!(clients.map(|c| hash(KEY_1, c)), [0x41cf_de13, 0xd3f1_b4d3, 0x4452_d6a7]);
        let slots = filled(&[1, 1, 1]);
        let count = |id| slots.iter().filter(|s| **s == id).count();
        assert_eq!([1, 2, 3].map(count), [1364, 1364, 1365]);
        assert_eq!(clients.map(|c| slots[(hash(KEY_1, c) % M) as usize]), [2, 3, 1]);
    }

    #[test]
    fn weights_are_proportions() {
        let slots = filled(&[4, 2, 1]);
        let count = |id| slots.iter().filter(|s| **s == id).count();
        assert_eq!([1, 2, 3].map(count), [2338, 1170, 585]);
    }
}
