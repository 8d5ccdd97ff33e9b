//! TC ingress: a tcx link where the kernel has it (6.6), pinned as `links/tc-IFINDEX`; a classifier on a clsact
//! qdisc below, with a fixed priority and handle, so that it is found again.

use super::{Interface, failed, unpin};
use crate::instance::Instance;
use crate::{Error, Result, links, object};
use aya::programs::links::FdLink;
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
    let mut program = SchedClassifier::from_pin(instance.dir.join(object::TC)).map_err(|e| fail(&e))?;
    let name = interface.name.as_str();
    let tcx = TcAttachOptions::TcxOrder(LinkOrder::first());
    match program.attach_with_options(name, TcAttachType::Ingress, tcx) {
        Ok(id) => {
            let link = program.take_link(id).map_err(|e| fail(&e))?;
            let link: FdLink = link.try_into().map_err(|e: aya::programs::links::LinkError| fail(&e))?;
            link.pin(path(instance, interface.ifindex)).map_err(|e| fail(&e))?;
            Ok(())
        }
        Err(_) => attach_clsact(instance, interface, &mut program),
    }
}

fn attach_clsact(instance: &Instance, interface: &Interface, program: &mut SchedClassifier) -> Result<()> {
    let fail = |e: &dyn std::error::Error| failed("TC", interface, e);
    match qdisc_add_clsact(&interface.name) {
        Ok(()) => {}
        Err(TcError::AlreadyAttached) => {}
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

fn handle() -> TcHandle {
    HANDLE.into()
}

pub fn detach(instance: &Instance, interface: &Interface) -> Result<()> {
    let path = path(instance, interface.ifindex);
    links::detach(&path);
    unpin(&path)?;
    let note = note(instance, interface.ifindex);
    if note.exists() {
        let link =
            SchedClassifierLink::attached(&interface.name, TcAttachType::Ingress, PRIORITY, handle(), None);
        if let Ok(link) = link {
            drop(link); // detaches
        }
        std::fs::remove_dir(&note).map_err(|e| Error::system(format!("removing {}", note.display()), e))?;
    }
    Ok(())
}
