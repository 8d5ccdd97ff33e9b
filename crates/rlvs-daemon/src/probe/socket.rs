//! Sockets to a real server, from where and by which way the configuration wants: bindto, bind_if, bind_port, fwmark.

use super::{Reason, step};
use crate::machine::CheckSpec;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// A connection, established.
pub async fn tcp(spec: &CheckSpec) -> Result<TcpStream, Reason> {
    let socket = prepared(spec, Type::STREAM, Some(Protocol::TCP)).map_err(|e| format!("a socket: {e}"))?;
    connected(spec, socket).await
}

/// TCP_CHECK: a connection, established and at once reset. Neither side waits for the other to say goodbye, and none of
/// ten thousand connections a second is remembered for a minute (TIME_WAIT).
pub async fn reach(spec: &CheckSpec) -> Result<(), Reason> {
    let socket = prepared(spec, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| socket.set_linger(Some(Duration::ZERO)).map(|()| socket));
    connected(spec, socket.map_err(|e| format!("a socket: {e}"))?).await.map(drop)
}

async fn connected(spec: &CheckSpec, socket: Socket) -> Result<TcpStream, Reason> {
    step(spec, "connecting", TcpSocket::from_std_stream(socket.into()).connect(target(spec))).await
}

/// A datagram socket that talks to the server only.
pub fn udp(spec: &CheckSpec) -> Result<UdpSocket, Reason> {
    let failed = |e: io::Error| format!("a socket: {e}");
    let socket = prepared(spec, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    socket.connect(&target(spec).into()).map_err(failed)?;
    UdpSocket::from_std(socket.into()).map_err(failed)
}

pub fn target(spec: &CheckSpec) -> SocketAddr {
    SocketAddr::new(spec.target.addr, spec.target.port)
}

/// A socket that is bound and marked as it should be, and does not block.
pub fn prepared(spec: &CheckSpec, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let connect = &spec.connect;
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
        assert_eq!(prepared(&spec, Type::STREAM, None).unwrap().mark().unwrap(), 9);
    }
}
