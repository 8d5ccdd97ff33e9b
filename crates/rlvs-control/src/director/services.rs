//! Services: adding, editing, deleting, listing.

use super::{buckets, convert, counters, destinations, filter};
use crate::instance::Instance;
use crate::model::*;
use crate::shared::Key;
use crate::{Error, Result, object};
use rlvs_core::maps::command::op;
use rlvs_core::maps::{NONE, ServiceConfig, service_flag};
use rlvs_core::mem::Mem;
use rlvs_core::sched::Scheduler;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// The only persistence engine there is.
const SIP: &str = "sip";

/// Refuses what cannot be carried out, before anything is touched.
pub fn check(service: &Service) -> Result<()> {
    let name = service.scheduler.as_str();
    if Scheduler::from_word(name).is_none() {
        return Err(Error::SchedulerNotFound(name.to_string()));
    }
    match &service.engine {
        Some(engine) if engine != SIP => Err(Error::SchedulerNotFound(engine.clone())),
        _ => Ok(()),
    }
}

/// The service's id.
pub fn find(instance: &Instance, key: &ServiceKey) -> Result<Option<u32>> {
    match instance.services.get(&Key(convert::key(key)), 0) {
        Ok(id) => Ok(Some(id)),
        Err(aya::maps::MapError::KeyNotFound) => Ok(None),
        Err(e) => Err(Error::system("reading map SERVICES", io::Error::other(object::chain(&e)))),
    }
}

/// All services, the newest first.
pub fn ids(instance: &Instance) -> Vec<u32> {
    let mut list: Vec<(u32, u32)> = instance
        .service_slots()
        .map(|id| (id, instance.service.get(id)))
        .filter(|(_, s)| s.flags & service_flag::IN_USE != 0)
        .map(|(id, s)| (s.serial, id))
        .collect();
    list.sort_unstable_by(|a, b| b.cmp(a));
    list.into_iter().map(|(_, id)| id).collect()
}

/// Is it the address of a service?
pub fn has_address(instance: &Instance, addr: IpAddr) -> bool {
    ids(instance).into_iter().any(|id| {
        matches!(convert::key_view(&instance.service.get(id).key), ServiceKey::Address { addr: a, .. } if a == addr)
    })
}

pub fn list(instance: &Instance) -> Result<Vec<ServiceView>> {
    ids(instance).into_iter().map(|id| view(instance, id)).collect()
}

pub fn view(instance: &Instance, id: u32) -> Result<ServiceView> {
    let config = instance.service.get(id);
    let scheduler = Scheduler::from_number(config.scheduler).map_or("?", Scheduler::word);
    let mut service = Service::new(convert::key_view(&config.key), scheduler);
    service.flags = SchedFlags(config.sched_flags);
    service.one_packet = config.has(service_flag::ONE_PACKET);
    service.persistence =
        config.has(service_flag::PERSISTENT).then_some(Persistence { timeout_secs: config.persist_secs });
    service.engine = config.has(service_flag::SIP).then(|| SIP.to_string());
    if service.netmask.is_some() {
        service.netmask = Some(Ipv4Addr::from(config.netmask[0].bytes()));
    } else {
        service.prefix_len = config.netmask.iter().map(|w| w.0.count_ones() as u8).sum();
    }
    Ok(ServiceView {
        service,
        counters: counters::of_service(instance, id),
        rates: counters::rates_of_service(instance, id),
        destinations: destinations::list(instance, id),
    })
}

pub fn add(instance: &mut Instance, service: &Service) -> Result<()> {
    if find(instance, &service.key)?.is_some() {
        return Err(Error::ServiceExists);
    }
    let slots = instance.service_slots();
    let is_free = |id: &u32| instance.service.words(*id).load(FLAGS_WORD) & FLAGS_MASK == 0;
    let limit = instance.service.len();
    let fresh = (slots.end < limit).then_some(slots.end);
    let id = slots.clone().find(is_free).or(fresh).ok_or(Error::Full { what: "service", limit })?;
    let serial = instance.settings.get(0).next_serial;
    let mut config = ServiceConfig { key: convert::key(&service.key), serial, ..ServiceConfig::EMPTY };
    describe(&mut config, service, instance.hz)?;
    buckets::reserve(instance, &mut config)?;
    instance.settings.edit(0, |s| {
        s.service_slots = slots.end.max(id + 1);
        s.next_serial = serial.wrapping_add(1).max(1);
    });
    instance.service.set(id, &config);
    instance.command(op::RESET_SCHED, id, NONE, 0)?;
    counters::start_rates(instance, id)?;
    instance
        .services
        .insert(Key(config.key), id, 0)
        .map_err(|e| Error::system("writing map SERVICES", io::Error::other(object::chain(&e))))?;
    count_engine(instance, false, config.has(service_flag::SIP));
    filter::add_service(instance, &config.key);
    Ok(())
}

/// The word of a `ServiceConfig` with its flags, and their half of it.
const FLAGS_WORD: usize = std::mem::offset_of!(ServiceConfig, flags) / 4;
const FLAGS_MASK: u32 = 0xffff_0000;

/// Everything but key and destinations.
fn describe(config: &mut ServiceConfig, service: &Service, hz: u32) -> Result<()> {
    let scheduler = Scheduler::from_word(&service.scheduler)
        .ok_or_else(|| Error::SchedulerNotFound(service.scheduler.clone()))?;
    config.scheduler = scheduler as u8;
    config.sched_flags = service.flags.0;
    config.flags = service_flag::IN_USE;
    config.persist_secs = 0;
    config.persist_timeout = 0;
    if let Some(persistence) = &service.persistence {
        config.flags |= service_flag::PERSISTENT;
        config.persist_secs = persistence.timeout_secs;
        config.persist_timeout = persistence.timeout_secs.saturating_mul(hz);
    }
    if service.one_packet {
        config.flags |= service_flag::ONE_PACKET;
    }
    if service.engine.is_some() {
        config.flags |= service_flag::SIP;
    }
    config.netmask = match service.netmask {
        Some(mask) => convert::words(mask.into()),
        None => convert::words(std::net::Ipv6Addr::from(prefix_mask(service.prefix_len)).into()),
    };
    Ok(())
}

fn prefix_mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - len.min(128) as u32).unwrap_or(0)
}

pub fn edit(instance: &Instance, id: u32, service: &Service) -> Result<()> {
    let mut config = instance.service.get(id);
    let before = config;
    if service.one_packet
        && destinations::list(instance, id).iter().any(|d| d.destination.method == Method::FullNat)
    {
        let why = "the service has real servers with --fullnat, which needs connections; one-packet scheduling (-o) keeps none";
        return Err(Error::Invalid(why.into()));
    }
    describe(&mut config, service, instance.hz)?;
    buckets::reserve(instance, &mut config)?;
    count_engine(instance, before.has(service_flag::SIP), config.has(service_flag::SIP));
    if config.scheduler == before.scheduler {
        instance.service.set(id, &config);
        return Ok(());
    }
    // The new scheduler must not look into a table that is not filled yet.
    config.buckets = 0;
    instance.service.set(id, &config);
    buckets::fill(instance, id)?;
    instance.command(op::RESET_SCHED, id, NONE, 0)?;
    Ok(())
}

/// The caller has the filter rebuilt afterwards.
pub fn delete(instance: &mut Instance, id: u32) -> Result<()> {
    let key = Key(instance.service.get(id).key);
    instance
        .services
        .remove(&key)
        .map_err(|e| Error::system("writing map SERVICES", io::Error::other(object::chain(&e))))?;
    remove_rest(instance, id)
}

/// Of a service that no key leads to.
pub fn remove_rest(instance: &Instance, id: u32) -> Result<()> {
    let was_sip = instance.service.get(id).has(service_flag::SIP);
    let orphaned = destinations::orphan_all(instance, id);
    instance.service.set(id, &ServiceConfig::EMPTY);
    count_engine(instance, was_sip, false);
    orphaned
}

/// Counts anew how many services have persistence engine sip.
pub fn recount_engines(instance: &Instance) {
    let all = ids(instance);
    let count = all.into_iter().filter(|id| instance.service.get(*id).has(service_flag::SIP)).count();
    instance.settings.edit(0, |s| s.sip_services = count as u32);
}

/// A service began or ceased to want SIP messages to be read: where none does, the programs need not look.
fn count_engine(instance: &Instance, before: bool, after: bool) {
    if before != after {
        instance.settings.edit(0, |s| {
            s.sip_services = s.sip_services.wrapping_add(after as u32).wrapping_sub(before as u32);
        });
    }
}
