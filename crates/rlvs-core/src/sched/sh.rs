//! sh: source hashing. The client's address (with `sh-port` its port, too) decides, in proportion to the weights.
//!
//! 256 buckets: each server in turn gets as many neighbouring ones as its weight says, at least one, round and round;
//! weights above 255 leave nothing for the others, since they are not reduced. Where the bucket's server has weight 0 or
//! is overloaded nobody takes the connection, unless `sh-fallback` says to try the other buckets. Suits keeping clients
//! where they were without a table of clients; adding or removing a server moves many of them ([`mh`](super::mh) few).

use super::buckets::{Share, Unusable, hash32, usable};
use super::{FALLBACK, PORT};
use crate::conn::Step;
use crate::maps::{NONE, ServiceConfig};
use crate::path::Tables;
use crate::wire::{Addr, Packet};

pub const BITS: u32 = 8;
pub const BUCKETS: usize = 1 << BITS;
const MASK: u32 = BUCKETS as u32 - 1;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
) -> Option<u32> {
    let port = if service.sched_flags & PORT != 0 { packet.sport.get() as u32 } else { 0 };
    let home = hash32(packet.src.fold().wrapping_add(port), BITS);
    if service.sched_flags & FALLBACK == 0 {
        return usable(tables, service_id, service, home).ok();
    }
    match usable(tables, service_id, service, home) {
        Ok(id) => return Some(id),
        Err(Unusable::Empty) => return None,
        Err(Unusable::Now) => {}
    }
    let mut search = Search {
        tables,
        service_id,
        service,
        home,
        number: tables.unknown(0),
        found: tables.unknown(NONE),
        _family: core::marker::PhantomData,
    };
    tables.repeat(BUCKETS as u32, &mut search);
    (search.found != NONE).then_some(search.found)
}

/// From bucket 2 × home on, one after another (as in the kernel, where the way to the next bucket is added twice).
struct Search<'t, A, T> {
    tables: &'t T,
    service_id: u32,
    service: &'t ServiceConfig,
    home: u32,
    number: u32,
    found: u32,
    _family: core::marker::PhantomData<A>,
}

impl<A: Addr, T: Tables<A>> Step for Search<'_, A, T> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let offset = self.number.wrapping_add(self.home) & MASK;
        self.number = self.number.wrapping_add(1);
        match usable(self.tables, self.service_id, self.service, offset.wrapping_add(self.home) & MASK) {
            Ok(id) => {
                self.found = id;
                true
            }
            Err(Unusable::Empty) => true,
            Err(Unusable::Now) => false,
        }
    }
}

/// Fills the buckets in proportion to the weights.
pub fn fill(buckets: &mut [u32; BUCKETS], shares: &[Share]) {
    let turns = shares
        .iter()
        .cycle()
        .flat_map(|s| core::iter::repeat_n(s.id, (s.weight.max(1) as usize).min(BUCKETS)));
    if !shares.is_empty() {
        for (bucket, id) in buckets.iter_mut().zip(turns) {
            *bucket = id;
        }
    }
}
