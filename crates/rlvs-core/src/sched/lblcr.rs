//! lblcr: lblc with replication. A destination address has a set of servers, and the least loaded of them takes the
//! connection; when that one has more than its share, the least loaded of all joins the set. A set that did not change for
//! `lblcr_expiration` loses its most loaded member, so that copies go again when they are not needed.
//!
//! "More than its share" and "least loaded" as in [`lblc`](super::lblc). Each member is a mapping in the connection table:
//! all of one address have the same flow, and their numbers say in which order they joined (the last is asked first, which
//! decides ties). Limits as with lblc.

use super::mapping::{self, LBLCR};
use super::{Picked, is_half_idle, overhead};
use crate::conn::entry::idle;
use crate::conn::{Entry, Visit, each_kept};
use crate::maps::sysctl::Setting;
use crate::maps::{NONE, ServiceConfig, dest_state};
use crate::mem::Mem;
use crate::path::{Candidate, Tables};
use crate::wire::{Addr, Packet};

#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Picked> {
    let (settings, service) = tables.settings().zip(tables.service(service_id))?;
    let flow = mapping::flow(packet.dst, service, LBLCR);
    let flow = tables.settled(&flow)?;
    let timeout = settings.sysctl(Setting::LblcrExpiration).wrapping_mul(tables.hz());
    let members = each_kept(tables, flow, Members::new(tables, now, timeout));
    let stale = members.count > 1 && members.since_change > timeout;
    let surplus = if stale { members.most } else { NONE };
    let best = members.least;
    if best != NONE
        && let Some((dest, state)) = tables.dest(best).zip(tables.dest_state(best))
        && !(state.load(dest_state::ACTIVE) > dest.weight && is_half_idle(tables, service))
    {
        return Some(Picked { dest: best, is_new: false, surplus });
    }
    let dest = tables.pick_least(service_id)?;
    let member = each_kept(tables, flow, Sought { dest, found: tables.unknown(0) }).found != 0;
    Some(Picked { dest, is_new: !member, surplus })
}

/// Notes in all members of an address's set that it was changed.
#[inline(always)]
pub fn set_changed<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, service: &ServiceConfig, now: u32) {
    if let Some(flow) = tables.settled(&mapping::flow(packet.dst, service, LBLCR)) {
        each_kept(tables, flow, Changed { now });
    }
}

/// One walk over the members: the least loaded (a destination) and the most loaded (an entry), how many there are, and how
/// long the set is unchanged.
struct Members<'t, A, T> {
    tables: &'t T,
    now: u32,
    timeout: u32,
    least: u32,
    least_weight: u32,
    least_load: u64,
    least_serial: u32,
    most: u32,
    most_weight: u32,
    most_serial: u32,
    most_load: u64,
    count: u32,
    since_change: u32,
    _family: core::marker::PhantomData<A>,
}

impl<'t, A: Addr, T: Tables<A>> Members<'t, A, T> {
    #[inline(always)]
    fn new(tables: &'t T, now: u32, timeout: u32) -> Self {
        Members {
            tables,
            now,
            timeout,
            least: tables.unknown(NONE),
            least_weight: tables.unknown(0),
            least_load: tables.unknown(0) as u64,
            least_serial: tables.unknown(0),
            most: tables.unknown(NONE),
            most_weight: tables.unknown(0),
            most_serial: tables.unknown(0),
            most_load: tables.unknown(0) as u64,
            count: tables.unknown(0),
            since_change: tables.unknown(u32::MAX),
            _family: core::marker::PhantomData,
        }
    }
}

impl<A: Addr, T: Tables<A>> Visit<A, T::Set> for Members<'_, A, T> {
    #[inline(always)]
    fn visit(&mut self, entry: Entry<A, T::Set>) -> bool {
        let id = entry.dest();
        let Some((dest, state)) = self.tables.dest(id).zip(self.tables.dest_state(id)) else {
            return false;
        };
        entry.touch(self.now, self.timeout);
        self.count = self.count.wrapping_add(1);
        self.since_change = self.since_change.min(idle(self.now, entry.changed_at()));
        let c = Candidate::of(id, dest, state);
        let (load, serial) = (overhead(&c), entry.serial());
        if dest.is_available() && c.usable() {
            let best = self.least_load.wrapping_mul(c.weight as u64);
            let ours = load.wrapping_mul(self.least_weight as u64);
            if self.least == NONE || best > ours || best == ours && serial > self.least_serial {
                (self.least, self.least_serial) = (id, serial);
                (self.least_load, self.least_weight) = (load, c.weight);
            }
        }
        if c.weight > 0 {
            let worst = self.most_load.wrapping_mul(c.weight as u64);
            let ours = load.wrapping_mul(self.most_weight as u64);
            if self.most == NONE || worst < ours || worst == ours && serial > self.most_serial {
                (self.most, self.most_serial) = (entry.id, serial);
                (self.most_load, self.most_weight) = (load, c.weight);
            }
        }
        false
    }
}

/// Is a server a member?
struct Sought {
    dest: u32,
    found: u32,
}

impl<A: Addr, M: Mem> Visit<A, M> for Sought {
    #[inline(always)]
    fn visit(&mut self, entry: Entry<A, M>) -> bool {
        self.found |= (entry.dest() == self.dest) as u32;
        self.found != 0
    }
}

/// The set was changed now.
struct Changed {
    now: u32,
}

impl<A: Addr, M: Mem> Visit<A, M> for Changed {
    #[inline(always)]
    fn visit(&mut self, entry: Entry<A, M>) -> bool {
        entry.set_changed_at(self.now);
        false
    }
}
