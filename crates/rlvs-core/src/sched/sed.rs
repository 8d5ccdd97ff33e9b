//! sed: shortest expected delay. The least of (active + 1) / weight: how long a new connection would wait if each server
//! worked through its active ones at the speed of its weight.
//!
//! Inactive connections do not count, so UDP, which is never active, all goes to the server of the highest weight.
//! Weight 0 and overloaded servers are passed over; ties go to the newest. Suits few, long connections and servers of
//! very unequal strength; a weak server stays idle while strong ones are lightly loaded.

use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = Shortest::new(tables);
    tables.each_dest(service.first, &mut look);
    (look.best != NONE).then_some(look.best)
}

/// The server with the shortest expected delay of those seen.
pub(super) struct Shortest {
    pub best: u32,
    load: u64,
    weight: u64,
}

impl Shortest {
    #[inline(always)]
    pub fn new<A: Addr, T: Tables<A>>(tables: &T) -> Shortest {
        Shortest {
            best: tables.unknown(NONE),
            load: tables.unknown(0) as u64,
            weight: tables.unknown(1) as u64,
        }
    }
}

impl Look for Shortest {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        let load = c.active as u64 + 1;
        let better = self.load.wrapping_mul(c.weight as u64) > load.wrapping_mul(self.weight);
        if c.usable() && (self.best == NONE || better) {
            (self.best, self.load, self.weight) = (c.id, load, c.weight as u64);
        }
        false
    }
}
