//! XDP links, pinned as `links/xdp-MODE-IFINDEX`.

use super::{Interface, Mode, failed, unpin};
use crate::instance::Instance;
use crate::links;
use crate::{Result, object};
use aya::programs::XdpMode;
use aya::programs::links::FdLink;
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
    let (name, flags) = match mode {
        Mode::Skb => (object::XDP_SKB, XdpMode::Skb),
        _ => (object::XDP, XdpMode::Driver),
    };
    let what = if mode == Mode::Skb { "generic XDP" } else { "native XDP" };
    let fail = |e: &dyn std::error::Error| failed(what, interface, e);
    let mut program = instance.xdp_program(name)?;
    let id = program.attach_to_if_index(interface.ifindex, flags).map_err(|e| fail(&e))?;
    let link: XdpLink = program.take_link(id).map_err(|e| fail(&e))?;
    let link: FdLink = link.try_into().map_err(|e: aya::programs::links::LinkError| fail(&e))?;
    link.pin(path(instance, mode, interface.ifindex)).map_err(|e| fail(&e))?;
    Ok(mode)
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
