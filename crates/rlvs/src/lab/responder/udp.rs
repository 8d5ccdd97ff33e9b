//! The UDP echo. A real server of DR or TUN has several addresses, and the answer must leave from the one the question
//! was sent to (the VIP), or the client does not take it. `IP_PKTINFO` (ip(7)) and `IPV6_PKTINFO` (ipv6(7)) tell that address with each
//! datagram and set it on the way out.

use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn6,
    SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

pub fn open(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
    Ok(socket)
}

/// For IPv6 alone: the other socket has IPv4.
pub fn open6(port: u16) -> Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true).context("IPV6_V6ONLY")?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).context("IPV6_RECVPKTINFO")?;
    let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    bind(socket.as_raw_fd(), &SockaddrIn6::from(any))?;
    Ok(socket.into())
}

pub fn serve(socket: &UdpSocket, name: &str) {
    loop {
        // An error here is a late ICMP answer to an earlier reply: not our business.
        let _ = echo(socket, name);
    }
}

fn echo(socket: &UdpSocket, name: &str) -> Result<()> {
    let mut datagram = [0; 65_536];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let (len, client, asked) = {
        let mut into = [IoSliceMut::new(&mut datagram)];
        let fd = socket.as_raw_fd();
        let got = recvmsg::<SockaddrStorage>(fd, &mut into, Some(&mut control), MsgFlags::empty())?;
        let asked = got.cmsgs()?.find_map(|c| match c {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Asked::Four(info.ipi_addr)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Asked::Six(info.ipi6_addr)),
            _ => None,
        });
        (got.bytes, got.address, asked.context("no address with the datagram")?)
    };
    let parts = [IoSlice::new(name.as_bytes()), IoSlice::new(b"\n"), IoSlice::new(&datagram[..len])];
    let send = |control: ControlMessage| {
        sendmsg(socket.as_raw_fd(), &parts, &[control], MsgFlags::empty(), client.as_ref())
    };
    match asked {
        Asked::Four(asked) => {
            let none = libc::in_addr { s_addr: 0 };
            send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: asked,
                ipi_addr: none,
            }))
        }
        Asked::Six(asked) => {
            send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr: asked, ipi6_ifindex: 0 }))
        }
    }?;
    Ok(())
}

/// The address a datagram was sent to.
enum Asked {
    Four(libc::in_addr),
    Six(libc::in6_addr),
}
