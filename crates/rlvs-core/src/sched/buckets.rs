//! What dh, sh and mh share: a table of buckets, each with a server, filled by user space whenever the servers change and
//! only read by the programs (map `BUCKETS`).

use crate::maps::{BUCKETS_PER_PAGE, ServiceConfig, dest_state};
use crate::mem::Mem;
use crate::path::Tables;
use crate::wire::Addr;

/// A server as the tables are filled from it; in the order of the service's list, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub id: u32,
    pub weight: u32,
    /// The weight before it was last set to 0.
    pub last_weight: u32,
    /// Its address folded into a number, and its port.
    pub addr: u32,
    pub port: u16,
}

/// The multiplicative hash of dh and sh: the upper `bits` of x × 0x61C88647 (the golden ratio's 32 bits).
#[inline(always)]
pub const fn hash32(x: u32, bits: u32) -> u32 {
    x.wrapping_mul(0x61c8_8647) >> (32 - bits)
}

/// The server in a bucket, if it belongs to this service and takes connections.
#[inline(always)]
pub(super) fn usable<A: Addr, T: Tables<A>>(
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
    bucket: u32,
) -> Result<u32, Unusable> {
    if bucket >= service.buckets {
        return Err(Unusable::Empty);
    }
    let page = service.buckets_page.wrapping_add(bucket / BUCKETS_PER_PAGE as u32);
    let id = match tables.bucket(page, bucket % BUCKETS_PER_PAGE as u32) {
        Some(id) => id,
        None => return Err(Unusable::Empty),
    };
    let Some((dest, state)) = tables.dest(id).zip(tables.dest_state(id)) else {
        return Err(Unusable::Empty);
    };
    let overloaded = state.load(dest_state::TOTAL) & dest_state::OVERLOADED != 0;
    if !dest.is_available() || dest.service != service_id || dest.weight == 0 || overloaded {
        return Err(Unusable::Now);
    }
    Ok(id)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unusable {
    /// No server here at all.
    Empty,
    /// One that takes no connections at the moment.
    Now,
}

#[cfg(test)]
mod tests {
    use super::hash32;

    #[test]
    fn computed_vectors() {
        let addrs =
            [[10, 0, 0, 2], [192, 168, 1, 1], [1, 2, 3, 4], [207, 175, 44, 110]].map(u32::from_be_bytes);
        assert_eq!(addrs.map(|a| hash32(a, 8)), [137, 136, 52, 174]);
        assert_eq!(addrs.map(|a| hash32(a, 10)), [550, 547, 209, 699]);
        assert_eq!(addrs.map(|a| hash32(a.wrapping_add(12345), 8)), [232, 231, 147, 13]);
    }
}
