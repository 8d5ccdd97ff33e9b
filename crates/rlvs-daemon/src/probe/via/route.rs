//! The way to a server as the kernel would take it: interface, source address, MTU, and the next neighbour's hardware
//! address. All of it is asked anew for each try, so a moved route or a replaced card needs nobody to tell us.

use super::Reason;
use crate::config::model::Connect;
use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMetric, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::sleep;

/// The first step to a server.
#[derive(Clone, Debug)]
pub struct Hop {
    pub ifindex: u32,
    pub device: String,
    /// This host's address towards it.
    pub source: IpAddr,
    pub gateway: Option<IpAddr>,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// No hardware addresses on this link.
    pointed: bool,
}

/// One netlink socket for all probes.
#[derive(Default)]
pub struct Routes(Mutex<Option<Handle>>);

/// How often the kernel is asked whether a neighbour has answered.
const LOOK: Duration = Duration::from_millis(5);
const LOOK_AT_MOST: Duration = Duration::from_millis(200);

impl Routes {
    fn handle(&self) -> Result<Handle, Reason> {
        let mut handle = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(handle) = &*handle {
            return Ok(handle.clone());
        }
        let (connection, fresh, _) =
            rtnetlink::new_connection().map_err(|e| format!("a netlink socket: {e}"))?;
        tokio::spawn(connection);
        Ok(handle.insert(fresh).clone())
    }

    /// After a failure the next try begins with another socket.
    fn failed(&self, what: &str, error: rtnetlink::Error) -> Reason {
        if matches!(error, rtnetlink::Error::RequestFailed) {
            *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        }
        let why = match error {
            rtnetlink::Error::NetlinkError(error) => error.to_io().to_string(),
            error => error.to_string(),
        };
        format!("{what}: {why}")
    }

    /// The way to a server; nothing if it is this host itself.
    pub async fn towards(
        &self,
        server: IpAddr,
        from: Option<IpAddr>,
        connect: &Connect,
    ) -> Result<Option<Hop>, Reason> {
        let handle = self.handle()?;
        let what = match from {
            Some(from) => format!("no route to {server} from {from}"),
            None => format!("no route to {server}"),
        };
        let device = connect.bind_if.as_deref();
        let oif = match device {
            Some(name) => nix::net::if_::if_nametoindex(name).map_err(|e| format!("bind_if {name}: {e}"))?,
            None => 0,
        };
        let question = match server {
            IpAddr::V4(server) => {
                let ask = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(server, 32);
                match from {
                    Some(IpAddr::V4(from)) => ask.source_prefix(from, 32).build(),
                    _ => ask.build(),
                }
            }
            IpAddr::V6(server) => {
                let ask = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(server, 128);
                match from {
                    Some(IpAddr::V6(from)) => ask.source_prefix(from, 128).build(),
                    _ => ask.build(),
                }
            }
        };
        let mut question = question;
        if oif != 0 {
            question.attributes.push(RouteAttribute::Oif(oif));
        }
        if let Some(mark) = connect.fwmark {
            question.attributes.push(RouteAttribute::Mark(mark));
        }
        let route = handle.route().get(question).execute().try_next().await;
        let route = route.map_err(|e| self.failed(&what, e))?.ok_or_else(|| what.clone())?;
        match route.header.kind {
            RouteType::Unicast => {}
            RouteType::Local => return Ok(None),
            kind => return Err(format!("{what}: {kind:?}").to_lowercase()),
        }
        let (mut ifindex, mut source, mut gateway, mut mtu) = (oif, from, None, None);
        for attribute in route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => ifindex = index,
                RouteAttribute::PrefSource(address) if from.is_none() => source = plain(&address),
                RouteAttribute::Gateway(address) => gateway = plain(&address),
                RouteAttribute::Via(rtnetlink::packet_route::route::RouteVia::Inet6(address)) => {
                    gateway = Some(address.into());
                }
                RouteAttribute::Metrics(metrics) => mtu = mtu.or_else(|| metrics.iter().find_map(mtu_of)),
                _ => {}
            }
        }
        let source =
            source.ok_or_else(|| format!("{what}: this host has no address for it; write bindto"))?;
        let link = handle.link().get().match_index(ifindex).execute().try_next().await;
        let link = link.map_err(|e| self.failed(&what, e))?.ok_or_else(|| what.clone())?;
        let mut hop = Hop {
            ifindex,
            device: format!("interface {ifindex}"),
            source,
            gateway,
            mtu: mtu.unwrap_or(1500),
            pointed: link.header.flags.contains(LinkFlags::Noarp),
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::Mtu(of_link) => {
                    hop.mtu = mtu.map_or(of_link, |of_route: u32| of_route.min(of_link))
                }
                LinkAttribute::IfName(name) => hop.device = name,
                _ => {}
            }
        }
        Ok(Some(hop))
    }

    /// The hardware address of the server, or of the router before it. The kernel keeps it, and asks for it (ARP, neighbour
    /// discovery) when somebody uses it; nothing else is sent. Empty, where links have none.
    pub async fn neighbour(&self, hop: &Hop, server: IpAddr) -> Result<Vec<u8>, Reason> {
        if hop.pointed {
            return Ok(Vec::new());
        }
        let addr = hop.gateway.unwrap_or(server);
        let what = format!("the neighbour {addr} on {}", hop.device);
        let handle = self.handle()?;
        let usage = handle.neighbours().add(hop.ifindex, addr).state(NeighbourState::None);
        let used = usage.flags(NeighbourFlags::Use).replace().execute().await;
        used.map_err(|e| self.failed(&what, e))?;
        let mut wait = LOOK;
        loop {
            let message = self.look(handle.clone(), hop.ifindex, addr).await;
            let message = message.map_err(|e| self.failed(&what, e))?;
            match message.as_ref().map(|message| message.header.state) {
                Some(NeighbourState::Failed) | None => {
                    return Err(format!(
                        "nobody answers for {addr} on {}: it is down, or elsewhere",
                        hop.device
                    ));
                }
                Some(NeighbourState::Incomplete | NeighbourState::None) => {}
                Some(_) => return Ok(message.map_or(Vec::new(), hardware)),
            }
            sleep(wait).await;
            wait = (wait * 2).min(LOOK_AT_MOST);
        }
    }

    /// One entry of the kernel's table; the crate only asks for all of them.
    async fn look(
        &self,
        mut handle: Handle,
        ifindex: u32,
        addr: IpAddr,
    ) -> Result<Option<NeighbourMessage>, rtnetlink::Error> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = ifindex;
        let (family, destination) = match addr {
            IpAddr::V4(addr) => (AddressFamily::Inet, NeighbourAddress::Inet(addr)),
            IpAddr::V6(addr) => (AddressFamily::Inet6, NeighbourAddress::Inet6(addr)),
        };
        message.header.family = family;
        message.attributes.push(NeighbourAttribute::Destination(destination));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(message));
        request.header.flags = NLM_F_REQUEST;
        let mut answers = handle.request(request)?;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(found)) => {
                    return Ok(Some(found));
                }
                NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => return Ok(None),
                NetlinkPayload::Error(error) => return Err(rtnetlink::Error::NetlinkError(error)),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(addr) => Some((*addr).into()),
        RouteAddress::Inet6(addr) => Some((*addr).into()),
        _ => None,
    }
}

fn mtu_of(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
        _ => None,
    }
}

fn hardware(message: NeighbourMessage) -> Vec<u8> {
    let mut addresses = message.attributes.into_iter().filter_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(address) => Some(address),
        _ => None,
    });
    addresses.next().unwrap_or_default()
}
