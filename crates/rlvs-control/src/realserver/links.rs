//! Interfaces, addresses and classifier queues, by rtnetlink; all calls wait for the answer.
//!
//! They act in the network namespace of the thread that called [`Links::open`].

use crate::{Error, Result};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64,
};
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use rtnetlink::{Handle, LinkIpIp, LinkUnspec};
use std::io;
use std::net::IpAddr;

pub struct Links {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
}

/// An interface.
#[derive(Debug, Clone)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    pub loopback: bool,
    /// It answers ARP requests.
    pub arp: bool,
    /// Packets from outside arrive here: an Ethernet-like device, or one without link headers (tun, WireGuard).
    pub receives: bool,
    /// A device of the kernel's ipip module.
    pub ipip: bool,
    pub received: Received,
}

/// What an interface took in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Received {
    pub packets: u64,
    pub bytes: u64,
    pub errors: u64,
    pub dropped: u64,
}

/// An address on an interface.
#[derive(Debug, Clone)]
pub struct Address {
    pub index: u32,
    pub address: IpAddr,
    pub prefix: u8,
    pub broadcast: Option<IpAddr>,
    message: AddressMessage,
}

impl Links {
    pub fn open() -> Result<Links> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|e| Error::system("starting the netlink runtime", e))?;
        let handle = {
            let _inside = runtime.enter();
            let (connection, handle, _) =
                rtnetlink::new_connection().map_err(|e| Error::system("opening a netlink socket", e))?;
            runtime.spawn(connection);
            handle
        };
        Ok(Links { runtime, handle })
    }

    /// All interfaces.
    pub fn all(&self) -> Result<Vec<Link>> {
        let messages: Vec<LinkMessage> = self
            .wait(self.handle.link().get().execute().try_collect())
            .map_err(doing("listing interfaces"))?;
        Ok(messages.iter().map(link).collect())
    }

    pub fn addresses(&self) -> Result<Vec<Address>> {
        let messages: Vec<AddressMessage> = self
            .wait(self.handle.address().get().execute().try_collect())
            .map_err(doing("listing addresses"))?;
        Ok(messages.into_iter().filter_map(address).collect())
    }

    /// Puts a VIP on the interface: for this host alone, and never chosen as the source of its own connections
    /// (IPv4: scope host; IPv6: deprecated from the start). True if it was not there before.
    pub fn add_vip(&self, index: u32, vip: IpAddr) -> Result<bool> {
        let prefix = if vip.is_ipv4() { 32 } else { 128 };
        let mut request = self.handle.address().add(index, vip, prefix);
        let message = request.message_mut();
        if vip.is_ipv4() {
            message.header.scope = AddressScope::Host;
            // The builder adds the broadcast address of a /32: itself.
            message.attributes.retain(|a| !matches!(a, AddressAttribute::Broadcast(_)));
        } else {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        match self.wait(request.execute()) {
            Ok(()) => Ok(true),
            Err(e) if errno(&e) == libc::EEXIST => Ok(false),
            Err(e) => Err(doing(&format!("adding {vip}/{prefix} to lo"))(e)),
        }
    }

    pub fn remove_address(&self, found: &Address) -> Result<()> {
        let done = self.wait(self.handle.address().del(found.message.clone()).execute());
        gone_is_fine(done, libc::EADDRNOTAVAIL, &format!("removing {}/{}", found.address, found.prefix))
    }

    pub fn set_up(&self, link: &Link, up: bool) -> Result<()> {
        let message = LinkUnspec::new_with_index(link.index);
        let message = if up { message.up() } else { message.down() };
        let done = self.wait(self.handle.link().set(message.build()).execute());
        done.map_err(doing(&format!("setting {} {}", link.name, if up { "up" } else { "down" })))
    }

    /// A device of the kernel's ipip module that takes tunnel packets from anybody. Asking for one loads the module.
    pub fn add_ipip(&self, name: &str) -> std::result::Result<(), io::Error> {
        let done = self.wait(self.handle.link().add(LinkIpIp::new(name).build()).execute());
        done.map_err(|e| io::Error::from_raw_os_error(errno(&e)))
    }

    pub fn remove_link(&self, link: &Link) -> Result<()> {
        let done = self.wait(self.handle.link().del(link.index).execute());
        gone_is_fine(done, libc::ENODEV, &format!("removing the interface {}", link.name))
    }

    /// The ids of the BPF programs that are filters of the interface's clsact, on its way in or out.
    pub fn programs(&self, index: u32, ingress: bool) -> Result<Vec<u32>> {
        let filters = self.filters(index, ingress)?;
        let options = filters.iter().flat_map(|f| &f.attributes).filter_map(|a| match a {
            TcAttribute::Options(options) => Some(options),
            _ => None,
        });
        Ok(options
            .flatten()
            .filter_map(|o| match o {
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
                _ => None,
            })
            .collect())
    }

    pub fn has_clsact(&self, index: u32) -> Result<bool> {
        Ok(self.clsact(index)?.is_some())
    }

    /// Removes the interface's clsact qdisc, unless somebody has filters there.
    pub fn remove_idle_clsact(&self, index: u32) -> Result<()> {
        let Some(qdisc) = self.clsact(index)? else { return Ok(()) };
        if !self.filters(index, true)?.is_empty() || !self.filters(index, false)?.is_empty() {
            return Ok(());
        }
        let mut request = self.handle.qdisc().del(index as i32);
        request.message_mut().header.parent = qdisc.header.parent;
        request.message_mut().header.handle = qdisc.header.handle;
        gone_is_fine(self.wait(request.execute()), libc::ENOENT, "removing the clsact qdisc")
    }

    fn clsact(&self, index: u32) -> Result<Option<TcMessage>> {
        let request = self.handle.qdisc().get().index(index as i32);
        let all: Vec<TcMessage> =
            self.wait(request.execute().try_collect()).map_err(doing("listing queue disciplines"))?;
        let is_clsact = |m: &TcMessage| {
            m.header.index == index as i32
                && m.attributes.iter().any(|a| matches!(a, TcAttribute::Kind(kind) if kind == "clsact"))
        };
        Ok(all.into_iter().find(is_clsact))
    }

    fn filters(&self, index: u32, ingress: bool) -> Result<Vec<TcMessage>> {
        let request = self.handle.traffic_filter(index as i32).get();
        let request = if ingress { request.ingress() } else { request.egress() };
        let all: Vec<TcMessage> =
            self.wait(request.execute().try_collect()).map_err(doing("listing traffic filters"))?;
        // One without a handle is the head of its priority's list, not a filter.
        Ok(all.into_iter().filter(|m| m.header.handle != TcHandle::default()).collect())
    }

    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let loopback = flags.contains(LinkFlags::Loopback);
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        up: flags.contains(LinkFlags::Up),
        mtu: 0,
        loopback,
        arp: !loopback && !flags.contains(LinkFlags::Noarp),
        receives: matches!(
            message.header.link_layer_type,
            LinkLayerType::Ether | LinkLayerType::None | LinkLayerType::Rawip | LinkLayerType::Ppp
        ),
        ipip: false,
        received: Received::default(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                link.ipip = infos.iter().any(|i| matches!(i, LinkInfo::Kind(InfoKind::IpIp)));
            }
            LinkAttribute::Stats64(stats) => link.received = received(stats),
            _ => {}
        }
    }
    link
}

fn received(stats: &Stats64) -> Received {
    Received {
        packets: stats.rx_packets,
        bytes: stats.rx_bytes,
        errors: stats.rx_errors,
        dropped: stats.rx_dropped,
    }
}

fn address(message: AddressMessage) -> Option<Address> {
    let AddressHeader { index, prefix_len: prefix, family, .. } = message.header;
    let (mut local, mut remote, mut broadcast) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(a) => local = Some(*a),
            AddressAttribute::Address(a) => remote = Some(*a),
            AddressAttribute::Broadcast(a) => broadcast = Some(IpAddr::V4(*a)),
            _ => {}
        }
    }
    // IPv4 names the own end of a point-to-point link `Local`; IPv6 has `Address` alone.
    let address = local.or(remote)?;
    matches!(family, AddressFamily::Inet | AddressFamily::Inet6).then_some(Address {
        index,
        address,
        prefix,
        broadcast,
        message,
    })
}

fn errno(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code().abs(),
        _ => libc::EPROTO,
    }
}

fn doing(what: &str) -> impl Fn(rtnetlink::Error) -> Error {
    let what = what.to_string();
    move |e| Error::system(what.clone(), io::Error::from_raw_os_error(errno(&e)))
}

/// What is gone need not be removed; nor can anything be on an interface that is gone.
fn gone_is_fine(done: std::result::Result<(), rtnetlink::Error>, gone: i32, what: &str) -> Result<()> {
    match done {
        Err(e) if errno(&e) != gone && errno(&e) != libc::ENODEV => Err(doing(what)(e)),
        _ => Ok(()),
    }
}
