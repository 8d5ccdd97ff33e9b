//! The steps of `up`, backwards. Each can be repeated, and is nothing where its object is gone.

use super::journal::Step;
use super::links::Link;
use super::{Work, clamp, ebpf, sysctl};
use crate::{Error, Result};
use std::net::IpAddr;

/// Undoes all steps from number `from` on, the last one first. What cannot be undone stays in the journal, the rest
/// is undone nevertheless; the first error is returned.
pub fn back_to(work: &mut Work, from: usize) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut stuck = Vec::new();
    let mut first_error = None;
    while let Some(step) = last(work, from) {
        match undo(work, &step) {
            Ok(note) => notes.extend(note),
            Err(error) => {
                stuck.push(step);
                first_error = first_error.or(Some(error));
            }
        }
        if let Some(state) = &mut work.journal.state {
            state.steps.pop();
        }
    }
    if let Some(state) = &mut work.journal.state {
        state.steps.extend(stuck.into_iter().rev());
    }
    first_error.map_or(Ok(notes), Err)
}

fn last(work: &Work, from: usize) -> Option<Step> {
    let steps = &work.journal.state.as_ref()?.steps;
    if steps.len() > from { steps.last().cloned() } else { None }
}

/// Undoes one step; may have something to tell.
fn undo(work: &Work, step: &Step) -> Result<Option<String>> {
    match step {
        Step::Sysctl { key, was, set } => return setting(key, was, set),
        Step::Address { address } => vip(work, *address)?,
        Step::LinkUp { name } => {
            if let Some(link) = link(work, name)? {
                work.links.set_up(&link, false)?;
            }
        }
        Step::Link { name } => {
            if let Some(link) = link(work, name)?.filter(|l| l.ipip) {
                work.links.remove_link(&link)?;
            }
        }
        Step::Pins { program } => program.unpin(work.cookie)?,
        Step::Opened { address } => ebpf::close(work.cookie, *address)?,
        Step::Clamped { address } => clamp::release(work.cookie, *address)?,
        Step::Tcx { program, index, .. } => program.detach_tcx(work.cookie, *index)?,
        Step::Filter { program, name, index } => {
            if link(work, name)?.is_some_and(|l| l.index == *index) {
                program.detach_filter(name)?;
            }
        }
        Step::Clsact { name, index } => {
            if link(work, name)?.is_some_and(|l| l.index == *index) {
                work.links.remove_idle_clsact(*index)?;
            }
        }
    }
    Ok(None)
}

fn setting(key: &str, was: &str, set: &str) -> Result<Option<String>> {
    match sysctl::read(key)? {
        Some(now) if now == set => sysctl::write(key, was).map(|()| None),
        Some(now) if now != was => Ok(Some(format!(
            "{key} is {now}: neither our {set} nor the {was} from before; somebody changed it, so it stays"
        ))),
        _ => Ok(None),
    }
}

fn vip(work: &Work, address: IpAddr) -> Result<()> {
    let all = work.links.all()?;
    let Some(lo) = all.iter().find(|l| l.loopback) else {
        return Err(Error::NoSuchDevice("lo".to_string()));
    };
    let host = if address.is_ipv4() { 32 } else { 128 };
    let addresses = work.links.addresses()?;
    let mut ours =
        addresses.iter().filter(|a| a.index == lo.index && a.address == address && a.prefix == host);
    ours.try_for_each(|a| work.links.remove_address(a))
}

fn link(work: &Work, name: &str) -> Result<Option<Link>> {
    Ok(work.links.all()?.into_iter().find(|l| l.name == name))
}
