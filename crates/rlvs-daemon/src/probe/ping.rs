//! PING_CHECK: an ICMP echo (RFC 792, RFC 4443) that must come back.
//!
//! A socket for pings alone needs no privilege, but most hosts allow it to nobody (`net.ipv4.ping_group_range`); then it
//! is a raw socket. A raw one sees all ICMP from that server, so an answer is known by what was sent in it.

use super::{Reason, socket, step};
use crate::machine::CheckSpec;
use socket2::{Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// Type of an echo request and of its answer, for each family.
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);

pub async fn check(spec: &CheckSpec) -> Result<(), Reason> {
    let v4 = spec.target.addr.is_ipv4();
    let (socket, raw) = open(spec, v4).map_err(|e| format!("a socket for ICMP: {e}"))?;
    let token = token();
    let (request, answer) = if v4 { V4 } else { V6 };
    step(spec, "sending", socket.send(&echo(request, &token))).await?;
    let wait = async {
        let mut buffer = [0; 2048];
        loop {
            let length = socket.recv(&mut buffer).await?;
            if is_answer(&buffer[..length], answer, &token, raw && v4) {
                return Ok::<_, io::Error>(());
            }
        }
    };
    step(spec, "the echo", wait).await
}

fn open(spec: &CheckSpec, v4: bool) -> io::Result<(UdpSocket, bool)> {
    let protocol = if v4 { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let (socket, raw) = match socket::prepared(spec, &spec.connect, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (socket::prepared(spec, &spec.connect, Type::RAW, Some(protocol))?, true),
    };
    socket.connect(&SockAddr::from(SocketAddr::new(spec.target.addr, 0)))?;
    Ok((datagrams(socket)?, raw))
}

/// Send and receive are the same calls whatever the datagrams are.
fn datagrams(socket: Socket) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket.into())
}

fn token() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish().to_ne_bytes();
    let mut token = [0; 16];
    token[..8].copy_from_slice(&half());
    token[8..].copy_from_slice(&half());
    token
}

/// The kernel puts in the checksum of ICMPv6, and for pings the identifier.
fn echo(kind: u8, token: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0, token[0], token[1], 0, 1];
    packet.extend(token);
    let sum: u32 =
        packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16; // RFC 1071: the low half, all carries are in it
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn is_answer(packet: &[u8], answer: u8, token: &[u8], with_ip_header: bool) -> bool {
    let start = if with_ip_header { packet.first().map_or(0, |b| usize::from(b & 0xf) * 4) } else { 0 };
    let icmp = packet.get(start..).unwrap_or_default();
    icmp.first() == Some(&answer) && icmp.get(8..) == Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_and_its_answer() {
        let token: Vec<u8> = (1..=16).collect();
        let packet = echo(8, &token);
        let sum =
            packet.chunks(2).fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "with its checksum it sums up to nothing");
        let mut answer = packet;
        answer[0] = 0;
        assert!(is_answer(&answer, 0, &token, false));
        assert!(!is_answer(&answer, 129, &token, false));
        answer[12] ^= 1;
        assert!(!is_answer(&answer, 0, &token, false));
        assert!(!is_answer(&[], 0, &token, true) && !is_answer(&[0x4f; 20], 0, &token, true));
    }
}
