//! lblc: locality-based least connections. A destination address stays with one server, so that its cache is used, until
//! that server has more than its share; then the least loaded server takes the address over.
//!
//! "More than its share": more active connections than its weight, while some server has less than half of its own
//! weight. Least loaded is as in [`wlc`](super::wlc). Made for caches that clients reach by many addresses, so for services
//! by firewall mark.
//!
//! Which server has an address is a *mapping* in the connection table. It is forgotten after `lblc_expiration`; a service
//! keeps at most 24,576, and forgets those not used for six minutes while it has more than 16,384.

use super::mapping::{self, LBLC};
use super::{Picked, is_half_idle};
use crate::maps::sysctl::Setting;
use crate::mem::Mem;
use crate::path::Tables;
use crate::wire::{Addr, Packet};

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Picked> {
    let (settings, service) = tables.settings().zip(tables.service(service_id))?;
    let timeout = settings.sysctl(Setting::LblcExpiration).wrapping_mul(tables.hz());
    if let Some(entry) = tables.find_kept(|| mapping::flow(packet.dst, service, LBLC)) {
        let id = entry.dest();
        entry.touch(now, timeout);
        if let Some((dest, state)) = tables.dest(id).zip(tables.dest_state(id))
            && dest.is_available()
            && dest.weight > 0
            && !(state.load(crate::maps::dest_state::ACTIVE) > dest.weight && is_half_idle(tables, service))
        {
            return Some(Picked::known(id));
        }
    }
    let dest = tables.pick_least(service_id)?;
    Some(Picked { is_new: true, ..Picked::known(dest) })
}
