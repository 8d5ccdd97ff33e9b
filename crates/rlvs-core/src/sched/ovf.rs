//! ovf: weighted overflow. The server of the highest weight gets everything until it has more active connections than
//! its weight; then the next one does. When all have, nobody takes the connection.
//!
//! So the weight is a number of connections. Weight 0 and overloaded servers are passed over; ties go to the newest.
//! UDP is never active and never flows over. Suits keeping as few servers busy as possible.

use super::fo::Heaviest;
use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut look = HeaviestWithRoom(Heaviest { best: tables.unknown(NONE), weight: tables.unknown(0) });
    tables.each_dest(service.first, &mut look);
    (look.0.best != NONE).then_some(look.0.best)
}

struct HeaviestWithRoom(Heaviest);

impl Look for HeaviestWithRoom {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.active <= c.weight {
            self.0.visit(c);
        }
        false
    }
}
