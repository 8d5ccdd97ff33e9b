//! Services: adding, editing, deleting, listing.

use super::{convert, counters, destinations, filter};
use crate::instance::Instance;
use crate::model::*;
use crate::shared::Key;
use crate::{Error, Result, object};
use rlvs_core::maps::command::op;
use rlvs_core::maps::{NONE, ServiceConfig, service_flag};
use rlvs_core::sched::Scheduler;
use std::io;
use std::net::Ipv4Addr;

/// IPVS knows these, we do not yet.
const LATER: [&str; 9] = ["lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// Refuses what cannot be carried out, before anything is touched.
pub fn check(service: &Service) -> Result<()> {
    let name = service.scheduler.as_str();
    if Scheduler::from_word(name).is_none() {
        return Err(if LATER.contains(&name) {
            Error::NotSupported(format!("scheduler {name}"))
        } else {
            Error::SchedulerNotFound(name.to_string())
        });
    }
    if let Some(engine) = &service.engine {
        return Err(if engine == "sip" {
            Error::NotSupported("persistence engine sip".into())
        } else {
            Error::SchedulerNotFound(engine.clone())
        });
    }
    if service.key.family() == Family::Inet6 {
        return Err(Error::NotSupported("IPv6".into()));
    }
    if service.persistence.is_some() {
        return Err(Error::NotSupported("persistence (-p)".into()));
    }
    if service.one_packet {
        return Err(Error::NotSupported("one-packet scheduling (--ops)".into()));
    }
    match service.key {
        ServiceKey::Fwmark { .. } => Err(Error::NotSupported("a firewall-mark service (-f)".into())),
        ServiceKey::Address { protocol: Protocol::Sctp, .. } => Err(Error::NotSupported("SCTP".into())),
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

pub fn list(instance: &Instance) -> Result<Vec<ServiceView>> {
    ids(instance).into_iter().map(|id| view(instance, id)).collect()
}

pub fn view(instance: &Instance, id: u32) -> Result<ServiceView> {
    let config = instance.service.get(id);
    let scheduler = Scheduler::from_number(config.scheduler).map_or("?", Scheduler::word);
    let mut service = Service::new(convert::key_view(&config.key), scheduler);
    service.flags = SchedFlags(config.sched_flags);
    if service.netmask.is_some() {
        service.netmask = Some(Ipv4Addr::from(config.netmask[0].bytes()));
    }
    Ok(ServiceView {
        service,
        counters: counters::of_service(instance, id),
        rates: Rates::default(),
        destinations: destinations::list(instance, id),
    })
}

pub fn add(instance: &mut Instance, service: &Service) -> Result<()> {
    if find(instance, &service.key)?.is_some() {
        return Err(Error::ServiceExists);
    }
    let slots = instance.service_slots();
    let mut free = None;
    let mut serial = 0;
    for id in slots.clone() {
        let config = instance.service.get(id);
        if config.flags & service_flag::IN_USE == 0 {
            free = free.or(Some(id));
        } else {
            serial = serial.max(config.serial + 1);
        }
    }
    let limit = instance.service.len();
    let id =
        free.or((slots.end < limit).then_some(slots.end)).ok_or(Error::Full { what: "service", limit })?;
    instance.settings.edit(0, |s| s.service_slots = slots.end.max(id + 1));
    let mut config = ServiceConfig { key: convert::key(&service.key), serial, ..ServiceConfig::EMPTY };
    describe(&mut config, service)?;
    instance.service.set(id, &config);
    instance.command(op::RESET_SCHED, id, NONE, 0)?;
    instance
        .services
        .insert(Key(config.key), id, 0)
        .map_err(|e| Error::system("writing map SERVICES", io::Error::other(object::chain(&e))))?;
    filter::add_service(instance, &config.key);
    Ok(())
}

/// Everything but key and destinations.
fn describe(config: &mut ServiceConfig, service: &Service) -> Result<()> {
    let scheduler = Scheduler::from_word(&service.scheduler)
        .ok_or_else(|| Error::SchedulerNotFound(service.scheduler.clone()))?;
    config.scheduler = scheduler as u8;
    config.sched_flags = service.flags.0;
    config.flags = service_flag::IN_USE;
    config.netmask = convert::words(service.netmask.unwrap_or(Ipv4Addr::BROADCAST).into());
    Ok(())
}

pub fn edit(instance: &Instance, id: u32, service: &Service) -> Result<()> {
    let mut config = instance.service.get(id);
    let before = config.scheduler;
    describe(&mut config, service)?;
    instance.service.set(id, &config);
    if config.scheduler != before {
        instance.command(op::RESET_SCHED, id, NONE, 0)?;
    }
    Ok(())
}

/// The caller has the filter rebuilt afterwards.
pub fn delete(instance: &mut Instance, id: u32) -> Result<()> {
    let config = instance.service.get(id);
    instance
        .services
        .remove(&Key(config.key))
        .map_err(|e| Error::system("writing map SERVICES", io::Error::other(object::chain(&e))))?;
    counters::carry_service(instance, id);
    destinations::orphan_all(instance, id);
    instance.service.set(id, &ServiceConfig::EMPTY);
    Ok(())
}
