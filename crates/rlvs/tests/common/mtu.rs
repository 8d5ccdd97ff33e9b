//! What a client knows about the way to the VIP, and how it learns it for sure.

use nix::sys::socket::{getsockopt, sockopt};
use rlvs::lab::client;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// What this namespace's kernel knows about the way to an address (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
pub fn path_mtu(to: impl Into<IpAddr>) -> i32 {
    let to = to.into();
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).expect("a socket");
    socket.connect((to, 9)).expect("connected");
    if to.is_ipv4() {
        return getsockopt(&socket, sockopt::IpMtu).expect("IP_MTU");
    }
    let (mut mtu, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: an open socket, and an int with its size.
    let rc = unsafe {
        let value = (&raw mut mtu).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU, value, &raw mut len)
    };
    assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
    mtu
}

/// Payload of one full TCP segment with timestamps (RFC 7323).
pub fn full_segment_len(to: IpAddr, mtu: i32) -> usize {
    mtu as usize - if to.is_ipv4() { 20 + 32 } else { 40 + 32 }
}

/// Sends a service of TCP one segment as large as the client believes to fit, and alone: if it does not, the client is told.
/// Segments that are handed over in one go (GSO) teach it nothing, and a whole upload can consist of those.
pub fn full_segment(vip: impl Into<IpAddr>, port: u16) {
    let vip = vip.into();
    let len = full_segment_len(vip, path_mtu(vip));
    client::upload(vip, port, len as u64).unwrap_or_else(|e| panic!("{len} bytes to {vip}: {e:#}"));
}
