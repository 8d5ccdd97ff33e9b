//! wrr: weighted round robin. Servers get turns in proportion to their weights, interleaved.
//!
//! The list is walked at falling levels: at level *c* every server with a weight of at least *c* has one turn. Levels
//! start at max - (gcd - 1) and fall by the greatest common divisor of the weights; after the last one they start
//! again. State: the cursor as in [`rr`](super::rr) (low half) and the level (high half). Adding a server to an empty
//! service sets level 1, so the very first walk is the lowest one, as in the kernel.
//!
//! Weight 0 and overloaded servers have no turn. Weights should be small numbers: with 1000/1001 a thousand turns go
//! by before the difference shows.

use super::{TRIES, after, first_with};
use crate::maps::{NONE, ServiceConfig};
use crate::mem::Mem;
use crate::path::{Candidate, Look, Tables};
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service_id: u32, service: &ServiceConfig) -> Option<u32> {
    let state = tables.sched_state(service_id)?;
    if top_level(service) == 0 {
        return None;
    }
    let mut found = NONE;
    let mut tries = 0;
    while tries < TRIES {
        let old = state.load64(0);
        let (cursor, mut level) = (old as u32, (old >> 32) as u32);
        found = first_with(tables, after(tables, cursor, service_id, service.first), level);
        if found == NONE {
            level = next_level(tables, service, level)?;
            found = first_with(tables, service.first, level);
        }
        if found == NONE || state.compare_swap64(0, old, pack(found as u64 + 1, level)) == old {
            break;
        }
        tries += 1;
    }
    (found != NONE).then_some(found)
}

/// The next lower level at which a server can be found, going round at the end; none if no server can be used.
///
/// The kernel steps down one level after the other; this takes the steps at once.
#[inline(always)]
fn next_level<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig, level: u32) -> Option<u32> {
    let mut look = Heaviest { weight: tables.unknown(0) };
    tables.each_dest(service.first, &mut look);
    if look.weight == 0 {
        return None;
    }
    let step = service.gcd_weight.max(1);
    let top = if level > step { level - step } else { top_level(service) };
    let reachable = (look.weight - 1).checked_div(step)?.wrapping_mul(step).wrapping_add(1);
    Some(top.min(reachable))
}

struct Heaviest {
    weight: u32,
}

impl Look for Heaviest {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() && c.weight > self.weight {
            self.weight = c.weight;
        }
        false
    }
}

#[inline(always)]
fn top_level(service: &ServiceConfig) -> u32 {
    service.max_weight.saturating_sub(service.gcd_weight.saturating_sub(1))
}

#[inline(always)]
const fn pack(cursor: u64, level: u32) -> u64 {
    cursor & 0xffff_ffff | (level as u64) << 32
}

/// Servers were added, edited or removed: back to the front; the level stays where it fits the new weights.
pub fn changed(service: &ServiceConfig, state: u64) -> u64 {
    let level = (state >> 32) as u32;
    let step = service.gcd_weight.max(1);
    let level = if level == 0 || level > top_level(service) {
        top_level(service)
    } else if step > 1 {
        level / step * step + 1
    } else {
        level
    };
    pack(0, level)
}
