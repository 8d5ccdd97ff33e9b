//! The way of clients' packets (`via = "vip"`): to the virtual address, as the director forwards it to that one server.
//!
//! ```text
//!        probe                                            answer
//! DR     to the RIP's MAC:   DIP:p → VIP:port              VIP:port → DIP:p, to the director's own address
//! TUN    DIP → RIP [GRE, GUE] DIP:p → VIP:port             the same
//! NAT    VIP:p → RIP:rport, an ordinary connection         RIP:rport → VIP:p, as answers to clients: by this director
//! FULLNAT DIP:p → RIP:rport, likewise                      RIP:rport → DIP:p
//! ```
//!
//! The kernel cannot make such connections for DR and TUN, since the director has the VIP itself. So the TCP or UDP of a
//! try is a [`stack`] in user space over a packet socket ([`wire`]), which hears only the answers to this very probe
//! ([`filter`]). A packet socket for IP packets stands behind the director's programs: what they forward never comes to it.
//! The kernel does not answer for us: it holds the port [`reserved`](reserve) with a filter that lets nothing in.
//!
//! No probe can reach the director's programs, whatever the servers do: packets leave with 1 as their time to live, so
//! that a server which has not the VIP, and forwards, cannot send them back; it says so instead ([`icmp`]). And answers go
//! to no virtual address, or to a port of it that no service has ([`Around`]).

mod encap;
mod filter;
mod icmp;
mod nat;
mod reserve;
mod route;
mod stack;
mod stream;
mod sums;
mod taps;
mod wire;

pub use route::Routes;
pub use stack::Datagrams;
pub use taps::Taps;

use super::{Reason, socket, step};
use crate::config::model::Config;
use crate::config::rules;
use crate::machine::{CheckSpec, Way};
use encap::Encap;
use reserve::Reserved;
use rlvs_control::model::{Method, ServiceKey};
use smoltcp::wire::{IpAddress, IpEndpoint};
use socket2::Type;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use wire::Wire;

/// A connection, however it is made.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The services beside a probe's own, as far as its answers must not look like requests to them.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Virtual addresses of which not only the ports of services are scheduled.
    wide: HashSet<IpAddr>,
    /// Where services are.
    taken: HashSet<SocketAddr>,
    /// There are services that are not found by address.
    marks: bool,
}

impl Around {
    pub fn of(config: &Config) -> Around {
        let mut around = Around::default();
        for vs in &config.virtual_servers {
            for key in rules::keys(config, vs) {
                match key {
                    // Behind port 21 also the ports of passive FTP.
                    ServiceKey::Address { addr, port: 0 | 21, .. } => {
                        around.wide.insert(addr);
                    }
                    ServiceKey::Address { addr, port, .. } => {
                        around.taken.insert(SocketAddr::new(addr, port));
                    }
                    ServiceKey::Fwmark { .. } => around.marks = true,
                }
            }
        }
        around
    }

    /// Takes a port of the kernel's choice where no service is. The others are held until then, so that each try gets another
    /// one.
    fn beside<T>(&self, take: impl Fn() -> io::Result<(T, SocketAddr)>) -> io::Result<T> {
        let mut refused = Vec::new();
        for _ in 0..PORTS_TRIED {
            match take()? {
                (taken, at) if self.taken.contains(&at) => refused.push(taken),
                (taken, _) => return Ok(taken),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "services have all the ports that were tried"))
    }
}

const PORTS_TRIED: usize = 64;
/// PROXY protocol, version 2 (section 2.2): a connection of the proxy's own, such as a check, for which no addresses follow.
const PROXY_LOCAL: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// What probes by this way share.
#[derive(Default)]
pub struct Vias {
    pub routes: Routes,
    pub taps: Arc<Taps>,
    pub around: Around,
}

/// From where a probe starts.
struct Start {
    wire: Wire,
    from: SocketAddr,
    reserved: Reserved,
    mtu: u16,
}

/// A connection, established.
pub async fn tcp(spec: &CheckSpec, way: Way, vias: &Vias) -> Result<Box<dyn Io>, Reason> {
    match way.forwarding.method {
        Method::Masquerade => return Ok(Box::new(nat::tcp(spec, way, vias).await?)),
        // The server sees an address of this host in any case.
        Method::FullNat => {
            let mut stream = socket::straight(spec).await?;
            if way.forwarding.proxy_protocol && !socket::is_reset(spec) {
                step(spec, "the PROXY header", stream.write_all(PROXY_LOCAL)).await?;
            }
            return Ok(Box::new(stream));
        }
        Method::DirectRoute | Method::Tunnel => {}
    }
    let connect = async {
        let Some(start) = start(spec, way, vias, Type::STREAM).await? else {
            return Ok::<Box<dyn Io>, Reason>(Box::new(socket::straight(&at_rip(spec, way)).await?));
        };
        let mut stream = Stream::open(start, endpoint(spec))?;
        stream.connected().await.map_err(|error| format!("connecting: {error}"))?;
        if socket::is_reset(spec) {
            stream.reset();
        }
        Ok(Box::new(stream) as Box<dyn Io>)
    };
    let patience = spec.timing.connect_timeout;
    match timeout(patience, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(format!(
            "connecting: nothing within {patience:?} by {}; does {} have {} on lo{}?",
            way.forwarding,
            way.rip,
            way.vip,
            if way.forwarding.is_tunnel() { ", and take its packets out of the tunnel" } else { "" },
        )),
    }
}

/// Datagrams to and from the service, unless an ordinary socket is the way.
pub async fn udp(spec: &CheckSpec, way: Way, vias: &Vias) -> Result<Option<Datagrams>, Reason> {
    // Of answers to the VIP nobody would know that they open no connection, so they go to the director's own address.
    if way.forwarding.method.maps_ports() {
        return Ok(None);
    }
    let patience = spec.timing.connect_timeout;
    let started = timeout(patience, start(spec, way, vias, Type::DGRAM)).await;
    let started = started.map_err(|_| format!("the way to {}: nothing within {patience:?}", way.rip))??;
    started.map(|start| Datagrams::open(start, endpoint(spec))).transpose()
}

/// Finds the way to the server and takes a port; nothing if the server is this host.
async fn start(spec: &CheckSpec, way: Way, vias: &Vias, kind: Type) -> Result<Option<Start>, Reason> {
    let tunneled = way.forwarding.is_tunnel();
    let bind_to = spec.connect.bind_to;
    let outer_from = bind_to.filter(|from| from.is_ipv4() == way.rip.is_ipv4());
    let Some(hop) = vias.routes.towards(way.rip, outer_from, &spec.connect).await? else { return Ok(None) };
    if let (Some(gateway), false) = (hop.gateway, tunneled) {
        return Err(format!(
            "{} is not on the same link: {gateway} is between, and DR does not go through routers",
            way.rip
        ));
    }
    let from = bind_to.unwrap_or(hop.source);
    if from == way.vip || vias.around.wide.contains(&from) {
        return Err(format!(
            "this host reaches {} from {from}, which is a virtual address; write another one of its own as bindto",
            way.rip
        ));
    }
    let reserved = vias.around.beside(|| {
        let reserved = Reserved::new(from, kind)?;
        let at = SocketAddr::new(from, reserved.port);
        Ok((reserved, at))
    });
    let reserved = reserved.map_err(|e| format!("a port of {from}: {e}"))?;
    let from = SocketAddr::new(from, reserved.port);
    let encap = tunneled.then(|| Encap::new(way.forwarding.tunnel, (hop.source, way.rip), from.port()));
    let room = hop.mtu.saturating_sub(encap.as_ref().map_or(0, |encap| encap.overhead(from.is_ipv4())));
    let mtu = u16::try_from(room).unwrap_or(u16::MAX);
    if mtu < 576 {
        return Err(format!("the link to {} takes packets of {} bytes only", way.rip, hop.mtu));
    }
    let flow = filter::Flow {
        protocol: if kind == Type::STREAM { filter::TCP } else { filter::UDP },
        from,
        to: SocketAddr::new(spec.target.addr, spec.target.port),
        outer: encap.as_ref().map(|_| (hop.source, way.rip)),
    };
    let hardware = vias.routes.neighbour(&hop, way.rip).await?;
    let wire = Wire::open(&vias.taps, (hop.ifindex, &hardware), flow, encap, way, spec.connect.fwmark)
        .map_err(|e| format!("a packet socket on {}: {e}", hop.device))?;
    Ok(Some(Start { wire, from, reserved, mtu }))
}

/// Of a server that is this host: nobody forwards. From here the virtual address is a client's, too, whom the loopback
/// device balances; the server's own is not.
pub fn at_rip(spec: &CheckSpec, way: Way) -> CheckSpec {
    let mut spec = spec.clone();
    spec.target.addr = way.rip;
    spec
}

fn endpoint(spec: &CheckSpec) -> IpEndpoint {
    IpEndpoint { addr: IpAddress::from(spec.target.addr), port: spec.target.port }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn no_port_of_a_service_is_taken() {
        let at = |port| SocketAddr::from(([10, 1, 0, 1], port));
        let around = |taken: &[u16]| Around {
            taken: taken.iter().map(|port| at(*port)).collect(),
            ..Around::default()
        };
        let next = Cell::new(40_000);
        let take = || Ok((next.get(), at(next.replace(next.get() + 1))));
        assert_eq!(around(&[40_000, 40_001, 40_003]).beside(take).unwrap(), 40_002);
        let all: Vec<u16> = (1..=u16::MAX).collect();
        assert_eq!(around(&all).beside(take).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
