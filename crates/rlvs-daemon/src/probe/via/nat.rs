//! NAT: what the director makes of a client's packet is an ordinary connection to the real server. Only the way back
//! differs: answers to clients must come by this director. So the connection starts from the virtual address, if this host
//! has it: then the server must have a way to it, as it must have one to clients, and that way must end here.
//!
//! Where answers to the virtual address could look like requests, it starts from the director's own address, as any check.

use super::Vias;
use crate::config::model::Connect;
use crate::machine::{CheckSpec, Way};
use crate::probe::{Reason, socket, step};
use std::io;
use tokio::net::{TcpSocket, TcpStream};

pub async fn tcp(spec: &CheckSpec, way: Way, vias: &Vias) -> Result<TcpStream, Reason> {
    let around = &vias.around;
    let harmless = !around.marks && !around.wide.contains(&way.vip);
    let from = spec.connect.bind_to.or(harmless.then_some(way.vip));
    let prepared = |from| {
        let connect = Connect { bind_to: from, ..spec.connect.clone() };
        around.beside(|| {
            let socket = socket::stream(spec, &connect)?;
            let at = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            Ok((socket, at))
        })
    };
    let socket = match prepared(from) {
        // The virtual address is on another director now.
        Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable && spec.connect.bind_to.is_none() => {
            prepared(None)
        }
        socket => socket,
    };
    let socket = socket.map_err(|e| format!("a socket: {e}"))?;
    let from_vip = socket.local_addr().ok().and_then(|a| a.as_socket()).is_some_and(|a| a.ip() == way.vip);
    let connect = TcpSocket::from_std_stream(socket.into()).connect(socket::target(spec));
    let connected = step(spec, "connecting", connect).await;
    let stream = connected.map_err(|reason| match from_vip && reason.contains("nothing within") {
        true => format!("{reason}; do its answers to {} come back by this director?", way.vip),
        false => reason,
    })?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
