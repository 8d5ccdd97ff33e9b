//! wlc: weighted least connections, the default. The least of (256 × active + inactive) / weight; ties go to the newest.
//!
//! Fractions are compared by cross-multiplication. Weight 0 and overloaded servers are passed over. Suits servers of
//! unequal strength with long connections; with UDP, which is never active, it only counts entries.

use super::overhead;
use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = Least {
        best: tables.unknown(NONE),
        load: tables.unknown(0) as u64,
        weight: tables.unknown(1) as u64,
    };
    tables.each_dest(service.first, &mut look);
    (look.best != NONE).then_some(look.best)
}

struct Least {
    best: u32,
    load: u64,
    weight: u64,
}

impl Look for Least {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        let better = self.load.wrapping_mul(c.weight as u64) > overhead(c).wrapping_mul(self.weight);
        if c.usable() && (self.best == NONE || better) {
            (self.best, self.load, self.weight) = (c.id, overhead(c), c.weight as u64);
        }
        false
    }
}
