//! A command that is killed amid a change leaves rules that are neither the old ones nor the new: a service that is listed and
//! cannot be found, a destination that nobody has. So whoever changes rules says so first ([`guarded`]), and who finds that
//! said, and nobody holding the namespace's lock, puts things right.
//!
//! What was begun is not finished, but what is half there goes: a service that was being added or deleted is deleted, a destination
//! likewise. Everything that follows from the rules (filter, counts, the scheduler's tables) is made anew.

use super::{destinations, filter, services};
use crate::instance::Instance;
use crate::shared::Key;
use crate::{Result, attach};
use rlvs_core::maps::command::op;
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{NONE, Settings, changing, dest_flag};
use rlvs_core::mem::Mem;
use std::collections::HashSet;

/// The word of `Settings` that says it.
const CHANGING_WORD: usize = std::mem::offset_of!(Settings, changing) / 4;

/// Changes rules of a service, if it has a number already, so that it may be killed.
pub fn guarded<T>(
    instance: &mut Instance,
    service: Option<u32>,
    work: impl FnOnce(&mut Instance) -> Result<T>,
) -> Result<T> {
    say(instance, changing::RULES | service.unwrap_or(changing::NO_SERVICE) << 16);
    let result = work(instance);
    done(instance);
    result
}

/// From here on `expire_nodest_conn` is 1 for a moment, and was 0.
pub fn expires(instance: &Instance) {
    say(instance, said(instance) | changing::EXPIRES);
}

/// It is whole.
pub fn done(instance: &Instance) {
    say(instance, 0);
}

pub fn said(instance: &Instance) -> u32 {
    instance.settings.words(0).load(CHANGING_WORD)
}

fn say(instance: &Instance, what: u32) {
    instance.settings.words(0).store(CHANGING_WORD, what);
}

/// Puts right what a killed command left, if one did. The lock must be held.
pub fn repair(instance: &Instance) -> Result<()> {
    let said = said(instance);
    if said == 0 {
        return Ok(());
    }
    if said & changing::ATTACHES != 0 {
        attach::attach_all(instance)?;
    }
    if said & changing::EXPIRES != 0 {
        instance.settings.edit(0, |s| s.sysctl[Setting::ExpireNodestConn as usize] = 0);
    }
    remove_half_services(instance)?;
    sort_destinations(instance);
    services::recount_engines(instance);
    filter::rebuild(instance);
    let service = said >> 16;
    if services::ids(instance).contains(&service) {
        for id in destinations::ids(instance, service) {
            instance.command(op::THRESHOLDS_CHANGED, service, id, 0)?;
        }
        instance.command(op::RESET_SCHED, service, NONE, 0)?;
        destinations::weights_changed(instance, service)?;
    }
    destinations::end_connections(instance)?;
    done(instance);
    Ok(())
}

/// A service is whole if it is in use, and its key leads to it. (A key that leads nowhere cannot be: it comes last and goes first.)
fn remove_half_services(instance: &Instance) -> Result<()> {
    for id in services::ids(instance) {
        let key = instance.service.get(id).key;
        if instance.services.get(&Key(key), 0).ok() != Some(id) {
            services::remove_rest(instance, id)?;
        }
    }
    Ok(())
}

/// A destination takes connections if, and only if, a service has it in its list.
fn sort_destinations(instance: &Instance) {
    let of_services = services::ids(instance).into_iter().flat_map(|id| destinations::ids(instance, id));
    let listed: HashSet<u32> = of_services.collect();
    for id in instance.dest_slots() {
        let config = instance.dest.get(id);
        match (config.flags & dest_flag::IN_USE != 0 && config.is_available(), listed.contains(&id)) {
            (false, true) => instance.dest.edit(id, |d| d.flags |= dest_flag::IN_USE | dest_flag::AVAILABLE),
            (true, false) => destinations::set_aside(instance, id),
            _ => {}
        }
    }
}
