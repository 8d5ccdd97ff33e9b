//! The way to a server as the routing table has it when the server is added.
//!
//! Whether it leads away at all tells a server without a route from one on the director itself, for which the kernel has one
//! answer when it is asked by a program. Its source address becomes the outer source of a tunnel. The interface and next hop
//! are a hint for machines that do not forward (`ip_forward` 0, which DR and TUN do not need): there the programs get no answer from the kernel's
//! forwarding table.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Interface index, next hop and MTU of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub ifindex: u32,
    pub via: IpAddr,
    pub mtu: u32,
}

/// The address that packets of our own to a server get as their source. Not a virtual address, if there is another one: the
/// server may have that on its `lo`, and would take its packets for forged. Linux likes a /128 for a source, so of IPv6 such an
/// address is one of the last choices, too.
pub fn source_towards(server: IpAddr, is_virtual: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let usual = usual_source(server)?;
    if server.is_ipv4() && !is_virtual(usual) {
        return Some(usual);
    }
    let all = addresses_towards(server).unwrap_or_default();
    let alone = |addr: IpAddr, len: u8| is_virtual(addr) || addr.is_ipv6() && len == 128;
    if !all.iter().any(|(addr, len)| *addr == usual && alone(*addr, *len)) && !is_virtual(usual) {
        return Some(usual);
    }
    let others = all.into_iter().filter(|(addr, len)| !alone(*addr, *len));
    Some(
        others
            .max_by_key(|(addr, len)| (near(*addr, server).min(*len), *len))
            .map_or(usual, |(addr, _)| addr),
    )
}

/// Bits that two addresses of a family have in common from the left.
fn near(a: IpAddr, b: IpAddr) -> u8 {
    let common = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => 0,
    };
    common as u8
}

/// The addresses of the interface that leads to a server, with their prefix lengths: those of its family that may be a source.
fn addresses_towards(server: IpAddr) -> Option<Vec<(IpAddr, u8)>> {
    let index = way(server)?.ifindex;
    ask(async |handle| {
        let request = handle.address().get().set_link_index_filter(index);
        let found: Vec<_> = request.execute().try_collect().await.ok()?;
        let usable = |addr: &IpAddr| match addr {
            IpAddr::V4(_) => server.is_ipv4(),
            IpAddr::V6(a) => server.is_ipv6() && !a.is_unicast_link_local(),
        };
        let each = found.into_iter().filter_map(|message| {
            let len = message.header.prefix_len;
            let addr =
                |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
            // With IPv4 the own address is `Local` where the link has a peer.
            let own = addr(|a| if let AddressAttribute::Local(a) = a { Some(*a) } else { None });
            let own = own.or(addr(|a| if let AddressAttribute::Address(a) = a { Some(*a) } else { None }));
            own.filter(usable).map(|addr| (addr, len))
        });
        Some(each.collect())
    })
}

/// The kernel's choice.
fn usual_source(server: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((server, 9)).ok()?; // sends nothing
    Some(socket.local_addr().ok()?.ip())
}

/// Whether the way to the server leads away from this machine, or it is one of its own addresses; none if there is no route.
pub fn leads_away(server: IpAddr) -> Option<bool> {
    let route = ask(async |handle| route_to(&handle, server).await)?;
    Some(route.header.kind == RouteType::Unicast)
}

/// The way to a server, where the machine does not forward; else the programs ask for themselves.
pub fn hint_towards(server: IpAddr) -> Option<Way> {
    let switch = match server {
        IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    let forwards = std::fs::read_to_string(switch).is_ok_and(|s| s.trim() == "1");
    if forwards { None } else { way(server) }
}

fn way(server: IpAddr) -> Option<Way> {
    ask(async |handle| {
        let mut way = Way { ifindex: 0, via: server, mtu: 1500 };
        for attribute in route_to(&handle, server).await?.attributes {
            match attribute {
                RouteAttribute::Oif(index) => way.ifindex = index,
                RouteAttribute::Gateway(RouteAddress::Inet(via)) => way.via = via.into(),
                RouteAttribute::Gateway(RouteAddress::Inet6(via)) => way.via = via.into(),
                _ => {}
            }
        }
        let link = handle.link().get().match_index(way.ifindex).execute().try_next().await.ok()??;
        for attribute in link.attributes {
            if let LinkAttribute::Mtu(mtu) = attribute {
                way.mtu = mtu;
            }
        }
        Some(way)
    })
}

async fn route_to(handle: &Handle, server: IpAddr) -> Option<RouteMessage> {
    let question = match server {
        IpAddr::V4(a) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(a, 32).build(),
        IpAddr::V6(a) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(a, 128).build(),
    };
    handle.route().get(question).execute().try_next().await.ok()?
}

/// Asks the kernel, in the network namespace of this thread.
fn ask<T>(question: impl AsyncFnOnce(Handle) -> Option<T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().ok()?;
        let task = tokio::spawn(connection);
        let answer = question(handle).await;
        task.abort();
        answer
    })
}
