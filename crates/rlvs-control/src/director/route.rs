//! The way to a server as the routing table has it when the server is added.
//!
//! Its source address becomes the outer source of a tunnel. The interface and next hop are a hint for machines that do
//! not forward (`ip_forward` 0, which DR and TUN do not need): there the programs get no answer from the kernel's
//! forwarding table.

use futures_util::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Interface index, next hop and MTU of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub ifindex: u32,
    pub via: IpAddr,
    pub mtu: u32,
}

/// The address that packets to a server get as their source.
pub fn source_towards(server: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((server, 9)).ok()?; // sends nothing
    Some(socket.local_addr().ok()?.ip())
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().ok()?;
        let task = tokio::spawn(connection);
        let question = match server {
            IpAddr::V4(a) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(a, 32).build(),
            IpAddr::V6(a) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(a, 128).build(),
        };
        let route = handle.route().get(question).execute().try_next().await.ok()??;
        let mut way = Way { ifindex: 0, via: server, mtu: 1500 };
        for attribute in route.attributes {
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
        task.abort();
        Some(way)
    })
}
