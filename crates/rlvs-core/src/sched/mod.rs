//! Schedulers: which server gets a new connection. One file each, named by the word the operator types.
//!
//! A scheduler never loops over destinations itself: it hands a [`Look`] to [`Tables::each_dest`], which shows it the
//! candidates from the newest to the oldest. State that must survive lives in 64 bits of `SCHED_STATE` and is changed
//! by compare-and-swap, so that two processors never get the same turn.

pub mod lc;
pub mod rr;
pub mod wlc;
pub mod wrr;

use crate::maps::ServiceConfig;
use crate::path::{Candidate, Look, Tables};
use crate::wire::{Addr, Packet};

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
}

/// The destination for a new connection, if any can take it.
#[inline(always)]
pub fn pick<A: Addr, T: Tables<A>>(
    _packet: &Packet<A>,
    tables: &T,
    service_id: u32,
    service: &ServiceConfig,
) -> Option<u32> {
    match Scheduler::from_number(service.scheduler)? {
        Scheduler::None => None,
        Scheduler::Rr => rr::pick(tables, service_id, service),
        Scheduler::Wrr => wrr::pick(tables, service_id, service),
        Scheduler::Lc => lc::pick(tables, service),
        Scheduler::Wlc => wlc::pick(tables, service),
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
