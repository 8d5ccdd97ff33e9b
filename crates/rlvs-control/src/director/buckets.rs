//! The tables of dh, sh and mh: filled here whenever a service's destinations change, read by the programs.
//!
//! A table is a row of pages of `BUCKETS`. A bucket is one word, so a packet sees the old server or the new one, never
//! something in between. A destination that leaves is out of the table before it stops taking connections.

use super::destinations;
use crate::instance::Instance;
use crate::{Error, Result};
use rlvs_core::maps::{BUCKETS_PER_PAGE, DestConfig, NONE, ServiceConfig, service_flag};
use rlvs_core::mem::Mem;
use rlvs_core::sched::buckets::Share;
use rlvs_core::sched::{Scheduler, bucket_count, dh, mh, sh};
use rlvs_core::wire::Addr;

fn pages(buckets: usize) -> u32 {
    buckets.div_ceil(BUCKETS_PER_PAGE) as u32
}

/// Finds pages for a service that its scheduler needs (and it does not have), or lets go those it does not need.
pub fn reserve(instance: &Instance, config: &mut ServiceConfig) -> Result<()> {
    let wanted = pages(bucket_count(config.scheduler));
    let has = if config.buckets_page == NONE { 0 } else { instance.bucket_pages(config) };
    if wanted == has {
        return Ok(());
    }
    (config.buckets_page, config.buckets) = (NONE, 0);
    if wanted == 0 {
        return Ok(());
    }
    let mut taken = vec![false; instance.buckets.len() as usize];
    for id in instance.service_slots() {
        let other = instance.service.get(id);
        if other.flags & service_flag::IN_USE != 0 && other.buckets_page != NONE && other.key != config.key {
            let first = other.buckets_page as usize;
            let end = (first + instance.bucket_pages(&other) as usize).min(taken.len());
            taken[first..end].fill(true);
        }
    }
    instance.buckets.mapped()?; // before anything is changed
    let room = taken.windows(wanted as usize).position(|w| w.iter().all(|t| !t));
    let first = room.ok_or(Error::Full { what: "hash bucket page", limit: instance.buckets.len() })?;
    config.buckets_page = first as u32;
    Ok(())
}

impl Instance {
    /// Pages that a service has.
    fn bucket_pages(&self, config: &ServiceConfig) -> u32 {
        pages(bucket_count(config.scheduler))
    }
}

/// Sees to it that filling a service's table cannot fail.
pub fn ready(instance: &Instance, service: u32) -> Result<()> {
    if instance.service.get(service).buckets_page != NONE {
        instance.buckets.mapped()?;
    }
    Ok(())
}

/// Fills a service's table from its destinations.
pub fn fill(instance: &Instance, service: u32) -> Result<()> {
    let config = instance.service.get(service);
    if config.buckets_page == NONE {
        return Ok(());
    }
    let shares: Vec<Share> = destinations::ids(instance, service)
        .into_iter()
        .map(|id| share(id, &instance.dest.get(id)))
        .collect();
    let table = table(config.scheduler, &shares);
    let pages = instance.buckets.mapped()?;
    for (bucket, id) in table.iter().enumerate() {
        let page = config.buckets_page + (bucket / BUCKETS_PER_PAGE) as u32;
        pages.words(page).store(bucket % BUCKETS_PER_PAGE, *id);
    }
    instance.service.edit(service, |s| s.buckets = table.len() as u32);
    Ok(())
}

/// The table of a scheduler for these servers, the newest first; empty without any.
fn table(scheduler: u8, shares: &[Share]) -> Vec<u32> {
    match Scheduler::from_number(scheduler) {
        _ if shares.is_empty() => Vec::new(),
        Some(Scheduler::Dh) => {
            let mut buckets = [NONE; dh::BUCKETS];
            dh::fill(&mut buckets, shares);
            buckets.to_vec()
        }
        Some(Scheduler::Sh) => {
            let mut buckets = [NONE; sh::BUCKETS];
            sh::fill(&mut buckets, shares);
            buckets.to_vec()
        }
        Some(Scheduler::Mh) => {
            let mut slots = [NONE; mh::BUCKETS];
            mh::fill(&mut slots, shares, &mut vec![mh::Turn::default(); shares.len()]);
            slots.to_vec()
        }
        _ => Vec::new(),
    }
}

fn share(id: u32, dest: &DestConfig) -> Share {
    let addr = if dest.family == 6 { dest.addr.fold() } else { dest.addr[0].fold() };
    Share { id, weight: dest.weight, last_weight: dest.last_weight, addr, port: dest.port.get() }
}
