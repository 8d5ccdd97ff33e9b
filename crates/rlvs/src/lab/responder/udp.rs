//! The UDP echo. A real server of DR or TUN has several addresses, and the answer must leave from the one the question
//! was sent to (the VIP), or the client does not take it. `IP_PKTINFO` (ip(7)) tells that address with each datagram and
//! sets it on the way out.

use anyhow::{Context, Result};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

pub fn open(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
    Ok(socket)
}

pub fn serve(socket: &UdpSocket, name: &str) {
    loop {
        // An error here is a late ICMP answer to an earlier reply: not our business.
        let _ = echo(socket, name);
    }
}

fn echo(socket: &UdpSocket, name: &str) -> Result<()> {
    let mut datagram = [0; 65_536];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let (len, client, asked) = {
        let mut into = [IoSliceMut::new(&mut datagram)];
        let got =
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::empty())?;
        let asked = got.cmsgs()?.find_map(|c| match c {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_addr),
            _ => None,
        });
        (got.bytes, got.address, asked.context("no address with the datagram")?)
    };
    let info =
        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: asked, ipi_addr: libc::in_addr { s_addr: 0 } };
    let parts = [IoSlice::new(name.as_bytes()), IoSlice::new(b"\n"), IoSlice::new(&datagram[..len])];
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), client.as_ref())?;
    Ok(())
}
