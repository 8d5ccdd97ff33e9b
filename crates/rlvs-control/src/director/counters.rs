//! Packet and byte counters. The programs count per destination and processor; a service's counters are the sum over
//! its destinations, plus what it carries over from those that are gone. Zeroing changes no counter: it notes where
//! zero is.

use super::destinations;
use crate::instance::Instance;
use crate::model::Counters;
use rlvs_core::maps::{service_flag, stats};
use rlvs_core::mem::Mem;

type Five = [u64; 5];

/// What the programs counted for a destination slot.
fn raw(instance: &Instance, dest: u32) -> Five {
    let mut sum = [0u64; 5];
    for cpu in 0..instance.cpus {
        let row = instance.stats.words(dest * instance.cpus + cpu);
        let words = [stats::CONNS, stats::IN_PACKETS, stats::OUT_PACKETS, stats::IN_BYTES, stats::OUT_BYTES];
        for (total, word) in sum.iter_mut().zip(words) {
            *total = total.wrapping_add(row.load64(word));
        }
    }
    sum
}

fn plus(a: Five, b: Five) -> Five {
    std::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

fn minus(a: Five, b: Five) -> Five {
    std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
}

fn named(c: Five) -> Counters {
    Counters { conns: c[0], in_packets: c[1], out_packets: c[2], in_bytes: c[3], out_bytes: c[4] }
}

pub fn of_destination(instance: &Instance, dest: u32) -> Counters {
    named(minus(raw(instance, dest), instance.dest.get(dest).zeroed))
}

pub fn of_service(instance: &Instance, service: u32) -> Counters {
    named(plus(sum(instance, service), instance.service.get(service).carried))
}

/// The sum over all slots that count for a service, deleted ones too.
fn sum(instance: &Instance, service: u32) -> Five {
    instance
        .dest_slots()
        .filter(|id| instance.dest.words(*id).load(SERVICE_WORD) == service)
        .fold([0; 5], |total, id| plus(total, raw(instance, id)))
}

/// The word of a `DestConfig` that names its service.
pub const SERVICE_WORD: usize = std::mem::offset_of!(rlvs_core::maps::DestConfig, service) / 4;

pub fn zero(instance: &Instance, service: u32) {
    let total = sum(instance, service);
    instance.service.edit(service, |s| s.carried = minus([0; 5], total));
    for id in destinations::ids(instance, service) {
        let now = raw(instance, id);
        instance.dest.edit(id, |d| d.zeroed = now);
    }
}

pub fn zero_all(instance: &Instance) {
    for id in instance.service_slots() {
        if instance.service.get(id).flags & service_flag::IN_USE != 0 {
            zero(instance, id);
        }
    }
    instance.settings.edit(0, |s| s.carried = [0; 5]);
}

/// A destination that had been kept aside comes to another service: its past does not count there.
pub fn adopt(instance: &Instance, service: u32, dest: u32) {
    let past = raw(instance, dest);
    instance.service.edit(service, |s| s.carried = minus(s.carried, past));
}

/// A slot is given to another destination: what it counted stays with its service.
pub fn carry_destination(instance: &Instance, dest: u32) {
    let service = instance.dest.get(dest).service;
    let past = raw(instance, dest);
    if service < instance.service.len() {
        instance.service.edit(service, |s| s.carried = plus(s.carried, past));
    }
}

/// A service is deleted: what it counted stays in the total.
pub fn carry_service(instance: &Instance, service: u32) {
    let total = plus(sum(instance, service), instance.service.get(service).carried);
    instance.settings.edit(0, |s| s.carried = plus(s.carried, total));
}
