//! dh: destination hashing. The address a packet is for decides: all clients of one virtual address get one server.
//!
//! 256 buckets are filled with the servers in turn, weights ignored. Where the bucket's server has weight 0 or is
//! overloaded nobody takes the connection. Made for caches and firewalls in front of many addresses, so for services by
//! firewall mark; a service with one address has one server.

use super::buckets::{Share, hash32, usable};
use crate::maps::ServiceConfig;
use crate::path::Tables;
use crate::wire::{Addr, Packet};

pub const BITS: u32 = 8;
pub const BUCKETS: usize = 1 << BITS;

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
) -> Option<u32> {
    usable(tables, service_id, service, hash32(packet.dst.fold(), BITS)).ok()
}

/// Fills the buckets with the servers in turn.
pub fn fill(buckets: &mut [u32; BUCKETS], shares: &[Share]) {
    for (bucket, share) in buckets.iter_mut().zip(shares.iter().cycle()) {
        *bucket = share.id;
    }
}
