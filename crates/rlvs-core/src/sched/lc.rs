//! lc: least connections. The server with the least load, 256 × active + inactive; ties go to the newest.
//!
//! Weights count only as zero or not. Suits servers of equal strength with requests of unequal length; a server that
//! answers with quick errors attracts everything.

use super::overhead;
use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = Least { best: tables.unknown(NONE), load: tables.unknown(0) as u64 };
    tables.each_dest(service.first, &mut look);
    (look.best != NONE).then_some(look.best)
}

struct Least {
    best: u32,
    load: u64,
}

impl Look for Least {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() && (self.best == NONE || overhead(c) < self.load) {
            (self.best, self.load) = (c.id, overhead(c));
        }
        false
    }
}
