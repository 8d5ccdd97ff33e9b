//! A port of this host that nobody else gets while a probe uses it. Answers to it reach the kernel, too, which knows no
//! connection of ours and would refuse it (TCP's reset, ICMP's port unreachable); so somebody listens at it, behind a filter that drops
//! everything.

use super::filter::NOTHING;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};

pub struct Reserved {
    _socket: Socket,
    pub port: u16,
}

impl Reserved {
    pub fn new(addr: IpAddr, kind: Type) -> io::Result<Reserved> {
        let at = SocketAddr::new(addr, 0);
        let socket = Socket::new(Domain::for_address(at), kind, None)?;
        socket.attach_filter(&NOTHING)?;
        socket.bind(&at.into())?;
        if kind == Type::STREAM {
            socket.listen(1)?;
        }
        let port = socket.local_addr()?.as_socket().map_or(0, |addr| addr.port());
        Ok(Reserved { _socket: socket, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    /// Neither taken nor refused.
    #[test]
    fn who_knocks_hears_nothing() {
        let reserved = Reserved::new(Ipv4Addr::LOCALHOST.into(), Type::STREAM).unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, reserved.port));
        let error = TcpStream::connect_timeout(&at, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(reserved);
        let error = TcpStream::connect_timeout(&at, Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
