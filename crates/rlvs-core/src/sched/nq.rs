//! nq: never queue. The first server (from the newest) without an active connection, whatever its weight; when all are
//! busy, as [`sed`](super::sed).
//!
//! Weight 0 and overloaded servers are passed over. Suits few, long connections where an idle server should never
//! watch others work; with UDP, which is never active, the newest server gets everything.

use super::sed::Shortest;
use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = IdleOrShortest { shortest: Shortest::new(tables) };
    tables.each_dest(service.first, &mut look);
    let best = look.shortest.best;
    (best != NONE).then_some(best)
}

struct IdleOrShortest {
    shortest: Shortest,
}

impl Look for IdleOrShortest {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() && c.active == 0 {
            self.shortest.best = c.id;
            return true;
        }
        self.shortest.visit(c)
    }
}
