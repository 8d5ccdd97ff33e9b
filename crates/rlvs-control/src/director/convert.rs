//! Between the operator's words and the values of the maps.

use crate::model::*;
use rlvs_core::fwd;
use rlvs_core::maps;
use rlvs_core::wire::{Be16, Be32};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as the maps have it: IPv4 in the first word.
pub fn words(addr: IpAddr) -> [Be32; 4] {
    match addr {
        IpAddr::V4(a) => [Be32::from_bytes(a.octets()), Be32(0), Be32(0), Be32(0)],
        IpAddr::V6(a) => {
            let o = a.octets();
            std::array::from_fn(|i| Be32::from_bytes([o[i * 4], o[i * 4 + 1], o[i * 4 + 2], o[i * 4 + 3]]))
        }
    }
}

pub fn addr(words: [Be32; 4], family: u8) -> IpAddr {
    if family == 6 {
        let mut octets = [0; 16];
        for (place, word) in octets.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.bytes());
        }
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::from(words[0].bytes()).into()
    }
}

pub fn key(key: &ServiceKey) -> maps::ServiceKey {
    match *key {
        ServiceKey::Address { protocol, addr, port } => maps::ServiceKey {
            addr: words(addr),
            port: Be16::new(port),
            protocol: protocol.number(),
            family: family(Family::of(addr)),
        },
        ServiceKey::Fwmark { mark, family: f } => maps::ServiceKey {
            addr: [Be32(mark), Be32(0), Be32(0), Be32(0)],
            port: Be16(0),
            protocol: 0,
            family: family(f),
        },
    }
}

pub fn key_view(key: &maps::ServiceKey) -> ServiceKey {
    match Protocol::from_number(key.protocol) {
        Some(protocol) => {
            ServiceKey::Address { protocol, addr: addr(key.addr, key.family), port: key.port.get() }
        }
        None => {
            let family = if key.family == 6 { Family::Inet6 } else { Family::Inet };
            ServiceKey::Fwmark { mark: key.addr[0].0, family }
        }
    }
}

fn family(f: Family) -> u8 {
    if f == Family::Inet6 { 6 } else { 4 }
}

pub fn method(m: Method) -> u8 {
    match m {
        Method::Masquerade => fwd::Method::Masquerade as u8,
        Method::Tunnel => fwd::Method::Tunnel as u8,
        Method::DirectRoute => fwd::Method::DirectRoute as u8,
        Method::FullNat => fwd::Method::FullNat as u8,
    }
}

pub fn method_view(number: u8) -> Method {
    match number {
        n if n == fwd::Method::Tunnel as u8 => Method::Tunnel,
        n if n == fwd::Method::DirectRoute as u8 => Method::DirectRoute,
        n if n == fwd::Method::FullNat as u8 => Method::FullNat,
        _ => Method::Masquerade,
    }
}

pub fn tunnel_kind(kind: TunnelKind) -> u8 {
    match kind {
        TunnelKind::Ipip => 0,
        TunnelKind::Gue => 1,
        TunnelKind::Gre => 2,
    }
}

pub fn tunnel_view(config: &maps::DestConfig) -> Tunnel {
    Tunnel {
        kind: match config.tunnel_kind {
            1 => TunnelKind::Gue,
            2 => TunnelKind::Gre,
            _ => TunnelKind::Ipip,
        },
        port: config.tunnel_port.get(),
        checksum: match config.tunnel_checksum {
            1 => TunnelChecksum::Full,
            2 => TunnelChecksum::Remote,
            _ => TunnelChecksum::None,
        },
    }
}

pub fn tunnel_checksum(checksum: TunnelChecksum) -> u8 {
    match checksum {
        TunnelChecksum::None => 0,
        TunnelChecksum::Full => 1,
        TunnelChecksum::Remote => 2,
    }
}
