//! Sockets to a real server, from where and by which way the configuration wants: bindto, bind_if, bind_port, fwmark, via.

use super::via::{self, Io, Vias};
use super::{Reason, step};
use crate::config::model::{CheckKind, Connect};
use crate::machine::CheckSpec;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// A connection, established.
pub async fn tcp(spec: &CheckSpec, vias: &Vias) -> Result<Box<dyn Io>, Reason> {
    match spec.way {
        Some(way) => via::tcp(spec, way, vias).await,
        None => Ok(Box::new(straight(spec).await?)),
    }
}

/// The kernel's own connection, by its own routes.
pub async fn straight(spec: &CheckSpec) -> Result<TcpStream, Reason> {
    let socket = stream(spec, &spec.connect).map_err(|e| format!("a socket: {e}"))?;
    let connect = TcpSocket::from_std_stream(socket.into()).connect(target(spec));
    let stream = step(spec, "connecting", connect).await?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// A datagram socket that talks to the server only.
pub enum Datagrams {
    Straight(UdpSocket),
    Via(via::Datagrams),
}

impl Datagrams {
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Datagrams::Straight(socket) => socket.send(bytes).await,
            Datagrams::Via(socket) => socket.send(bytes).await,
        }
    }

    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Datagrams::Straight(socket) => socket.recv(buffer).await,
            Datagrams::Via(socket) => socket.recv(buffer).await,
        }
    }
}

pub async fn udp(spec: &CheckSpec, vias: &Vias) -> Result<Datagrams, Reason> {
    if let Some(way) = spec.way
        && let Some(socket) = via::udp(spec, way, vias).await?
    {
        return Ok(Datagrams::Via(socket));
    }
    // Through NAT that is where it goes anyway; of others only one that is this host comes here.
    let spec = &spec.way.map_or_else(|| spec.clone(), |way| via::at_rip(spec, way));
    let failed = |e: io::Error| format!("a socket: {e}");
    let socket = prepared(spec, &spec.connect, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    socket.connect(&target(spec).into()).map_err(failed)?;
    Ok(Datagrams::Straight(UdpSocket::from_std(socket.into()).map_err(failed)?))
}

/// A socket for a connection.
pub fn stream(spec: &CheckSpec, connect: &Connect) -> io::Result<Socket> {
    let socket = prepared(spec, connect, Type::STREAM, Some(Protocol::TCP))?;
    if is_reset(spec) {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    Ok(socket)
}

/// The connection of a TCP_CHECK is reset as soon as it is established. Neither side waits for the other to say goodbye, and
/// none of ten thousand connections a second is remembered for a minute (TIME_WAIT).
pub fn is_reset(spec: &CheckSpec) -> bool {
    matches!(spec.kind, CheckKind::Tcp)
}

pub fn target(spec: &CheckSpec) -> SocketAddr {
    SocketAddr::new(spec.target.addr, spec.target.port)
}

/// A socket that is bound and marked as it should be, and does not block.
pub fn prepared(
    spec: &CheckSpec,
    connect: &Connect,
    kind: Type,
    protocol: Option<Protocol>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target(spec)), kind.nonblocking(), protocol)?;
    if let Some(mark) = connect.fwmark {
        socket.set_mark(mark)?;
    }
    if let Some(device) = &connect.bind_if {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if connect.bind_to.is_some() || connect.bind_port.is_some() {
        let any: IpAddr = match spec.target.addr {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let from = SocketAddr::new(connect.bind_to.unwrap_or(any), connect.bind_port.unwrap_or(0));
        if connect.bind_port.is_some() {
            socket.set_reuse_address(true)?; // the last try's connection may still wait to be forgotten
        }
        socket.bind(&from.into())?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Memory;
    use crate::config::{Format, load};
    use std::path::Path;

    #[test]
    fn fwmark() {
        let text = "virtual_server 192.0.2.1 80 {\nprotocol TCP\nreal_server 10.0.0.1 80 {\nTCP_CHECK {\nfwmark 9\n}\n}\n}";
        let (config, _) = load(Path::new("f"), Format::Keepalived, "", &Memory::one("f", text));
        let vs = &config.virtual_servers[0];
        let real = &vs.real_servers[0];
        let spec = CheckSpec::of(&config, vs, real, &real.checks[0]);
        // Needs CAP_NET_ADMIN, as the daemon does.
        assert_eq!(prepared(&spec, &spec.connect, Type::STREAM, None).unwrap().mark().unwrap(), 9);
    }
}
