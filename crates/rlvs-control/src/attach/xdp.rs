//! XDP links, pinned as `links/xdp-MODE-IFINDEX`.

use super::{Interface, Mode, failed, unpin};
use crate::instance::Instance;
use crate::object::Programs;
use crate::{Result, links};
use aya::programs::XdpMode;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::XdpLink;
use std::path::PathBuf;

fn path(instance: &Instance, mode: Mode, ifindex: u32) -> PathBuf {
    instance.dir.join("links").join(format!("xdp-{}-{ifindex}", mode.word()))
}

/// The mode of our XDP program on an interface, if one is there.
pub fn mode(instance: &Instance, ifindex: u32) -> Option<Mode> {
    [Mode::Xdp, Mode::Skb].into_iter().find(|m| path(instance, *m, ifindex).exists())
}

pub fn attach(instance: &Instance, interface: &Interface, mode: Mode) -> Result<Mode> {
    detach(instance, interface.ifindex)?;
    let name = name(instance.programs(), mode);
    let flags = if mode == Mode::Skb { XdpMode::Skb } else { XdpMode::Driver };
    let what = if mode == Mode::Skb { "generic XDP" } else { "native XDP" };
    let fail = |e: &dyn std::error::Error| failed(what, interface, e);
    let mut program = instance.xdp_program(name)?;
    let id = program.attach_to_if_index(interface.ifindex, flags).map_err(|e| fail(&e))?;
    let link: XdpLink = program.take_link(id).map_err(|e| fail(&e))?;
    let link: FdLink = link.try_into().map_err(|e: LinkError| fail(&e))?;
    link.pin(path(instance, mode, interface.ifindex)).map_err(|e| fail(&e))?;
    Ok(mode)
}

fn name(programs: &Programs, mode: Mode) -> &'static str {
    if mode == Mode::Skb { programs.xdp_skb } else { programs.xdp }
}

/// Puts one of other programs in the place of what is attached there, if anything is; no packet is missed.
pub fn replace(instance: &Instance, interface: &Interface, programs: &Programs) -> Result<()> {
    let Some(mode) = mode(instance, interface.ifindex) else { return Ok(()) };
    let fail = |e: &dyn std::error::Error| failed("XDP", interface, e);
    let mut program = instance.xdp_program(name(programs, mode))?;
    let link = PinnedLink::from_pin(path(instance, mode, interface.ifindex)).map_err(|e| fail(&e))?;
    let link = XdpLink::try_from(FdLink::from(link)).map_err(|e: LinkError| fail(&e))?;
    program.attach_to_link(link).map_err(|e| fail(&e))?;
    Ok(())
}

pub fn detach(instance: &Instance, ifindex: u32) -> Result<()> {
    for mode in [Mode::Xdp, Mode::Skb] {
        let path = path(instance, mode, ifindex);
        // At once, so that the other mode can follow.
        links::detach(&path);
        unpin(&path)?;
    }
    Ok(())
}
