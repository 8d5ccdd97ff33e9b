//! Routes, neighbours and interfaces: what the kernel would answer when the brain asks for a way.

use rlvs_core::path::{Hop, hop_flag};
use rlvs_core::wire::Be32;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

pub type Mac = [u8; 6];

#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub ifindex: u32,
    pub mac: Mac,
    pub mtu: u32,
    /// XDP may redirect into it.
    pub xdp_target: bool,
}

#[derive(Clone, Default, Debug)]
pub struct Network {
    links: HashMap<u32, Link>,
    /// Network, prefix length, interface, next hop (none: the receiver is on the link).
    routes: Vec<(Ipv4Addr, u8, u32, Option<Ipv4Addr>)>,
    neighbours: HashMap<Ipv4Addr, Mac>,
    local: HashSet<Ipv4Addr>,
}

impl Network {
    pub fn add_link(&mut self, link: Link) {
        self.links.insert(link.ifindex, link);
    }

    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    pub fn link_mut(&mut self, ifindex: u32) -> Option<&mut Link> {
        self.links.get_mut(&ifindex)
    }

    /// An address of the machine itself.
    pub fn add_local(&mut self, addr: Ipv4Addr) {
        self.local.insert(addr);
    }

    pub fn is_local(&self, addr: Ipv4Addr) -> bool {
        self.local.contains(&addr)
    }

    pub fn add_route(&mut self, network: Ipv4Addr, prefix: u8, ifindex: u32, via: Option<Ipv4Addr>) {
        self.routes.push((network, prefix, ifindex, via));
    }

    pub fn remove_routes(&mut self, network: Ipv4Addr) {
        self.routes.retain(|r| r.0 != network);
    }

    pub fn set_neighbour(&mut self, addr: Ipv4Addr, mac: Option<Mac>) {
        match mac {
            Some(mac) => self.neighbours.insert(addr, mac),
            None => self.neighbours.remove(&addr),
        };
    }

    /// The answer for an address, as the TC and XDP programs make it from the kernel's.
    pub fn route(&self, to: Be32, hop: &mut Hop<Be32>) {
        hop.flags = 0;
        let to = Ipv4Addr::from(to.bytes());
        if self.is_local(to) {
            hop.flags = hop_flag::LOCAL;
            return;
        }
        let fits = |r: &&(Ipv4Addr, u8, u32, Option<Ipv4Addr>)| {
            (u32::from(r.0) ^ u32::from(to)).checked_shr(32 - u32::from(r.1)).unwrap_or(0) == 0
        };
        let Some((_, _, ifindex, via)) = self.routes.iter().filter(fits).max_by_key(|r| r.1) else {
            return;
        };
        let Some(link) = self.link(*ifindex) else {
            return;
        };
        let via = via.unwrap_or(to);
        hop.flags = hop_flag::ROUTED;
        hop.ifindex = *ifindex;
        hop.via = Be32::from_bytes(via.octets());
        hop.mtu = link.mtu;
        if let Some(mac) = self.neighbours.get(&via) {
            hop.flags |= hop_flag::RESOLVED;
            hop.macs = macs(*mac, link.mac);
        }
        if link.xdp_target {
            hop.flags |= hop_flag::XDP_TARGET;
        }
    }
}

/// Destination and source as they stand in a frame, in three words.
fn macs(dst: Mac, src: Mac) -> [u32; 3] {
    [
        u32::from_ne_bytes([dst[0], dst[1], dst[2], dst[3]]),
        u32::from_ne_bytes([dst[4], dst[5], src[0], src[1]]),
        u32::from_ne_bytes([src[2], src[3], src[4], src[5]]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mut n = Network::default();
        for ifindex in 1..=2 {
            n.add_link(Link { ifindex, mac: [2; 6], mtu: 1500, xdp_target: false });
        }
        n.add_route(Ipv4Addr::UNSPECIFIED, 0, 1, Some([10, 0, 0, 1].into()));
        n.add_route([10, 1, 0, 0].into(), 16, 2, None);
        let mut hop = Hop::unroutable();
        n.route(Be32::from_bytes([10, 1, 2, 3]), &mut hop);
        assert_eq!((hop.ifindex, hop.via.bytes()), (2, [10, 1, 2, 3]));
        n.route(Be32::from_bytes([8, 8, 8, 8]), &mut hop);
        assert_eq!((hop.ifindex, hop.via.bytes()), (1, [10, 0, 0, 1]));
    }
}
