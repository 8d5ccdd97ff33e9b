//! rr: round robin. Each server in turn, the newest first; weight counts only as zero or not.
//!
//! State: the cursor, id + 1 of the server that had the last turn, 0 at the start. A search goes from the one after
//! it to the end, then once from the front. Weight 0 and overloaded servers are passed over. Suits equal servers and
//! equal requests; does harm where either differs much.

use super::{TRIES, after, first_with};
use crate::maps::{NONE, ServiceConfig};
use crate::mem::Mem;
use crate::path::Tables;
use crate::wire::Addr;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(tables: &T, service_id: u32, service: &ServiceConfig) -> Option<u32> {
    let state = tables.sched_state(service_id)?;
    let mut found = NONE;
    let mut tries = 0;
    while tries < TRIES {
        let cursor = state.load64(0);
        found = first_with(tables, after(tables, cursor as u32, service_id, service.first), 1);
        if found == NONE && cursor != 0 {
            found = first_with(tables, service.first, 1);
        }
        if found == NONE || state.compare_swap64(0, cursor, found as u64 + 1) == cursor {
            break;
        }
        tries += 1;
    }
    (found != NONE).then_some(found)
}

/// The server with the cursor leaves: the one before it has it now.
pub fn removed(state: u64, dest: u32, previous: u32) -> u64 {
    if state == dest as u64 + 1 { (previous as u64 + 1) & u32::MAX as u64 } else { state }
}
