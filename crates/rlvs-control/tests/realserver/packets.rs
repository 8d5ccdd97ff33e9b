//! Packets and frames, byte by byte.

use super::net::{PEER_MAC, SERVER_MAC};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A packet of the family of both addresses.
pub fn ip(from: &str, to: &str, protocol: u8, tos: u8, payload: &[u8]) -> Vec<u8> {
    match to.parse().unwrap() {
        IpAddr::V4(_) => ipv4(from, to, protocol, tos, payload),
        IpAddr::V6(_) => ipv6(from, to, protocol, tos, payload),
    }
}

pub fn ipv4(from: &str, to: &str, protocol: u8, tos: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, tos, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(from.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend(to.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend(payload);
    seal(&mut packet);
    packet
}

/// Makes the header's checksum right.
pub fn seal(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let words = packet[..header].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn ipv6(from: &str, to: &str, protocol: u8, class: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0, 0, 0, protocol, 64];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend(from.parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(to.parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(payload);
    packet
}

/// Without a checksum.
pub fn udp(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len()) as u16;
    let header = [from, to, len, 0].map(u16::to_be_bytes).concat();
    [&header, data].concat()
}

/// From the peer to the server, with the ethertype of what is inside.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&SERVER_MAC[..], &PEER_MAC, &ethertype, packet].concat()
}
