//! fo: weighted failover. Everything goes to the server of the highest weight; ties go to the newest.
//!
//! Weight 0 and overloaded servers are passed over, so lowering a weight, or reaching a threshold, moves new
//! connections to the next one. Suits a main server with spares; it balances nothing.

use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = Heaviest { best: tables.unknown(NONE), weight: tables.unknown(0) };
    tables.each_dest(service.first, &mut look);
    (look.best != NONE).then_some(look.best)
}

/// The server of the highest weight of those seen.
pub(super) struct Heaviest {
    pub best: u32,
    pub weight: u32,
}

impl Look for Heaviest {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() && c.weight > self.weight {
            (self.best, self.weight) = (c.id, c.weight);
        }
        false
    }
}
