//! Schedulers: which server gets a new connection. One file each, named by the word the operator types.
//!
//! A scheduler never loops over destinations itself: it hands a [`Look`] to [`Tables::each_dest`], which shows it the
//! candidates from the newest to the oldest. State that must survive lives in 64 bits of `SCHED_STATE` and is changed
//! by compare-and-swap, so that two processors never get the same turn; in tables that user space fills ([`buckets`]);
//! or in the connection table ([`mapping`]).
//!
//! docs/schedulers.md says which one to choose.

pub mod buckets;
pub mod dh;
pub mod fo;
pub mod lblc;
pub mod lblcr;
pub mod lc;
pub mod mapping;
pub mod mh;
pub mod nq;
pub mod ovf;
pub mod rr;
pub mod sed;
pub mod sh;
pub mod twos;
pub mod wlc;
pub mod wrr;

use crate::maps::{NONE, ServiceConfig};
use crate::path::{Candidate, Look, Tables};
use crate::wire::{Addr, Packet};

/// Bits of `ServiceConfig::sched_flags`: `sh-fallback` and `mh-fallback` (flag-1), `sh-port` and `mh-port` (flag-2).
pub const FALLBACK: u8 = 1;
pub const PORT: u8 = 2;

macro_rules! schedulers {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $word:literal,)+) => {
        /// Numbers of `ServiceConfig::scheduler`. The list only grows.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Scheduler { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Scheduler {
            pub const ALL: &'static [Scheduler] = &[$(Scheduler::$name,)+];

            /// The word after `-s`.
            pub const fn word(self) -> &'static str {
                match self { $(Scheduler::$name => $word,)+ }
            }

            pub const fn from_number(number: u8) -> Option<Scheduler> {
                match number { $($number => Some(Scheduler::$name),)+ _ => None }
            }

            pub fn from_word(word: &str) -> Option<Scheduler> {
                Scheduler::ALL.iter().copied().find(|s| s.word() == word)
            }
        }
    };
}

schedulers! {
    /// Schedules nothing: the service takes no new connections.
    None = 0 "none",
    /// Round robin.
    Rr = 1 "rr",
    /// Weighted round robin.
    Wrr = 2 "wrr",
    /// Least connections.
    Lc = 3 "lc",
    /// Weighted least connections.
    Wlc = 4 "wlc",
    /// Shortest expected delay.
    Sed = 5 "sed",
    /// Never queue.
    Nq = 6 "nq",
    /// Destination hashing.
    Dh = 7 "dh",
    /// Source hashing.
    Sh = 8 "sh",
    /// Locality-based least connections.
    Lblc = 9 "lblc",
    /// Locality-based least connections with replication.
    Lblcr = 10 "lblcr",
    /// Maglev hashing.
    Mh = 11 "mh",
    /// Weighted failover.
    Fo = 12 "fo",
    /// Weighted overflow.
    Ovf = 13 "ovf",
    /// Power of two choices.
    Twos = 14 "twos",
}

/// The destination for a new connection, if any can take it. In the kernel each group is a function of its own.
#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Picked> {
    let service = tables.service(service_id)?;
    match group(service.scheduler) {
        Group::Turns => pick_by_turns(tables, service_id).map(Picked::known),
        Group::Load => pick_by_load(tables, service_id).map(Picked::known),
        Group::Hash => pick_by_hash(packet, tables, service_id).map(Picked::known),
        Group::Locality => pick_by_locality(packet, tables, service_id, now),
        Group::Nobody => None,
    }
}

/// A scheduler's choice, and what it wants done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picked {
    pub dest: u32,
    /// lblc, lblcr: to be noted ([`mapping::note`]).
    pub is_new: bool,
    /// lblcr: the entry of a server that leaves the set, or `NONE`.
    pub surplus: u32,
}

impl Picked {
    /// What no id reaches: ids of destinations and entries have at most 24 bits.
    const NOBODY: u32 = 0xff_ffff;

    #[inline(always)]
    pub fn known(dest: u32) -> Picked {
        Picked { dest, is_new: false, surplus: NONE }
    }

    /// As one number, for a function that can return no more.
    #[inline(always)]
    pub const fn code(self) -> u64 {
        let surplus = self.surplus & Picked::NOBODY;
        (self.dest & Picked::NOBODY) as u64 | (surplus as u64) << 24 | (self.is_new as u64) << 48
    }
    #[inline(always)]
    pub const fn from_code(code: u64) -> Picked {
        let surplus = (code >> 24) as u32 & Picked::NOBODY;
        Picked {
            dest: code as u32 & Picked::NOBODY,
            is_new: code >> 48 & 1 != 0,
            surplus: if surplus == Picked::NOBODY { NONE } else { surplus },
        }
    }
}

/// What schedulers look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Nobody,
    Turns,
    Load,
    Hash,
    Locality,
}

#[inline(always)]
pub const fn group(scheduler: u8) -> Group {
    match Scheduler::from_number(scheduler) {
        Some(Scheduler::Rr | Scheduler::Wrr) => Group::Turns,
        Some(
            Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Fo
            | Scheduler::Ovf
            | Scheduler::Twos,
        ) => Group::Load,
        Some(Scheduler::Dh | Scheduler::Sh | Scheduler::Mh) => Group::Hash,
        Some(Scheduler::Lblc | Scheduler::Lblcr) => Group::Locality,
        Some(Scheduler::None) | None => Group::Nobody,
    }
}

#[inline(always)]
pub fn pick_by_turns<A: Addr, T: Tables<A>>(tables: &T, service_id: u32) -> Option<u32> {
    let service = tables.service(service_id)?;
    match Scheduler::from_number(service.scheduler)? {
        Scheduler::Rr => rr::pick(tables, service_id, service),
        Scheduler::Wrr => wrr::pick(tables, service_id, service),
        _ => None,
    }
}

#[inline(always)]
pub fn pick_by_load<A: Addr, T: Tables<A>>(tables: &T, service_id: u32) -> Option<u32> {
    let service = tables.service(service_id)?;
    match Scheduler::from_number(service.scheduler)? {
        Scheduler::Lc => lc::pick(tables, service),
        Scheduler::Wlc => wlc::pick(tables, service),
        Scheduler::Sed => sed::pick(tables, service),
        Scheduler::Nq => nq::pick(tables, service),
        Scheduler::Fo => fo::pick(tables, service),
        Scheduler::Ovf => ovf::pick(tables, service),
        Scheduler::Twos => twos::pick(tables, service),
        _ => None,
    }
}

#[inline(always)]
pub fn pick_by_hash<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T, service_id: u32) -> Option<u32> {
    let service = tables.service(service_id)?;
    match Scheduler::from_number(service.scheduler)? {
        Scheduler::Dh => dh::pick(packet, tables, service_id, service),
        Scheduler::Sh => sh::pick(packet, tables, service_id, service),
        Scheduler::Mh => mh::pick(packet, tables, service_id, service),
        _ => None,
    }
}

#[inline(always)]
pub fn pick_by_locality<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    now: u32,
) -> Option<Picked> {
    match Scheduler::from_number(tables.service(service_id)?.scheduler)? {
        Scheduler::Lblc => lblc::pick(packet, tables, service_id, now),
        Scheduler::Lblcr => lblcr::pick(packet, tables, service_id, now),
        _ => None,
    }
}

/// How many buckets a scheduler wants filled; 0 for those that have none.
pub const fn bucket_count(scheduler: u8) -> usize {
    match Scheduler::from_number(scheduler) {
        Some(Scheduler::Dh) => dh::BUCKETS,
        Some(Scheduler::Sh) => sh::BUCKETS,
        Some(Scheduler::Mh) => mh::BUCKETS,
        _ => 0,
    }
}

/// What stands in a mapping's flow for this scheduler; 0 for those that have none.
#[inline(always)]
pub const fn mapping_kind(scheduler: u8) -> u8 {
    match scheduler {
        9 => mapping::LBLC,
        10 => mapping::LBLCR,
        _ => 0,
    }
}

/// What a scheduler's state becomes when destinations were added or edited, or when it starts (`state` 0).
pub fn changed(service: &ServiceConfig, state: u64) -> u64 {
    match Scheduler::from_number(service.scheduler) {
        Some(Scheduler::Wrr) => wrr::changed(service, state),
        _ => state,
    }
}

/// What it becomes when `dest`, which followed `previous`, was taken out of the list.
pub fn removed(service: &ServiceConfig, state: u64, dest: u32, previous: u32) -> u64 {
    match Scheduler::from_number(service.scheduler) {
        Some(Scheduler::Rr) => rr::removed(state, dest, previous),
        Some(Scheduler::Wrr) => wrr::changed(service, state),
        _ => state,
    }
}

/// How often a scheduler looks again when another processor took its turn meanwhile.
pub(crate) const TRIES: u32 = 4;

/// Finds the first destination with at least some weight that is not overloaded.
pub(crate) struct First {
    pub min_weight: u32,
    pub found: u32,
}

impl Look for First {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        if c.usable() && c.weight >= self.min_weight {
            self.found = c.id;
            return true;
        }
        false
    }
}

/// The first destination from `first` on with at least this weight, or `NONE`.
#[inline(always)]
pub(crate) fn first_with<A: Addr, T: Tables<A>>(tables: &T, first: u32, min_weight: u32) -> u32 {
    let mut look = First { min_weight, found: tables.unknown(crate::maps::NONE) };
    tables.each_dest(first, &mut look);
    look.found
}

/// The destination after the one that a cursor points to (0: before the first; otherwise id + 1).
#[inline(always)]
pub(crate) fn after<A: Addr, T: Tables<A>>(tables: &T, cursor: u32, service_id: u32, first: u32) -> u32 {
    if cursor == 0 {
        return first;
    }
    match tables.dest(cursor.wrapping_sub(1)) {
        Some(dest) if dest.service == service_id => dest.next,
        _ => first,
    }
}

/// IPVS's measure of load (Linux 6.1, seen in recordings): an active connection counts as 256 inactive ones.
#[inline(always)]
pub(crate) const fn overhead(c: &Candidate) -> u64 {
    ((c.active as u64) << 8) + c.inactive as u64
}

/// Does some server have less than half of its weight in active connections? (lblc and lblcr: then another one that has
/// more than its weight gives up.)
#[inline(always)]
pub(crate) fn is_half_idle<A: Addr, T: Tables<A>>(tables: &T, service: &ServiceConfig) -> bool {
    let mut look = HalfIdle { found: tables.unknown(0) };
    tables.each_dest(service.first, &mut look);
    look.found != 0
}

struct HalfIdle {
    found: u32,
}

impl Look for HalfIdle {
    #[inline(always)]
    fn visit(&mut self, c: &Candidate) -> bool {
        self.found = ((c.active as u64) * 2 < c.weight as u64) as u32;
        self.found != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_round_trip() {
        for surplus in [NONE, 0, 7 << 4 | 15, 0x3f_ffff] {
            let picked = Picked { dest: 0xffff, is_new: surplus == 0, surplus };
            assert_eq!(Picked::from_code(picked.code()), picked);
        }
    }

    #[test]
    fn mappings_know_their_schedulers() {
        for s in Scheduler::ALL {
            let has = matches!(s, Scheduler::Lblc | Scheduler::Lblcr);
            assert_eq!(mapping_kind(*s as u8) != 0, has, "{}", s.word());
        }
    }
}
