//! The interfaces of this network namespace, asked by netlink (`/sys` may show another namespace's).

use super::Mode;
use crate::{Error, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType};
use std::io;

#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    pub ifindex: u32,
    up: bool,
    ethernet: bool,
    pub loopback: bool,
    /// The index of the bridge or bond that it is a port of.
    master: Option<u32>,
    /// `veth`, `bridge`, …; none for hardware and virtio.
    kind: Option<String>,
    /// Of a VLAN: the index of the interface below.
    below: Option<u32>,
    /// There is a VLAN on it.
    carries_vlans: bool,
}

impl Interface {
    /// Why it is not attached by itself, if so.
    pub fn unsuitable(&self) -> Option<String> {
        if !self.ethernet && !self.loopback {
            Some("not Ethernet-like".into())
        } else if self.master.is_some() {
            Some("port of a bridge or bond, which is attached instead".into())
        } else if !self.up {
            Some("down; `rlvs attach` it when it is up".into())
        } else {
            None
        }
    }

    pub fn suitable_mode(&self) -> Mode {
        if self.kind.is_none() && !self.carries_vlans && !self.loopback { Mode::Xdp } else { Mode::Tc }
    }

    pub fn why(&self) -> String {
        if self.loopback {
            return "loopback: for clients on this machine".to_string();
        }
        if self.carries_vlans && self.kind.is_none() {
            // A card that takes tags off (`ethtool -k`: rx-vlan-offload) shows XDP packets of all VLANs alike.
            return "carries VLANs, which XDP may not tell apart: TC".to_string();
        }
        match &self.kind {
            Some(kind) => format!("{kind}: TC is the faster and safer way there"),
            None => "hardware or virtio".to_string(),
        }
    }

    /// Hardware in native mode takes redirected frames. A veth only does where the far end runs XDP or GRO, which
    /// cannot be seen from here: there the operator has to say so.
    pub fn takes_xdp_frames(&self, mode: Mode) -> bool {
        mode == Mode::Xdp && self.kind.is_none()
    }
}

/// All interfaces, by index.
pub fn interfaces() -> Result<Vec<Interface>> {
    let failed = |e: io::Error| Error::system("listing the network interfaces", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        let task = tokio::spawn(connection);
        let messages: std::result::Result<Vec<_>, _> = handle.link().get().execute().try_collect().await;
        task.abort();
        let mut list: Vec<Interface> =
            messages.map_err(|e| failed(io::Error::other(e)))?.into_iter().map(interface).collect();
        list.sort_by_key(|i| i.ifindex);
        let below: Vec<u32> = list.iter().filter_map(|i| i.below).collect();
        list.iter_mut().for_each(|i| i.carries_vlans = below.contains(&i.ifindex));
        Ok(list)
    })
}

fn interface(message: rtnetlink::packet_route::link::LinkMessage) -> Interface {
    let header = &message.header;
    let mut interface = Interface {
        name: String::new(),
        ifindex: header.index,
        up: header.flags.contains(LinkFlags::Up),
        ethernet: header.link_layer_type == LinkLayerType::Ether,
        loopback: header.flags.contains(LinkFlags::Loopback),
        master: None,
        kind: None,
        below: None,
        carries_vlans: false,
    };
    let (mut link, mut elsewhere) = (None, false);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Controller(index) => interface.master = Some(index),
            LinkAttribute::Link(index) => link = Some(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true, // that is where the index counts
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        interface.kind = Some(word(&kind));
                    }
                }
            }
            _ => {}
        }
    }
    if interface.kind.as_deref() == Some("vlan") && !elsewhere {
        interface.below = link;
    }
    interface
}

fn word(kind: &InfoKind) -> String {
    kind.to_string()
}
