//! A packet socket: packets of a probe go out to a neighbour's hardware address, whatever IP address is in them, and only
//! the answers come in.

use super::encap::Encap;
use super::filter::{self, Flow};
use super::taps::Taps;
use super::{icmp, sums};
use crate::machine::Way;
use socket2::{SockAddr, SockAddrStorage, Socket};
use std::io::{self, Read};
use std::mem::size_of;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest IP packet; the kernel may have put several segments together.
const LONGEST: usize = 65_535 + 40;

pub struct Wire {
    /// Until it is given back.
    socket: Option<AsyncFd<Socket>>,
    taps: Arc<Taps>,
    to: SockAddr,
    flow: Flow,
    encap: Option<Encap>,
    way: Way,
    buffer: Vec<u8>,
}

/// What came in.
pub enum Heard {
    Packet(Vec<u8>),
    /// An error that ends the probe.
    Error(String),
}

impl Wire {
    /// To a neighbour on an interface.
    pub fn open(
        taps: &Arc<Taps>,
        (ifindex, hardware): (u32, &[u8]),
        flow: Flow,
        encap: Option<Encap>,
        way: Way,
        mark: Option<u32>,
    ) -> io::Result<Wire> {
        let socket = taps.take(flow.from.is_ipv4())?;
        socket.set_mark(mark.unwrap_or(0))?;
        socket.attach_filter(&filter::program(&flow))?;
        let to = link_address(ifindex, over_link(&flow), hardware);
        // SAFETY: the socket owns its descriptor, and has the same one until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        let (socket, taps) = (Some(socket), Arc::clone(taps));
        Ok(Wire { socket, taps, to, flow, encap, way, buffer: vec![0; LONGEST] })
    }

    fn socket(&self) -> io::Result<&AsyncFd<Socket>> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// A queue that is full loses packets, as networks do.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let wrapped = self.encap.as_ref().map(|encap| encap.wrap(packet));
        match self.socket()?.get_ref().send_to(wrapped.as_deref().unwrap_or(packet), &self.to) {
            Err(e)
                if !matches!(e.kind(), io::ErrorKind::WouldBlock)
                    && e.raw_os_error() != Some(libc::ENOBUFS) =>
            {
                Err(e)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the next one.
    pub async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            let mut ready = socket.readable().await?;
            let length = match ready.try_io(|socket| socket.get_ref().read(&mut self.buffer)) {
                Ok(length) => length?,
                Err(_would_block) => continue,
            };
            let packet = &self.buffer[..length];
            let is_icmp = match packet.first().map(|byte| byte >> 4) {
                Some(4) => packet.get(9) == Some(&filter::ICMP),
                _ => packet.get(6) == Some(&filter::ICMPV6),
            };
            // What the socket had heard for another probe is not for this one.
            if !is_icmp && self.flow.is_answer(packet) && sums::is_right(packet) {
                return Ok(Heard::Packet(packet.to_vec()));
            }
            if is_icmp && let Some(said) = icmp::said(packet, &self.flow, self.encap.as_ref(), &self.way) {
                return Ok(Heard::Error(said));
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.taps.put_back(self.flow.from.is_ipv4(), socket.into_inner());
        }
    }
}

/// Is it IPv4 that goes over the link?
fn over_link(flow: &Flow) -> bool {
    flow.outer.map_or(flow.from.is_ipv4(), |(from, _)| from.is_ipv4())
}

/// An interface (0: any), a family, and a hardware address.
pub fn link_address(ifindex: u32, v4: bool, hardware: &[u8]) -> SockAddr {
    let ethertype = if v4 { libc::ETH_P_IP } else { libc::ETH_P_IPV6 } as u16; // numbers of 16 bits
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is an address of this platform.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16; // 17
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = ifindex as i32; // the kernel's numbers are signed, and positive
    let length = hardware.len().min(address.sll_addr.len());
    address.sll_halen = length as u8; // 8 at most
    address.sll_addr[..length].copy_from_slice(&hardware[..length]);
    // SAFETY: it has been filled in with an address of this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}
