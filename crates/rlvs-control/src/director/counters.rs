//! Packet and byte counters. The programs count per destination and processor; a service's counters are the sum over
//! its destinations, plus what it carries over from those that are gone; the total likewise. Zeroing changes no counter: it
//! notes where zero is.

use super::destinations;
use crate::Result;
use crate::instance::Instance;
use crate::model::{Counters, Rates};
use rlvs_core::maps::command::op;
use rlvs_core::maps::{NONE, rates, service_flag, stats};
use rlvs_core::mem::Mem;
use rlvs_core::path::estimate;

type Five = [u64; 5];

/// What the programs counted for a destination slot.
fn raw(instance: &Instance, dest: u32) -> Five {
    (0..instance.cpus).fold([0; 5], |sum, cpu| plus(sum, row(instance, dest, cpu)))
}

/// The same on one processor.
fn row(instance: &Instance, dest: u32, cpu: u32) -> Five {
    let row = instance.stats.words(dest * instance.cpus + cpu);
    let words = [stats::CONNS, stats::IN_PACKETS, stats::OUT_PACKETS, stats::IN_BYTES, stats::OUT_BYTES];
    words.map(|word| row.load64(word))
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

/// What the programs counted, on all processors or on one.
fn everything(instance: &Instance, cpus: std::ops::Range<u32>) -> Five {
    let slots = instance.dest_slots();
    slots.fold([0; 5], |total, dest| {
        plus(total, cpus.clone().fold([0; 5], |sum, cpu| plus(sum, row(instance, dest, cpu))))
    })
}

/// Counters of the whole director.
pub fn of_everything(instance: &Instance) -> Counters {
    named(plus(everything(instance, 0..instance.cpus), instance.settings.get(0).carried))
}

/// The same as one processor counted it, without what is gone.
pub fn of_processor(instance: &Instance, cpu: u32) -> Counters {
    named(everything(instance, cpu..cpu + 1))
}

pub fn rates_of_destination(instance: &Instance, dest: u32) -> Rates {
    shown(instance, dest)
}

pub fn rates_of_service(instance: &Instance, service: u32) -> Rates {
    shown(instance, service_row(instance, service))
}

pub fn rates_of_everything(instance: &Instance) -> Rates {
    shown(instance, total_row(instance))
}

/// Where the rates of services, and the total, are in `RATES`.
fn service_row(instance: &Instance, service: u32) -> u32 {
    instance.dest.len() + service
}

fn total_row(instance: &Instance) -> u32 {
    instance.dest.len() + instance.service.len()
}

fn shown(instance: &Instance, row: u32) -> Rates {
    let words = instance.rates.words(row);
    let rate = |i: usize| estimate::shown(i, words.load64(rates::AVERAGE + 2 * i));
    Rates {
        conns_per_sec: rate(0),
        in_packets_per_sec: rate(1),
        out_packets_per_sec: rate(2),
        in_bytes_per_sec: rate(3),
        out_bytes_per_sec: rate(4),
    }
}

/// A new service starts without rates.
pub fn start_rates(instance: &Instance, service: u32) -> Result<()> {
    instance.command(op::ZERO_RATES, NONE, NONE, service_row(instance, service))?;
    Ok(())
}

pub fn zero(instance: &Instance, service: u32) -> Result<()> {
    let total = sum(instance, service);
    instance.service.edit(service, |s| s.carried = minus([0; 5], total));
    start_rates(instance, service)?;
    for id in destinations::ids(instance, service) {
        let now = raw(instance, id);
        instance.dest.edit(id, |d| d.zeroed = now);
        instance.command(op::ZERO_RATES, NONE, id, id)?;
    }
    Ok(())
}

pub fn zero_all(instance: &Instance) -> Result<()> {
    for id in instance.service_slots() {
        if instance.service.get(id).flags & service_flag::IN_USE != 0 {
            zero(instance, id)?;
        }
    }
    let all = everything(instance, 0..instance.cpus);
    instance.settings.edit(0, |s| s.carried = minus([0; 5], all));
    instance.command(op::ZERO_RATES, NONE, NONE, total_row(instance))?;
    Ok(())
}

/// A destination that had been kept aside comes to another service: its past, which is returned, does not count there.
pub fn adopt(instance: &Instance, service: u32, dest: u32) -> Result<[u64; 5]> {
    let past = raw(instance, dest);
    instance.service.edit(service, |s| s.carried = minus(s.carried, past));
    instance.command(op::ZERO_RATES, NONE, dest, dest)?;
    Ok(past)
}

/// A slot is given to another destination: what it counted stays with its service, and in the total.
pub fn carry_destination(instance: &Instance, dest: u32) {
    let service = instance.dest.get(dest).service;
    let past = raw(instance, dest);
    if service < instance.service.len() {
        instance.service.edit(service, |s| s.carried = plus(s.carried, past));
    }
    instance.settings.edit(0, |s| s.carried = plus(s.carried, past));
}
