//! twos: power of two choices. Two servers are drawn at random, in proportion to their weights, and the one with the
//! lower load, (256 × active + inactive) / weight, takes the connection.
//!
//! Almost as even as wlc, and many directors in front of the same servers do not all run to the same one. The draw
//! is uniform over 0..=sum of weights, as in the kernel, so the newest server is hit by one number more than its weight.
//! Weight 0 and overloaded servers are passed over. (Linux 5.19 and newer; `ipvsadm -h` does not list it.)

use super::overhead;
use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> Option<u32> {
    let mut sum = Sum { weights: tables.unknown(0) as u64 };
    tables.each_dest(service.first, &mut sum);
    if sum.weights == 0 {
        return None;
    }
    let mut draw = Draw {
        first: Drawn::new(tables, drawn(tables.random(), sum.weights)),
        second: Drawn::new(tables, drawn(tables.random(), sum.weights)),
    };
    tables.each_dest(service.first, &mut draw);
    let Draw { first: a, second: b } = draw;
    // A server that leaves between the two walks may leave one draw, or both, without a choice.
    let best = match (a.id, b.id) {
        (NONE, id) | (id, NONE) => id,
        _ if b.weight.wrapping_mul(a.load) > a.weight.wrapping_mul(b.load) => b.id,
        _ => a.id,
    };
    (best != NONE).then_some(best)
}

/// A number from 0 to `sum`, both included.
#[inline(always)]
const fn drawn(random: u32, sum: u64) -> i64 {
    // Sums above 2^32 do not come about: weights are at most 2^31 - 1 and the scaling stays in 64 bits.
    let sum = if sum > u32::MAX as u64 - 1 { u32::MAX as u64 - 1 } else { sum };
    ((random as u64).wrapping_mul(sum + 1) >> 32) as i64
}

struct Sum {
    weights: u64,
}

impl Look for Sum {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() {
            self.weights = self.weights.wrapping_add(c.weight as u64);
        }
        false
    }
}

/// One of the two: what is left of the number drawn, and the server where it ran out.
struct Drawn {
    left: i64,
    id: u32,
    load: u64,
    weight: u64,
}

impl Drawn {
    #[inline(always)]
    fn new<A: Addr, T: Tables<A>>(tables: &T, left: i64) -> Drawn {
        Drawn {
            left,
            id: tables.unknown(NONE),
            load: tables.unknown(0) as u64,
            weight: tables.unknown(0) as u64,
        }
    }
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) {
        self.left = self.left.wrapping_sub(c.weight as i64);
        if self.id == NONE && self.left <= 0 {
            (self.id, self.load, self.weight) = (c.id, overhead(c), c.weight as u64);
        }
    }
}

struct Draw {
    first: Drawn,
    second: Drawn,
}

impl Look for Draw {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() {
            self.first.visit(c);
            self.second.visit(c);
        }
        self.first.id != NONE && self.second.id != NONE
    }
}
