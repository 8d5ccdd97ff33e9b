//! Packet and byte counters: per destination and processor, so that nothing is shared. A service's and the
//! instance's totals are sums over these, made when somebody asks.

use super::Tables;
use crate::maps::stats::*;
use crate::mem::Mem;
use crate::proto::View;
use crate::wire::{Addr, Packet};

/// Counts a forwarded packet; bytes are those of the IP packet as it came.
#[inline(always)]
pub fn account<A: Addr, T: Tables<A>>(packet: &Packet<A>, dest: u32, view: View, tables: &T) {
    let Some(row) = tables.stats(dest) else {
        return;
    };
    let (packets, bytes) =
        if view == View::Output { (OUT_PACKETS, OUT_BYTES) } else { (IN_PACKETS, IN_BYTES) };
    row.store64(packets, row.load64(packets).wrapping_add(1));
    row.store64(bytes, row.load64(bytes).wrapping_add(packet.total_len as u64));
}

/// Counts a new connection.
#[inline(always)]
pub fn count_connection<A: Addr, T: Tables<A>>(dest: u32, tables: &T) {
    if let Some(row) = tables.stats(dest) {
        row.store64(CONNS, row.load64(CONNS).wrapping_add(1));
    }
}
