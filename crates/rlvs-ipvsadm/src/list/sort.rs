//! The order of listings: services by mark, family, protocol, address and port, their servers by address and port.
//!
//! Marks and addresses compare by the sign of their 32-bit difference, which wraps: 192.168.0.1 stands before
//! 10.0.0.1, and there are circles (0.0.0.0 < 10.0.0.0 < 127.0.0.1 < 224.0.0.1 < 0.0.0.0). The original does
//! it so, and what it makes of a circle hangs on how it sorts: by merging halves, the smaller half first. We
//! keep both, so that a listing can be compared with an old one. (The standard sort may panic on a circle.)

use rlvs_control::model::*;
use std::net::IpAddr;

/// Services in order, each with its servers in order.
pub fn sorted(mut services: Vec<ServiceView>) -> Vec<ServiceView> {
    for service in &mut services {
        service.destinations = merge_sort(std::mem::take(&mut service.destinations), compare_servers);
    }
    merge_sort(services, compare_services)
}

/// Positive if the second belongs before the first.
fn compare_services(a: &ServiceView, b: &ServiceView) -> i32 {
    let (a, b) = (&a.service.key, &b.service.key);
    let by_mark = mark(a).wrapping_sub(mark(b)) as i32;
    let by_family = || a.family() as i32 - b.family() as i32;
    let by_address = || match (a, b) {
        (
            ServiceKey::Address { protocol: pa, addr: aa, port: qa },
            ServiceKey::Address { protocol: pb, addr: ab, port: qb },
        ) => first_nonzero([
            i32::from(pa.number()) - i32::from(pb.number()),
            compare_addresses(*aa, *ab),
            i32::from(*qa) - i32::from(*qb),
        ]),
        _ => 0,
    };
    if by_mark != 0 {
        return by_mark;
    }
    first_nonzero([by_family(), by_address()])
}

fn compare_servers(a: &DestinationView, b: &DestinationView) -> i32 {
    let (a, b) = (&a.destination, &b.destination);
    first_nonzero([compare_addresses(a.addr, b.addr), i32::from(a.port) - i32::from(b.port)])
}

fn mark(key: &ServiceKey) -> u32 {
    match *key {
        ServiceKey::Fwmark { mark, .. } => mark,
        ServiceKey::Address { .. } => 0,
    }
}

/// Word by word; an IPv4 address is compared with the first word of an IPv6 one.
fn compare_addresses(a: IpAddr, b: IpAddr) -> i32 {
    let differences = words(a).zip(words(b)).map(|(a, b)| a.wrapping_sub(b) as i32);
    differences.into_iter().find(|d| *d != 0).unwrap_or(0)
}

fn words(addr: IpAddr) -> impl Iterator<Item = u32> {
    let (bits, count) = match addr {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 1),
        IpAddr::V6(v6) => (u128::from(v6), 4),
    };
    (0..count).map(move |i| (bits >> (96 - 32 * i)) as u32)
}

fn first_nonzero<const N: usize>(differences: [i32; N]) -> i32 {
    differences.into_iter().find(|d| *d != 0).unwrap_or(0)
}

fn merge_sort<T>(mut items: Vec<T>, compare: fn(&T, &T) -> i32) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let second = items.split_off(items.len() / 2);
    let mut sorted = Vec::with_capacity(items.len() + second.len());
    let mut first = merge_sort(items, compare).into_iter().peekable();
    let mut second = merge_sort(second, compare).into_iter().peekable();
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        let next = if compare(a, b) <= 0 { first.next() } else { second.next() };
        sorted.extend(next);
    }
    sorted.extend(first);
    sorted.extend(second);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(addresses: &[&str]) -> Vec<String> {
        let parsed: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let sorted = merge_sort(parsed, |a, b| compare_addresses(*a, *b));
        sorted.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_compare_by_wrapping_difference() {
        assert_eq!(order(&["10.0.0.2", "10.0.0.1"]), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(order(&["10.0.0.1", "192.168.0.1"]), ["192.168.0.1", "10.0.0.1"]);
        assert_eq!(order(&["10.0.0.1", "fd00::1", "fd00::"]), ["fd00::", "fd00::1", "10.0.0.1"]);
        assert_eq!(order(&["fd00::2", "fd00::1:0:0:1"]), ["fd00::2", "fd00::1:0:0:1"]);
    }
}
