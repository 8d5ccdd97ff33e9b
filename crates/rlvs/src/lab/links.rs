//! The cables: bridges, veth pairs, addresses and routes, made over rtnetlink, the kernel's own interface for it.
//!
//! A netlink socket belongs to the namespace it was opened in. So every job here runs in a thread that first enters the
//! right namespace, then opens a socket and talks to it ([`with_netlink`]).

use super::namespace;
use super::plan::{HostPlan, Leg, Route, Segment, six};
use anyhow::{Context, Result, anyhow};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

/// Runs an asynchronous job with a netlink handle of the namespace.
pub fn with_netlink<T, F>(namespace: &File, job: F) -> Result<T>
where
    T: Send,
    F: AsyncFnOnce(Handle) -> Result<T> + Send,
{
    namespace::run_in(namespace, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().context("cannot open a netlink socket")?;
            tokio::spawn(connection);
            job(handle).await
        })
    })
    .context("cannot enter the namespace")?
}

/// One bridge per segment, in the switch's namespace.
pub fn make_bridges(switch: &File, segments: &[Segment], mtu: u32) -> Result<()> {
    with_netlink(switch, async |handle| {
        for segment in segments {
            let bridge = LinkBridge::new(segment.name()).mtu(mtu).build();
            handle
                .link()
                .add(bridge)
                .execute()
                .await
                .with_context(|| format!("bridge {}", segment.name()))?;
        }
        Ok(())
    })
}

/// Plugs every leg of `host` into its bridge: a veth pair, one end a port of the bridge, the other end `eth<i>` in the host.
pub fn plug(switch: &File, host: &File, plan: &HostPlan, mtu: u32) -> Result<()> {
    with_netlink(switch, async |handle| {
        for (i, leg) in plan.legs.iter().enumerate() {
            let far_end =
                LinkUnspec::new_with_name(&format!("eth{i}")).mtu(mtu).setns_by_fd(host.as_raw_fd());
            let bridge = index(&handle, leg.segment.name()).await?;
            let port = port(&plan.name, &format!("eth{i}"));
            let pair = LinkVeth::new(&port, "")
                .set_info_data(InfoData::Veth(InfoVeth::Peer(far_end.build())))
                .controller(bridge)
                .mtu(mtu)
                .up();
            handle.link().add(pair.build()).execute().await.with_context(|| format!("veth {port}"))?;
        }
        Ok(())
    })
}

/// The name of the other end of a host's leg.
pub fn port(host: &str, device: &str) -> String {
    format!("{host}-{device}")
}

/// Brings a host's interfaces up and gives them their addresses and routes.
pub fn configure(host: &File, plan: &HostPlan) -> Result<()> {
    with_netlink(host, async |handle| {
        set_up(&handle, "lo", true).await?;
        for (i, leg) in plan.legs.iter().enumerate() {
            configure_leg(&handle, &format!("eth{i}"), leg).await?;
        }
        for route in &plan.routes {
            add_route(&handle, route).await?;
        }
        Ok(())
    })
}

/// Adds `addr`/`prefix` to a device.
pub fn add_address(host: &File, device: &str, addr: IpAddr, prefix: u8) -> Result<()> {
    with_netlink(host, async |handle| address(&handle, device, addr, prefix).await)
}

/// Adds a default route (a link that was taken down has lost its own).
pub fn add_default_route(host: &File, via: IpAddr) -> Result<()> {
    with_netlink(host, async |handle| match via {
        IpAddr::V4(via) => add_route(&handle, &Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via }).await,
        IpAddr::V6(via) => {
            let message = RouteMessageBuilder::<Ipv6Addr>::new().gateway(via).build();
            let request = handle.route().add(message);
            request.execute().await.with_context(|| format!("default route via {via}"))
        }
    })
}

/// The same route for IPv6: to a /64 where it is to a network.
pub fn add_route_six(host: &File, route: &Route) -> Result<()> {
    if route.prefix == 0 {
        return add_default_route(host, six(route.via).into());
    }
    with_netlink(host, async |handle| {
        let (to, via) = (six(route.to), six(route.via));
        let message = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 64).gateway(via).build();
        handle.route().add(message).execute().await.with_context(|| format!("a route to {to}/64 via {via}"))
    })
}

/// Takes a device up or down.
pub fn set_link(host: &File, device: &str, up: bool) -> Result<()> {
    with_netlink(host, async |handle| set_up(&handle, device, up).await)
}

pub fn set_mtu(host: &File, device: &str, mtu: u32) -> Result<()> {
    with_netlink(host, async |handle| {
        let message = LinkUnspec::new_with_index(index(&handle, device).await?).mtu(mtu).build();
        handle.link().set(message).execute().await.with_context(|| format!("MTU {mtu} of {device}"))
    })
}

/// Forgets the hardware address of a neighbour; the next packet to it has to ask again. Says whether it was known. An
/// entry that is being asked for stays, as packets wait in it.
pub fn flush_neighbour(host: &File, addr: Ipv4Addr) -> Result<bool> {
    with_netlink(host, async |handle| {
        let request = handle.neighbours().get().set_address_family(AddressFamily::Inet);
        let all: Vec<NeighbourMessage> = request.execute().try_collect().await?;
        let wanted = NeighbourAttribute::Destination(NeighbourAddress::Inet(addr));
        let unknown = [NeighbourState::None, NeighbourState::Incomplete, NeighbourState::Failed];
        let known =
            |n: &NeighbourMessage| n.attributes.contains(&wanted) && !unknown.contains(&n.header.state);
        let mut found = false;
        for entry in all.into_iter().filter(known) {
            handle
                .neighbours()
                .del(entry)
                .execute()
                .await
                .with_context(|| format!("flushing neighbour {addr}"))?;
            found = true;
        }
        Ok(found)
    })
}

async fn configure_leg(handle: &Handle, device: &str, leg: &Leg) -> Result<()> {
    address(handle, device, leg.addr.into(), 24).await?;
    for &extra in &leg.extra {
        address(handle, device, extra.into(), 32).await?;
    }
    set_up(handle, device, true).await
}

async fn address(handle: &Handle, device: &str, addr: IpAddr, prefix: u8) -> Result<()> {
    let index = index(handle, device).await?;
    let request = handle.address().add(index, addr, prefix);
    request.execute().await.with_context(|| format!("address {addr}/{prefix} on {device}"))
}

async fn add_route(handle: &Handle, route: &Route) -> Result<()> {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.to, route.prefix)
        .gateway(route.via)
        .build();
    let request = handle.route().add(message);
    request.execute().await.with_context(|| format!("route {}/{} via {}", route.to, route.prefix, route.via))
}

async fn set_up(handle: &Handle, device: &str, up: bool) -> Result<()> {
    let link = LinkUnspec::new_with_index(index(handle, device).await?);
    let message = if up { link.up() } else { link.down() }.build();
    let word = if up { "up" } else { "down" };
    handle.link().set(message).execute().await.with_context(|| format!("setting {device} {word}"))
}

async fn index(handle: &Handle, device: &str) -> Result<u32> {
    let found = handle.link().get().match_name(device.to_owned()).execute().try_next().await;
    let link =
        found.with_context(|| format!("device {device}"))?.ok_or_else(|| anyhow!("no device {device}"))?;
    Ok(link.header.index)
}
