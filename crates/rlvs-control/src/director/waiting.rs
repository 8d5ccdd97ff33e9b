//! Servers that do not answer: masqueraded TCP connections (NAT) in SYN_RECV from whose server no packet ever came.
//!
//! A server's first packet leaves its way to the client in the entry ([`Entry::reply_hop`]), also when it is a reset or an
//! ICMP error. So an entry without one, whose client has sent its SYN again or has waited for a second, is of a client that
//! the server never answered; one that a client opened and then left alone (a flood of SYNs) is not.
//!
//! A table may have millions of entries. So one look goes through a part of it, of which no more than that is mapped, and the
//! next one goes on there ([`Walk`]). After some looks a round ends, whether the whole table was seen or not: where an entry
//! is, follows from a hash, so that any part of the table is a fair sample.

use super::{convert, counters};
use crate::Result;
use crate::instance::Instance;
use crate::model::{Family, Protocol, ServiceKey, Waiting};
use crate::shared::{Lazy, Row};
use rlvs_core::conn::entry::{Word, idle};
use rlvs_core::conn::tags::{is_empty, tag};
use rlvs_core::conn::{Entry, SET_WORDS};
use rlvs_core::fwd::Method;
use rlvs_core::maps::global;
use rlvs_core::mem::Mem;
use rlvs_core::proto::tcp;
use rlvs_core::wire::{Addr, Be32, ip_proto};
use std::collections::{BTreeMap, HashMap};

/// A look costs no more than so many sets and entries together: some milliseconds.
const LOOK: u32 = 100_000;
/// Looks of a round.
const LOOKS: u32 = 4;
/// Sets that are mapped at once: 4 MiB.
const MAPPED: u32 = 4096;
const SETS_OF_A_PAGE: u32 = 4;

/// How far a round has come, and what it has found.
#[derive(Debug)]
pub struct Walk {
    look: u32,
    looks: u32,
    tables: [Table; 2],
    /// Of each destination, clients by when they last sent something, in whole seconds of jiffies.
    found: HashMap<u32, BTreeMap<u32, u32>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Table {
    /// Where to go on.
    at: u32,
    /// So many sets were seen in this round.
    seen: u32,
    of: u32,
}

impl Table {
    fn is_seen(&self) -> bool {
        self.seen >= self.of
    }

    fn share(&self) -> f64 {
        f64::from(self.seen) / f64::from(self.of.max(1))
    }
}

impl Default for Walk {
    fn default() -> Walk {
        Walk::in_steps_of(LOOK)
    }
}

impl Walk {
    /// So many sets and entries in a look.
    pub fn in_steps_of(look: u32) -> Walk {
        Walk { look, looks: 0, tables: [Table::default(); 2], found: HashMap::new() }
    }

    /// Goes on with the round; what it found, if this was its end.
    pub(super) fn go_on(&mut self, instance: &Instance) -> Result<Option<Vec<Waiting>>> {
        let of = [instance.conns.len(), instance.conns6.len()];
        if self.tables.map(|table| table.of) != of {
            // Of other tables nothing is known.
            *self = Walk::in_steps_of(self.look);
            self.tables = of.map(|of| Table { of, ..Table::default() });
        }
        let now = instance.now()?;
        // A table that holds nothing is not looked at.
        let holds = [is_in_use::<Be32>(instance), is_in_use::<[Be32; 4]>(instance)];
        let budget = if holds == [true; 2] { self.look / 2 } else { self.look };
        for (table, _) in self.tables.iter_mut().zip(holds).filter(|(_, holds)| !holds) {
            table.seen = table.of;
        }
        self.part::<Be32>(instance, &instance.conns, 0, now, budget)?;
        self.part::<[Be32; 4]>(instance, &instance.conns6, 1, now, budget)?;
        self.looks += 1;
        let is_over = self.looks >= LOOKS || self.tables.iter().all(Table::is_seen);
        Ok(is_over.then(|| self.told(instance, now)))
    }

    /// On through the sets of one table, as long as something is left to spend.
    fn part<A: Addr>(
        &mut self,
        instance: &Instance,
        sets: &Lazy<[u32; SET_WORDS]>,
        which: usize,
        now: u32,
        mut budget: u32,
    ) -> Result<()> {
        while budget > 0 && !self.tables[which].is_seen() {
            let Table { at, seen, of } = self.tables[which];
            let mapped =
                sets.part(at, MAPPED.min(of - at).min((of - seen).next_multiple_of(SETS_OF_A_PAGE)))?;
            let mut done = 0;
            while done < mapped.len() && (budget > 0 || !done.is_multiple_of(SETS_OF_A_PAGE)) {
                let entries = self.set::<A>(instance, mapped.words(done), at + done, now);
                budget = budget.saturating_sub(1 + entries);
                done += 1;
            }
            self.tables[which] = Table { at: (at + done) % of, seen: (seen + done).min(of), of };
        }
        Ok(())
    }

    /// Looks at the entries of a set, and says how many there are.
    fn set<A: Addr>(&mut self, instance: &Instance, set: Row<'_>, index: u32, now: u32) -> u32 {
        if is_empty(set) {
            return 0;
        }
        let mut entries = 0;
        for way in (1..=Entry::<A, Row<'_>>::WAYS).filter(|way| tag(set, *way) != 0) {
            entries += 1;
            let entry = Entry::<A, _>::new(set, way, index);
            let word = entry.word();
            let last = entry.last_seen();
            if word.is_live()
                && !word.is_kept()
                && !word.has(Word::FROM_SYNC)
                && word.method() == Method::Masquerade as u8
                && word.state() == tcp::SYN_RECV
                && entry.proto() == ip_proto::TCP
                && entry.reply_hop().ifindex == 0
                && !entry.has_expired(now)
                && (entry.in_packets() >= 2 || idle(now, last) >= instance.hz)
            {
                let second = last.wrapping_sub(last % instance.hz);
                *self.found.entry(entry.dest()).or_default().entry(second).or_default() += 1;
            }
        }
        entries
    }

    /// Of all destinations that are masqueraded to; then another round begins.
    fn told(&mut self, instance: &Instance, now: u32) -> Vec<Waiting> {
        let shares = self.tables.map(|table| table.share());
        let mut found = std::mem::take(&mut self.found);
        self.looks = 0;
        self.tables.iter_mut().for_each(|table| table.seen = 0);
        let told = instance.dest_slots().filter_map(|id| {
            let dest = instance.dest.get(id);
            let service = convert::key_view(&dest.service_key);
            let has_syns =
                !matches!(service, ServiceKey::Address { protocol: Protocol::Udp | Protocol::Sctp, .. });
            let is_seen = dest.is_available() && dest.method == Method::Masquerade as u8 && has_syns;
            is_seen.then(|| {
                let mut since = BTreeMap::new();
                for (second, clients) in found.remove(&id).unwrap_or_default() {
                    *since.entry(idle(now, second) / instance.hz).or_default() += clients;
                }
                Waiting {
                    service,
                    addr: convert::addr(dest.addr, dest.family),
                    port: dest.port.get(),
                    opened: counters::of_destination(instance, id).conns,
                    since,
                    share: shares[usize::from(service.family() == Family::Inet6)],
                }
            })
        });
        told.collect()
    }
}

fn is_in_use<A: Addr>(instance: &Instance) -> bool {
    instance.global.words(0).load(global::conns::<A>()) != 0
}
