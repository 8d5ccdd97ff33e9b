//! TC ingress: a tcx link where the kernel has it (6.6), pinned as `links/tc-IFINDEX`; a classifier on a clsact
//! qdisc below, with a fixed priority and handle, so that it is found again.

use super::{Interface, failed, unpin};
use crate::instance::Instance;
use crate::{Error, Result, links};
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use std::path::PathBuf;

const PRIORITY: u16 = 0x7276; // "rv"
const HANDLE: u32 = 0x726c;

fn path(instance: &Instance, ifindex: u32) -> PathBuf {
    instance.dir.join("links").join(format!("tc-{ifindex}"))
}

/// For clsact there is no link to pin; a directory notes that we are there.
fn note(instance: &Instance, ifindex: u32) -> PathBuf {
    instance.dir.join("links").join(format!("clsact-{ifindex}"))
}

pub fn is_attached(instance: &Instance, interface: &Interface) -> bool {
    path(instance, interface.ifindex).exists() || note(instance, interface.ifindex).exists()
}

pub fn attach(instance: &Instance, interface: &Interface) -> Result<()> {
    if is_attached(instance, interface) {
        return Ok(());
    }
    let fail = |e: &dyn std::error::Error| failed("TC", interface, e);
    let mut program =
        SchedClassifier::from_pin(instance.dir.join(instance.programs().tc)).map_err(|e| fail(&e))?;
    let name = interface.name.as_str();
    let tcx = TcAttachOptions::TcxOrder(LinkOrder::first());
    match program.attach_with_options(name, TcAttachType::Ingress, tcx) {
        Ok(id) => {
            let link = program.take_link(id).map_err(|e| fail(&e))?;
            let link: FdLink = link.try_into().map_err(|e: LinkError| fail(&e))?;
            link.pin(path(instance, interface.ifindex)).map_err(|e| fail(&e))?;
            Ok(())
        }
        Err(_) => attach_clsact(instance, interface, &mut program),
    }
}

fn attach_clsact(instance: &Instance, interface: &Interface, program: &mut SchedClassifier) -> Result<()> {
    let fail = |e: &dyn std::error::Error| failed("TC", interface, e);
    match qdisc_add_clsact(&interface.name) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(e)) if e.raw_os_error() == Some(libc::EEXIST) => {}
        Err(e) => return Err(fail(&e)),
    }
    let options =
        TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle: handle(), ..NlOptions::default() });
    let id =
        program.attach_with_options(&interface.name, TcAttachType::Ingress, options).map_err(|e| fail(&e))?;
    // The link must not be dropped: that would take the classifier off again.
    std::mem::forget(program.take_link(id).map_err(|e| fail(&e))?);
    crate::instance::make_dir(&note(instance, interface.ifindex))
}

/// Puts another program in the place of what is attached there, if anything is; no packet is missed.
pub fn replace(instance: &Instance, interface: &Interface, program: &mut SchedClassifier) -> Result<()> {
    let fail = |e: &dyn std::error::Error| failed("TC", interface, e);
    let path = path(instance, interface.ifindex);
    if path.exists() {
        let link = FdLink::from(PinnedLink::from_pin(&path).map_err(|e| fail(&e))?);
        let link = SchedClassifierLink::try_from(link).map_err(|e: LinkError| fail(&e))?;
        program.attach_to_link(link).map_err(|e| fail(&e))?;
    } else if note(instance, interface.ifindex).exists() {
        let link = existing(interface).map_err(|e| fail(&e))?;
        let id = program.attach_to_link(link).map_err(|e| fail(&e))?;
        std::mem::forget(program.take_link(id).map_err(|e| fail(&e))?);
    }
    Ok(())
}

/// Our classifier on the interface.
fn existing(interface: &Interface) -> std::io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(&interface.name, TcAttachType::Ingress, PRIORITY, handle(), None)
}

fn handle() -> TcHandle {
    HANDLE.into()
}

pub fn detach(instance: &Instance, interface: &Interface) -> Result<()> {
    let path = path(instance, interface.ifindex);
    links::detach(&path);
    unpin(&path)?;
    let note = note(instance, interface.ifindex);
    if note.exists() {
        if let Ok(link) = existing(interface) {
            drop(link); // detaches
        }
        std::fs::remove_dir(&note).map_err(|e| Error::system(format!("removing {}", note.display()), e))?;
    }
    Ok(())
}
